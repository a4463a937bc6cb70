"""Metrics: one value per request, statistics over them, and the conditions that they must meet.

SPEC.md, section 9, defines each. Sums are exact (tsdl.runtime.sums), so that the order of adding
and the width of a processor's vectors cannot show in a result.
"""

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tsdl.formula import Formula, Value, compute, percentile_of
from tsdl.runtime.sums import exact_sum

Floats = NDArray[np.float64]
_BLOCK = 4096


class Weighted(Struct, frozen=True):
    """Values of which each stands for several: the gaps between tokens."""

    values: Floats  # ascending
    counts: NDArray[np.integer]

    def __len__(self) -> int:
        """Return how many there are in all."""
        return int(self.counts.sum())


Metric = Floats | Weighted


class Known(Mapping[str, object]):
    """What the names in a formula stand for, for those requests that are meant."""

    @abstractmethod
    def where(self, condition: Value) -> "Known":
        """Return the same of those alone for which a condition holds."""


def mean(metric: Metric) -> float:
    """Return the mean; NaN of nothing."""
    if isinstance(metric, Weighted):
        count = len(metric)
        return exact_sum(metric.values, metric.counts) / count if count else math.nan
    known = _known(metric)
    return exact_sum(known) / len(known) if len(known) else math.nan


def percentile(metric: Metric, percent: float) -> float:
    """Return a percentile, linear between the nearest ranks (numpy's way); NaN of nothing."""
    return _percentiles(metric, (percent,))[0]


def statistics(metric: Metric, percents: Sequence[float]) -> list[float]:
    """Return the mean and percentiles; NaN of nothing. The metric may lose its order."""
    if not isinstance(metric, Weighted):
        metric = _known(metric)
    return [mean(metric), *_percentiles(metric, percents, overwrite=True)]


def _known(metric: Floats) -> Floats:
    """Return the values that there are: the metric itself where none is missing."""
    # The least is NaN where any is, and takes no memory.
    missing = len(metric) > 0 and math.isnan(metric.min())
    return metric[~np.isnan(metric)] if missing else metric


def _percentiles(
    metric: Metric, percents: Sequence[float], *, overwrite: bool = False
) -> list[float]:
    """Return percentiles, all of which take one look at the values."""
    if isinstance(metric, Weighted):
        return _of_weighted(metric, percents)
    known = _known(metric)
    if not len(known):
        return [math.nan] * len(percents)
    found: list[float] = np.percentile(known, percents, overwrite_input=overwrite).tolist()
    return found


def _of_weighted(metric: Weighted, percents: Sequence[float]) -> list[float]:
    count = len(metric)
    if not count:
        return [math.nan] * len(percents)
    # Up to which rank each block of values goes: one number for each value would take much memory.
    ends = np.cumsum(
        np.add.reduceat(metric.counts, np.arange(0, len(metric.counts), _BLOCK), dtype=np.int64)
    )

    def at(rank: int) -> float:
        block = int(np.searchsorted(ends, rank, side="right"))
        rank -= int(ends[block - 1]) if block else 0
        begin = block * _BLOCK
        inner = np.cumsum(metric.counts[begin : begin + _BLOCK], dtype=np.int64)
        return float(metric.values[begin + int(np.searchsorted(inner, rank, side="right"))])

    found = []
    for percent in percents:
        rank = percent / 100 * (count - 1)
        below = math.floor(rank)
        low, high = at(below), at(min(below + 1, count - 1))
        found.append(low + (high - low) * (rank - below))
    return found


def least(metric: Metric) -> float:
    """Return the least; NaN of nothing."""
    return percentile(metric, 0)


def greatest(metric: Metric) -> float:
    """Return the greatest; NaN of nothing."""
    return percentile(metric, 100)


def total(metric: Metric) -> float:
    """Return the sum; 0 of nothing."""
    if isinstance(metric, Weighted):
        return exact_sum(metric.values, metric.counts)
    return exact_sum(_known(metric))


_STATISTICS: dict[str, Callable[[Metric], float]] = {
    "mean": mean,
    "min": least,
    "max": greatest,
    "sum": total,
}
_OPERATIONS: dict[str, Callable[..., object]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "//": np.floor_divide,
    "**": np.power,
    "negate": np.negative,
    "not": np.logical_not,
    "and": lambda *a: np.logical_and.reduce(np.broadcast_arrays(*a)),
    "or": lambda *a: np.logical_or.reduce(np.broadcast_arrays(*a)),
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
    "min": lambda *a: np.minimum.reduce(np.broadcast_arrays(*a)),
    "max": lambda *a: np.maximum.reduce(np.broadcast_arrays(*a)),
    "abs": np.abs,
    "floor": np.floor,
    "ceil": np.ceil,
    "sqrt": np.sqrt,
    "log2": np.log2,
    "if": np.where,
    "mod": np.mod,
    "clamp": np.clip,
    "round_up_to": lambda x, *steps: np.min(
        [np.where(np.less_equal(x, s), s, np.inf) for s in steps]
        + [np.where(x > max(steps), x, np.inf)],
        axis=0,
    ),
    "round_up": lambda x, step: np.ceil(np.divide(x, step)) * step,
}


