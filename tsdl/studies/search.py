"""How a search brackets: the last value at which a condition holds, among values that ascend.

Both ends are tried first, then the middle of what is left, as long as the condition holds at the
lower end of the bracket and not at the upper one. That finds the edge only if the condition, once
it fails, fails for all values beyond. So the middle of either side is tried as well, and where
one of them says otherwise, the search says that the condition is not monotone.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bracket:
    """What a search found.

    `found` is the last value that holds, None if none does; `beyond` the next one, which does not,
    None if even the last value holds. `tried` are all values with what came out, in order of
    trial. `odd` names two values that contradict one another: the condition fails at the first, on
    the good side of the edge, or holds at it, on the bad side.
    """

    found: float | None
    beyond: float | None
    tried: tuple[tuple[float, bool], ...]
    odd: float | None


def bracket(values: Sequence[float]) -> Generator[float, bool, Bracket]:
    """Yield values to try, and take whether the condition holds there; return the bracket.

    `values` go from where the condition is expected to hold to where it is expected to fail.
    """
    known: dict[int, bool] = {}

    def ask(index: int) -> Generator[float, bool, bool]:
        if index not in known:
            known[index] = yield values[index]
        return known[index]

    last = len(values) - 1
    low, high = -1, last + 1  # it holds at low and fails at high, as far as one knows
    if not (yield from ask(0)):
        high = 0
    elif (yield from ask(last)):
        low = last
    else:
        low, high = 0, last
        while high - low > 1:
            middle = (low + high) // 2
            if (yield from ask(middle)):
                low = middle
            else:
                high = middle
    odd = None
    if low > 1 and not (yield from ask(low // 2)):
        odd = values[low // 2]
    if high < last - 1 and (yield from ask((high + last) // 2)):
        odd = values[(high + last) // 2]
    return Bracket(
        values[low] if low >= 0 else None,
        values[high] if high <= last else None,
        tuple((values[index], good) for index, good in known.items()),
        odd,
    )
