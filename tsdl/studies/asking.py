"""What a unit of a study, a point with one seed, asks for: a run, or those of its search."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from msgspec import Struct

from tsdl.measures import measures_of
from tsdl.studies.measures import holds
from tsdl.studies.pictures import percentiles
from tsdl.studies.points import FOUND, Infeasible, Point, Points
from tsdl.studies.search import Bracket, bracket

if TYPE_CHECKING:
    from tsdl.formula import Formula
    from tsdl.lower.questions import Search
    from tsdl.plan import Plan
    from tsdl.studies.work import Found

Key = tuple[str, int]


class Unit(Struct, frozen=True):
    """A point with one seed, and what came of it: a run, or why there is none.

    With a search, `found` is the run at what it found, `beyond` that at the next value; `nearest`
    is a value and its run where the condition was expected to hold before all others, and does not.
    """

    point: Point
    replicate: int
    found: Found | None
    bracket: Bracket | None = None
    infeasible: Infeasible | None = None
    nearest: tuple[float, Found] | None = None
    beyond: Found | None = None

    def __repr__(self) -> str:
        """Say which one it is."""
        return f"<Unit of point {self.point.number}, seed {self.replicate}>"


class Ask(Struct, frozen=True):
    """A run that a unit asks for."""

    plan: Plan
    replicate: int
    measures: tuple[Formula, ...]

    def key(self, seed: int | None) -> Key:
        """Return what the run is known by: its plan, and its seed; `seed` replaces the plan's."""
        base = self.plan.seed if seed is None else seed
        return self.plan.hash, (base + self.replicate) % 2**64


def asks(points: Points, point: Point, replicate: int) -> Generator[Ask, Found, Unit]:
    """Ask for the runs of a unit, one after another; return what came of it."""
    search = points.study.search
    if search is None:
        plan = points.plan(point)
        if isinstance(plan, Infeasible):
            return Unit(point, replicate, None, infeasible=plan)
        found = yield Ask(plan, replicate, measures_at(points, point))
        return Unit(point, replicate, found)
    tried: dict[float, Found] = {}
    outcome, reason = yield from _bracketed(points, point, replicate, search, tried)
    limited = next((found for found in tried.values() if found.limited), None)
    if limited is not None:
        return Unit(point, replicate, limited)
    if not tried and reason:
        return Unit(point, replicate, None, outcome, reason)
    if outcome.found is None:
        first = (min if search.greatest else max)(tried, default=None)
        nearest = None if first is None else (first, tried[first])
        return Unit(point, replicate, None, outcome, nearest=nearest)
    beyond = None if outcome.beyond is None else tried.get(outcome.beyond)
    return Unit(point, replicate, tried.get(outcome.found), outcome, beyond=beyond)


def _bracketed(
    points: Points, point: Point, replicate: int, search: Search, tried: dict[float, Found]
) -> Generator[Ask, Found, tuple[Bracket, Infeasible | None]]:
    """Search; note what each value came to, and return why the last one could not be run."""
    trial = bracket(search.values if search.greatest else search.values[::-1])
    reason: Infeasible | None = None
    value = next(trial)
    while True:
        plan = points.plan(point, value)
        good: bool | None = None
        if isinstance(plan, Infeasible):
            reason = plan
        else:
            formula = points.formulas(point, (search.condition,), value)[0]
            found = yield Ask(plan, replicate, measures_at(points, point, value))
            tried[value] = found
            if found.limited:  # nobody knows what the condition would say
                return Bracket(None, None, (), None), None
            known = {**found.values, FOUND: value}
            good = not found.lacking and holds([formula], [known])
        try:
            value = trial.send(good)
        except StopIteration as end:
            return end.value, reason


def measures_at(points: Points, point: Point, found: float | None = None) -> tuple[Formula, ...]:
    """Return all that a run of a point is asked, each once."""
    formulas = points.formulas(point, points.study.asked, found)
    measures = {str(m): m for formula in formulas for m in measures_of(formula)}
    for metric in points.formulas(point, points.study.distributions, found):
        measures |= {str(m): m for each in percentiles(metric) for m in measures_of(each)}
    return tuple(measures.values())
