"""The global stage at work: it is asked where requests go, and those that no worker takes wait."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tsdl.runtime.pending import Order
from tsdl.runtime.request import UNFINISHED

if TYPE_CHECKING:
    from tsdl.runtime.request import Request
    from tsdl.runtime.samples import Changes
    from tsdl.runtime.stages import Stages
    from tsdl.runtime.system import System
    from tsdl.runtime.worker import Worker


class Router:
    """Asks the handlers of the global stage, and has those who wait asked again."""

    def __init__(self, system: System, stages: Stages) -> None:
        """Begin with nobody who waits."""
        self._system, self._pending = system, system.pending
        self._events = stages.events
        self.queues = self._pending.begin(Order(system.plan.router, stages.names, system.clock))
        self._arriving, self._submitting = (queue.waiting for queue in self.queues.values())
        self.watching = False  # whether anybody has begun to wait since nobody did
        # What is called before a request begins to wait, and once none does any more.
        self.waits: Callable[[], None] = lambda: None
        self.over: Callable[[], None] = lambda: None
        self.changes: Changes | None = None  # of how many wait, where they are asked for

    def send(self, event: str, request: Request) -> None:
        """Have a request dispatched, or let it wait behind others that no worker takes."""
        request.loose = True
        if self._arriving or self._submitting:
            self._pending.discard(request)  # a handler of another may have dispatched it
            if self.queues[event].holds_up(request):
                self._wait(request, event)
                return
        self._ask(event, request)
        if request.loose:
            self._wait(request, event)
        if self._pending.later:
            self.dispatch_pending()

    def dispatch_pending(self) -> None:
        """Have those dispatched who wait for a worker to take them, as far as anybody does."""
        if not self.watching:
            return
        self._pending.ask_all(self._ask)
        self._note()
        if not (self._arriving or self._submitting):
            self.watching = False
            self.over()

    def _ask(self, event: str, request: Request) -> None:
        """Ask the global stage where a request goes."""
        hook = self._events.get(event)
        if hook is not None:
            self._pending.ask(hook, request)

    def _wait(self, request: Request, event: str) -> None:
        """Let a request wait until a worker takes it."""
        self.waits()
        self.queues[event].add(request)
        self.watching = True
        self._note()

    def _note(self) -> None:
        if self.changes is not None:
            self.changes.note((len(self._pending), 0, 0), self._system.clock.now)

    # -- what else it is told of -------------------------------------------------------------------

    def evicted(self, request: Request) -> None:
        """Let handlers know of a request whose KV a tier has let go."""
        hook = self._events.get("evict")
        if hook is not None:
            if request.worker >= 0:
                self._system.workers[request.worker].touch(request)
            hook(request)

    def ready(self, workers: Sequence[Worker]) -> None:
        """Let handlers know who has started, and those who wait be dispatched."""
        hook = self._events.get("ready")
        if hook is not None:
            for worker in workers:
                hook(worker)
        self.dispatch_pending()

    def failed(self, worker: Worker) -> None:
        """Let handlers know that a worker has failed."""
        hook = self._events.get("fail")
        if hook is not None:
            hook(worker)

    def lost(self, request: Request) -> None:
        """Have a request dispatched anew that was on a worker that has failed."""
        hook = self._events.get("lost")
        if hook is not None:
            hook(request)
        if request.loose and request.status == UNFINISHED:
            self.send("submit" if request.prefilled else "arrive", request)
