"""The requests.jsonl that LLMServingSim's benchmark of vLLM writes: stamps of two clocks."""

from collections.abc import Mapping
from datetime import UTC, datetime

from tsdl.diagnostics import Sink
from tsdl.measured.run import NOT_KNOWN, Collector, Request, Run
from tsdl.source import Source
from tsdl.traces.lines import json_lines, shown
from tsdl.traces.rows import length, number

_LENGTHS = ("input_toks", "output_toks")
_STAMPS = ("arrival_time", "queued_ts", "first_token_ts", "last_token_ts")
_LATEST = 1e11  # seconds since 1970: the year 5138; today in milliseconds is beyond it
_APART = 30.0  # times that one clock may go over what the other does: more is another unit


def read(source: Source, columns: Mapping[str, str], sink: Sink) -> Run | None:
    """Read a run; None where it cannot be used.

    `arrival_time` is the front end's (seconds of an epoch), the other stamps are the engine's (a
    clock of its own). The engine cannot notice a request before it arrives, so the least
    `queued_ts - arrival_time` of all requests brings both clocks together, short of the least time
    that the way to the engine takes. `queued_ts` itself is up to an iteration late.
    """
    lines = json_lines(source, sink)
    if lines is None:
        return None
    wanted = (*_LENGTHS, *_STAMPS)
    missing = [f"`{name}`" for name in wanted if name not in lines.names]
    if missing and lines.names:
        sink.error(
            "E0602",
            f"a measured request has no {' and no '.join(missing)}",
            source.line_span(lines.first),
            f"it has {', '.join(lines.names)}",
            help=("this may be a workload to replay, and not what was measured of it",),
        )
        return None
    collector = Collector(source, sink)
    found: list[tuple[int, list[int], dict[str, float]]] = []
    for line, cells in lines.rows:
        if collector.full:
            break
        if isinstance(cells, str):
            collector.wrong(line, cells)
            continue
        lacking = next((key for key in (*_LENGTHS, *_STAMPS) if key not in cells), "")
        if lacking:
            collector.wrong(line, f"the request has no `{lacking}`")
            continue
        name = ""
        try:
            lengths = [length(str(cells[name := key])) for key in _LENGTHS]
            stamps = {key: _stamp(str(cells[name := key])) for key in _STAMPS}
        except ValueError as error:
            collector.wrong(line, f"`{name}` is {shown(cells[name])}: {error}")
            continue
        found.append((line, lengths, stamps))
    _check_units(found, collector)
    ahead = min((s["queued_ts"] - s["arrival_time"] for _, _, s in found), default=0.0)
    for line, (prompt, output), stamps in found:
        collector.add(line, _request(prompt, output, stamps, ahead))
    day = ""
    if found and not collector.mistakes:
        day = datetime.fromtimestamp(found[0][2]["arrival_time"], UTC).date().isoformat()
    return collector.run("llmservingsim", date=day)


def _stamp(cell: str) -> float:
    """Read a time of either clock, which both count up from zero. Raises ValueError."""
    value = number(cell)
    if value < 0:
        raise ValueError("a time is not negative")
    return value


def _check_units(
    found: list[tuple[int, list[int], dict[str, float]]], collector: Collector
) -> None:
    """Report times that cannot be seconds, since 1970 or beside one another."""
    if not found:
        return
    line, _, first = found[0]
    if first["arrival_time"] > _LATEST:
        collector.wrong(
            line, f"`arrival_time` is {first['arrival_time']:g}: not seconds since 1970"
        )
        return
    spans = [
        max(stamps[key] for _, _, stamps in found) - min(stamps[key] for _, _, stamps in found)
        for key in ("arrival_time", "queued_ts")
    ]
    if min(spans) > 0 and max(spans) > _APART * min(spans):
        collector.wrong(
            line,
            f"`arrival_time` goes over {spans[0]:g} s and `queued_ts` over {spans[1]:g} s: "
            "one of them is in other units",
        )


def _request(prompt: int, output: int, stamps: dict[str, float], ahead: float) -> Request:
    arrived = stamps["arrival_time"] + ahead
    first, last = stamps["first_token_ts"], stamps["last_token_ts"]
    return Request(
        arrived=arrived,
        prompt=prompt,
        output=output,
        ttft=first - arrived,
        e2e=last - arrived,
        tpot=(last - first) / (output - 1) if output > 1 else NOT_KNOWN,
        queued_ttft=first - stamps["queued_ts"],
    )
