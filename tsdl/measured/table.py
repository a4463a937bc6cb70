"""A CSV file of measured requests, whose columns are named; also the requests.csv of a run."""

import math
from collections.abc import Mapping

from tsdl.diagnostics import Sink
from tsdl.diagnostics.words import several
from tsdl.measured.run import NOT_KNOWN, Collector, Request, Run
from tsdl.source import Source
from tsdl.tables import SECONDS
from tsdl.traces.lines import Cells, Lines, csv_lines, has_once
from tsdl.traces.rows import length, number

TIMES = ("arrived", "ttft", "e2e", "tpot")
NAMES = ("arrived", "prompt", "output", "ttft", "e2e", "tpot")
_ENDINGS = ", ".join(f"`_{unit}`" for unit in SECONDS)


def read(source: Source, columns: Mapping[str, str], sink: Sink) -> Run | None:
    """Read a run; None where it cannot be used.

    `columns` gives the headers of the columns of NAMES that have other names. A header that ends in
    `_s`, `_ms`, `_us` or `_ns` is in that unit, others are in seconds; so `ttft_ms` is `ttft`, too.
    What is missing of `ttft`, `e2e` and `tpot` follows from the others. Rows in which all three are
    empty are requests that failed.
    """
    lines = csv_lines(source, sink)
    if lines is None:
        return None
    headers = _headers(lines, columns, source, sink)
    if headers is None or not _complete(headers, columns, lines, source, sink):
        return None
    if not has_once(lines, headers.values(), source, sink):
        return None
    collector = Collector(source, sink)
    for line, cells in lines.rows:
        if collector.full:
            break
        if isinstance(cells, str):
            collector.wrong(line, cells)
        else:
            _add(collector, line, cells, headers)
    return collector.run("csv")


def _headers(
    lines: Lines, columns: Mapping[str, str], source: Source, sink: Sink
) -> dict[str, str] | None:
    """Return the header of each column that there is; None where it may be either of two."""
    found = {}
    for name in NAMES:
        usual = [name, *(f"{name}_{unit}" for unit in SECONDS)] if name in TIMES else [name]
        wanted = [columns[name]] if name in columns else usual
        there = [header for header in wanted if header in lines.names]
        if len(there) > 1:
            sink.error(
                "E0601",
                f"the file has {' and '.join(f'`{header}`' for header in there)} for `{name}`",
                source.line_span(lines.first),
                f"it has {', '.join(lines.names)}",
                help=(f"say which one is meant: `--column {name}={there[-1]}`",),
            )
            return None
        if there:
            found[name] = there[0]
    return found


def _complete(
    headers: Mapping[str, str],
    columns: Mapping[str, str],
    lines: Lines,
    source: Source,
    sink: Sink,
) -> bool:
    needed = [name for name in ("prompt", "output", *columns) if name not in headers]
    needed = list(dict.fromkeys(needed))
    missing = [f"`{columns.get(name, name)}`" for name in needed]
    if not missing and not {"ttft", "e2e", "tpot"} & set(headers):
        needed, missing = ["ttft"], ["`ttft`, `e2e` or `tpot`"]
    if missing:
        named = " ".join(f"--column {name}=HEADER" for name in needed)
        timed = any(name in TIMES for name in needed)
        what = "them" if len(needed) > 1 else "it"
        sink.error(
            "E0602",
            f"the file has no column {' and no column '.join(missing)}",
            source.line_span(lines.first),
            f"it has {', '.join(lines.names)}",
            help=(
                f"name {what}, if the file has {what} under another name: `{named}`",
                *([f"times are in seconds, or in what their header ends in: {_ENDINGS}"] * timed),
            ),
        )
        return False
    return True


def _add(collector: Collector, line: int, cells: Cells, headers: Mapping[str, str]) -> None:
    known = {name: str(cells.get(header, "")).strip() for name, header in headers.items()}
    if not any(known.get(name) for name in ("ttft", "e2e", "tpot")):
        lost = next((header for header in headers.values() if header not in cells), None)
        if lost is not None:
            count = several(len(cells), "cell")
            collector.wrong(line, f"the row has {count}, and none for `{lost}`")
            return
        collector.left_out += 1
        return
    name = "prompt"
    times = dict.fromkeys(TIMES, NOT_KNOWN)
    try:
        prompt = length(known[name])
        name = "output"
        output = length(known[name])
        for name in TIMES:
            if known.get(name) or (name == "arrived" and name in known):
                times[name] = number(known[name]) * _unit(headers[name])
    except ValueError as error:
        collector.wrong(line, f"`{headers[name]}` is {known[name]!r}: {error}")
        return
    gaps = output - 1
    ttft, e2e, tpot = times["ttft"], times["e2e"], times["tpot"]
    if math.isnan(tpot) and gaps:
        tpot = (e2e - ttft) / gaps
    if math.isnan(e2e):
        e2e = ttft + (tpot * gaps if gaps else 0.0)
    if math.isnan(ttft):
        ttft = e2e - (tpot * gaps if gaps else 0.0)
    tpot = tpot if gaps else NOT_KNOWN
    collector.add(line, Request(times["arrived"], prompt, output, ttft, e2e, tpot))


def _unit(header: str) -> float:
    return SECONDS.get(header.rpartition("_")[2], 1.0) if "_" in header else 1.0
