"""The times in a result of `vllm bench serve --save-result --save-detailed`.

The end-to-end time of a request is its `ttft` and all of its `itls`.
"""

import math
import sys
from collections.abc import Mapping

from msgspec.structs import replace

from tsdl.diagnostics import Sink
from tsdl.measured.run import NOT_KNOWN, Collector, Request, Run, wrong
from tsdl.source import Source, Span
from tsdl.traces.lines import shown
from tsdl.traces.results import (
    ERRORS,
    OUTPUTS,
    PROMPTS,
    STARTS,
    Result,
    place_of,
    read_result,
    without_arrivals,
)
from tsdl.traces.rows import length

_LISTS = (PROMPTS, OUTPUTS, "ttfts", "itls")
_TOO_LARGE = "its numbers are too large"
_DAY = 8  # digits of a date like 20260425-184718


def read(source: Source, columns: Mapping[str, str], sink: Sink) -> Run | None:
    """Read a run; None where it cannot be used.

    Older versions leave out when requests started: then arrivals are not known, unless all were
    sent at once (`request_rate` inf without `max_concurrency`).
    """
    result = read_result(source, (*_LISTS, STARTS, ERRORS), "E0607", sink)
    if result is None or not _complete(result, source, sink):
        return None
    collector = Collector(source, sink)
    lists, found = result.lists, result.told
    count = len(lists[PROMPTS])
    errors = lists.get(ERRORS, [""] * count)
    at_once = found.get("request_rate") == "inf" and found.get("max_concurrency") is None
    starts = lists.get(STARTS, [0.0 if at_once else NOT_KNOWN] * count)
    for i, values in enumerate(zip(*(lists[name] for name in _LISTS), starts, strict=True)):
        if collector.full:
            break
        if errors[i] or lists[OUTPUTS][i] == 0:
            collector.left_out += 1
            continue
        try:
            request = _request(*values)
        except _WrongError as error:
            collector.wrong_at(place_of(source, error.name, i), f"request {i} (from 0): {error}")
        else:
            collector.requests.append(request)
    duration = found.get("duration")
    if duration is None:
        duration = NOT_KNOWN
    elif type(duration) not in (int, float) or not 0 < duration <= sys.float_info.max:
        title = f"`duration` is {shown(duration)}: it is a time above zero, in seconds"
        sink.error("E0607", title, Span(source, 0, 0))
        return None
    run = collector.run(
        "vllm",
        duration=duration,
        date=_day(found.get("date")),
        model=str(found.get("model_id") or ""),
        instead=without_arrivals(source.name, found),
    )
    users = found.get("max_concurrency")
    if run is None or type(users) is not int or users < 1:
        return run
    return replace(run, concurrency=users)


class _WrongError(Exception):
    """What is wrong with an element of a list of this name."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        super().__init__(reason)


def _complete(result: Result, source: Source, sink: Sink) -> bool:
    """Tell whether a result has all lists that times take; report those that it lacks."""
    missing = [f"`{name}`" for name in _LISTS if name not in result.lists]
    if missing:
        sink.error(
            "E0607",
            f"the result has no list {' and no list '.join(missing)}",
            Span(source, 0, 0),
            help=("measure with `vllm bench serve --save-result --save-detailed`",),
        )
    return not missing


def _request(prompt: object, output: object, ttft: object, itls: object, start: object) -> Request:
    """Return a request. Raises _WrongError for what is no number, and what cannot be."""
    if not isinstance(itls, list):
        raise _WrongError("itls", "`itls` is no list")
    gaps = tuple(_number("itls", gap) for gap in itls)
    tokens = _length("output_lens", output)
    first = _number("ttfts", ttft)
    try:
        rest = math.fsum(gaps)
    except OverflowError:
        raise _WrongError("itls", _TOO_LARGE) from None
    if tokens > 1 and not gaps:
        raise _WrongError("itls", "it has no gaps between tokens: its answer was not streamed")
    found = Request(
        arrived=NOT_KNOWN if start is NOT_KNOWN else _number("start_times", start),
        prompt=_length("input_lens", prompt),
        output=tokens,
        ttft=first,
        e2e=first + rest,
        tpot=rest / (tokens - 1) if tokens > 1 else NOT_KNOWN,
        itls=gaps,
    )
    if reason := wrong(found):
        raise _WrongError("ttfts", reason)
    return found


def _length(name: str, value: object) -> int:
    try:
        return length(str(value))
    except ValueError as error:
        raise _WrongError(name, f"`{name}` has {shown(value)}: {error}") from None


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _WrongError(name, f"`{name}` has {shown(value)}, which is no number")
    if abs(value) > sys.float_info.max:
        raise _WrongError(name, _TOO_LARGE)
    if math.isnan(value):
        raise _WrongError(name, f"`{name}` has {shown(value)}, which is no number")
    return value


def _day(date: object) -> str:
    """Return 2026-04-25 for 20260425-184718."""
    digits = str(date or "")[:_DAY]
    if len(digits) < _DAY or not digits.isdigit():
        return ""
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:]}"
