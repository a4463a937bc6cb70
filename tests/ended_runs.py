"""What must hold once a run has ended: of requests, of all that is left behind, of its result."""

from __future__ import annotations

from math import fsum, isclose, isnan

from tests.invariants import idle_worker_has_nothing_to_do, queued_on
from tsdl.plan import Local
from tsdl.runtime.engine import Engine
from tsdl.runtime.outcome import Outcome
from tsdl.runtime.request import FINISHED, UNFINISHED, Request
from tsdl.runtime.result import Result


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


def entries_are_as_large_as_their_tokens(engine: Engine) -> None:
    """Check what is kept, once nothing is copied any more: each token once."""
    sizes = {(w.memory.bytes_per_token, w.memory.state) for w in engine.workers}
    for tier in engine.system.tiers:
        for entry in tier.entries.values():
            assert entry.pinned == 0, "nobody copies it, and it is pinned"
            if len(sizes) == 1:
                of_a_token, state = next(iter(sizes))
                assert entry.size == int(entry.tokens * of_a_token) + state


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
    # What was drafted comes together with another token.
    drafted = sum(w.drafts.accepted for w in outcome.workers if w.drafts is not None)
    lacking = sum(r.generated - 1 for r in counted) - sum(outcome.gap_count)
    assert lacking == drafted or (0 <= lacking < drafted != 0 and len(counted) < len(arrived))
    pairs = zip(outcome.gap_length, outcome.gap_count, strict=True)
    spans = [r.last - r.first for r in counted if r.last is not None and r.first is not None]
    assert isclose(fsum(g * n for g, n in pairs), fsum(spans), rel_tol=1e-9, abs_tol=1e-9)
    longest = max((r.largest_gap for r in counted), default=0.0)
    assert longest == max(outcome.gap_length, default=0.0)


# -- its result --------------------------------------------------------------------------------


def result_is_of_the_requests(result: Result, arrived: list[Request]) -> None:
    """Check that the columns say what came of each request, whenever they were written."""
    kinds = result.plan.workers
    policies = [kind.local for kind in kinds for _ in range(kind.count)]
    wanted = [_row_of(request, policies[request.worker]) for request in arrived]
    columns = {name: result.requests[name].tolist() for name in result.requests}
    assert all(len(column) == len(wanted) for column in columns.values())
    for at, row in enumerate(wanted):
        assert {name: columns[name][at] for name in row if row[name] is not None} == {
            name: value for name, value in row.items() if value is not None
        }
        assert all(isnan(columns[name][at]) for name in row if row[name] is None)


def _row_of(request: Request, policy: Local) -> dict[str, object]:
    """Return the row of a request by the definitions of SPEC.md, section 9.1; None is NaN."""
    begun, first, last = request.started, request.first, request.last
    several = request.status == FINISHED and request.output > 1
    tpot, delay = None, policy.front_end
    if last is not None and first is not None and several:
        tpot = (last - first) / (request.output - 1)
    if last is not None and first is not None and request.generated > 2:
        usual = (last - first - request.largest_gap) / (request.generated - 2)
        delay += policy.behind * usual
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
