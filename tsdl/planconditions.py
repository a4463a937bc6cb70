"""What conditions of a plan ask of a run: bounds of an SLO of each request, others of all."""

from typing import NoReturn

from tsdl.formula import (
    ARITHMETIC,
    ATTRIBUTE,
    COMPARISONS,
    FUNCTIONS,
    OPERATIONS,
    RECORDED,
    Formula,
    Value,
    percentile_of,
)
from tsdl.plan import Condition
from tsdl.schema import METRICS, TOTALS
from tsdl.types import Samples

_OF_NUMBERS = ARITHMETIC | FUNCTIONS | {"negate"}
_OF_TRUTH = COMPARISONS | {"and", "or", "not"}


def check_condition(
    condition: Condition, attributes: list[str], metrics: list[str], *, each: bool
) -> None:
    """See that a run can tell whether a condition holds, of `each` request or of all.

    Requests have these `attributes`, and handlers record these `metrics`. Raises ValueError.
    """
    of = dict.fromkeys((f"{ATTRIBUTE}{name}" for name in attributes), "request")
    of |= {f"{RECORDED}{name}": f"record of {name}" for name in metrics}
    _Reader(condition.text, of, each=each).of(condition.formula)


class _Reader:
    """Reads formulas of one condition, what they share once."""

    def __init__(self, text: str, own: dict[str, str], *, each: bool) -> None:
        self.text = text
        self.own = own  # what the plan's own names have a value of each
        self.each = each
        self.known: dict[int, str] = {}

    def of(self, value: Value) -> str:
        """Return what a formula has a value of each: `request`, `gap`, …, or "" for one of all."""
        if isinstance(value, str):
            self._refuse()
        if not isinstance(value, Formula):
            return ""
        if id(value) not in self.known:
            self.known[id(value)] = self._read(value)
        return self.known[id(value)]

    def _read(self, value: Formula) -> str:
        name, arguments = value.operation, value.arguments
        if name == "symbol":
            return self._measure(str(arguments[0]))
        if name == "where":
            return self._chosen(*arguments)
        each = sorted({self.of(argument) for argument in arguments} - {""})
        if _is_statistic(value):
            if self.each or not each:
                self._refuse()
            return ""
        numbers = name not in _OF_NUMBERS or not any(map(_is_truth, arguments))
        if not (numbers and (name in OPERATIONS or name == "if")) or len(each) > 1:
            self._refuse()
        return "".join(each)

    def _measure(self, name: str) -> str:
        """Return what a metric, an attribute or a total has a value of each."""
        metric = METRICS[name][0] if name in METRICS else None
        each = metric.each if isinstance(metric, Samples) else self.own.get(name, "")
        if not (each or name in TOTALS) or (self.each and each != "request"):
            self._refuse()
        return each

    def _chosen(self, of: Value, condition: Value) -> str:
        """Return what a metric or a total of those has of whom a condition holds."""
        each = self.of(of)
        if self.each or each not in ("", "request"):
            self._refuse()
        _Reader(self.text, self.own, each=True).of(condition)
        return each

    def _refuse(self) -> NoReturn:
        raise ValueError(f"a condition asks for what no run has: {self.text!r}")


def _is_statistic(value: Formula) -> bool:
    """Tell whether it is one number of many; of several things `min` and `max` are the function."""
    name = value.operation
    alone = name in ("min", "max") and len(value.arguments) == 1
    return alone or name in ("mean", "sum") or percentile_of(name) is not None


def _is_truth(value: Value) -> bool:
    """Tell whether a formula is true or false, and no number."""
    if not isinstance(value, Formula):
        return False
    if value.operation == "if":
        return _is_truth(value.arguments[1])
    return value.operation in _OF_TRUTH or value.arguments == ("steady",)
