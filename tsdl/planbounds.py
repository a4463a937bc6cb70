"""Between what the numbers of a plan are: none is below zero, and some are held to more."""

from functools import cache
from math import inf
from types import NoneType
from typing import get_args, get_origin, get_type_hints

from msgspec import Struct

from tsdl.formula import Formula
from tsdl.interpolation import Grid
from tsdl.plan import MOST_BYTES, Breakpoint, Channel, KVCache, Local, Plan, Site, Workers
from tsdl.planworkload import MOST_REQUESTS, Draw, Workload
from tsdl.schema.names import MOST_DEVICES
from tsdl.schema.serving import WORKER

Bounds = tuple[float, float]

_REQUESTS = (1, MOST_REQUESTS)
_BOUNDS: dict[type[Struct], dict[str, Bounds]] = {
    Plan: {"seed": (0, 2**64 - 1)},
    Workload: {
        "requests": _REQUESTS,
        "sessions": _REQUESTS,
        "concurrency": (1, inf),
        "prefixes": (1, inf),
        "total": (2, inf),
        "correlation": (-1, 1),
    },
    Workers: {
        "count": (1, (WORKER.fields["count"].high or 1) ** 2),  # of as many nodes
        "devices": (1, MOST_DEVICES),
    },
    KVCache: {"capacity": (0, MOST_BYTES), "block_tokens": (1, inf)},
    Local: {"watermark": (0, 1)},
    Channel: {"bandwidth": (0, inf)},
    Breakpoint: {"stage": (-2, inf)},  # below 0 it is behind no kernel: of a layer, or of all
    Site: {"pue": (1, inf)},
}
_OTHERS = (0, inf)


def check_bounds(thing: Struct) -> None:
    """See that all numbers of a plan are what they can be. Raises ValueError.

    What is drawn, what was measured, and what formulas compute is seen to elsewhere.
    """
    bounds = _BOUNDS.get(type(thing), {})
    for name in _numbers(type(thing)):
        value, (low, high) = getattr(thing, name), bounds.get(name, _OTHERS)
        if value is not None and not low <= value <= high:
            told = f"from {low:,} to {high:,}" if high < inf else f"from {low:,} on"
            raise ValueError(f"`{name}` is {told}, not {value:,}")
    for name in thing.__struct_fields__:
        value = getattr(thing, name)
        for part in value if isinstance(value, tuple) and _holds_structs(value) else (value,):
            if isinstance(part, Struct) and not isinstance(part, (Draw, Formula, Grid)):
                check_bounds(part)


def _holds_structs(values: tuple[object, ...]) -> bool:
    """Tell whether a tuple is of parts: one of numbers may have millions of them."""
    return bool(values) and isinstance(values[0], Struct)


@cache
def _numbers(kind: type[Struct]) -> tuple[str, ...]:
    """Return the fields of a part of a plan that are numbers, or may lack."""
    hints, found = get_type_hints(kind), []
    for name in kind.__struct_fields__:
        hint = hints[name]
        options = set() if get_origin(hint) is tuple else {*(get_args(hint) or (hint,))}
        if options & {int, float} and options <= {int, float, NoneType}:
            found.append(name)
    return tuple(found)
