"""Types of what a study says: which params it varies, what it asks of a point, what it expects."""

from tsdl import ast
from tsdl.check import expressions
from tsdl.check.asked import check_axis, check_keys, check_number
from tsdl.check.clauses import check_once
from tsdl.check.measures import agrees, mismatch
from tsdl.check.parameters import param_type
from tsdl.check.scope import Scope
from tsdl.check.slips import of_points
from tsdl.check.statistics import WHERE, check_where
from tsdl.diagnostics import Label
from tsdl.diagnostics.suggest import nearest
from tsdl.formula import percentile_of
from tsdl.program import Declaration, Members
from tsdl.schema import STATISTICS
from tsdl.schema.studies import CASES, FORMS, LOG, NEEDS_X, OWN_COLUMNS, PLOTS
from tsdl.source import Span
from tsdl.types import (
    Boolean,
    Bounds,
    Quantity,
    Samples,
    Sequence,
    Text,
    Type,
    Unknown,
    describe,
)

_SEARCHES = ("maximize", "minimize")


def check_case(members: Members, scope: Scope) -> None:
    """Check the values that a case gives to params; they see the names of the file."""
    outside = scope._replace(blocks=(), own=None, symbols={})
    for key, definition in members.fields.items():
        if definition.owner is scope.owner:
            param = _param(ast.Name(key, definition.span), outside)
            if param:
                wanted = param_type(param, outside)
                expressions.require(definition.value, wanted, outside, f"param `{key}`")


def check_names(members: Members, scope: Scope) -> None:
    """See that no `let` is called like another column of the answer, whoever wrote either."""
    columns = _columns(members, scope)
    bases = [base.members for base in scope.owner.bases]
    told = {name for base in bases if base for name in base.lets if name in _columns(base, scope)}
    for name, let in members.lets.items():
        if name not in columns or name in told:
            continue
        places = [*columns[name], (let.owner, let.span)]
        own = [place for owner, place in places if owner is scope.owner]
        scope.sink.error(
            "E0206",
            f"`{name}` is a column of the study's table already",
            own[-1] if own else scope.owner.span,
            secondary=tuple(Label(place, "here") for _, place in places if place not in own[-1:]),
            help=("give the value another name",),
        )


def _columns(members: Members, scope: Scope) -> dict[str, tuple[tuple[Declaration, Span], ...]]:
    """Return the columns that an answer has by itself, each with who writes it, and where."""
    found: dict[str, tuple[tuple[Declaration, Span], ...]] = dict.fromkeys(OWN_COLUMNS, ())
    for verb in ("vary", *_SEARCHES):
        for part in members.clauses(verb):
            assert isinstance(part.item, ast.Clause)
            place = scope._replace(owner=part.owner)
            params = [name for name in part.item.objects if _declared(name, place)]
            found |= {name.span.text: ((part.owner, name.span),) for name in params}
    return found


def check_question(clause: ast.Clause, members: Members, scope: Scope) -> None:
    """Check a clause of a study."""
    if not _formed(clause, scope):
        return
    plain = scope._replace(blocks=(), own=None, symbols={})
    asked = plain._replace(blocks=(members,), metrics=True, axes=axes_of(members, plain))
    match clause.verb:
        case "vary":
            _vary(clause, plain)
        case "where":
            expressions.require(clause.objects[0], Boolean(), plain, "a condition on points")
        case "maximize" | "minimize":
            _search(clause, members, plain, asked)
        case "replicate":
            expressions.require(clause.objects[0], Quantity(), plain, "how often a point is run")
        case "best":
            check_axis(clause.objects[0], asked)
            check_keys(clause, 1, asked)
        case "pareto":
            check_keys(clause, None, asked)
        case "table":
            for expression in clause.objects:
                check_number(expression, asked)
        case "plot":
            _plot(clause, asked)
        case "expect":
            expressions.require(clause.objects[0], Boolean(), asked, "what is expected")
            only = clause.preposition("where")
            if only:
                expressions.require(only.objects[0], Boolean(), plain, "a condition on points")


