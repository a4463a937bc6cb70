"""What the quick way (tsdl.runtime.fast.lean) needs of a worker and never changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable

    from tsdl.costs import Footprint, GrowingTime
    from tsdl.runtime.fast.steady import Loops
    from tsdl.runtime.fast.worker import FastWorker
    from tsdl.runtime.request import Request, Running

    # In the order in which `lean.run` takes them.
    Tools = tuple[
        deque[tuple[float, Request]], deque[Request], deque[Request], deque[Request], Running,
        dict[Request, None], dict[int, Request], list[int], list[Request], list[float], list[int],
        list[int], int, int, int, int, int, Footprint, bool, bool, bool, int, int,
        Callable[[float], None], Callable[[int], None], Callable[[list[float], int], None],
        dict[int, tuple[float, GrowingTime | None]],
        Callable[[int], tuple[float, GrowingTime | None]], Loops,
        Callable[..., float], bool, bool, Callable[[Request, str, float], None],
    ]  # fmt: skip


def tools(worker: FastWorker) -> Tools:
    """Return what `lean.run` needs of a worker."""
    cohort, memory, local = worker.cohort, worker.memory, worker.local
    decodes = worker.times.of_decodes
    return (
        worker.inbox, worker.unseen, worker.waiting, worker.ready, worker.active, worker.loners,
        cohort.members, cohort.ends, cohort.fresh, cohort.peak_gaps, cohort.peak_steps,
        cohort.on_blocks, cohort.block, cohort.unit, cohort.fixed,
        memory.capacity, memory.capacity - memory.watermark,  # which newcomers leave free
        memory.footprint, memory.shares, local.prefills_beside,
        local.batching == "chunked", local.max_requests, local.max_tokens,
        worker.gap_length, worker.gap_count, worker.note_gaps,
        decodes.known, decodes.of, worker.loops, worker.times.of_features,
        worker.counts_blocks, worker.looks_far, worker.close,
    )  # fmt: skip