_COMPARISONS = frozenset({"<", "<=", ">", ">=", "==", "!="})


class Nothing(Exception):
    """A statistic of no values, or a quotient of nothing: there is no number to compare."""


def evaluate(value: Value, known: Mapping[str, object]) -> object:
    """Return the value of a formula over metrics: a number, or one for each request.

    Raises Nothing where a number is missing.
    """
    found = _evaluate(value, known)
    if isinstance(found, (float, np.floating)) and math.isnan(found):
        raise Nothing
    return found


def _evaluate(value: Value, known: Mapping[str, object]) -> object:
    if not isinstance(value, Formula):
        return value
    name = value.operation
    if name == "symbol":
        return known[str(value.arguments[0])]
    if name == "where":
        assert isinstance(known, Known)
        of, condition = value.arguments
        return evaluate(of, known.where(condition))
    if name == "if":  # what is not chosen may have no value
        test = evaluate(value.arguments[0], known)
        if not isinstance(test, (np.ndarray, Weighted)):
            return evaluate(value.arguments[1 if test else 2], known)
    try:
        arguments = [evaluate(argument, known) for argument in value.arguments]
    except Nothing:
        if name in _COMPARISONS:
            return False  # with something undefined none holds
        raise
    percent = percentile_of(name)
    if _is_statistic(value):
        metric = arguments[0]
        if not isinstance(metric, (np.ndarray, Weighted)):  # a sum of what is the same for all
            raise Nothing
        return percentile(metric, percent) if percent is not None else _STATISTICS[name](metric)
    if not any(isinstance(a, (np.ndarray, Weighted)) for a in arguments):
        return _of_numbers(name, arguments)
    gaps = next((a for a in arguments if isinstance(a, Weighted)), None)
    if gaps is None:
        return _of_each(name, arguments)
    found = _of_each(name, [a.values if isinstance(a, Weighted) else a for a in arguments])
    order = np.argsort(found, kind="stable")
    order = order[~np.isnan(found[order])]
    return Weighted(found[order], gaps.counts[order])


def _is_statistic(value: Formula) -> bool:
    """Tell whether a formula is one number of all requests, all gaps or all records."""
    of_one = len(value.arguments) == 1
    return percentile_of(value.operation) is not None or (of_one and value.operation in _STATISTICS)


def _of_numbers(name: str, arguments: Sequence[Any]) -> object:
    """Return an operation on numbers, exact where they are whole. Raises Nothing without one."""
    try:
        return compute(name, [a.item() if isinstance(a, np.generic) else a for a in arguments])
    except ArithmeticError:
        raise Nothing from None


def _of_each(name: str, arguments: Sequence[object]) -> NDArray[np.generic]:
    """Return an operation on each value; NaN where it has none, or one that no float can hold.

    A comparison with NaN holds for none, and so `!=`, which numpy takes to hold.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        found = np.asarray(_OPERATIONS[name](*arguments))
    if name == "!=":
        for side in arguments:
            values = np.asarray(side)
            if values.dtype.kind == "f":
                found = found & ~np.isnan(values)
    if found.dtype.kind == "f" and np.isinf(found).any():
        found[np.isinf(found)] = np.nan
    return found


def holds(value: Value, known: Mapping[str, object]) -> bool:
    """Tell whether a condition on the whole result holds; of nobody, none does.

    None does in which a statistic or a total is undefined, whatever else it says.
    """
    try:
        _see_measures(value, known)
        found = np.asarray(evaluate(value, known))
        return bool(found.size and np.all(found))
    except Nothing:
        return False


def _see_measures(value: Value, known: Mapping[str, object]) -> None:
    """See that all statistics and totals in a formula have values. Raises Nothing."""
    if not isinstance(value, Formula):
        return
    if value.operation in ("symbol", "where") or _is_statistic(value):
        evaluate(value, known)
        return
    for argument in value.arguments:
        _see_measures(argument, known)


def holds_each(value: Value, known: Mapping[str, object], count: int) -> NDArray[np.bool_]:
    """Tell for each request whether it meets a bound; one that has no such value meets it."""
    if not (isinstance(value, Formula) and len(value.arguments) == 2):  # noqa: PLR2004
        return np.full(count, bool(value))
    sides: Sequence[object] = [evaluate(argument, known) for argument in value.arguments]
    missing = np.zeros(count, dtype=bool)
    for side in sides:
        missing |= np.isnan(np.asarray(side, dtype=np.float64))
    found = _OPERATIONS[value.operation](*sides)
    return np.asarray(found, dtype=bool) | missing
