"""Types of what operators make of two sides: arithmetic, comparison, logic."""

import re

from tsdl import ast
from tsdl.check import expressions, slips
from tsdl.check.measures import agrees, better_unit, may_count, mismatch, with_unit
from tsdl.check.scope import Scope
from tsdl.types import (
    Boolean,
    Bounds,
    Choice,
    Quantity,
    Reference,
    Samples,
    Sequence,
    Text,
    Type,
    Unknown,
    describe,
)
from tsdl.units import NUMBER, Dimension

UNKNOWN = Unknown()
PLAIN = Quantity()


def infer_unary(expression: ast.Unary, scope: Scope) -> Type:
    """Return the type of what stands behind a sign or a `not`."""
    if expression.operator == "not":
        expressions.require(expression.operand, Boolean(), scope, "what `not` negates")
        return _truth(scope, expression.operand)
    found = expressions.infer(expression.operand, scope)
    if isinstance(found, (Quantity, Samples, Unknown)):
        return found
    mismatch(expression.operand, found, PLAIN, scope, f"what `{expression.operator}` stands before")
    return UNKNOWN


def infer_binary(expression: ast.Binary, scope: Scope) -> Type:
    """Return the type of what an operator makes of its sides."""
    operator = expression.operator
    if operator in ("and", "or"):
        expressions.require(expression.left, Boolean(), scope, f"a side of `{operator}`")
        expressions.require(expression.right, Boolean(), scope, f"a side of `{operator}`")
        return _truth(scope, expression.left, expression.right)
    if operator == "in":
        return _membership(expression, scope)
    left, right = (
        expressions.infer(expression.left, scope),
        expressions.infer(expression.right, scope),
    )
    if isinstance(left, Unknown) or isinstance(right, Unknown):
        return Boolean() if operator in _COMPARISONS else UNKNOWN
    if operator in ("==", "!=") and not isinstance(left, (Quantity, Samples)):
        same(expression, left, right, scope, f"both sides of `{operator}`")
        return _truth(scope, expression.left, expression.right)
    one, other = _number_of(left), _number_of(right)
    for side, type_, number in ((expression.left, left, one), (expression.right, right, other)):
        if number is None:
            mismatch(side, type_, PLAIN, scope, f"a side of `{operator}`")
            return UNKNOWN
    assert one is not None
    assert other is not None
    samples = [side for side in (left, right) if isinstance(side, Samples)]
    if len({side.each for side in samples}) > 1:
        one_each, other_each = (side.each for side in samples)
        where = f"one side has a value for each {one_each}, the other for each {other_each}"
        return _apart(expression, where, scope)
    if operator in _COMPARISONS and samples and samples[0].each != "request":
        return _not_one_value(expression, samples[0].each, scope)
    if operator in _COMPARISONS:
        if _common(expression, one, other, scope) is None:
            return UNKNOWN
        return Boolean(samples[0].each if samples else "")
    dimension = _result(expression, one, other, scope)
    if dimension is None:
        return UNKNOWN
    result = Quantity(dimension)
    return Samples(result, samples[0].each) if samples else result


def infer_choice(expression: ast.Conditional, scope: Scope, expected: Type | None) -> Type:
    """Return the type of `a if condition else b`: of each request, if the condition is."""
    expressions.require(expression.test, Boolean(), scope, "a condition")
    then = expressions.infer(expression.then, scope, expected)
    otherwise = expressions.infer(expression.otherwise, scope, expected)
    found = same(expression, then, otherwise, scope, "both ways of a choice")
    each = _truth(scope, expression.test).each
    match found:
        case Boolean():
            return _truth(scope, expression.test, expression.then, expression.otherwise)
        case Quantity() if each:
            return Samples(found, each)
        case Samples(each=other) if each and other != each:
            where = f"the condition is of each request, what is chosen has a value for each {other}"
            return _apart(expression, where, scope)
        case _:
            return found


def _truth(scope: Scope, *parts: ast.Expr) -> Boolean:
    """Return the type of what is true or false by these parts: of each request, if one is."""
    found = [scope.program.types.get(part) for part in parts]
    return Boolean(max((one.each for one in found if isinstance(one, Boolean)), default=""))


def _apart(expression: ast.Expr, where: str, scope: Scope) -> Type:
    scope.sink.error(
        "E0306",
        "requests, gaps and records do not go together",
        expression.span,
        where,
        help=("take a statistic of each: `mean(itl) / mean(e2e)`",),
    )
    return UNKNOWN


def _not_one_value(expression: ast.Expr, each: str, scope: Scope) -> Type:
    named = "itl" if each == "gap" else each.split("`")[1]
    scope.sink.error(
        "E0304",
        f"a {each} belongs to no request, and a condition needs one value",
        expression.span,
        help=(f"take a statistic: `p99({named})`, `mean({named})` or `max({named})`",),
    )
    return Boolean()


