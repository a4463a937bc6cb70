"""How a plan is written as JSON: lists of numbers in a line, the same tables but once."""

import json
import re
from typing import Any

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
