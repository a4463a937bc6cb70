"""How a plan is JSON: objects, lists of numbers in a line, the same tables but once; and back."""

import json
import math
import re
from typing import Any, get_args, get_origin, get_type_hints

from msgspec import Struct

from tsdl import formulajson
from tsdl.formula import MOST_BITS, Formula

# A list of nothing but numbers, each on a line of its own. No text has a line break in JSON.
_NUMBERS = re.compile(r"\[\n([\s0-9.,eE+-]+)\]")


def written(data: dict[str, Any]) -> str:
    """Return the JSON of a plan's data, which it may change."""
    text = json.dumps(_shared(data), indent=1, allow_nan=False)
    return _NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text)


def _shared(data: dict[str, Any]) -> dict[str, Any]:
    """Write the tables of a group of workers as the number of the first group that has the same."""
    costs = [kind["cost"] for kind in data["workers"]]
    tables = [cost["tables"] for cost in costs]
    for number, cost in enumerate(costs):
        first = tables.index(cost["tables"])
        if cost["tables"] and first < number:
            cost["tables"] = first
    return data


def unshared(data: dict[str, Any]) -> dict[str, Any]:
    """Return data in which every group has its tables. Raises KeyError, TypeError or ValueError."""
    costs = [kind["cost"] for kind in data["workers"]]
    for number, cost in enumerate(costs):
        first = cost["tables"]
        if isinstance(first, int):
            if not 0 <= first < number:
                raise ValueError("tables are those of a group of workers that comes before")
            cost["tables"] = costs[first]["tables"]
    return data


def canonical(data: dict[str, Any]) -> str:
    """Return the one text of data that is hashed."""
    return json.dumps(_plain(data), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _plain(value: Any) -> Any:
    """Write equal numbers alike: 10.0 as 10."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def encoded(value: Any) -> Any:
    """Return a part of a plan as JSON values."""
    if isinstance(value, Formula):
        return formulajson.to_json(value)
    if isinstance(value, Struct):
        return {name: encoded(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, tuple):
        return [encoded(item) for item in value]
    return value


def decoded(type_: Any, data: Any) -> Any:
    """Read JSON as a type of the plan. Raises KeyError, TypeError or ValueError."""
    if isinstance(type_, type) and issubclass(type_, Struct):
        hints = get_type_hints(type_)
        fields = type_.__struct_fields__
        return type_(**{name: decoded(hints[name], data[name]) for name in fields})
    if get_origin(type_) is tuple:
        if not isinstance(data, list):
            raise TypeError(f"{data!r} is not a list")
        first, *rest = get_args(type_)
        kinds = [first] * len(data) if rest == [Ellipsis] else [first, *rest]
        return tuple(decoded(kind, item) for kind, item in zip(kinds, data, strict=True))
    options = get_args(type_) or (type_,)
    if data is None and type(None) in options:
        return None
    if Formula in options:
        return formulajson.from_json(data)
    for option in options:
        if isinstance(option, type) and issubclass(option, Struct):
            return decoded(option, data)
        numbers = (int, float) if option is float else option
        if isinstance(data, numbers) and isinstance(data, bool) == (option is bool):
            if isinstance(data, float) and not math.isfinite(data):
                raise ValueError(f"{data} is not a number")
            if isinstance(data, int) and data.bit_length() > MOST_BITS:
                raise ValueError("a number is too large")
            return data
    raise TypeError(f"{data!r} is not of {type_}")


def unsaid(condition: dict[str, Any]) -> dict[str, Any]:
    """Return a condition without its text, and those of its parts."""
    meant = {key: value for key, value in condition.items() if key != "text"}
    return meant | {"parts": [unsaid(part) for part in condition["parts"]]}
