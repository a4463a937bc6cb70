"""Charts as files for papers: SVG and PNG, drawn by vl-convert (the extra `report`)."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from typing import TYPE_CHECKING

from tsdl import _cache
from tsdl.reports.marks import Chart, Spec, configured

if TYPE_CHECKING:
    from types import ModuleType

_COLUMNS = 3  # of panels
_SCALE = 2.0  # of pixels, so that a PNG is sharp on paper


class NoReports(Exception):
    """vl-convert or Jinja2 is not installed."""


def drawer() -> ModuleType:
    """Return vl-convert. Raises NoReports."""
    try:
        import vl_convert
    except ImportError:
        raise NoReports from None
    found: ModuleType = vl_convert
    return found


def library() -> str:
    """Return the scripts that draw charts in a browser. Raises NoReports.

    To put them together takes seconds, so they are kept.
    """
    converter = drawer()
    key = _cache.digest(metadata.version("vl-convert-python"))
    kept = _cache.load("charts", key)
    if kept is not None:
        return kept.decode("utf-8")
    text: str = converter.javascript_bundle()
    _cache.save("charts", key, text.encode("utf-8"))
    return text


def svg(charts: Sequence[Chart]) -> str:
    """Return charts beneath one another as SVG. Raises NoReports."""
    text: str = drawer().vegalite_to_svg(whole(charts), allowed_base_urls=[])
    return text


def png(charts: Sequence[Chart]) -> bytes:
    """Return charts beneath one another as PNG. Raises NoReports."""
    found: bytes = drawer().vegalite_to_png(whole(charts), scale=_SCALE, allowed_base_urls=[])
    return found


def whole(charts: Sequence[Chart]) -> Spec:
    """Return one specification of all panels of some charts."""
    rows = [_row(chart, titled=len(charts) > 1) for chart in charts]
    spec: Spec = rows[0] if len(rows) == 1 else {"vconcat": rows, **_APART}
    return configured(spec, "; ".join(described(chart) for chart in charts))


def described(chart: Chart) -> str:
    """Say what a chart shows, for those who do not see it."""
    return f"{chart.title}. {chart.about}"


# What is beside one another has scales and legends of its own.
_APART = {"resolve": {"scale": {"color": "independent", "strokeDash": "independent",
                                "shape": "independent", "xOffset": "independent"}}}  # fmt: skip


def _row(chart: Chart, *, titled: bool) -> Spec:
    panels = []
    for panel in chart.panels:
        parts = [chart.title] if titled and len(chart.panels) == 1 else []
        title = ": ".join([*parts, *([panel.title] if len(chart.panels) > 1 else [])])
        panels.append({**panel.spec, **chart.size, **({"title": title} if title else {})})
    if len(panels) == 1:
        return panels[0]
    row: Spec = {"concat": panels, "columns": _COLUMNS, **_APART}
    return {**row, "title": {"text": chart.title, "anchor": "start"}} if titled else row
