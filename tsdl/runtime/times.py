"""How long the iterations of a group of workers take: functions of its cost, made but once.

All workers of the group share them, and each is made when it is asked for: a cost of many operators
takes a while to be compiled.
"""

from collections.abc import Callable
from functools import cached_property

from tsdl.costs import (
    Ask,
    Asked,
    Batch,
    DecodeTime,
    compiled,
    compiled_features,
    growing_features,
    nobody,
)
from tsdl.formulaerrors import CannotBe
from tsdl.interpolation import Unmeasured
from tsdl.parts import of_cost
from tsdl.plan import Cost, Workers


class IterationTimes:
    """Seconds of iterations of workers of one make; `ask` asks the Python that the cost names.

    `asked` has what tables were asked, and have not measured.
    """

    def __init__(self, kind: Workers, ask: Ask = nobody) -> None:
        """Begin with nothing compiled."""
        self.asked: Asked = {table.name: Unmeasured() for table in kind.cost.tables}
        self.growing = growing_features(kind.cost)
        self._kind, self._ask = kind, ask

    @cached_property
    def of_batch(self) -> Callable[[Batch], float]:
        """Return the function of a batch."""
        return compiled(self._kind.cost, self.asked, self._ask)

    @cached_property
    def of_one_token(self) -> float:
        """Return the seconds of the smallest iteration, which no table is said to be asked for."""
        return compiled(self._kind.cost)(
            Batch(tokens=1, requests=1, peer_tokens=1, least_peer_tokens=1)
        )

    @cached_property
    def of_features(self) -> Callable[..., float]:
        """Return the function of all features of a batch, in their order."""
        return compiled_features(self._kind.cost, self.asked)

    @cached_property
    def of_decodes(self) -> DecodeTime:
        """Return what knows the times while the same requests decode on."""
        return DecodeTime(self._kind.cost, self.asked)

    @cached_property
    def of_stages(self) -> list[Callable[[Batch], float]]:
        """Return the function of each stage of a pipeline."""
        return [compiled(cost, self.asked, self._ask) for cost in self._kind.pipeline]


def no_time(duration: float, batch: Batch, cost: Cost) -> CannotBe:
    """Return what is raised where no iteration can take so long as a cost says."""
    return CannotBe(
        of_cost(cost),
        f"an iteration would take {duration:g} seconds",
        "see to it that no formula of the cost, nor the policy's overhead, is ever negative",
        f"of {batch.tokens:,} tokens: {batch.prefills} prefills, {batch.decodes} decodes",
    )
