"""Iterations of a cohort that differ in nothing but time: they only have to be counted."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Protocol

from tsdl.costs import SECONDS

if TYPE_CHECKING:
    from tsdl.runtime.fast.worker import FastWorker


MOST = 1 << 16  # steps of a loop: it keeps the gap of each


class Loop(Protocol):
    """Iterations that end before a time and before a step, until memory has no room for one.

    Its source is generated, with the seconds of an iteration in it. Times are added one by one: no
    closed form gives the same bits. It returns what changes, and the gaps between the ends.
    """

    def __call__(  # noqa: D102, PLR0913, PLR0917
        self,
        now: float,
        duration: float,
        last: float,
        limit: float,
        steps: int,
        until: int,
        contexts: int,
        growing: int,
        far: int,
        padding: int,
        busy: float,
        used: int,
    ) -> tuple[float, float, float, int, int, float, int, list[float]]: ...


class Loops(dict[int, Loop]):
    """The loop of a worker for each size of its cohort; one is made when it is asked for."""

    def __init__(self, worker: FastWorker) -> None:
        """Begin with none."""
        super().__init__()
        cohort, memory = worker.cohort, worker.memory
        self._times = worker.times.of_decodes
        self._made = worker.times.of_decodes.made(
            _source(worker),
            {
                "cohort": cohort, "entering": cohort.on_blocks, "block": cohort.block,
                "unit": cohort.unit, "capacity": memory.capacity, "inf": inf,
                "entering_near": cohort.on_near, "near": cohort.near,
                "check": worker.check,
            },
        )  # fmt: skip

    def __missing__(self, size: int) -> Loop:
        """Make the loop of a size."""
        found: Loop = self._made(self._times.of(size)[0], size)
        self[size] = found
        return found


def _source(worker: FastWorker) -> str:
    """Return the source of a loop: with what the worker's memory and cost need, and no more."""
    room = """\
        entered = entering[-steps % block]
        if entered:
            if used + entered * unit > capacity:
                break
            used += entered * unit
"""
    windowed = """\
        more = entering[-steps % block] * unit + entering_near[-steps % block] * near
        if used + more > capacity:
            break
        used += more
"""
    blocks = """\
        cohort.steps, cohort.contexts = steps, contexts
        context_blocks = cohort.context_blocks()
"""
    longest = "        longest_context = far + steps\n"
    padded = "        longest_context = max(longest_context, padding)\n"
    # Where no duration is below nothing, only the last can be none: time stands still after it.
    careful = not worker.facts.never_negative
    checked = "if not 0 <= duration < inf: check(duration, (), decodes)"
    return f"""\
def made(now, duration, last, limit, steps, until, contexts, growing, far, padding, busy, used):
    gaps = []
    note = gaps.append
    while now < limit and steps < until:
{windowed if worker.cohort.near else room if worker.cohort.unit else ""}\
        steps += 1
        contexts += growing
        note(now - last)
        last = now
        busy += duration
{blocks if worker.counts_blocks else ""}\
{longest if worker.looks_far else ""}\
{padded if worker.looks_far and worker.local.batching == "static" else ""}\
        duration = {SECONDS}
{"        " + checked if careful else ""}
        now += duration
    {"" if careful else checked}
    return now, duration, last, steps, contexts, busy, used, gaps
"""


def run(worker: FastWorker, limit: float) -> None:
    """Let iterations of the cohort end before a time, until one changes more than time.

    That one is left in flight.
    """
    cohort = worker.cohort
    first = cohort.steps
    end = min(cohort.next_end - 1, first + MOST)  # with the step after the former somebody ends
    if cohort.near and (beyond := cohort.next_beyond) is not None:
        end = min(end, beyond - 1)  # with the next one somebody leaves the window
    if first >= end:
        return
    memory, growing = worker.memory, cohort.growing
    far = padding = 0
    if worker.looks_far:
        far = cohort.greatest_distance() if cohort.farthest is None else cohort.farthest
        padding = cohort.longest_padding() if cohort.padding else 0
    now, duration, last, steps, contexts, busy, used, gaps = worker.loops[cohort.size](
        worker.due, worker.duration, cohort.last, limit, first, end, cohort.contexts, growing, far,
        padding, worker.busy, memory.used,
    )  # fmt: skip
    if not gaps:
        return
    if cohort.counted:
        worker.note_gaps(gaps, cohort.counted)
    cohort.steps, cohort.contexts, cohort.last = steps, contexts, last
    cohort.note(max(gaps))
    worker.outstanding_tokens -= (steps - first) * growing
    worker.iterations += steps - first
    memory.used = used
    if used > memory.peak:
        memory.peak = used
    worker.due, worker.duration, worker.busy, worker.begun = now, duration, busy, last
