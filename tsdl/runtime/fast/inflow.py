"""Many arrivals at once: where they go to workers in turn, and nothing listens, each is only noted.

It knows what an arrival comes to then: a number, a row of the ledger, a place in the inbox of the
next worker. Whatever else one brings about, an idle worker that looks at it among it, it leaves to
the engine, and goes on after that.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from tsdl.runtime.fast.worker import FastWorker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsdl.runtime.fast.clock import LetIn
    from tsdl.runtime.fast.engine import FastEngine
    from tsdl.runtime.request import Request


def of(engine: FastEngine) -> LetIn | None:
    """Return what lets many arrive at once; None where that is not proved to change nothing."""
    workers = [w for w in engine.stages.in_turn if isinstance(w, FastWorker)]
    if (
        not workers
        or len(workers) < len(engine.stages.in_turn)
        or engine.plan.workload.chained
        or engine.fast_clock.guarded  # a limit may stop the run at any arrival
        or not all(worker.prefills and worker.memory.holds_all for worker in workers)
    ):
        return None
    ids, turns = [worker.id for worker in workers], engine.stages.selections.turns
    ledger, longest, system = engine.ledger, engine.longest, engine.system

    def let_in(
        request: Request | None, coming: Iterator[Request], until: float
    ) -> tuple[Request | None, Request | None]:
        """Let those arrive who come before a time; return the last of them, and the next."""
        last: Request | None = None
        if len(turns) != 1 or engine.router.watching:
            return last, request  # with no turn yet nobody has been sent anywhere
        ((place, before),) = turns.items()
        at, known = bisect_right(ids, before), ledger.count
        while request is not None and request.arrived < until:
            worker = workers[at % len(workers)]
            now, due = request.arrived, worker.due
            if worker.heeded or due == now or (worker.current is None and due > now):
                break  # it listens, or has a boundary now, or is idle and looks at it
            if request.prompt + request.output > longest:
                break
            ledger.open(request)
            request.worker, request.node = worker.id, worker.node
            worker.inbox.append((now, request))
            last, request = request, next(coming, None)
            at += 1
        if last is not None:
            engine.coming -= ledger.count - known
            turns[place] = last.worker
            system.progress(last.arrived)
        return last, request

    return let_in
