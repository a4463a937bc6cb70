"""Formulas as Python source that runs millions of times: operators instead of calls."""

from tsdl import pythonsource
from tsdl.formula import COMPARISONS, Formula, Value

# What may be computed even where a condition leaves it out: of real numbers, it never fails.
_SAFE = COMPARISONS | {"+", "-", "*", "negate", "not", "and", "or", "abs", "min", "max", "if"}


class Inlined:
    """A writer of source; values are the same to the last bit.

    What depends on nothing but `early` symbols, and is more than one of them, gets a name of its
    own: `found` has the names by their source, for whoever computes each once.
    """

    def __init__(self, early: frozenset[str] = frozenset()) -> None:
        """Begin with nothing found; without symbols that are early nothing gets a name."""
        self.found: dict[str, str] = {}
        self._early = early
        self._variables = 0

    def python(self, value: Value) -> str:
        """Return a formula, in which no list is chosen from, as a Python expression."""
        text, early = self._write(value)
        return self._named(value, text, early=early)

    def _write(self, value: Value) -> tuple[str, bool]:
        """Return the source of a formula, and whether all in it is early."""
        match value:
            case Formula("symbol", (str(name),)):
                return name, name in self._early
            case Formula(operation, arguments):
                written = [self._write(argument) for argument in arguments]
                if _is_safe(operation, arguments) and all(early for _, early in written):
                    return pythonsource.written(value, [text for text, _ in written]), True
                parts = [
                    self._named(argument, text, early=early)
                    for argument, (text, early) in zip(arguments, written, strict=True)
                ]
                return self._late(value, parts), False
        return pythonsource.python(value), True

    def _named(self, value: Value, text: str, *, early: bool) -> str:
        if early and self._early and isinstance(value, Formula) and value.operation != "symbol":
            return self.found.setdefault(text, f"_early{len(self.found)}")
        return text

    def _late(self, value: Formula, parts: list[str]) -> str:
        match value.operation, value.arguments:
            case "max" | "min" as word, (_, _):
                left, right = self._variable(), self._variable()
                sign = "<" if word == "max" else ">"  # where neither holds, it is the first
                test = f"({left} := {parts[0]}) {sign} ({right} := {parts[1]})"
                return f"({right} if {test} else {left})"
            case "round_up", (_, float(step)) if step:
                return f"(ceil({parts[0]} / {step!r}) * {step!r})"
        return pythonsource.written(value, parts)

    def _variable(self) -> str:
        self._variables += 1
        return f"_value{self._variables}"


def _is_safe(operation: str, arguments: tuple[Value, ...]) -> bool:
    """Tell whether an operation has a value whatever numbers it is given."""
    if operation == "/":
        return not isinstance(arguments[1], Formula) and bool(arguments[1])
    return operation in _SAFE
