"""The local stage: which requests an iteration holds, for each way of batching.

At the end of an iteration a worker asks for the next one. The rules (SPEC.md, section 8) are
written out here plainly, request by request: this is the oracle for faster engines.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import dropwhile
from typing import TYPE_CHECKING

from tsdl.costs import Batch

if TYPE_CHECKING:
    from collections.abc import Callable

    from tsdl.runtime.request import Request
    from tsdl.runtime.worker import Worker


@dataclass(slots=True, eq=False)
class Iteration:
    """What runs together: prefill chunks, decodes, and the bytes swapped before it starts."""

    prefills: list[tuple[Request, int]] = field(default_factory=list)
    decodes: list[Request] = field(default_factory=list)
    batch: Batch = field(default_factory=Batch)
    swap_delay: float = 0.0
    preempted: bool = False  # or somebody waits for a victim: nobody joins it
    drafted: int = 0  # tokens of each decode, besides the one that it yields anyway
    grouped: bool = False  # with all of a worker's cohort, which `decodes` does not list

    def prefill(self, request: Request, chunk: int) -> None:
        """Add a prefill chunk."""
        self.prefills.append((request, chunk))
        before = request.computed + request.under_way
        self.batch.add_prefill(chunk, before, last=before + chunk == request.length)

    def decode(self, request: Request) -> None:
        """Add a decode."""
        self.decodes.append(request)

    def close(self) -> None:
        """Sum up the decodes, once all are known."""
        if not self.batch.peer_tokens:
            drafted = self.drafted
            contexts = [r.prompt + r.generated + drafted for r in self.decodes]
            self.batch.add_decodes(contexts, 1 + drafted)
            self.batch.close()

    def note_start(self, now: float) -> None:
        """Note when those were begun to be computed that never were before."""
        for request, _ in self.prefills:
            if request.started is None:
                request.started = now

    @property
    def empty(self) -> bool:
        """Tell whether nothing runs in it."""
        return not (self.prefills or self.decodes or self.grouped)


class BatchView:
    """An iteration as handlers see it: the features of its batch, and the requests in it."""

    __slots__ = ("_iteration",)

    def __init__(self, iteration: Iteration) -> None:
        """Show an iteration."""
        self._iteration = iteration

    @property
    def prefilling(self) -> list[Request]:
        """Return the requests with a prefill chunk."""
        return [request for request, _ in self._iteration.prefills]

    @property
    def decoding(self) -> list[Request]:
        """Return the requests that decode."""
        return self._iteration.decodes

    def __getattr__(self, name: str) -> object:
        """Return a feature of the batch."""
        return int(getattr(self._iteration.batch, name))


def prefill_first(worker: Worker) -> Iteration:
    """Admit and prefill whoever fits; only when nobody does, decode all that run."""
    iteration = Iteration(drafted=worker.drafted)
    join(worker)
    prefill_the_rest(worker, iteration)
    if not worker.keeps_out:
        admit_whole_prompts(worker, iteration)
    if iteration.prefills:
        return iteration
    decode_all(worker, iteration)
    if not iteration.preempted:
        back = swap_in(worker, iteration)
        # Whoever came back may rest at once: then others are not kept waiting for it.
        if back and iteration.empty and not worker.keeps_out:
            admit_whole_prompts(worker, iteration)
    return iteration


def static(worker: Worker) -> Iteration:
    """Run a batch until its last request is done; only then take the next."""
    iteration = Iteration(drafted=worker.drafted)
    if worker.active:
        prefill_the_rest(worker, iteration)
        if iteration.prefills:
            return iteration
        decode_all(worker, iteration)
        if any(not request.done for request in (*iteration.decodes, *_resting(worker))):
            return iteration if any(not r.done for r in iteration.decodes) else Iteration()
        # Whoever was not done had to go, and padding alone is no batch.
        iteration.decodes.clear()
        worker.end_batch()
    join(worker)
    prefill_the_rest(worker, iteration)
    if iteration.prefills:
        return iteration
    decode_all(worker, iteration)
    swap_in(worker, iteration)
    if iteration.empty and not worker.keeps_out:
        admit_whole_prompts(worker, iteration)
    return iteration


def beside_decodes(worker: Worker) -> Iteration:
    """One token for all that decode; prompts, or chunks of them, fill the rest of the budget."""
    iteration = Iteration(drafted=worker.drafted)
    join(worker)
    budget, each = worker.budget, 1 + worker.drafted
    decode_all(worker, iteration, budget // each)
    budget -= len(iteration.decodes) * each
    for request in [r for r in worker.active if not r.prefilled]:
        budget = max(budget - go_on(worker, request, budget, iteration), 0)
    if not iteration.preempted:
        budget -= swap_in(worker, iteration, budget // each) * each
        if not worker.keeps_out:
            admit_beside(worker, iteration, budget)
    return iteration


def go_on(worker: Worker, request: Request, budget: int, iteration: Iteration) -> int:
    """Let a running request do what of its prompt the budget allows; return what that takes."""
    if not request.active or request.resting:
        return 0  # preempted for one before it, or not to be computed on
    before = request.computed + request.under_way
    rest = request.length - before
    tokens = _allowed(worker, rest, budget, iteration)
    if tokens <= 0 < rest:
        return max(budget, 0)  # it waits, and nobody overtakes it
    if tokens <= 0 or not _make_room(worker, request, before + tokens, iteration):
        return 0
    iteration.prefill(request, tokens)
    worker.memory.register(request, request.computed + tokens)
    return tokens


def _allowed(worker: Worker, rest: int, budget: int, iteration: Iteration) -> int:
    """Return how much of what is left of a prompt an iteration takes.

    Those that are not cut wait until there is budget for all of it; where there never will be, one
    is the only prompt of its iteration.
    """
    if rest <= budget or worker.local.batching == "chunked":
        return min(rest, budget)
    return rest if rest > worker.budget and budget > 0 and not iteration.prefills else 0


BATCHING: dict[str, Callable[[Worker], Iteration]] = {
    "prefill_first": prefill_first,
    "static": static,
    "chunked": beside_decodes,
    "mixed": beside_decodes,
}


def _stands_still(worker: Worker, request: Request) -> bool:
    """Tell whether a running request rests: actions go on, or it cannot be decoded here, or is."""
    if request.resting or request.under_way:
        return True
    return request.prefilled and not worker.decodes


def _resting(worker: Worker) -> list[Request]:
    return [r for r in worker.active if _stands_still(worker, r)]


# -- admission ---------------------------------------------------------------------------------


def join(worker: Worker) -> None:
    """Let requests that came with their KV take slots, in the order in which they came."""
    while worker.ready and worker.running < worker.local.max_requests:
        request = worker.ready.popleft()
        worker.activate(request)
        worker.partial |= not request.prefilled
        worker.admitted(request)


def admit_whole_prompts(worker: Worker, iteration: Iteration) -> None:
    """Admit and prefill who fits the budget, the slots and the memory."""
    local, memory = worker.local, worker.memory
    while worker.waiting and worker.running < local.max_requests:
        request = worker.next_waiting()
        if request.resting:
            return
        more = memory.match(request)
        tokens = iteration.batch.tokens + request.length - request.computed
        # A prompt beyond the budget runs alone.
        full = iteration.prefills and tokens > worker.budget
        if full or not memory.admits(more) or not worker.may_admit(request):
            memory.unmatch(request)
            return
        worker.start(request, memory.needed(request))
        if request.resting:
            worker.partial = True  # what it fetches it need not compute
        else:
            iteration.prefill(request, request.length - request.computed)
            memory.register(request, request.length)


def prefill_the_rest(worker: Worker, iteration: Iteration) -> None:
    """Prefill whatever is left of the prompts of those that run already."""
    if not worker.partial:
        return
    rest = [r for r in worker.active if not r.prefilled]
    worker.partial = bool(rest)
    for request in rest:
        if request.resting or request.under_way or not request.active:
            continue
        chunk = request.length - request.computed
        tokens = iteration.batch.tokens + chunk
        if iteration.prefills and tokens > worker.budget:
            return
        if _make_room(worker, request, request.length, iteration):
            iteration.prefill(request, chunk)
            worker.memory.register(request, request.length)


def admit_beside(worker: Worker, iteration: Iteration, budget: int) -> None:
    """Admit who fits the slots and the memory, with the chunk for which there is budget."""
    memory = worker.memory
    while worker.waiting and budget > 0 and worker.running < worker.local.max_requests:
        request = worker.next_waiting()
        if request.resting:
            return
        more = memory.match(request)
        chunk = _allowed(worker, request.length - request.computed, budget, iteration)
        # Only the chunk is taken now, but the whole prompt must fit.
        if not chunk or not memory.admits(more) or not worker.may_admit(request):
            memory.unmatch(request)
            return
        worker.start(request, memory.needed(request, request.computed + chunk))
        if not request.resting:
            iteration.prefill(request, chunk)
            memory.register(request, request.computed + chunk)
            budget -= chunk


# -- decoding, and making room for it ----------------------------------------------------------


def decode_all(worker: Worker, iteration: Iteration, most: int | None = None) -> None:
    """Let all decode that may, `most` at the most, with victims where there is no room."""
    if not worker.decodes:
        return
    decodes, footprint = iteration.decodes, worker.memory.footprint
    careful, drafted = worker.rules.evict_when is not None, worker.drafted
    for request in list(worker.active):
        if (
            not request.active  # preempted for one before it
            or not request.prefilled
            or request.chain is not None
            or request.busy
            or request.under_way
        ):
            continue
        context = worker.reach(request) if drafted else request.prompt + request.generated
        # Done, it is the padding of a static batch: its slot computes on.
        if (
            request.generated >= request.output
            or (
                footprint(context, request.prompt, request.output) == request.held
                and not (careful and worker.must_evict(request))
            )
            or _make_room(worker, request, context, iteration)
        ):
            decodes.append(request)
            if len(decodes) == most:
                return


def _make_room(worker: Worker, request: Request, context: int, iteration: Iteration) -> bool:
    """Let a request grow to a context, preempting victims; False if it had to go itself."""
    memory = worker.memory
    size = memory.needed(request, context)
    while size - request.held > memory.capacity - memory.used or worker.must_evict(request):
        later = list(dropwhile(lambda other: other is not request, worker.active))
        candidates = [r for r in later if not (r.done or r.resting or r.under_way)]
        if not candidates:  # a handler of the last victim has an action on the request itself
            return False
        victim = worker.victim(candidates)
        iteration.preempted = True
        if victim is request and any(r.under_way for r in later):
            return False  # one of those may be the victim, once it is there
        iteration.swap_delay += worker.preempt(victim)
        if victim in iteration.decodes:  # those that decode come first, wherever they stand
            iteration.decodes.remove(victim)
        if victim is request:
            return False
    memory.grow(request, size)
    return True


def swap_in(worker: Worker, iteration: Iteration, most: int | None = None) -> int:
    """Bring swapped requests back while they may, `most` at the most; return how many."""
    count = 0
    while worker.swapped and count != most and worker.running < worker.local.max_requests:
        request = worker.next_swapped()
        if request.resting or not worker.may_resume(request):
            break
        iteration.swap_delay += worker.resume(request)
        if not _stands_still(worker, request):
            iteration.decode(request)
        count += 1
    return count
