"""Measured tables: CSV files of times by what was measured, to seconds by point."""

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from math import isclose
from statistics import median

from msgspec import Struct

from tsdl.diagnostics import Diagnostic, Severity, Sink
from tsdl.diagnostics.suggest import nearest
from tsdl.source import Source, Span

MOST_MISTAKES = 10
MOST_POINTS = 200_000  # of a table: a plan has them all
_SHOWN = 8


# Units that columns of times are named after, in seconds.
SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_NAMED = re.compile(rf"(?:^|[_ (\[])({'|'.join(SECONDS)})[)\]]?$")


def other_unit(column: str, unit: float) -> str:
    """Return the unit that a column is named after, if it is read in another: `time_ms`, or `ms`.

    That one is in seconds. "" of columns that are read in their unit, or are named after none.
    """
    found = _NAMED.search(column)
    return "" if found is None or isclose(unit, SECONDS[found[1]]) else found[1]


class Query(Struct, frozen=True):
    """What is wanted of a file: rows with these texts, the axes, the column of times, its unit.

    `known` are axes of which one point is wanted, `least` has the least point of some axes; `unit`
    is in seconds.
    """

    rows: tuple[tuple[str, str], ...]
    axes: tuple[str, ...]
    known: tuple[tuple[str, float], ...]
    least: tuple[tuple[str, float], ...]
    value: str
    unit: float

    def __str__(self) -> str:
        """Say which rows are wanted, for people."""
        texts = [f"{column} = {text}" for column, text in self.rows]
        texts += [f"{column} = {number:g}" for column, number in self.known]
        return ", ".join([*texts, *(f"{column} >= {number:g}" for column, number in self.least)])


class _Parsed(Struct, frozen=True):
    columns: dict[str, int]
    rows: list[tuple[int, list[str]]]  # with the number of the line
    twice: frozenset[str] = frozenset()  # columns of which there are several
    cells: int = 0  # of the header


@lru_cache(maxsize=8)
def _parsed(text: str) -> _Parsed:
    """Return the rows of a file, which many operators ask for. Raises csv.Error."""
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff")))
    rows = [(reader.line_num, row) for row in reader if any(row)]
    header = [cell.strip() for cell in rows[0][1]] if rows else []
    twice = frozenset(name for name, number in Counter(header).items() if number > 1)
    columns = {name: index for index, name in enumerate(header)}
    return _Parsed(columns, rows[1:], twice, len(header))


def read_table(source: Source, query: Query, sink: Sink) -> dict[tuple[float, ...], float] | None:
    """Return seconds by point, a number for each axis; None where there are none, with reasons.

    Cells without a time (empty, NaN, or 0, which no kernel takes) are holes. Of a point that was
    measured more than once it is the median. What was found is told in a note.
    """
    try:
        parsed = _parsed(source.text)
    except csv.Error as error:
        sink.error("E0601", f"this is not a CSV file: {error}", Span(source, 0, 0))
        return None
    if not _has_columns(source, parsed, query, sink):
        return None
    chosen = _chosen(source, parsed, query, sink)
    if chosen is None:
        return None
    found = _times(source, parsed, chosen, query, sink)
    if found is not None and len(found) > MOST_POINTS:
        title = f"{len(found):,} points are more than a plan can hold"
        helps = (f"at most {MOST_POINTS:,} are allowed: thin the table out",)
        sink.error("E0608", title, Span(source, 0, 0), help=helps)
        return None
    return found


def _has_columns(source: Source, parsed: _Parsed, query: Query, sink: Sink) -> bool:
    """Tell whether a file has the columns that are asked for; report those that it lacks."""
    named = (
        *(c for c, _ in query.rows),
        *query.axes,
        *(c for c, _ in (*query.known, *query.least)),
        query.value,
    )
    twice = next((name for name in named if name in parsed.twice), None)
    if twice is not None:
        sink.error("E0601", f"the file has several columns `{twice}`", source.line_span(1))
        return False
    missing = [name for name in dict.fromkeys(named) if name not in parsed.columns]
    if not missing:
        return True
    known = list(parsed.columns)
    shown = ", ".join(known[:_SHOWN]) + (", …" if len(known) > _SHOWN else "")
    sink.error(
        "E0602",
        f"the file has no column {' and no column '.join(f'`{m}`' for m in missing)}",
        source.line_span(1),
        f"it has {shown}" if known else "it is empty",
        help=_likely(missing, query, parsed.columns),
    )
    return False


def _likely(missing: list[str], query: Query, columns: Iterable[str]) -> tuple[str, ...]:
    """Return which column was likely meant; of times also in which unit it is."""
    times = next((name for name in columns if _NAMED.search(name)), None)
    for name in missing:
        near = nearest(name, columns) or (times if name == query.value else None)
        if near is None:
            continue
        unit = other_unit(near, query.unit) if name == query.value else ""
        if unit:
            return (f'write `value = "{near}"; unit = 1 {unit}`',)
        return (f"did you mean `{near}`?",)
    return ()


