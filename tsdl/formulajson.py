"""Formulas as lists of JSON values, and back: of a closed set of operations and plain names."""

import builtins
import math

from tsdl.formula import METHODS, OPERATIONS, SELECTIONS, Formula, Value, percentile_of, symbol
from tsdl.pythonsource import TABLE, is_name

_SELECTED = 4  # element, iterable, key, condition


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
        if isinstance(data, (int, float)) and math.isfinite(data):
            return data
        if isinstance(data, str):  # a text to compare with; "" where there is no key
            return data
        raise ValueError(f"{data!r} is not a formula")
    operation, *parts = data
    match operation, parts:
        case ("symbol", [str(name)]) if is_name(name) and not hasattr(builtins, name):
            return symbol(name)
        case ("field", [list(record), str(name)]) if is_name(name):
            return Formula("field", (from_json(record), name))
        case ("call", [list(record), str(name), *arguments]) if name in METHODS:
            values = (from_json(argument) for argument in arguments)
            return Formula("call", (from_json(record), name, *values))
        case ("select", [str(function), str(variable), *rest]) if (
            function in SELECTIONS and is_name(variable) and len(rest) == _SELECTED
        ):
            return Formula("select", (function, variable, *(from_json(part) for part in rest)))
        case (str(name), [_, *_]) if name in OPERATIONS or name == "if" or percentile_of(name):
            return Formula(name, tuple(from_json(part) for part in parts))
        case ("list", _):
            return Formula("list", tuple(from_json(part) for part in parts))
        case ("table", [str(name), _, *_]) if is_name(f"{TABLE}{name}"):
            return Formula("table", (name, *(from_json(part) for part in parts[1:])))
        case ("extern", [str(name), *point]) if _are_names(point[::2]) and len(point) % 2 == 0:
            return Formula("extern", (name, *(from_json(part) for part in point)))
        case ("mean", [_]):
            return Formula("mean", (from_json(parts[0]),))
    raise ValueError(f"{data!r} is not a formula")


def _are_names(names: list[object]) -> bool:
    """Tell whether these are names that arguments of one call may have."""
    plain = all(isinstance(name, str) and is_name(name) for name in names)
    return plain and len(set(names)) == len(names)
