"""The local stage: which requests an iteration holds, for each way of batching.

At the end of an iteration a worker asks for the next one. The rules (SPEC.md, section 8) are
written out here plainly, request by request: this is the oracle for faster engines.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tsdl.costs import Batch

if TYPE_CHECKING:
    from collections.abc import Callable

    from tsdl.runtime.request import Request
    from tsdl.runtime.worker import Worker


@dataclass(slots=True)
class Iteration:
    """What runs together: prefill chunks, decodes, and the bytes swapped before it starts."""

    prefills: list[tuple[Request, int]] = field(default_factory=list)
    decodes: list[Request] = field(default_factory=list)
    batch: Batch = field(default_factory=Batch)
    swap_delay: float = 0.0
    preempted: bool = False

    def prefill(self, request: Request, chunk: int) -> None:
        """Add a prefill chunk."""
        self.prefills.append((request, chunk))
        last = request.computed + chunk == request.length
        self.batch.add_prefill(chunk, request.computed, last=last)

    def decode(self, request: Request) -> None:
        """Add a decode."""
        self.decodes.append(request)

    def close(self) -> None:
        """Sum up the decodes, once all are known."""
        self.batch.add_decodes([r.prompt + r.generated for r in self.decodes])
        self.batch.peer_tokens = self.batch.tokens

    @property
    def empty(self) -> bool:
        """Tell whether nothing runs in it."""
        return not (self.prefills or self.decodes)


def prefill_first(worker: Worker) -> Iteration:
    """Admit and prefill whoever fits; only when nobody does, decode all that run."""
    iteration = Iteration()
    if not worker.swapped:
        _admit_whole_prompts(worker, iteration)
        if iteration.prefills:
            return iteration
    _decode_all(worker, iteration)
    if not iteration.preempted:
        _swap_in(worker, iteration)
    return iteration


def static(worker: Worker) -> Iteration:
    """Run a batch until its last request is done; only then take the next."""
    iteration = Iteration()
    if worker.active:
        _decode_all(worker, iteration)
        if not all(request.done for request in iteration.decodes):
            return iteration
        # Whoever was not done had to go, and padding alone is no batch.
        iteration.decodes.clear()
        worker.end_batch()
    _swap_in(worker, iteration)
    if iteration.empty:
        _admit_whole_prompts(worker, iteration)
    return iteration


def chunked(worker: Worker) -> Iteration:
    """One token for all that decode; chunks of prompts fill the rest of the budget."""
    iteration = Iteration()
    budget = worker.local.max_tokens
    for request in list(worker.active):
        if not request.active:
            continue  # preempted for one before it
        chunk = min(request.length - request.computed, budget)
        if chunk > 0 and _make_room(worker, request, request.computed + chunk, iteration):
            budget -= chunk
            _add(iteration, request, chunk)
    if not iteration.preempted:
        budget -= _swap_in(worker, iteration, budget)
        if not worker.swapped:
            _admit_chunks(worker, iteration, budget)
    return iteration


BATCHING: dict[str, Callable[[Worker], Iteration]] = {
    "prefill_first": prefill_first,
    "static": static,
    "chunked": chunked,
}


# -- admission ---------------------------------------------------------------------------------


def _admit_whole_prompts(worker: Worker, iteration: Iteration) -> None:
    local, memory = worker.local, worker.memory
    while worker.waiting and worker.running < local.max_requests:
        request = worker.next_waiting()
        tokens = iteration.batch.tokens + request.length
        if iteration.prefills and tokens > local.max_tokens:
            return  # a prompt beyond the budget runs alone
        size = memory.needed(request, request.length)
        if not memory.admits(size) or not worker.may_admit(request):
            return
        worker.start(request)
        memory.grow(request, size)
        iteration.prefill(request, request.length)


def _admit_chunks(worker: Worker, iteration: Iteration, budget: int) -> None:
    memory = worker.memory
    while worker.waiting and budget > 0 and worker.running < worker.local.max_requests:
        request = worker.next_waiting()
        # Only the chunk is taken now, but the whole prompt must fit.
        if not memory.admits(memory.needed(request, request.length)):
            return
        if not worker.may_admit(request):
            return
        chunk = min(request.length, budget)
        worker.start(request)
        memory.grow(request, memory.needed(request, chunk))
        iteration.prefill(request, chunk)
        budget -= chunk


# -- decoding, and making room for it ----------------------------------------------------------


def _add(iteration: Iteration, request: Request, chunk: int) -> None:
    if request.prefilled:
        iteration.decode(request)
    else:
        iteration.prefill(request, chunk)


def _decode_all(worker: Worker, iteration: Iteration) -> None:
    footprint = worker.memory.footprint
    for request in list(worker.active):
        if not request.active:
            continue  # preempted for one before it
        context = request.prompt + request.generated
        # Done, it is the padding of a static batch: its slot computes on.
        if (
            request.generated >= request.output
            or footprint(context, request.prompt, request.output) == request.held
            or _make_room(worker, request, context, iteration)
        ):
            iteration.decodes.append(request)


def _make_room(worker: Worker, request: Request, context: int, iteration: Iteration) -> bool:
    """Let a request grow to a context, preempting victims; False if it had to go itself."""
    memory = worker.memory
    size = memory.needed(request, context)
    while size - request.held > memory.capacity - memory.used:
        later = worker.active[worker.active.index(request) :]
        victim = worker.victim([r for r in later if not r.done])
        iteration.preempted = True
        iteration.swap_delay += worker.preempt(victim)
        if victim is request:
            return False
    memory.grow(request, size)
    return True


def _swap_in(worker: Worker, iteration: Iteration, most: int | None = None) -> int:
    """Bring swapped requests back while they fit, `most` at the most; return how many."""
    count = 0
    while worker.swapped and count != most and worker.running < worker.local.max_requests:
        request = worker.swapped[0]
        if not worker.memory.admits(worker.memory.needed(request, request.length)):
            break
        iteration.swap_delay += worker.resume(request)
        iteration.decode(request)
        count += 1
    return count
