"""The charts of workers: memory, batch and queue of each over time, and how many are up."""

import itertools
import math
from collections.abc import Iterator, Sequence

from msgspec import Struct

from tsdl.reports import series
from tsdl.reports.marks import Axis, Cell, Chart, Panel, Table, heat
from tsdl.reports.overtime import TIMES, OverTime, bounds_of, table_rows
from tsdl.reports.results import Run
from tsdl.runtime.samples import ROUTER
from tsdl.runtime.scaling import DOWN, STATES
from tsdl.studies.figures import scale

_PARTS = 200  # of the time of a run in charts
_CELLS = 20_000  # of all panels of a chart together
_ROWS = 64  # of a heat map: more workers are taken together
_LINES = 7  # more workers are told by their highest, mean and lowest
_ROW = 14  # pixels of a row of a heat map


def worker_charts(runs: Sequence[Run]) -> Iterator[Chart]:
    """Yield the charts of the workers of runs, each of all runs."""
    yield _heat(runs, _MEMORY)
    yield _heat(runs, _BATCH)
    for quantity in (_KV, _BATCH, _QUEUE):
        yield _over_time(runs, quantity)
    changing = [run for run in runs if run.states]
    if changing:
        yield _states(changing)


class _Quantity(Struct, frozen=True):
    """A column of timeseries.csv: how it is called, and in what it is told."""

    name: str
    column: str
    title: str
    about: str
    unit: str = ""


_MEMORY = _Quantity(
    "memory", "kv_used", "KV memory by worker", "How full the KV cache of each worker is.", "share"
)
_BATCH = _Quantity(
    "batch", "running", "Batch by worker", "How many requests run on each worker.", "requests"
)
_KV = _Quantity("kv", "kv_used", "KV memory", "What the KV caches of the workers hold.", "bytes")
_ABOUT_QUEUES = "How many requests wait on each worker, and at the router."
_QUEUE = _Quantity("queue", "queued", "Queue", _ABOUT_QUEUES, "requests")


def labels(run: Run) -> list[str]:
    """Return how each worker is called: its number and its group."""
    return [f"{worker['id']} {worker['name']}" for worker in run.summary["workers"]]


def _values(run: Run, quantity: _Quantity, bounds: list[float]) -> list[list[float]]:
    found = series.held(run, quantity.column, bounds)
    if quantity.unit != "share":
        return found
    capacities = [worker["kv_capacity"] or math.nan for worker in run.summary["workers"]]
    return [[v / of for v in values] for values, of in zip(found, capacities, strict=True)]


def _heat(runs: Sequence[Run], quantity: _Quantity) -> Chart:
    share = quantity.unit == "share"
    panels: list[Panel] = []
    rows: list[tuple[str, ...]] = []
    most = 0.0
    fields = []
    for run in runs:
        names = labels(run)
        count = max(12, min(_PARTS, _CELLS // (len(runs) * max(1, min(len(names), _ROWS)))))
        bounds = bounds_of(run, count)
        values = _values(run, quantity, bounds) if bounds else [[] for _ in names]
        names, values = _together(names, values)
        fields.append((run, names, bounds, values))
        most = max([most, *(v for row in values for v in row if not math.isnan(v))])
        rows += table_rows(run, names, values, percent=share)
    tall = 1
    for run, names, bounds, values in fields:
        last = bounds[-1] if bounds else 0.0
        factor, unit = scale("s", [last])
        cells: list[dict[str, Cell]] = [
            # Each goes on beneath the next, so that no gap is seen between them.
            {"x": begin / factor, "x2": min(2 * end - begin, last) / factor, "y": name, "v": value}
            for name, row in zip(names, values, strict=True)
            for (begin, end), value in zip(itertools.pairwise(bounds), row, strict=True)
        ]
        title, form = ("KV memory in use", ".2~%") if share else ("requests running", None)
        color = Axis(title, domain=(0, most), format=form)
        across = Axis(f"time ({unit})")
        panels.append(Panel(run.name, heat(cells, across, Axis("", tuple(names)), color)))
        tall = max(tall, len(names))
    about = f"{quantity.about} Means over parts of the time."
    size = {"width": 420, "height": max(120, min(_ROW * tall, 560))}
    table = Table(("run", "worker", *TIMES), tuple(rows), words=2)
    name = quantity.name if share else f"{quantity.name}-map"
    return Chart(name, quantity.title, about, tuple(panels), table, size)


def _together(names: list[str], values: list[list[float]]) -> tuple[list[str], list[list[float]]]:
    """Take neighbouring workers together, where there are too many to be told apart."""
    size = math.ceil(len(names) / _ROWS)
    if size == 1:
        return names, values
    groups = [slice(i, i + size) for i in range(0, len(names), size)]
    means = [[sum(column) / len(column) for column in zip(*values[g], strict=True)] for g in groups]
    return [f"{names[g][0]} … {names[g][-1]}" for g in groups], means


def _states(runs: Sequence[Run]) -> Chart:
    """Return how many of the workers that may be scaled or fail are in which state."""
    off = STATES.index(DOWN)
    found = {int(state) for run in runs for state in run.states["state"]} - {off}
    states = sorted(found)

    def of(run: Run, bounds: list[float]) -> list[list[float]]:
        return [series.in_state(run, state, bounds) for state in states]

    about = "How many workers are up, start or drain, of those that are scaled or fail."
    names = tuple(STATES[state] for state in states)
    chart = OverTime(
        "states", "Workers over time", about, Axis("workers"), _PARTS, lambda _: names, of
    )
    return chart.chart(runs)


def _over_time(runs: Sequence[Run], quantity: _Quantity) -> Chart:
    def few(run: Run) -> bool:
        return len(run.summary["workers"]) <= _LINES

    known = [v for run in runs for v in run.samples[quantity.column].tolist()]
    factor, unit = scale(quantity.unit, [max(known, default=0.0)])

    def router(run: Run) -> bool:
        return quantity is _QUEUE and bool((run.samples["worker"] == ROUTER).any())

    def names(run: Run) -> tuple[str, ...]:
        found = labels(run) if few(run) else ["highest", "mean", "lowest"]
        return (*found, "router") if router(run) else tuple(found)

    def of(run: Run, bounds: list[float]) -> list[list[float]]:
        values = [[v / factor for v in row] for row in _values(run, quantity, bounds)]
        if not few(run):
            columns = list(zip(*values, strict=True))
            values = [
                [max(c) for c in columns],
                [sum(c) / len(c) for c in columns],
                [min(c) for c in columns],
            ]
        if router(run):
            values.append([v / factor for v in series.held_by(run, ROUTER, "queued", bounds)])
        return values

    many = "" if all(map(few, runs)) else " Of many workers, the extremes and the mean."
    about = f"{quantity.about}{many}"
    title = f"{quantity.title.removesuffix(' by worker')} over time"
    return OverTime(quantity.name, title, about, Axis(unit), _PARTS, names, of).chart(runs)
