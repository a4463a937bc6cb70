"""Which workers of a cluster are up: others start, drain, are down or broken (SPEC.md, 8.22)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import ceil, isnan
from typing import TYPE_CHECKING

from tsdl.runtime.clock import TIMER
from tsdl.runtime.prefixes import PrefixMemory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tsdl.runtime.system import System
    from tsdl.runtime.worker import Worker

STATES = UP, STARTING, DRAINING, BROKEN, DOWN = "up", "starting", "draining", "broken", "down"


class Scaling:
    """The state of each worker that may be scaled or fail; all others are up.

    `system.up` are those that policies see, in the order of their numbers. `history` has every
    state since when, of which worker. `ready` is called with who has started, `changed` once there
    are more, and once all is `over` nothing changes any more; the engine sets these.
    """

    def __init__(self, system: System) -> None:
        """Begin with the fewest of each group up."""
        self.system = system
        self.ready: Callable[[list[Worker]], None] = lambda workers: None
        self.changed: Callable[[], None] = lambda: None
        self.over: Callable[[], bool] = lambda: False
        self.states: dict[int, str] = {}  # by number, of those that are not always up
        self.history: list[tuple[float, int, str]] = []
        self._since: dict[int, float] = {}  # when those that are on were switched on
        self._spans: dict[int, list[tuple[float, float]]] = {}  # from when to when each was before
        self._repaired: set[int] = set()  # who is, and still holds something
        self._groups: list[list[Worker]] = []  # of each block, node by node
        self._wanted: list[int] = []  # how many there are to be of each
        self._starting: dict[float, list[tuple[Worker, float]]] = {}  # by when they are up
        for worker in system.workers:
            kind = worker.kind
            if kind.fewest is None and kind.failures is None:
                continue
            if not self._groups or self._groups[-1][0].kind is not kind:
                self._groups.append([])
                self._wanted.append(kind.count if kind.fewest is None else kind.fewest)
            group = self._groups[-1]
            self._spans[worker.id] = []
            up = len(group) < self._wanted[-1]
            self._put(worker, UP if up else DOWN)
            if up:
                self._since[worker.id] = 0.0
            group.append(worker)
        self._see()

    @property
    def coming(self) -> bool:
        """Tell whether a worker is about to be up, or to be repaired."""
        return any(
            state == STARTING or (state == BROKEN and number not in self._repaired)
            for number, state in self.states.items()
        )

    def seconds_on(self, end: float) -> dict[int, float]:
        """Return for how many seconds workers that may be scaled have been on, at the end."""
        found = {}
        for number, spans in self._spans.items():
            last = [(self._since[number], end)] if number in self._since else []
            shares = (max(min(until, end) - since, 0.0) for since, until in spans + last)
            found[number] = sum(shares, 0.0)
        return found

    def to(self, name: str, number: float) -> None:
        """Have so many workers of a group on each node, as far as its bounds let it."""
        if isnan(number):
            return
        for place, group in enumerate(self._groups):
            kind = group[0].kind
            if kind.name == name and kind.fewest is not None:
                self._wanted[place] = ceil(min(max(number, kind.fewest), kind.count))
        self.meet()

    def rest(self, worker: Worker) -> None:
        """Let a worker that drains be down, and one that broke be off, once it holds nothing."""
        state = self.states.get(worker.id)
        if state not in (DRAINING, BROKEN) or worker.id not in self._since or _holds(worker):
            return
        self._switch_off(worker, DOWN if state == DRAINING else BROKEN)
        if isinstance(worker.memory, PrefixMemory):
            worker.memory.forget()
        if worker.id in self._repaired:
            self._repaired.remove(worker.id)
            self.mended(worker)

    def runs(self, worker: Worker) -> bool:
        """Tell whether a worker serves, though it may get no more."""
        return self.states.get(worker.id, UP) in (UP, DRAINING)

    def breaks(self, worker: Worker) -> None:
        """Let a worker be broken, and another take its place if there is one."""
        self._put(worker, BROKEN)
        self._see()

    def mended(self, worker: Worker) -> None:
        """Let a worker start again once it holds nothing, if so many are wanted."""
        if worker.id in self._since:
            self._repaired.add(worker.id)
            return
        self._put(worker, DOWN)
        self.meet()

    def meet(self) -> None:
        """Have as many workers of each group as are wanted."""
        pairs = zip(self._groups, self._wanted, strict=True)
        lacking = [(group, number) for group, number in pairs if self._lacks(group, number)]
        if not lacking or self.over():
            return
        before = len(self.system.up)
        for group, number in lacking:
            self._set(group, number)
        self._see()
        if len(self.system.up) > before:
            self.changed()

    def _lacks(self, group: list[Worker], number: int) -> int:
        """Return how many more are wanted of a group; below 0 where there are too many."""
        return number - sum(self.states[worker.id] in (UP, STARTING) for worker in group)

    def _set(self, group: list[Worker], number: int) -> None:
        states, now = self.states, self.system.clock.now
        more = self._lacks(group, number)
        started = []
        for state in (DRAINING, DOWN):
            for worker in group:
                if more > 0 and states[worker.id] == state:
                    more -= 1
                    self.system.count("worker", worker.id, "is started again and again")
                    self._put(worker, UP if state == DRAINING else STARTING)
                    if state == DOWN:
                        self._since[worker.id] = now
                        started.append(worker)
        for state in (STARTING, UP):
            for worker in reversed(group):
                if more < 0 and states[worker.id] == state:
                    more += 1
                    self._stop(worker)
        if started:
            self.system.tire(now)
            self._start(started, now, now + started[0].kind.start)

    def place_of(self, worker: Worker) -> float:
        """Return the place of what becomes of a worker among all at its time: before timers."""
        return TIMER - 1 + (worker.id + 1) / (len(self.system.workers) + 1)

    def _start(self, started: list[Worker], begun: float, time: float) -> None:
        """Let workers be up at a time, together with all others that are up then.

        Requests that wait for any are shared among them: no group is there before another.
        """
        if time not in self._starting:
            self._starting[time] = []
            ended = partial(self._end, time)
            self.system.clock.call(time, self.place_of(started[0]), ended)
        self._starting[time] += [(worker, begun) for worker in started]

    def _end(self, time: float) -> None:
        """Let workers be up, but for those given up since they began to start."""
        started = self._starting.pop(time)
        if self.over():
            return
        ready = sorted(
            (
                worker
                for worker, begun in started
                if self.states[worker.id] == STARTING and self._since[worker.id] == begun
            ),
            key=lambda worker: worker.id,
        )
        for worker in ready:
            self._put(worker, UP)
        self._see()
        if ready:
            self.ready(ready)

    def _stop(self, worker: Worker) -> None:
        if self.states[worker.id] == STARTING:
            self._switch_off(worker, DOWN)
            return
        worker.catch_up()
        self._put(worker, DRAINING)
        self.rest(worker)

    def _switch_off(self, worker: Worker, state: str) -> None:
        self._put(worker, state)
        self._spans[worker.id].append((self._since.pop(worker.id), self.system.clock.now))

    def _put(self, worker: Worker, state: str) -> None:
        self.states[worker.id] = state
        worker.await_rest(awaited=state in (DRAINING, BROKEN))
        self.history.append((self.system.clock.now, worker.id, state))

    def _see(self) -> None:
        """Let policies see who is up."""
        for worker in self.system.workers:
            worker.up = self.states.get(worker.id, UP) == UP
        self.system.up[:] = [worker for worker in self.system.workers if worker.up]


def turns(history: Sequence[tuple[float, int, str]], end: float) -> list[tuple[float, int, str]]:
    """Return when workers came to another state until the end, in order of time, then worker.

    Of several states at one time the last counts.
    """
    last = {(time, worker): state for time, worker, state in history if time <= end}
    before: dict[int, str] = {}
    found = []
    for (time, worker), state in sorted(last.items()):
        if before.get(worker) != state:
            found.append((time, worker, state))
        before[worker] = state
    return found


def _holds(worker: Worker) -> bool:
    """Tell whether a worker has anything to do, or keeps what others will ask for."""
    queues = (
        worker.waiting, worker.unseen, worker.active, worker.swapped, worker.ready,
        worker.incoming, worker.leaving,
    )  # fmt: skip
    return any(queues) or worker.current is not None or worker.memory.used > 0