def axes_of(members: Members, scope: Scope) -> dict[str, Type]:
    """Return the axes of a study by name, with the types of their values."""
    found: dict[str, Type] = {}
    for part in members.clauses("vary"):
        assert isinstance(part.item, ast.Clause)
        for name in part.item.objects:
            param = _declared(name, scope._replace(owner=part.owner))
            if param and isinstance(name, ast.Name):
                found[name.id] = param_type(param, scope)
    if members.named(CASES):
        found[CASES] = Text()
    return found


def _declared(name: ast.Expr, scope: Scope) -> Declaration | None:
    found = None
    if isinstance(name, ast.Name):
        found = scope.program.lookup(scope.owner.module, name.id)
    return found if found and found.kind == "param" else None


def _param(name: ast.Expr, scope: Scope) -> Declaration | None:
    """Return the param of a name; report where there is none."""
    found = _declared(name, scope)
    if found is None:
        shown = name.id if isinstance(name, ast.Name) else name.span.text
        params = [d.name for d in scope.program.declarations if d.kind == "param"]
        near = nearest(shown, params)
        attribute = shown in scope.program.attributes()
        named = of_points(shown, scope)
        scope.sink.error(
            "E0422",
            f"`{shown}` is no param, and a study varies params",
            name.span,
            "not a param",
            help=(
                f"`{shown}` is an attribute: vary a param that its distribution or default reads"
                if attribute
                else named if named
                else f"did you mean `{near}`?" if near
                else f"declare it: `param {shown} = …`, and use it in the scenario",
            ),
        )  # fmt: skip
    return found


# -- the form of a clause ----------------------------------------------------------------------


def _formed(clause: ast.Clause, scope: Scope) -> bool:
    """See that a clause has all that its verb asks for, and nothing else."""
    searches = clause.verb in _SEARCHES
    needs_values = searches or clause.verb == "vary"
    several = clause.verb in ("vary", "table")
    extra: tuple[ast.Expr | ast.Body | None, ...] = (
        clause.count,
        clause.type,
        clause.value,
        clause.body,
        None if needs_values else clause.within,
        None if several or not clause.objects[1:] else clause.objects[1],
        clause.objects[0] if clause.verb == "pareto" and clause.objects else None,
    )
    wrong = next((part for part in extra if part is not None), None)
    missing = (
        (clause.verb != "pareto" and not clause.objects)
        or (needs_values and clause.within is None)
        or (searches and not clause.preposition("while"))
        or (clause.verb in ("best", "pareto") and not clause.preposition("by"))
    )
    if wrong is None and not missing:
        return check_once(clause, scope)
    scope.sink.error(
        "E0412",
        f"`{clause.verb}` is not written like this",
        wrong.span if wrong else clause.span,
        "does not belong here" if wrong else "",
        help=(f"for example `{FORMS[clause.verb]}`",),
    )
    return False


# -- axes and the search -----------------------------------------------------------------------


def _vary(clause: ast.Clause, scope: Scope) -> None:
    params = [_param(name, scope) for name in clause.objects]
    for index, name in enumerate(clause.objects):
        if any(name.span.text == other.span.text for other in clause.objects[:index]):
            scope.sink.error("E0403", f"`{name.span.text}` stands twice", name.span)
            return
    values = clause.within
    assert values is not None
    if len(params) == 1:
        if params[0]:
            _values(values, param_type(params[0], scope), params[0].name, scope)
        return
    lists = _linked(values)
    if lists is None or len(lists) != len(params):
        scope.sink.error(
            "E0422",
            f"{len(params)} params that go together take a list each",
            values.span,
            help=("write `vary prompt, answer in zip([64, 512] tokens, [512, 64] tokens)`",),
        )
        return
    for param, part in zip(params, lists, strict=True):
        if param:
            _values(part, param_type(param, scope), param.name, scope)


