"""The state of workers and router, at times or at changes: what becomes timeseries.csv."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tsdl.runtime.clock import OBSERVER, Process

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tsdl.runtime.engine import Engine
    from tsdl.runtime.worker import Worker

MANY_SAMPLES = 1000  # times at which the state was noted
MOST_ROWS = 200_000  # of timeseries.csv, where the interval was given
NAMES = ("time", "worker", "queued", "running", "kv_used")
ROUTER = -1  # its number among workers: of who is pending there

State = tuple[int, int, int]  # requests that are queued and that run, bytes of KV


def state_of(worker: Worker) -> State:
    """Return the state of a worker."""
    return worker.queued, worker.running, worker.memory.used


@dataclass(slots=True)
class Samples:
    """Columns of one length, a row for a time and a worker, or the router."""

    time: array[float] = field(default_factory=lambda: array("d"))
    worker: array[int] = field(default_factory=lambda: array("q"))
    queued: array[int] = field(default_factory=lambda: array("q"))
    running: array[int] = field(default_factory=lambda: array("q"))
    kv_used: array[int] = field(default_factory=lambda: array("q"))

    def add(self, time: float, number: int, state: State) -> None:
        """Note the state of a worker, or the router, by its number."""
        self.time.append(time)
        self.worker.append(number)
        for column, value in zip((self.queued, self.running, self.kv_used), state, strict=True):
            column.append(value)

    def take(self, time: float, workers: list[Worker], pending: int) -> None:
        """Note how many are pending at the router, and the state of all workers."""
        self.add(time, ROUTER, (pending, 0, 0))
        for worker in workers:
            self.add(time, worker.id, state_of(worker))

    def thin(self, rows: int) -> None:
        """Keep the first of every two samples, each of so many rows."""
        for name in NAMES:
            column = getattr(self, name)
            begins = range(0, len(column), 2 * rows)
            kept = (value for begin in begins for value in column[begin : begin + rows])
            setattr(self, name, array(column.typecode, kept))


class Moments:
    """Times at which the state is noted: at an interval that doubles whenever there are many.

    Where the plan sets no interval, nobody knows how long the run will be, and it begins small.
    Every second sample is let go then.
    """

    def __init__(self, given: float | None, span: float, workers: int) -> None:
        """Begin at 0; `span` is the seconds between the first and the last arrival."""
        self._interval = given or max(span / 200, 1e-3)
        self._workers = workers
        self._most = max(MANY_SAMPLES if given is None else MOST_ROWS // workers, 2)
        self._taken = self._count = 0

    @property
    def next(self) -> float:
        """Return the next time."""
        return self._count * self._interval

    def passed(self, samples: Samples) -> None:
        """Note that the state was noted at that time."""
        self._count += 1
        self._taken += 1
        if self._taken >= self._most:
            samples.thin(self._workers + 1)
            self._taken = (self._taken + 1) // 2
            self._count = (self._count + 1) // 2
            self._interval *= 2


def sampling(engine: Engine) -> Process:
    """Note the state of all workers of an engine at such times, until all is over."""
    moments = Moments(engine.plan.sample, engine.requests.span, len(engine.workers))
    while engine.open and not engine.timers.over:
        yield engine.clock.at(moments.next, OBSERVER)
        engine.catch_up()
        engine.samples.take(engine.clock.now, engine.workers, len(engine.system.pending))
        if engine.is_over():
            return
        moments.passed(engine.samples)


class Changes:
    """The states of one of them: a row for every time from which on there was another one."""

    def __init__(self, number: int, state: State = (0, 0, 0)) -> None:
        """Begin with the state at 0."""
        self.number = number
        self.rows = Samples()
        self.rows.add(0.0, number, state)

    def note(self, state: State, time: float) -> None:
        """Note the state at a time, if it has changed; of one time the last counts."""
        rows = self.rows
        columns = (rows.queued, rows.running, rows.kv_used)
        if rows.time and rows.time[-1] == time:
            # It may be what it was before that time: then there was no change.
            for column in (rows.time, rows.worker, *columns):
                column.pop()
        if not rows.time or state != tuple(column[-1] for column in columns):
            rows.add(time, self.number, state)


def in_order(changes: Sequence[Changes]) -> Samples:
    """Return the rows of all of them, by time, then number."""
    times, numbers = (
        np.concatenate([getattr(change.rows, name) for change in changes])
        for name in ("time", "worker")
    )
    order = np.lexsort((numbers, times))
    rows = Samples()
    for name in NAMES:
        column = np.concatenate([getattr(change.rows, name) for change in changes])[order]
        getattr(rows, name).frombytes(column.tobytes())
    return rows
