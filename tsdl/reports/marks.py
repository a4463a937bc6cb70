"""Charts as Vega-Lite specifications: plain data in, plain data out.

Whatever comes from a file is a value or a title of a specification, never the name of a field or
an expression: those are our own.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

Spec = dict[str, Any]
Cell = str | float | bool | None

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
# Sources: M. Okabe and K. Ito, Color Universal Design (2008); its yellow is too pale for lines, and
# black comes last. Then wine, olive and indigo of P. Tol, Colour Schemes, SRON/EPS/TN/09-002.
COLORS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000",
    "#882255", "#999933", "#332288",
)  # fmt: skip
DASHES: tuple[list[int], ...] = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3])
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
FIELD = "viridis"  # a scale that is told apart in grey and by the colour-blind
DIGITS = 5
_UPRIGHT = 6  # characters of a label that stands beneath its place without slanting
_NAMED = {"x": 24, "y": 18}  # places of which all are named; of more, those there is room for
_STEEP = 12  # places whose slanting labels have room beside one another
_TITLE = 34  # characters of a line of the title of a vertical axis


class Axis(Struct, frozen=True):
    """What an axis says; `levels` are its places in order, where it has no scale.

    Between two numbers of a `whole` axis none is marked; a `log` one has what is above zero.
    """

    title: str
    levels: tuple[str, ...] | None = None
    domain: tuple[float, float] | None = None
    format: str | None = None
    whole: bool = False
    log: bool = False

    def holds(self, place: Cell) -> bool:
        """Tell whether it has a place for a number or a name."""
        return not self.log or (isinstance(place, (int, float)) and place > 0)


class Series(Struct, frozen=True):
    """What has one color: a name, and places; `widths` are half of confidence intervals.

    No interval is drawn beyond `limits`, between which all values are.
    """

    name: str
    x: Sequence[Cell]
    y: Sequence[float | None]
    widths: Sequence[float | None] = ()
    limits: tuple[float, float] = (-math.inf, math.inf)


class Legend(Struct, frozen=True):
    """All names that colors stand for in a chart, in order; so panels have the same colors.

    `looks` are numbers of the color of each name, and of its dash and sign, where names have two
    parts; else each name has a look of its own.
    """

    names: tuple[str, ...]
    title: str = ""
    looks: tuple[tuple[int, int], ...] = ()


class Table(Struct, frozen=True):
    """Texts in rows, under headers; in the first columns are words, then numbers."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1  # columns

    def shortened(self, most: int) -> Table:
        """Return the first rows, so many at most, and behind them how many are left out."""
        more = len(self.rows) - most
        if more <= 0:
            return self
        end = (f"… and {more:,} more", *("" for _ in self.headers[1:]))
        return replace(self, rows=(*self.rows[:most], end))


class Panel(Struct, frozen=True):
    """One of the pictures of a chart: what tells it from the others, and how it is drawn."""

    title: str
    spec: Spec


class Chart(Struct, frozen=True):
    """Panels beside one another, with what they show, and the same in numbers."""

    name: str  # after `--name`
    title: str
    about: str
    panels: tuple[Panel, ...]
    table: Table
    size: Mapping[str, int] = field(default_factory=lambda: {"width": 320, "height": 220})


def lines(
    series: Iterable[Series], x: Axis, y: Axis, legend: Legend, *, marked: bool = False
) -> Spec:
    """Return values joined in order of x, with a sign at each if `marked`."""
    many = list(series)
    shown = {
        "color": _scale(legend, _colors(legend), symbol="stroke"),
        "strokeDash": _scale(legend, _dashes(legend), symbol="stroke"),
    }
    layers: list[Spec] = [{"mark": {"type": "line", "strokeWidth": 1.8}, "encoding": shown}]
    if marked:
        layers += _points(legend, many, symbol="stroke")
    # Signs have no part in the legend: they would be drawn with dashes for an outline.
    return {**_layered(many, x, y, layers), "resolve": {"legend": {"shape": "independent"}}}


