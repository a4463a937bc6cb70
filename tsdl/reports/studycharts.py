"""The charts of a study: its pictures; where it asks for none, each number of its table."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tsdl.reports.marks import (
    Axis,
    Cell,
    Chart,
    Legend,
    Panel,
    Series,
    Spec,
    Table,
    bars,
    heat,
    lines,
    points,
)
from tsdl.reports.results import StudyAnswer
from tsdl.studies.figures import (
    column_of_cells,
    figure,
    interval,
    is_number,
    measured,
    point,
    scale,
    titled,
)
from tsdl.studies.figures import limits as limits_of
from tsdl.units import COUNTS, Scale

_TOLD = (1, 10, 25, 50, 75, 90, 95, 99, 100)  # percentiles in tables
_MOST_PANELS = 24
_MOST = 5000  # numbers that a picture shows
_MOST_CURVES = 200  # distributions
_LEAST = 0.1  # of the least value of a series: how far down intervals go where logarithms are drawn
_ALONE = "all"  # the name of a series that has no other beside it

Data = dict[str, Any]


def study_charts(study: StudyAnswer, prefix: str) -> Iterator[Chart]:
    """Yield a chart for each picture, its name after a prefix.

    Raises ValueError for a picture that cannot be drawn.
    """
    pictures = study.data["pictures"] or list(_from_table(study.data))
    known = {"columns": study.data["columns"], "scales": study.scales}
    for number, picture in enumerate(pictures, 1):
        try:
            yield _chart({**picture, **known}, f"{prefix}picture-{number}")
        except (LookupError, TypeError, AttributeError, ArithmeticError) as error:
            raise ValueError(f"picture {number} cannot be drawn: {error}") from error


def _from_table(data: Data) -> Iterator[Data]:
    """Yield pictures of the table: over the first column of numbers, colored by the next one."""
    columns: Mapping[str, str] = data["columns"]
    numbers = [c for c in columns if all(is_number(row["point"][c]) for row in data["rows"])]
    if not columns:
        return
    x = (numbers or list(columns))[0]
    color = next((c for c in columns if c != x), None)
    channels = {"x": x, **({"color": color} if color else {})}
    for text, unit in data["table"].items():
        yield {
            "kind": "lines" if numbers else "bars",
            "text": f"{text} over {x}",
            "shown": [{"text": text, "unit": unit}],
            "channels": {k: {"text": c, "unit": columns[c]} for k, c in channels.items()},
            "rows": [
                {
                    "point": row["point"],
                    "channels": {k: row["point"][c] for k, c in channels.items()},
                    "values": [row["values"].get(text, {}).get("mean")],
                    "half_widths": [row["values"].get(text, {}).get("half_width")],
                }
                for row in data["rows"]
            ],
        }


def _chart(picture: Data, name: str) -> Chart:
    kind, every = picture["kind"], len(picture["rows"])
    step = math.ceil(every * len(picture["shown"]) / (_MOST_CURVES if kind == "cdf" else _MOST))
    table = _table(picture)
    picture = {**picture, "rows": picture["rows"][:: max(step, 1)], "rest": _unseen(picture)}
    rows = picture["rows"]
    draw = {"heat": _heat, "cdf": _cdf}.get(kind, _values)
    facets = list(dict.fromkeys(_facet(picture, row) for row in rows))
    panels = []
    for facet in facets[:_MOST_PANELS]:
        chosen = [row for row in rows if _facet(picture, row) == facet]
        panels.append(Panel(facet, draw(picture, chosen)))
    more = len(facets) - len(panels)
    about = [_ABOUT[kind] if kind == "cdf" or _replicated(picture) else "One run at each point."]
    about += [f"Of {every:,} points, one in {step} is drawn."] if step > 1 else []
    about += [f"{more} more panels are left out."] if more > 0 else []
    about += ["On a logarithmic scale is what is above zero."] if picture.get("log") else []
    return Chart(name, picture["text"], " ".join(about), tuple(panels), table)


_ABOUT = {
    "lines": "Means over seeds; where there are several, with their 95 % confidence intervals.",
    "points": "Means over seeds; where there are several, with their 95 % confidence intervals.",
    "bars": "Means over seeds; where there are several, with their 95 % confidence intervals.",
    "heat": "Means over seeds.",
    "cdf": "The share of requests whose value is no greater; percentiles are means over seeds.",
}


# -- which panel, which series -----------------------------------------------------------------


def _replicated(picture: Data) -> bool:
    return any(width is not None for row in picture["rows"] for width in row["half_widths"])


def _named(picture: Data, channel: str, row: Data) -> str:
    """Return what a channel holds in a row, with its unit: `4 req/s`."""
    what, cell = picture["channels"][channel], row["channels"][channel]
    return measured(cell, scale(what["unit"], [cell], picture["scales"].get(what["text"])))


def _unseen(picture: Data) -> list[str]:
    """Return the columns that no channel shows, but those in which all points are alike."""
    shown = {what["text"] for what in picture["channels"].values()}
    names = dict.fromkeys(name for row in picture["rows"] for name in row["point"])
    levels = {n: {str(row["point"][n]) for row in picture["rows"]} for n in names}
    return [name for name in names if name not in shown and len(levels[name]) > 1]


def _rest(picture: Data, row: Data) -> list[str]:
    """Return the cells of a point that no channel shows."""
    cells = {name: row["point"][name] for name in picture["rest"]}
    return [
        point({name: cell}, picture["columns"], picture["scales"]) for name, cell in cells.items()
    ]


def _facet(picture: Data, row: Data) -> str:
    """Return the panel of a row: a field has room for nothing else than its two axes."""
    told = _rest(picture, row) if picture["kind"] == "heat" else []
    if "facet" in row["channels"]:
        title = picture["channels"]["facet"]["text"]
        told.insert(0, f"{title} = {_named(picture, 'facet', row)}")
    return ", ".join(told)


def _parts(picture: Data, row: Data, shown: int) -> tuple[str, str]:
    """Return what tells the series of a row from others: its point, and one of the things shown."""
    told = [_named(picture, "color", row)] if "color" in row["channels"] else []
    if picture["kind"] == "cdf" or picture["channels"]["x"]["text"] in row["point"]:
        told += _rest(picture, row)  # over a value, points of all other axes are one series
    text = picture["shown"][shown]["text"] if len(picture["shown"]) > 1 else ""
    return ", ".join(told), text


def _series(picture: Data, row: Data, shown: int) -> str:
    """Return the series that a row belongs to, for one of the things shown."""
    return ", ".join(filter(None, _parts(picture, row, shown))) or _ALONE


def _legend(picture: Data) -> Legend:
    """Return the names of all series: of those in two parts, one has the color, one the dash."""
    every = range(len(picture["shown"]))
    parts = {
        _series(picture, row, i): _parts(picture, row, i) for row in picture["rows"] for i in every
    }
    title = picture["channels"].get("color", {}).get("text", "")
    points, texts = (list(dict.fromkeys(part)) for part in zip(*parts.values(), strict=True))
    looks = [(points.index(of), texts.index(text)) for of, text in parts.values()]
    both = len(points) > 1 and len(texts) > 1
    return Legend(tuple(parts), title, tuple(looks) if both else ())


# -- drawing -----------------------------------------------------------------------------------


def _values(picture: Data, rows: Sequence[Data]) -> Spec:
    kind = picture["kind"]
    factor, unit = _unit(picture)
    by_scale = kind != "bars" and _all_numbers(picture, "x")
    by, x = _scaled(picture, "x") if by_scale else (1.0, _places(picture, "x"))
    groups: dict[str, list[tuple[Cell, float | None, float | None]]] = {}
    limits: dict[str, tuple[float, float]] = {}
    for row, shown in itertools.product(rows, range(len(picture["shown"]))):
        cell = row["channels"]["x"]
        place = (None if cell is None else cell / by) if by_scale else _named(picture, "x", row)
        value, width = row["values"][shown], row["half_widths"][shown]
        name = _series(picture, row, shown)
        low, high = limits_of(picture["shown"][shown]["text"])
        limits[name] = (low / factor, high / factor)
        group = groups.setdefault(name, [])
        group.append((place, _over(value, factor), _over(width, factor)))
    drawn = [
        Series(
            name,
            [p[0] for p in group],
            [p[1] for p in group],
            [p[2] for p in group] if any(p[2] is not None for p in group) else (),
            limits[name],
        )
        for name, group in groups.items()
    ]
    title = titled(", ".join(one["text"] for one in picture["shown"]), unit)
    y = Axis(title, domain=_extent(picture, factor), log=_is_log(picture, "y"))
    legend = _legend(picture)
    drawn = [_within(series, x, y) for series in drawn]
    if kind == "lines":
        return lines(drawn, x, y, legend, marked=True)
    return {"points": points, "bars": bars}[kind](drawn, x, y, legend)


def _heat(picture: Data, rows: Sequence[Data]) -> Spec:
    factor, unit = _unit(picture)
    cells = [
        {
            "x": _named(picture, "x", row),
            "y": _named(picture, "y", row),
            "v": _over(row["values"][0], factor),
        }
        for row in rows
    ]
    values = [_over(row["values"][0], factor) for row in picture["rows"]]
    known = [v for v in values if v is not None]
    color = Axis(
        titled(picture["shown"][0]["text"], unit),
        domain=(min(known), max(known)) if known and min(known) < max(known) else None,
    )
    return heat(cells, _places(picture, "x"), _places(picture, "y"), color)


def _cdf(picture: Data, rows: Sequence[Data]) -> Spec:
    factor, unit = _unit(picture)
    drawn = []
    for row in rows:
        values = row["percentiles"][0]
        places = [_over(v, factor) for v in values]
        shares = [percent / 100 for percent in range(len(values))]
        drawn.append(Series(_series(picture, row, 0), places, shares))
    title = titled(picture["shown"][0]["text"], unit)
    x = Axis(title, domain=_extent(picture, factor), log=_is_log(picture, "x"))
    y = Axis("share of requests", domain=(0, 1), format="%")
    return lines([_within(one, x, y) for one in drawn], x, y, _legend(picture))


# -- numbers -----------------------------------------------------------------------------------


def _is_log(picture: Data, direction: str) -> bool:
    return direction in picture.get("log", ())


def _within(series: Series, x: Axis, y: Axis) -> Series:
    """Return what of a series axes have places for: on those of logarithms zero has none."""
    if not (x.log or y.log):
        return series
    kept = [
        place
        for place, (at, value) in enumerate(zip(series.x, series.y, strict=True))
        if at is not None and value is not None and x.holds(at) and y.holds(value)
    ]
    widths = [series.widths[place] for place in kept] if series.widths else ()
    low, high = series.limits
    return Series(
        series.name,
        [series.x[place] for place in kept],
        [series.y[place] for place in kept],
        widths,
        (max(low, _LEAST * min(v for v in series.y if v and v > 0)), high)
        if y.log and kept
        else series.limits,
    )


def _numbers(picture: Data) -> Iterator[float]:
    for row in picture["rows"]:
        parts = [row["values"]] if "values" in row else row["percentiles"]
        yield from (value for part in parts for value in part if value is not None)


def _extent(picture: Data, factor: float) -> tuple[float, float] | None:
    """Return from where to where all panels go, so that they can be compared; zero is in it."""
    if "facet" not in picture["channels"]:
        return None
    ends = list(_numbers(picture))
    for row in picture["rows"]:
        known = row.get("values", ()), row.get("half_widths", ())  # a distribution has none
        for what, value, width in zip(picture["shown"], *known, strict=False):
            if value is not None and width is not None:
                low, high = limits_of(what["text"])
                ends += [max(value - width, low), min(value + width, high)]
    across = "x" if picture["kind"] == "cdf" else "y"
    ends = [end for end in ends if end > 0] if _is_log(picture, across) else [0.0, *ends]
    low, high = min(ends, default=0.0) / factor, max(ends, default=0.0) / factor
    return (low, high) if low < high else None


def _unit(picture: Data) -> Scale:
    """Return what to divide by, and the unit of all that is shown; "" where they differ."""
    units = {(one["unit"], picture["scales"].get(one["text"])) for one in picture["shown"]}
    if len({unit for unit, _ in units}) > 1:
        return Scale(1.0, "base units")
    unit, written = units.pop()
    return scale(unit, _numbers(picture), None if units else written)


def _all_numbers(picture: Data, channel: str) -> bool:
    cells = [row["channels"][channel] for row in picture["rows"]]
    return all(cell is None or is_number(cell) for cell in cells)


def _scaled(picture: Data, channel: str) -> tuple[float, Axis]:
    what = picture["channels"][channel]
    cells = [row["channels"][channel] for row in picture["rows"]]
    factor, unit = scale(what["unit"], cells, picture["scales"].get(what["text"]))
    counts = not unit or unit in COUNTS
    whole = counts and all(isinstance(cell, int) for cell in cells if cell is not None)
    log = _is_log(picture, channel)
    return factor, Axis(titled(what["text"], unit), whole=whole and not log, log=log)


def _places(picture: Data, channel: str) -> Axis:
    """Return an axis without a scale: places in the order of points."""
    names = dict.fromkeys(_named(picture, channel, row) for row in picture["rows"])
    return Axis(picture["channels"][channel]["text"], tuple(names))


def _over(value: float | None, factor: float) -> float | None:
    return None if value is None else value / factor


def _table(picture: Data) -> Table:
    """Return the numbers of a picture: a row for each point."""
    rows = picture["rows"]
    by, unit = _unit(picture)
    first = list(rows[0]["point"]) if rows else []
    columns = [
        column_of_cells(
            name,
            picture["columns"].get(name, ""),
            [row["point"].get(name) for row in rows],
            picture["scales"].get(name),
        )
        for name in first
    ]
    columns += [
        [what["text"], *(_named(picture, channel, row) for row in rows)]
        for channel, what in picture["channels"].items()
        if what["text"] not in first
    ]
    if picture["kind"] == "cdf":
        known = [row["percentiles"][0] or [None] * 101 for row in rows]
        columns += [
            [titled(f"p{percent}", unit), *(figure(values[percent], by) for values in known)]
            for percent in _TOLD
        ]
    else:
        columns += [
            [
                titled(one["text"], unit),
                *(
                    interval(one["text"], row["values"][i], row["half_widths"][i], by)
                    for row in rows
                ),
            ]
            for i, one in enumerate(picture["shown"])
        ]
    headers, *lines = zip(*columns, strict=True)
    return Table(headers, tuple(lines))
