"""An answer as files: study.json with all of it, study.csv with its rows, the first one's plan."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import TYPE_CHECKING

from tsdl.diagnostics.export import brief
from tsdl.runtime.tables import Table, column_of
from tsdl.wholefiles import made, put_together, text_put

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tsdl.studies.answer import Answer


def answer_json(answer: Answer, *, warned: bool = False) -> str:
    """Return the answer as JSON, and what is `warned` of where that is wanted."""
    more = {"warnings": brief(answer.warnings)} if warned else {}
    return json.dumps({**answer.data, **more}, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def answer_csv(answer: Answer) -> str:
    """Return a line for each row: columns, status, then each figure with its half width.

    Numbers are in base units with all their digits; undefined ones are nothing.
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(csv_rows(answer))
    return text.getvalue()


def csv_rows(answer: Answer) -> Iterator[list[object]]:
    """Yield the header, then a list of cells for each row."""
    study = answer.study
    told = [asked.text for asked in study.table]
    wide = study.replicates > 1
    header: list[object] = [*study.columns, "status"]
    header += [name for text in told for name in ((text, f"{text} ±") if wide else (text,))]
    header += ["pareto"] if study.pareto else []
    yield header
    for row in answer.rows:
        cells: list[object] = [*row.cells.values(), row.status]
        for name in told:
            figure = row.figures[name]
            cells += [_cell(figure.mean), *([_cell(figure.half_width)] if wide else [])]
        if study.pareto:
            cells.append("yes" if row.efficient else "no")
        yield cells


def table_of(answer: Answer) -> Table:
    """Return the same as columns: numbers, NaN where there is none, truth values, or texts."""
    study = answer.study
    header, *rows = csv_rows(answer)
    units = dict(study.columns)
    for asked in study.table:
        units |= {asked.text: asked.unit, f"{asked.text} ±": asked.unit}
    cells = {str(name): [row[i] for row in rows] for i, name in enumerate(header)}
    if study.pareto:
        cells["pareto"] = [row.efficient is True for row in answer.rows]
    columns = {name: column_of(each) for name, each in cells.items()}
    about = {"study": study.name, "scenario": study.scenario.name}
    return Table(columns, units, about)


def _cell(value: float) -> float | None:
    return value if math.isfinite(value) else None


def write(answer: Answer, folder: Path) -> None:
    """Write all files into a folder, which is made: all of them or none. Raises OSError."""
    texts = {"study.csv": answer_csv(answer)}
    plan = answer.first_plan
    gone = [] if plan else [folder / "plan.json"]  # one may be left of an earlier study
    if plan:
        texts["plan.json"] = plan.to_json() + "\n"
    texts["study.json"] = answer_json(answer)
    with made(folder):
        put_together([(folder / name, text_put(text)) for name, text in texts.items()], gone)
