"""Requests that no worker took: in what order they are asked again, and who waits for whom."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from heapq import heapify, heappop, heappush
from itertools import chain
from typing import TYPE_CHECKING, Any

from tsdl import pythonsource
from tsdl.formula import NOW, every_part, symbol
from tsdl.parts import of_clause
from tsdl.runtime.states import is_state

if TYPE_CHECKING:
    from tsdl.formula import Value
    from tsdl.plan import Global
    from tsdl.runtime.clock import Clock
    from tsdl.runtime.request import Request

Key = tuple[Any, ...]
Entry = tuple[Key, int, "Request"]  # the key, who came to wait first, the request


class Order:
    """What a global stage says of those who wait: their keys, and the lane that each is in."""

    def __init__(self, stage: Global, names: Mapping[str, object], clock: Clock) -> None:
        """Compile the clause, which may read these names besides the request."""
        self._policy, self._names = stage.policy, names
        self._keys = [self._function("queue by", key) for key in stage.queue_by]
        self._lane = None if stage.lane is None else self._function("queue in", stage.lane)
        said = (*stage.queue_by, *(() if stage.lane is None else (stage.lane,)))
        self.alone = stage.lane is None  # whether there is one lane
        parts = {part for value in said for part in every_part(value)}
        read = [state for name, state in names.items() if symbol(name) in parts]
        self._states = [state for state in read if is_state(state)]
        self._timed = NOW in parts or any(state.passes for state in self._states)
        self._clock = clock

    def as_of(self) -> tuple[int, float]:
        """Return what keys and lanes go by beside the requests: while it stays, they do."""
        changes = sum([state.changes for state in self._states])
        return changes, self._clock.now if self._timed else 0.0

    def _function(self, clause: str, value: Value) -> Callable[[Request], Any]:
        part, source = of_clause(self._policy, clause), pythonsource.python(value)
        return pythonsource.function(part, "r", source, dict(self._names))  # type: ignore[no-any-return]

    def key(self, request: Request) -> Key:
        """Return by what a request is compared with others."""
        return tuple([key(request) for key in self._keys])

    def lane(self, request: Request) -> Any:  # noqa: ANN401 (any number, or a truth value)
        """Return the lane of a request; one that stays holds up those behind it in its own."""
        return 0 if self._lane is None else self._lane(request)


class Queue:
    """Those who wait for one event to be told of them again, lane by lane."""

    def __init__(self, order: Order) -> None:
        """Begin with nobody."""
        self._order = order
        self.waiting: dict[Request, Entry] = {}  # in the order in which they came
        self._lanes: dict[Any, list[Entry]] = {}  # each in its order; some may be gone
        self._came = 0
        self._as_of = order.as_of()  # what they were put in their order by

    def __bool__(self) -> bool:
        """Tell whether anybody waits."""
        return bool(self.waiting)

    def __contains__(self, request: object) -> bool:
        """Tell whether a request waits."""
        return request in self.waiting

    def __iter__(self) -> Iterator[Request]:
        """Yield who waits, in the order in which they came."""
        return (request for request in self.waiting if request.loose)

    def add(self, request: Request) -> None:
        """Let a request wait."""
        self._came += 1
        entry = self.waiting[request] = (self._order.key(request), self._came, request)
        insort(self._lanes.setdefault(self._order.lane(request), []), entry)

    def discard(self, request: Request) -> None:
        """Let a request wait no more, if it did."""
        self.waiting.pop(request, None)

    def holds_up(self, request: Request) -> bool:
        """Tell whether somebody waits in the lane of a newcomer whose turn is before its own."""
        if not self.waiting:
            return False
        self._see_order()
        first = self._first(self._order.lane(request))
        return first is not None and first[0] <= self._order.key(request)

    def ask(self, ask: Callable[[Request], None]) -> None:
        """Ask each who waits in its turn; one that stays holds up those behind it in its lane."""
        if not self.waiting:
            return
        self._see_order()
        while self._order.alone and (first := self._first(0)) is not None:
            ask(first[-1])
            if self._is_there(first):
                return
            self.discard(first[-1])
            self._see_order()  # its handler may have changed what others wait by
        held: set[Any] = set()
        came = -1
        while came != self._came:  # others may have come meanwhile
            came = self._came
            turns = [
                (first[:2], lane)
                for lane in [*self._lanes]
                if lane not in held and (first := self._first(lane)) is not None
            ]
            heapify(turns)
            while turns:
                _, lane = heappop(turns)
                first = self._first(lane)
                if first is None:
                    continue
                ask(first[-1])
                if self._is_there(first):
                    held.add(lane)
                    continue
                self.discard(first[-1])
                if self._see_order():  # neither keys nor lanes need be what they were
                    came = -1
                    break
                following = self._first(lane)
                if following is not None:
                    heappush(turns, (following[:2], lane))

    def _first(self, lane: Any) -> Entry | None:  # noqa: ANN401 (a number, or a truth value)
        """Return who is first in a lane, and forget who is gone."""
        entries = self._lanes.get(lane)
        if entries is None:
            return None
        gone = 0
        for entry in entries:
            if self._is_there(entry):
                break
            if self.waiting.get(entry[-1]) is entry:
                self.discard(entry[-1])  # a handler of another has dispatched it
            gone += 1
        del entries[:gone]
        if not entries:
            del self._lanes[lane]
            return None
        return entries[0]

    def _is_there(self, entry: Entry) -> bool:
        request = entry[-1]
        return request.loose and self.waiting.get(request) is entry

    def _see_order(self) -> bool:
        """Put those who wait in their order anew, and tell so, where it may be another by now."""
        as_of = self._order.as_of()
        if as_of == self._as_of:
            return False
        self._as_of = as_of
        self._lanes.clear()
        for request, (_, number, _) in [*self.waiting.items()]:
            if request.loose:
                entry = self.waiting[request] = (self._order.key(request), number, request)
                self._lanes.setdefault(self._order.lane(request), []).append(entry)
            else:
                self.discard(request)
        for entries in self._lanes.values():
            entries.sort()
        return True


class Pending:
    """What policies see of those who wait: all of them but the one that is asked about."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._queues: dict[str, Queue] = {}
        self.asked: Request | None = None
        self.later = False  # whether all are to be asked, once a handler has ended

    def begin(self, order: Order) -> dict[str, Queue]:
        """Return the queues of arrivals and of those that were submitted, by the event."""
        self._queues = {event: Queue(order) for event in ("arrive", "submit")}
        return self._queues

    def ask(self, hook: Callable[[Request], None], request: Request) -> None:
        """Call a handler about a request, which it does not see among those who wait."""
        outer, self.asked = self.asked, request
        hook(request)
        self.asked = outer

    def ask_all(self, ask: Callable[[str, Request], None]) -> None:
        """Ask all in their turn; where a handler brings it about, which starts workers, later."""
        self.later = True
        while self.later and self.asked is None:
            self.later = False
            for event, queue in self._queues.items():
                queue.ask(partial(ask, event))

    def __len__(self) -> int:
        """Return how many they are."""
        return sum(1 for _ in self)

    def discard(self, request: Request) -> None:
        """Let a request wait no more, if it did."""
        for queue in self._queues.values():
            queue.discard(request)

    def __iter__(self) -> Iterator[Request]:
        """Yield arrivals, then those that were submitted, as they came to wait."""
        return (request for request in chain(*self._queues.values()) if request is not self.asked)
