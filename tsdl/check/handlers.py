"""Bodies of handlers, statement by statement: variables, branches, loops, what is assigned to."""

from collections.abc import Iterator

from tsdl import ast
from tsdl.check import slips
from tsdl.check.actions import check_action, statements
from tsdl.check.expressions import infer, require
from tsdl.check.measures import agrees, mismatch
from tsdl.check.scope import Scope
from tsdl.diagnostics.suggest import nearest
from tsdl.schema import STATE_KEYS
from tsdl.source import Span
from tsdl.types import (
    Boolean,
    Quantity,
    Record,
    Sequence,
    State,
    Text,
    Type,
    Unknown,
    describe,
)
from tsdl.units import NUMBER

DEEPEST = 16  # statements in one another


def check_statements(body: ast.Body, scope: Scope) -> None:
    """Check the statements of a handler, and that they are not nested too deeply."""
    if _depth(body) > DEEPEST:
        scope.sink.error(
            "E0103", f"statements are nested more than {DEEPEST} deep", body.span,
            help=("join conditions with `and`, or use a generator with a condition",),
        )  # fmt: skip
        return
    check_body(body, scope)


def _depth(body: ast.Body) -> int:
    deepest = 0
    for item in body.items:
        inner = [b for b in (getattr(item, name, None) for name in _BODIES) if b is not None]
        deepest = max(deepest, 1 + max((_depth(b) for b in inner), default=0))
    return deepest


_BODIES = ("body", "then", "otherwise")


def check_body(body: ast.Body, scope: Scope) -> None:
    """Check statements one after another; a `let` is seen by those behind it."""
    stage = scope.place.stage if scope.place else ""
    for item in body.items:
        match item:
            case ast.Let(name=name, value=value):
                scope = scope.with_locals({name: _let(item, value, scope)})
            case ast.If(test=test, then=then, otherwise=otherwise):
                require(test, Boolean(), scope, "a condition")
                check_body(then, scope)
                if otherwise is not None:
                    check_body(otherwise, scope)
            case ast.For(variable=variable, iterable=iterable, body=inner):
                of = _items_of(iterable, scope)
                _refuse_taken(variable, item, scope)
                check_body(inner, scope.with_locals({variable: of}))
            case ast.Field():
                _assignment(item, scope)
            case ast.Clause():
                check_action(item, scope)
                if item.verb == "state" and isinstance(item.head, ast.Name):
                    scope = scope.with_locals({item.head.id: Unknown()})  # it was told
            case ast.Bound():
                scope.sink.error(
                    "E0416", "a comparison is no statement", item.span,
                    help=("write `if … { … }`",),
                )  # fmt: skip
            case _:
                scope.sink.error(
                    "E0416", "this is no statement", item.span, help=(statements(stage),)
                )


def unread(node: object) -> Iterator[ast.Let]:
    """Yield the variables in the bodies of a clause that no statement behind them reads."""
    for body in (each for each in ast.walk(node) if isinstance(each, ast.Body)):
        for at, item in enumerate(body.items):
            if isinstance(item, ast.Let):
                behind = ast.walk(body.items[at + 1 :])
                if not any(isinstance(n, ast.Name) and n.id == item.name for n in behind):
                    yield item


def _let(item: ast.Let, value: ast.Expr, scope: Scope) -> Type:
    _refuse_taken(item.name, item, scope)
    found = infer(value, scope)
    if isinstance(found, (Quantity, Boolean, Record, Sequence, Text, Unknown)):
        return found
    scope.sink.error(
        "E0304", f"a variable cannot hold {describe(found)}", value.span, describe(found)
    )
    return Unknown()


def _refuse_taken(name: str, item: ast.Let | ast.For, scope: Scope) -> None:
    if name in scope.locals:
        span = item.span
        begin = span.start + span.text.index(name, len("let"))  # as long as `for`
        scope.sink.error(
            "E0202", f"`{name}` is declared twice here",
            Span(span.source, begin, begin + len(name)),
            help=("give it another name: a variable keeps its value",),
        )  # fmt: skip


def _items_of(iterable: ast.Expr, scope: Scope) -> Type:
    found = infer(iterable, scope)
    if isinstance(found, Sequence):
        return found.of
    if not isinstance(found, Unknown):
        scope.sink.error(
            "E0304", f"`for` goes over a list, this is {describe(found)}", iterable.span,
            describe(found), help=(slips.of_list(iterable, scope),),
        )  # fmt: skip
    return Unknown()


# -- state ---------------------------------------------------------------------------------------


