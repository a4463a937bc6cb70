"""What is compared: the same columns of a measured and of a simulated run, and who counts."""

from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tsdl.measured import Run
from tsdl.runtime.result import Result

METRICS = ("ttft", "tpot", "e2e")
NAMES = ("arrived", "prompt", "output", *METRICS)

Column = NDArray[Any]


class Columns(Struct, frozen=True):
    """Columns by name, in order of arrival (times in seconds, NaN where there are none).

    `counted` marks the requests that are compared. `span` is from the first arrival of those to
    their last token, in seconds.
    """

    values: dict[str, Column]
    counted: NDArray[np.bool_]
    span: float

    def of(self, name: str) -> Column:
        """Return a column of the requests that count."""
        return self.values[name][self.counted]

    def only(self, counted: NDArray[np.bool_]) -> "Columns":
        """Return the same columns, of which others count."""
        return Columns(self.values, counted, _span(self.values, counted))

    @property
    def arrival_rate(self) -> float:
        """Return how many requests that count arrive in a second; NaN where it is not known."""
        arrived = self.of("arrived")
        span = float(arrived[-1] - arrived[0]) if len(arrived) else 0.0
        return (len(arrived) - 1) / span if span > 0 else float("nan")

    @property
    def throughput(self) -> float:
        """Return the finished requests that count, per second."""
        return self._per_second(int(np.isfinite(self.of("e2e")).sum()))

    @property
    def token_throughput(self) -> float:
        """Return the tokens of finished requests that count, per second."""
        return self._per_second(int(self.of("output")[np.isfinite(self.of("e2e"))].sum()))

    def _per_second(self, amount: int) -> float:
        return amount / self.span if self.span > 0 else float("nan")


def of_run(run: Run, skip_first: int, after: float) -> Columns:
    """Return the columns of a measured run.

    Raises ValueError where `after` asks for arrivals that are not known, and where nobody counts.
    """
    if after > 0 and not run.timed:
        raise ValueError(f"{run.name} does not say when requests arrived: leave `after` out")
    values: dict[str, Column] = {
        name: np.array([getattr(request, name) for request in run.requests]) for name in NAMES
    }
    values["queued_ttft"] = np.array([request.queued_ttft for request in run.requests])
    counted = _counted(values, skip_first, after)
    if not counted.any():
        raise ValueError(f"no request of {run.name} counts: it has {len(run.requests)} in all")
    span = _span(values, counted) if run.timed else run.duration if counted.all() else float("nan")
    return Columns(values, counted, span)


def of_result(result: Result, skip_first: int, after: float) -> Columns:
    """Return the columns of a simulated run."""
    values: dict[str, Column] = {name: result.columns[name] for name in NAMES}
    counted = _counted(values, skip_first, after)
    return Columns(values, counted, _span(values, counted))


def _counted(values: dict[str, Column], skip_first: int, after: float) -> NDArray[np.bool_]:
    arrived = values["arrived"]
    counted = np.arange(len(arrived)) >= skip_first
    # From the first arrival: a measured run knows of nothing before it.
    return counted & (arrived - arrived[0] >= after) if after > 0 and len(arrived) else counted


def _span(values: dict[str, Column], counted: NDArray[np.bool_]) -> float:
    arrived, ends = values["arrived"][counted], (values["arrived"] + values["e2e"])[counted]
    if not np.isfinite(ends).any():
        return float("nan")
    return float(np.nanmax(ends) - arrived[0])
