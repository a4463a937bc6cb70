"""Some of a run's requests: their metrics, and the totals that are counted request by request."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tsdl.formula import ATTRIBUTE, Formula, measured, symbol, symbols
from tsdl.runtime.columns import METRICS, PRIORITY, Metrics, Requests, column_of
from tsdl.runtime.ledger import STATUSES
from tsdl.runtime.metrics import Floats, Known, Metric, Nothing, evaluate, holds_each
from tsdl.runtime.request import FINISHED, REJECTED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsdl.formula import Value
    from tsdl.plan import Condition

MOST_CLASSES = 8
_OF_REQUESTS = tuple(name for name in METRICS if name != "itl")


class Among(Known):
    """What formulas know of the counted requests of a run, or of some of them.

    `totals` are those of these requests, but for the makespan, and what is of the run alone.
    """

    def __init__(
        self,
        requests: Requests,
        counted: NDArray[np.bool_],
        others: Mapping[str, Metric],
        slo: Sequence[Condition],
        of_the_run: Mapping[str, float] | None = None,
    ) -> None:
        """Take the columns, who is meant, what is of no request, and the SLO.

        And what is of the run, where it is known.
        """
        self._requests, self._counted, self._others, self._slo = requests, counted, others, slo
        # A slice copies nothing: where all are meant, all are taken.
        self._rows = slice(None) if counted.all() else counted
        self.metrics = Metrics(requests, counted, others)
        self.totals: dict[str, float] = {**(of_the_run or {"makespan": self._span()})}
        self.totals.update(self._counts())
        self._some: dict[Value, Among] = {}  # by their condition: a distribution asks 101 times

    def __getitem__(self, name: str) -> object:
        """Return a total, or a metric. Raises KeyError for a name that there is not."""
        return self.totals[name] if name in self.totals else self.metrics[name]

    def __iter__(self) -> Iterator[str]:
        """Yield the names of totals and metrics."""
        yield from self.totals
        yield from self.metrics

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.totals) + len(self.metrics)

    def where(self, condition: Value) -> Among:
        """Return what is known of those alone for which a condition holds.

        One that has no value of a metric in it is none of them.
        """
        if condition not in self._some:
            self._some[condition] = self._chosen(condition)
        return self._some[condition]

    def _chosen(self, condition: Value) -> Among:
        chosen, columns = self._counted.copy(), _Columns(self._requests)
        for name in symbols(condition):
            chosen &= ~np.isnan(columns[name])
        try:
            chosen &= np.asarray(evaluate(condition, columns), dtype=bool)
        except Nothing:
            chosen[:] = False
        return Among(self._requests, chosen, self._others, self._slo, self.totals)

    def by(self, name: str) -> list[tuple[float, Among]]:
        """Return what is known of the requests of each priority, or by an attribute, where few."""
        asked = symbol(PRIORITY) if name == PRIORITY else measured("attribute", name)
        found = few(self._part(name))
        return [(one, self.where(Formula("==", (asked, one)))) for one in found]

    # -- totals --------------------------------------------------------------------------------

    def _part(self, name: str) -> NDArray[np.generic]:
        """Return a column of these requests."""
        found: NDArray[np.generic] = self._requests.part(name)[self._rows]
        return found

    def _span(self) -> float:
        """Return the seconds from the first arrival to the last token; 0 where there are none."""
        if not self._counted.any():
            return 0.0
        begin = float(self._part("arrived")[0])
        end = float(np.fmax.reduce(self._part("last_token")))  # NaN where no token came
        return (begin if math.isnan(end) else end) - begin

    def _counts(self) -> dict[str, float]:
        arrived = int(self._counted.sum())
        finished = self.metrics.count
        rejected = int((self._requests.codes[self._rows] == STATUSES.index(REJECTED)).sum())
        good = self._good(arrived)
        span = self.totals["makespan"]
        done = self._requests.codes[self._rows] == STATUSES.index(FINISHED)
        handled = sum(int(self._part(name)[done].sum()) for name in ("prompt", "generated"))

        def per_second(amount: float) -> float:
            return amount / span if span > 0 else math.nan

        return {
            "arrived": arrived,
            "finished": finished,
            "rejected": rejected,
            "unfinished": arrived - finished - rejected,
            "throughput": per_second(finished),
            "token_throughput": per_second(int(self._part("generated").sum())),
            "total_token_throughput": per_second(handled),
            "goodput": per_second(good),
            "attainment": good / arrived if arrived else math.nan,
        }

    def _good(self, arrived: int) -> int:
        """Return how many of them finished within every bound of the SLO."""
        if not arrived:
            return 0
        count = self.metrics.count
        good = np.ones(count, dtype=bool)
        for condition in self._slo:
            good &= holds_each(condition.formula, self.metrics, count)
        return int(good.sum())


def few(values: NDArray[np.generic]) -> list[float]:
    """Return the values that requests have, from the least; none unless they are two to eight.

    So many are classes, which a table tells apart.
    """
    found: list[float] = np.unique(values).tolist()
    return found if 2 <= len(found) <= MOST_CLASSES else []  # noqa: PLR2004


class _Columns(Mapping[str, Floats]):
    """Metrics of every request that arrived, NaN where one has none."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    def __getitem__(self, name: str) -> Floats:
        if name not in _OF_REQUESTS and not name.startswith(ATTRIBUTE):
            raise KeyError(name)
        return self._requests.part(column_of(name)).astype(np.float64, copy=False)

    def __iter__(self) -> Iterator[str]:
        return iter(_OF_REQUESTS)

    def __len__(self) -> int:
        return len(_OF_REQUESTS)
