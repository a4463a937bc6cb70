"""The reference engine with somebody who looks on: what happens is noted, and not changed."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from math import inf
from numbers import Real
from typing import TYPE_CHECKING, Any

from tsdl.runtime.engine import Engine
from tsdl.runtime.network import NOBODY, Network, Port
from tsdl.runtime.outcome import Outcome
from tsdl.runtime.pipeline import PipelinedWorker
from tsdl.runtime.programs import merged
from tsdl.runtime.request import REJECTED
from tsdl.runtime.timeline import NotedTokens, Timeline

if TYPE_CHECKING:
    from collections.abc import Mapping

    import simpy

    from tsdl.plan import Plan
    from tsdl.runtime.arrivals import Arrivals
    from tsdl.runtime.batching import Iteration
    from tsdl.runtime.engine import Progress
    from tsdl.runtime.gangs import Gang
    from tsdl.runtime.limits import Guard
    from tsdl.runtime.request import Request
    from tsdl.runtime.system import System
    from tsdl.runtime.worker import Worker


@dataclass(slots=True)
class Watch:
    """What is noted of a run besides what every run leaves behind."""

    timeline: Timeline | None = None
    tokens: NotedTokens | None = None


def watch(*, trace: object, tokens: bool) -> Watch | None:
    """Return what is to be noted: a timeline of a stretch of time, or of all, and tokens.

    Raises ValueError where `trace` is neither a truth value nor a stretch of time.
    """
    timeline = None if trace is None or trace is False else Timeline(*_stretch(trace))
    if timeline is None and not tokens:
        return None
    return Watch(timeline, NotedTokens() if tokens else None)


def _stretch(trace: object) -> tuple[float, float]:
    """Return from when to when is traced. Raises ValueError for what does not say so."""
    if trace is True:
        return 0.0, inf
    ends = tuple(trace) if isinstance(trace, (tuple, list)) else ()
    if len(ends) != 2 or not all(end is None or isinstance(end, Real) for end in ends):  # noqa: PLR2004
        raise ValueError(
            f"`trace` is True, or two times in seconds, (60, 90) or (60, None), not {trace!r}"
        )
    begin, end = ends
    return 0.0 if begin is None else float(begin), inf if end is None else float(end)


class WatchedNetwork(Network):
    """The network, of which every transfer is noted."""

    def __init__(self, system: System, timeline: Timeline) -> None:
        """Watch the transfers of a system on which nothing is on its way yet."""
        super().__init__(system.clock)
        self.timeline = timeline
        self.owners: dict[Port, int] = {}
        for lines in (system.ports, system.hosts):
            for worker, line in enumerate(lines):
                self.owners |= {line.out: worker, line.into: worker}

    def send(
        self,
        size: int,
        ports: tuple[Port, ...],
        extra: float,
        done: Callable[[], None],
        about: tuple[str, int] = NOBODY,
    ) -> None:
        """Send bytes; they are shown with the worker that they come to or, to a tier, leave."""
        worker = next((self.owners[port] for port in reversed(ports) if port in self.owners), None)
        if worker is None:  # between tiers: no worker has a part in it
            super().send(size, ports, extra, done, about)
            return
        way = tuple(dict.fromkeys(port.name for port in ports))
        number = self.timeline.begin_transfer(worker, *about, size, way, self.clock.now)
        if number is None:
            super().send(size, ports, extra, done, about)
            return

        def noted() -> None:
            self.timeline.end_transfer(number, self.clock.now)
            done()

        super().send(size, ports, extra, noted, about)


class WatchedEngine(Engine):
    """One run of a plan; the result is that of the reference engine, to the last bit."""

    def __init__(  # noqa: PLR0913 (what is run, and who looks on)
        self,
        plan: Plan,
        arrivals: Arrivals,
        seed: int,
        watch: Watch,
        progress: Progress | None = None,
        externs: Mapping[str, object] | None = None,
        *,
        guard: Guard | None = None,
    ) -> None:
        """Set up workers and processes, and note what is asked for."""
        super().__init__(plan, arrivals, seed, progress=progress, externs=externs, guard=guard)
        self.timeline, self.tokens = watch.timeline, watch.tokens
        self.rows: dict[int, int | None] = {}  # of each worker: that of the iteration in flight
        self.ends: dict[int, list[float]] = {}  # of a pipeline: when each stage was last free
        if self.timeline is not None:
            self.timeline.watch(self.workers)
            self.observer = self.timeline.note_state
            self.system.network = WatchedNetwork(self.system, self.timeline)
            self._add("preempt", self._preempted)
        if self.tokens is not None:
            self._add("token", self._token)

    def _add(self, event: str, function: Callable[[Request, Worker], None]) -> None:
        """Have a function told of an event, before the handlers of the plan are."""
        for worker in self.workers:
            handler = worker.hooks.get(event)
            hook = merged([function, handler] if handler else [function])
            assert hook is not None
            worker.hooks[event] = hook

    def run(self) -> Outcome:
        """Run to the end, as it is without anybody who looks on."""
        outcome = super().run()
        if self.timeline is not None:
            self.timeline.finish(outcome.end)
        return outcome

    def _token(self, request: Request, worker: Worker) -> None:
        assert self.tokens is not None
        self.tokens.request.append(request.id)
        self.tokens.time.append(self.clock.now)

    def _preempted(self, request: Request, worker: Worker) -> None:
        assert self.timeline is not None
        self.timeline.note(self.clock.now, worker.id, "preempted", request.id)

    def _close(self, request: Request, status: str, now: float) -> None:
        if self.timeline is not None:
            self.timeline.close(request.id)
            if status == REJECTED:
                self.timeline.note(now, -1, "rejected", request.id)
        super()._close(request, status, now)

    # -- iterations ------------------------------------------------------------------------------

    def _next_iteration(
        self, gang: Gang, *, look_once: bool = False
    ) -> Generator[simpy.Event, Any, float | None]:
        duration = yield from super()._next_iteration(gang, look_once=look_once)
        if duration is not None and self.timeline is not None:
            now = self.clock.now
            for worker, iteration in gang.in_flight:
                if isinstance(worker, PipelinedWorker):
                    self._note_stages(self.timeline, worker, iteration)
                else:
                    row = self.timeline.note_iteration(worker, iteration, now, now + duration)
                    self.rows[worker.id] = row
        return duration

    def _note_stages(
        self, timeline: Timeline, worker: PipelinedWorker, iteration: Iteration
    ) -> None:
        """Note when an iteration that was just put together is in each stage."""
        before = self.ends.get(worker.id, [0.0] * len(worker.stages))
        at = max(self.clock.now, worker.free_at) + iteration.swap_delay
        for stage, end in enumerate(worker.free_from):
            timeline.note_iteration(worker, iteration, max(at, before[stage]), end, stage)
            at = end
        self.ends[worker.id] = list(worker.free_from)

    def _stop_at_breakpoints(
        self, gang: Gang, duration: float
    ) -> Generator[simpy.Event, Any, float]:
        late = yield from super()._stop_at_breakpoints(gang, duration)
        row = self.rows.get(gang.leader.id)
        if late and row is not None and self.timeline is not None:
            self.timeline.iterations.end[row] += late
        return late
