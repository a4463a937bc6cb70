"""Declared state of a policy's stage: `state sent: count[worker] over 10 s`."""

from msgspec import Struct

from tsdl import ast
from tsdl.check import expressions
from tsdl.check.scope import Scope
from tsdl.diagnostics import Label, Sink
from tsdl.diagnostics.suggest import nearest
from tsdl.program import Members
from tsdl.schema import AGGREGATES, STATE_KEYS
from tsdl.schema.stages import AMBIENT, TIME
from tsdl.source import Span
from tsdl.types import Boolean, Quantity, State, Type, Unknown

PLAIN = Quantity()
_PLAIN_TYPES = ("number", "int", "ratio")


_KEYED = (
    f"it may be {', '.join(STATE_KEYS)}",
    "a `session` is any whole number, that of a class or a tenant, too: with "
    "`state served: number[session]`, `served[r.priority] += 1`",
)


class Form(Struct, frozen=True):
    """How a state is written: its kind (an aggregate, or "" for a plain value), type and key.

    The type of an aggregate is that of what it sums up: `time` of `mean(time)`.
    """

    kind: str
    type: ast.Expr | None
    key: ast.Expr | None


def form_of(clause: ast.Clause) -> Form | None:
    """Read `: mean(time)[worker]`, or None where nothing like it is written."""
    written, key = clause.type, None
    if isinstance(written, ast.Index) and len(written.arguments) == 1:
        key, written = written.arguments[0].value, written.value
    match written:
        case ast.Name(id=name) if name in AGGREGATES:
            return Form(name, None, key)
        case ast.Call(function=ast.Name(id=name), arguments=(ast.Argument(value=of),)) if (
            name in AGGREGATES
        ):
            return Form(name, of, key)
        case ast.Name():
            return Form("", written, key)
        case None if clause.value is not None:
            return Form("", None, None)
        case _:
            return None


def known_around(members: Members, scope: Scope) -> dict[str, Type]:
    """Return the types of what a `let` of a block may read besides: in a stage, all that it knows.

    It is what its handlers and its clauses know, but for what they are about themselves.
    """
    ambient = AMBIENT.get(members.shape.kind)
    return {} if ambient is None else {**ambient, **known_states({}, members, scope)}


def known_states(variables: dict[str, Span], members: Members, scope: Scope) -> dict[str, Type]:
    """Return the types of the states of a stage, inherited ones included.

    One that is called like a variable that is named here is told, and not known.
    """
    found: dict[str, Type] = {}
    for part in members.clauses("state"):
        clause = part.item
        assert isinstance(clause, ast.Clause)
        if not isinstance(clause.head, ast.Name):
            continue
        name, form = clause.head.id, form_of(clause)
        taken = name in AMBIENT[members.shape.kind] or name in members.shape.fields
        if name in variables and not taken:
            _refuse_taken(clause.head, variables[name], scope, own=part.owner is scope.owner)
        if form is None or taken or name in variables or not _is_type(form, scope):
            found[name] = Unknown()  # it was told, or is
            continue
        found[name] = _type_of(form, clause, scope._replace(owner=part.owner))
    return found


def _type_of(form: Form, clause: ast.Clause, scope: Scope) -> State:
    """Return the type of a state that is well formed."""
    key = form.key.id if isinstance(form.key, ast.Name) else ""
    place = scope._replace(sink=Sink(), symbols={})
    return State(_value_type(form, clause, place), key, form.kind)


def _check_redeclared(clause: ast.Clause, members: Members, scope: Scope) -> None:
    """See that a state is of the type that it has in a base: inherited clauses read it."""
    assert isinstance(clause.head, ast.Name)
    own = known_states({}, members, scope).get(clause.head.id, Unknown())
    for base in scope.owner.bases:
        around = base.members
        stage = around.block(members.shape.kind) if around else None
        parts = stage.parts.get(("state", clause.head.id)) if stage else None
        if stage is None or not parts or isinstance(own, Unknown):
            continue
        known = known_states({}, stage, scope._replace(owner=base.declaration))
        if known.get(clause.head.id, Unknown()) not in (own, Unknown()):
            scope.sink.error(
                "E0420",
                f"`{clause.head.id}` is state of another type than in `{base.declaration.name}`",
                clause.head.span,
                secondary=(Label(parts[0].item.span, "declared here, and read as this"),),
                help=("give it another name",),
            )


def _refuse_taken(state: ast.Name, variable: Span, scope: Scope, *, own: bool) -> None:
    """Report a state and a variable of one name, once for a state that the policy itself has."""
    places = (state.span, variable) if own else (variable, state.span)
    labels = ("declared here", "a variable of that name")
    scope.sink.error(
        "E0202", f"`{state.id}` is both state of this stage and a variable", places[0],
        secondary=(Label(places[1], labels[own]),),
        help=("give one of them another name",),
    )  # fmt: skip


