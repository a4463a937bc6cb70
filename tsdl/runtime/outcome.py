"""What a run leaves behind, for the result that is made of it."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsdl.runtime.scaling import BROKEN

if TYPE_CHECKING:
    from tsdl.runtime.ledger import Ledger
    from tsdl.runtime.limits import Stopped
    from tsdl.runtime.samples import Samples
    from tsdl.runtime.stuck import Stuck
    from tsdl.runtime.system import Notes
    from tsdl.runtime.tiers import Tier
    from tsdl.runtime.worker import Worker


@dataclass(slots=True)
class Outcome:
    """What a run leaves behind, before anything is summed up."""

    requests: Ledger
    workers: list[Worker]
    tiers: list[Tier]
    notes: Notes
    gap_length: array[float]
    gap_count: array[int]
    samples: Samples
    stuck: list[Stuck]
    end: int | float
    events: int
    on: dict[int, float]  # seconds that workers were on which may be scaled, by number
    states: list[tuple[float, int, str]]  # when which of these came to another state
    stopped: Stopped | None = None  # where a limit has ended it

    @property
    def failures(self) -> Counter[int]:
        """Return how often workers failed, by number."""
        return Counter(worker for _, worker, state in self.states if state == BROKEN)

    def time_on(self, worker: Worker) -> float:
        """Return for how many seconds a worker was on: all of the run, where it is not scaled."""
        return self.on.get(worker.id, self.end)
