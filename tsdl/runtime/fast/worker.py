"""A worker that is brought up to date when somebody looks: its decoding requests are a cohort.

It does what the reference worker does, and shares what that says of single requests. Those that
decode are in `cohort`; all other running requests, the `loners`, are handled one by one.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf, nextafter

from tsdl.costs import Batch, DecodeTime, compiled, compiled_features, growing_features
from tsdl.facts import Facts, Growth
from tsdl.plan import Workers
from tsdl.runtime.batching import Iteration
from tsdl.runtime.clock import BOUNDARY
from tsdl.runtime.fast import bounds, lean, steady, tools
from tsdl.runtime.fast.batching import COMPOSE
from tsdl.runtime.fast.clock import FastClock
from tsdl.runtime.fast.cohort import BITS, Cohort
from tsdl.runtime.request import FINISHED, Request
from tsdl.runtime.worker import Worker, possible

_HEEDED = ("token", "start", "admit", "finish")


class FastWorker(Worker):
    """A worker whose iterations take constant time, whatever they hold.

    `due` is when something happens here next: the iteration in flight (`current`) ends, or an idle
    worker looks at its queues. It is *steady* while iterations differ in nothing but time.
    """

    __slots__ = (
        "_compose",
        "_fixed_order",
        "_tells_batch",
        "admissions",
        "admissions_heeded",
        "armed",
        "begun",
        "boundary",
        "clock",
        "close",
        "cohort",
        "counts_blocks",
        "duration",
        "ends_heeded",
        "facts",
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
        "loners",
        "look",
        "looks_far",
        "loops",
        "note_gaps",
        "noted",
        "own_iteration",
        "rank",
        "refused",
        "saw",
        "steady",
        "stepped",
        "stirred_after",
        "stirred_at",
        "time_of_features",
        "times",
        "tools",
        "turn",
    )  # fmt: skip

    def __init__(  # noqa: PLR0915
        self, index: int, kind: Workers, node: int, facts: Facts
    ) -> None:
        """Begin idle and empty."""
        super().__init__(index, kind, node)
        self.facts = facts
        self.rank = BOUNDARY + index
        self.begun = self.duration = 0.0  # of the iteration in flight
        self.cohort = Cohort(facts.growth or Growth(1, 0))
        self.loners: dict[Request, None] = {}  # in order of admission
        self.steady = False
        # Whether nobody can be admitted before somebody leaves; whether it saw more when it had put
        # the iteration in flight together.
        self.refused = self.saw = False
        self.admissions = 0
        self.stirred_at = -1.0  # when somebody made it look, and after how many events of that time
        self.stirred_after = 0
        # When its next event is; before `turn` no turn comes that follows on a request here.
        self.armed = self.turn = inf
        self.boundary: Callable[[FastWorker], None]  # lets happen what is due
        self.clock: FastClock
        self.lean_begin = False
        self.look: Callable[[FastWorker, float], None]  # looks for the next iteration at a time
        self.heed: Callable[[FastWorker], None]  # sees to an event for what others wait for
        self.gap_length: Callable[[float], None]  # notes the length of a gap, and how many had it
        self.gap_count: Callable[[int], None]
        self.note_gaps: Callable[[list[float], int], None]  # notes gaps, and how many had each
        self.close: Callable[[Request, str, float], None]  # tells that a request is done
        self.landed = 0.0  # when an iteration ended last, of those that no event has ended
        self.lean = False
        self.noted = False  # whether its state is noted at every boundary
        features = growing_features(kind.cost)
        self.counts_blocks = "context_blocks" in features
        self.looks_far = "longest_context" in features
        self.tools: tools.Tools
        self.own_iteration = Iteration()  # the one of lean iterations, over and over
        self.time_of_features = compiled_features(kind.cost, self.asked)
        self.times = DecodeTime(kind.cost, self.asked)
        self.loops = steady.Loops(self)
        self.least = 0.0  # seconds of an iteration; what is proved tells whether that is of use
        if facts.monotone:
            self.least = compiled(kind.cost)(Batch(tokens=1, requests=1, peer_tokens=1))
        self._tells_batch = False
        self.stepped = facts.rung == "stepped"
        # Whether others wait for what happens here; turns of conversations for what is before them;
        # handlers for anything; for ends; for admissions, and so for victims.
        self.heeded = self.in_turns = self.hooks_heeded = False
        self.ends_heeded = self.admissions_heeded = False
        self._compose = COMPOSE[kind.local.batching]
        self._fixed_order = kind.local.queue == "arrival" and not kind.local.admit_by

    def prepare(self, *, in_turns: bool, noted: bool) -> None:
        """Get to know who listens, once all hooks are set, and whether each boundary is noted."""
        self.noted = noted
        self._tells_batch = "iteration" in self.hooks
        self.in_turns = in_turns
        self.hooks_heeded = not self.hooks.keys().isdisjoint(_HEEDED)
        self.ends_heeded = "finish" in self.hooks
        self.admissions_heeded = "start" in self.hooks or "admit" in self.hooks
        # With hooks it ends iterations itself; where none is told of admissions, lean begins them.
        self.lean_begin = lean.suits(self) and not noted
        self.tools = tools.tools(self)
        self.listen()

    def listen(self) -> None:
        """Heed what handlers and later turns wait for, and nothing else."""
        self.heeded = self.stepped or self.in_turns or self.hooks_heeded
        self.lean = self.lean_begin and self.decodes and not self.hooks

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
            self._receive(request, now)
            self.heed(self)
        else:
            self.inbox.append((now, request))

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
            self._receive(request, time)

    def _receive(self, request: Request, time: float) -> None:
        """Take one who has come at a time."""
        super().enqueue(request, time)
        if self.engaged or not (self.refused and self._fixed_order):
            self.stir()

    def stir(self) -> None:
        """Note that something has changed: the next boundary is looked at."""
        self.steady = self.refused = False

    def see(self) -> bool:
        """Let the scheduler know who has come and what is free; tell whether that is anything."""
        self.saw = super().see()
        if self.saw:
            self.stir()
        return self.saw

    def spend(self, seconds: float, now: float) -> None:
        """Do nothing for so long."""
        self.stir()
        super().spend(seconds, now)

    def activate(self, request: Request) -> None:
        """Put a request among the running."""
        super().activate(request)
        self.admissions += 1
        request.number = self.admissions
        self.loners[request] = None

    def deactivate(self, request: Request) -> None:
        """Take a request out of the running."""
        self.stir()
        if self.in_cohort(request):
            self.cohort.leave(request)
        else:
            self.loners.pop(request, None)  # the padding of a static batch is neither
        super().deactivate(request)

    def in_cohort(self, request: Request) -> bool:
        """Tell whether a request is one of the cohort."""
        return self.cohort.members.get(request.number) is request

    def tell(self, event: str, request: Request) -> None:
        """Call the handler of an event that is about a request here.

        Where requests decode, those of tokens act on a first one only (tsdl.facts): no other is an
        event here, and who looks at workers then would do so at a later time.
        """
        if event != "token" or request.generated == 1 or not self.decodes:
            super().tell(event, request)

    def awaited(self) -> None:
        """Note that somebody waits for what happens here next."""
        self.heed(self)

    @property
    def awaits_kv(self) -> bool:
        """Tell whether the next boundary may let KV come in, or has to wait for it."""
        incoming = self.incoming
        return bool(incoming) and len(incoming) > (0 if self.sequential else self.taking)

    # -- the cohort -----------------------------------------------------------------------------

    def gather(self) -> bool:
        """Let loners that decode join the cohort; return whether all that decode are in it."""
        complete = True
        for request in list(self.loners):
            if not request.prefilled or request.resting or not self.decodes:
                continue
            if request.done:
                self.cohort.pad(request)
            elif not self.join(request):
                complete = False
                continue
            del self.loners[request]
        return complete

    def join(self, request: Request) -> bool:
        """Let a request decode with the cohort; False where it holds what a member would not."""
        context = request.prompt + request.generated
        ahead = False
        if self.cohort.unit:
            footprint = self.memory.footprint
            size = footprint(context - 1, request.prompt, request.output)
            if request.held != size:
                if request.held != footprint(context, request.prompt, request.output):
                    return False
                ahead = True
        self.cohort.join(request, ahead=ahead)
        return True

    def settle(self) -> None:
        """Let all members of the cohort be loners, with their fields as they are now."""
        cohort = self.cohort
        self.steady = False
        if not cohort.size:
            return
        iteration = self.current
        if iteration is not None and iteration.grouped:
            decoding = {id(r) for r in (*cohort.members.values(), *cohort.padding)}
            decodes = [r for r in self.active if id(r) in decoding]
            self.current = replace(iteration, decodes=decodes + iteration.decodes, grouped=False)
        cohort.dissolve()
        self.loners.clear()
        self.loners.update(self.active)

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
        cohort = self.cohort
        if cohort.members.get(request.number) is request or request in cohort.padding:
            self.settle()

    def victim(self, candidates: list[Request]) -> Request:
        """Return who makes room."""
        if self.rules.evict_by:
            for request in candidates:
                if self.in_cohort(request):
                    self.cohort.show(request)
        return super().victim(candidates)

    # -- iterations ----------------------------------------------------------------------------

    def compose(self) -> Iteration:
        """Return the next iteration, which may be empty."""
        self.steady = False
        iteration = self._compose(self)
        if iteration is None:
            self.settle()
            return super().compose()
        return iteration

    def time_of(self, iteration: Iteration) -> float:
        """Return the seconds that an iteration computes."""
        if not iteration.grouped:
            return super().time_of(iteration)
        cohort = self.cohort
        if iteration.prefills or iteration.decodes or self._tells_batch:
            return self.iteration_time(self.full_batch(iteration))
        fixed, growing = self.times.of(cohort.size)
        if growing is None:
            return fixed
        return growing(cohort.contexts, *self.growing_features())

    def full_batch(self, iteration: Iteration) -> Batch:
        """Return the features of an iteration with those of the cohort, where it decodes."""
        batch, cohort = iteration.batch, self.cohort
        if iteration.grouped and not batch.peer_tokens:
            iteration.close()
            batch.tokens += cohort.size
            batch.requests += cohort.size
            batch.last_tokens += cohort.size
            batch.decodes += cohort.size
            batch.contexts += cohort.contexts
            batch.context_blocks += cohort.context_blocks()
            batch.longest_context = max(batch.longest_context, cohort.longest_context())
            batch.peer_tokens = batch.tokens
        return batch

    def growing_features(self) -> tuple[int, int]:
        """Return `context_blocks` and `longest_context` of the cohort; 0 where no cost has them."""
        cohort = self.cohort
        return (
            cohort.context_blocks() if self.counts_blocks else 0,
            cohort.longest_context() if self.looks_far else 0,
        )

    def set_steady(self, iteration: Iteration) -> None:
        """Note whether the iterations to come will differ in nothing but time."""
        self.steady = (
            iteration.grouped
            and not (iteration.prefills or iteration.decodes or iteration.preempted)
            and not self.cohort.fresh
            and not self._tells_batch
            and not self.noted
            and not self.saw
            and not self.ready
            and (not self.waiting or (self.refused and self.facts.refusal_stays))
            and (not self.swapped or self.facts.return_stays)
        )

    def complete(self, iteration: Iteration, now: float, gaps: dict[float, int]) -> list[Request]:
        """Yield the tokens of an iteration; count gaps by their length; return who finished."""
        self.current = None
        self.steady = False
        cohort = self.cohort
        ended: list[Request] = []
        if iteration.grouped:
            self.outstanding_tokens -= cohort.growing
            cohort.step(now, gaps)
        self.advanced = iteration.grouped or bool(iteration.decodes)
        told, finished = self.complete_prefills(iteration, now, gaps)
        self.advanced |= bool(told)
        if iteration.grouped and cohort.ends and cohort.ends[0] >> BITS <= cohort.steps:
            ended = cohort.ended()
            for request in ended:
                request.status = FINISHED
                self.loners[request] = None
            finished += ended
        if iteration.decodes:
            self.complete_decodes(iteration, now, gaps, told, finished)
        self.finish(told, finished)
        return finished

    def end_batch(self) -> None:
        """Give back the slots of a batch whose requests are all done."""
        super().end_batch()
        if self.decodes:
            self.cohort.clear()

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
        """See that an iteration may take so long. Raises NoTimeError."""
        tokens = sum(chunk for _, chunk in prefills) + decodes
        batch = Batch(tokens=tokens, prefills=len(prefills), decodes=decodes)
        possible(duration, batch, self.kind.cost)
