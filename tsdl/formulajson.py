"""Formulas as lists of JSON values, and back: of a closed set of operations and plain names."""

import builtins
import math

from tsdl.formula import (
    ARITHMETIC,
    COMPARISONS,
    METHODS,
    MOST_BITS,
    OPERATIONS,
    SELECTIONS,
    Formula,
    Value,
    percentile_of,
    symbol,
)
from tsdl.pythonsource import TABLE, is_name

_SELECTED = 4  # element, iterable, key, condition
# How many arguments operations have; the others have any number, but one at least.
_COUNTS = {
    **dict.fromkeys((*ARITHMETIC, *COMPARISONS, "mod", "round_up"), 2),
    **dict.fromkeys(("negate", "not", "abs", "floor", "ceil", "sqrt", "log2"), 1),
    **dict.fromkeys(("clamp", "if"), 3),
}
# What texts may be in: as factors they would be as long as the other factor says.
_OF_TEXTS = frozenset({"==", "!=", "if"})


def to_json(value: Value) -> object:
    """Return a formula as lists of JSON values."""
    if not isinstance(value, Formula):
        return value
    return [value.operation, *(to_json(argument) for argument in value.arguments)]


def from_json(data: object) -> Value:
    """Read what `to_json` returned. Raises ValueError for what no formula has.

    Names become parts of Python source, so they are held to plain identifiers.
    """
    if not isinstance(data, list):
        if isinstance(data, int) and data.bit_length() <= MOST_BITS:
            return data
        if isinstance(data, float) and math.isfinite(data):
            return data
        if isinstance(data, str):  # a text to compare with; "" where there is no key
            return data
        raise ValueError(f"{data!r} is not a formula")
    operation, *parts = data
    match operation, parts:
        case ("symbol", [str(name)]) if is_name(name) and not hasattr(builtins, name):
            return symbol(name)
        case ("field" | "attribute", [list(record), str(name)]) if (
            operation == "attribute" or is_name(name)
        ):
            return Formula(operation, (from_json(record), name))
        case ("call", [list(record), str(name), *arguments]) if name in METHODS:
            values = (from_json(argument) for argument in arguments)
            return Formula("call", (from_json(record), name, *values))
        case ("select", [str(function), str(variable), *rest]) if (
            function in SELECTIONS and is_name(variable) and len(rest) == _SELECTED
        ):
            return Formula("select", (function, variable, *(from_json(part) for part in rest)))
        case (str(name), [_, *_]) if name in OPERATIONS or name == "if":
            found = tuple(from_json(part) for part in parts)
            numbers = name in _OF_TEXTS or not any(_is_no_number(value) for value in found)
            if numbers and len(found) == _COUNTS.get(name, len(found)):
                return Formula(name, found)
        case (str(name), [_]) if percentile_of(name):
            return Formula(name, (from_json(parts[0]),))
        case ("list", _):
            return Formula("list", tuple(from_json(part) for part in parts))
        case ("table", [str(name), _, *_]) if is_name(f"{TABLE}{name}"):
            return Formula("table", (name, *(from_json(part) for part in parts[1:])))
        case ("extern", [str(name), *point]) if _are_names(point[::2]) and len(point) % 2 == 0:
            return Formula("extern", (name, *(from_json(part) for part in point)))
        case ("mean" | "sum", [_]) | ("where", [_, _]):
            return Formula(operation, tuple(from_json(part) for part in parts))
    raise ValueError(f"{data!r} is not a formula")


def _is_no_number(value: Value) -> bool:
    """Tell whether a value is sure to be a text or a list, or may be one."""
    if isinstance(value, Formula):
        return value.operation == "list" or (
            value.operation == "if" and any(_is_no_number(way) for way in value.arguments[1:])
        )
    return isinstance(value, str)


def _are_names(names: list[object]) -> bool:
    """Tell whether these are names that arguments of one call may have."""
    plain = all(isinstance(name, str) and is_name(name) for name in names)
    return plain and len(set(names)) == len(names)
