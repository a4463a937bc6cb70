"""The fast engine: the reference engine, in which most workers need no event of their own.

Who looks at a worker, or changes something there, lets it catch up first. What others wait for at
a worker is an event still, at a time not later than that when it happens.
"""

from array import array
from functools import partial
from math import inf, nextafter

from tsdl.facts import Facts, facts_of, victims_may_wait
from tsdl.runtime.clock import TIMER, Clock
from tsdl.runtime.engine import Engine
from tsdl.runtime.fast import bounds, inflow, lean
from tsdl.runtime.fast.clock import FastClock
from tsdl.runtime.fast.cohortworker import CohortWorker
from tsdl.runtime.fast.worker import FastWorker
from tsdl.runtime.samples import state_of
from tsdl.runtime.worker import Worker

_FEW = 300  # iterations of a worker, which take about a millisecond


class FastEngine(Engine):
    """One run of a plan; the result is that of the reference engine, to the last bit."""

    def _clock(self) -> Clock:
        self.facts: tuple[Facts, ...] = facts_of(self.plan)
        self.fast: list[FastWorker] = []
        self.driven: list[CohortWorker] = []  # that share their boundaries, which are a process's
        self.fast_clock = FastClock()
        self.fast_clock.guarded = self.guard is not None
        return self.fast_clock

    def _worker(self, index: int, group: int, node: int) -> Worker:
        facts = self.facts[group]
        if facts.rung == "reference":
            return super()._worker(index, group, node)
        kind = self.plan.workers[group]
        if kind.ranks > 1:
            self.driven.append(CohortWorker(index, kind, node, self.times[group], facts))
            return self.driven[-1]
        worker = FastWorker(index, kind, node, self.times[group], facts)
        worker.woken = partial(self._woken, worker)
        worker.boundary = self._boundary
        self.fast.append(worker)
        return worker

    def _let_arrive(self) -> None:
        self.fast_clock.let_arrive(self.requests.first(), self._rank, self._arrive)
        self.fast_clock.let_in = inflow.of(self)

    def _begin(self) -> None:
        """Let the workers begin to serve."""
        self.arms = 0
        self.router.waits, self.router.over = self._watch, self._let_be
        self.victims_wait = any(victims_may_wait(kind) for kind in self.plan.workers)
        self.system.progress_unseen = self._progress_unseen
        for gang in self.gangs:
            worker = gang.leader
            if isinstance(worker, FastWorker):
                worker.clock = self.fast_clock
                worker.look, worker.heed = self._look, self._arm
                worker.gap_length = self.gap_length.append
                worker.gap_count = self.gap_count.append
                worker.note_gaps = self._note_gaps
                worker.close, worker.tire = self._close, self.system.tire
                in_turns = self.plan.workload.chained
                worker.prepare(in_turns=in_turns, noted=bool(self.changes))
            else:
                self._begin_to_serve(gang)

    def _come_to_end(self, until: float | None) -> None:
        """Let happen what no event has brought about."""
        for worker in self.fast:
            worker.advance(inf if until is None else nextafter(until, inf))
            if worker.current is not None:
                self.begun[worker.id] = worker.begun, worker.current
            if until is not None:
                worker.open_inbox(until)
            self.ended = max(self.ended, worker.landed)
        everybody: list[CohortWorker] = [*self.fast, *self.driven]
        for each in everybody:
            each.settle()  # for those who look at what has become of each request

    def next_time(self) -> float:
        """Return when something happens next; inf if nothing will."""
        return min(super().next_time(), *(worker.due for worker in self.fast), inf)

    def soon(self) -> float:
        """Return a time until which little happens of which there is no event."""
        busy = (worker for worker in self.fast if worker.due < inf)
        return min((worker.due + _FEW * worker.duration for worker in busy), default=inf)

    def let_pass(self, time: float) -> None:
        """Let what happens up to a time happen, of which there is no event."""
        self.fast_clock.pass_to(time)
        self.catch_up()

    def _progress_unseen(self) -> float:
        """Return when a worker of whose iterations nobody is told has got anything further last."""
        for worker in self.fast:
            if not worker.ending:
                worker.catch_up()
        return max([max(w.cohort.last, w.moved) for w in self.fast], default=-inf)

    def _note_gaps(self, gaps: list[float], count: int) -> None:
        """Note gaps that so many requests had, each of them."""
        self.gap_length.fromlist(gaps)
        self.gap_count.extend(array("i", (count,)) * len(gaps))

    # -- boundaries ----------------------------------------------------------------------------

    def _boundary(self, worker: FastWorker) -> None:
        """Let the iteration in flight end, if there is one, and look for the next."""
        now = worker.due
        if worker.inbox:
            worker.open_inbox(now)
        iteration = worker.current
        if iteration is not None:
            worker.spent(iteration, worker.duration)
            worker.ending = True
            self._end_iteration(worker, iteration, now)
            worker.ending = False
        if worker.lean_begin and lean.takes(worker):
            worker.current, worker.due = None, now
            lean.run(worker, now, until_end=True)
        else:
            self._look(worker, now)

    def _look(self, worker: FastWorker, now: float) -> None:
        """Let a worker look for its next iteration."""
        worker.due = inf
        # Who takes KV in lets a worker catch up. Where none is to come it may be behind the clock.
        awaits_kv = bool(worker.incoming) and worker.awaits_kv
        if awaits_kv and self._waits(worker):
            return  # until what comes is there, and wakes it
        back = worker.holds_back(now)
        if awaits_kv:
            self.handover.take_in_if_overlapped(worker)
        iteration = worker.schedule(now) if back is None else None
        duration = 0.0 if iteration is None else worker.duration_of(iteration, now)
        if worker.id in self.actions.deferred:
            self.actions.release(worker)
        if self.changes:
            self.changes[worker.id].note(state_of(worker), now)
        if iteration is not None:
            iteration.note_start(now)
            worker.begun, worker.duration = now, duration
            worker.due = now + duration
            worker.set_steady(iteration)
        elif worker.due == now or (back is None and worker.gave_way):  # it was woken meanwhile
            self.system.count("worker", worker.id, "looks again")
            worker.due = now
        elif back is not None:
            worker.due = back
            if back > self.clock.now:
                self.coming += 1
                self.clock.call(back, TIMER, lambda: self._end_window(worker))
        if worker.current is None and worker.inbox:
            worker.due = min(worker.due, worker.inbox[0][0])
        if worker.due == inf:
            if worker.rest_awaited:
                self.scaling.rest(worker)
            if self.victims_wait:
                self._see_to_deadlock()

    def _woken(self, worker: FastWorker) -> None:
        """Let a worker look at its queues: at once if it is idle, else at its next boundary."""
        now = self.clock.now
        if worker.due <= now or worker.inbox:
            worker.catch_up()
        worker.stir()
        if worker.current is None:
            worker.look_at(now)
        if worker.heeded or worker.incoming or self.actions.deferred:
            self._arm(worker)

    # -- events --------------------------------------------------------------------------------

    def _watch(self) -> None:
        """See to it that boundaries are seen from now on: a request waits for any of them."""
        self.catch_up()  # it waits for no boundary that has been
        for worker in self.fast:
            worker.watch(watched=True)

    def _let_be(self) -> None:
        """Let boundaries be: nobody waits for them any more."""
        for worker in self.fast:
            worker.watch(watched=False)

    def _arm(self, worker: FastWorker) -> None:
        """See that there is an event for what others wait for at a worker."""
        due = worker.due
        if worker.armed <= due:
            return  # nothing happens before what is due
        if (worker.incoming and worker.awaits_kv) or worker.id in self.actions.deferred:
            time = due
        elif worker.heeded:
            time = self._bound(worker)
        else:
            return
        if time < worker.armed:
            worker.armed = time
            self.arms += 1
            self.clock.call(time, worker.rank, lambda: self._happen(worker, time))

    def _happen(self, worker: FastWorker, time: float) -> None:
        """Let happen at a worker what others may have waited for."""
        self.arms -= 1
        if worker.armed != time:
            return  # there was one before
        worker.catch_up()
        if worker.due == time:
            worker.go_on()
        worker.armed = inf  # not before: what happens now needs no event of its own
        self._arm(worker)

    def _bound(self, worker: FastWorker) -> float:
        """Return a time not later than when something happens that handlers are told of."""
        if worker.stepped or worker.watched:
            return worker.due
        turn = worker.turn
        if turn <= self.clock.now:
            turn = worker.turn = bounds.earliest_turn(worker)
        if turn == worker.due or not worker.hooks_heeded:
            return turn
        end = bounds.earliest_end(worker)
        if end == worker.due:
            return end
        first = min(end, turn) if worker.ends_heeded else turn
        if worker.admissions_heeded:  # a victim is admitted again, maybe before anybody ends
            first = min(first, bounds.earliest_preemption(worker))
        return first

    def all_closed(self) -> bool:
        """Tell whether no request is open any more."""
        self.catch_up()
        return super().all_closed()

    def is_over(self) -> bool:
        """Tell whether nothing else will ever happen, in an event or without one."""
        # Events that were seen to for a worker which has nothing more to do mean nothing.
        return self.fast_clock.waiting == self.arms and all(
            worker.due == inf for worker in self.fast
        )

    @property
    def still(self) -> bool:
        """Tell whether nothing is to come but timers, and workers that fail or start."""
        return super().still and all(worker.due == inf for worker in self.fast)
