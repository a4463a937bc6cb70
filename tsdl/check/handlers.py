"""Handlers of events: their variables, and each statement of their bodies."""

from dataclasses import dataclass, replace

from tsdl import ast
from tsdl.check.expressions import agrees, infer, mismatch, require
from tsdl.check.scope import Scope
from tsdl.diagnostics.suggest import nearest
from tsdl.schema import ACTIONS
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
from tsdl.units import NUMBER, Dimension

REQUEST, WORKER = Record("request"), Record("worker")
TIME = Quantity(Dimension.of("time"))
_PLACED = ("dispatch", "transfer")  # … r to WORKER


@dataclass(frozen=True, slots=True)
class Place:
    """Where statements stand: in a handler of which stage, of which event."""

    stage: str
    event: str


def check_body(body: ast.Body, scope: Scope, place: Place) -> None:
    """Check statements one after another; a `let` is seen by those behind it."""
    for item in body.items:
        match item:
            case ast.Let(name=name, value=value):
                scope = scope.with_locals({name: _let(item, value, scope)})
            case ast.If(test=test, then=then, otherwise=otherwise):
                require(test, Boolean(), scope, "a condition")
                check_body(then, scope, place)
                if otherwise is not None:
                    check_body(otherwise, scope, place)
            case ast.For(variable=variable, iterable=iterable, body=inner):
                of = _items_of(iterable, scope)
                _refuse_taken(variable, item, scope)
                check_body(inner, scope.with_locals({variable: of}), place)
            case ast.Field():
                _assignment(item, scope)
            case ast.Clause():
                _action(item, scope, place)
            case ast.Bound():
                scope.sink.error(
                    "E0416", "a comparison is no statement", item.span,
                    help=("write `if … { … }`",),
                )  # fmt: skip
            case _:
                scope.sink.error(
                    "E0416", "this is no statement", item.span, help=(_statements(place),)
                )


def _statements(place: Place) -> str:
    known = [verb for verb, action in ACTIONS.items() if place.stage in action.stages]
    return f"there are let, if, for, assignments to state, log, record, {', '.join(known)}"


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
        scope.sink.error(
            "E0202", f"`{name}` is declared twice here", item.span,
            help=("give it another name: a variable keeps its value",),
        )  # fmt: skip


def _items_of(iterable: ast.Expr, scope: Scope) -> Type:
    found = infer(iterable, scope)
    if isinstance(found, Sequence):
        return found.of
    if not isinstance(found, Unknown):
        scope.sink.error(
            "E0304", f"`for` goes over a list, this is {describe(found)}", iterable.span,
            describe(found),
            help=("lists are `workers`, `w.waiting`, `w.active`, `batch.decoding` and so on",),
        )  # fmt: skip
    return Unknown()


# -- state ---------------------------------------------------------------------------------------


def _assignment(item: ast.Field, scope: Scope) -> None:
    target = item.target
    name = target.value if isinstance(target, ast.Index) else target
    state = scope.locals.get(name.id) if isinstance(name, ast.Name) else None
    if not isinstance(state, State):
        states = [n for n, type_ in scope.locals.items() if isinstance(type_, State)]
        near = nearest(name.span.text, states)
        scope.sink.error(
            "E0419",
            f"`{name.span.text}` is no declared state, and nothing else can be assigned to",
            target.span,
            help=(
                f"did you mean `{near}`?"
                if near
                else f"declare it in the stage: `state {name.span.text}: number = 0`, "
                "or write `let` for a variable",
            ),
        )
        infer(item.value, scope)
        return
    found = infer(target, replace(scope, writing=True))
    if isinstance(found, Unknown):
        return
    _check_operator(item, state, scope)
    value = infer(item.value, scope)
    counts = isinstance(value, Quantity) and value.dimension.is_count and state.kind
    if not agrees(value, state.of, item.value) and not (counts and state.of == Quantity(NUMBER)):
        mismatch(item.value, value, state.of, scope, f"state `{name.span.text}`")


def _check_operator(item: ast.Field, state: State, scope: Scope) -> None:
    adds = item.operator in ("+=", "-=")
    if state.kind in ("count", "sum") and not adds:
        reason, remedy = f"a `{state.kind}` is added to, not set", "write `+=`"
    elif state.kind in ("mean", "min", "max") and adds:
        reason, remedy = f"a `{state.kind}` takes values, and is not added to", "write `=`"
    elif state.of == Boolean() and adds:
        reason, remedy = "true and false cannot be added", "write `=`"
    else:
        return
    scope.sink.error("E0419", reason, item.span, help=(remedy,))


