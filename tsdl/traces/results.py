"""A result of `vllm bench serve --save-result --save-detailed`: one JSON object of lists.

The names are those of vllm/benchmarks/serve.py (vLLM 0.9 to 0.19). A request that failed has an
error, and most often the output 0.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from msgspec import Struct

from tsdl.diagnostics import Sink
from tsdl.source import Source, Span
from tsdl.traces.documents import NONE, OF_RESULT, document
from tsdl.traces.lines import Lines

PROMPTS, OUTPUTS, STARTS, ERRORS = OF_RESULT, "output_lens", "start_times", "errors"
_DECODER, _BETWEEN = json.JSONDecoder(), re.compile(r"[\s,]*")
_MAY_BE_EMPTY = (ERRORS, STARTS)  # of requests that did not fail, or whose start is not known


class Result(Struct, frozen=True):
    """What a result holds: those of the lists asked for that it has, all as long; and all of it."""

    lists: dict[str, list[Any]]
    told: dict[str, Any]


def read_result(source: Source, names: Sequence[str], code: str, sink: Sink) -> Result | None:
    """Return a result with its lists of some names; None, told by a code, where it is none."""
    told = document(source, code, sink)
    if told is NONE:
        return None
    if not isinstance(told, dict):
        sink.error(code, "a result of `vllm bench serve` is one JSON object", Span(source, 0, 0))
        return None
    lists = _lists({name: told[name] for name in names if told.get(name) is not None})
    if isinstance(lists, str):
        sink.error(code, lists, Span(source, 0, 0))
        return None
    return Result(lists, told)


def _lists(given: dict[str, Any]) -> dict[str, list[Any]] | str:
    """Return lists by their names, without those that say nothing; or why they are none."""
    wrong = next((name for name, values in given.items() if not isinstance(values, list)), None)
    if wrong is not None:
        return f"`{wrong}` of a result is a list, and here is none"
    lists = {name: values for name, values in given.items() if values or name not in _MAY_BE_EMPTY}
    if len({len(values) for values in lists.values()}) > 1:
        told = ", ".join(f"`{name}` {len(values)}" for name, values in lists.items())
        return f"its lists are not equally long: {told}"
    return lists


def result_lines(source: Source, sink: Sink) -> Lines | None:
    """Return the requests of a result. One that failed has the output 0."""
    found = read_result(source, (PROMPTS, OUTPUTS, STARTS, ERRORS), "E0601", sink)
    if found is None:
        return None
    lists = found.lists
    rows = (dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True))
    answered = (row | {OUTPUTS: 0} if row.get(ERRORS) else row for row in rows)
    names = tuple(lists) or ("none of them",)
    instead = without_arrivals(source.name, found.told)
    return Lines(
        names, 1, named=False, rows=((1, row) for row in answered), counted=True, instead=instead
    )


def place_of(source: Source, name: str, index: int) -> Span:
    """Return where an element of a list of a result stands; the beginning where it is not found."""
    starts = list(re.finditer(rf'"{name}"\s*:\s*\[', source.text))  # of a name given twice the last
    begin = end = starts[-1].end() if starts else len(source.text)
    try:
        for _ in range(index + 1):
            between = _BETWEEN.match(source.text, end)
            begin = between.end() if between else end
            _, end = _DECODER.raw_decode(source.text, begin)
    except ValueError:
        return Span(source, 0, 0)
    return Span(source, begin, end)


def without_arrivals(name: str, told: Mapping[str, Any]) -> str:
    """Return what a workload can say of a result that has no arrivals: lengths, and its load."""
    rate, users = told.get("request_rate"), told.get("max_concurrency")
    load = "arrivals = poisson(RATE req/s)"
    if isinstance(rate, int | float) and math.isfinite(rate):
        load = f"arrivals = poisson({rate:g} req/s)"
    elif isinstance(users, int):
        load = f"concurrency = {users}"
    return f'`lengths = "{PurePath(name).name}"; {load}`'
