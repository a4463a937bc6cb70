"""Values between measured points: grids, and what lies between and beyond their points.

A grid is a tree: its first level has the points of the first axis, each with a grid of the other
axes. So every branch has points of its own: a table with holes is no special case.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import pairwise
from math import inf

from msgspec import Struct, field


class Grid(Struct, frozen=True):
    """Points of an axis, ascending, and what is there: grids of the other axes, or values."""

    at: tuple[float, ...]
    of: tuple["Grid", ...]
    values: tuple[float, ...]  # at the last axis; else there are none

    def __hash__(self) -> int:
        """Return a hash of the first axis: a grid has thousands of numbers, and few are alike."""
        return hash((self.at, self.values))


# By the number of an axis: the least and the greatest that was asked for.
Asked = dict[int, tuple[float, float]]


class Unmeasured(Struct):
    """What was asked of a grid that it has no points around: beyond all of them, or in its holes.

    In a hole are numbers between the points of an axis, where those that are found at the other
    numbers of the point end before.
    """

    beyond: Asked = field(default_factory=dict)
    holes: Asked = field(default_factory=dict)


def grid_of(rows: Mapping[tuple[float, ...], float]) -> Grid:
    """Return the grid of values by their points: one or more, of as many numbers, one or more."""
    branches: dict[float, dict[tuple[float, ...], float]] = {}
    for point in sorted(rows):
        branches.setdefault(point[0], {})[point[1:]] = rows[point]
    at, found = tuple(branches), branches.values()
    if () in branches[at[0]]:
        return Grid(at, (), tuple(values[()] for values in found))
    return Grid(at, tuple(grid_of(values) for values in found), ())


def check_grid(grid: Grid, axes: int) -> None:
    """See that a grid has so many axes, and can be read. Raises ValueError."""
    here, elsewhere = (grid.values, grid.of) if axes == 1 else (grid.of, grid.values)
    if not grid.at or len(here) != len(grid.at) or elsewhere:
        raise ValueError("a table has other axes than its points")
    if any(a >= b for a, b in pairwise(grid.at)):
        raise ValueError("the points of a table do not ascend")
    if not all(0 <= value < inf for value in grid.values):
        raise ValueError("a table has a value that is no time")
    for branch in grid.of:
        check_grid(branch, axes - 1)


Ranges = tuple[tuple[float, float], ...]


def ends_of(grid: Grid) -> Ranges:
    """Return the least and the greatest point of each axis, wherever on the others it is."""
    found = []
    level: tuple[Grid, ...] = (grid,)
    while level:
        found.append((min(g.at[0] for g in level), max(g.at[-1] for g in level)))
        level = tuple(branch for inner in level for branch in inner.of)
    return tuple(found)


_ANYWHERE = (-inf, inf)


class _Node(Struct):
    """A grid as it is gone through; `ranges` say from where to where it has points on each axis.

    An axis of one point says nothing: there it is the same everywhere. Branches of the same ranges
    are a kind; `kinds` has those, and `chosen` the branches of some kinds, a bit for each.
    """

    at: tuple[float, ...]
    of: tuple["_Node", ...]
    values: tuple[float, ...]
    ranges: Ranges
    kinds: tuple[Ranges, ...]
    chosen: dict[int, tuple[tuple[float, ...], tuple["_Node", ...]]]

    def is_regular(self) -> bool:
        """Tell whether all branches have points between the same ends."""
        return len(self.kinds) <= 1 and all(branch.is_regular() for branch in self.of)

    def covering(self, point: tuple[float, ...], axis: int) -> int:
        """Return which kinds have points on both sides of a point, on the axes from one on."""
        found, bit = 0, 1
        for ranges in self.kinds:
            index = axis
            for low, high in ranges:
                if not low <= point[index] <= high:
                    break
                index += 1
            else:
                found |= bit
            bit <<= 1
        return found

    def branches(self, kinds: int) -> tuple[tuple[float, ...], tuple["_Node", ...]]:
        """Return the points and branches of some kinds; all where there are none."""
        found = self.chosen.get(kinds)
        if found is None:
            kept = [i for i, n in enumerate(self.of) if kinds >> self.kinds.index(n.ranges) & 1]
            kept = kept or list(range(len(self.of)))
            found = tuple(self.at[i] for i in kept), tuple(self.of[i] for i in kept)
            self.chosen[kinds] = found
        return found


@lru_cache(maxsize=256)
def _node(grid: Grid) -> _Node:
    """Return a grid as it is gone through: once for all workers that have it."""
    return _made(grid)


def _made(grid: Grid) -> _Node:
    branches = tuple(_made(branch) for branch in grid.of)
    own = (grid.at[0], grid.at[-1]) if len(grid.at) > 1 else _ANYWHERE
    inner = zip(*(branch.ranges for branch in branches), strict=True)
    known = ([pair for pair in axis if pair != _ANYWHERE] or [_ANYWHERE] for axis in inner)
    others = ((min(low for low, _ in axis), max(high for _, high in axis)) for axis in known)
    kinds = tuple(dict.fromkeys(branch.ranges for branch in branches))
    return _Node(grid.at, branches, grid.values, (own, *others), kinds, {})


def interpolation(grid: Grid, unmeasured: Unmeasured) -> Callable[..., float]:
    """Return the function from a point, a number for each axis, to the value there.

    Between two points of an axis it is linear. Of the branches only those take part that have
    points on both sides on all other axes, as far as any has: a point outside of the whole grid
    counts as the nearest inside for that. What has no points on both sides is `unmeasured`.
    """
    root = _node(grid)
    hull, ends = root.ranges, ends_of(grid)

    def value(here: _Node, axis: int, point: tuple[float, ...], inside: tuple[float, ...]) -> float:
        at, of, values = here.at, here.of, here.values
        if len(here.kinds) > 1:
            at, of = here.branches(here.covering(inside, axis + 1))
        x = point[axis]
        index, count = bisect_left(at, x), len(at)
        if index < count and at[index] == x:
            return values[index] if values else value(of[index], axis + 1, point, inside)
        if 0 < index < count:
            low = index - 1
        else:
            first, last = ends[axis]
            asked = unmeasured.holes if first <= x <= last else unmeasured.beyond
            least, most = asked.get(axis, (x, x))
            asked[axis] = (min(least, x), max(most, x))
            if count == 1:
                return values[0] if values else value(of[0], axis + 1, point, inside)
            low, index = _ends(at) if index else (0, 1)
        if values:
            a, b = values[low], values[index]
        else:
            a = value(of[low], axis + 1, point, inside)
            b = value(of[index], axis + 1, point, inside)
        found = a + (b - a) * ((x - at[low]) / (at[index] - at[low]))
        if x > at[-1]:
            return max(found, b)
        return max(found, 0.0) if x < at[0] else found

    if root.is_regular():
        return lambda *point: value(root, 0, point, point)

    def of_point(*point: float) -> float:
        inside = point
        for x, (low, high) in zip(point, hull, strict=True):
            if not low <= x <= high:
                pairs = zip(point, hull, strict=True)
                inside = tuple([max(first, min(x, last)) for x, (first, last) in pairs])
                break
        return value(root, 0, point, inside)

    return of_point


def _ends(at: tuple[float, ...]) -> tuple[int, int]:
    """Return which points what lies beyond the last is reckoned from: the last, and one before it.

    The other is the last one up to half of it. Where each point is twice the one before, that is
    the last but one; where points are close, what two neighbours differ by is chance.
    """
    last = len(at) - 1
    return max(min(bisect_right(at, at[last] / 2), last) - 1, 0), last