# -- actions -------------------------------------------------------------------------------------


def _action(item: ast.Clause, scope: Scope, place: Place) -> None:
    if item.verb in ("log", "record"):
        _note(item, scope)
        return
    action = ACTIONS.get(item.verb)
    if action is None:
        near = nearest(item.verb, [*ACTIONS, "log", "record"])
        scope.sink.error(
            "E0416", f"there is no action `{item.verb}`", item.verb_span, "unknown",
            help=(f"did you mean `{near}`?" if near else _statements(place),),
        )  # fmt: skip
    elif place.stage not in action.stages:
        other = next(stage for stage in action.stages)
        scope.sink.error(
            "E0417", f"`{item.verb}` has no place in the {place.stage} stage", item.span,
            help=(f"it belongs to handlers of the {other} stage",),
        )  # fmt: skip
    elif place.event in ("arrive", "submit") and item.verb == "submit":
        scope.sink.error(
            "E0417", f"a handler of `{place.event}` cannot submit", item.span,
            help=("dispatch it: `dispatch r to random(w for w in workers if w.decodes)`",),
        )  # fmt: skip
    elif not _well_formed(item):
        scope.sink.error(
            "E0416", f"`{item.verb}` is not written like this", item.span,
            help=(f"write `{action.form}`: {action.doc}",),
        )  # fmt: skip
    else:
        _arguments(item, scope)


def _well_formed(item: ast.Clause) -> bool:
    words = [p.word for p in item.prepositions]
    single = all(len(p.objects) == 1 for p in item.prepositions)
    extra = (item.count, item.type, item.value, item.body)
    if len(item.objects) != 1 or not single or any(e is not None for e in extra):
        return False
    if item.verb == "store":
        return not words and isinstance(item.within, ast.Name)
    wanted = {"fetch": ["from"], "scale": ["to"], "dispatch": ["to"], "transfer": ["to"]}
    if item.verb == "fetch" and words == ["from"]:
        return item.within is None and isinstance(item.prepositions[0].objects[0], ast.Name)
    return item.within is None and words == wanted.get(item.verb, [])


def _arguments(item: ast.Clause, scope: Scope) -> None:
    subject = item.objects[0]
    if item.verb == "delay":
        require(subject, TIME, scope, "a delay")
        return
    if item.verb == "scale":
        return
    require(subject, REQUEST, scope, f"what `{item.verb}` acts on")
    if item.verb in _PLACED:
        target = item.prepositions[0].objects[0]
        require(target, WORKER, scope, "where a request is dispatched to")


def _note(item: ast.Clause, scope: Scope) -> None:
    if item.verb == "record":
        named = len(item.objects) == 2 and isinstance(item.objects[0], ast.Text)  # noqa: PLR2004
        if not named:
            scope.sink.error(
                "E0416", "`record` takes a name and a number", item.span,
                help=('write `record "queued", w.queued`',),
            )  # fmt: skip
            return
        found = infer(item.objects[1], scope)
        if not isinstance(found, (Quantity, Boolean, Unknown)):
            mismatch(item.objects[1], found, Quantity(), scope, "what is recorded")
        return
    for expression in item.objects:
        found = infer(expression, scope)
        if not isinstance(found, (Quantity, Boolean, Text, Unknown)):
            scope.sink.error(
                "E0304", f"`log` shows numbers and texts, this is {describe(found)}",
                expression.span, describe(found),
                help=("name one of its fields, such as `r.id`",),
            )  # fmt: skip


def holds(body: ast.Body, verbs: tuple[str, ...]) -> bool:
    """Tell whether one of these actions stands anywhere in a body."""
    for item in body.items:
        match item:
            case ast.Clause(verb=verb) if verb in verbs:
                return True
            case ast.If(then=then, otherwise=otherwise):
                if holds(then, verbs) or (otherwise is not None and holds(otherwise, verbs)):
                    return True
            case ast.For(body=inner) if holds(inner, verbs):
                return True
            case _:
                continue
    return False
