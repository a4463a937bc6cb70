"""A worker whose layers are divided over stages of devices: several iterations are in flight.

They go through the stages in the order in which they were put together, and a stage computes one at
a time. A request is decoded in one of them only; chunks of a prompt follow one another.
"""

from tsdl.formulaerrors import cannot_be
from tsdl.plan import Workers
from tsdl.runtime.batching import Iteration
from tsdl.runtime.request import Request
from tsdl.runtime.times import IterationTimes, no_time
from tsdl.runtime.worker import Worker


class PipelinedWorker(Worker):
    """A worker with an iteration in each of its stages, at the most."""

    def __init__(self, index: int, kind: Workers, node: int, times: IterationTimes) -> None:
        """Begin idle and empty."""
        super().__init__(index, kind, node, times)
        self.stages = times.of_stages
        self.free_from = [0.0] * len(self.stages)  # when each has computed what it was given
        # Turns of a stage with an iteration that are not over: from when, to when, and whether
        # there is a prompt in it; and the seconds of those that are, and of these with prompts.
        self.turns: list[tuple[float, float, bool]] = []
        self.computed = self.computed_prompts = 0.0

    @property
    def ends(self) -> float:
        """Return when the iteration that was put together last ends."""
        return self.free_from[-1]

    def schedule(self, now: float) -> Iteration | None:
        """Put the next iteration together; return it, None if there is none."""
        iteration = super().schedule(now)
        self.current = None  # there may be others
        if iteration is not None:
            for request, chunk in iteration.prefills:
                request.under_way += chunk
            for request in iteration.decodes:
                request.under_way += 1
        return iteration

    def duration_of(self, iteration: Iteration, now: float) -> float:
        """Return the seconds from now until an iteration has gone through all stages."""
        iteration.close()
        at = max(now, self.free_at) + iteration.swap_delay
        for number, seconds in enumerate(self.stages):
            takes = seconds(iteration.batch)
            if cannot_be(takes):
                raise no_time(takes, iteration.batch, self.kind.cost)
            begun = max(at, self.free_from[number])
            at = self.free_from[number] = begun + takes
            self.turns.append((begun, at, bool(iteration.prefills)))
        self._sum_up(now)
        return at - now

    def _sum_up(self, now: float) -> None:
        """Add up what stages have computed whose turn is over."""
        over = [turn for turn in self.turns if turn[1] <= now]
        self.turns = [turn for turn in self.turns if turn[1] > now]
        for begun, end, prompt in over:
            self.computed += end - begun
            self.computed_prompts += (end - begun) * prompt

    def computing(self, end: float) -> tuple[float, float]:
        """Return the seconds that each device computed up to the end, and those with prompts."""
        computed, prompts = self.computed, self.computed_prompts
        for begun, over, prompt in self.turns:
            seconds = max(min(over, end) - begun, 0)
            computed += seconds
            prompts += seconds * prompt
        return computed / len(self.stages), prompts / len(self.stages)

    def in_flight(self, request: Request) -> bool:
        """Tell whether a request is in an iteration in flight."""
        return request.under_way > 0

    def complete(self, iteration: Iteration, now: float, gaps: dict[float, int]) -> list[Request]:
        """Yield the tokens of an iteration; count gaps by their length; return who finished."""
        for request, chunk in iteration.prefills:
            request.under_way -= chunk
        for request in iteration.decodes:
            request.under_way -= 1
        return super().complete(iteration, now, gaps)
