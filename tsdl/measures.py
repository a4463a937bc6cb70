"""What a formula asks of a run, and of whom: measures, and what has a value for each request.

A *measure* is a part of a formula that only a run can tell: a statistic of metrics, a total, or a
condition on every request. It is a formula itself, and known by how it is written.
"""

from collections.abc import Iterator

from tsdl.formula import ATTRIBUTE, COMPARISONS, RECORDED, Formula, Value, percentile_of
from tsdl.schema import METRICS, STATISTICS, TOTALS

_OF_EACH = COMPARISONS | {"not"}


def measures_of(value: Value) -> Iterator[Formula]:
    """Yield the measures of a formula: the largest parts that a run can tell."""
    if not isinstance(value, Formula):
        return
    if is_measure(value):
        yield value
        return
    for argument in value.arguments:
        yield from measures_of(argument)


def is_measure(formula: Formula) -> bool:
    """Tell whether a run can tell a formula as a whole."""
    name, arguments = formula.operation, formula.arguments
    if name == "symbol":
        return arguments[0] in TOTALS
    if name == "where":  # of a total: a metric is that of a statistic, which is a measure itself
        return not of_requests(formula)
    if _is_statistic(formula):
        return of_requests(arguments[0])
    if name == "or":  # of each request, where all of it is: a total holds for all or for none
        return all(map(of_requests, arguments))
    if name == "if":  # which way is chosen for each request
        return of_requests(arguments[0])
    return name in _OF_EACH and any(map(of_requests, arguments))


def of_requests(value: Value) -> bool:
    """Tell whether a formula has a value for each request, each gap, or each record."""
    if not isinstance(value, Formula):
        return False
    if value.operation == "symbol":
        name = str(value.arguments[0])
        return name in METRICS or name.startswith((ATTRIBUTE, RECORDED))
    if value.operation == "where":
        return of_requests(value.arguments[0])
    return not _is_statistic(value) and any(map(of_requests, value.arguments))


def statistic(name: str, metric: Value) -> Value:
    """Return a statistic of a metric; where that is the same for every request, the metric.

    But a sum stays one: how many there are is not known.
    """
    return Formula(name, (metric,)) if name == "sum" or of_requests(metric) else metric


def is_statistic(name: str) -> bool:
    """Tell whether a function makes one value of those of all requests."""
    return name in STATISTICS or percentile_of(name) is not None


def _is_statistic(formula: Formula) -> bool:
    """Tell whether it is one; of several things `min` and `max` are functions of each request."""
    return len(formula.arguments) == 1 and is_statistic(formula.operation)