def _membership(expression: ast.Binary, scope: Scope) -> Type:
    """Check `x in [a, b]` and `x in low..high`."""
    left = expressions.infer(expression.left, scope)
    if isinstance(left, Unknown):
        return Boolean()
    each = left.each if isinstance(left, Samples) else ""
    if each not in ("", "request"):
        return _not_one_value(expression, each, scope)
    found = left.of if isinstance(left, Samples) else left
    if not isinstance(found, (Quantity, Reference, Text, Choice)):
        mismatch(expression.left, found, PLAIN, scope, "what stands before `in`")
    elif isinstance(expression.right, ast.ListOf):
        what = f"what `{_short(expression.left)}` is looked for in"
        expressions.require(expression.right, Sequence(found), scope, what)
    elif isinstance(expression.right, ast.Interval) and isinstance(found, Quantity):
        bounds = expressions.infer(expression.right, scope)
        right = isinstance(bounds, Bounds) and agrees(bounds.of, found, expression.right.low)
        if not (right or isinstance(bounds, Unknown)):
            mismatch(expression.right, bounds, Bounds(found), scope, "the range behind `in`")
        elif expression.right.step is not None:
            scope.sink.error(
                "E0306", "a range behind `in` has no steps", expression.right.step.span,
                help=("name the values: `in [1, 3, 5]`",),
            )  # fmt: skip
    else:
        scope.sink.error(
            "E0306", "behind `in` stands a list or a range", expression.right.span,
            help=("for example `qps in [2, 4] req/s` or `qps in 2..4 req/s`",),
        )  # fmt: skip
    return Boolean(each)


_COMPARISONS = frozenset({"<", "<=", ">", ">=", "==", "!="})


def _number_of(type_: Type) -> Dimension | None:
    match type_:
        case Quantity(dimension=dimension) | Samples(of=Quantity(dimension=dimension)):
            return dimension
        case _:
            return None


def _result(
    expression: ast.Binary, one: Dimension, other: Dimension, scope: Scope
) -> Dimension | None:
    match expression.operator:
        case "+" | "-":
            return _common(expression, one, other, scope)
        case "*":
            return one * other
        case "/" | "//":
            return one / other
        case _:
            if other != NUMBER:
                mismatch(expression.right, Quantity(other), PLAIN, scope, "an exponent")
                return None
            if one == NUMBER:
                return NUMBER
            power = expression.right
            if isinstance(power, ast.Number) and isinstance(power.value, int):
                return one**power.value
            scope.sink.error(
                "E0306",
                "a quantity can only be raised to a whole number that is written out",
                expression.span,
                help=("divide by its unit first to make it a plain number",),
            )
            return None


def _common(
    expression: ast.Binary, one: Dimension, other: Dimension, scope: Scope
) -> Dimension | None:
    """Return the dimension both sides share; a bare whole number may stand for a count."""
    if one == other:
        return one
    if other == NUMBER and one.is_count and may_count(expression.right):
        return one
    if one == NUMBER and other.is_count and may_count(expression.left):
        return other
    better = better_unit(expression.right, one, scope)
    measured = with_unit(expression.right, one, scope, _usual_unit(expression))
    if better is None and measured is not None:
        helps: tuple[str, ...] = (f"write its unit: `{measured}`",)
    else:
        work = "" if better else slips.of_work(expression, scope) or _of_all(expression, one, other)
        helps = (f"did you mean `{better}`?",) if better else (work,) if work else ()
    doing = {"+": "added", "-": "subtracted"}.get(expression.operator, "compared")
    left, right = describe(Quantity(one)), describe(Quantity(other))
    scope.sink.error(
        "E0301",
        f"{left} and {right} cannot be {doing}",
        expression.span,
        f"`{expression.left.span.text}` is {left}, `{_short(expression.right)}` is {right}",
        help=helps,
    )
    return None


def _of_all(expression: ast.Binary, one: Dimension, other: Dimension) -> str:
    """Return how a count of requests is compared with a share; "" for anything else."""
    if one != Dimension.of("requests") or other != NUMBER:
        return ""
    shown, share = expression.left.span.text, expression.right.span.text
    return f"of those that arrived: `{shown} / arrived {expression.operator} {share}`"


# Of latencies that people write in milliseconds, and below which number they mean seconds.
_SHORT = frozenset({"ttft", "tpot", "itl", "mtpot"})
_SECONDS = 10


def _usual_unit(expression: ast.Binary) -> str:
    """Return the unit of a bare number that a latency is compared with; "" for the usual one."""
    names = {node.id for node in ast.walk(expression.left) if isinstance(node, ast.Name)}
    number = expression.right
    short = isinstance(number, ast.Number) and number.value >= _SECONDS and names & _SHORT
    return "ms" if short else ""


def _short(expression: ast.Expr) -> str:
    text = re.sub(r"\s+", " ", expression.span.text)
    return text if len(text) <= 40 else f"{text[:37]}…"  # noqa: PLR2004 (a label stays on a line)


def same(expression: ast.Expr, one: Type, other: Type, scope: Scope, what: str) -> Type:
    """Return the type that two sides share; report where they share none.

    A number goes with a metric: it is the same for each request.
    """
    if isinstance(one, Samples) != isinstance(other, Samples):
        each = one.each if isinstance(one, Samples) else other.each  # type: ignore[union-attr]
        one, other = (side.of if isinstance(side, Samples) else side for side in (one, other))
        found = same(expression, one, other, scope, what)
        return Samples(found, each) if isinstance(found, Quantity) else found
    if agrees(one, other) or agrees(other, one):
        return other if isinstance(one, Unknown) else one
    scope.sink.error(
        "E0306",
        f"{what} must be of one type",
        expression.span,
        f"{describe(one)}, and {describe(other)}",
        help=_quoted(expression, one, other),
    )
    return UNKNOWN


def _quoted(expression: ast.Expr, one: Type, other: Type) -> tuple[str, ...]:
    """Say how a text is written, where a name is compared with one."""
    if not isinstance(expression, ast.Binary) or not isinstance(one, Text):
        return ()
    if not isinstance(other, Reference) or not isinstance(expression.right, ast.Name):
        return ()
    return (f'a text stands in quotes: `"{expression.right.id}"`',)
