"""A worker of the reference engine: its queues, and what one iteration does to its requests."""

from collections import deque
from collections.abc import Callable
from math import inf
from typing import Any, Protocol

from tsdl.costs import Batch
from tsdl.formulaerrors import cannot_be
from tsdl.plan import Workers
from tsdl.runtime.batching import BATCHING, Iteration
from tsdl.runtime.drafts import Drafts
from tsdl.runtime.prefixes import memory_of
from tsdl.runtime.programs import Program
from tsdl.runtime.request import FINISHED, Request, Running
from tsdl.runtime.rules import Rules, heap_order
from tsdl.runtime.shown import Shown
from tsdl.runtime.times import IterationTimes, no_time


class Swapper(Protocol):
    """Where victims go instead of the host (section 8.6)."""

    def out(self, worker: "Worker", request: Request) -> bool:
        """Begin to move a victim there; False where there is no room for it."""

    def back(self, worker: "Worker", request: Request) -> None:
        """Begin to bring it back."""


class Worker(Shown):
    """Queues, memory and batching of one worker.

    `waiting` is in order of arrival with preempted requests in front, `active` in order of
    admission, `swapped` in the order in which they were swapped out. Of requests that come with
    their KV, `incoming` have not got all of it yet, and `ready` wait for a slot. `leaving` run no
    more, and hold memory until their KV is elsewhere.

    An asynchronous one puts an iteration together before it knows what came of the last: until it
    has, newcomers are `unseen`, and slots and bytes of those that `ended` are taken.
    """

    __slots__ = (
        "__dict__", "_batching", "active", "advanced", "arriving", "budget", "busy", "composing",
        "current", "decodes", "due", "ended", "engaged", "forgotten", "free_at",
        "fresh", "gave_way", "hooks", "id", "inbox", "incoming", "iterations",
        "kind", "kv", "late", "leader", "leaving", "local", "looked_at", "memory", "node", "opened",
        "outstanding_tokens", "over", "partial", "preemptions", "prefilling", "prefills", "ready",
        "rules", "sequential", "share", "stopped", "swapped", "swapper", "taking", "times",
        "unseen", "waiting", "woken",
    )  # fmt: skip

    up = True  # whether requests may be dispatched to it
    serves = 0  # which of the plan's models
    drafts: Drafts | None = None  # of a policy that speculates

    def __init__(self, index: int, kind: Workers, node: int, times: IterationTimes) -> None:
        """Begin idle and empty; `times` are those of its group."""
        self.id = self.leader = index  # the leader of its gang wakes for all of it
        self.kind = kind
        self.local = kind.local
        self.node = node
        self.prefills, self.decodes = kind.prefills, kind.decodes
        self.sequential = kind.handoff == "sequential"  # takes KV in between iterations only
        self.waiting: deque[Request] = deque()
        self.active = Running()
        self.swapped: deque[Request] = deque()
        self.ready: deque[Request] = deque()
        self.incoming: deque[Request] = deque()
        self.leaving: list[Request] = []
        self.unseen: deque[Request] = deque()
        self.ended = 0
        # Whether it looks for an iteration; whether an asynchronous one found one the last time.
        self.composing = self.engaged = False
        self.arriving = 0  # bytes on their way here
        self.taking = 0  # requests that are being handed over to it
        self.memory = self.kv = memory_of(kind.kv, kind.local.watermark, kind.host)
        self.times = times
        self.outstanding_tokens = self.preemptions = self.iterations = 0
        self.busy = self.prefilling = 0.0  # seconds; and of these, with prompts
        # Of the waiting: how many came since the last boundary, and when the first did.
        self.fresh, self.opened = 0, 0.0
        self.current: Iteration | None = None  # in flight
        self.advanced = False  # whether the last iteration went further than any before
        self.gave_way = False  # whether it has room for others since it looked for an iteration
        # Tokens that the next iteration may have; of the layers that the one in flight has computed
        # the share, at a breakpoint.
        self.budget, self.share = kind.local.max_tokens, 1.0
        self.free_at = 0.0  # until when it does nothing, as handlers have said
        # At a breakpoint: whether it stopped there, and for how many seconds.
        self.stopped, self.late = False, 0.0
        self.over = 0  # how many of those that run are done
        self.partial = False  # whether some of the running may have a part of their prompt to do
        self.hooks: dict[str, Program] = {}
        self.woken: Callable[[], None] | None = None  # instead of an event of its own
        # Of one without events of its own: when something happens here, and who has come meanwhile.
        self.due = inf
        self.inbox: deque[tuple[float, Request]] = deque()
        self.looked_at = False  # by a handler that goes on, also after who comes
        self.rules = Rules(kind.local, dict)
        self.swapper: Swapper | None = None
        self.forgotten: Callable[[Request], None] = lambda request: None
        self._batching = BATCHING[kind.local.batching]

    # -- queues --------------------------------------------------------------------------------

    def enqueue(self, request: Request, now: float) -> None:
        """Take a request that was dispatched here, and has no KV."""
        self.take(request)
        if not (self.waiting or self.unseen):
            self.opened = now
        if self.engaged:
            self.unseen.append(request)
            return
        self.waiting.append(request)
        self.fresh += 1

    def take(self, request: Request) -> None:
        """Count a request as one of this worker's from now on."""
        request.worker, request.node = self.id, self.node
        self.outstanding_tokens += request.left

    def let_go(self, request: Request) -> None:
        """Take a request out of whichever queue it is in; what it holds stays held."""
        self.outstanding_tokens -= request.left
        if request.active:
            self.deactivate(request)
            return
        for queue in (self.waiting, self.unseen, self.swapped, self.ready, self.incoming):
            if request in queue:
                queue.remove(request)
                return

    def holds_back(self, now: float) -> float | None:
        """Return until when an idle worker waits for others; None where it does not."""
        window = self.local.window
        if not window or self.active or self.swapped or self.ready:
            return None
        self.see()
        self.engaged = False
        if not self.waiting:
            return None
        until = self.opened + window
        return until if now < until and len(self.waiting) < self.local.max_requests else None

    def next_waiting(self) -> Request:
        """Return who is next: the head, or the least by the policy's order."""
        return self._first(self.waiting, self.rules.admit_by)

    def next_swapped(self) -> Request:
        """Return who of the swapped comes back next."""
        return self._first(self.swapped, self.rules.resume_by)

    def next_incoming(self, not_begun: list[Request]) -> Request:
        """Return whose KV is taken in next."""
        return self._first(not_begun, self.rules.admit_by)

    def _first(
        self, queue: deque[Request] | list[Request], keys: list[Callable[..., Any]]
    ) -> Request:
        return min(queue, key=self._key(keys)) if keys else queue[0]

    def _key(self, keys: list[Callable[..., Any]]) -> Callable[[Request], tuple[Any, ...]]:
        return lambda request: tuple(key(request, self.kv, self) for key in keys)

    @property
    def keeps_out(self) -> bool:
        """Tell whether nobody is admitted, since others wait to be swapped back."""
        return bool(self.swapped) and self.local.swapped_first

    def may_admit(self, request: Request) -> bool:
        """Ask the policy's own condition."""
        rule = self.rules.admit_when
        return rule is None or bool(rule(request, self.kv, self))

    @property
    def has_to_ask(self) -> bool:
        """Tell whether somebody waits here on whom the policy has a condition of its own."""
        rules = self.rules
        admits = self.waiting and rules.admit_when is not None
        return bool(admits or (self.swapped and rules.resume_when is not None))

    def must_evict(self, request: Request) -> bool:
        """Ask whether somebody must go so that a request may go on, even if there is room."""
        rule = self.rules.evict_when
        return rule is not None and bool(rule(request, self.kv, self))

    def may_resume(self, request: Request) -> bool:
        """Tell whether a swapped request may come back; a condition replaces the watermark."""
        size, rule = self.memory.needed(request, self.reach(request)), self.rules.resume_when
        if rule is None:
            return self.memory.admits(size)
        return size <= self.memory.free and bool(rule(request, self.kv, self))

    @property
    def drafted(self) -> int:
        """Return the tokens that are drafted for each request that decodes."""
        return self.drafts.tokens if self.drafts is not None else 0

    def reach(self, request: Request) -> int:
        """Return the greatest context that a request has while an iteration decodes it."""
        context = request.prompt + request.generated
        # What is drafted beyond the end of its answer is not kept.
        return min(context + self.drafted, max(context, request.prompt + request.output - 1))

    def start(self, request: Request, size: int) -> None:
        """Move a request from the waiting to the running, where it holds so many bytes."""
        self.waiting.remove(request)
        self.activate(request)
        self.memory.begin(request, size)
        self.admitted(request)

    def activate(self, request: Request) -> None:
        """Put a request among the running."""
        self.active.append(request)
        request.active = True

    def deactivate(self, request: Request) -> None:
        """Take a request out of the running; what it holds stays held."""
        self.active.remove(request)
        request.active = False
        self.over -= request.done

    def admitted(self, request: Request) -> None:
        """Tell handlers that a request was admitted."""
        if request.begun_on != self.id:
            request.begun_on = self.id
            self.tell("start", request)
        self.tell("admit", request)

    def tell(self, event: str, request: Request) -> None:
        """Call the handler of an event that is about a request here."""
        hook = self.hooks.get(event)
        if hook is not None:
            hook(request, self)

    def reserve(self, size: int) -> None:
        """Take memory for what comes from elsewhere, or give it back: below 0."""
        self.memory.reserve(size)
        self.awaited()

    def stir(self) -> None:
        """Note that something has changed here: what was found before may not be so any more."""

    def awaited(self) -> None:
        """Note that somebody waits for what happens here next, or that it comes otherwise now."""

    def await_rest(self, *, awaited: bool) -> None:
        """Note whether somebody waits until it holds nothing any more."""

    def catch_up(self) -> None:
        """Bring it up to date: somebody looks at it, or changes something here."""

    def touch(self, request: Request) -> None:
        """Bring it up to date, and the fields of a request here on which somebody acts."""

    def victim(self, candidates: list[Request]) -> Request:
        """Return who makes room: the last admitted, or the least by the policy's order."""
        keys = self.rules.evict_by
        return min(reversed(candidates), key=self._key(keys)) if keys else candidates[-1]

    def preempt(self, request: Request) -> float:
        """Take a request out of the running; return the seconds that it takes."""
        self.deactivate(request)
        request.preemptions += 1
        self.preemptions += 1
        seconds = 0.0
        if not (self.local.preempt == "swap" and request.prefilled):
            self.forget(request)
        elif self.swapper is not None:
            if self.swapper.out(self, request):
                self.swapped.append(request)
            else:
                self.forget(request)
        elif self.memory.swap_out(request):
            self.swapped.append(request)
            seconds = self.memory.out_time(request)
        else:
            self.forget(request)
        self.tell("preempt", request)
        return seconds

    def resume(self, request: Request) -> float:
        """Bring a swapped request back; return the seconds that it takes."""
        self.swapped.remove(request)
        size = self.memory.needed(request, self.reach(request))
        seconds = 0.0
        if self.swapper is not None:
            self.swapper.back(self, request)
            self.memory.reserve(size)
            request.held = size
        else:
            seconds = self.memory.in_time(request)
            self.memory.swap_in(request, size)
        self.activate(request)
        self.admitted(request)
        return seconds

    def forget(self, request: Request) -> None:
        """Take a request's memory back; it waits at the head, to be computed anew."""
        self.forgotten(request)
        self.memory.release(request)
        request.lose()
        self.waiting.appendleft(request)

    # -- iterations ----------------------------------------------------------------------------

    def schedule(self, now: float) -> Iteration | None:
        """Put the next iteration together; return it, None if there is none."""
        found = self._put_together(now)
        if self.local.asynchronous:
            gave_way = self.gave_way
            if self.see() and found is None:
                found = self._put_together(now)
                self.gave_way |= gave_way or bool(self.incoming)
            self.engaged = found is not None
        if found is not None:
            self.iterations += 1
            self.current = found
        return found

    def see(self) -> bool:
        """Let the scheduler know who has come and what is free; tell whether that is anything."""
        if not (self.ended or self.unseen):
            return False
        self.memory.free_retired()
        self.ended = 0
        self.waiting += self.unseen
        self.fresh += len(self.unseen)
        self.unseen.clear()
        return True

    def _put_together(self, now: float) -> Iteration | None:
        self.order_newcomers()
        if self.rules.budget is not None and (self.active or self.waiting or self.ready):
            most, least = self.local.max_tokens, self.local.decode_tokens
            self.budget = int(max(least, min(self.rules.budget(self.kv, self), most)))
        self.composing = True
        iteration = self.compose()
        self.composing = False
        self.gave_way = iteration.preempted
        if iteration.empty:
            self.spend(iteration.swap_delay, now)
            return None
        return iteration

    def duration_of(self, iteration: Iteration, now: float) -> float:
        """Return the seconds that an iteration takes which begins now, all else included."""
        duration = self.time_of(iteration) + iteration.swap_delay
        if self.free_at > now:
            duration += self.free_at - now
        if cannot_be(duration):
            raise no_time(duration, self.full_batch(iteration), self.kind.cost)
        return duration

    def spent(self, iteration: Iteration, seconds: float) -> None:
        """Note how long an iteration has kept the worker busy."""
        self.busy += seconds
        if iteration.prefills:
            self.prefilling += seconds

    def computing(self, end: float) -> tuple[float, float]:
        """Return the seconds that each device computed up to the end, and those with prompts."""
        return self.busy, self.prefilling

    def order_newcomers(self) -> None:
        """Put those that came since the last boundary into the order of the queue."""
        self.fresh = min(self.fresh, len(self.waiting))
        if self.fresh > 3 and self.local.queue == "heap":  # noqa: PLR2004 (three keep their order)
            fresh = [self.waiting.pop() for _ in range(self.fresh)]
            self.waiting.extend(heap_order(fresh[::-1]))
        self.fresh = 0

    def compose(self) -> Iteration:
        """Return the next iteration, which may be empty."""
        return self._batching(self)

    def time_of(self, iteration: Iteration) -> float:
        """Return the seconds that an iteration computes."""
        return self.times.of_batch(self.full_batch(iteration))

    def full_batch(self, iteration: Iteration) -> Batch:
        """Return the features of an iteration."""
        iteration.close()
        return iteration.batch

    def spend(self, seconds: float, now: float) -> None:
        """Do nothing for so long: now, at a breakpoint, else from when it is free."""
        if self.stopped:
            self.late += seconds
        else:
            self.free_at = max(self.free_at, now) + seconds

    def computes(self, request: Request) -> bool:
        """Tell whether a request is in an iteration in flight, or may be put into the next."""
        return self.composing or self.in_flight(request)

    def in_flight(self, request: Request) -> bool:
        """Tell whether a request is in an iteration in flight."""
        iteration = self.current
        return iteration is not None and (
            request in iteration.decodes or any(r is request for r, _ in iteration.prefills)
        )

    def complete(self, iteration: Iteration, now: float, gaps: dict[float, int]) -> list[Request]:
        """Yield the tokens of an iteration; count gaps by their length; return who finished."""
        self.current = None
        self.advanced = iteration.batch.last_tokens > 0
        told, finished = self.complete_prefills(iteration, now, gaps)
        self.complete_decodes(iteration, now, gaps, told, finished)
        self.finish(told, finished)
        return finished

    def complete_prefills(
        self, iteration: Iteration, now: float, gaps: dict[float, int]
    ) -> tuple[list[Request], list[Request]]:
        """Note what was computed of prompts; return whose is complete, and who finished."""
        complete, finished = [], []
        for request, chunk in iteration.prefills:
            request.computed += chunk
            if request.computed > request.furthest:
                request.furthest = request.computed
                self.advanced = True
            if request.computed == request.length:
                request.prefilled = True
                complete.append(request)
                if self._token(request, now, gaps):
                    finished.append(request)
        return complete, finished

    def complete_decodes(
        self,
        iteration: Iteration,
        now: float,
        gaps: dict[float, int],
        told: list[Request],
        finished: list[Request],
    ) -> None:
        """Give those that decode their tokens; add to who is told of, and to who finished."""
        tells, token, drafts = "token" in self.hooks, self._token, self.drafts
        for request in iteration.decodes:
            if request.generated < request.output:  # else padding of a static batch
                more = drafts.accepted_of(request) if drafts is not None else 0
                request.computed = request.prompt + request.generated + more
                if tells:
                    told += [request] * (1 + more)
                if token(request, now, gaps, more):
                    finished.append(request)

    def finish(self, told: list[Request], finished: list[Request]) -> None:
        """Tell handlers of tokens and of ends, and let those go that have finished."""
        self.over += len(finished)
        for request in told if "token" in self.hooks else ():
            self.tell("token", request)
        for request in finished:
            self.tell("finish", request)
            if self.local.batching != "static":  # a static batch keeps its slots to the end
                self.leave(request)
        if self.over == len(self.active):
            self.end_batch()  # of a static batch; no other keeps who is done
        if self.local.window and not (self.active or self.swapped or self.ready):
            self.see()  # it waits for others now, and is ahead of nothing
            self.engaged = False

    def end_batch(self) -> None:
        """Give back the slots of a batch whose requests are all done."""
        for request in list(self.active):
            self.leave(request)

    def leave(self, request: Request) -> None:
        """Give back what a finished request holds, once nothing copies it any more."""
        self.deactivate(request)
        self.ended += self.engaged
        if request.resting:
            self.leaving.append(request)
        elif self.engaged:
            self.memory.retire(request)
        else:
            self.memory.release(request)

    def _token(self, request: Request, now: float, gaps: dict[float, int], more: int = 0) -> bool:
        """Yield a token, and more that were drafted; return whether its last is among them."""
        request.generated += 1 + more
        if request.last is None:
            request.first = now
            self.outstanding_tokens -= request.prompt
        else:
            gap = now - request.last
            if request.counted:
                gaps[gap] = gaps.get(gap, 0) + 1
            if gap > request.largest_gap:  # noqa: PLR1730 (for every token: `max` is slower)
                request.largest_gap = gap
        request.last = now
        self.outstanding_tokens -= 1 + more
        if request.generated < request.output:
            return False
        request.status = FINISHED
        return True
