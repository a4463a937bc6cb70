"""What all parts of a run share: the clock, the workers and how they are connected, the tiers."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf

import simpy
from msgspec.structs import replace

from tsdl.diagnostics import Diagnostic, Severity
from tsdl.errors import TsdlError
from tsdl.plan import Plan, Workers
from tsdl.runtime.clock import BOUNDARY, Clock
from tsdl.runtime.network import Line, Network, Port, line
from tsdl.runtime.pending import Pending
from tsdl.runtime.request import Request
from tsdl.runtime.sharedtiers import SharedTier
from tsdl.runtime.tiers import Tier
from tsdl.runtime.worker import Worker

MOST_AT_ONCE = 1000  # how often one request, or one worker, may be dealt with at one time
MOST_IN_VAIN = 100_000  # iterations and hand-overs in a row that get nothing any further


@dataclass(slots=True)
class Transfers:
    """How large each transfer of KV was, and how long it took."""

    size: array[int] = field(default_factory=lambda: array("q"))
    seconds: array[float] = field(default_factory=lambda: array("d"))

    def append(self, size: int, seconds: float) -> None:
        """Note a transfer."""
        self.size.append(size)
        self.seconds.append(seconds)


@dataclass(slots=True)
class Notes:
    """What handlers have logged and recorded, and which transfers of KV there were."""

    log: list[tuple[float, str]] = field(default_factory=list)
    records: list[tuple[float, int, str, float]] = field(default_factory=list)
    transfers: Transfers = field(default_factory=Transfers)


class System:
    """The parts of a cluster, and the way to wake a worker."""

    def __init__(self, plan: Plan, clock: Clock, made: Callable[[int, int, int], Worker]) -> None:
        """Set up workers, ports and tiers; nothing has happened yet.

        `made` returns a worker of a number, the number of its group, and that of its node.
        """
        self.plan = plan
        self.clock = clock
        self.network = Network(self.clock)
        self.workers: list[Worker] = []
        self.up: list[Worker] = []  # of them, those that policies see
        self.pending = Pending()  # requests that no worker took, as policies see them
        self.ports: list[Line] = []  # of each worker, to others
        self.hosts: list[Line] = []  # of each worker, to memory beside the devices
        self.rails: list[Line | None] = []  # of each worker, to the gate of its node
        self.gates: dict[int, Line] = {}  # of each node, to the network
        self.nodes: list[str] = []  # the name of each worker's node
        self._ways: dict[tuple[int, int], Port] = {}  # of two workers alone
        models = plan.models
        self.longest = longest = max(model.context for model in models)
        for index, (group, node) in enumerate(_nodes(plan.workers)):
            kind = plan.workers[group]
            worker = made(index, group, node)
            worker.serves = models.index(kind.model)
            worker.memory.serve(kind.model.context, longest)
            self.workers.append(worker)
            self.ports.append(line(f"{kind.name} {index}", kind.port))
            self.hosts.append(line(f"host of {kind.name} {index}", kind.host))
            rail = f"rail of {kind.name} {index}"
            self.rails.append(None if kind.rail is None else line(rail, kind.rail))
            self.nodes.append(kind.node)
            if kind.network is not None and node not in self.gates:
                self.gates[node] = line(f"node {kind.node or index}", kind.network)
        self.tiers = [SharedTier(t) if t.shares else Tier(t) for t in plan.tiers]
        self.notes = Notes()
        # By the leader of a gang: what wakes it; and about which something changed since it looked.
        self.idle: dict[int, simpy.Event] = {}
        self.stirred: set[int] = set()
        # When there were iterations and hand-overs since anything got further, or arrived; when
        # that was last, as far as it is seen; and how to look for what is not.
        self.vain: list[float] = []
        self.progressed = -inf
        self.progress_unseen: Callable[[], float] = lambda: -inf
        self._asking = False
        self._instant = -1.0
        self._dealt: dict[tuple[str, int], int] = {}

    def route(self, source: Worker, target: Worker) -> tuple[Port, ...]:
        """Return the ports that a transfer between two workers takes, in order."""
        out, into = self.ports[source.id].out, self.ports[target.id].into
        if source.node == target.node:
            between = self._between(source, target)
            return (out, into) if between is None else (out, between, into)
        own, other = self.rails[source.id], self.rails[target.id]
        return (
            out,
            *((own.out,) if own else ()),
            self.gates[source.node].out,
            self.gates[target.node].into,
            *((other.into,) if other else ()),
            into,
        )

    def _between(self, source: Worker, target: Worker) -> Port | None:
        """Return what two workers have between them alone; None where ports are all there is."""
        one, other = source.kind, target.kind
        if one.port.pair is None and other.port.pair is None:
            return None
        ends = source.id, target.id
        if one.port.duplex == "half":
            ends = min(ends), max(ends)
        if ends not in self._ways:
            pair = min(port.pair for port in (one.port, other.port) if port.pair is not None)
            way = replace(one.port, bandwidth=pair * one.devices * other.devices)
            self._ways[ends] = line(f"{one.name} {ends[0]} to {other.name} {ends[1]}", way).out
        return self._ways[ends]

    def way_to(self, tier: Tier, worker: Worker, *, into: bool) -> tuple[Port, ...]:
        """Return the ports between a worker and a tier: that to its host, and the tier's link."""
        host = self.hosts[worker.id]
        if tier.line is None:
            return (host.out,) if into else (host.into,)
        return (host.out, tier.line.into) if into else (tier.line.out, host.into)

    def tier(self, name: str, worker: int, node: str = "") -> Tier | None:
        """Return the tier of a name: of a node, if one is given, of a worker's, else that of all.

        The worker is given by its number, below 0 for none.
        """
        found = {t.plan.node: t for t in self.tiers if t.plan.name == name}
        nodes = [node, self.nodes[worker] if worker >= 0 else ""]
        return next((found[n] for n in nodes if n and n in found), found.get(""))

    def wake(self, worker: Worker) -> None:
        """Let a worker look at its queues: at once if it is idle, else at its next boundary."""
        if worker.woken is not None:
            worker.woken()
            return
        worker.stir()
        self._wake(worker)

    def _wake(self, worker: Worker) -> None:
        waker = self.idle.pop(worker.leader, None)
        if waker is None:
            self.stirred.add(worker.leader)
        else:  # a boundary: whatever else happens at this time comes first
            self.clock.fire(waker, self.clock.now, BOUNDARY + worker.leader)

    def count(self, what: str, number: int, doing: str) -> None:
        """Count that something is dealt with; at one time that cannot go on for ever.

        Raises TsdlError where it does.
        """
        if self.clock.now != self._instant:
            self._instant = self.clock.now
            self._dealt.clear()
        times = self._dealt[what, number] = self._dealt.get((what, number), 0) + 1
        if times > MOST_AT_ONCE:
            title = f"the policy goes round and round at {self.clock.now:g} s"
            help_ = _CHANGED
            if doing == FAILS:
                title, help_ = f"workers fail without end at {self.clock.now:g} s", _LONGER
            note = f"that was after {MOST_AT_ONCE:,} times at one time"
            raise TsdlError([_endless(f"{title}: {what} {number} {doing}", note, help_)])

    def count_request(self, request: Request) -> None:
        """Count that a request is sent on."""
        self.count("request", request.id, "is sent on again and again")

    def give(self, request: Request, worker: Worker) -> None:
        """Let a worker take a request that has no KV, and look at it."""
        worker.enqueue(request, self.clock.now)
        if worker.woken is None:
            self._wake(worker)

    def progress(self, time: float) -> None:
        """Note that something has come of what was done: a token, an arrival, an end.

        Who tells of it behind the clock takes nothing off what has been in vain since then.
        """
        if time >= self.clock.now:
            self.vain.clear()
            self._dealt.clear()
        if time > self.progressed:  # noqa: PLR1730 (often: `max` is slower)
            self.progressed = time

    def tire(self, time: float) -> None:
        """Count what may be in vain. Raises TsdlError where nothing comes of it for too long.

        Behind the clock it may be told too early: not in which order things were at one time.
        """
        self.vain.append(time)
        if len(self.vain) <= MOST_IN_VAIN or self._asking:
            return
        self._asking = True  # workers that catch up may tell of more
        last = max(self.progressed, self.progress_unseen())
        self._asking = False
        self.vain = [time for time in self.vain if time >= last]
        if len(self.vain) > MOST_IN_VAIN:
            here = sorted(
                r.id for w in self.workers for r in (*w.waiting, *w.unseen, *w.active, *w.incoming)
            )
            shown = ", ".join(map(str, here[:10])) + (", …" if len(here) > 10 else "")  # noqa: PLR2004
            whose = f"requests {shown}" if shown else "requests that wait for a worker"
            title = f"the policy goes round and round: no token comes of {whose}"
            note = f"that was after {MOST_IN_VAIN:,} iterations and hand-overs in a row"
            if any(kind.failures is not None for kind in self.plan.workers):
                title = f"workers fail again and again: no token comes of {whose}"
                note = f"that was after {MOST_IN_VAIN:,} iterations, failures and starts in a row"
                raise TsdlError([_endless(title, note, _LONGER)])
            raise TsdlError([_endless(title, note)])


FAILS = "fails"  # what is counted of workers that do
_CHANGED = (
    "let a handler send a request on only when something has changed, such as "
    "`when r.preemptions == 0`"
)
_LONGER = "let workers be up for longer than a request takes: `failures` gives the time"


def _endless(title: str, note: str, help_: str = _CHANGED) -> Diagnostic:
    return Diagnostic(
        "E0903",
        Severity.ERROR,
        title,
        None,
        notes=(note,),
        help=(help_,),
    )


def _nodes(kinds: Sequence[Workers]) -> list[tuple[int, int]]:
    """Return the group and the number of the node of every worker, in order of declaration."""
    found: list[tuple[int, int]] = []
    known: dict[str, int] = {}
    count = 0
    for group, kind in enumerate(kinds):
        for _ in range(kind.count):
            if kind.alone:
                node, count = count, count + 1
            else:
                if kind.node not in known:
                    known[kind.node], count = count, count + 1
                node = known[kind.node]
            found.append((group, node))
    return found