def points(series: Iterable[Series], x: Axis, y: Axis, legend: Legend) -> Spec:
    """Return values that are not joined."""
    many = list(series)
    return _layered(many, x, y, _points(legend, many))


def bars(series: Iterable[Series], x: Axis, y: Axis, legend: Legend) -> Spec:
    """Return values as bars from 0 on, those of one place beside one another."""
    many = list(series)
    inside = {"xOffset": {"field": "c", "type": "nominal", "scale": {"domain": [*legend.names]}}}
    if len(legend.names) == 1:
        inside = {}
    color = {"color": _scale(legend, _cycled(legend))}  # bars have no dash to be told apart by
    layers: list[Spec] = [{"mark": {"type": "bar"}, "encoding": {**color, **inside}}]
    if any(one.widths for one in many):
        layers.append({**_intervals(), "encoding": {**_ends(), **inside}})
    return _layered(many, x, y, layers)


def heat(cells: Sequence[Mapping[str, Cell]], x: Axis, y: Axis, color: Axis) -> Spec:
    """Return a field of cells `x`, `y`, `v`: with `x2`, from x to there, else at places."""
    spans = bool(cells) and "x2" in cells[0]
    across = _channel("x", x) if not spans else {**_channel("x", x), "scale": {"nice": False}}
    encoding: Spec = {
        "x": across,
        "y": _channel("y", y),
        "color": {
            **_channel("v", color),
            "scale": {
                "scheme": FIELD,
                "nice": True,
                **({"domain": list(color.domain)} if color.domain else {}),
            },
            "legend": {"title": color.title, "format": color.format or ".3~r"},
        },
        "tooltip": [
            _tip("x", x.title),
            _tip("y", y.title),
            _tip("v", color.title),
        ],
    }
    if spans:
        encoding["x2"] = {"field": "x2"}
    del encoding["color"]["axis"], encoding["color"]["title"]
    values = [{key: _rounded(value) for key, value in cell.items()} for cell in cells]
    return {
        "$schema": SCHEMA,
        "data": {"values": [v for v in values if v["v"] is not None]},
        "mark": {"type": "rect", "clip": True},
        "encoding": encoding,
    }


def configured(spec: Spec, description: str) -> Spec:
    """Return a specification with the looks of all charts, and a description to be read out."""
    return {
        **spec,
        "description": description,
        "config": {
            "background": "white",
            "font": "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif",
            "view": {"stroke": "#999"},
            "axis": {
                "labelColor": "#222", "titleColor": "#222", "gridColor": "#e4e4e4",
                "tickColor": "#999", "domainColor": "#999", "labelFontSize": 11,
                "titleFontSize": 12, "titleFontWeight": "normal", "titleLimit": 400,
            },
            "axisX": {"labelFlush": False},
            "axisY": {"titleLimit": 240},
            "legend": {
                "orient": "bottom", "direction": "horizontal", "labelColor": "#222",
                "titleColor": "#222", "labelFontSize": 11, "titleFontSize": 12,
                "titleFontWeight": "normal", "labelLimit": 260, "symbolSize": 90, "symbolLimit": 28,
                "symbolStrokeWidth": 2, "gradientLength": 180,
            },
            "title": {"color": "#222", "fontSize": 12, "limit": 400},
        },
    }  # fmt: skip


# -- parts -------------------------------------------------------------------------------------


def _layered(series: list[Series], x: Axis, y: Axis, layers: list[Spec]) -> Spec:
    encoding = {
        "x": _channel("x", x),
        "y": {**_channel("y", y), "title": textwrap.wrap(y.title, _TITLE)},
        "tooltip": [_tip("c", "series"), _tip("x", x.title), _tip("y", y.title)],
    }
    return {
        "$schema": SCHEMA,
        "data": {"values": list(_values(series))},
        "encoding": encoding,
        "layer": layers,
    }


