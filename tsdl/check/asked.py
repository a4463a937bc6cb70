"""Types of what a study asks of a point: numbers, values of other points, values along an axis."""

from tsdl import ast
from tsdl.check import expressions, slips
from tsdl.check.measures import no_number
from tsdl.check.scope import Scope
from tsdl.diagnostics.suggest import nearest
from tsdl.schema.studies import ALONG, CASES, FORMS
from tsdl.types import Boolean, Quantity, Samples, Type, Unknown, describe


def check_axis(name: ast.Expr, scope: Scope) -> None:
    """Check that a name is that of an axis of the study."""
    axes = scope.axes or {}
    if not (isinstance(name, ast.Name) and name.id in axes):
        near = nearest(name.span.text, axes)
        scope.sink.error(
            "E0422",
            f"the study does not vary `{name.span.text}`",
            name.span,
            "not an axis",
            help=(f"did you mean `{near}`?",) if near else (f"{_listed(axes)}",),
        )


def _listed(axes: dict[str, Type]) -> str:
    return f"it varies {', '.join(axes)}" if axes else "it varies nothing: write `vary … in […]`"


def check_number(expression: ast.Expr, scope: Scope) -> None:
    """Check that an expression is one number for each point."""
    found = expressions.infer(expression, scope)
    if isinstance(found, Samples):
        shown = expression.span.text
        scope.sink.error(
            "E0304",
            f"a point has one number here, and this is {describe(found)}",
            expression.span,
            help=(f"take a statistic: `mean({shown})` or `p99({shown})`",),
        )
    elif not isinstance(found, (Quantity, Unknown)):
        helps = _in_place_of(expression, found, scope)
        no_number(expression, found, scope, "what is told of a point", helps)


def _in_place_of(expression: ast.Expr, found: Type, scope: Scope) -> tuple[str, ...]:
    """Return what to write in place of what is no number."""
    if isinstance(expression, ast.Name):
        if expression.id in (scope.axes or {}):
            return ("it is an axis: rows tell it, and pictures take it as `x`, `color` or `facet`",)
        declared = scope.program.lookup(scope.owner.module, expression.id)
        if declared and declared.kind == "param":
            return (f"make it an axis: `vary {expression.id} in […]`",)
    if isinstance(found, Boolean):
        share = slips.of_share(expression, found)
        return (
            *([share] if share else []),
            f"a condition has a clause of its own: `expect {expression.span.text}`",
        )
    return ()


def check_keys(clause: ast.Clause, count: int | None, scope: Scope) -> None:
    """Check by what a clause compares points: so many keys, or (None) two and more."""
    by = clause.preposition("by")
    assert by is not None
    for key in by.objects:
        check_number(key, scope)
    if count is not None and len(by.objects) != count:
        scope.sink.error("E0412", f"`{clause.verb}` has one key", by.objects[1].span)
    elif count is None and len(by.objects) < 2:  # noqa: PLR2004
        scope.sink.error(
            "E0412", f"`{clause.verb}` weighs two keys or more", by.span,
            help=(f"for example `{FORMS[clause.verb]}`",),
        )  # fmt: skip


def check_selected(expression: ast.Index, scope: Scope) -> Type:
    """Check a value of another point, `throughput[policy = static]`; return its type."""
    found = expressions.infer(expression.value, scope)
    for index, argument in enumerate(expression.arguments):
        if argument.name and argument.name in [a.name for a in expression.arguments[:index]]:
            scope.sink.error("E0403", f"`{argument.name}` stands twice", argument.span)
            return Unknown()
        wanted = (scope.axes or {}).get(argument.name or "")
        if argument.name is None:
            scope.sink.error(
                "E0305",
                "another point is named by its axes",
                argument.span,
                help=(f"write `{expression.value.span.text}[axis = value]`",),
            )
        elif wanted is None:
            check_axis(ast.Name(argument.name, argument.span), scope)
        elif argument.name == CASES:
            _case_name(argument, scope)
        else:
            expressions.require(argument.value, wanted, scope, f"`{argument.name}`")
    if isinstance(found, (Quantity, Unknown)):
        return found
    if isinstance(found, Samples):
        inner = expression.value.span.text
        scope.sink.error(
            "E0304", "another point is asked for one number, not for many", expression.span,
            help=(f"take the statistic first: `mean({inner})[…]`",),
        )  # fmt: skip
    else:
        no_number(expression.value, found, scope, "what another point is asked for")
    return Unknown()


def check_along(expression: ast.Call, name: str, scope: Scope) -> Type:
    """Check what is made of values along an axis, `max(throughput over qps)`; return its type."""
    across = expression.arguments[0].value
    if not isinstance(across, ast.Across) or len(expression.arguments) > 1:
        scope.sink.error(
            "E0305", f"`{name}` goes over one thing", expression.span,
            help=(f"write `{name}(VALUE over AXIS)` alone",),
        )  # fmt: skip
        return Unknown()
    if scope.axes is None:
        scope.sink.error(
            "E0305", "`over` goes over an axis, and only what a study tells has axes", across.span,
        )  # fmt: skip
        return Unknown()
    if name not in ALONG:
        near = nearest(name, ALONG)
        scope.sink.error(
            "E0305", f"`{name}` makes nothing of values along an axis", expression.function.span,
            help=(f"did you mean `{near}`?" if near else f"there are {', '.join(ALONG)}",),
        )  # fmt: skip
        return Unknown()
    check_axis(across.axis, scope)
    if across.condition is not None:
        expressions.require(across.condition, Boolean(), scope, "a condition on points")
    if name in ("any", "all"):
        expressions.require(across.element, Boolean(), scope, f"what `{name}` looks at")
        return Boolean()
    check_number(across.element, scope)
    found = scope.program.types[across.element]
    return found if isinstance(found, Quantity) else Unknown()


def _case_name(argument: ast.Argument, scope: Scope) -> None:
    assert scope.owner.members is not None
    cases = [block.name for block in scope.owner.members.named(CASES)]
    if not (isinstance(argument.value, ast.Name) and argument.value.id in cases):
        near = nearest(argument.value.span.text, cases)
        scope.sink.error(
            "E0422", f"there is no case `{argument.value.span.text}`", argument.value.span,
            help=(f"did you mean `{near}`?" if near else f"the cases are {', '.join(cases)}",),
        )  # fmt: skip