def _value_type(form: Form, clause: ast.Clause, scope: Scope) -> Quantity | Boolean:
    """Return what reading the state yields; a plain number where nothing right is written."""
    if form.type is None and form.kind:
        return PLAIN
    if form.type is None and clause.value is not None:
        found = expressions.infer(clause.value, scope)
        return found if isinstance(found, (Quantity, Boolean)) else PLAIN
    name = form.type.id if isinstance(form.type, ast.Name) else ""
    dimension = scope.program.units.dimensions.get(name)
    if dimension is None:
        return Boolean() if name == "bool" and not form.kind else PLAIN
    return Quantity(dimension)


def check_state(clause: ast.Clause, members: Members, scope: Scope) -> None:
    """Check a declaration of state: its name, type, key, window and first value."""
    scope = scope._replace(symbols={})  # it begins before there is any batch
    form = form_of(clause)
    if not isinstance(clause.head, ast.Name) or len(clause.objects) != 1 or form is None:
        _refuse_form(clause, scope)
        return
    stage = members.shape.kind
    field = members.shape.fields.get(clause.head.id)
    if clause.head.id in AMBIENT[stage] or field is not None:
        why = "it is a field of" if field is not None else "all of"
        knows = "" if field is not None else " knows it"
        scope.sink.error(
            "E0202", f"`{clause.head.id}` cannot be state: {why} the {stage} stage{knows}",
            clause.head.span, help=("give the state another name",),
        )  # fmt: skip
    _check_type(form, scope)
    if form.key is not None and not (isinstance(form.key, ast.Name) and form.key.id in STATE_KEYS):
        near = nearest(form.key.span.text, STATE_KEYS)
        scope.sink.error(
            "E0420", f"a state is not kept for each `{form.key.span.text}`", form.key.span,
            help=(f"did you mean `{near}`?",) if near else _KEYED,
        )  # fmt: skip
    _check_redeclared(clause, members, scope)
    window = clause.preposition("over")
    if window is not None:
        _check_window(window, form, scope)
    if clause.value is not None and form.kind:
        scope.sink.error(
            "E0420", f"a `{form.kind}` begins empty, and takes no first value", clause.value.span,
            help=("leave it out",),
        )  # fmt: skip
    elif form.type is None and isinstance(clause.value, ast.Name) and clause.value.id in AGGREGATES:
        scope.sink.error(
            "E0420", f"`{clause.value.id}` is a kind of state, and no value", clause.value.span,
            help=(f"write `state {clause.head.id}: {clause.value.id}`",),
        )  # fmt: skip
    elif clause.value is not None:
        wanted = _value_type(form, clause, scope._replace(sink=Sink()))
        expressions.require(clause.value, wanted, scope, "the first value of a state")


def _refuse_form(clause: ast.Clause, scope: Scope) -> None:
    title, place = "a state has a name, and a type or a first value", clause.span
    help_ = "write `state sent: count[worker] over 10 s` or `state turns = 0`"
    if isinstance(clause.type, ast.Index) and len(clause.type.arguments) > 1:
        several, place = len(clause.type.arguments), clause.type.span
        title = f"a state is kept for each of one thing, and here are {several}"
        help_ = f"write one of {', '.join(STATE_KEYS)}"
    scope.sink.error("E0420", title, place, help=(help_,))


def _types(form: Form, scope: Scope) -> list[str]:
    """Return the types that a state of this form may have."""
    others = [] if form.kind else [*AGGREGATES, "bool"]
    return [*others, *_PLAIN_TYPES, *scope.program.units.dimensions]


def _is_type(form: Form, scope: Scope) -> bool:
    written = form.type
    return written is None or (isinstance(written, ast.Name) and written.id in _types(form, scope))


def _check_type(form: Form, scope: Scope) -> None:
    written = form.type
    if written is None or _is_type(form, scope):
        return
    name = written.span.text
    near = nearest(name, _types(form, scope))
    scope.sink.error(
        "E0309", f"there is no type `{name}` of state", written.span, "unknown type",
        help=(
            f"a state keeps numbers: `number`, and the `id` of a {name}"
            if name in ("worker", "request")
            else f"did you mean `{near}`?"
            if near
            else "it is a dimension"
            if form.kind
            else f"it is number, bool, a dimension, or one of {', '.join(AGGREGATES)}",
        ),
    )  # fmt: skip


def _check_window(window: ast.Preposition, form: Form, scope: Scope) -> None:
    if not form.kind:
        scope.sink.error(
            "E0420", "only a state that sums up has a window", window.span,
            help=(f"the kinds that do are {', '.join(AGGREGATES)}",),
        )  # fmt: skip
    for expression in window.objects:
        expressions.require(expression, TIME, scope, "the window of a state")
