"""What must hold of an engine at every boundary of a worker.

`Watch` is an observer of the reference engine: it looks at the workers' queues and memory, at the
tiers and the network, not at how they came about.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import chain
from math import inf
from typing import TYPE_CHECKING

from tests.right_iterations import idling_is_right, watch_iterations
from tsdl.runtime.engine import Engine
from tsdl.runtime.handover import RemoteSwap
from tsdl.runtime.prefixes import PrefixMemory
from tsdl.runtime.request import FINISHED, REJECTED, UNFINISHED, Request

if TYPE_CHECKING:
    from tsdl.runtime.network import Network
    from tsdl.runtime.tiers import Tier
    from tsdl.runtime.worker import Worker

ROUNDING = 1e-9  # relative, of sums of rates


@dataclass
class Watch:
    """An observer that fails at the first boundary at which something does not hold.

    Where there are many requests or workers, it looks at all of them only `every` so many times.
    """

    engine: Engine | None = None
    now: float = 0.0
    boundaries: int = 0
    every: int = 1
    begun: dict[int, tuple[Worker, int]] = field(default_factory=dict)  # hand-overs: to whom, size
    starting: dict[int, list[Request]] = field(default_factory=dict)  # who is computed on at last
    arrived: list[Request] = field(default_factory=list)  # by number

    def attach(self, engine: Engine) -> None:
        """Watch an engine, and what it puts together, before it runs."""
        self.follow(engine)
        begin = engine.handover._begin

        def noted(request: Request, worker: Worker) -> None:
            copy = request.copy
            begin(request, worker)
            assert request.source is not None
            assert request in worker.incoming
            assert request.copy is copy or copy is None or copy.worker is not worker
            self.begun[request.id] = (worker, worker.memory.needed(request))

        expect = engine.handover.expect

        def anew(request: Request, target: Worker) -> None:
            self.begun.pop(request.id, None)
            expect(request, target)

        setattr(engine.handover, "_begin", noted)  # noqa: B010
        setattr(engine.handover, "expect", anew)  # noqa: B010
        for worker in engine.workers:
            watch_iterations(worker, self.starting)

    def follow(self, engine: Engine) -> None:
        """Watch an engine, and remember who arrives: it forgets who is closed."""
        self.engine = engine
        open_ = engine.ledger.open

        def opened(request: Request) -> None:
            open_(request)
            assert request.id == len(self.arrived)
            self.arrived.append(request)

        setattr(engine.ledger, "open", opened)  # noqa: B010 (mypy lets nobody assign to a method)

    def on_its_way(self, request: Request) -> int:
        """Return the bytes that a request's target has reserved since its hand-over began."""
        worker, size = self.begun.get(request.id, (None, 0))
        if worker is None or request not in worker.incoming or not request.busy:
            self.begun.pop(request.id, None)
            return 0
        return size

    def __call__(self, _: Worker, now: float) -> None:
        """Check everything, of every worker: nothing may happen to the others, either."""
        assert self.engine is not None
        assert now >= self.now, f"time goes back from {self.now} to {now}"
        self.now = now
        self.boundaries += 1
        if self.boundaries % self.every == 0:
            self.look(self.engine)
            live = self.engine.ledger.live.values()  # some have just finished, and are not closed
            open_ = [r for r in self.arrived if r.status == UNFINISHED]
            assert [r for r in live if r.status == UNFINISHED] == open_

    def look(self, engine: Engine) -> None:
        """Check all that is there."""
        by_place = requests_by_place(self.arrived)
        for worker in engine.workers:
            memory_is_what_is_held(self, worker, by_place)
            requests_run_within_limits(worker)
            loads_are_what_they_are_called(worker)
            iterations_begin_when_they_are_said_to(engine, worker, self.starting)
            if worker.leader in engine.system.idle:
                idle_worker_has_nothing_to_do(engine, worker)
        for tier in engine.system.tiers:
            tier_is_what_is_kept(tier, by_place)
        rates_are_fair(engine.system.network)
        for request in self.arrived:
            tokens_are_conserved(request)
            chain_goes_on(engine, request)
        each_request_is_in_one_place(engine, self.arrived)


# -- at a boundary -----------------------------------------------------------------------------