def _chosen(
    source: Source, parsed: _Parsed, query: Query, sink: Sink
) -> list[tuple[int, list[str]]] | None:
    """Return the rows that have the texts and the known points that are asked for."""
    rows = parsed.rows
    for column, wanted in query.rows:
        index = parsed.columns[column]
        left = [row for row in rows if index < len(row[1]) and row[1][index].strip() == wanted]
        if not left:
            there = Counter(r[index].strip() for _, r in rows if index < len(r))
            _no_rows(source, f"no row has `{column}` = {wanted}", wanted, list(there), sink)
            return None
        rows = left
    for column, point in query.known:
        index = parsed.columns[column]
        left = [row for row in rows if index < len(row[1]) and _number(row[1][index]) == point]
        if not left:
            cells = (_number(row[index]) for _, row in rows if index < len(row))
            points = sorted({x for x in cells if x is not None and math.isfinite(x)})
            told = [f"{x:g}" for x in points]
            _no_rows(source, f"no row has `{column}` = {point:g}", "", told, sink)
            return None
        rows = left
    return rows


def _no_rows(source: Source, title: str, wanted: str, there: list[str], sink: Sink) -> None:
    near = nearest(wanted, there)
    shown = ", ".join(there[:_SHOWN]) + (", …" if len(there) > _SHOWN else "")
    helps = (f"did you mean `{near}`?",) if near else ()
    label = f"there are {shown}" if there else "there are none"
    sink.error("E0608", title, source.line_span(1), label, help=helps)


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _times(
    source: Source, parsed: _Parsed, rows: list[tuple[int, list[str]]], query: Query, sink: Sink
) -> dict[tuple[float, ...], float] | None:
    """Return the seconds of rows by their points; report rows that are wrong, tell of others."""
    at = [parsed.columns[axis] for axis in query.axes]
    place = parsed.columns[query.value]
    width = max([*at, place]) + 1
    found: dict[tuple[float, ...], list[float]] = {}
    mistakes = holes = 0
    low = dict(query.least)
    least = [low.get(axis, 0) for axis in query.axes]
    for line, row in rows:
        cells = row + [""] * (width - len(row))
        point = tuple(_number(cells[index]) for index in at)
        text = cells[place].strip()
        time = math.nan if text == "" else _number(text)
        time = None if time is None else time * query.unit
        bad = [
            a for a, x in zip(query.axes, point, strict=True) if x is None or not 0 <= x < math.inf
        ]
        beyond = any(cell.strip() for cell in row[parsed.cells :])
        if beyond or bad or time is None or time < 0 or time == math.inf:
            mistakes += 1
            if mistakes <= MOST_MISTAKES:
                column = bad[0] if bad else query.value
                cell = cells[parsed.columns[column]]
                what = "a point" if bad else "a time"
                title = f"`{column}` is {cell!r}: {what} is finite, and at least 0"
                if beyond:  # a row that has slipped looks just so
                    title = f"the row has {len(row)} cells, the header {parsed.cells}"
                helps = ("mend the file or leave the row out",)
                sink.error("E0603", title, source.line_span(line), "in this row", help=helps)
        elif any(x < y for x, y in zip(point, least, strict=True) if x is not None):
            continue
        elif time > 0:
            whole = tuple(int(x) if x.is_integer() else x for x in point if x is not None)
            found.setdefault(whole, []).append(time)
        else:
            holes += 1
    if mistakes:
        return None
    if not found:
        title = f"no row has a time in `{query.value}`"
        sink.error("E0608", title, source.line_span(1), str(query))
        return None
    _tell(source, query, found, holes, sink)
    return {point: median(times) for point, times in found.items()}


def _tell(
    source: Source,
    query: Query,
    found: dict[tuple[float, ...], list[float]],
    holes: int,
    sink: Sink,
) -> None:
    """Tell what was found, where it is not a whole grid with a time at each point."""
    told = []
    if holes:
        told.append(f"rows without a time in `{query.value}`, passed over: {holes:,}")
    again = sum(len(times) > 1 for times in found.values())
    if again:
        told.append(f"points measured more than once, which have their median: {again:,}")
    full = math.prod(len(set(points)) for points in zip(*found, strict=True)) if query.axes else 1
    if len(found) < full:
        told.append(f"points of the {full:,} of its grid that were measured: {len(found):,}")
    if told:
        which = f"{source.name}, {query}" if str(query) else source.name
        title = f"{which}: {'; '.join(told)}"
        sink.add(Diagnostic("N0607", Severity.NOTE, title, source.line_span(1)))
