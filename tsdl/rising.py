"""What is proved of times: that they are never less than nothing, that they never fall.

A time is a formula over features of the batch, of which none is below 0. What is not proved may
hold all the same.
"""

from collections.abc import Mapping
from itertools import pairwise
from math import inf

from msgspec import Struct, field

from tsdl.formula import Formula, Value, substituted, symbol, symbols
from tsdl.interpolation import Grid, ends_of
from tsdl.plan import Cost
from tsdl.schema import COUNTING, GROWING, OF_PREFILLS

# What is known of an iteration in which nobody is prefilled.
_NO_PREFILLS: dict[Formula, Value] = {symbol(name): 0 for name in OF_PREFILLS}
# What is known of an iteration in which all requests decode.
_ALL_DECODE: dict[Formula, Value] = {
    **_NO_PREFILLS,
    **{Formula(">", (symbol(name), 0)): True for name in COUNTING},
    **{Formula("==", (symbol(name), 0)): False for name in COUNTING},
}


def never_negative(cost: Cost) -> bool:
    """Tell whether no iteration takes less than nothing."""
    return all(Proof(None).is_positive(value) for value in _times(cost))


def never_falls(cost: Cost) -> bool:
    """Tell whether an iteration takes no less time for decoding more, or for prefills besides.

    Nor does any take less than nothing. What is 0 without prefills, and else only adds, counts as
    well, though it may fall between them.
    """
    proof = Proof(None, _grids(cost))
    return all(proof.is_positive(v) and proof.never_falls(v) for v in _times(cost))


def never_falls_on(cost: Cost, most: int) -> bool:
    """Tell whether iterations take no less time while the same requests, at most so many, decode.

    Each of them has one more token in its context then.
    """
    ranges = dict.fromkeys(COUNTING, (1, most))
    proof = Proof(frozenset(GROWING), _grids(cost), ranges)
    try:
        found = [substituted(value, _ALL_DECODE) for value in _times(cost)]
    except ArithmeticError:  # what is computed here may never be asked for
        return False
    return all(proof.is_positive(v) and proof.never_falls(v) for v in found)


def _times(cost: Cost) -> list[Value]:
    return [cost.overhead, cost.least, *(k.time for stage in cost.stages for k in stage.kernels)]


def _grids(cost: Cost) -> dict[str, Grid]:
    return {table.name: table.grid for table in cost.tables}