def requests_by_place(arrived: list[Request]) -> dict[int, list[tuple[str, Request]]]:
    """Return who has something in the memory of others, by the identity of the place."""
    found: dict[int, list[tuple[str, Request]]] = {}
    for request in arrived:
        if request.swapped_to is not None:
            found.setdefault(id(request.swapped_to), []).append(("swapped", request))
        if request.copy is not None:
            found.setdefault(id(request.copy.worker), []).append(("copy", request))
    return found


def memory_is_what_is_held(
    watch: Watch, worker: Worker, by_place: dict[int, list[tuple[str, Request]]]
) -> None:
    memory = worker.memory
    here = [*worker.active, *worker.ready, *worker.leaving]
    held = memory.retired  # of those that have ended since an asynchronous one saw it
    if isinstance(memory, PrefixMemory):
        held += shared_bytes(memory, here)
    else:
        held += sum(r.held for r in here)
    coming = {r.id: watch.on_its_way(r) for r in worker.incoming}
    guests = 0
    for what, request in by_place.get(id(worker), ()):
        if what == "swapped":
            guests += request.held
        elif not coming.get(request.id) and request.copy is not None:
            guests += request.copy.held  # once it comes, it is part of what was reserved for it
    assert memory.used == held + sum(coming.values()) + guests, (
        f"{memory.used} bytes in use, {held} held, {coming} on their way, {guests} of others"
    )
    assert memory.swapped == sum(r.held for r in worker.swapped if r.swapped_to is None)
    assert 0 <= memory.used <= memory.peak <= memory.capacity
    assert 0 <= memory.swapped <= memory.swap_space
    assert worker.arriving >= 0
    waiting = (*worker.waiting, *worker.unseen)
    assert all(r.held == 0 for r in waiting), "who waits holds nothing"
    for request in (*worker.active, *worker.swapped, *worker.ready):
        least = memory.needed(request, request.computed) if request.computed else 0
        assert request.held >= least, "what is computed is held"


def shared_bytes(memory: PrefixMemory, here: list[Request]) -> int:
    """Return what requests hold, each block once; and see that each is live or free."""
    holders = {id(r): r for r in (*here, *memory.holders())}.values()
    own = sum(r.held - len(memory.chain(r)) * int(memory.block) for r in holders)
    live = {key for r in holders for key in memory.chain(r)}
    return own + len(live) * int(memory.block)


def queued_on(worker: Worker) -> list[Request]:
    """Return who is on a worker and does not run, whether it knows of them yet or not."""
    queues = (worker.waiting, worker.unseen, worker.swapped, worker.ready, worker.incoming)
    return list(chain(*queues))


def requests_run_within_limits(worker: Worker) -> None:
    assert worker.running <= worker.local.max_requests
    for request in worker.active:
        assert request.active
        assert not request.done or worker.local.batching == "static", "only padding is done"
        assert worker.decodes or not worker.prefills or not request.swapped_to
    for request in queued_on(worker):
        assert not request.active
        assert not request.done
    assert all(r.prefilled for r in worker.swapped), "half a prefill is not worth swapping"
    for request in worker.leaving:
        assert not request.active
        assert request.source is worker if not request.done else request.resting, (
            "who leaves holds memory until its KV is elsewhere"
        )


def loads_are_what_they_are_called(worker: Worker) -> None:
    queued = queued_on(worker)
    here = [*queued, *worker.active]
    assert all(r.worker == worker.id for r in here)
    assert all(r.node == worker.node for r in here)
    assert worker.running == len(worker.active) + worker.ended
    assert worker.queued == len(queued)
    assert worker.outstanding == sum(not r.done for r in here)
    assert worker.outstanding_tokens == sum(map(_outstanding, here))


def _outstanding(request: Request) -> int:
    prompt = request.prompt if request.first is None else 0
    return prompt + request.output - request.generated


def iterations_begin_when_they_are_said_to(
    engine: Engine, worker: Worker, starting: dict[int, list[Request]]
) -> None:
    begun = engine.begun.get(worker.id)
    if begun is not None and worker.current is not None:  # else its gang's, in which it has none
        for request in starting.pop(worker.id, ()):
            assert request.started == begun[0], f"{request} was said to start before its iteration"


