"""Where an iteration is split: the offsets of its breakpoints, layer by layer."""

from functools import cache

from msgspec import Struct

from tsdl import pythonsource
from tsdl.costs import Ask, Batch, compiled_prefix
from tsdl.formula import Value
from tsdl.parts import of_breakpoint
from tsdl.plan import Breakpoint, Workers


class Stop(Struct, frozen=True):
    """A breakpoint in time: seconds from the begin, event, layer, the share of the KV computed."""

    offset: float
    event: str
    layer: int
    share: float


def stops_of(kind: Workers, batch: Batch, duration: float, layers: int, ask: Ask) -> list[Stop]:
    """Return the stops of an iteration in their order.

    Whatever the iteration takes beyond its operators (the scheduler, swapping) comes before them.
    """
    found: list[Stop] = []
    total = compiled_prefix(kind.cost, None, 0, ask)(batch)
    before = duration - total
    for point in kind.breakpoints:
        repeat = _repeat(kind, point, layers)
        live = _live(point.event, point.when, repeat)
        if point.stage < 0:
            times = [before + total * (layer + 1) / repeat for layer in live]
        else:
            start = compiled_prefix(kind.cost, point.stage, -1, ask)(batch)
            one = compiled_prefix(kind.cost, point.stage, None, ask)(batch)
            within = compiled_prefix(kind.cost, point.stage, point.kernel, ask)(batch)
            times = [before + start + layer * one + within for layer in live]
        there, more, everything = point.kv
        found += [
            Stop(
                min(time, duration),
                point.event,
                layer,
                min((there + layer * more) / everything, 1.0),
            )
            for layer, time in zip(live, times, strict=True)
        ]
    found.sort(key=lambda stop: stop.offset)
    return found


def _repeat(kind: Workers, point: Breakpoint, layers: int) -> int:
    """Return how many layers a breakpoint is met in."""
    if point.stage >= 0:
        return kind.cost.stages[point.stage].repeat
    return layers if point.stage == -1 else 1


@cache
def _live(event: str, when: Value, repeat: int) -> list[int]:
    """Return the layers for which the condition of a breakpoint holds."""
    source = pythonsource.python(when)
    holds = pythonsource.function(of_breakpoint(event), "layer", source, {})
    return [layer for layer in range(repeat) if holds(layer)]