def _assignment(item: ast.Field, scope: Scope) -> None:
    target = item.target
    name = target.value if isinstance(target, ast.Index) else target
    state = scope.locals.get(name.id) if isinstance(name, ast.Name) else None
    if isinstance(state, Unknown):
        infer(item.value, scope)
        return
    if not isinstance(state, State):
        _refuse_target(name, target, scope)
        infer(item.value, scope)
        return
    found = infer(target, scope)
    if isinstance(found, Unknown) or not _check_operator(item, state, scope):
        return
    value = infer(item.value, scope)
    counts = isinstance(value, Quantity) and value.dimension.is_count and state.kind
    if state.kind and state.of == Quantity(NUMBER) and isinstance(value, Quantity):
        if not counts and value != state.of:
            _refuse_sum(name.span.text, state, value, item.value, scope)
    elif agrees(value, state.of, item.value):
        return
    elif state.of == Quantity(NUMBER) and isinstance(value, Quantity):
        _refuse_quantity(name.span.text, state, value, item.value, scope)
    else:
        mismatch(item.value, value, state.of, scope, f"state `{name.span.text}`")


def _refuse_sum(
    name: str, state: State, value: Quantity, expression: ast.Expr, scope: Scope
) -> None:
    """Report that an aggregate of plain numbers is given something else."""
    found = _dimension(value, scope)
    scope.sink.error(
        "E0301", f"state `{name}` sums up plain numbers, this is {describe(value)}",
        expression.span, describe(value),
        help=(f"say what it sums up: `state {name}: {state.kind}({found})`",) if found else (),
    )  # fmt: skip


def _refuse_quantity(
    name: str, state: State, value: Quantity, expression: ast.Expr, scope: Scope
) -> None:
    """Report that state which is a plain number is given something with a unit."""
    found = None if isinstance(expression, ast.Number) else _dimension(value, scope)
    if found is None:
        mismatch(expression, value, state.of, scope, f"state `{name}`")
        return
    key = f"[{state.key}]" if state.key else ""
    scope.sink.error(
        "E0301", f"state `{name}` is {describe(state.of)}, this is {describe(value)}",
        expression.span, describe(value),
        help=(f"declare `state {name}: {found}{key}`",),
    )  # fmt: skip
    if isinstance(expression, ast.Name) and expression.id in scope.locals:
        scope.locals[expression.id] = Unknown()  # a variable of a wrong type is told once


def _dimension(value: Quantity, scope: Scope) -> str | None:
    """Return the name of the dimension of a quantity."""
    dimensions = scope.program.units.dimensions
    return next((n for n, dimension in dimensions.items() if dimension == value.dimension), None)


_WHAT_CHANGES = "what changes is state: declare `state NAME: number = 0` in the stage"


def _refuse_target(name: ast.Expr, target: ast.Expr, scope: Scope) -> None:
    """Report that something is assigned to that is no state."""
    match name:
        case ast.Attribute(name=field, value=ast.Name(id=holder)) if holder in scope.locals:
            title = f"`{name.span.text}` can be read, and not set"
            record = scope.locals[holder]
            key = record.name if isinstance(record, Record) and record.name in STATE_KEYS else "…"
            remedy = (
                f"what is remembered of each is state: declare `state {field}: number[{key}]` in "
                f"the stage, and set `{field}[{holder}]`"
            )
        case ast.Name(id=variable) if variable in scope.locals:
            title = f"`{variable}` is a variable, and keeps its value"
            remedy = _WHAT_CHANGES
        case ast.Name(id=field) if any(field in block.shape.fields for block in scope.blocks):
            title = f"`{field}` is a field, and is fixed before the run"
            remedy = f"{_WHAT_CHANGES}, under another name, and read it in handlers and clauses"
        case _:
            title = f"`{name.span.text}` is no declared state, and nothing else can be assigned to"
            states = [n for n, type_ in scope.locals.items() if isinstance(type_, State)]
            near = nearest(name.span.text, states)
            elsewhere = slips.of_other_stage(name.span.text, scope)
            remedy = elsewhere or (
                f"did you mean `{near}`?"
                if near
                else f"declare it in the stage: `state {name.span.text}: number = 0`, "
                "or write `let` for a variable"
            )
    scope.sink.error("E0419", title, target.span, help=(remedy,))


def _check_operator(item: ast.Field, state: State, scope: Scope) -> bool:
    """Tell whether a state may be changed like this; report where not."""
    adds = item.operator in ("+=", "-=")
    if state.kind in ("count", "sum") and not adds:
        reason, remedy = f"a `{state.kind}` is added to, not set", "write `+=`"
    elif state.kind in ("mean", "min", "max") and adds:
        reason, remedy = f"a `{state.kind}` takes values, and is not added to", "write `=`"
    elif state.of == Boolean() and adds:
        reason, remedy = "true and false cannot be added", "write `=`"
    else:
        return True
    scope.sink.error("E0419", reason, item.span, help=(remedy,))
    return False


def holds(body: ast.Body, verbs: tuple[str, ...]) -> bool:
    """Tell whether one of these actions stands anywhere in a body."""
    return any(isinstance(node, ast.Clause) and node.verb in verbs for node in ast.walk(body))
