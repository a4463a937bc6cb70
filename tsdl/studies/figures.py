"""Numbers for people: in which unit, with how many digits, with a confidence interval."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, TypeGuard

from tsdl.schema import SHARES
from tsdl.units import Scale

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tsdl.formula import Atom

_DIGITS = 4
_MANY = 10_000  # from here on, no decimals
_HUGE = 1e15  # from here on, powers of ten
_NOTHING = "–"
# In which unit numbers are shown that nobody gave one: from which size of the largest on, in base
# units; each is a unit of the language, and its size there.
SCALES: dict[str, tuple[tuple[float, Scale], ...]] = {
    "s": (
        (0.0, Scale(1e-6, "us")),
        (1e-3, Scale(1e-3, "ms")),
        (1.0, Scale(1.0, "s")),
        (7200.0, Scale(3600.0, "h")),
    ),
    "bytes": (
        (0.0, Scale(1.0, "bytes")),
        (2**20, Scale(2**20, "MiB")),
        (2**30, Scale(2**30, "GiB")),
        (2**40, Scale(2**40, "TiB")),
    ),
    "bytes/s": ((0.0, Scale(1e6, "MB/s")), (1e9, Scale(1e9, "GB/s")), (1e12, Scale(1e12, "TB/s"))),
    "FLOPS": ((0.0, Scale(1e9, "GFLOPS")), (1e12, Scale(1e12, "TFLOPS"))),
    "USD/s": ((0.0, Scale(1 / 3600, "USD/h")),),
    "s/token": ((0.0, Scale(1e-3, "ms/token")), (1.0, Scale(1.0, "s/token"))),
}


def scale(unit: str, cells: Iterable[Atom | None], written: Scale | None = None) -> Scale:
    """Return in which unit cells are shown whose numbers are in a base unit.

    That is the one that was written, if one was; else one that suits the largest number.
    """
    if written is not None:
        return written
    known = [abs(float(c)) for c in cells if is_number(c) and math.isfinite(c)]
    largest = max(known, default=1.0)
    shown = Scale(1.0, unit)
    for least, other in SCALES.get(unit, ()):
        if largest >= least:
            shown = other
    return shown


def is_number(cell: object) -> TypeGuard[int | float]:
    """Tell whether a cell can be divided by the size of a unit."""
    return isinstance(cell, (int, float)) and not isinstance(cell, bool)


def figure(value: Atom | None, by: float = 1.0) -> str:
    """Show a cell: a number, in a unit of that size, with four digits; anything else as it is."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or value != value:  # noqa: PLR0124 (NaN)
        return _NOTHING
    if isinstance(value, str):
        return value
    value = value / by if by != 1.0 else value
    if _MANY <= abs(value) < _HUGE:
        return f"{value:,.0f}"
    return f"{value:.{_DIGITS}g}"


def limits(text: str) -> tuple[float, float]:
    """Return between what all values of what is told of a point are, in base units."""
    named = re.fullmatch(r"(\w+)(\(where = [^()]*\))?(\[.*\])?", text, re.DOTALL)
    return (0.0, 1.0) if named and named[1] in SHARES else (-math.inf, math.inf)


def interval(text: str, mean: float | None, half_width: float | None, by: float) -> str:
    """Show a mean with half of its confidence interval, if there is one; in a unit of a size.

    Of an interval that goes beyond all values of what is told, its ends are shown.
    """
    if mean is None or half_width is None or math.isnan(half_width):
        return figure(mean, by)
    low, high = limits(text)
    if low <= mean - half_width and mean + half_width <= high:
        return f"{figure(mean, by)} ± {float(f'{half_width / by:.2g}'):,g}"
    ends = max(mean - half_width, low), min(mean + half_width, high)
    return f"{figure(mean, by)} ({' to '.join(figure(end, by) for end in ends)})"


def column_of_cells(
    text: str, unit: str, cells: Sequence[Atom | None], written: Scale | None
) -> list[str]:
    """Return the title of a column, and its cells."""
    by, shown = scale(unit, cells, written)
    return [titled(text, shown), *(figure(cell, by) for cell in cells)]


def column_of_means(
    text: str,
    unit: str,
    pairs: Sequence[tuple[float | None, float | None]],
    written: Scale | None,
) -> list[str]:
    """Return the title of a column, and its means with half of their confidence intervals."""
    by, shown = scale(unit, [mean for mean, _ in pairs], written)
    return [titled(text, shown), *(interval(text, mean, width, by) for mean, width in pairs)]


def measured(value: Atom | None, shown: Scale) -> str:
    """Show a cell with its unit: `200 GB/s`."""
    told = figure(value, shown.size)
    return f"{told} {shown.unit}".rstrip() if is_number(value) and told != _NOTHING else told


def titled(text: str, unit: str) -> str:
    """Return the title of a column or an axis, with the unit that its numbers are in."""
    return f"{text} ({unit})" if unit else text


def point(cells: Mapping[str, Atom], units: Mapping[str, str], scales: Mapping[str, Scale]) -> str:
    """Return a point by its columns: `qps = 4 req/s, scheduler = static`."""
    told = (
        f"{name} = {measured(cell, scale(units.get(name, ''), [cell], scales.get(name)))}"
        for name, cell in cells.items()
    )
    return ", ".join(told)
