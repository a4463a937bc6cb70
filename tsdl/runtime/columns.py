"""Columns of requests and metrics over them, computed from the ledger when somebody asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsdl.formula import ATTRIBUTE
from tsdl.plan import Local
from tsdl.runtime.handing import delays
from tsdl.runtime.ledger import STATUSES, Ledger
from tsdl.runtime.metrics import Floats, Metric
from tsdl.runtime.request import FINISHED
from tsdl.runtime.timeline import Tokens

Column = NDArray[Any]
NAMES = (
    "id", "arrived", "prompt", "output", "generated", "worker", "status", "started", "first_token",
    "last_token", "queue", "ttft", "tpot", "mtpot", "e2e", "preemptions", "session", "turn",
    "cached", "transferred", "transfer",
)  # fmt: skip
PRIORITY = "priority"  # the last of them, where the workload has priorities
# What a request brings, or is counted of it: columns of this name, or another one.
_BROUGHT = {
    **{name: name for name in ("transfer", "prompt", "output", PRIORITY, "turn", "cached")},
    "arrival": "arrived", "preempted": "preemptions",
}  # fmt: skip
METRICS = ("ttft", "tpot", "mtpot", "e2e", "queue", *_BROUGHT, "itl")
_RARE = {"preemptions": "preemptions", "cached": "cached", "transferred": "moved"}
_STATUSES = np.array(STATUSES, dtype="<U10")
_ALL = slice(None)


class Requests(Mapping[str, Column]):
    """The columns of requests.csv by name; times that never came are NaN.

    A column that was asked for by its name is kept; of what `part` returns nothing is.
    """

    def __init__(self, ledger: Ledger, policies: Sequence[Local] = ()) -> None:
        """Take the rows of those that have arrived, and the policy of each worker."""
        self._ledger = ledger
        self._policies = policies if any(p.front_end or p.behind for p in policies) else ()
        self._arrivals = ledger.sessions.arrivals
        priority = () if self._arrivals.priority is None else (PRIORITY,)
        self._names = (*NAMES, *priority, *self._arrivals.attributes)
        self._kept: dict[str, Column] = {}
        self.count = ledger.count

    def __len__(self) -> int:
        """Return how many columns there are."""
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        """Yield the names of the columns."""
        return iter(self._names)

    def __getitem__(self, name: str) -> Column:
        """Return a column. Raises KeyError for a name that there is not."""
        if name not in self._kept:
            self._kept[name] = self.part(name)
            self._kept[name].setflags(write=False)  # what was computed of it would not follow
        return self._kept[name]

    def part(self, name: str, rows: slice = _ALL) -> Column:
        """Return some rows of a column. Raises KeyError for a name that there is not."""
        match name:
            case "id":
                return np.arange(*rows.indices(self.count), dtype=np.int64)
            case "status":
                return _STATUSES[self.codes[rows]]
            case "generated":
                return self.part("output", rows) - self._rare("missing", np.int64, rows)
            case "worker":
                return np.asarray(self._ledger.worker)[: self.count][rows].astype(np.int64)
            case "transfer":
                return self._rare("moving", np.float64, rows)
        if name in _RARE:
            return self._rare(_RARE[name], np.int64, rows)
        if name == PRIORITY and self._arrivals.priority is None:
            return np.zeros(len(range(*rows.indices(self.count))), dtype=np.float64)
        if name in ("arrived", "prompt", "output", "session", "turn", PRIORITY):
            return self._asked(name, rows)
        if name in self._arrivals.attributes:
            own = self._arrivals.attributes[name]
            asked = None if self._ledger.row is None else np.asarray(self._ledger.row)
            return (own if asked is None else own[asked[: self.count]])[: self.count][rows]
        return self._time(name, rows)

    @cached_property
    def codes(self) -> NDArray[np.int8]:
        """The status of each request, as its place in STATUSES."""
        return np.asarray(self._ledger.status)[: self.count]

    @property
    def ended(self) -> NDArray[np.bool_]:
        """Tell of each request whether it has finished."""
        ended: NDArray[np.bool_] = self.codes == STATUSES.index(FINISHED)
        return ended

    # -- what the workload says ------------------------------------------------------------------

    def _asked(self, name: str, rows: slice) -> Column:
        alone = self._ledger.sessions.starts is None  # each row is a conversation
        if name == "turn" and alone:
            return np.zeros(len(range(*rows.indices(self.count))), dtype=np.int64)
        if self._ledger.row is None:
            if name == "session":
                return self.part("id", rows)
            kind = np.float64 if name in ("arrived", PRIORITY) else np.int64
            return np.asarray(getattr(self._arrivals, name), dtype=kind)[: self.count][rows]
        if name == "arrived":
            return np.asarray(self._ledger.arrived)[: self.count][rows]
        row = np.asarray(self._ledger.row)[: self.count][rows]
        found: Column
        if name == PRIORITY:
            assert self._arrivals.priority is not None
            found = self._arrivals.priority[row]
        elif name == "output":
            found = self._arrivals.output[row].astype(np.int64)
        elif name == "prompt":
            found = self._prompts[row]
        elif alone:
            found = row.astype(np.int64)
        else:
            found = np.searchsorted(self._starts, row, side="right") - 1
            if name == "turn":
                found = row - self._starts[found]
        return found

    @property
    def _starts(self) -> NDArray[np.int64]:
        assert self._ledger.sessions.starts is not None
        return self._ledger.sessions.starts

    @cached_property
    def _prompts(self) -> NDArray[np.int64]:
        """The whole prompt of each turn: all that was said before, and its own."""
        own = np.asarray(self._arrivals.prompt, dtype=np.int64)
        if self._arrivals.whole or self._arrivals.turns is None:
            return own
        said = np.cumsum(own + self._arrivals.output)
        before = np.concatenate(([0], said[:-1]))
        assert self._arrivals.turns is not None
        prompts: NDArray[np.int64] = before - np.repeat(before[self._starts], self._arrivals.turns)
        return prompts + own

    # -- what came of it -------------------------------------------------------------------------

    def _rare(self, name: str, kind: type[np.generic], rows: slice) -> Column:
        column = self._ledger.rare.get(name)
        if column is None:
            return np.zeros(len(range(*rows.indices(self.count))), dtype=kind)
        return np.asarray(column)[: self.count][rows]

    def _time(self, name: str, rows: slice) -> Floats:
        """Return when something happened, or how long something took."""
        noted = self._ledger

        def of(column: object) -> Floats:
            found: Floats = np.asarray(column)[: self.count][rows]
            return found

        match name:
            case "started":
                return of(noted.started)
            case "first_token":
                return self._seen(of(noted.first), rows)
            case "last_token":
                return self._seen(of(noted.last), rows)
            case "queue":
                return of(noted.started) - self.part("arrived", rows)
            case "ttft":
                return self._time("first_token", rows) - self.part("arrived", rows)
            case "e2e":
                found = self._time("last_token", rows) - self.part("arrived", rows)
                found[~self.ended[rows]] = np.nan
                return found
            case "mtpot":
                found = of(noted.largest_gap).copy()
            case "tpot":
                with np.errstate(divide="ignore", invalid="ignore"):
                    found = of(noted.last) - of(noted.first)
                    found /= self.part("output", rows) - 1
            case _:
                raise KeyError(name)
        found[~(self.ended[rows] & (self.part("output", rows) > 1))] = np.nan
        return found

    def _seen(self, times: Floats, rows: slice) -> Floats:
        """Return when users have what is generated at some times."""
        return times + self._delays(rows) if self._policies else times

    def _delays(self, rows: slice = _ALL) -> Floats:
        noted = self._ledger
        first, last, gap = (
            np.asarray(column)[: self.count][rows]
            for column in (noted.first, noted.last, noted.largest_gap)
        )
        workers = self.part("worker", rows)  # -1 takes the last one's, and its times are NaN
        return delays(self._policies, workers, (first, last, gap), self.part("generated", rows))

    def seen(self, tokens: Tokens) -> Tokens:
        """Return tokens with the times at which users have them, in the order of these."""
        if not self._policies:
            return tokens
        times = tokens.time + self._delays()[tokens.request]
        order = np.argsort(times, kind="stable")
        return Tokens(tokens.request[order], times[order])


def column_of(metric: str) -> str:
    """Return the column of requests that a metric of each of them is in."""
    return _BROUGHT.get(metric, metric).removeprefix(ATTRIBUTE)


class Metrics(Mapping[str, Metric]):
    """One value per finished, counted request; and `others`, which are of no request.

    Those are the gaps of all counted ones, and what handlers recorded. Each array is a fresh one
    whenever it is asked for.
    """

    def __init__(
        self, requests: Requests, counted: NDArray[np.bool_], others: Mapping[str, Metric]
    ) -> None:
        """Take the columns, who is counted, and what is of no request, by name."""
        self._requests = requests
        self._others = others
        chosen = counted & requests.ended
        self.count = int(chosen.sum())
        self._chosen = None if self.count == len(chosen) else chosen

    def __len__(self) -> int:
        """Return how many metrics there are."""
        return len(METRICS)

    def __iter__(self) -> Iterator[str]:
        """Yield the names of the metrics."""
        return iter(METRICS)

    def __getitem__(self, name: str) -> Metric:
        """Return a metric. Raises KeyError for a name that there is not."""
        other = self._others.get(name)
        if other is not None:
            return other.copy() if isinstance(other, np.ndarray) else other
        if name not in METRICS and not name.startswith(ATTRIBUTE):
            raise KeyError(name)
        found = self._requests.part(column_of(name))
        if self._chosen is not None:
            found = found[self._chosen]
        # Of the others no part is anybody else's.
        own = name.startswith(ATTRIBUTE) or name in _BROUGHT
        shared = self._chosen is None and own
        return found.astype(np.float64, copy=shared)
