"""Heads of handlers: the event, the variables that it names, the guard."""

from collections.abc import Iterator

from tsdl import ast
from tsdl.check.actions import NOT_SAID
from tsdl.check.expressions import require
from tsdl.check.handlers import check_statements, holds
from tsdl.check.scope import Place, Scope
from tsdl.check.states import known_states
from tsdl.diagnostics.suggest import nearest
from tsdl.program import Members, Program
from tsdl.schema import BREAKPOINT, EVENTS
from tsdl.schema.stages import AMBIENT, TIME
from tsdl.source import Span
from tsdl.types import Boolean, Quantity, Record, Type

_TIMER = "write `on every(5 s) { … }`"
_USUAL = {"request": "r", "worker": "w", "batch": "batch", "layer": "layer"}


def event_of(clause: ast.Clause) -> str | None:
    """Return the event that a handler is of; None where it names none."""
    head = clause.head
    if head is None:
        return "every" if clause.preposition("every") else None
    return ast.path_of(head.function if isinstance(head, ast.Call) else head)


def variables_of(clause: ast.Clause) -> tuple[str, ...] | None:
    """Return the variables that a handler gives names to; None where they are no bare names."""
    names = _variables(clause)
    return None if names is None else tuple(name.id for name in names)


def _variables(clause: ast.Clause) -> list[ast.Name] | None:
    if not isinstance(clause.head, ast.Call):
        return []
    names = [
        argument.value
        for argument in clause.head.arguments
        if argument.name is None
        and argument.weight is None
        and isinstance(argument.value, ast.Name)
    ]
    return names if len(names) == len(clause.head.arguments) else None


def breakpoints_of(program: Program) -> list[str]:
    """Return the names of all breakpoints that models declare."""
    return [
        key[1]
        for declaration in program.declarations
        if declaration.kind == "model" and declaration.members
        for key in declaration.members.parts
        if key[0] == "breakpoint"
    ]


def check_handler(clause: ast.Clause, members: Members, scope: Scope) -> None:
    """Check a handler: its event and variables, its guard, its statements."""
    stage = members.shape.kind
    name = event_of(clause)
    about = _about(name, clause, stage, scope)
    if name is None or about is None:
        return
    variables = _variables(clause)
    spans: dict[str, Span] = {variable.id: variable.span for variable in variables or ()}
    if variables is None or not len(variables) == len(spans) == len(about):
        _refuse_variables(clause, name, about, scope)
        return
    if clause.body is None:
        _refuse_without_body(clause, name, members, scope)
        return
    records = dict(zip(spans, about, strict=True))
    names: dict[str, Type] = dict(AMBIENT[stage])
    for variable, record in records.items():
        names[variable] = Quantity() if record == "layer" else Record(record)
    names |= known_states(spans, members, scope)
    place = Place(stage, name, records, tuple(_declared(clause.body)))
    inner = scope._replace(symbols={}, place=place).with_locals(names)
    for preposition in clause.prepositions:
        for expression in preposition.objects:
            if preposition.word == "when":
                require(expression, Boolean(), inner, "a condition")
            elif preposition.word == "every":
                _check_every(expression, clause, inner)
    told = len(scope.sink.found)
    check_statements(clause.body, inner)
    if name in NOT_SAID and not holds(clause.body, ("dispatch", "reject")):
        if any(d.code in ("E0416", "E0417") for d in scope.sink.found[told:]):
            return  # a misspelt `dispatch`, or another action for it
        scope.sink.error(
            "E0415", f"a handler of `{name}` dispatches the request, or rejects it", clause.span,
            help=(
                f"write `on {name}({variables[0].id}) {{ dispatch {variables[0].id} to "
                f"pick(w by w.queued for w in workers if w.{NOT_SAID[name]}) }}`",
            ),
        )  # fmt: skip


def _check_every(expression: ast.Expr, clause: ast.Clause, scope: Scope) -> None:
    """Check the time of a timer, where others put a variable."""
    unknown = scope.program.lookup(scope.owner.module, expression.span.text) is None
    if isinstance(expression, ast.Name) and expression.id in _USUAL.values() and unknown:
        _refuse_variables(clause, "every", (), scope)
    else:
        require(expression, TIME, scope, "what stands in `every`")


def _declared(body: ast.Body) -> Iterator[str]:
    """Yield the names that `let` and `for` declare anywhere in a body."""
    for node in ast.walk(body):
        match node:
            case ast.Let(name=name) | ast.For(variable=name):
                yield name


def _refuse_variables(clause: ast.Clause, name: str, about: tuple[str, ...], scope: Scope) -> None:
    shown = ", ".join(_USUAL[record] for record in about)
    remedy = (f"write `on {name}({shown}) {{ … }}`" if about else _TIMER,)
    arguments = clause.head.arguments if isinstance(clause.head, ast.Call) else ()
    typed = next((a for a in arguments if a.weight is not None), None)
    if typed is not None:
        scope.sink.error(
            "E0418", "a variable of a handler takes no type: the event says what it is",
            typed.span, help=remedy,
        )  # fmt: skip
        return
    *most, last = about or ("nothing",)
    listed = f"{', '.join(most)} and {last}" if most else last
    scope.sink.error(
        "E0418", f"a handler of `{name}` gives names to {listed}", clause.span, help=remedy
    )


def _refuse_without_body(clause: ast.Clause, name: str, members: Members, scope: Scope) -> None:
    helps = ["write its statements in `{ … }`"]
    if name in members.shape.clauses and clause.prepositions:
        said = " ".join(p.span.text for p in clause.prepositions)
        request = next(iter(variables_of(clause) or ()), "r")
        helps = [f"a rule is no handler, and has none: `{name} {request} {said}`"]
    scope.sink.error("E0412", "a handler has a body", clause.span, help=tuple(helps))


def _about(
    name: str | None, clause: ast.Clause, stage: str, scope: Scope
) -> tuple[str, ...] | None:
    """Return what an event is about; report one that there is not in this stage."""
    event = EVENTS.get(name or "")
    every = clause.preposition("every")
    if event is not None and (name == "every") == (every is not None):
        if stage in event.stages:
            return event.about
        scope.sink.error(
            "E0414", f"there is no event `{name}` in the {stage} stage", clause.span,
            help=(f"it is one of the {event.stages[0]} stage",),
        )  # fmt: skip
        return None
    breakpoints = breakpoints_of(scope.program)
    if name in breakpoints and every is None:
        return BREAKPOINT
    if every is not None:
        scope.sink.error(
            "E0412", "`every` is an event itself", every.span,
            help=("write two handlers: one of them `on every(5 s) { … }`",),
        )  # fmt: skip
        return None
    candidates = [n for n, e in EVENTS.items() if stage in e.stages] + breakpoints
    near = nearest(name or "", candidates)
    known = f"the events are {', '.join(candidates)}, and the breakpoints of models"
    scope.sink.error(
        "E0414",
        f"there is no event `{name}` in the {stage} stage" if name else "this names no event",
        clause.head.span if clause.head else clause.verb_span,
        help=(_TIMER if name == "every" else f"did you mean `{near}`?" if near else known,),
    )
    return None
