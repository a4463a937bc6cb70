"""A worker whose decoding requests are a cohort, so that its iterations take constant time.

It does what the reference worker does, and shares what that says of single requests. Those that
decode are in `cohort`; all other running requests, the `loners`, are handled one by one.
"""

from dataclasses import fields
from operator import attrgetter

from tsdl.costs import Batch
from tsdl.facts import Facts, Growth
from tsdl.plan import Workers
from tsdl.runtime.batching import Iteration
from tsdl.runtime.fast.batching import COMPOSE
from tsdl.runtime.fast.cohort import BITS, Cohort
from tsdl.runtime.request import FINISHED, Request
from tsdl.runtime.times import IterationTimes
from tsdl.runtime.worker import Worker

_FEATURES = attrgetter(*(field.name for field in fields(Batch)))  # in the order of the features


class CohortWorker(Worker):
    """A worker whose iterations take constant time, whatever they hold.

    Where it was `refused`, nobody is admitted until somebody leaves here or `stir` is called: by
    whoever gives memory back in another way. `steady` and `saw` are for a worker that may be behind
    the clock: whether iterations differ in nothing but time, and whether there was more to see when
    the one in flight had been put together.
    """

    __slots__ = (
        "_compose",
        "_fixed_order",
        "admissions",
        "building",
        "cohort",
        "counts_blocks",
        "facts",
        "loners",
        "looks_far",
        "refused",
        "saw",
        "steady",
    )  # fmt: skip

    def __init__(
        self, index: int, kind: Workers, node: int, times: IterationTimes, facts: Facts
    ) -> None:
        """Begin idle and empty."""
        super().__init__(index, kind, node, times)
        self.facts = facts
        self.cohort = Cohort(facts.growth or Growth(1, 0))
        self.loners: dict[Request, None] = {}  # in order of admission
        self.steady = False
        self.refused = self.saw = False
        self.building: Iteration | None = None  # which is being put together
        self.admissions = 0
        self.counts_blocks = "context_blocks" in times.growing
        self.looks_far = "longest_context" in times.growing
        self._compose = COMPOSE[kind.local.batching]
        self._fixed_order = kind.local.queue == "arrival" and not kind.local.admit_by

    # -- queues --------------------------------------------------------------------------------

    def enqueue(self, request: Request, now: float) -> None:
        """Take a request that was dispatched here, and has no KV."""
        super().enqueue(request, now)
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
        if self.cohort.grows:
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
        iteration = self.building if self.composing else self.current
        if iteration is not None and iteration.grouped:
            decoding = {id(r) for r in (*cohort.members.values(), *cohort.padding)}
            decodes = [r for r in self.active if id(r) in decoding]
            iteration.decodes = decodes + iteration.decodes
            iteration.grouped = False
        cohort.dissolve()
        self.loners.clear()
        self.loners.update(self.active)

    def touch(self, request: Request) -> None:
        """Bring the fields of a request here up to date on which somebody acts."""
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
        self.building = None
        iteration = self._compose(self)
        if iteration is None:
            self.settle()
            return super().compose()
        return iteration

    def time_of(self, iteration: Iteration) -> float:
        """Return the seconds that an iteration computes."""
        known = iteration.batch.peer_tokens or "iteration" in self.hooks
        if iteration.grouped and not (iteration.prefills or iteration.decodes or known):
            fixed, growing = self.times.of_decodes.of(self.cohort.size)
            if growing is None:
                return fixed
            return growing(self.cohort.contexts, *self.growing_features())
        return self.times.of_features(*_FEATURES(self.full_batch(iteration)))

    def full_batch(self, iteration: Iteration) -> Batch:
        """Return the features of an iteration with those of the cohort, where it decodes."""
        if not iteration.grouped or iteration.batch.peer_tokens:
            return super().full_batch(iteration)
        batch, cohort = super().full_batch(iteration), self.cohort
        batch.tokens += cohort.size
        batch.requests += cohort.size
        batch.last_tokens += cohort.size
        batch.decodes += cohort.size
        batch.contexts += cohort.contexts
        blocks, longest = self.growing_features()
        batch.context_blocks += blocks
        batch.longest_context = max(batch.longest_context, longest)
        batch.close()
        return batch

    def growing_features(self) -> tuple[int, int]:
        """Return `context_blocks` and `longest_context` of the cohort; 0 where nobody asks."""
        cohort, asked = self.cohort, "iteration" in self.hooks
        return (
            cohort.context_blocks() if self.counts_blocks or asked else 0,
            cohort.longest_context() if self.looks_far or asked else 0,
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
