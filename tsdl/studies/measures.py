"""What a formula of a study comes to, once runs have told its measures."""

import math
from collections.abc import Iterator, Mapping, Sequence

from tsdl.formula import COMPARISONS, Formula, Value, chosen, compute, make
from tsdl.measures import is_measure, is_statistic, statistic

UNDEFINED = math.nan


def leaves_of(value: Value) -> Iterator[str]:
    """Yield what a formula takes from a run or from other points, as it is written."""
    if not isinstance(value, Formula):
        return
    if is_measure(value) or value.operation == "symbol":
        yield str(value)
        return
    for argument in value.arguments:
        yield from leaves_of(argument)


def settled(value: Value, known: Mapping[str, float]) -> Value:
    """Return a formula in whose measures names have their values: so the run was asked them."""
    if not isinstance(value, Formula):
        return value
    if is_measure(value):
        return _put(value, known)
    return Formula(value.operation, tuple(settled(a, known) for a in value.arguments))


def _put(value: Value, known: Mapping[str, float]) -> Value:
    if not isinstance(value, Formula):
        return value
    name = value.operation
    if name == "symbol":
        return known.get(str(value.arguments[0]), value)
    parts = tuple(_put(argument, known) for argument in value.arguments)
    if name == "where":
        return chosen(*parts)
    if len(parts) == 1 and is_statistic(name):
        return statistic(name, parts[0])
    try:
        return make(name, *parts)
    except ArithmeticError:
        return Formula(name, parts)  # it has no value, and the run says so


def number(value: Value, known: Mapping[str, float | None]) -> float:
    """Return what a formula comes to; NaN where it is undefined.

    `known` has the values of measures, and of names, by how they are written.
    """
    if not isinstance(value, Formula):
        return float(value) if not isinstance(value, str) else UNDEFINED
    found = known.get(str(value), value)
    if found is None:
        return UNDEFINED
    if not isinstance(found, Formula):
        return float(found)
    if value.operation == "if":  # what is not chosen may have no value
        test, *ways = value.arguments
        asked = number(test, known)
        return UNDEFINED if math.isnan(asked) else number(ways[0 if asked else 1], known)
    arguments = [number(argument, known) for argument in value.arguments]
    if any(math.isnan(a) for a in arguments):
        return UNDEFINED
    try:
        return float(compute(value.operation, arguments))
    except (ArithmeticError, KeyError):
        return UNDEFINED


def holds(each: Sequence[Value], known: Sequence[Mapping[str, float | None]]) -> bool:
    """Tell whether a condition holds of the mean over seeds of what it compares.

    `each` is the condition with each seed, and `known` what its names are there: the same tree,
    but for numbers. It does not hold where something in it is undefined, whatever else it says.
    """
    if any(_lacks(f, k) for f, k in zip(each, known, strict=True)):
        return False
    return _holds(each, known)


def _lacks(value: Value, known: Mapping[str, float | None]) -> bool:
    """Tell whether a measure, or a value of another point, is undefined in a formula."""
    if not isinstance(value, Formula):
        return False
    if is_measure(value) or value.operation == "symbol":
        return math.isnan(number(value, known))
    return any(_lacks(argument, known) for argument in value.arguments)


def _holds(each: Sequence[Value], known: Sequence[Mapping[str, float | None]]) -> bool:
    first = each[0]
    if (
        isinstance(first, Formula)
        and not is_measure(first)
        and all(isinstance(f, Formula) and f.operation == first.operation for f in each)
    ):
        parts = list(zip(*(f.arguments for f in each if isinstance(f, Formula)), strict=True))
        match first.operation:
            case "and":
                return all(_holds(part, known) for part in parts)
            case "or":
                return any(_holds(part, known) for part in parts)
            case "not":
                return not _holds(parts[0], known)
            case name if name in COMPARISONS:
                sides = [mean([number(*one) for one in zip(p, known, strict=True)]) for p in parts]
                undefined = any(math.isnan(side) for side in sides)
                return not undefined and bool(compute(name, sides))
    return all(number(f, k) == 1 for f, k in zip(each, known, strict=True))


def along(function: str, values: Sequence[float]) -> float:
    """Return what a function makes of values along an axis; NaN of none, or an undefined one."""
    if not values or any(map(math.isnan, values)):
        return UNDEFINED
    if function in ("any", "all"):
        return float(any(values) if function == "any" else all(values))
    total = math.fsum(values)
    return {"min": min(values), "max": max(values), "sum": total, "mean": total / len(values)}[
        function
    ]


def mean(values: list[float]) -> float:
    """Return the mean, rounded once; NaN where one is undefined."""
    if not values or any(math.isnan(v) for v in values):
        return UNDEFINED
    return math.fsum(values) / len(values)


# Two-sided 95 % quantiles of Student's t by degrees of freedom, as scipy.stats has them; to three
# places they are those of the NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2.
_T = (
    12.7062, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624, 2.306004,
    2.262157, 2.228139, 2.200985, 2.178813, 2.160369, 2.144787, 2.13145, 2.119905,
    2.109816, 2.100922, 2.093024, 2.085963, 2.079614, 2.073873, 2.068658, 2.063899,
    2.059539, 2.055529, 2.051831, 2.048407, 2.04523, 2.042272,
)  # fmt: skip
_NORMAL = 1.9599640


def half_width(values: list[float]) -> float:
    """Return half of the 95 % confidence interval of the mean; NaN of fewer than two values."""
    middle, count = mean(values), len(values)
    if math.isnan(middle) or count < 2:  # noqa: PLR2004
        return UNDEFINED
    length = math.hypot(*(v - middle for v in values))
    free = count - 1
    t = _T[free - 1] if free <= len(_T) else _beyond(free)
    return t * length / math.sqrt(free * count)


def _beyond(free: int) -> float:
    """Return the quantile for many degrees of freedom: Abramowitz and Stegun, 26.7.5, two terms."""
    z = _NORMAL
    return z + (z**3 + z) / (4 * free) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
