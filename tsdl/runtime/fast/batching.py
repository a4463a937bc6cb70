"""Iterations of tsdl.runtime.batching with all that decode as a cohort.

Each way of batching returns None where it finds what a cohort cannot show; then the reference puts
the iteration together, request by request. It finds that out before anything has changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsdl.runtime import batching as reference
from tsdl.runtime.batching import Iteration

if TYPE_CHECKING:
    from collections.abc import Callable

    from tsdl.runtime.fast.cohortworker import CohortWorker
    from tsdl.runtime.request import Request


def prefill_first(worker: CohortWorker) -> Iteration | None:
    """Admit and prefill whoever fits; only when nobody does, decode all that run."""
    iteration = worker.building = Iteration()
    reference.join(worker)
    if worker.loners and not worker.gather():
        return None
    reference.prefill_the_rest(worker, iteration)
    if worker.waiting and not worker.refused and not worker.keeps_out:
        reference.admit_whole_prompts(worker, iteration)
        _note_refusal(worker, iteration)
    if iteration.prefills:
        return iteration
    if worker.loners and not worker.gather():  # who was admitted had handlers undo the cohort
        worker.settle()
        reference.decode_all(worker, iteration)
    else:
        _decode(worker, iteration)
    if worker.swapped and not iteration.preempted:
        back = reference.swap_in(worker, iteration)
        if back and iteration.empty and not worker.keeps_out:
            reference.admit_whole_prompts(worker, iteration)
    return iteration


def static(worker: CohortWorker) -> Iteration | None:
    """Run a batch until its last request is done; only then take the next."""
    cohort = worker.cohort
    if worker.loners and (not worker.gather() or worker.loners):
        return None
    if not cohort.growing or cohort.needed() > worker.memory.free:
        return None
    iteration = worker.building = Iteration()
    _decode(worker, iteration)
    return iteration


def beside_decodes(worker: CohortWorker) -> Iteration | None:
    """One token for all that decode; prompts, or chunks of them, fill the rest of the budget."""
    iteration = worker.building = Iteration()
    reference.join(worker)
    if worker.loners and not worker.gather():
        return None
    cohort = worker.cohort
    budget = worker.budget
    partial = [r for r in worker.loners if not r.prefilled and not r.resting]
    if cohort.size > budget or (partial and not _is_last(worker, partial)):
        return None
    _decode(worker, iteration)
    budget -= cohort.size + len(iteration.decodes)
    for request in partial:
        budget = max(budget - reference.go_on(worker, request, budget, iteration), 0)
    if iteration.preempted:
        return iteration
    if worker.swapped:
        budget -= reference.swap_in(worker, iteration, budget)
    if worker.waiting and not worker.refused and not worker.keeps_out:
        reference.admit_beside(worker, iteration, budget)
        _note_refusal(worker, iteration)
    return iteration


COMPOSE: dict[str, Callable[[CohortWorker], Iteration | None]] = {
    "prefill_first": prefill_first,
    "static": static,
    "chunked": beside_decodes,
    "mixed": beside_decodes,
}


def _note_refusal(worker: CohortWorker, iteration: Iteration) -> None:
    """Note whether somebody waits whom only what others do can help."""
    worker.refused = worker.facts.refusal_stays and bool(worker.waiting) and not iteration.prefills


def _is_last(worker: CohortWorker, partial: list[Request]) -> bool:
    """Tell whether the only request with a part of its prompt to do was admitted last."""
    return len(partial) == 1 and next(reversed(worker.active)) is partial[0]


def _decode(worker: CohortWorker, iteration: Iteration) -> None:
    """Let the cohort decode, with victims as long as there is no room for all.

    One after another they grow until one finds no room, and the last admitted goes: the same as
    taking the last until what is left fits. Only the peak shows that some have grown before, and
    handlers, for which it is done one by one; and so where not all grow by as much.
    """
    cohort, memory = worker.cohort, worker.memory
    if not cohort.size:
        return
    free = memory.capacity - memory.used
    needed = cohort.needed()
    if needed > free:
        if worker.rules.evict_by or "preempt" in worker.hooks or cohort.near:
            worker.settle()
            reference.decode_all(worker, iteration)
            return
        iteration.preempted = True
        while needed > free:
            memory.peak = max(memory.peak, memory.capacity - free % cohort.unit)
            last = next(r for r in reversed(worker.active) if not (r.done or r.resting))
            iteration.swap_delay += worker.preempt(last)
            needed, free = cohort.needed(), memory.capacity - memory.used
        if not cohort.growing:
            return
    memory.used += needed
    memory.peak = max(memory.peak, memory.used)
    cohort.grant()
    iteration.grouped = True
