"""How a search brackets: the last value at which a condition holds, among values that ascend.

Values at the beginning that cannot be run are left out, and so are those between others (seven
devices for eight heads). Then both ends are tried, and the middle of
what is left, as long as the condition holds at the lower end of the bracket and not at the upper
one. That finds the edge only if the condition, once it fails, fails for all values beyond. So the
middle of either side is tried as well, and where one says otherwise, or the condition does not even
hold at the beginning, the search goes on from the last value that is known to hold, and says that
the condition is not monotone.
"""

import math
from collections.abc import Generator, Sequence

from msgspec import Struct

FAR = 64  # values that cannot be run, behind which nobody looks any further


class Bracket(Struct, frozen=True):
    """What a search found.

    `found` is the last value that holds, None if none does; `beyond` the next one, which does not,
    None if even the last value holds. `tried` are all values that were run, with what came out, in
    order of trial. `odd` is a value that contradicts: the condition fails at it, on the good side
    of the edge, or holds at it, on the bad side.
    """

    found: float | None
    beyond: float | None
    tried: tuple[tuple[float, bool], ...]
    odd: float | None


def expected(values: int) -> int:
    """Return how many values a search tries where its edge lies inside: ends, halves, checks."""
    return min(values, 2 + math.ceil(math.log2(max(values - 1, 1))) + 2)


class _Trials:
    """The values that were tried, and what came out: None where one cannot be run."""

    def __init__(self, values: Sequence[float]) -> None:
        self.values = values
        self.known: dict[int, bool | None] = {}

    def ask(self, index: int) -> Generator[float, bool | None, bool]:
        """Return whether the condition holds at a value; one that cannot be run fails."""
        if index not in self.known:
            self.known[index] = yield self.values[index]
        return bool(self.known[index])

    def first(self) -> Generator[float, bool | None, int | None]:
        """Return the first value that can be run: those that cannot stand before it, or between."""
        last = len(self.values) - 1
        near = yield from self.beyond(-1)
        if near is not None or last < FAR:
            return near
        out, step = FAR - 1, FAR  # farther off they are taken to be all of those before it
        index = min(out + step, last)
        while True:
            yield from self.ask(index)
            if self.known[index] is not None:
                break
            if index == last:
                return None
            out, index, step = index, min(index + step, last), step * 2
        while index - out > 1:
            middle = (index + out) // 2
            yield from self.ask(middle)
            if self.known[middle] is None:
                out = middle
            else:
                index = middle
        return index

    def beyond(self, index: int) -> Generator[float, bool | None, int | None]:
        """Return the next value behind another that can be run; None if there is none nearby."""
        for further in range(index + 1, min(index + 1 + FAR, len(self.values))):
            yield from self.ask(further)
            if self.known[further] is not None:
                return further
        return None

    def edge(self, low: int, high: int) -> Generator[float, bool | None, tuple[int, int]]:
        """Return neighbours of which the first holds, and the second does not."""
        while high - low > 1:
            middle = (low + high) // 2
            if (yield from self.ask(middle)):
                low = middle
            else:
                high = middle
        return low, high


def bracket(values: Sequence[float]) -> Generator[float, bool | None, Bracket]:
    """Yield values to try, and take whether the condition holds there (None: it cannot be run).

    `values` go from where the condition is expected to hold to where it is expected to fail.
    """
    trials = _Trials(values)
    last = len(values) - 1
    first = yield from trials.first()
    if first is None:
        return _bracket(trials, -1, 0, None)
    odd = None
    low, high = first - 1, last + 1  # it holds at low and fails at high, as far as one knows
    if (yield from trials.ask(last)):
        low = last
    elif (yield from trials.ask(first)):
        low, high = yield from trials.edge(first, last)
    elif (yield from trials.ask((first + last) // 2)):
        low, high = yield from trials.edge((first + last) // 2, last)
    else:
        return _bracket(trials, -1, first, None)
    while high <= last and trials.known[high] is None:  # it may be one that lies between others
        further = yield from trials.beyond(high)
        if further is None:
            break
        high = further
        if (yield from trials.ask(further)):
            low, high = yield from trials.edge(further, last)
    for index in (first, (first + low) // 2):
        if index <= low and not (yield from trials.ask(index)) and trials.known[index] is not None:
            odd = values[index]
    if high < last - 1 and (yield from trials.ask((high + last) // 2)):
        odd = values[(high + last) // 2]
    return _bracket(trials, low, high, odd)


def _bracket(trials: _Trials, low: int, high: int, odd: float | None) -> Bracket:
    values = trials.values
    return Bracket(
        values[low] if low >= 0 else None,
        values[high] if high < len(values) else None,
        tuple((values[i], good) for i, good in trials.known.items() if good is not None),
        odd,
    )
