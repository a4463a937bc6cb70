"""Formulas: what is left of an expression once everything that is known has been put in.

A formula is a tree of plain data: it is kept in the plan, printed and hashed, and becomes Python
source before a run (`pythonsource`). It knows nothing of syntax or types.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import TypeAlias

from msgspec import Struct

Atom: TypeAlias = int | float | bool | str


class Formula(Struct, frozen=True):
    """An operation on atoms and formulas; `symbol` names what only the running system knows."""

    operation: str
    arguments: tuple["Value", ...]

    def __str__(self) -> str:
        """Show it as people write it."""
        return _show(self, 0)


Value: TypeAlias = Atom | Formula

ARITHMETIC = frozenset({"+", "-", "*", "/", "//", "**"})
COMPARISONS = frozenset({"<", "<=", ">", ">=", "==", "!="})
FUNCTIONS = frozenset(
    {
        "min",
        "max",
        "abs",
        "clamp",
        "round_up",
        "mod",
        "floor",
        "ceil",
        "sqrt",
        "log2",
        "round_up_to",
    }
)


METHODS = frozenset({"cached", "fill_with", "final", "get", "needed"})
SELECTIONS = frozenset(
    {"pick", "random", "round_robin", "sum", "count", "any", "all", "min", "max"}
)


@cache
def symbol(name: str) -> Formula:
    """Return the formula of a symbol."""
    return Formula("symbol", (name,))


def chosen(of: Value, condition: Value) -> Value:
    """Return a metric or a total of those requests alone for which a condition holds."""
    return of if condition is True else Formula("where", (of, condition))


STATE = "state_"  # what the symbols of declared state begin with
ATTRIBUTE = "attribute_"  # and those of attributes, where results are asked about
RECORDED = "metric_"  # and those of metrics that handlers record, there
NOW = Formula("field", (symbol("clock"), "now"))


def state(name: str, *key: Value) -> Formula:
    """Return the formula of what a declared state holds now, at a key where it has one."""
    return Formula("call", (symbol(f"{STATE}{name}"), "get", *key))


def measured(kind: str, name: str) -> Formula:
    """Return the formula of an `attribute` or a `metric` of a name, as results have it."""
    return symbol(f"{kind}_{name}")


def make(operation: str, *arguments: Value) -> Value:
    """Return an operation, computed at once where everything is known.

    Raises ArithmeticError where the numbers allow no result.
    """
    if operation == "if":
        test, then, otherwise = arguments
        if not isinstance(test, Formula):
            return then if test else otherwise
        return then if then == otherwise else Formula(operation, arguments)
    if not any(isinstance(a, Formula) for a in arguments):
        return compute(operation, arguments)
    if operation in ("and", "or"):
        return _logic(operation, arguments)
    if len(arguments) == 2:  # noqa: PLR2004 (a binary operation)
        return _simplified(operation, *arguments)
    return Formula(operation, arguments)


def _logic(operation: str, arguments: tuple[Value, ...]) -> Value:
    decides = operation == "or"
    left: list[Value] = []
    for argument in arguments:
        if isinstance(argument, Formula):
            left.append(argument)
        elif bool(argument) is decides:
            return decides
    return left[0] if len(left) == 1 else Formula(operation, tuple(left))


def _simplified(operation: str, left: Value, right: Value) -> Value:
    match operation, left, right:
        case ("+", 0, _):
            return right
        case ("+" | "-", _, 0):
            return left
        case ("*", 0, _) | ("*", _, 0):
            return 0
        case ("*", 1, _):
            return right
        case ("*" | "/" | "**", _, 1):
            return left
        case ("*", Formula(operation="*", arguments=(a, b)), _) if _known(b) and _known(right):
            return make("*", a, make("*", b, right))
        case ("*", Formula(), _) if _known(right):
            return make("*", right, left)
        case ("*", _, Formula(operation="*", arguments=(a, b))) if _known(left) and _known(a):
            return make("*", make("*", left, a), b)
        case ("/", Formula(operation="*", arguments=(a, b)), _) if _known(a) and _known(right):
            return make("*", make("/", a, right), b)
        case _:
            return Formula(operation, (left, right))


def _known(value: Value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def compute(operation: str, arguments: Iterable[Value]) -> Atom:
    """Compute an operation on atoms. Raises ArithmeticError."""
    values = tuple(arguments)
    function = _COMPUTE[operation]
    try:
        result: Atom = function(*values)  # type: ignore[operator]
    except ZeroDivisionError as error:
        raise ZeroDivisionError(why_none(error)) from error
    except (OverflowError, ValueError) as error:
        raise ArithmeticError(why_none(error)) from error
    if isinstance(result, int) and result.bit_length() > MOST_BITS:
        raise ArithmeticError("the result is too large")
    if isinstance(result, float) and not math.isfinite(result):
        raise ArithmeticError("the result is not a number")
    return result


def why_none(error: BaseException) -> str:
    """Return why an operation that raised this has no value, in other words than Python's."""
    if isinstance(error, ZeroDivisionError):  # Python has words of its own for each way
        return "division by zero"
    if isinstance(error, OverflowError):
        return "the result is too large"
    if isinstance(error, ValueError) and "NaN" in str(error):
        return "the result is not a number"
    if isinstance(error, ValueError) and not isinstance(error, NoRoot):
        return "a root or a logarithm of a number that has none"
    return str(error)


