"""The requests.jsonl that LLMServingSim's benchmark of vLLM writes: stamps of two clocks."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from msgspec import Struct
from msgspec.structs import replace

from tsdl.diagnostics import Diagnostic, Sink
from tsdl.measured.doubts import doubt
from tsdl.measured.run import NOT_KNOWN, Collector, Request, Run
from tsdl.source import Source
from tsdl.traces.lines import Cells, json_lines, shown
from tsdl.traces.rows import length, number

_LENGTHS = ("input_toks", "output_toks")
_STAMPS = ("arrival_time", "queued_ts", "first_token_ts", "last_token_ts")
_LATEST = 1e11  # seconds since 1970: the year 5138; today in milliseconds is beyond it
_NAME = "request_id"
_FEW, _NEAR, _TIMES = 4, 0.1, 10  # requests, seconds, and times of what others differ by
_APART = 30.0  # times that one clock may go over what the other does: more is another unit


class _Found(Struct, frozen=True):
    """A request as its line (from 1) has it; its name is "" where it has none."""

    line: int
    name: str
    prompt: int
    output: int
    stamps: dict[str, float]

    @property
    def behind(self) -> float:
        """Return by how much the engine's clock is ahead of the front end's, and it was late."""
        return self.stamps["queued_ts"] - self.stamps["arrival_time"]


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
    found: list[_Found] = []
    for line, cells in lines.rows:
        if collector.full:
            break
        try:
            found.append(_read(line, cells))
        except ValueError as error:
            collector.wrong(line, str(error))
    _check_units(found, collector)
    ahead = min((row.behind for row in found), default=0.0)
    for row in found:
        collector.add(row.line, _request(row, ahead))
    day = ""
    if found and not collector.mistakes:
        day = datetime.fromtimestamp(found[0].stamps["arrival_time"], UTC).date().isoformat()
    run = collector.run("llmservingsim", date=day)
    doubts = (*_twice(found, source), *_alone(found, source))
    return None if run is None else replace(run, doubts=doubts)


def _read(line: int, cells: Cells | str) -> _Found:
    """Return the request of a line. Raises ValueError."""
    if isinstance(cells, str):
        raise ValueError(cells)  # noqa: TRY004 (the caller tells all alike)
    lacking = next((key for key in (*_LENGTHS, *_STAMPS) if key not in cells), "")
    if lacking:
        raise ValueError(f"the request has no `{lacking}`")
    name = ""
    try:
        prompt, output = (length(str(cells[name := key])) for key in _LENGTHS)
        stamps = {key: _stamp(str(cells[name := key])) for key in _STAMPS}
    except ValueError as error:
        raise ValueError(f"`{name}` is {shown(cells[name])}: {error}") from None
    if stamps["queued_ts"] > stamps["first_token_ts"]:
        raise ValueError("`queued_ts` is after `first_token_ts`")
    return _Found(line, shown(cells[_NAME]) if _NAME in cells else "", prompt, output, stamps)


def _twice(found: list[_Found], source: Source) -> Iterator[Diagnostic]:
    """Yield the warning of requests that have the name of one before, if there are any."""
    known: dict[str, int] = {}
    again = [row for row in found if row.name and known.setdefault(row.name, row.line) != row.line]
    if again:
        first, more = again[0], len(again) - 1
        title = f"the `{_NAME}` {first.name} is that of line {known[first.name]}, too"
        title += f", and {more:,} more are there twice" if more else ""
        help_ = "each counts as a request of its own: is the same run there twice, or another one?"
        yield doubt(source, title, help_, source.line_span(first.line))


def _alone(found: list[_Found], source: Source) -> Iterator[Diagnostic]:
    """Yield the warning of a single request by which both clocks are brought together."""
    if len(found) < _FEW:
        return
    by = sorted(found, key=lambda row: row.behind)
    least, next_, median = (by[i].behind for i in (0, 1, len(by) // 2))
    gap = next_ - least
    if gap > max(_NEAR, _TIMES * (median - next_)):
        title = f"`queued_ts` is {gap:,.4g} s earlier here, against the arrival, than in all others"
        help_ = (
            "it brings both clocks together, and all TTFT are longer by that: mend it, or leave "
            "the request out"
        )
        yield doubt(source, title, help_, source.line_span(by[0].line))


def _stamp(cell: str) -> float:
    """Read a time of either clock, which both count up from zero. Raises ValueError."""
    value = number(cell)
    if value < 0:
        raise ValueError("a time is not negative")
    return value


def _check_units(found: list[_Found], collector: Collector) -> None:
    """Report times that cannot be seconds, since 1970 or beside one another."""
    if not found:
        return
    line, first = found[0].line, found[0].stamps
    if first["arrival_time"] > _LATEST:
        collector.wrong(
            line, f"`arrival_time` is {first['arrival_time']:g}: not seconds since 1970"
        )
        return
    spans = [
        max(row.stamps[key] for row in found) - min(row.stamps[key] for row in found)
        for key in ("arrival_time", "queued_ts")
    ]
    if min(spans) > 0 and max(spans) > _APART * min(spans):
        collector.wrong(
            line,
            f"`arrival_time` goes over {spans[0]:g} s and `queued_ts` over {spans[1]:g} s: "
            "one of them is in other units",
        )


def _request(row: _Found, ahead: float) -> Request:
    stamps, output = row.stamps, row.output
    arrived = stamps["arrival_time"] + ahead
    first, last = stamps["first_token_ts"], stamps["last_token_ts"]
    return Request(
        arrived=arrived,
        prompt=row.prompt,
        output=output,
        ttft=first - arrived,
        e2e=last - arrived,
        tpot=(last - first) / (output - 1) if output > 1 else NOT_KNOWN,
        queued_ttft=first - stamps["queued_ts"],
    )