def _linked(values: ast.Expr) -> list[ast.Expr] | None:
    """Return the lists of `zip(…)`."""
    match values:
        case ast.Call(function=ast.Name(id="zip"), arguments=arguments) if not any(
            a.name or a.weight for a in arguments
        ):
            return [a.value for a in arguments]
    return None


def _values(values: ast.Expr, wanted: Type, name: str, scope: Scope) -> None:
    """Check a list or a range of values for a param."""
    if isinstance(values, ast.Interval) and isinstance(wanted, Quantity):
        _range(values, wanted, name, scope)
    elif isinstance(values, ast.ListOf):
        expressions.require(values, Sequence(wanted), scope, f"what `{name}` takes")
        if not values.items:
            scope.sink.error("E0422", f"`{name}` takes no value at all", values.span)
    else:
        helps = "[1, 2, 4]` or `1..8" if isinstance(wanted, Quantity) else "[one, other]"
        scope.sink.error(
            "E0422",
            f"`{name}` is varied over a list or a range",
            values.span,
            help=(f"write `vary {name} in {helps}`",),
        )


def _range(values: ast.Interval, wanted: Quantity, name: str, scope: Scope) -> None:
    found = expressions.infer(values, scope)
    right = isinstance(found, Bounds) and agrees(found.of, wanted, values.low)
    if not (right or isinstance(found, Unknown)):
        mismatch(values, found, Bounds(wanted), scope, f"what `{name}` takes")


def _search(clause: ast.Clause, members: Members, plain: Scope, asked: Scope) -> None:
    searches = [p for verb in _SEARCHES for p in members.clauses(verb)]
    if searches[0].item is not clause:
        plain.sink.error(
            "E0422", "a study searches for one thing", clause.span, "a second search",
            help=("make it an axis: `vary … in …`, or ask in another study",),
        )  # fmt: skip
        return
    param = _param(clause.objects[0], plain)
    if param is None or clause.within is None:
        return
    if param.name in (asked.axes or {}):
        plain.sink.error(
            "E0422", f"`{param.name}` is varied, and searched for", clause.objects[0].span,
            help=("do one of both",),
        )  # fmt: skip
    wanted = param_type(param, plain)
    if isinstance(wanted, Quantity) and isinstance(clause.within, ast.Interval):
        _range(clause.within, wanted, param.name, plain)
    elif not isinstance(wanted, Unknown):
        plain.sink.error(
            "E0422", f"`{param.name}` is searched for in a range", clause.within.span,
            help=(f"for example `{FORMS[clause.verb]}`",),
        )  # fmt: skip
    condition = clause.preposition("while")
    assert condition is not None
    expressions.infer(clause.objects[0], asked)  # it is told, and so has a meaning
    _condition(condition.objects[0], asked)
    if len(condition.objects) > 1:
        plain.sink.error(
            "E0412", "a search has one condition", condition.objects[1].span, "one too many",
            help=("join conditions with `and`",),
        )  # fmt: skip


def _condition(condition: ast.Expr, scope: Scope) -> None:
    """Check what a search keeps to. Other points have searches of their own, which may last."""
    nodes = ast.walk(condition)
    elsewhere = next((n for n in nodes if isinstance(n, (ast.Index, ast.Across))), None)
    if elsewhere is None:
        expressions.require(condition, Boolean(), scope, "the condition of a search")
        return
    scope.sink.error(
        "E0422", "the condition of a search sees no other point", elsewhere.span,
        help=("keep to a value, as in `p99(ttft) <= 2 s`; `table` and `expect` compare points",),
    )  # fmt: skip


# -- pictures ----------------------------------------------------------------------------------