class NoRoot(ValueError):
    """A power of a number below 0 is not real."""


MOST_BITS = 400  # of a whole number
_MOST_BITS_OF_POWERS = 1024  # a float has no number beyond


def power(a: float, b: float) -> float:
    """Return a to the power of b.

    Raises OverflowError for what would take memory without end, NoRoot for what is not real.
    """
    if (
        isinstance(a, int)
        and isinstance(b, int)
        and (a.bit_length() - 1) * b > _MOST_BITS_OF_POWERS
    ):
        raise OverflowError("the result is too large")
    result: float = a**b
    if isinstance(result, complex):
        raise NoRoot("a number below 0 has no root")
    return result


def _divide_down(a: float, b: float) -> float:
    return a // b


def round_up(value: float, step: float) -> float:
    """Return the least multiple of `step` that is not below `value`."""
    if isinstance(value, int) and isinstance(step, int):
        return -(-value // step) * step
    return math.ceil(value / step) * step


def round_up_to(value: float, *steps: float) -> float:
    """Return the least of `steps` that is not below `value`; past the last, the value itself."""
    return min((s for s in steps if s >= value), default=value)


def clamp(value: float, low: float, high: float) -> float:
    """Return the value, brought between low and high."""
    return max(low, min(value, high))


_COMPUTE: dict[str, object] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "//": _divide_down,
    "**": power,
    "negate": lambda a: -a,
    "not": lambda a: not a,
    "and": lambda *a: all(a),
    "or": lambda *a: any(a),
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "min": lambda *a: min(a),
    "max": lambda *a: max(a),
    "abs": abs,
    "clamp": clamp,
    "round_up": round_up,
    "mod": lambda a, b: a % b,
    "floor": math.floor,
    "ceil": math.ceil,
    "sqrt": math.sqrt,
    "log2": math.log2,
    "round_up_to": round_up_to,
}

OPERATIONS = frozenset(_COMPUTE)

_WHOLE = frozenset({"+", "-", "*", "//", "min", "max", "abs", "clamp", "round_up", "mod", "symbol"})


def is_whole(value: Value) -> bool:
    """Tell whether a formula over whole symbols is sure to be whole."""
    if not isinstance(value, Formula):
        return isinstance(value, int)
    if value.operation == "symbol":
        return True
    return value.operation in _WHOLE and all(is_whole(a) for a in value.arguments)


_PERCENTILE = re.compile(r"p(100|\d{1,2}|9\d{2,})$")


def percentile_of(name: str) -> float | None:
    """Return the percentile that a function's name asks for: p50 is 50, p999 is 99.9."""
    found = _PERCENTILE.match(name)
    if not found:
        return None
    digits = found[1]
    return 100.0 if digits == "100" else float(f"{digits[:2]}.{digits[2:] or 0}")


def symbols(value: Value) -> set[str]:
    """Return the names of the symbols in a formula."""
    if not isinstance(value, Formula):
        return set()
    if value.operation == "symbol":
        return {str(value.arguments[0])}
    if value.operation == "select":
        _, variable, *rest = value.arguments
        return {name for part in rest for name in symbols(part)} - {str(variable)}
    parts = value.arguments[:1] if value.operation == "field" else value.arguments
    return {name for part in parts for name in symbols(part)}


def size(value: Value, known: dict[int, int] | None = None) -> int:
    """Return of how many parts a formula consists once it is written out: what is shared, again."""
    if not isinstance(value, Formula):
        return 1
    found = {} if known is None else known
    if id(value) not in found:
        found[id(value)] = 1 + sum(size(part, found) for part in value.arguments)
    return found[id(value)]


def every_part(*values: Value) -> Iterator[Formula]:
    """Yield formulas and all that they are made of, what they share once."""
    waiting, seen = list(values), set()
    while waiting:
        part = waiting.pop()
        if isinstance(part, Formula) and id(part) not in seen:
            seen.add(id(part))
            yield part
            waiting += part.arguments


def substituted(value: Value, known: Mapping[Formula, Value]) -> Value:
    """Return a formula with parts of it replaced by what they are known to be, and computed.

    Raises ArithmeticError where a part that is then known has no value.
    """
    return _substituted(value, known, {})


