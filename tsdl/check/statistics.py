"""Types of statistics and totals: of all requests of a run, or of those that `where` chooses."""

from tsdl import ast
from tsdl.check import calls, expressions, slips
from tsdl.check.scope import Scope
from tsdl.schema import BY_REQUEST, TOTALS
from tsdl.types import Boolean, Samples, Type, Unknown, describe

WHERE = "where"
UNKNOWN = Unknown()


def infer_statistic(expression: ast.Call, name: str, scope: Scope) -> Type:
    """Return the type of a statistic: that of its metric."""
    where, others = _parted(expression)
    if where is not None and _twice(where, others, scope):
        return UNKNOWN
    helps = (f"which requests are meant says `{WHERE}`: `{name}(ttft, {WHERE} = priority == 0)`",)
    values = calls.positional(others, name, 1, 1, scope, helps)
    if values is None:
        return UNKNOWN
    found = expressions.infer(values[0], scope)
    if where is not None:
        check_where(where, found, scope)
    match found:
        case Samples(of=of):
            return of
        case Unknown():
            return UNKNOWN
        case _:
            scope.sink.error(
                "E0304",
                f"`{name}` takes a metric of requests, this is {describe(found)}",
                values[0].span,
                describe(found),
                help=(
                    slips.of_share(values[0], found)
                    or "for example `p99(ttft)` or `mean(e2e / output)`",
                ),
            )
            return UNKNOWN


def infer_total(expression: ast.Call, name: str, scope: Scope) -> Type:
    """Return the type of a total of some requests, `attainment(where = priority == 0)`."""
    where, others = _parted(expression)
    if name not in BY_REQUEST:
        scope.sink.error(
            "E0305",
            f"`{name}` is of the whole run, and has no brackets",
            expression.span,
            help=(f"of some requests alone there are {', '.join(BY_REQUEST)}",),
        )
        return UNKNOWN
    if where is not None and _twice(where, others, scope):
        return UNKNOWN
    if where is None or others.arguments:
        wrong = others.arguments[0].span if others.arguments else expression.span
        scope.sink.error(
            "E0305",
            f"`{name}` takes `{WHERE}` alone, which says of which requests it is",
            wrong,
            help=(f"for example `{name}({WHERE} = priority == 0)`",),
        )
        return UNKNOWN
    check_where(where, UNKNOWN, scope)
    return TOTALS[name][0]


def check_where(where: ast.Argument, of: Type, scope: Scope) -> None:
    """Check by what requests are chosen, of whose metric (of a type) something is asked."""
    if isinstance(of, Samples) and of.each != "request":
        scope.sink.error(
            "E0306",
            f"a {of.each} belongs to no request, and `{WHERE}` chooses requests",
            where.span,
            help=(
                "`tpot` is the mean of a request's gaps, `mtpot` the greatest of them"
                if of.each == "gap"
                else "record in a metric of their own what is of some: `if r.priority == 0 { … }`",
            ),
        )
        return
    each = scope._replace(each=f"`{WHERE}` asks each request", axes=None)
    expressions.require(where.value, Boolean(), each, f"what `{WHERE}` asks of each request")


def _twice(where: ast.Argument, others: ast.Call, scope: Scope) -> bool:
    """Report a second `where`; tell whether there is one."""
    second = next((a for a in others.arguments if a.name == WHERE), None)
    if second is None:
        return False
    one, other = where.value.span.text, second.value.span.text
    scope.sink.error(
        "E0305",
        f"`{WHERE}` stands twice",
        second.span,
        help=(f"join both: `{WHERE} = ({one}) and ({other})`",),
    )
    return True


def refuse_metric(expression: ast.Call, name: str, scope: Scope) -> Type:
    """Report a metric with brackets, in which somebody says what a statistic of it is told."""
    inside = "".join(f", {a.span.text}" for a in expression.arguments if a.name == WHERE)
    scope.sink.error(
        "E0305",
        f"`{name}` is a metric, and has no brackets",
        expression.span,
        help=(f"take a statistic of it: `p99({name}{inside})`",),
    )
    return UNKNOWN


def refuse_where(expression: ast.Call, name: str, scope: Scope) -> bool:
    """Report a `where` of a function that takes none; tell whether there is one."""
    where, _ = _parted(expression)
    if where is None:
        return False
    scope.sink.error(
        "E0305",
        f"`{name}` takes no `{WHERE}`",
        where.span,
        help=(
            f"statistics do, and totals: `mean(ttft, {where.span.text})` "
            f"or `finished({where.span.text})`",
        ),
    )
    return True


def _parted(expression: ast.Call) -> tuple[ast.Argument | None, ast.Call]:
    """Return the argument that says which requests are meant, and the call without it."""
    where = next((a for a in expression.arguments if a.name == WHERE), None)
    others = tuple(a for a in expression.arguments if a is not where)
    return where, ast.Call(expression.function, others, expression.span)
