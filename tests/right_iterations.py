"""What must hold of an iteration as it is put together, and of a worker that puts none together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.summed_batches import batch_of
from tsdl.runtime.request import Request

if TYPE_CHECKING:
    from tsdl.costs import Batch
    from tsdl.runtime.batching import Iteration
    from tsdl.runtime.worker import Worker


def iteration_is_right(worker: Worker, iteration: Iteration) -> None:
    """Check who is in an iteration, and that its batch says so."""
    requests = [r for r, _ in iteration.prefills] + iteration.decodes
    assert len({r.id for r in requests}) == len(requests), "nobody is in it twice"
    assert all(r in worker.active for r in requests), "who runs is among the running"
    assert worker.decodes or not iteration.decodes
    assert any(not r.done for r in requests), "an iteration of nothing but padding"
    assert all(not r.prefilled and chunk > 0 for r, chunk in iteration.prefills)
    assert not any(in_others(r, iteration) for r in iteration.decodes), "one token after another"
    assert iteration.batch == summed(iteration)
    if worker.local.prefills_beside:
        iteration_of_both_is_right(worker, iteration)
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


def iteration_of_both_is_right(worker: Worker, iteration: Iteration) -> None:
    alone = False
    if worker.local.batching == "mixed":
        left = [(r.length - r.computed - in_others(r, iteration), c) for r, c in iteration.prefills]
        assert all(rest == chunk for rest, chunk in left), "prompts are not cut"
        alone = len(left) == 1 and left[0][0] > worker.budget
    within = iteration.batch.tokens <= worker.budget
    assert within or alone, "a prompt beyond the budget is the only one"
    left_out = {r.id for r in could_decode(worker, iteration)}
    left_out -= {r.id for r in iteration.decodes}
    # One that rested between two chunks of its prompt may have those behind it wait.
    used_up = iteration.batch.tokens + worker.local.decode_tokens > worker.budget
    assert not left_out or used_up, "one token for all that decode"


def separate_iteration_is_right(worker: Worker, iteration: Iteration) -> None:
    if iteration.prefills:
        assert not iteration.decodes
        assert all(chunk == r.length - r.computed for r, chunk in iteration.prefills)
        within = iteration.batch.tokens <= worker.budget
        assert within or len(iteration.prefills) == 1, "a prompt beyond the budget runs alone"
    else:
        # Actions may have begun since they were put together.
        running = [r.id for r in could_decode(worker, iteration)]
        assert [r.id for r in iteration.decodes if not rests(worker, r)] == running


def summed(iteration: Iteration) -> Batch:
    """Sum an iteration up by the definitions."""
    chunks = [
        (chunk, cached := r.computed + in_others(r, iteration), cached + chunk == r.length)
        for r, chunk in iteration.prefills
    ]
    drafted = iteration.drafted
    return batch_of(chunks, [r.length + drafted for r in iteration.decodes], 1 + drafted)


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
