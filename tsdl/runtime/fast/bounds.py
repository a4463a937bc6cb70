"""Times before which nothing happens at a worker that others wait for; the later, the better.

They rest on this: no iteration takes less time than `least`, and none that decodes the same
requests less for their longer contexts (tsdl.facts).
"""

from __future__ import annotations

from math import inf, ulp
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tsdl.runtime.fast.worker import FastWorker
    from tsdl.runtime.request import Request

FEW = 4  # iterations
SURELY = 1 - 1e-9  # of a duration, for what its own formula rounds


def earliest_end(worker: FastWorker) -> float:
    """Return a time before which no request ends.

    Where all decode, and have the memory to go on, their iterations take longer and longer.
    """
    cohort, iteration = worker.cohort, worker.current
    if (
        iteration is None
        or not iteration.grouped
        or iteration.prefills
        or iteration.decodes
        or worker.waiting
        or worker.unseen
        or worker.ready
        or worker.swapped
        or worker.loners
    ):
        return worker.due
    more = cohort.next_end - cohort.steps - 1
    if more < FEW or not worker.facts.rising:
        return worker.due
    growth = cohort.growing * (more // cohort.block + 1) * (cohort.unit + cohort.near)
    if growth > worker.memory.capacity - worker.memory.used:
        return _after(worker.due, more, worker.least)
    fixed, growing = worker.times.of_decodes.of(cohort.size)
    least = fixed
    if growing is not None:
        least = growing(cohort.contexts, *worker.growing_features())
    return _after(worker.due, more, least)


def earliest_turn(worker: FastWorker) -> float:
    """Return a time before which no turn comes that follows on a request here.

    It comes once the request has ended, and its user has thought about the answer.
    """
    if worker.due == inf:
        return inf
    cohort, least = worker.cohort, worker.least
    next_step = cohort.steps + 1
    rests = [r.think + (r.ends - next_step) * least for r in cohort.members.values()]
    queues = (
        worker.loners, worker.waiting, worker.unseen, worker.ready, worker.incoming, worker.swapped,
    )  # fmt: skip
    rests += [_rest(request, least) for queue in queues for request in queue]
    return _turn(worker.due, min(rests, default=inf), least)


def turn_after(request: Request, now: float, least: float) -> float:
    """Return a time before which no turn follows on a request that is new to a worker."""
    return _turn(now, _rest(request, least), least)


def _rest(request: Request, least: float) -> float:
    """Return the least seconds until the next turn, once an iteration in flight has ended."""
    return request.think + (request.output - request.generated - 1) * least


def _turn(since: float, rest: float, least: float) -> float:
    if rest == inf:
        return inf
    roundings = 2 + (rest / least if least else 0)  # one for each boundary, and for the turn itself
    return max(since, since + rest * SURELY - roundings * ulp(since + rest))


def earliest_preemption(worker: FastWorker) -> float:
    """Return a time before which nobody has to make room."""
    cohort = worker.cohort
    each = cohort.growing * (cohort.unit + cohort.near)
    if not each:
        return inf
    rounds = (worker.memory.capacity - worker.memory.used) // each - 1
    if rounds <= 0 or not worker.facts.monotone:
        return worker.due
    return _after(worker.due, rounds * cohort.block, worker.least)


def _after(due: float, count: int, least: float) -> float:
    """Return a time that this many iterations, added up one by one, do not end before.

    Each addition rounds by half a unit in the last place: late in a long run, that is more than
    any fixed part of a short iteration.
    """
    return max(due, due + count * (least * SURELY - ulp(due + count * least)))
