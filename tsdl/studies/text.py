"""An answer for people: a table of points, and what was expected of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsdl.studies.figures import column_of_cells, column_of_means, point

if TYPE_CHECKING:
    from tsdl.studies.answer import Answer
    from tsdl.studies.rows import Row

_SHOWN = 5  # points that are named where an expectation fails


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
        if not expected.passed:
            named = [
                point(cells, study.columns, study.scales) for cells in expected.failed[:_SHOWN]
            ]
            more = len(expected.failed) - len(named)
            places = [*filter(None, named), *([f"and at {more} more"] if more > 0 else [])]
            lines += [f"        not at {'; '.join(places)}"] if places else []
            first = f"at {named[0]}, " if len(expected.failed) > 1 else ""
            lines += [f"        {first}{expected.told}"] if expected.told else []
    return "\n".join(line.rstrip() for line in lines)


def _table(answer: Answer) -> list[str]:
    study = answer.study
    columns: list[list[str]] = []
    for name, unit in study.columns.items():
        cells = [row.cells[name] for row in answer.rows]
        columns.append(column_of_cells(name, unit, cells, study.scales.get(name)))
    for asked in study.table:
        figures = [row.figures[asked.text] for row in answer.rows]
        pairs = [(f.mean, f.half_width) for f in figures]
        columns.append(column_of_means(asked.text, asked.unit, pairs, asked.scale))
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