class Proof(Struct):
    """What can be proved while some features grow, and the others stay.

    Where all grow, they do from an iteration without prefills. `ranges` has the least and the
    greatest of some of the others. What was found of a formula is kept by its identity: formulas
    may share parts many times over.
    """

    growing: frozenset[str] | None  # all where None
    grids: Mapping[str, Grid] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    _positive: dict[int, bool] = field(default_factory=dict)
    _never_falls: dict[int, bool] = field(default_factory=dict)
    _symbols: dict[int, bool] = field(default_factory=dict)

    def is_positive(self, value: Value) -> bool:
        """Tell whether a formula is surely not below 0."""
        if not isinstance(value, Formula):
            return not isinstance(value, str) and value >= 0
        found = self._positive.get(id(value))
        if found is None:
            found = self._positive[id(value)] = self._is_positive(value)
        return found

    def _is_positive(self, value: Formula) -> bool:
        match value.operation, value.arguments:
            case "symbol" | "table", _:
                return True
            case "+" | "*" | "/" | "//" | "min" | "floor" | "ceil" | "sqrt", parts:
                return all(map(self.is_positive, parts))
            case "max", parts:
                return any(map(self.is_positive, parts))
            case "-", (int() | float() as most, Formula("**", (int() | float() as share, power))):
                return 0 <= share <= 1 <= most and self.is_positive(power)  # 1 − 0.9^tokens
            case "**", (left, int() | float()):
                return self.is_positive(left)
            case "round_up", (left, int() | float() as step):
                return step > 0 and self.is_positive(left)
            case "round_up_to", (left, *steps):
                return all(map(self.is_positive, (left, *steps)))
            case "if", (_, then, otherwise):
                return self.is_positive(then) and self.is_positive(otherwise)
        return False

    def stays(self, value: Value) -> bool:
        """Tell whether a formula is the same while the features grow."""
        if not isinstance(value, Formula):
            return True
        found = self._symbols.get(id(value))
        if found is None:
            if value.operation == "symbol":
                found = self.growing is not None and self.growing.isdisjoint(symbols(value))
            else:
                found = all(map(self.stays, value.arguments))
            self._symbols[id(value)] = found
        return found

    def never_falls(self, value: Value) -> bool:
        """Tell whether a formula surely never falls while the features grow."""
        if not isinstance(value, Formula) or self.stays(value):
            return True
        found = self._never_falls.get(id(value))
        if found is None:
            found = self._never_falls[id(value)] = self._does_not_fall(value)
        return found

    def _does_not_fall(self, value: Formula) -> bool:
        match value.operation, value.arguments:
            case "symbol", _:
                return True
            case "+" | "min" | "max" | "floor" | "ceil" | "sqrt", parts:
                return all(map(self.never_falls, parts))
            case "*", parts:
                return all(self.is_positive(p) and self.never_falls(p) for p in parts)
            case "-", (int() | float(), Formula("**", (int() | float() as share, power))):
                return 0 <= share <= 1 and self.never_falls(power)
            case "-", (left, right):
                return self.never_falls(left) and self.stays(right)
            case "/" | "//", (left, right):
                return self.never_falls(left) and self.stays(right) and self.is_positive(right)
            case "**", (left, int() | float() as right):
                return right > 0 and self.is_positive(left) and self.never_falls(left)
            case "round_up", (left, int() | float() as step):
                return step > 0 and self.never_falls(left)
            case "round_up_to", (left, *steps):
                return self.never_falls(left) and all(not isinstance(s, Formula) for s in steps)
            case "if", (test, then, otherwise) if self.stays(test):
                return self.never_falls(then) and self.never_falls(otherwise)
            case "if", (Formula(">" | ">=", (test, int() | float())) as guard, then, otherwise):
                if not self.never_falls(test):
                    return False
                if isinstance(then, int | float) and isinstance(otherwise, int | float):
                    return then >= otherwise
                rises = self.never_falls(then) or (self.growing is None and _only_adds(guard))
                return otherwise == 0 and self.is_positive(then) and rises
            case "table", (str(name), *point) if name in self.grids:
                return all(map(self.never_falls, point)) and self._rises(self.grids[name], point)
        return False

    def _rises(self, grid: Grid, point: list[Value]) -> bool:
        """Tell whether the values of a grid never fall along the axes that grow.

        That is shown of the last axis only, and where all others stay within their points: what is
        reckoned beyond them takes one branch away from another. Branches whose axes end at others
        take part or do not as the last axis grows, so that values jump.
        """
        first, *others = point
        if not others:
            return self.stays(first) or all(a <= b for a, b in pairwise(grid.values))
        if all(map(self.stays, point)):
            return True
        if not self.stays(first) or len({ends_of(branch) for branch in grid.of}) > 1:
            return False
        if isinstance(first, Formula):
            name = str(first.arguments[0]) if first.operation == "symbol" else ""
            low, high = self.ranges.get(name, (0, inf))
            inside = grid.at[0] <= low and high <= grid.at[-1]
            return inside and all(self._rises(branch, others) for branch in grid.of)
        return first in grid.at and self._rises(grid.of[grid.at.index(first)], others)


def _only_adds(guard: Formula) -> bool:
    """Tell whether a condition never holds where nobody is prefilled."""
    try:
        return substituted(guard, _NO_PREFILLS) is False
    except ArithmeticError:
        return False
