"""What must hold of an engine at every boundary of a worker, and once its run has ended.

`Watch` is an observer of the reference engine: it looks at the workers' queues and memory, at the
tiers and the network, not at how they came about. `watched` runs a plan under it, and checks each
iteration as it is put together, and the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from itertools import chain
from math import fsum, inf, isclose, isnan
from typing import TYPE_CHECKING

from tsdl.costs import Batch
from tsdl.runtime.arrivals import generate
from tsdl.runtime.engine import Engine
from tsdl.runtime.handover import RemoteSwap
from tsdl.runtime.outcome import Outcome
from tsdl.runtime.prefixes import PrefixMemory
from tsdl.runtime.request import FINISHED, REJECTED, UNFINISHED, Request
from tsdl.runtime.result import Result

if TYPE_CHECKING:
    from tsdl.plan import Plan
    from tsdl.runtime.arrivals import Arrivals
    from tsdl.runtime.batching import Iteration
    from tsdl.runtime.network import Network
    from tsdl.runtime.tiers import Tier
    from tsdl.runtime.worker import Worker

BLOCK_OF_FEATURES = 16  # tokens of a block in the feature `context_blocks`, whatever the cache has
ROUNDING = 1e-9  # relative, of sums of rates


class TooLongError(Exception):
    """A run has had more events than a test lets it have."""


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
    assert 0 <= tier.used <= tier.peak <= tier.plan.capacity
    assert tier.found <= tier.asked
    assert tier.hits <= tier.fetches
    for key, entry in tier.entries.items():
        assert entry.key == key == entry.request.session
        assert entry.pinned >= 0
        assert entry.size >= 0


def entries_are_as_large_as_their_tokens(engine: Engine) -> None:
    """Check what is kept, once nothing is copied any more: each token once."""
    sizes = {w.memory.bytes_per_token for w in engine.workers}
    for tier in engine.system.tiers:
        for entry in tier.entries.values():
            assert entry.pinned == 0, "nobody copies it, and it is pinned"
            if len(sizes) == 1:
                assert entry.size == int(entry.tokens * next(iter(sizes)))


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
    queued = Counter(r.id for r in chain(engine.pending, engine.submitted) if r.loose)
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


# -- an iteration, as it is put together -------------------------------------------------------


def iteration_is_right(worker: Worker, iteration: Iteration) -> None:
    """Check who is in an iteration, and that its batch says so."""
    requests = [r for r, _ in iteration.prefills] + iteration.decodes
    assert len({r.id for r in requests}) == len(requests), "nobody is in it twice"
    assert all(r in worker.active for r in requests), "who runs is among the running"
    assert worker.decodes or not iteration.decodes
    assert any(not r.done for r in requests), "an iteration of nothing but padding"
    assert all(not r.prefilled and chunk > 0 for r, chunk in iteration.prefills)
    assert not any(in_others(r, iteration) for r in iteration.decodes), "one token after another"
    assert iteration.batch == batch_of(iteration)
    if worker.local.batching == "chunked":
        chunked_iteration_is_right(worker, iteration)
    else:
        separate_iteration_is_right(worker, iteration)


def rests(worker: Worker, request: Request) -> bool:
    """Tell whether a running request is not to be computed on."""
    return request.resting or (request.prefilled and not worker.decodes)


def in_others(request: Request, iteration: Iteration) -> int:
    """Return how many of its tokens are in other iterations in flight: of a pipeline alone."""
    own = sum(chunk for r, chunk in iteration.prefills if r is request)
    return max(request.under_way - own - (request in iteration.decodes), 0)


def could_decode(worker: Worker, iteration: Iteration) -> list[Request]:
    """Return who might be decoded in an iteration, and is, or waits for nobody's memory."""
    found, flies = [], False  # whether somebody behind it, who may be a victim, is in another
    for request in reversed(worker.active):
        if in_others(request, iteration):
            flies = True
        elif (
            request.prefilled
            and not rests(worker, request)
            and (request in iteration.decodes or not flies)
        ):
            found.append(request)
    return found[::-1]


def chunked_iteration_is_right(worker: Worker, iteration: Iteration) -> None:
    assert iteration.batch.tokens <= worker.local.max_tokens
    left_out = {r.id for r in could_decode(worker, iteration)}
    left_out -= {r.id for r in iteration.decodes}
    # One that rested between two chunks of its prompt may have those behind it wait.
    used_up = iteration.batch.tokens == worker.local.max_tokens
    assert not left_out or used_up, "one token for all that decode"


def separate_iteration_is_right(worker: Worker, iteration: Iteration) -> None:
    if iteration.prefills:
        assert not iteration.decodes
        assert all(chunk == r.length - r.computed for r, chunk in iteration.prefills)
        within = iteration.batch.tokens <= worker.local.max_tokens
        assert within or len(iteration.prefills) == 1, "a prompt beyond the budget runs alone"
    else:
        # Actions may have begun since they were put together.
        running = [r.id for r in could_decode(worker, iteration)]
        assert [r.id for r in iteration.decodes if not rests(worker, r)] == running