def _values(series: Iterable[Series]) -> Iterator[dict[str, Cell]]:
    for one in series:
        for number, (x, y) in enumerate(zip(one.x, one.y, strict=True)):
            if x is None or _rounded(y) is None:
                continue
            assert y is not None
            value: dict[str, Cell] = {"c": one.name, "x": _rounded(x), "y": _rounded(y)}
            width = one.widths[number] if one.widths else None
            if width is not None:
                low, high = one.limits
                value |= {"l": _rounded(max(y - width, low)), "h": _rounded(min(y + width, high))}
            yield value


def _points(legend: Legend, series: list[Series], symbol: str = "") -> list[Spec]:
    color = {"color": _scale(legend, _colors(legend), symbol)}
    shape = _scale(legend, _signs(legend))
    if symbol:
        shape["legend"] = None
    layer: Spec = {
        "mark": {"type": "point", "filled": True, "size": 55},
        "encoding": {**color, "shape": shape},
    }
    if not any(one.widths for one in series):
        return [layer]
    return [{**_intervals(), "encoding": {**color, **_ends()}}, layer]


def _intervals() -> Spec:
    return {
        "mark": {"type": "rule", "strokeWidth": 1.2},
        "transform": [{"filter": "isValid(datum.l)"}],
    }


def _ends() -> Spec:
    return {"y": {"field": "l", "type": "quantitative"}, "y2": {"field": "h"}}


def _channel(name: str, axis: Axis) -> Spec:
    if axis.levels is not None:
        count = len(axis.levels)
        angle = 0
        if name == "x" and max(map(len, axis.levels), default=0) > _UPRIGHT:
            angle = -30 if count <= _STEEP else -90
        return {
            "field": name,
            "type": "ordinal",
            "title": axis.title,
            "sort": None,
            "scale": {"domain": list(axis.levels)},
            "axis": {
                "labelAngle": angle,
                "labelOverlap": count > _NAMED[name],
                "labelLimit": 140,
            },
        }
    channel: Spec = {"field": name, "type": "quantitative", "title": axis.title, "axis": {}}
    if axis.log:
        channel["scale"] = {"type": "log", "nice": name == "y"}
    if axis.domain:
        channel["scale"] = {
            "nice": True, **channel.get("scale", {}), "domain": list(axis.domain),
        }  # fmt: skip
    if axis.format:
        channel["axis"]["format"] = axis.format
    if axis.whole:
        channel["axis"]["tickMinStep"] = 1
    return channel


def _cycled(legend: Legend) -> list[str]:
    return [COLORS[i % len(COLORS)] for i in range(len(legend.names))]


def _colors(legend: Legend) -> list[str]:
    if not legend.looks:
        return _cycled(legend)
    return [COLORS[color % len(COLORS)] for color, _ in legend.looks]


def _dashes(legend: Legend) -> list[list[int]]:
    """Return a dash for each name: all differ in it or in color."""
    return [DASHES[style % len(DASHES)] for style in _styles(legend)]


def _signs(legend: Legend) -> list[str]:
    """Return a sign for each name: all differ in it or in color."""
    return [SHAPES[style % len(SHAPES)] for style in _styles(legend)]


def _styles(legend: Legend) -> list[int]:
    """Return the number of the dash and sign of each name; another one where a color is used up."""
    if not legend.looks:
        return [i // len(COLORS) + i % len(COLORS) for i in range(len(legend.names))]
    count = 1 + max(style for _, style in legend.looks)
    return [style + count * (color // len(COLORS)) for color, style in legend.looks]


def _scale(legend: Legend, values: Sequence[object], symbol: str = "") -> Spec:
    shown: Spec = {"title": legend.title or None, "columns": 2 if len(legend.names) > 2 else 0}  # noqa: PLR2004
    if symbol:
        shown |= {"symbolType": symbol, "symbolSize": 900, "symbolOpacity": 1, "rowPadding": -8}
    return {
        "field": "c",
        "type": "nominal",
        "scale": {"domain": list(legend.names), "range": list(values)},
        "legend": shown if len(legend.names) > 1 else None,
    }


def _tip(name: str, title: str) -> Spec:
    return {"field": name, "title": title or name}


def _rounded(value: Cell) -> Cell:
    """Return a number as it is drawn; None where there is none."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value