def tier_is_what_is_kept(tier: Tier, by_place: dict[int, list[tuple[str, Request]]]) -> None:
    swapped = sum(request.held for _, request in by_place.get(id(tier), ()))
    assert tier.used == sum(e.size for e in tier.entries.values()) + swapped
    assert tier.loose == sum(e.size for e in tier.entries.values() if not e.pinned)
    assert 0 <= tier.used <= tier.peak <= tier.plan.capacity
    assert tier.found <= tier.asked
    assert tier.hits <= tier.fetches
    for key, entry in tier.entries.items():
        assert entry.key == key == entry.request.session
        assert entry.pinned >= 0
        assert entry.size >= 0


def rates_are_fair(network: Network) -> None:
    """Check that rates are max-min fair: each transfer has a full port on which none is faster."""
    used: dict[int, float] = {}
    fastest: dict[int, float] = {}
    oldest: dict[int, object] = {}
    for flow in network.flows:
        for port in set(flow.ports):
            used[id(port)] = used.get(id(port), 0.0) + flow.rate
            fastest[id(port)] = max(fastest.get(id(port), 0.0), flow.rate)
            if port.fifo:
                oldest.setdefault(id(port), flow)
    for flow in network.flows:
        assert flow.left >= -1
        assert flow.end >= network.clock.now
        assert all(used[id(p)] <= p.bandwidth * (1 + ROUNDING) for p in flow.ports)
        if any(p.fifo and oldest[id(p)] is not flow for p in flow.ports):
            assert flow.rate == 0, "it is not its turn"
            continue
        assert 0 < flow.rate < inf
        assert flow.end < inf
        assert any(
            used[id(p)] >= p.bandwidth * (1 - ROUNDING)
            and flow.rate >= fastest[id(p)] * (1 - ROUNDING)
            for p in flow.ports
        ), "it could go faster, and slow nobody that is slower"
    assert network.waiting >= 0


def tokens_are_conserved(request: Request) -> None:
    assert 0 <= request.generated <= request.output
    assert 0 <= request.computed <= request.prompt + request.generated
    assert (request.generated > 0) == (request.first is not None) == (request.last is not None)
    assert (request.status == FINISHED) == (request.generated == request.output)
    assert request.cached >= 0
    assert request.moved >= 0
    assert request.moving >= 0
    if request.prefilled:  # all but the token that came last
        assert request.computed == request.prompt + request.generated - 1


def chain_goes_on(engine: Engine, request: Request) -> None:
    """Check that somebody will go on with what is to be done with a request."""
    if request.chain is not None:
        waits = any(request in found for found in engine.actions.deferred.values())
        assert request.busy or waits, f"nobody goes on with {request}"


def each_request_is_in_one_place(engine: Engine, arrived: list[Request]) -> None:
    here = Counter(
        r.id
        for worker in engine.workers
        for r in chain(queued_on(worker), (a for a in worker.active if not a.done))
    )
    queued = Counter(r.id for r in engine.system.pending)
    here.update(queued.keys())
    here.update(r.id for r in arrived if r.status in (FINISHED, REJECTED))
    for request in arrived:
        assert here[request.id] == 1, f"{request} is in {here[request.id]} places"
        assert queued[request.id] <= 1, f"{request} is to be dispatched {queued[request.id]} times"
        assert request.loose == (queued[request.id] == 1)
    leaving = Counter(r.id for worker in engine.workers for r in worker.leaving)
    assert all(times == 1 for times in leaving.values())
    assert engine.open >= sum(r.status == UNFINISHED for r in arrived)


# -- a worker that idles -----------------------------------------------------------------------


def idle_worker_has_nothing_to_do(engine: Engine, worker: Worker) -> None:
    """Check that nothing was overlooked: nobody woke it, and it would find nothing."""
    (gang,) = [gang for gang in engine.gangs if worker in gang.ranks]
    if any(waits_for_kv(rank) for rank in gang.ranks):
        return
    assert engine.handover.next_of(worker) is None, "KV could come, and nobody lets it"
    if worker.holds_back(engine.clock.now) is None:
        idling_is_right(worker)


def waits_for_kv(worker: Worker) -> bool:
    """Tell whether a worker, and with it its gang, does nothing until KV is where it should be."""
    swap = worker.swapper
    if isinstance(swap, RemoteSwap) and swap.moves.get(worker.id):
        return True
    return worker.kind.handoff == "sequential" and any(r.busy for r in worker.incoming)
