"""Statistics of both runs side by side and, where the requests are the same, one by one."""

import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from numbers import Real
from operator import index
from pathlib import PurePath

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from tsdl.diagnostics import Diagnostic
from tsdl.measured import Run
from tsdl.plan import Plan
from tsdl.runtime.metrics import statistics
from tsdl.runtime.result import Result
from tsdl.runtime.run import run as run_plan
from tsdl.validation.columns import METRICS, Columns, of_result, of_run

PERCENTILES = (50, 90, 99)
STATISTICS = ("mean", *(f"p{percent}" for percent in PERCENTILES))
_TWO = 2  # a line through fewer points says nothing


class Row(Struct, frozen=True):
    """A statistic of a metric: seconds, or for throughputs per second; NaN where there is none."""

    metric: str
    statistic: str
    measured: float
    simulated: float

    @property
    def error(self) -> float:
        """Return simulated / measured − 1."""
        return self.simulated / self.measured - 1 if self.measured else math.nan


class Agreement(Struct, frozen=True):
    """How far single requests are apart: mean and median of |simulated / measured − 1|.

    `correlation` is Pearson's, of the values themselves; NaN where nothing varies.
    """

    metric: str
    count: int
    mean_error: float
    median_error: float
    correlation: float


class Validation(Struct, frozen=True, dict=True):
    """A measured and a simulated run; `rows` and `agreements` compare them.

    `same` tells whether both have requests of the same lengths in the same order; without it only
    distributions are compared, and there are no agreements. `latest` is by how many seconds
    arrivals of the same requests differ at most (NaN where they are not known). `warnings` tell
    what in the measured run contradicts itself or the scenario, where somebody has looked.
    """

    run: Run
    result: Result
    measured: Columns
    simulated: Columns
    warnings: tuple[Diagnostic, ...] = ()

    @cached_property
    def same(self) -> bool:
        """Tell whether single requests can be compared."""
        return all(
            np.array_equal(self.measured.values[name], self.simulated.values[name])
            for name in ("prompt", "output")
        )

    @cached_property
    def latest(self) -> float:
        """Return the greatest difference of arrivals, in seconds."""
        if not self.same:
            return math.nan
        theirs, ours = self.measured.values["arrived"], self.simulated.values["arrived"]
        return float(np.abs(ours - ours[0] - theirs).max())

    @cached_property
    def rows(self) -> list[Row]:
        """Return all statistics: mean and percentiles of each metric, then throughputs."""
        return [*self._latencies(), *self._rates()]

    def _latencies(self) -> Iterator[Row]:
        for metric in METRICS:
            both = (statistics(c.of(metric).copy(), PERCENTILES) for c in self._sides())
            for name, theirs, ours in zip(STATISTICS, *both, strict=True):
                yield Row(metric, name, theirs, ours)
        queued = self.measured.of("queued_ttft")
        if np.isfinite(queued).any():
            for name, value in zip(STATISTICS, statistics(queued, PERCENTILES), strict=True):
                yield Row("queued_ttft", name, value, math.nan)

    def _rates(self) -> Iterator[Row]:
        for name in ("throughput", "token_throughput"):
            theirs, ours = (getattr(columns, name) for columns in self._sides())
            yield Row(name, "", theirs, ours)

    def _sides(self) -> tuple[Columns, Columns]:
        return self.measured, self.simulated

    @cached_property
    def agreements(self) -> list[Agreement]:
        """Return how far the same requests are apart; nothing where they are not the same."""
        if not self.same:
            return []
        return [self._agreement(metric) for metric in METRICS]

    def __repr__(self) -> str:
        """Say what is compared, and how far off the means and the throughput are."""
        shown = [row for row in self.rows if row.statistic == "mean" or row.metric == "throughput"]
        errors = [f"{row.metric} {row.error:+.1%}" for row in shown if not math.isnan(row.error)]
        told = f"{', '.join(errors)}, seed {self.result.seed}".replace("%", " %")
        both = f"{self.result.plan.scenario} with {PurePath(self.run.name).name}"
        return f"<Validation of {both}: {told}>"

    def _agreement(self, metric: str) -> Agreement:
        theirs, ours = (columns.of(metric) for columns in self._sides())
        known = np.isfinite(theirs) & np.isfinite(ours) & (theirs > 0)
        theirs, ours = theirs[known], ours[known]
        if not len(theirs):
            return Agreement(metric, 0, math.nan, math.nan, math.nan)
        apart = np.abs(ours / theirs - 1)
        varies = len(theirs) > _TWO and np.ptp(theirs) > 0 and np.ptp(ours) > 0
        return Agreement(
            metric,
            len(theirs),
            float(apart.mean()),
            float(np.median(apart)),
            float(np.corrcoef(theirs, ours)[0, 1]) if varies else math.nan,
        )


def validate(  # noqa: PLR0913 (what is run, and what counts)
    plan: Plan,
    run: Run,
    *,
    seed: int | None = None,
    engine: str = "fast",
    skip_first: int = 0,
    after: float | None = None,
    externs: Mapping[str, object] | None = None,
) -> Validation:
    """Simulate a plan and put it beside a measured run.

    The first `skip_first` requests and those that arrive before `after` seconds (without it, before
    the workload's warm-up), from the first arrival of each run, do not count. Raises TsdlError
    where a formula fails, ValueError for an `after` that the run cannot answer.
    """
    begin = plan.workload.warmup if after is None else _seconds(after)
    skip_first = _count(skip_first)
    of_run(run, skip_first, begin)  # better told now than after a long run
    return beside(run, run_plan(plan, seed, externs=externs, engine=engine), skip_first, begin)


def _count(skip_first: object) -> int:
    """Return how many requests are left out. Raises ValueError for what is no such number."""
    try:
        count = index(skip_first)  # type: ignore[arg-type]
    except TypeError:
        count = -1
    if count < 0:
        raise ValueError(f"`skip_first` is a whole number from 0 on, not {skip_first!r}")
    return count


def _seconds(after: object) -> float:
    """Return from when requests count. Raises ValueError for what is no such time."""
    seconds = float(after) if isinstance(after, Real) else -1.0
    if not 0 <= seconds < math.inf:
        raise ValueError(f"`after` is a time in seconds from 0 on, not {after!r}")
    return seconds


def beside(run: Run, result: Result, skip_first: int = 0, after: float = 0.0) -> Validation:
    """Put the result of a simulation beside a measured run.

    Of the same requests, those count that do so in the measurement: arrivals that differ a little
    must not part a pair. Raises ValueError for an `after` that the run cannot answer.
    """
    measured, simulated = of_run(run, skip_first, after), of_result(result, skip_first, after)
    found = Validation(run, result, measured, simulated)
    return replace(found, simulated=simulated.only(measured.counted)) if found.same else found
