"""The state of every worker at regular times: what becomes timeseries.csv."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tsdl.runtime.worker import Worker

MANY_SAMPLES = 1000  # times at which the state was noted
MOST_ROWS = 200_000  # of timeseries.csv, where the interval was given


@dataclass(slots=True)
class Samples:
    """Columns of one length, a row for each time and worker."""

    time: array[float] = field(default_factory=lambda: array("d"))
    worker: array[int] = field(default_factory=lambda: array("q"))
    queued: array[int] = field(default_factory=lambda: array("q"))
    running: array[int] = field(default_factory=lambda: array("q"))
    kv_used: array[int] = field(default_factory=lambda: array("q"))

    def take(self, time: float, workers: list[Worker]) -> None:
        """Note the state of all workers."""
        for worker in workers:
            self.time.append(time)
            self.worker.append(worker.id)
            self.queued.append(worker.queued)
            self.running.append(worker.running)
            self.kv_used.append(worker.memory.used)

    def thin(self, workers: int) -> None:
        """Keep the first of every two samples."""
        for name in ("time", "worker", "queued", "running", "kv_used"):
            column = getattr(self, name)
            rows = range(0, len(column), 2 * workers)
            kept = (value for row in rows for value in column[row : row + workers])
            setattr(self, name, array(column.typecode, kept))
