"""Columns of results brought down to what a chart shows: distributions, and means over times.

All are plain lists: seconds, bytes, shares. NaN where there is nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tsdl.runtime.metrics import Nothing, holds_each

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tsdl.plan import Condition
    from tsdl.reports.results import Run

    Floats = NDArray[np.float64]

# Shares of a distribution that are drawn: every half per cent, and its last one in tenths.
_SHARES = np.concatenate([np.linspace(0, 0.99, 199), np.linspace(0.991, 1, 10)])


def counted(run: Run) -> NDArray[np.bool_]:
    """Tell of each request whether it arrived after the warm-up."""
    found: NDArray[np.bool_] = run.requests["arrived"] >= run.plan.workload.warmup
    return found


def distribution(values: Floats) -> tuple[list[float], list[float]]:
    """Return values and the shares of all that are no greater; nothing of nothing."""
    known = values[~np.isnan(values)]
    if not len(known):
        return [], []
    return np.quantile(known, _SHARES).tolist(), _SHARES.tolist()


def edges(begin: float, end: float, count: int) -> list[float]:
    """Return the bounds of so many parts of a time; none where there is no such time."""
    return np.linspace(begin, float(end), count + 1).tolist() if end > begin else []


def held(run: Run, name: str, bounds: Sequence[float]) -> list[list[float]]:
    """Return for each worker the mean of a column of timeseries.csv over each part of the time."""
    return [held_by(run, worker["id"], name, bounds) for worker in run.summary["workers"]]


def held_by(run: Run, number: int, name: str, bounds: Sequence[float]) -> list[float]:
    """Return the same of one worker by its number, or of the router.

    What was noted is held until it is noted again.
    """
    rows = run.samples["worker"] == number
    found: list[float] = _means(run.samples["time"][rows], run.samples[name][rows], bounds).tolist()
    return found


def in_state(run: Run, state: int, bounds: Sequence[float]) -> list[float]:
    """Return how many workers were in a state of STATES, as means over each part of the time."""
    total = np.zeros(len(bounds) - 1)
    for worker in np.unique(run.states["worker"]):
        rows = run.states["worker"] == worker
        total += _means(run.states["time"][rows], run.states["state"][rows] == state, bounds)
    return total.tolist()


def _means(times: Floats, values: NDArray[Any], bounds: Sequence[float]) -> Floats:
    """Return the means over parts of the time of what is held from each time on."""
    if not len(times):
        return np.full(len(bounds) - 1, np.nan)
    at = np.append(times, max(times[-1], bounds[-1]))
    area = np.append(0.0, np.cumsum(values * np.diff(at)))
    found: Floats = np.diff(np.interp(bounds, at, area)) / np.diff(bounds)
    return found


def rates(times: Floats, bounds: Sequence[float]) -> list[float]:
    """Return how many of some times a second are in each part of the time."""
    found: Floats = np.histogram(times[~np.isnan(times)], bounds)[0] / np.diff(bounds)
    return list(map(float, found))


def met(run: Run, condition: Condition) -> NDArray[np.bool_]:
    """Tell of each request whether it finished and met a bound of the SLO.

    Raises ValueError where the bound asks what is no metric of a request.
    """
    chosen = run.finished & counted(run)
    known = {name: column[chosen] for name, column in run.requests.items()}
    good = np.zeros(len(chosen), dtype=bool)
    try:
        good[chosen] = holds_each(condition.formula, known, int(chosen.sum()))
    except (KeyError, Nothing, TypeError, AssertionError) as error:
        raise ValueError(f"the bound `{condition.text}` cannot be computed") from error
    return good


def shares(of: NDArray[np.bool_], times: Floats, bounds: Sequence[float]) -> list[float]:
    """Return of the requests with times in each part of the time which share is so."""
    every = np.histogram(times, bounds)[0]
    those = np.histogram(times[of], bounds)[0]
    with np.errstate(invalid="ignore"):
        found: Floats = those / np.where(every > 0, every, np.nan)
    return list(map(float, found))
