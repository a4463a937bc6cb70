"""The reference engine: a plan as SimPy processes, one event for every arrival and iteration.

Ties at one time go by priority, never by the order in which events were made (tsdl.runtime.clock).
An arrival takes effect at the first boundary at or after it.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Generator, Mapping
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

import simpy

from tsdl.runtime.actions import Actions
from tsdl.runtime.asked import asking
from tsdl.runtime.batching import BatchView, Iteration
from tsdl.runtime.clock import ARRIVAL, BOUNDARY, OBSERVER, TIMER, Clock, Process
from tsdl.runtime.drafts import Drafts
from tsdl.runtime.failures import Failures
from tsdl.runtime.gangs import Gang, gangs_of
from tsdl.runtime.handing import delay
from tsdl.runtime.handover import Handover, RemoteSwap
from tsdl.runtime.ledger import Ledger
from tsdl.runtime.limits import run_within
from tsdl.runtime.outcome import Outcome
from tsdl.runtime.pipeline import PipelinedWorker
from tsdl.runtime.request import REJECTED, Request
from tsdl.runtime.router import Router
from tsdl.runtime.samples import ROUTER, Changes, Samples, in_order, sampling, state_of
from tsdl.runtime.scaling import turns
from tsdl.runtime.sessions import Sessions
from tsdl.runtime.stages import Stages
from tsdl.runtime.stops import stops_of
from tsdl.runtime.stuck import stuck_in
from tsdl.runtime.system import System
from tsdl.runtime.timers import Timers
from tsdl.runtime.times import IterationTimes
from tsdl.runtime.worker import Worker

if TYPE_CHECKING:
    from tsdl.plan import Plan
    from tsdl.runtime.arrivals import Arrivals
    from tsdl.runtime.limits import Guard


# Called at every boundary of a worker with the time; tests check invariants here.
Observer = Callable[["Worker", float], None]
# Called now and then with how many requests are done, of how many.
Progress = Callable[[int, int], None]


class Engine:
    """One run of a plan."""

    def __init__(  # noqa: PLR0913 (what is run, and who looks on)
        self, plan: Plan, arrivals: Arrivals, seed: int, observer: Observer | None = None,
        progress: Progress | None = None, externs: Mapping[str, object] | None = None, *,
        guard: Guard | None = None,
    ) -> None:  # fmt: skip
        """Set up workers and processes; nothing has happened yet. `guard` has limits of the run."""
        self.plan, self.guard = plan, guard
        self.observer = observer
        self.progress = progress
        self.seed, self.ask = seed, asking(externs or {})
        self.times = [IterationTimes(kind, self.ask) for kind in plan.workers]
        self.system = System(plan, self._clock(), self._worker)
        self.clock, self.workers = self.system.clock, self.system.workers
        self.gangs = gangs_of(self.workers)
        self.handover = Handover(self.system)
        self.actions = Actions(self.system, self.handover)
        self.scaling = self.actions.scaling
        self.stages = Stages(self.system, self.actions, seed, externs or {}, guard)
        self.router = Router(self.system, self.stages)
        self._listen()
        self.swaps: dict[str, RemoteSwap] = {}
        for worker in self.workers:
            worker.forgotten = self.handover.forget_copy
            if worker.kind.swap:
                swap = RemoteSwap(self.system, worker.kind.swap)
                worker.swapper = self.swaps.setdefault(worker.kind.swap, swap)
        workload = plan.workload
        self.requests = Sessions(arrivals, workload.warmup, workload.concurrency)
        self.ledger = Ledger(self.requests)
        self.coming = self.requests.known  # arrivals whose time is known
        # The iteration in flight, and when it began.
        self.begun: dict[int, tuple[float, Iteration]] = {}
        self.open = len(self.requests)
        self.ended = 0.0
        self.longest = self.system.longest
        self.in_turns = workload.chained
        self.policies = [worker.local for worker in self.workers]
        self.behind = any(policy.behind for policy in self.policies)
        self.serving = 0  # gangs that are processes
        self.timers, self.failures = Timers(self), Failures(self)
        self.gap_length, self.gap_count = array("d"), array("i")
        self.sampled = True  # whether the state of workers over time is noted
        self.samples = Samples()
        self.changes: list[Changes] = []  # of each worker, where these are asked for

    def _listen(self) -> None:
        """Have others tell what follows from what they do."""
        actions, scaling, router = self.actions, self.scaling, self.router
        actions.submitted = partial(router.send, "submit")
        actions.closed = lambda request, status: self._close(request, status, self.clock.now)
        actions.lost, actions.tier_moves.told = router.lost, router.evicted
        self.handover.changed = scaling.changed = router.dispatch_pending
        scaling.ready, scaling.over = self._ready, self.all_closed

    def _clock(self) -> Clock:
        return Clock()

    def _worker(self, index: int, group: int, node: int) -> Worker:
        kind = self.plan.workers[group]
        make = PipelinedWorker if kind.pipeline else Worker
        worker = make(index, kind, node, self.times[group])
        if kind.local.speculation is not None:
            worker.drafts = Drafts(kind.local, kind.local.speculation, self.seed)
        return worker

    def run(self) -> Outcome:
        """Run to the end: until nothing is left, the plan's `until`, or a limit that is guarded.

        Raises Interrupted where handlers go on for long after that.
        """
        clock = self.clock
        if self.requests:
            self._let_arrive()
            if self.sampled and self.plan.timeseries == "changes":
                self.changes = [Changes(w.id, state_of(w)) for w in self.workers]
                self.router.changes = Changes(ROUTER)
            elif self.sampled:
                clock.process(sampling(self))
            self.timers.begin()
            self.failures.begin()
        self._begin()
        # SimPy stops before the events at `until`; ours count those at that time, too.
        # A whole number where the plan has one, and then the end is one, too.
        until: int | float | None = self.plan.until
        last = clock.at(until, OBSERVER + 1) if until is not None else None
        stopped = None
        if self.guard is None:
            clock.run(until=last)
        else:
            stopped = run_within(self, last, self.guard)
            until = stopped.at if stopped else until
        self._come_to_end(until)
        # Nothing happens any more, and some wait: no policy would ever take them.
        stuck = stuck_in(self) if until is None else []
        end: int | float = self.ended
        if until is not None:  # who has a last token then is done, though its user has it later
            end = until if self.open else min(end, until)
        for index, (begun, iteration) in self.begun.items():
            self.workers[index].spent(iteration, end - begun)
        self.ledger.end()
        return Outcome(
            self.ledger,
            self.workers,
            self.system.tiers,
            self.system.notes,
            self.gap_length,
            self.gap_count,
            in_order([*self.changes, noted]) if (noted := self.router.changes) else self.samples,
            stuck,
            end,
            clock.events,
            self.scaling.seconds_on(end),
            turns(self.scaling.history, end),
            stopped,
        )

    def next_time(self) -> float:
        """Return when something happens next; inf if nothing will."""
        return self.clock.peek()

    def soon(self) -> float:
        """Return a time until which little happens of which there is no event."""
        return inf

    def let_pass(self, time: float) -> None:
        """Let what happens up to a time happen, of which there is no event."""

    def _begin(self) -> None:
        """Let the workers begin to serve."""
        for gang in self.gangs:
            self._begin_to_serve(gang)

    def _begin_to_serve(self, gang: Gang) -> None:
        self.serving += 1
        serve = self._serve_in_stages if gang.leader.kind.pipeline else self._serve
        self.clock.process(serve(gang))

    def _come_to_end(self, until: float | None) -> None:
        """Let happen what no event has brought about."""

    # -- arrivals and dispatch -------------------------------------------------------------------

    def _let_arrive(self) -> None:
        """See to it that requests arrive."""
        self.clock.process(self._source())

    def _source(self) -> Process:
        for request in self.requests.first():
            yield self.clock.at(request.arrived, self._rank(request))
            self._arrive(request)

    def _rank(self, request: Request) -> float:
        """Return the place of an arrival among those of its time: by number of conversation."""
        return ARRIVAL + request.session / (self.requests.count + 1)

    def _send(self) -> None:
        """Send the next request of a closed loop, if there is one: now, or at its own time."""
        request = self.requests.send(self.clock.now)
        if request is None:
            self.coming -= 1
        elif request.arrived > self.clock.now:
            self.clock.call(request.arrived, self._rank(request), lambda: self._arrive(request))
        else:
            self._arrive(request)

    def _arrive(self, request: Request) -> None:
        self.coming -= 1
        request.arrived = self.clock.now
        self.ledger.open(request)
        self.system.progress(self.clock.now)
        if request.prompt + request.output > self.longest:
            self._close(request, REJECTED, self.clock.now)
        else:
            self.router.send("arrive", request)

    def _close(self, request: Request, status: str, now: float) -> None:
        request.status = status
        request.loose = False
        self.open -= 1
        if status != REJECTED:
            policy = self.policies[request.worker]  # that is when its user has the answer
            now += delay(policy, request) if self.behind else policy.front_end
        if now > self.ended:  # noqa: PLR1730 (often: `max` is slower)
            self.ended = now
        self.ledger.close(request)
        if status == REJECTED:  # the conversation ends
            self.system.progress(self.clock.now)
            self.open -= self.requests.left(request)
        elif self.in_turns and self.requests.left(request):
            self.coming += 1
            turn = self.requests.after(request, now + request.think)
            self.clock.call(turn.arrived, self._rank(turn), lambda: self._arrive(turn))
        if self.requests.concurrency is not None:
            self.coming += 1
            self.clock.call(now + request.think, self._rank(request), self._send)
        if self.progress and self.open % 1000 == 0:
            self.progress(len(self.requests) - self.open, len(self.requests))

    def _ready(self, workers: list[Worker]) -> None:
        self.failures.up(workers)
        self.router.ready(workers)

    # -- workers ---------------------------------------------------------------------------------

    def _serve(self, gang: Gang) -> Process:
        clock, boundary = self.clock, BOUNDARY + gang.leader.id
        while True:
            duration = yield from self._next_iteration(gang)
            assert duration is not None
            begun = clock.now
            for worker, iteration in gang.in_flight:
                self.begun[worker.id] = begun, iteration
                iteration.note_start(begun)
            late = yield from self._stop_at_breakpoints(gang, duration)
            yield clock.at(begun + duration + late, boundary)
            for worker, iteration in gang.in_flight:
                worker.spent(iteration, duration + late)
                del self.begun[worker.id]
            for worker, iteration in gang.in_flight:
                if not iteration.empty:
                    self._end_iteration(worker, iteration, clock.now)

    def _serve_in_stages(self, gang: Gang) -> Process:
        """Serve with a pipeline: its iterations overlap, and end in the order of their begins."""
        clock, worker = self.clock, gang.leader
        assert isinstance(worker, PipelinedWorker)
        in_flight: deque[tuple[float, Iteration]] = deque()  # and when each ends
        while True:
            while len(in_flight) < len(worker.stages):
                found = yield from self._next_iteration(gang, look_once=bool(in_flight))
                if found is None:
                    break
                ((_, iteration),) = gang.in_flight
                self.begun.setdefault(worker.id, (clock.now, iteration))
                iteration.note_start(clock.now)
                in_flight.append((worker.ends, iteration))
            end, iteration = in_flight.popleft()
            yield clock.at(end, BOUNDARY + worker.id)
            begun, _ = self.begun.pop(worker.id)
            worker.spent(iteration, clock.now - begun)
            if in_flight:
                self.begun[worker.id] = clock.now, in_flight[0][1]
            self._end_iteration(worker, iteration, clock.now)

    def _next_iteration(
        self, gang: Gang, *, look_once: bool = False
    ) -> Generator[simpy.Event, Any, float | None]:
        """Wait until a gang has an iteration, or look but once; return its duration."""
        clock, system, leader = self.clock, self.system, gang.leader.id
        while True:
            while gang.any(self._waits):
                yield self._idle(gang)
            system.stirred.discard(leader)
            duration = gang.schedule(clock.now, self.handover.take_in_if_overlapped)
            for worker in gang.ranks:
                self.actions.release(worker)
                if self.observer:
                    self.observer(worker, clock.now)
                if self.changes:
                    self.changes[worker.id].note(state_of(worker), clock.now)
            moved = False
            while gang.any(self._moves):
                moved = True
                yield self._idle(gang)
            if duration is not None or look_once:
                return duration
            if moved or leader in system.stirred or gang.gave_way:
                # Something has changed since it looked: it looks again.
                system.count("worker", leader, "looks again")
                yield clock.at(clock.now, BOUNDARY + leader)
                continue
            for worker, until in gang.held_back:
                self.coming += 1
                clock.call(until, TIMER, partial(self._end_window, worker))
            self.scaling.rest(gang.leader)
            event = self._idle(gang)
            self._see_to_deadlock()
            yield event

    def _see_to_deadlock(self) -> None:
        """Break a deadlock once a worker is idle, if there is one; timers see to it themselves."""
        if self.quiet and not self.stages.timers:
            self.break_deadlock()

    def break_deadlock(self) -> bool:
        """Let one victim be computed anew where nothing else will ever happen; False without one.

        Workers that swap to each other's memory may all wait for the room that their victims take.
        """
        for worker in self.workers:
            if worker.swapped:
                self.actions.give_up_swap(worker.next_swapped())
                return True
        return False

    def _end_window(self, worker: Worker) -> None:
        """Let a worker look that has waited for others."""
        self.coming -= 1
        self.system.wake(worker)

    def _idle(self, gang: Gang) -> simpy.Event:
        event = self.system.idle[gang.leader.id] = self.clock.event()
        return event

    def _waits(self, worker: Worker) -> bool:
        """Tell whether a worker does nothing until KV has come in."""
        if worker.sequential and not worker.taking:
            self.handover.begin_next(worker)
        return worker.sequential and worker.taking > 0

    def _moves(self, worker: Worker) -> bool:
        """Tell whether victims are still moved over the network."""
        swap = worker.swapper
        return isinstance(swap, RemoteSwap) and swap.moves.get(worker.id, 0) > 0

    def _stop_at_breakpoints(
        self, gang: Gang, duration: float
    ) -> Generator[simpy.Event, Any, float]:
        """Let handlers look at an iteration at its breakpoints; return how long they delay it."""
        late = 0.0
        if not gang.leader.kind.breakpoints:
            return late
        ((worker, iteration),) = gang.in_flight  # ranks have no breakpoints
        begun = self.clock.now
        layers = gang.leader.kind.model.layers
        for stop in stops_of(worker.kind, iteration.batch, duration, layers, self.ask):
            yield self.clock.at(begun + stop.offset + late, BOUNDARY + worker.id)
            worker.share = stop.share
            hook = worker.hooks.get(stop.event)
            if hook is not None:
                worker.stopped, worker.late = True, 0.0
                hook(BatchView(iteration), stop.layer, worker)
                worker.stopped = False
                late += worker.late
        worker.share = 1.0
        return late

    def _end_iteration(self, worker: Worker, iteration: Iteration, now: float) -> None:
        self.ended = max(self.ended, now)
        gaps: dict[float, int] = {}
        for request in worker.complete(iteration, now, gaps):
            if not request.resting:
                self.handover.forget_copy(request)
            self._close(request, request.status, now)
        if worker.advanced:
            self.system.progress(now)
        else:
            self.system.tire(now)
        if gaps:
            self.gap_length.extend(gaps.keys())
            self.gap_count.extend(gaps.values())
        hook = worker.hooks.get("iteration")
        if hook is not None:
            hook(BatchView(iteration), worker)
        self.actions.release(worker)
        self.router.dispatch_pending()

    # -- when all is over ----------------------------------------------------------------------

    @property
    def quiet(self) -> bool:
        """Tell whether nothing is to come but timers."""
        return self.still and not self.scaling.coming

    @property
    def still(self) -> bool:
        """Tell whether nothing is to come but timers, and workers that fail or start."""
        waiting = len(self.system.idle) == self.serving and not self.system.stirred
        return waiting and not self.coming and self.system.network.quiet

    def catch_up(self) -> None:
        """Bring all workers up to date."""
        for worker in self.workers:
            worker.catch_up()

    def all_closed(self) -> bool:
        """Tell whether no request is open any more."""
        return not self.open

    def is_over(self) -> bool:
        """Tell whether nothing else will ever happen."""
        return self.clock.peek() == inf
