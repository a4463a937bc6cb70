"""The file of `vllm bench serve --save-result --save-detailed`: one JSON object of lists.

The names are those of vllm/benchmarks/serve.py (vLLM 0.9 to 0.19). A request that failed has the
output length 0 and an error; its end-to-end time is its `ttft` and all of its `itls`.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

from tsdl.diagnostics import Sink
from tsdl.measured.run import NOT_KNOWN, Collector, Request, Run
from tsdl.source import Source, Span
from tsdl.traces.lines import why_no_json

_LISTS = ("input_lens", "output_lens", "ttfts", "itls")
_OPTIONAL = ("errors", "start_times")
_SHOWN = 40  # characters of what is wrong
_DAY = 8  # digits of a date like 20260425-184718


def read(source: Source, columns: Mapping[str, str], sink: Sink) -> Run | None:
    """Read a run; None where it cannot be used.

    Older versions leave out when requests started: then arrivals are not known, unless all were
    sent at once (`request_rate` inf without `max_concurrency`).
    """
    found = _object(source, sink)
    if found is None or not _complete(found, source, sink):
        return None
    collector = Collector(source, sink)
    count = len(found["input_lens"])
    errors = found.get("errors") or [""] * count
    at_once = found.get("request_rate") == "inf" and found.get("max_concurrency") is None
    if not found.get("start_times"):
        found["start_times"] = [0.0 if at_once else NOT_KNOWN] * count
    for i in range(count):
        if collector.full:
            break
        if errors[i] or found["output_lens"][i] == 0:
            collector.left_out += 1
            continue
        where = f"request {i} (from 0): "
        try:
            request = _request(*(found[name][i] for name in (*_LISTS, "start_times")))
        except OverflowError:
            collector.wrong(1, f"{where}its numbers are too large")
            continue
        except (TypeError, ValueError) as error:
            collector.wrong(1, f"{where}{error}")
            continue
        collector.add(1, request, where)
    duration = found.get("duration")
    if duration is None:
        duration = NOT_KNOWN
    elif not isinstance(duration, (int, float)) or not 0 < duration < math.inf:
        title = f"`duration` is {str(duration)[:_SHOWN]}: it is a time above zero, in seconds"
        sink.error("E0607", title, Span(source, 0, 0))
        return None
    return collector.run(
        "vllm",
        duration=duration,
        date=_day(found.get("date")),
    )


def _object(source: Source, sink: Sink) -> dict[str, Any] | None:
    try:
        found = json.loads(source.text)
    except json.JSONDecodeError as error:
        more = error.msg == "Extra data"  # `--append-result` puts one object behind the other
        reason = "several runs in one file; split it, one to a file" if more else why_no_json(error)
        place = Span(source, error.pos, min(error.pos + 1, len(source.text)))
    except (ValueError, RecursionError) as error:
        reason, place = why_no_json(error), Span(source, 0, 0)
    else:
        if isinstance(found, dict):
            return found
        reason, place = "it is no JSON object", Span(source, 0, 0)
    sink.error("E0607", f"not a result of `vllm bench serve`: {reason}", place)
    return None


def _complete(found: dict[str, Any], source: Source, sink: Sink) -> bool:
    missing = [name for name in _LISTS if not isinstance(found.get(name), list)]
    if missing:
        sink.error(
            "E0607",
            f"the result has no list {' and no list '.join(f'`{name}`' for name in missing)}",
            Span(source, 0, 0),
            help=("measure with `vllm bench serve --save-result --save-detailed`",),
        )
        return False
    wrong = {
        name: len(found[name])
        for name in (*_LISTS, *_OPTIONAL)
        if isinstance(found.get(name), list) and len(found[name])
    }
    if len({*wrong.values(), len(found["input_lens"])}) > 1:
        told = ", ".join(f"`{name}` {count}" for name, count in wrong.items())
        sink.error("E0607", f"its lists are not equally long: {told}", Span(source, 0, 0))
        return False
    return True


def _request(prompt: object, output: object, ttft: object, itls: object, start: object) -> Request:
    """Return a request. Raises ValueError or TypeError for what is no number."""
    if not isinstance(itls, list):
        raise ValueError("`itls` is no list")  # noqa: TRY004 (the caller tells both alike)
    gaps = tuple(_number("itls", gap) for gap in itls)
    tokens = int(_number("output_lens", output))
    first = _number("ttfts", ttft)
    rest = math.fsum(gaps)
    if tokens > 1 and not gaps:
        raise ValueError("it has no gaps between tokens: its answer was not streamed")
    return Request(
        arrived=NOT_KNOWN if start is NOT_KNOWN else _number("start_times", start),
        prompt=int(_number("input_lens", prompt)),
        output=tokens,
        ttft=first,
        e2e=first + rest,
        tpot=rest / (tokens - 1) if tokens > 1 else NOT_KNOWN,
        itls=gaps,
    )


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"`{name}` has {value!r}, which is no number")
    return value


def _day(date: object) -> str:
    """Return 2026-04-25 for 20260425-184718."""
    digits = str(date or "")[:_DAY]
    if len(digits) < _DAY or not digits.isdigit():
        return ""
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:]}"
