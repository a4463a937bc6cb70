"""Runs under watch: all that must hold is checked at each boundary, iteration and end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tests.ended_runs import (
    nothing_is_under_way,
    result_adds_up,
    result_is_of_the_requests,
    run_has_ended_well,
)
from tests.event_limits import limit_events
from tests.invariants import Watch
from tsdl.runtime.arrivals import generate
from tsdl.runtime.engine import Engine
from tsdl.runtime.request import UNFINISHED
from tsdl.runtime.result import Result

if TYPE_CHECKING:
    from tsdl.plan import Plan
    from tsdl.runtime.arrivals import Arrivals


def watched(
    plan: Plan,
    seed: int = 0,
    arrivals: Arrivals | None = None,
    *,
    most_events: int | None = None,
    every: int = 1,
    externs: Mapping[str, object] | None = None,
) -> Result:
    """Run a plan, with everything checked that is known to hold; return the result.

    Raises TooLongError after `most_events`.
    """
    watch = Watch(every=every)
    drawn = generate(plan.workload, seed) if arrivals is None else arrivals
    engine = Engine(plan, drawn, seed, observer=watch, externs=externs)
    watch.attach(engine)
    if most_events is not None:
        limit_events(engine, most_events)
    outcome = engine.run()
    assert watch.boundaries >= len(outcome.workers)
    run_has_ended_well(outcome, watch.arrived)
    if plan.until is None:
        watch.look(engine)
        nothing_is_under_way(engine, watch.arrived)
        stuck = [r.id for r in watch.arrived if r.status == UNFINISHED]
        assert sorted(i for group in outcome.stuck for i in group.requests) == stuck
        assert engine.open == 0 or stuck, "conversations that never went on"
    result = Result(plan, seed, outcome)
    result_is_of_the_requests(result, watch.arrived)
    result_adds_up(result)
    return result


def same(one: Result, other: Result) -> bool:
    """Tell whether two runs agree to the last bit in every request and every count."""
    columns = all(
        one.requests[name].tobytes() == other.requests[name].tobytes() for name in one.requests
    )
    return columns and one.summary == other.summary
