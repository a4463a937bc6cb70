"""What a formula that is asked over and over needs but once: found, and given a name.

Parts in which nothing changes between two questions are computed before the first, as long as that
cannot fail; and the greater of two is chosen without a call. No value differs in its last bit.
"""

from collections.abc import Collection

from tsdl.formula import Formula, Value, symbol, symbols

# They have a value whatever numbers they are given, so they may be computed in vain.
_SAFE = frozenset(
    {"symbol", "+", "-", "*", "negate", "abs", "min", "max", "if", "not", "and", "or"}
    | {"<", "<=", ">", ">=", "==", "!="}
)
_TWO = 2


class Hoisting:
    """Rewrites formulas of which only some symbols change; what it has taken out is in `kept`."""

    def __init__(self, changing: Collection[str]) -> None:
        """Begin with nothing taken out."""
        self.changing = frozenset(changing)
        self.kept: dict[str, Formula] = {}  # by the names that stand for them
        self._chosen = 0  # how many names there are for what one of two is chosen of

    def rewritten(self, value: Value) -> Value:
        """Return a formula that has the same value, where the names in `kept` have theirs."""
        if not isinstance(value, Formula) or value.operation == "symbol":
            return value
        if symbols(value).isdisjoint(self.changing) and _is_safe(value):
            return symbol(self._name_of(value))
        parts = tuple(self.rewritten(argument) for argument in value.arguments)
        if value.operation in ("min", "max") and len(parts) == _TWO:
            return self._one_of(value.operation, *parts)
        return Formula(value.operation, parts)

    def _name_of(self, value: Formula) -> str:
        for name, known in self.kept.items():
            if known == value:
                return name
        name = f"kept{len(self.kept)}"
        self.kept[name] = value
        return name

    def _one_of(self, operation: str, first: Value, second: Value) -> Formula:
        """Return what `min` or `max` returns: the first, unless the second is less or greater."""
        names = [f"chosen{self._chosen}", f"chosen{self._chosen + 1}"]
        self._chosen += 2
        either, other = (
            Formula("let", (name, value))
            for name, value in zip(names, (first, second), strict=True)
        )
        test = Formula("<" if operation == "max" else ">", (either, other))
        return Formula("if", (test, symbol(names[1]), symbol(names[0])))


def _is_safe(value: Value) -> bool:
    if not isinstance(value, Formula):
        return True
    if value.operation == "/":
        over, under = value.arguments
        return not isinstance(under, Formula) and bool(under) and _is_safe(over)
    return value.operation in _SAFE and all(map(_is_safe, value.arguments))
