"""A worker that is brought up to date when somebody looks, and needs no event of its own."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf, nextafter

from tsdl.costs import Batch
from tsdl.facts import Facts
from tsdl.plan import Workers
from tsdl.runtime.batching import Iteration
from tsdl.runtime.clock import BOUNDARY
from tsdl.runtime.fast import bounds, lean, steady, tools
from tsdl.runtime.fast.clock import FastClock
from tsdl.runtime.fast.cohort import BITS
from tsdl.runtime.fast.cohortworker import CohortWorker
from tsdl.runtime.request import Request
from tsdl.runtime.times import IterationTimes, no_time

_HEEDED = ("token", "start", "admit", "finish")


class FastWorker(CohortWorker):
    """A worker that may be behind the clock.

    `due` is when something happens here next: the iteration in flight (`current`) ends, or an idle
    worker looks at its queues.
    """

    __slots__ = (
        "admissions_heeded",
        "armed",
        "begun",
        "boundary",
        "clock",
        "close",
        "duration",
        "ending",
        "ends_heeded",
        "gap_count",
        "gap_length",
        "heed",
        "heeded",
        "hooks_heeded",
        "in_turns",
        "landed",
        "lean",
        "lean_begin",
        "least",
        "look",
        "loops",
        "moved",
        "note_gaps",
        "noted",
        "own_iteration",
        "rank",
        "rest_awaited",
        "stepped",
        "stirred_after",
        "stirred_at",
        "suits_lean",
        "tire",
        "tools",
        "turn",
        "watched",
    )  # fmt: skip

    def __init__(
        self, index: int, kind: Workers, node: int, times: IterationTimes, facts: Facts
    ) -> None:
        """Begin idle and empty."""
        super().__init__(index, kind, node, times, facts)
        self.rank = BOUNDARY + index
        self.begun = self.duration = 0.0  # of the iteration in flight
        self.stirred_at = -1.0  # when somebody made it look, and after how many events of that time
        self.stirred_after = 0
        # When its next event is; before `turn` no turn comes that follows on a request here.
        self.armed = self.turn = inf
        self.boundary: Callable[[FastWorker], None]  # lets happen what is due
        self.clock: FastClock
        self.suits_lean = self.lean_begin = False
        self.look: Callable[[FastWorker, float], None]  # looks for the next iteration at a time
        self.heed: Callable[[FastWorker], None]  # sees to an event for what others wait for
        self.gap_length: Callable[[float], None]  # notes the length of a gap, and how many had it
        self.gap_count: Callable[[int], None]
        self.note_gaps: Callable[[list[float], int], None]  # notes gaps, and how many had each
        self.close: Callable[[Request, str, float], None]  # tells that a request is done
        self.tire: Callable[[float], None]  # tells of an iteration that was in vain
        self.moved = -inf  # when a prompt got further last, of those iterations
        self.ending = False  # whether an iteration ends just now
        self.landed = 0.0  # when an iteration ended last, of those that no event has ended
        self.lean = False
        self.noted = False  # whether its state is noted at every boundary
        self.tools: tools.Tools
        self.own_iteration = Iteration()  # the one of lean iterations, over and over
        self.loops = steady.Loops(self)
        self.least = 0.0  # seconds of an iteration; what is proved tells whether that is of use
        if facts.monotone:
            self.least = times.of_one_token
        self.stepped = facts.rung == "stepped"
        # Whether requests wait for any boundary, and somebody until this worker holds nothing.
        self.watched = self.rest_awaited = False
        # Whether others wait for what happens here; turns of conversations for what is before them;
        # handlers for anything; for ends; for admissions, and so for victims.
        self.heeded = self.in_turns = self.hooks_heeded = False
        self.ends_heeded = self.admissions_heeded = False

    def prepare(self, *, in_turns: bool, noted: bool) -> None:
        """Get to know who listens, once all hooks are set, and whether each boundary is noted."""
        self.noted = noted
        self.in_turns = in_turns
        self.admissions_heeded = "start" in self.hooks or "admit" in self.hooks
        self.suits_lean = lean.suits(self) and not noted
        self.tools = tools.tools(self)
        self._listen()

    def _listen(self) -> None:
        """Heed what somebody waits for, and nothing else."""
        rest, hooks = self.rest_awaited, self.hooks
        self.hooks_heeded = rest or not hooks.keys().isdisjoint(_HEEDED)
        self.ends_heeded = rest or "finish" in hooks
        self.heeded = self.stepped or self.in_turns or self.watched or self.hooks_heeded
        # With hooks it ends iterations itself; where none is told of admissions, lean begins them.
        self.lean_begin = self.suits_lean and not rest
        self.lean = self.lean_begin and self.decodes and not (hooks or self.watched)

    def watch(self, *, watched: bool) -> None:
        """Note whether requests wait for any boundary."""
        if watched != self.watched:
            self.watched = watched
            self._listen()
        if watched:
            self.heed(self)

    def await_rest(self, *, awaited: bool) -> None:
        """Note whether somebody waits until it holds nothing any more."""
        if awaited != self.rest_awaited:
            self.rest_awaited = awaited
            self._listen()
            self.heed(self)

    # -- queues --------------------------------------------------------------------------------

    def enqueue(self, request: Request, now: float) -> None:
        """Take a request that was dispatched here, and has no KV; look at it when it has to be."""
        due = self.due  # its boundary at this time may have been, also where it is behind
        if self.heeded or due == now or (due < now and self.clock.highest > self.rank):
            self.catch_up()
        request.worker, request.node = self.id, self.node
        if self.current is None:
            self.look_at(now)
        if self.heeded:
            super().enqueue(request, now)
            self.heed(self)
        else:
            self.inbox.append((now, request))
            if self.looked_at:
                self.open_inbox(now)

    def take(self, request: Request) -> None:
        """Count a request as one of this worker's from now on."""
        super().take(request)
        if self.in_turns:
            turn = bounds.turn_after(request, self.clock.now, self.least)
            self.turn = min(self.turn, turn)

    def look_at(self, now: float) -> None:
        """Let it look at its queues if it is idle: once what happens now is over."""
        if self.current is None and self.due > now:
            self.turn = min(self.turn, now)  # it was reckoned from what was due
            self.due = self.stirred_at = now
            self.stirred_after = self.clock.passed_now()

    def open_inbox(self, now: float) -> None:
        """Take those who have come up to a time."""
        inbox = self.inbox
        while inbox and inbox[0][0] <= now:
            time, request = inbox.popleft()
            super().enqueue(request, time)

    def awaited(self) -> None:
        """Note that somebody waits for what happens here next."""
        self.heed(self)

    @property
    def awaits_kv(self) -> bool:
        """Tell whether the next boundary may let KV come in, or has to wait for it."""
        incoming = self.incoming
        return bool(incoming) and len(incoming) > (0 if self.sequential else self.taking)

    def catch_up(self) -> None:
        """Bring it up to date: somebody looks at it, or changes something here."""
        clock = self.clock
        now = clock.now
        if self.due <= now:
            if self.due < now:
                self.advance(now)
            if self.due == now and clock.highest > self.rank:
                since = self.stirred_after if self.stirred_at == now else 0
                if clock.has_passed(self.rank, since):
                    self.advance(nextafter(now, inf))
        if self.inbox:
            self.open_inbox(now)

    def touch(self, request: Request) -> None:
        """Bring it up to date, and the fields of a request here on which somebody acts."""
        self.catch_up()
        super().touch(request)

    def settle(self) -> None:
        """Let all members of the cohort be loners, with their fields as they are now."""
        if self.current is self.own_iteration:  # which others will be after this one
            self.current = replace(self.own_iteration)
        super().settle()

    def set_steady(self, iteration: Iteration) -> None:
        """Note whether the iterations to come will differ in nothing but time."""
        self.steady = (
            iteration.grouped
            and not (iteration.prefills or iteration.decodes or iteration.preempted)
            and not self.cohort.fresh
            and "iteration" not in self.hooks
            and self.rules.budget is None
            and not self.noted
            and not self.saw
            and not self.ready
            and (not self.waiting or (self.refused and self.facts.refusal_stays))
            and (not self.swapped or self.facts.return_stays)
        )

    # -- bringing it up to date ----------------------------------------------------------------

    def advance(self, limit: float) -> None:
        """Let everything happen here that happens before a time."""
        ends = self.cohort.ends
        while self.due < limit:
            # Where it is worth the call; else those few are passed over with what follows.
            some = self.due + 2 * self.duration < limit or not self.lean
            if some and self.steady and ends[0] >> BITS > self.cohort.steps + 1:
                steady.run(self, min(limit, self.inbox[0][0]) if self.inbox else limit)
                if self.due >= limit:
                    return
            if self.lean and lean.takes(self):
                lean.run(self, limit)
            else:
                self.boundary(self)

    def go_on(self) -> None:
        """Let happen what is due; and what comes before the next event, until somebody ends.

        Where a limit may stop the run at any time, nothing happens ahead of it.
        """
        clock = self.clock
        if self.lean and lean.takes(self):
            lean.run(self, clock.now if clock.guarded else clock.peek(), until_end=True)
            if self.landed > clock.now:
                clock.land(self.landed, self.rank)
        else:
            self.boundary(self)

    def check(self, duration: float, prefills: Sequence[tuple[Request, int]], decodes: int) -> None:
        """Tell that no iteration can take so long. Raises CannotBe."""
        tokens = sum(chunk for _, chunk in prefills) + decodes
        batch = Batch(tokens=tokens, prefills=len(prefills), decodes=decodes)
        raise no_time(duration, batch, self.kind.cost)
