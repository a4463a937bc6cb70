"""Charts of what happens over the time of runs: a panel for each run, in it some lines."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from tsdl.reports import series
from tsdl.reports.marks import Axis, Chart, Legend, Panel, Series, Table, lines
from tsdl.reports.results import Run
from tsdl.studies.figures import figure, scale

_TIMES = 12  # in tables


class OverTime(Struct, frozen=True):
    """What a chart shows: the names of its lines in a run, and their means over parts of its time.

    `parts` is into how many parts a run is divided; `means` is given their bounds, in seconds.
    """

    name: str
    title: str
    about: str
    axis: Axis
    parts: int
    names: Callable[[Run], Sequence[str]]
    means: Callable[[Run, list[float]], list[list[float]]]

    def chart(self, runs: Sequence[Run]) -> Chart:
        """Return the chart of some runs."""
        panels: list[Panel] = []
        rows: list[tuple[str, ...]] = []
        found = [self._found(run) for run in runs]
        known = [v for _, values in found for row in values for v in row if not math.isnan(v)]
        y = self.axis
        if y.domain is None and max(known, default=0.0) > 0:  # panels can be compared
            y = replace(y, domain=(0.0, max(known)))
        for run, (bounds, values) in zip(runs, found, strict=True):
            names = self.names(run)
            factor, unit = scale("s", bounds[-1:])
            middles = [(a + b) / 2 / factor for a, b in itertools.pairwise(bounds)]
            drawn = [Series(n, middles, row) for n, row in zip(names, values, strict=True)]
            legend = Legend(tuple(names))
            spec = lines(drawn, Axis(f"time ({unit})"), y, legend)
            panels.append(Panel(run.name, spec))
            rows += table_rows(run, names, values, percent=self.axis.format == "%")
        table = Table(("run", self.axis.title, *TIMES), tuple(rows), words=2)
        return Chart(self.name, self.title, self.about, tuple(panels), table)

    def _found(self, run: Run) -> tuple[list[float], list[list[float]]]:
        bounds = bounds_of(run, self.parts)
        return bounds, self.means(run, bounds) if bounds else [[] for _ in self.names(run)]


def bounds_of(run: Run, parts: int) -> list[float]:
    """Return the bounds of so many parts of the time of a run; none where it has no length."""
    return series.edges(0.0, run.summary["end"] or 0.0, parts)


TIMES = tuple(f"{100 * i / _TIMES:.0f} %" for i in range(1, _TIMES + 1))  # headers of tables


def table_rows(
    run: Run, names: Sequence[str], values: Sequence[Sequence[float]], *, percent: bool
) -> Iterator[tuple[str, ...]]:
    """Yield for each name the means over a few parts of the time."""
    for name, row in zip(names, values, strict=True):
        told = []
        for part in range(_TIMES):
            begin, end = (len(row) * p // _TIMES for p in (part, part + 1))
            known = [v for v in row[begin:end] if not math.isnan(v)]
            mean = sum(known) / len(known) if known else math.nan
            told.append(f"{mean:.1%}" if percent and known else figure(mean))
        yield (run.name, name, *told)