def _plot(clause: ast.Clause, scope: Scope) -> None:
    expression = clause.objects[0]
    name = expression.function if isinstance(expression, ast.Call) else None
    if not isinstance(expression, ast.Call) or not isinstance(name, ast.Name):
        scope.sink.error(
            "E0412", "`plot` is not written like this", expression.span,
            help=(f"for example `{FORMS['plot']}`",),
        )  # fmt: skip
        return
    if name.id not in PLOTS:
        scope.sink.error(
            "E0422",
            f"there is no picture `{name.id}`",
            name.span,
            help=_pictures(clause, name.id, scope),
        )
        return
    channels = PLOTS[name.id][1]
    shown = [a for a in expression.arguments if a.name is None]
    if not shown or (name.id in ("heat", "cdf") and len(shown) > 1):
        scope.sink.error(
            "E0305", f"`{name.id}` shows one thing" if shown else f"`{name.id}` shows nothing",
            expression.span, help=(f"for example `{FORMS['plot']}`",),
        )  # fmt: skip
    for argument in expression.arguments:
        if argument.name is None:
            if name.id == "cdf":
                _metric(argument.value, scope)
            else:
                check_number(argument.value, scope)
        elif name.id == "cdf" and argument.name == WHERE:
            of = expressions.infer(shown[0].value, scope) if shown else Unknown()
            check_where(argument, of, scope)
        elif argument.name not in channels:
            near = nearest(argument.name, channels)
            scope.sink.error(
                "E0305", f"`{name.id}` takes no `{argument.name}`", argument.span,
                help=(f"did you mean `{near}`?" if near else f"it takes {', '.join(channels)}",),
            )  # fmt: skip
        elif argument.name == "log":
            _check_log(name.id, argument.value, scope)
        elif argument.name in ("color", "facet"):
            check_axis(argument.value, scope)
        elif not (isinstance(argument.value, ast.Name) and argument.value.id in (scope.axes or {})):
            check_number(argument.value, scope)
    given = {a.name for a in expression.arguments}
    lacking = [c for c in ("x", "y") if c in channels and c not in given]
    if name.id in NEEDS_X and lacking:
        scope.sink.error(
            "E0305", f"`{name.id}` needs `{lacking[0]}`", expression.span,
            help=(f"write `{lacking[0]} = …`: an axis, or a value",),
        )  # fmt: skip


def _check_log(picture: str, expression: ast.Expr, scope: Scope) -> None:
    """Check that it is said which scales are logarithmic: shares of a distribution never are."""
    words = ["x"] if picture == "cdf" else list(LOG)
    if not (isinstance(expression, ast.Name) and expression.id in words):
        scope.sink.error(
            "E0305", f"`log` says which scales of `{picture}` are logarithmic", expression.span,
            help=(f"write {' or '.join(f'`log = {word}`' for word in words)}",),
        )  # fmt: skip


def _pictures(clause: ast.Clause, name: str, scope: Scope) -> tuple[str, ...]:
    """Return what to write in place of a picture that there is not."""
    near = nearest(name, PLOTS)
    if near:
        return (f"did you mean `{near}`?",)
    kinds = f"there are {', '.join(PLOTS)}"
    if name not in STATISTICS and percentile_of(name) is None:
        return (kinds,)
    said = [part.objects[0].span.text for part in clause.prepositions]
    axes = said or [*(scope.axes or {}), "qps"][:1]
    channels = [f"{c} = {axis}" for c, axis in zip(("x", "color"), axes, strict=False)]
    shown = ", ".join([clause.objects[0].span.text, *channels])
    return (f"say in which picture: `plot lines({shown})`", kinds)


def _metric(expression: ast.Expr, scope: Scope) -> None:
    """Check that an expression has a value for each request."""
    found = expressions.infer(expression, scope)
    if not isinstance(found, (Samples, Unknown)):
        scope.sink.error(
            "E0304",
            f"a distribution is of values of many requests, and this is {describe(found)}",
            expression.span,
            describe(found),
            help=("name a metric: `cdf(ttft)`",),
        )
