"""A worker of the reference engine: its queues, and what one iteration does to its requests."""

from collections import deque
from collections.abc import Callable
from math import inf

from tsdl import formula
from tsdl.costs import Batch, compiled
from tsdl.diagnostics import Diagnostic, Severity
from tsdl.errors import TsdlError
from tsdl.formula import Value
from tsdl.plan import Local, Workers
from tsdl.runtime.batching import BATCHING, Iteration
from tsdl.runtime.memory import Memory
from tsdl.runtime.request import FINISHED, Request


def _compiled_rule(rule: Value) -> Callable[[Request, Memory, "Worker"], object]:
    return formula.function("a policy", "r, kv, w", formula.python(rule), {})  # type: ignore[no-any-return]


def _impossible(duration: float, batch: Batch) -> Diagnostic:
    return Diagnostic(
        "E0902",
        Severity.ERROR,
        f"an iteration would take {duration:g} seconds",
        None,
        notes=(f"of {batch.tokens:,} tokens: {batch.prefills} prefills, {batch.decodes} decodes",),
        help=("see to it that the formulas of the cost are never negative",),
    )


class Worker:
    """Queues, memory and batching of one worker.

    `waiting` is in order of arrival with preempted requests in front, `active` in order of
    admission, `swapped` in the order in which they were swapped out.
    """

    def __init__(self, index: int, kind: Workers, local: Local) -> None:
        """Begin idle and empty."""
        self.id = index
        self.kind = kind
        self.local = local
        self.prefills = kind.prefills
        self.decodes = kind.decodes
        self.waiting: deque[Request] = deque()
        self.active: list[Request] = []
        self.swapped: deque[Request] = deque()
        self.memory = self.kv = Memory(kind.kv, local.watermark)
        self.iteration_time = compiled(kind.cost)
        self.outstanding_tokens = 0
        self.preemptions = 0
        self.iterations = 0
        self.busy = 0.0
        self._batching = BATCHING[local.batching]
        self._admit_when = (
            _compiled_rule(local.admit_when) if local.admit_when is not True else None
        )
        self._admit_by = [_compiled_rule(rule) for rule in local.admit_by]
        self._evict_by = [_compiled_rule(rule) for rule in local.evict_by]

    # -- what policies read --------------------------------------------------------------------

    @property
    def running(self) -> int:
        """Return how many requests run here."""
        return len(self.active)

    @property
    def queued(self) -> int:
        """Return how many requests wait here."""
        return len(self.waiting) + len(self.swapped)

    @property
    def outstanding(self) -> int:
        """Return how many requests here are not finished."""
        return self.queued + sum(not request.done for request in self.active)

    @property
    def load(self) -> float:
        """Return outstanding requests over the most that may run."""
        return self.outstanding / self.local.max_requests

    # -- queues --------------------------------------------------------------------------------

    def enqueue(self, request: Request) -> None:
        """Take a request that was dispatched here."""
        request.worker = self.id
        self.waiting.append(request)
        self.outstanding_tokens += request.prompt + request.output

    def next_waiting(self) -> Request:
        """Return who is next: the head, or the least by the policy's order."""
        if not self._admit_by:
            return self.waiting[0]
        return min(
            self.waiting, key=lambda r: tuple(rule(r, self.kv, self) for rule in self._admit_by)
        )

    def may_admit(self, request: Request) -> bool:
        """Ask the policy's own condition."""
        return self._admit_when is None or bool(self._admit_when(request, self.kv, self))

    def start(self, request: Request) -> None:
        """Move a request from the waiting to the running."""
        self.waiting.remove(request)
        self.active.append(request)
        request.active = True

    def victim(self, candidates: list[Request]) -> Request:
        """Return who makes room: the last admitted, or the least by the policy's order."""
        if not self._evict_by:
            return candidates[-1]
        return min(
            reversed(candidates),
            key=lambda r: tuple(rule(r, self.kv, self) for rule in self._evict_by),
        )

    def preempt(self, request: Request) -> float:
        """Take a request out of the running; return the seconds that it takes."""
        self.active.remove(request)
        request.active = False
        request.preemptions += 1
        self.preemptions += 1
        if self.local.preempt == "swap" and request.prefilled and self.memory.swap_out(request):
            self.swapped.append(request)
            return self.swap_time(request.held)
        self.memory.release(request)
        request.computed = 0
        request.prefilled = False
        self.waiting.appendleft(request)
        return 0.0

    def resume(self, request: Request) -> float:
        """Bring the first of the swapped back; return the seconds that it takes."""
        seconds = self.swap_time(request.held)
        self.swapped.remove(request)
        self.memory.swap_in(request, self.memory.needed(request, request.length))
        self.active.append(request)
        request.active = True
        return seconds

    def swap_time(self, size: int) -> float:
        """Return the seconds that moving so many bytes to or from the host takes."""
        return self.kind.host.latency + size / self.kind.host.bandwidth

    # -- iterations ----------------------------------------------------------------------------

    def schedule(self, now: float) -> tuple[Iteration, float] | None:
        """Put the next iteration together; return it and its duration, None if there is none."""
        iteration = self._batching(self)
        if iteration.empty:
            return None
        for request, _ in iteration.prefills:
            if request.started is None:
                request.started = now
        iteration.close()
        duration = self.iteration_time(iteration.batch) + iteration.swap_delay
        if isinstance(duration, complex) or not 0 <= duration < inf:
            raise TsdlError([_impossible(duration, iteration.batch)])
        self.iterations += 1
        return iteration, duration

    def complete(self, iteration: Iteration, now: float, gaps: dict[float, int]) -> list[Request]:
        """Yield the tokens of an iteration; count gaps by their length; return who finished."""
        finished = []
        for request, chunk in iteration.prefills:
            request.computed += chunk
            if request.computed == request.length:
                request.prefilled = True
                if self._token(request, now, gaps):
                    finished.append(request)
        for request in iteration.decodes:
            if request.generated < request.output:  # else padding of a static batch
                request.computed = request.prompt + request.generated
                if self._token(request, now, gaps):
                    finished.append(request)
        if all(request.done for request in self.active):
            self.end_batch()  # of a static batch; no other keeps who is done
        return finished

    def end_batch(self) -> None:
        """Give back the slots of a batch whose requests are all done."""
        for request in self.active:
            request.active = False
            self.memory.release(request)
        self.active.clear()

    def _token(self, request: Request, now: float, gaps: dict[float, int]) -> bool:
        """Yield a token; return whether it was the last."""
        request.generated += 1
        if request.last is None:
            request.first = now
            self.outstanding_tokens -= request.prompt
        else:
            gap = now - request.last
            if request.counted:
                gaps[gap] = gaps.get(gap, 0) + 1
            request.largest_gap = max(request.largest_gap, gap)
        request.last = now
        self.outstanding_tokens -= 1
        if request.generated < request.output:
            return False
        request.status = FINISHED
        if self.local.batching != "static":  # a static batch keeps its slots to the end
            self.active.remove(request)
            request.active = False
            self.memory.release(request)
        return True
