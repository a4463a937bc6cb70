"""Simulated time: SimPy's environment with events at exact times, and the order of ties.

At one time arrivals come first, then the ends of transfers, then timers, then the workers'
boundaries and breakpoints, then observers; never does the order in which events were made count.
"""

from collections.abc import Callable, Generator
from heapq import heappop, heappush
from typing import Any

import simpy
from simpy.core import EmptySchedule

# Arrivals at one time go in the order of requests, boundaries in that of workers: each has a
# priority of its own from here on, below that of the next kind.
ARRIVAL, TRANSFER, TIMER, BOUNDARY, OBSERVER = 1.0, 2.0, 3.0, 10.0, 1e9

Process = Generator[simpy.Event, Any, None]


class Clock(simpy.Environment):
    """SimPy's environment, with events at a time and priority that are given exactly.

    A function to be called stands in SimPy's queue as it is: nobody waits for it. `now` is looked
    at all the time: it is no property.
    """

    now: float = 0

    def at(self, time: float, priority: float) -> simpy.Event:
        """Return an event at a time; `now + (time - now)` would not always be that time."""
        event = simpy.Event(self)
        self.fire(event, time, priority)
        return event

    def call(self, time: float, priority: float, function: Callable[[], None]) -> None:
        """Call a function at a time."""
        heappush(self._queue, (time, priority, next(self._eid), function))  # type: ignore[misc]

    def step(self) -> None:
        """Let the next event happen."""
        queue: list[Any] = self._queue
        if not queue:
            raise EmptySchedule
        self.now = queue[0][0]
        if callable(function := queue[0][3]):
            heappop(queue)
            function()
        else:
            super().step()

    def fire(self, event: simpy.Event, time: float, priority: float) -> None:
        """Let an event happen at a time, before those of a higher priority number."""
        event._ok = True
        event._value = None
        heappush(self._queue, (time, priority, next(self._eid), event))  # type: ignore[misc]

    def follows(self, priority: float) -> bool:
        """Tell whether the next event is one of a priority, at this very time."""
        queue: list[Any] = self._queue
        return bool(queue) and queue[0][0] == self.now and queue[0][1] == priority

    @property
    def events(self) -> int:
        """Return how many events there were."""
        return next(self._eid)
