"""What must hold of an engine at every boundary of a worker, and once its run has ended.

`Watch` is an observer of the reference engine: it looks at the workers' queues and memory, not at
how they came about, so that it can watch any engine that has such workers. `watched` runs a plan
under it, and checks each iteration as it is put together, and the end.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields
from math import fsum, isclose
from typing import TYPE_CHECKING

from tsdl.costs import Batch
from tsdl.runtime.arrivals import generate
from tsdl.runtime.engine import Engine, Outcome
from tsdl.runtime.request import FINISHED, REJECTED, UNFINISHED, Request
from tsdl.runtime.result import Result

if TYPE_CHECKING:
    from tsdl.plan import Plan
    from tsdl.runtime.arrivals import Arrivals
    from tsdl.runtime.batching import Iteration
    from tsdl.runtime.worker import Worker

BLOCK_OF_FEATURES = 16  # tokens of a block in the feature `context_blocks`, whatever the cache has


@dataclass
class Watch:
    """An observer that fails at the first boundary at which something does not hold."""

    engine: Engine | None = None
    now: float = 0.0
    boundaries: int = 0

    def __call__(self, _: Worker, now: float) -> None:
        """Check everything, of every worker: nothing may happen to the others, either."""
        assert self.engine is not None
        assert now >= self.now, f"time goes back from {self.now} to {now}"
        self.now = now
        self.boundaries += 1
        for worker in self.engine.workers:
            memory_is_what_requests_hold(worker)
            requests_run_within_limits(worker)
            loads_are_what_they_are_called(worker)
        for request in self.engine.requests:
            tokens_are_conserved(request)
        each_request_is_in_one_place(self.engine, now)


# -- at a boundary -----------------------------------------------------------------------------


def memory_is_what_requests_hold(worker: Worker) -> None:
    memory = worker.memory
    assert memory.used == sum(r.held for r in worker.active)
    assert memory.swapped == sum(r.held for r in worker.swapped)
    assert 0 <= memory.used <= memory.peak <= memory.capacity
    assert 0 <= memory.swapped <= memory.swap_space
    assert all(r.held == 0 for r in worker.waiting), "who waits holds nothing"
    for request in (*worker.active, *worker.swapped):
        least = memory.needed(request, request.computed) if request.computed else 0
        assert request.held >= least, "what is computed is held"


def requests_run_within_limits(worker: Worker) -> None:
    assert len(worker.active) <= worker.local.max_requests
    for request in worker.active:
        assert request.active
        assert not request.done or worker.local.batching == "static", "only padding is done"
    for request in (*worker.waiting, *worker.swapped):
        assert not request.active
        assert not request.done
    assert all(r.prefilled for r in worker.swapped), "half a prefill is not worth swapping"


def loads_are_what_they_are_called(worker: Worker) -> None:
    here = [*worker.waiting, *worker.active, *worker.swapped]
    assert all(r.worker == worker.id for r in here)
    assert worker.running == len(worker.active)
    assert worker.queued == len(worker.waiting) + len(worker.swapped)
    assert worker.outstanding == sum(not r.done for r in here)
    assert worker.outstanding_tokens == sum(map(_outstanding, here))


def _outstanding(request: Request) -> int:
    prompt = request.prompt if request.first is None else 0
    return prompt + request.output - request.generated


def tokens_are_conserved(request: Request) -> None:
    assert 0 <= request.generated <= request.output
    assert 0 <= request.computed <= request.prompt + request.generated
    assert (request.generated > 0) == (request.first is not None) == (request.last is not None)
    assert (request.status == FINISHED) == (request.generated == request.output)
    if request.prefilled:  # all but the token that came last
        assert request.computed == request.prompt + request.generated - 1


def each_request_is_in_one_place(engine: Engine, now: float) -> None:
    here = Counter(
        r.id
        for worker in engine.workers
        for r in (*worker.waiting, *worker.swapped, *(a for a in worker.active if not a.done))
    )
    here.update(r.id for r in engine.pending)
    here.update(r.id for r in engine.requests if r.status in (FINISHED, REJECTED))
    for request in engine.requests:
        places = here[request.id]
        if request.arrived > now:
            assert places == 0, f"{request} has not arrived"
        elif request.arrived < now:
            assert places == 1, f"{request} is in {places} places"
        else:  # at time zero workers begin before anybody arrives
            assert places == 1 or (now == 0 and places == 0)


# -- an iteration, as it is put together -------------------------------------------------------


def iteration_is_right(worker: Worker, iteration: Iteration) -> None:
    """Check who is in an iteration, and that its batch says so."""
    requests = [r for r, _ in iteration.prefills] + iteration.decodes
    assert len({r.id for r in requests}) == len(requests), "nobody is in it twice"
    assert all(r in worker.active for r in requests), "who runs is among the running"
    assert any(not r.done for r in requests), "an iteration of nothing but padding"
    assert all(not r.prefilled and chunk > 0 for r, chunk in iteration.prefills)
    assert iteration.batch == batch_of(iteration)
    if worker.local.batching == "chunked":
        chunked_iteration_is_right(worker, iteration)
    else:
        separate_iteration_is_right(worker, iteration)


def chunked_iteration_is_right(worker: Worker, iteration: Iteration) -> None:
    assert iteration.batch.tokens <= worker.local.max_tokens
    decoding = {r.id for r in worker.active if r.prefilled}
    assert decoding == {r.id for r in iteration.decodes}, "one token for all that decode"


def separate_iteration_is_right(worker: Worker, iteration: Iteration) -> None:
    if iteration.prefills:
        assert not iteration.decodes
        assert all(chunk == r.length for r, chunk in iteration.prefills)
        within = iteration.batch.tokens <= worker.local.max_tokens
        assert within or len(iteration.prefills) == 1, "a prompt beyond the budget runs alone"
    else:
        assert [r.id for r in iteration.decodes] == [r.id for r in worker.active]


def batch_of(iteration: Iteration) -> Batch:
    """Sum an iteration up by the definitions of SPEC.md, section 7.2."""
    chunks = [(chunk, r.computed, r.length) for r, chunk in iteration.prefills]
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
    assert not worker.active
    assert not worker.swapped
    if worker.waiting:
        assert not worker.may_admit(worker.next_waiting()), "it idles, and somebody could run"


def watch_iterations(worker: Worker) -> None:
    """Let a worker's iterations be checked before they run."""
    schedule = worker.schedule

    def checked(now: float) -> tuple[Iteration, float] | None:
        scheduled = schedule(now)
        if scheduled is None:
            idling_is_right(worker)
        else:
            iteration, duration = scheduled
            assert duration >= 0
            iteration_is_right(worker, iteration)
        return scheduled

    setattr(worker, "schedule", checked)  # noqa: B010 (mypy lets nobody assign to a method)


