"""What the pictures of a study show, as plain data: nothing here knows how it is drawn."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tsdl.lower.questions import Asked
from tsdl.measures import statistic
from tsdl.studies.measures import mean, number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsdl.formula import Value
    from tsdl.lower.questions import Picture
    from tsdl.studies.answer import Answer
    from tsdl.studies.rows import Row

PERCENTS = range(101)  # at which a distribution is known


def percentiles(metric: Value) -> tuple[Value, ...]:
    """Return what tells how a metric is distributed: p0, p1 … p100 of it."""
    return tuple(statistic(f"p{percent}", metric) for percent in PERCENTS)


def picture_data(answer: Answer, picture: Picture) -> dict[str, Any]:
    """Return a picture as JSON values: numbers in base units, undefined ones null.

    Of each row it has the point, what the channels hold there, and either `values` with their
    `half_widths`, one of each thing shown, or (of a `cdf`) `percentiles`: means over seeds.
    """
    units = answer.study.columns
    return {
        "kind": picture.kind,
        "text": picture.text,
        "shown": [{"text": asked.text, "unit": asked.unit} for asked in picture.shown],
        "channels": {
            name: {"text": what.text, "unit": what.unit}
            if isinstance(what, Asked)
            else {"text": what, "unit": units[what]}
            for name, what in picture.channels.items()
        },
        "log": list(picture.log),
        "rows": [_row(answer, picture, row) for row in answer.rows],
    }


def _row(answer: Answer, picture: Picture, row: Row) -> dict[str, Any]:
    data: dict[str, Any] = {
        "point": row.cells,
        "channels": {
            name: known(answer.values.figure(row, what).mean)
            if isinstance(what, Asked)
            else row.cells[what]
            for name, what in picture.channels.items()
        },
    }
    if picture.kind == "cdf":
        data["percentiles"] = [list(_distribution(answer, row, asked)) for asked in picture.shown]
        return data
    figures = [answer.values.figure(row, asked) for asked in picture.shown]
    data["values"] = [known(figure.mean) for figure in figures]
    data["half_widths"] = [known(figure.half_width) for figure in figures]
    return data


def _distribution(answer: Answer, row: Row, asked: Asked) -> Iterator[float | None]:
    if row.status != "ok":
        return
    units = [(answer.values.formula(unit, asked), unit.found) for unit in row.units]
    asked_of = [(percentiles(metric), found.values) for metric, found in units if found]
    for percent in PERCENTS:
        yield known(mean([number(each[percent], values) for each, values in asked_of]))


def known(value: float) -> float | None:
    """Return a number for JSON, which knows no NaN."""
    return value if math.isfinite(value) else None
