"""Time of the fast engine: SimPy's, and beside it the requests whose time of arrival is known."""

from collections.abc import Callable, Iterator
from heapq import heappop
from math import inf
from typing import Any

from simpy.core import EmptySchedule

from tsdl.runtime.clock import ARRIVAL, OBSERVER, Clock
from tsdl.runtime.request import Request

# Lets those arrive at once who come before a time, as far as that changes nothing else. It takes
# the next, and all after it; it returns the last that has come, if one has, and the next.
LetIn = Callable[[Request, Iterator[Request], float], tuple[Request | None, Request | None]]


class FastClock(Clock):
    """A clock that knows when requests arrive: they come in order, and need no event each."""

    def __init__(self) -> None:
        """Begin with nothing to come."""
        super().__init__()
        self.happened: list[float] = []  # the priorities of events at this time, in their order
        self.highest = 0.0  # of them
        self.guarded = False  # whether a limit may stop the run at any time
        self._landed: list[tuple[float, float]] = []  # what has happened ahead: when, and its rank
        self._requests: Iterator[Request] = iter(())
        self._arrive: Callable[[Request], None]
        self._rank: Callable[[Request], float]
        self._coming = inf  # when the next request arrives
        self._request: Request | None = None
        self.let_in: LetIn | None = None

    def let_arrive(
        self,
        requests: Iterator[Request],
        rank: Callable[[Request], float],
        arrive: Callable[[Request], None],
    ) -> None:
        """Let requests arrive, each at its time and with its rank."""
        self._requests, self._rank, self._arrive = requests, rank, arrive
        self._next_request()

    def _next_request(self) -> None:
        request = self._request = next(self._requests, None)
        self._coming = inf if request is None else request.arrived

    def pass_to(self, time: float) -> None:
        """Let time go to where somebody looks on, after all that happens then."""
        if time != self.now:
            self._begin(time)
        self.happened.append(OBSERVER)
        self.highest = OBSERVER
        self._now = self.now = time

    def land(self, time: float, rank: float) -> None:
        """Note that something has happened ahead of time, before all that is to come."""
        self._landed.append((time, rank))

    def _begin(self, time: float) -> None:
        """Begin a time, with what has happened then ahead of it."""
        self.happened.clear()
        self.highest = 0.0
        if self._landed:
            self.happened += [rank for at, rank in self._landed if at == time]
            self.highest = max(self.happened, default=0.0)
            self._landed = [(at, rank) for at, rank in self._landed if at > time]

    def passed_now(self) -> int:
        """Return how many events there were at this time."""
        return len(self.happened)

    def has_passed(self, rank: float, since: int) -> bool:
        """Tell whether what has a rank has been before something that happened at this time.

        Of what happened, what came first does not count: so much that it was `since` then.
        """
        if self.highest <= rank:
            return False
        return max(self.happened[since:], default=0.0) > rank

    @property
    def waiting(self) -> float:
        """Return how many events are to come, all arrivals as one."""
        return len(self._queue) + (self._request is not None)

    def peek(self) -> float:
        """Return the time of what happens next."""
        return min(super().peek(), self._coming)

    def step(self) -> None:
        """Let the next arrival or event happen."""
        queue: list[Any] = self._queue
        time, priority, request = self._coming, ARRIVAL, self._request
        if queue and queue[0][0] <= time:
            first, rank = queue[0][:2]
            # All arrivals come before what is not one, and among themselves by their ranks.
            if first < time or request is None or rank < self._rank(request):
                time, priority, request = first, rank, None
        elif request is None:
            raise EmptySchedule
        if time != self.now:
            self._begin(time)
        if priority > self.highest:  # noqa: PLR1730 (often: `max` is slower)
            self.highest = priority
        self.happened.append(priority)
        self._now = self.now = time
        if request is not None:
            self._next_request()
            self._arrive(request)
            if self.let_in is not None and self._request is not None:
                self._let_in(self.let_in, self._request, queue[0][0] if queue else inf)
        elif callable(function := queue[0][3]):
            heappop(queue)
            function()
        else:
            super().step()

    def _let_in(self, let_in: LetIn, request: Request, until: float) -> None:
        """Let many arrive at once, before a time when something else happens."""
        last, self._request = let_in(request, self._requests, until)
        if last is None:
            return
        self._coming = inf if self._request is None else self._request.arrived
        if last.arrived != self.now:
            self._begin(last.arrived)
        rank = self._rank(last)
        self.happened.append(rank)
        self.highest = max(self.highest, rank)
        self._now = self.now = last.arrived
