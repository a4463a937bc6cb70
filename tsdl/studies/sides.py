"""What a condition comes to where it fails: both sides of the first comparison that does not hold.

It looks at means over seeds, as the condition does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsdl.formula import compute
from tsdl.measures import of_requests
from tsdl.studies.figures import measured, scale
from tsdl.studies.measures import mean, number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tsdl.formula import Value
    from tsdl.lower.questions import Asked, Comparison


def told(
    compared: Sequence[Comparison],
    formulas: Callable[[Asked], Sequence[Value]],
    known: Sequence[Mapping[str, float | None]],
) -> str:
    """Return the first comparison that fails, in numbers: `p99(ttft) is 3 s, not <= 2 s`.

    `formulas` gives what an expression is with each seed, and `known` what its names are there.
    The text is empty where there is no number to tell: a bound on every request has none.
    """
    for one in compared:
        sides = []
        for asked in (one.left, one.right):
            each = formulas(asked)
            if any(map(of_requests, each)):
                break
            sides.append(mean([number(f, k) for f, k in zip(each, known, strict=True)]))
        else:
            lacking = [a for a, s in zip((one.left, one.right), sides, strict=True) if s != s]  # noqa: PLR0124 (NaN)
            if lacking:
                return f"{lacking[0].text} is undefined"
            if not compute(one.operator, sides):
                shown = scale(one.left.unit, sides, one.left.scale or one.right.scale)
                left, right = (measured(side, shown) for side in sides)
                return f"{one.left.text} is {left}, not {one.operator} {right}"
    return ""
