"""What every worker did in a stretch of time, as plain data: what a trace is made of."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tsdl.runtime.samples import Changes, state_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from tsdl.runtime.batching import Iteration
    from tsdl.runtime.worker import Worker

MOST_EVENTS = 500_000  # iterations, transfers and marks: up to 300 MB of text
FEATURES = ("tokens", "prefills", "prefill_tokens", "prefill_contexts", "decodes", "contexts")


class Place(NamedTuple):
    """Where and when a slice begins: on a track of a worker, at a time in seconds."""

    worker: int
    kind: str  # of the track: `iterations` or `transfers`
    number: int  # of the stage, or of the lane
    time: float


class Transfer(NamedTuple):
    """Bytes on their way, from its begin (its latency counts) to its end."""

    place: Place
    end: float
    what: str
    request: int
    size: int
    way: tuple[str, ...]  # names of the ports


class Mark(NamedTuple):
    """Something that takes no time; worker −1 for the cluster."""

    time: float
    worker: int
    what: str
    request: int


@dataclass(slots=True)
class Iterations:
    """Columns of one length: a row for each iteration, and in pipelines for each of its stages."""

    worker: array[int] = field(default_factory=lambda: array("q"))
    stage: array[int] = field(default_factory=lambda: array("q"))
    begin: array[float] = field(default_factory=lambda: array("d"))
    end: array[float] = field(default_factory=lambda: array("d"))
    features: array[int] = field(default_factory=lambda: array("q"))  # all of a row after another

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(self.begin)


class Tokens(NamedTuple):
    """When each token came (s), in order of time, and of which request it is."""

    request: npt.NDArray[np.int64]
    time: npt.NDArray[np.float64]


@dataclass(slots=True)
class NotedTokens:
    """The same while a run goes on."""

    request: array[int] = field(default_factory=lambda: array("q"))
    time: array[float] = field(default_factory=lambda: array("d"))

    def columns(self) -> Tokens:
        """Return them as columns of numpy."""
        return Tokens(np.array(self.request, np.int64), np.array(self.time, np.float64))


class Timeline:
    """What was seen from `begin` to `end`, in seconds; `end` comes down where that is too much.

    `chains` holds, for each request whose KV has travelled, where it was computed, how it went and
    where it was computed on.
    """

    def __init__(self, begin: float = 0.0, end: float = inf, most: int | None = None) -> None:
        """Have seen nothing. Raises ValueError for a stretch of time that there cannot be."""
        if not 0 <= begin < end:
            raise ValueError(f"a trace cannot go from {begin:g} s to {end:g} s")
        self.begin, self.end = begin, end
        self.cut = False  # whether there was too much
        self.iterations = Iterations()
        self.transfers: list[Transfer] = []
        self.marks: list[Mark] = []
        self.states: list[Changes] = []
        self.chains: dict[int, list[Place]] = {}
        self._most = MOST_EVENTS if most is None else most
        self._awaited: set[int] = set()  # whose KV has come, and who are not computed on yet
        self._under_way: dict[int, Transfer] = {}
        self._sent = 0  # transfers that are shown
        self._lanes: dict[int, list[bool]] = {}  # of each worker: which are taken

    def watch(self, workers: Sequence[Worker]) -> None:
        """Begin with the state of all workers at 0."""
        self.states = [Changes(worker.id, state_of(worker)) for worker in workers]

    def __len__(self) -> int:
        """Return how many events there are."""
        return len(self.iterations) + len(self.transfers) + len(self.marks)

    def _shows(self, begin: float, end: float) -> bool:
        """Tell whether something is within the time, and there is room for it."""
        if begin >= self.end or end < self.begin:
            return False
        if len(self) + len(self._under_way) >= self._most:
            self.end, self.cut = begin, True
            return False
        return True

    def note_state(self, worker: Worker, now: float) -> None:
        """Note the queues and the memory of a worker at a boundary."""
        if self.begin <= now < self.end:
            self.states[worker.id].note(state_of(worker), now)

    def note_iteration(
        self, worker: Worker, iteration: Iteration, begin: float, end: float, stage: int = 0
    ) -> int | None:
        """Note an iteration, or a stage of it; return its row, if it has one."""
        if not self._shows(begin, end):
            return None
        rows = self.iterations
        rows.worker.append(worker.id)
        rows.stage.append(stage)
        rows.begin.append(begin)
        rows.end.append(end)
        rows.features.extend([getattr(iteration.batch, name) for name in FEATURES])
        if stage == 0:
            self._follow(iteration, Place(worker.id, "iterations", 0, begin))
        return len(rows) - 1

    def _follow(self, iteration: Iteration, place: Place) -> None:
        """Put an iteration into the chains of the requests whose KV has come or will go."""
        for request, _ in iteration.prefills:
            chain = self.chains.setdefault(request.id, [])
            if request.id in self._awaited:
                self._awaited.discard(request.id)
                chain.append(place)
            elif not chain or (len(chain) == 1 and chain[0].kind == place.kind):
                chain[:] = [place]  # the last part of the prompt, before it travels
        for request in iteration.decodes if self._awaited else ():
            if request.id in self._awaited:
                self._awaited.discard(request.id)
                self.chains[request.id].append(place)

    def begin_transfer(
        self, worker: int, what: str, request: int, size: int, way: tuple[str, ...], now: float
    ) -> int | None:
        """Note that bytes go on their way; return the number of the transfer, if it is shown.

        Those of a worker that overlap are on lanes of their own.
        """
        if not self._shows(now, inf):
            return None
        lanes = self._lanes.setdefault(worker, [])
        if all(lanes):
            lanes.append(False)
        lane = lanes.index(False)
        lanes[lane] = True
        place = Place(worker, "transfers", lane, now)
        number = self._sent
        self._sent += 1
        self._under_way[number] = Transfer(place, inf, what, request, size, way)
        if what != "store":
            self.chains.setdefault(request, []).append(place)
        return number

    def end_transfer(self, number: int, now: float) -> None:
        """Note that all bytes of a transfer are there."""
        found = self._under_way.pop(number)
        self._lanes[found.place.worker][found.place.number] = False
        if now >= self.begin:
            self.transfers.append(found._replace(end=now))
        if found.what != "store":
            self._awaited.add(found.request)

    def note(self, now: float, worker: int, what: str, request: int) -> None:
        """Note something that takes no time."""
        if self._shows(now, now):
            self.marks.append(Mark(now, worker, what, request))

    def close(self, request: int) -> None:
        """Let a request go that has ended."""
        self._awaited.discard(request)
        if len(self.chains.get(request, ())) == 1:
            del self.chains[request]

    def finish(self, end: float) -> None:
        """Note that the run has ended: nothing lasts longer."""
        for number in list(self._under_way):
            self.end_transfer(number, end)
        rows = self.iterations
        for row, until in enumerate(rows.end):
            if until > end:
                rows.end[row] = max(end, rows.begin[row])