# -- the end -----------------------------------------------------------------------------------


def run_has_ended_well(outcome: Outcome) -> None:
    """Check what a run leaves behind; without `until`, that it left nothing undone."""
    for request in outcome.requests:
        times_are_in_order(request, outcome.end)
    for worker in outcome.workers:
        own = [r for r in outcome.requests if r.worker == worker.id]
        assert worker.preemptions == sum(r.preemptions for r in own)
        assert worker.memory.peak <= worker.memory.capacity
        if all(r.status != UNFINISHED for r in own):
            assert (worker.memory.used, worker.memory.swapped) == (0, 0), "all is given back"
            assert (worker.outstanding, worker.outstanding_tokens) == (0, 0)
    gaps_are_those_of_the_requests(outcome)


def times_are_in_order(request: Request, end: float) -> None:
    known = [request.arrived, request.started, request.first, request.last]
    times = [t for t in known if t is not None]
    assert times == sorted(times)
    if request.first is not None:
        assert len(times) == len(known), "a first token without a start"
        assert times[-1] <= end
    if request.first is not None and request.generated == 1:
        assert request.first == request.last


def gaps_are_those_of_the_requests(outcome: Outcome) -> None:
    counted = [r for r in outcome.requests if r.counted and r.first is not None]
    assert sum(outcome.gap_count) == sum(r.generated - 1 for r in counted)
    pairs = zip(outcome.gap_length, outcome.gap_count, strict=True)
    spans = [r.last - r.first for r in counted if r.last is not None and r.first is not None]
    assert isclose(fsum(g * n for g, n in pairs), fsum(spans), rel_tol=1e-9, abs_tol=1e-9)
    longest = max((r.largest_gap for r in counted), default=0.0)
    assert longest == max(outcome.gap_length, default=0.0)


def result_adds_up(result: Result) -> None:
    counts = result.summary["requests"]
    ends = counts["finished"] + counts["rejected"] + counts["unfinished"]
    assert counts["arrived"] == ends
    assert counts["arrived"] + counts["warmup"] == len(result.requests["id"])
    for worker in result.summary["workers"]:
        assert worker["busy"] <= result.summary["end"] * (1 + 1e-9)


# -- all of it ---------------------------------------------------------------------------------


def watched(plan: Plan, seed: int = 0, arrivals: Arrivals | None = None) -> Result:
    """Run a plan, with everything checked that this module knows; return the result."""
    watch = Watch()
    drawn = generate(plan.workload, seed) if arrivals is None else arrivals
    watch.engine = Engine(plan, drawn, seed, observer=watch)
    for worker in watch.engine.workers:
        watch_iterations(worker)
    outcome = watch.engine.run()
    assert watch.boundaries >= len(outcome.workers)
    run_has_ended_well(outcome)
    result = Result(plan, seed, outcome)
    result_adds_up(result)
    return result


def same(one: Result, other: Result) -> bool:
    """Tell whether two runs agree to the last bit in every request and every count."""
    columns = all(
        one.requests[name].tobytes() == other.requests[name].tobytes() for name in one.requests
    )
    return columns and one.summary == other.summary


assert [f.name for f in fields(Batch)][-1] == "peer_tokens", "batch_of leaves out a feature"
