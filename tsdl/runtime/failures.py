"""Workers that fail, are repaired and start again; what they had to do is lost (SPEC.md, 8.23)."""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from tsdl.runtime.arrivals import values_of
from tsdl.runtime.system import FAILS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsdl.planworkload import Draw
    from tsdl.runtime.engine import Engine
    from tsdl.runtime.worker import Worker

_MANY = 16  # times that are drawn at once


class Failures:
    """When workers fail next: each a time after it is up, drawn anew every time."""

    def __init__(self, engine: Engine) -> None:
        """Begin before anybody is up."""
        self.engine = engine
        self._times: dict[int, Iterator[float]] = {}
        self._ups: dict[int, int] = {}  # how often each was up: others than the last do not count

    def begin(self) -> None:
        """Let time pass for those that are up."""
        self.up(self.engine.system.up)

    def up(self, workers: list[Worker]) -> None:
        """Draw when workers fail that are up from now on."""
        engine, clock = self.engine, self.engine.clock
        for worker in workers:
            draw = worker.kind.failures
            if draw is None:
                continue
            if worker.id not in self._times:
                self._times[worker.id] = _times(draw, engine.seed, worker.id)
            ups = self._ups[worker.id] = self._ups.get(worker.id, 0) + 1
            time = clock.now + max(next(self._times[worker.id]), 0.0)
            place = engine.scaling.place_of(worker)
            clock.call(time, place, partial(self._fail, worker, ups))

    def _fail(self, worker: Worker, ups: int) -> None:
        """Let a worker fail, unless it has been down since, or nothing else will ever happen."""
        engine, scaling = self.engine, self.engine.scaling
        engine.catch_up()
        if not engine.open or self._ups[worker.id] != ups or not scaling.runs(worker):
            return
        if engine.quiet and (engine.timers.over or not engine.stages.timers):
            return
        engine.system.count("worker", worker.id, FAILS)
        engine.system.tire(engine.clock.now)
        scaling.breaks(worker)
        time = engine.clock.now + worker.kind.repair
        engine.clock.call(time, scaling.place_of(worker), partial(scaling.mended, worker))
        engine.router.failed(worker)
        engine.actions.lose_all(worker)
        scaling.rest(worker)
        scaling.meet()


def _times(draw: Draw, seed: int, number: int) -> Iterator[float]:
    """Yield times from a distribution, of the stream of a worker."""
    for round_ in count():
        found = values_of(draw, _MANY, seed, f"failures.{number}.{round_}")
        assert found is not None
        yield from found.tolist()
