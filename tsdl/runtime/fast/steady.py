"""Iterations of a cohort that differ in nothing but time: they only have to be counted."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tsdl.runtime.fast.worker import FastWorker


def run(worker: FastWorker, limit: float) -> None:
    """Let iterations of the cohort end before a time, until one changes more than time.

    That one is left in flight. Times are added one by one: no closed form gives the same bits.
    """
    cohort = worker.cohort
    first = steps = cohort.steps
    end = cohort.next_end - 1  # with that step somebody ends
    if steps >= end:
        return
    memory, block, unit, entering = worker.memory, cohort.block, cohort.unit, cohort.on_blocks
    now, busy = worker.due, worker.busy
    duration: Any = worker.duration  # a power of less than nothing is complex
    contexts, size, last, counted = cohort.contexts, cohort.growing, cohort.last, cohort.counted
    used, capacity = memory.used, memory.capacity
    fixed, growing = worker.times.known[cohort.size]
    begun, longest_gap = worker.begun, -1.0
    blocks = far = padding = 0
    if worker.looks_far:
        far = cohort.greatest_distance() if cohort.farthest is None else cohort.farthest
        padding = cohort.longest_padding() if cohort.padding else 0
    careful = not worker.facts.never_negative
    gap_length, gap_count = worker.gap_length, worker.gap_count
    while now < limit and steps < end:
        entered = entering[-steps % block]
        if entered:
            if used + entered * unit > capacity:
                break
            used += entered * unit
        steps += 1
        contexts += size
        gap = now - last
        if counted:
            gap_length(gap)
            gap_count(counted)
        if gap > longest_gap:
            longest_gap = gap
        last = begun = now
        busy += duration
        if growing is None:
            duration = fixed
        else:
            if worker.counts_blocks:
                cohort.steps, cohort.contexts = steps, contexts
                blocks = cohort.context_blocks()
            longest = far + steps
            duration = growing(contexts, blocks, longest if longest > padding else padding)
        if (careful and isinstance(duration, complex)) or not 0 <= duration < inf:
            worker.check(duration, (), size)
        now += duration
    done = steps - first
    if done:
        cohort.steps, cohort.contexts, cohort.last = steps, contexts, last
        cohort.note(longest_gap)
        worker.outstanding_tokens -= done * size
        worker.iterations += done
        memory.used = used
        if used > memory.peak:
            memory.peak = used
        worker.due, worker.duration, worker.busy, worker.begun = now, duration, busy, begun
