"""The reference engine: a plan as SimPy processes, one event for every arrival and iteration.

Ties at one time go by priority, never by the order in which events were made: arrivals first, then
iteration boundaries, then observers. An arrival takes effect at the first boundary at or after it.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from heapq import heappush
from math import inf
from typing import Any

import simpy

from tsdl.plan import Plan
from tsdl.runtime.arrivals import Arrivals
from tsdl.runtime.dispatch import compiled_dispatch
from tsdl.runtime.request import REJECTED, UNFINISHED, Request
from tsdl.runtime.streams import stream
from tsdl.runtime.worker import Worker

# Boundaries at one time go in the order of workers: BOUNDARY + the worker's number.
ARRIVAL, BOUNDARY, OBSERVER = 1, 10, 10**9

MANY_SAMPLES = 1000  # times at which the state was noted
MOST_ROWS = 200_000  # of timeseries.csv, where the interval was given

Process = Generator[simpy.Event, Any, None]


class Clock(simpy.Environment):
    """SimPy's environment, with events at a time and priority that are given exactly."""

    def at(self, time: float, priority: int) -> simpy.Event:
        """Return an event at a time; `now + (time - now)` would not always be that time."""
        event = simpy.Event(self)
        self.fire(event, time, priority)
        return event

    def fire(self, event: simpy.Event, time: float, priority: int) -> None:
        """Let an event happen at a time, before those of a higher priority number."""
        event._ok = True
        event._value = None
        heappush(self._queue, (time, priority, next(self._eid), event))  # type: ignore[misc]

    @property
    def events(self) -> int:
        """Return how many events there were."""
        return next(self._eid)


@dataclass(slots=True)
class Samples:
    """The state of every worker at regular times."""

    time: array[float] = field(default_factory=lambda: array("d"))
    worker: array[int] = field(default_factory=lambda: array("q"))
    queued: array[int] = field(default_factory=lambda: array("q"))
    running: array[int] = field(default_factory=lambda: array("q"))
    kv_used: array[int] = field(default_factory=lambda: array("q"))

    def take(self, time: float, workers: list[Worker]) -> None:
        """Note the state of all workers."""
        for worker in workers:
            self.time.append(time)
            self.worker.append(worker.id)
            self.queued.append(worker.queued)
            self.running.append(worker.running)
            self.kv_used.append(worker.memory.used)

    def thin(self, workers: int) -> None:
        """Keep the first of every two samples."""
        for name in ("time", "worker", "queued", "running", "kv_used"):
            column = getattr(self, name)
            rows = range(0, len(column), 2 * workers)
            kept = (value for row in rows for value in column[row : row + workers])
            setattr(self, name, array(column.typecode, kept))


@dataclass(slots=True)
class Outcome:
    """What a run leaves behind, before anything is summed up."""

    requests: list[Request]
    workers: list[Worker]
    gap_length: array[float]
    gap_count: array[int]
    samples: Samples
    stuck: list[int]
    end: float
    events: int


# Called at every boundary of a worker with the time; tests check invariants here.
Observer = Callable[[Worker, float], None]
# Called now and then with how many requests are done, of how many.
Progress = Callable[[int, int], None]


