"""An answer for people: a table of points, and what was expected of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tsdl.formula import Atom
    from tsdl.studies.answer import Answer, Row

_DIGITS = 4
_MANY = 10_000  # from here on, no decimals
_SHOWN = 5  # points that are named where an expectation fails
# Units that a column is shown in: from which size of its largest number on, in base units.
_SCALES = {
    "s": ((0.0, 1e-6, "us"), (1e-3, 1e-3, "ms"), (1.0, 1.0, "s"), (7200.0, 3600.0, "h")),
    "bytes": ((0.0, 1.0, "bytes"), (2**20, 2**20, "MiB"), (2**30, 2**30, "GiB"),
              (2**40, 2**40, "TiB")),
}  # fmt: skip


def describe(answer: Answer) -> str:
    """Return the table and the expectations as they stand on a terminal."""
    study = answer.study
    seeds = f", {study.replicates} seeds" if study.replicates > 1 else ""
    count = len(answer.points.all)
    points = f"{count:,} point{'s' if count > 1 else ''}"
    lines = [f"{study.name}: {study.scenario.name} at {points}{seeds}", ""]
    lines += _table(answer)
    if study.replicates > 1:
        lines += ["", "± is half of the 95 % confidence interval of the mean over seeds"]
    lines += ["", *(f"note: {remark}" for remark in answer.remarks)] if answer.remarks else []
    if answer.expectations:
        lines.append("")
    for expected in answer.expectations:
        lines.append(f"  {'pass' if expected.passed else 'FAIL'}  expect {expected.text}")
        if not expected.passed and study.columns:
            named = [named_point(cells) for cells in expected.failed[:_SHOWN]]
            more = len(expected.failed) - len(named)
            named += [f"and at {more} more"] if more > 0 else []
            lines += [f"        not at {'; '.join(named)}"] if named else []
    return "\n".join(line.rstrip() for line in lines)


def named_point(cells: dict[str, Atom]) -> str:
    """Return a point by its columns: `qps = 4, scheduler = static`."""
    return ", ".join(f"{name} = {figure(cell)}" for name, cell in cells.items())


def _table(answer: Answer) -> list[str]:
    study = answer.study
    columns: list[list[str]] = []
    for name, unit in study.columns.items():
        cells: list[Atom] = [row.cells[name] for row in answer.rows]
        numbers = [c for c in cells if isinstance(c, (int, float)) and not isinstance(c, bool)]
        factor, shown = scale(unit, [float(n) for n in numbers])
        columns.append(
            [_header(name, shown), *(figure(c / factor if c in numbers else c) for c in cells)]
        )
    for asked in study.table:
        figures = [row.figures[asked.text] for row in answer.rows]
        factor, shown = scale(asked.unit, [f.mean for f in figures])
        cells_ = [_with_width(f.mean / factor, f.half_width / factor) for f in figures]
        columns.append([_header(asked.text, shown), *cells_])
    if study.pareto:
        columns.append(["front", *("*" if row.efficient else "" for row in answer.rows)])
    notes = ["; ".join(_told(row)) for row in answer.rows]
    widths = [max(map(len, column)) for column in columns]
    lines = []
    for index, cells_of_line in enumerate(zip(*columns, strict=True)):
        line = "  ".join(
            cell.rjust(width) for cell, width in zip(cells_of_line, widths, strict=True)
        )
        note = notes[index - 1] if index else ""
        lines.append(f"  {line}  {note}" if note else f"  {line}")
    return lines


def _told(row: Row) -> list[str]:
    return [f"{row.status}: {row.reason}", *row.notes] if row.status != "ok" else row.notes


def _header(name: str, unit: str) -> str:
    return f"{name} ({unit})" if unit else name


def _with_width(value: float, half_width: float) -> str:
    if math.isnan(half_width):
        return figure(value)
    return f"{figure(value)} ± {float(f'{half_width:.2g}'):,g}"


def scale(unit: str, values: Iterable[float]) -> tuple[float, str]:
    """Return what to divide a column by, and the unit that it is in then."""
    known = [abs(v) for v in values if math.isfinite(v)]
    largest = max(known, default=1.0)
    factor, shown = 1.0, unit
    for least, by, name in _SCALES.get(unit, ()):
        if largest >= least:
            factor, shown = by, name
    return factor, shown


def figure(value: Atom) -> str:
    """Show a cell: a number with four digits, anything else as it is."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        if math.isnan(value):
            return "–"
        if abs(value) >= _MANY:
            return f"{value:,.0f}"
        return f"{value:.{_DIGITS}g}"
    return str(value)