def _substituted(value: Value, known: Mapping[Formula, Value], found: dict[int, Value]) -> Value:
    """`found` has what became of formulas by their identity: they may share parts many times."""
    if not isinstance(value, Formula):
        return value
    if id(value) not in found:
        found[id(value)] = _with_known(value, known, found)
    return found[id(value)]


def _with_known(value: Formula, known: Mapping[Formula, Value], found: dict[int, Value]) -> Value:
    for part, what in known.items():  # no look-up: to hash what shares its parts takes for ever
        if part == value:
            return what
    if value.operation == "if":  # what is not chosen may have no value
        test, *ways = value.arguments
        test = _substituted(test, known, found)
        if not isinstance(test, Formula):
            return _substituted(ways[0 if test else 1], known, found)
    parts = tuple(_substituted(argument, known, found) for argument in value.arguments)
    if value.operation in OPERATIONS or value.operation == "if":
        return make(value.operation, *parts)
    return Formula(value.operation, parts)


def flattened(value: Value, record: str) -> Value:
    """Return a formula with the fields of a record as symbols of their own: `r.x` becomes `x`."""
    if not isinstance(value, Formula):
        return value
    if value.operation == "field" and value.arguments[0] == symbol(record):
        return symbol(str(value.arguments[1]))
    return Formula(value.operation, tuple(flattened(a, record) for a in value.arguments))


def fields_of(value: Value, record: str) -> Value:
    """Return a formula with its symbols as fields of a record: `x` becomes `r.x`."""
    if not isinstance(value, Formula):
        return value
    if value.operation == "symbol":
        return Formula("field", (symbol(record), str(value.arguments[0])))
    return Formula(value.operation, tuple(fields_of(a, record) for a in value.arguments))


_LEVELS = {
    "or": 1,
    "and": 2,
    "not": 3,
    "+": 5,
    "-": 5,
    "*": 6,
    "/": 6,
    "//": 6,
    "negate": 7,
    "**": 8,
}


def _show(value: Value, level: int) -> str:
    if not isinstance(value, Formula):
        return (
            f"{value:.6g}"
            if isinstance(value, float)
            else str(value).lower()
            if isinstance(value, bool)
            else f'"{value}"'
            if isinstance(value, str)
            else str(value)
        )
    operation, arguments = value.operation, value.arguments
    match operation:
        case "symbol":
            return str(arguments[0]).removeprefix(ATTRIBUTE).removeprefix(RECORDED)
        case "call" if arguments[1] == "get":  # declared state
            name = _show(arguments[0], 9).removeprefix(STATE)
            return f"{name}[{_show(arguments[2], 0)}]" if arguments[2:] else name
        case "call":
            inner = ", ".join(_show(a, 0) for a in arguments[2:])
            return f"{_show(arguments[0], 9)}.{arguments[1]}({inner})"
        case "field" if arguments == NOW.arguments:
            return "now"
        case "field" | "attribute":
            return f"{_show(arguments[0], 9)}.{arguments[1]}"
        case "if":
            text = " ".join(
                [
                    _show(arguments[1], 1),
                    "if",
                    _show(arguments[0], 1),
                    "else",
                    _show(arguments[2], 0),
                ]
            )
            return f"({text})" if level > 0 else text
        case "list":
            return f"[{', '.join(_show(a, 0) for a in arguments)}]"
        case "table":
            return f"{arguments[0]}({', '.join(_show(a, 0) for a in arguments[1:])})"
        case "extern":
            return f"{arguments[0]}({', '.join(_show(a, 0) for a in arguments[2::2])})"
        case "select":
            return _show_selection(arguments)
    own = _LEVELS.get(operation, 4 if operation in COMPARISONS else 0)
    if not own:
        return f"{operation}({', '.join(_show(a, 0) for a in arguments)})"
    if operation in ("negate", "not"):
        sign = "-" if operation == "negate" else "not "
        text = sign + _show(arguments[0], own)
    else:
        tight = [operation in COMPARISONS, operation not in ("+", "*", "and", "or")]  # left, right
        text = f" {operation} ".join(
            _show(a, own + tight[min(i, 1)]) for i, a in enumerate(arguments)
        )
    return f"({text})" if level > own else text


def _show_selection(arguments: tuple[Value, ...]) -> str:
    function, variable, element, iterable, key, condition = arguments
    several = isinstance(key, Formula) and key.operation == "list"
    keys = key.arguments if isinstance(key, Formula) and several else (key,)
    by = f" by {', '.join(_show(each, 0) for each in keys)}" if key != "" else ""
    if_ = f" if {_show(condition, 0)}" if condition is not True else ""
    inside = f"{_show(element, 0)}{by} for {variable} in {_show(iterable, 0)}{if_}"
    return f"{function}({inside})"
