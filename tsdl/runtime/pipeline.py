"""A worker whose layers are divided over stages of devices: several iterations are in flight.

They go through the stages in the order in which they were put together, and a stage computes one at
a time. A request is decoded in one of them only; chunks of a prompt follow one another.
"""

from tsdl.formulaerrors import cannot_be
from tsdl.plan import Workers
from tsdl.runtime.batching import Iteration
from tsdl.runtime.request import Request
from tsdl.runtime.times import IterationTimes
from tsdl.runtime.worker import Worker, no_time


class PipelinedWorker(Worker):
    """A worker with an iteration in each of its stages, at the most."""

    def __init__(self, index: int, kind: Workers, node: int, times: IterationTimes) -> None:
        """Begin idle and empty."""
        super().__init__(index, kind, node, times)
        self.stages = times.of_stages
        self.free_from = [0.0] * len(self.stages)  # when each has computed what it was given

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
            at = self.free_from[number] = max(at, self.free_from[number]) + takes
        return at - now

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