def batch_of(iteration: Iteration) -> Batch:
    """Sum an iteration up by the definitions of SPEC.md, section 7.2."""
    chunks = [
        (chunk, r.computed + in_others(r, iteration), r.length) for r, chunk in iteration.prefills
    ]
    contexts = [r.length for r in iteration.decodes]
    tokens = sum(c for c, _, _ in chunks) + len(contexts)
    return Batch(
        tokens=tokens,
        requests=len(chunks) + len(contexts),
        last_tokens=sum(cached + c == length for c, cached, length in chunks) + len(contexts),
        prefills=len(chunks),
        prefill_tokens=sum(c for c, _, _ in chunks),
        prefill_contexts=sum(cached + c for c, cached, _ in chunks),
        prefill_products=sum(c * cached for c, cached, _ in chunks),
        prefill_squares=sum(c * c for c, _, _ in chunks),
        decodes=len(contexts),
        contexts=sum(contexts),
        context_blocks=sum(-(-c // BLOCK_OF_FEATURES) for c in contexts),
        longest_context=max(contexts, default=0),
        peer_tokens=tokens,
    )


def idling_is_right(worker: Worker) -> None:
    """Check that a worker without an iteration has nothing that it could run."""
    assert all(r.done or rests(worker, r) for r in worker.active), "somebody could run"
    full = worker.running >= worker.local.max_requests
    static = worker.local.batching == "static"
    if full or (static and worker.active):
        return
    assert not worker.ready, "there is a slot for who came with its KV"
    if worker.swapped:
        request = worker.next_swapped()
        assert request.resting or not worker.may_resume(request), "somebody could come back"
    elif worker.waiting:
        request = worker.next_waiting()
        fits = worker.memory.admits(worker.memory.needed(request))
        assert request.resting or not fits or not worker.may_admit(request), "somebody could start"


def watch_iterations(worker: Worker, starting: dict[int, list[Request]] | None = None) -> None:
    """Let a worker's iterations be checked before they run."""
    schedule = worker.schedule

    def checked(now: float) -> Iteration | None:
        fresh = [r for r in worker.waiting if r.started is None]
        iteration = schedule(now)
        if iteration is not None:
            iteration.close()
            iteration_is_right(worker, iteration)
            if starting is not None:
                starting[worker.id] = [r for r, _ in iteration.prefills if r in fresh]
        return iteration

    setattr(worker, "schedule", checked)  # noqa: B010 (mypy lets nobody assign to a method)


# -- the end -----------------------------------------------------------------------------------


def run_has_ended_well(outcome: Outcome, arrived: list[Request]) -> None:
    """Check what a run leaves behind; without `until`, that it left nothing undone."""
    for request in arrived:
        times_are_in_order(request, outcome.end)
        assert request.preemptions >= 0
    total = sum(r.preemptions for r in arrived)
    assert sum(w.preemptions for w in outcome.workers) == total
    for worker in outcome.workers:
        assert worker.memory.peak <= worker.memory.capacity
        own = [r for r in arrived if r.worker == worker.id]
        if all(r.status != UNFINISHED for r in own):
            assert worker.outstanding == worker.outstanding_tokens == 0
    if all(r.status != UNFINISHED for r in arrived):
        everything_is_given_back(outcome, arrived)
    gaps_are_those_of_the_requests(outcome, arrived)
    sent = sum(outcome.notes.transfers.size)
    assert sent == sum(r.moved for r in arrived)


def everything_is_given_back(outcome: Outcome, arrived: list[Request]) -> None:
    for request in arrived:
        assert request.source is None
        assert not request.loose
        assert not request.active
    for worker in outcome.workers:
        assert not queued_on(worker)
        assert not worker.active


def nothing_is_under_way(engine: Engine, arrived: list[Request]) -> None:
    """Check, where a run was not stopped by `until`, that nothing was left half done."""
    assert engine.system.network.quiet
    for request in arrived:
        assert not request.busy
        assert request.chain is None
        if request.status != UNFINISHED:
            assert request.held == 0, f"{request} is over, and holds memory"
            assert request.copy is None, f"{request} is over, and its copy was not given up"
            assert request.swapped_to is None
    for worker in engine.workers:
        assert worker.arriving == 0
        assert not any(r.done for r in worker.leaving)
        if not worker.outstanding:
            idle_worker_has_nothing_to_do(engine, worker)
    if not any(r.status == UNFINISHED for r in arrived):
        for worker in engine.workers:
            assert (worker.memory.used, worker.memory.swapped) == (0, 0), "all is given back"
            assert not worker.leaving
        for tier in engine.system.tiers:
            assert tier.used == sum(e.size for e in tier.entries.values())
    entries_are_as_large_as_their_tokens(engine)


def times_are_in_order(request: Request, end: float) -> None:
    known = [request.arrived, request.started, request.first, request.last]
    times = [t for t in known if t is not None]
    assert times == sorted(times)
    if request.first is not None:
        assert len(times) == len(known), "a first token without a start"
        assert times[-1] <= end
    if request.first is not None and request.generated == 1:
        assert request.first == request.last


def gaps_are_those_of_the_requests(outcome: Outcome, arrived: list[Request]) -> None:
    counted = [r for r in arrived if r.counted and r.first is not None]
    assert sum(outcome.gap_count) == sum(r.generated - 1 for r in counted)
    pairs = zip(outcome.gap_length, outcome.gap_count, strict=True)
    spans = [r.last - r.first for r in counted if r.last is not None and r.first is not None]
    assert isclose(fsum(g * n for g, n in pairs), fsum(spans), rel_tol=1e-9, abs_tol=1e-9)
    longest = max((r.largest_gap for r in counted), default=0.0)
    assert longest == max(outcome.gap_length, default=0.0)


def result_is_of_the_requests(result: Result, arrived: list[Request]) -> None:
    """Check that the columns say what came of each request, whenever they were written."""
    kinds = result.plan.workers
    delays = [kind.local.front_end for kind in kinds for _ in range(kind.count)]
    wanted = [_row_of(request, delays[request.worker]) for request in arrived]
    columns = {name: result.requests[name].tolist() for name in result.requests}
    assert all(len(column) == len(wanted) for column in columns.values())
    for at, row in enumerate(wanted):
        assert {name: columns[name][at] for name in row if row[name] is not None} == {
            name: value for name, value in row.items() if value is not None
        }
        assert all(isnan(columns[name][at]) for name in row if row[name] is None)


def _row_of(request: Request, delay: float) -> dict[str, object]:
    """Return the row of a request by the definitions of SPEC.md, section 9.1; None is NaN.

    Its user has tokens so many seconds after they are generated.
    """
    begun, first, last = request.started, request.first, request.last
    several = request.status == FINISHED and request.output > 1
    tpot = None
    if last is not None and first is not None and several:
        tpot = (last - first) / (request.output - 1)
    first = None if first is None else first + delay
    last = None if last is None else last + delay
    ended = last if request.status == FINISHED else None
    return {
        "id": request.id,
        "arrived": request.arrived,
        "prompt": request.prompt,
        "output": request.output,
        "generated": request.generated,
        "worker": request.worker,
        "status": request.status,
        "started": begun,
        "first_token": first,
        "last_token": last,
        "queue": None if begun is None else begun - request.arrived,
        "ttft": None if first is None else first - request.arrived,
        "tpot": tpot,
        "mtpot": request.largest_gap if several else None,
        "e2e": None if ended is None else ended - request.arrived,
        "preemptions": request.preemptions,
        "session": request.session,
        "turn": request.turn,
        "cached": request.cached,
        "transferred": request.moved,
        "transfer": request.moving,
    }


def result_adds_up(result: Result) -> None:
    counts = result.summary["requests"]
    ends = counts["finished"] + counts["rejected"] + counts["unfinished"]
    assert counts["arrived"] == ends
    assert counts["arrived"] + counts["warmup"] == len(result.requests["id"])
    for worker in result.summary["workers"]:
        assert worker["busy"] <= result.summary["end"] * (1 + 1e-9)
        assert 0 <= worker["prefilling"] <= worker["busy"]


# -- all of it ---------------------------------------------------------------------------------


def watched(
    plan: Plan,
    seed: int = 0,
    arrivals: Arrivals | None = None,
    *,
    most_events: int | None = None,
    every: int = 1,
    externs: Mapping[str, object] | None = None,
) -> Result:
    """Run a plan, with everything checked that this module knows; return the result.

    Raises TooLongError after `most_events`.
    """
    watch = Watch(every=every)
    drawn = generate(plan.workload, seed) if arrivals is None else arrivals
    engine = Engine(plan, drawn, seed, observer=watch, externs=externs)
    watch.attach(engine)
    if most_events is not None:
        limit_events(engine, most_events)
    outcome = engine.run()
    assert watch.boundaries >= len(outcome.workers)
    run_has_ended_well(outcome, watch.arrived)
    if plan.until is None:
        watch.look(engine)
        nothing_is_under_way(engine, watch.arrived)
        stuck = [r.id for r in watch.arrived if r.status == UNFINISHED]
        assert outcome.stuck == stuck
        assert engine.open == 0 or stuck, "conversations that never went on"
    result = Result(plan, seed, outcome)
    result_is_of_the_requests(result, watch.arrived)
    result_adds_up(result)
    return result


def limit_events(engine: Engine, most: int) -> None:
    """Let a run end in a TooLongError where it has more events than that."""
    step = engine.clock.step
    left = iter(range(most))

    def counted() -> None:
        if next(left, None) is None:
            raise TooLongError(f"after {most} events, at {engine.clock.now} s")
        step()

    setattr(engine.clock, "step", counted)  # noqa: B010 (mypy lets nobody assign to a method)


def same(one: Result, other: Result) -> bool:
    """Tell whether two runs agree to the last bit in every request and every count."""
    columns = all(
        one.requests[name].tobytes() == other.requests[name].tobytes() for name in one.requests
    )
    return columns and one.summary == other.summary


assert [f.name for f in fields(Batch)][-1] == "peer_tokens", "batch_of leaves out a feature"
