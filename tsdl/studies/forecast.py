"""What is left of a study: which runs are known, and about how long the others take.

That is told by the runs of the study that are known; where there are few, by the beginnings of some
others, which are run for it. What they take for each token is taken to be what all take. So the
forecast is good to a factor of two or three as long as points are alike, and no better than the
runs that it knows where some points take much longer than others.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from msgspec import Struct, field

from tsdl.errors import TsdlError
from tsdl.plan import Plan
from tsdl.runtime.limits import Limits
from tsdl.runtime.run import run
from tsdl.studies.asking import Ask, Key, asks
from tsdl.studies.search import expected

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsdl.planworkload import Workload
    from tsdl.runtime.result import Result
    from tsdl.studies.points import Infeasible, Point, Points
    from tsdl.studies.store import Store
    from tsdl.studies.work import Found

_ENOUGH = 3  # runs that are known, to go by them
_BEGUN = 3  # runs that are begun
_PATIENCE = 0.3  # seconds that each of them may take


class Forecast(Struct):
    """How many runs are known, how many are left, and why some points have none.

    `seconds` are those of CPU time that the rest takes, which so many runs tell: `measured`.
    """

    known: int = 0
    left: int = 0
    infeasible: list[tuple[Point, Infeasible]] = field(default_factory=list)
    seconds: float = 0.0
    measured: int = 0


def forecast(points: Points, store: Store | None, seed: int | None = None) -> Forecast:
    """Look at every unit as far as its runs are known. Raises TsdlError for the store."""
    told = Forecast()
    search = points.study.search
    steps = expected(len(search.values)) if search else 1
    known: dict[Key, Found] = {}
    waiting: dict[Key, Point] = {}
    for point in points.all:
        for replicate in range(points.study.replicates):
            generator = asks(points, point, replicate)
            try:
                ask, taken = next(generator), 0
                while (found := _found(ask, store, seed)) is not None:
                    known[ask.key(seed)] = found
                    taken += 1
                    ask = generator.send(found)
            except StopIteration as end:
                if end.value.infeasible and not replicate:
                    told.infeasible.append((point, end.value.infeasible))
                continue
            if search or ask.key(seed) not in waiting:
                told.left += max(1, steps - taken)
            waiting[ask.key(seed)] = point
    told.known = len(known)
    times = [found.seconds for found in known.values()]
    if waiting and len(times) < _ENOUGH:
        left = list(waiting.values())
        times = [_seconds(plan) for plan in _some(points, left[:: -(-len(left) // _BEGUN)])]
    told.measured = len(times)
    told.seconds = told.left * sum(times) / len(times) if times else 0.0
    return told


def _found(ask: Ask, store: Store | None, seed: int | None) -> Found | None:
    return store.get(*ask.key(seed), map(str, ask.measures)) if store else None


def _some(points: Points, some: list[Point]) -> Iterator[Plan]:
    """Yield a plan of each of some points, at values in the midst of a search."""
    search = points.study.search
    for number, point in enumerate(some, 1):
        at = search.values[number * len(search.values) // (len(some) + 1)] if search else None
        plan = points.plan(point, at)
        if isinstance(plan, Plan):
            yield plan


def _seconds(plan: Plan) -> float:
    """Return about how many seconds of CPU time a run takes, by its beginning."""
    begun = time.process_time()
    try:
        result = run(plan, limits=Limits(seconds=_PATIENCE), sampled=False)
    except TsdlError:  # it says so when it is run
        return time.process_time() - begun
    seconds = time.process_time() - begun
    if not result.partial:
        return seconds
    generated, wanted = (float(result.requests[name].sum()) for name in ("generated", "output"))
    share = _share(plan.workload, result, result.partial.at)
    whole = seconds * wanted / max(1.0, generated) / share
    if plan.until is None:
        return whole
    return min(whole, seconds * plan.until / max(1e-9, result.partial.at))


def _share(workload: Workload, result: Result, now: float) -> float:
    """Return what share of a workload has arrived in a run that has come so far.

    It is of requests, or of conversations where it has these.
    """
    column = result.requests["session" if workload.talks else "arrived"]
    arrived = len(set(column.tolist())) if workload.talks else len(column)
    known = [_known(kind) for kind in workload.kinds]
    durations = [kind.duration for kind in workload.kinds if kind.duration is not None]
    if None in known and durations:
        return min(1.0, max(now, 1e-9) / max(durations))
    return min(1.0, arrived / max(1, sum(n for n in known if n is not None) or arrived))


def _known(workload: Workload) -> int | None:
    """Return how many requests or conversations a workload has, where that is known."""
    table = workload.table if workload.replay else None  # else lengths to draw from
    rows = len(table.turns or table.prompt) if table else None
    known = [n for n in (workload.sessions, workload.requests, rows) if n is not None]
    return min(known, default=None)