class Engine:
    """One run of a plan."""

    def __init__(
        self,
        plan: Plan,
        arrivals: Arrivals,
        seed: int,
        observer: Observer | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Set up workers and processes; nothing has happened yet."""
        self.plan = plan
        self.clock = Clock()
        self.observer = observer
        self.progress = progress
        self.workers = [
            Worker(index, kind, plan.local)
            for index, kind in enumerate(k for k in plan.workers for _ in range(k.count))
        ]
        columns = (arrivals.arrived.tolist(), arrivals.prompt.tolist(), arrivals.output.tolist())
        warmup = plan.workload.warmup
        self.requests = [
            Request(i, arrived, prompt, output, arrived >= warmup)
            for i, (arrived, prompt, output) in enumerate(zip(*columns, strict=True))
        ]
        self.dispatch = compiled_dispatch(plan.dispatch, self.workers, stream(seed, "dispatch"))
        self.pending: deque[Request] = deque()
        self.idle: dict[int, simpy.Event] = {}
        self.begun: dict[int, float] = {}  # when the iteration in flight began
        self.open = len(self.requests)
        self.ended = 0.0
        self.gap_length, self.gap_count = array("d"), array("q")
        self.samples = Samples()

    def run(self) -> Outcome:
        """Run to the end: until nothing is left, or the plan's `until`."""
        clock = self.clock
        if self.requests:
            clock.process(self._source())
            clock.process(self._sampler())
        for worker in self.workers:
            clock.process(self._serve(worker))
        # SimPy stops before the events at `until`; ours count those at that time, too.
        until = self.plan.until
        clock.run(until=clock.at(until, OBSERVER + 1) if until is not None else None)
        # Nothing happens any more, and some wait: no policy would ever admit them.
        stuck = [r.id for r in self.requests if r.status == UNFINISHED] if until is None else []
        end = until if until is not None and self.open else self.ended
        for index, begun in self.begun.items():
            self.workers[index].busy += end - begun
        return Outcome(
            [r for r in self.requests if until is None or r.arrived <= until],
            self.workers,
            self.gap_length,
            self.gap_count,
            self.samples,
            stuck,
            end,
            clock.events,
        )

    # -- processes -----------------------------------------------------------------------------

    def _source(self) -> Process:
        for request in self.requests:
            yield self.clock.at(request.arrived, ARRIVAL)
            if request.prompt + request.output > self.plan.model.context:
                self._close(request, REJECTED)
            elif self.pending or not self._place(request):
                self.pending.append(request)

    def _place(self, request: Request) -> bool:
        worker = self.dispatch(request)
        if worker is None:
            return False
        if not worker.memory.could_ever_hold(request):
            request.worker = worker.id
            self._close(request, REJECTED)
            return True
        worker.enqueue(request)
        waker = self.idle.pop(worker.id, None)
        if waker is not None:
            # A boundary: whatever else arrives at this time comes first.
            self.clock.fire(waker, self.clock.now, BOUNDARY + worker.id)
        return True

    def _serve(self, worker: Worker) -> Process:
        clock = self.clock
        while True:
            scheduled = worker.schedule(clock.now)
            if self.observer:
                self.observer(worker, clock.now)
            if scheduled is None:
                self.idle[worker.id] = clock.event()
                yield self.idle[worker.id]
                continue
            iteration, duration = scheduled
            self.begun[worker.id] = clock.now
            yield clock.at(clock.now + duration, BOUNDARY + worker.id)
            worker.busy += duration
            del self.begun[worker.id]
            gaps: dict[float, int] = {}
            for request in worker.complete(iteration, clock.now, gaps):
                self._close(request, request.status)
            self.gap_length.extend(gaps.keys())
            self.gap_count.extend(gaps.values())
            while self.pending and self._place(self.pending[0]):
                self.pending.popleft()

    def _sampler(self) -> Process:
        """Note the state of all workers at regular times.

        Where the plan sets no interval, nobody knows how long the run will be: the interval begins
        small and doubles, with every second sample let go, whenever there are many.
        """
        span = self.requests[-1].arrived - self.requests[0].arrived
        interval = self.plan.sample or max(span / 200, 1e-3)
        taken = 0
        count = 0
        while self.open:
            yield self.clock.at(count * interval, OBSERVER)
            count += 1
            taken += 1
            self.samples.take(self.clock.now, self.workers)
            if self.clock.peek() == inf:
                return  # nothing else will ever happen
            most = MANY_SAMPLES if self.plan.sample is None else MOST_ROWS // len(self.workers)
            if taken >= max(most, 2):
                self.samples.thin(len(self.workers))
                taken = (taken + 1) // 2
                count = (count + 1) // 2
                interval *= 2

    def _close(self, request: Request, status: str) -> None:
        request.status = status
        self.open -= 1
        self.ended = self.clock.now
        if self.progress and self.open % 1000 == 0:
            self.progress(len(self.requests) - self.open, len(self.requests))
