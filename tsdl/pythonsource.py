"""Formulas as Python: source of an expression, and the function that it becomes before a run."""

import builtins
import itertools
import keyword
import math
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import CodeType
from typing import Any

from tsdl.formula import (
    ARITHMETIC,
    COMPARISONS,
    SELECTIONS,
    STATE,
    Formula,
    Value,
    clamp,
    power,
    round_up,
    round_up_to,
)

# Names that generated source may call.
RUNTIME_NAMES: dict[str, object] = {
    "min": min,
    "max": max,
    "abs": abs,
    "clamp": clamp,
    "power": power,
    "round_up": round_up,
    "floor": math.floor,
    "ceil": math.ceil,
    "sqrt": math.sqrt,
    "log2": math.log2,
    "round_up_to": round_up_to,
}


def python(value: Value) -> str:
    """Return a formula as a Python expression over its symbols and RUNTIME_NAMES."""
    if not isinstance(value, Formula):
        return repr(value)
    if value.operation == "select":
        return _python_selection(value)
    return written(value, [python(argument) for argument in value.arguments])


def written(value: Formula, parts: list[str]) -> str:
    """Return a formula that chooses from no list as Python, given the source of its arguments."""
    match value.operation:
        case "symbol":
            return str(value.arguments[0])
        case "list":
            return f"[{', '.join(parts)}]"
        case "negate":
            return f"(-{parts[0]})"
        case "not":
            return f"(not {parts[0]})"
        case "and" | "or" as word:
            return "(" + f" {word} ".join(parts) + ")"
        case "if":
            return f"({parts[1]} if {parts[0]} else {parts[2]})"
        case "mod":
            return f"({parts[0]} % {parts[1]})"
        case "round_up" if isinstance(value.arguments[1], int):
            return f"(-(-{parts[0]} // {parts[1]}) * {parts[1]})"
        case "**" if not _is_real(*value.arguments):
            return f"power({parts[0]}, {parts[1]})"
        case "field":
            return f"{parts[0]}.{value.arguments[1]}"
        case "attribute":
            return f"{parts[0]}.attributes[{parts[1]}]"
        case "call" | "table" | "extern":
            return _python_call(value, parts)
        case operation if operation in ARITHMETIC | COMPARISONS:
            return f"({parts[0]} {operation} {parts[1]})"
        case operation:
            return f"{operation}({', '.join(parts)})"


def _is_real(base: Value, exponent: Value) -> bool:
    """Tell whether a power is a real number, and not a whole one that may grow without end."""
    if isinstance(exponent, float):
        return exponent.is_integer()
    return isinstance(base, float) and base >= 0


def _python_call(value: Formula, parts: list[str]) -> str:
    """Return the source of what is called: a method, a table at a point, Python from outside."""
    name = value.arguments[1 if value.operation == "call" else 0]
    if value.operation == "call":
        return f"{parts[0]}.{name}({', '.join(parts[2:])})"
    if value.operation == "table":
        return f"{TABLE}{name}({', '.join(parts[1:])})"
    point = (f"{n}={x}" for n, x in zip(value.arguments[1::2], parts[2::2], strict=True))
    return f"{EXTERN}({', '.join([parts[0], *point])})"


def _python_selection(value: Formula) -> str:
    function, variable, element, iterable, key, condition = value.arguments
    item = f"({python(key)}, {python(element)})" if function == "pick" else python(element)
    if_ = f" if {python(condition)}" if condition is not True else ""
    inside = f"[{item} for {variable} in {python(iterable)}{if_}]"
    if isinstance(iterable, Formula) and iterable.operation == "symbol":
        if item == variable and not if_:  # the list as it is
            inside = python(iterable)
        elif function == "pick" and python(element) == variable and not if_:
            return f"best({python(iterable)}, lambda {variable}: {python(key)})"
    if function == "round_robin":  # each place in a policy keeps its own turn
        return f"round_robin({TURN}, {inside})"
    return f"{_SELECTION_NAMES.get(str(function), function)}({inside})"


TABLE = "table_"  # what the names of tables begin with in generated source
EXTERN = "extern"  # what generated source calls to ask Python from outside
TURN = "\0"  # stands for the number of a place that keeps its own turn; no literal holds it

# `min` and `max` of numbers are Python's; of a list, they have to do without any, too.
_SELECTION_NAMES = {"min": "least", "max": "greatest"}


SOURCE_NAME = "<formula of "


def function(what: str, parameters: str, source: str, names: Mapping[str, object]) -> Any:  # noqa: ANN401
    """Return a Python function of generated source: an expression over parameters and names.

    The source comes from formulas, which know a closed set of operations, and never from a user's
    text. `what` names it where it fails: an error in it is the formula's, not a bug of ours.
    """
    return eval(_code(what, f"lambda {parameters}: {source}", "eval"), _names(names))


def statements(what: str, source: str, names: Mapping[str, object]) -> dict[str, Any]:
    """Return all that is there once statements of generated source, such as `def`, are run."""
    found = _names(names)
    exec(_code(what, source, "exec"), found)
    return found


@lru_cache(maxsize=256)  # workers of a kind compute the same
def _code(what: str, source: str, kind: str) -> CodeType:
    places = itertools.count()
    source = re.sub(TURN, lambda _: str(next(places)), source)
    return compile(source, f"{SOURCE_NAME}{what}>", kind)


def _names(names: Mapping[str, object]) -> dict[str, Any]:
    return {"__builtins__": {}, **RUNTIME_NAMES, **names}


# Names that generated source has besides those of RUNTIME_NAMES.
_TAKEN = frozenset(
    {"clock", "workers", "pending", "do", "least", "greatest", "best", "tuple", "NoCandidate"}
)


def fresh_name(name: str, taken: Iterable[object]) -> str:
    """Return a name for a variable that hides nothing in generated source.

    `taken` are the values of the variables around it: the symbols among them stay as they are.
    """
    if name.startswith((STATE, "_")):
        name = f"v{name}"
    symbols_ = (v for v in taken if isinstance(v, Formula) and v.operation == "symbol")
    known = {*(v.arguments[0] for v in symbols_), *_TAKEN, *RUNTIME_NAMES, *SELECTIONS}
    while name in known or hasattr(builtins, name) or keyword.iskeyword(name):
        name = f"{name}_"
    return name


def is_name(name: str) -> bool:
    """Tell whether a text may become a name in generated source."""
    return name.isidentifier() and not name.startswith("_") and not keyword.iskeyword(name)
