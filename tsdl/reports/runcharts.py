"""The charts of runs: how latencies are distributed, and what happens over time on each worker.

Each chart holds all runs: distributions in one panel, what is over time in a panel for each run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from tsdl.reports import series
from tsdl.reports.marks import Axis, Chart, Legend, Panel, Series, Table, lines
from tsdl.reports.overtime import OverTime
from tsdl.reports.results import Run
from tsdl.reports.workercharts import worker_charts
from tsdl.studies.figures import figure, scale

LATENCIES = {
    "ttft": "TTFT",
    "tpot": "TPOT",
    "mtpot": "mTPOT",
    "e2e": "End to end",
    "queue": "Queueing",
}
_TOLD = (1, 10, 25, 50, 75, 90, 95, 99, 99.9, 100)  # percentiles in tables


def run_charts(runs: Sequence[Run]) -> Iterator[Chart]:
    """Yield the charts of runs, each of all of them. Raises ValueError for a bound of an SLO."""
    if not runs:
        return
    yield _latency(runs)
    yield _throughput(runs)
    if any(run.plan.slo for run in runs):
        yield _attainment(runs)
    yield from worker_charts(runs)


# -- distributions -----------------------------------------------------------------------------


def _latency(runs: Sequence[Run]) -> Chart:
    legend = Legend(tuple(run.name for run in runs))
    panels, rows = [], []
    for metric, title in LATENCIES.items():
        chosen = [run.requests[metric][run.finished & series.counted(run)] for run in runs]
        found = [series.distribution(values) for values in chosen]
        factor, unit = scale("s", [v for values, _ in found for v in values[-1:]])
        drawn = [
            Series(run.name, [v / factor for v in values], shares)
            for run, (values, shares) in zip(runs, found, strict=True)
        ]
        across = Axis(f"{title} ({unit})")
        panels.append(Panel(title, lines(drawn, across, _SHARE, legend)))
        for run, values in zip(runs, chosen, strict=True):
            known = values[~np.isnan(values)]
            told = np.percentile(known, _TOLD) / factor if len(known) else [math.nan] * len(_TOLD)
            rows.append((f"{title} ({unit})", run.name, *(figure(float(v)) for v in told)))
    headers = ("latency", "run", *(f"p{p:g}" for p in _TOLD))
    about = "The share of counted, finished requests whose latency is no greater."
    return Chart(
        "latency",
        "Latency distributions",
        about,
        tuple(panels),
        Table(headers, tuple(rows), words=2),
    )


_SHARE = Axis("share of requests", domain=(0, 1), format="%")


# -- over the time of requests -----------------------------------------------------------------


def _throughput(runs: Sequence[Run]) -> Chart:
    def of(run: Run, bounds: list[float]) -> list[list[float]]:
        ends = run.requests["last_token"][run.finished]
        return [series.rates(times, bounds) for times in (run.requests["arrived"], ends)]

    about = "Requests a second that arrive and that finish, each a mean over a 60th of the run."
    names = ("arriving", "finishing")
    axis = Axis("requests/s")
    return OverTime("throughput", "Throughput", about, axis, 60, lambda _: names, of).chart(runs)


def _attainment(runs: Sequence[Run]) -> Chart:
    def names(run: Run) -> tuple[str, ...]:
        bounds = dict.fromkeys(condition.text for condition in run.plan.slo)
        return ("the whole SLO", *(bounds if len(bounds) > 1 else ()))

    def of(run: Run, bounds: list[float]) -> list[list[float]]:
        met = {c.text: series.met(run, c) for c in run.plan.slo}
        whole = np.logical_and.reduce([run.finished, *met.values()])
        every = [whole, *(met.values() if len(met) > 1 else ())]
        chosen = series.counted(run)
        arrived = run.requests["arrived"]
        return [series.shares(good[chosen], arrived[chosen], bounds) for good in every]

    about = (
        "Of the counted requests that arrive in each 30th of the run, the share that finishes "
        "and meets each bound; nothing where none arrives."
    )
    axis = Axis("share of arrivals", domain=(0, 1), format="%")
    title = "SLO attainment over time"
    return OverTime("attainment", title, about, axis, 30, names, of).chart(runs)
