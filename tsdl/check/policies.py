"""Types in policies: admission, eviction, and the handlers of events."""

from dataclasses import replace

from tsdl import ast
from tsdl.check.expressions import infer, mismatch, require
from tsdl.check.handlers import TIME, Place, check_body, holds
from tsdl.check.scope import Scope
from tsdl.check.states import states_of
from tsdl.diagnostics.suggest import nearest
from tsdl.program import Members, Program
from tsdl.schema import BREAKPOINT, EVENTS
from tsdl.types import Boolean, Quantity, Record, Sequence, Type, Unknown

WORKERS: Type = Sequence(Record("worker"))
RUNNING: dict[str, Type] = {"now": TIME}
HERE: dict[str, Type] = {"w": Record("worker"), "kv": Record("kv")}  # known on a worker


def check_rule(clause: ast.Clause, members: Members, scope: Scope) -> None:
    """Check `admit r when … by …` and `evict r by …`."""
    head = clause.head
    if not isinstance(head, ast.Name) or len(clause.objects) != 1 or not clause.prepositions:
        scope.sink.error(
            "E0412", f"`{clause.verb}` names a request, and says something of it", clause.span,
            help=(f"write `{clause.verb} r by r.arrived`",),
        )  # fmt: skip
        return
    # The batch is not known yet when it is asked who may join it.
    names = {**HERE, **RUNNING, **states_of(members, scope), head.id: Record("request")}
    inner = replace(scope, symbols={}).with_locals(names)
    for preposition in clause.prepositions:
        if preposition.word == "when":
            for expression in preposition.objects:
                require(expression, Boolean(), inner, "a condition")
        elif preposition.word == "by":
            check_keys(preposition, inner)


def check_keys(preposition: ast.Preposition, scope: Scope) -> None:
    """Check the keys of an order."""
    for expression in preposition.objects:
        found = infer(expression, scope)
        if not isinstance(found, (Quantity, Unknown)):
            mismatch(expression, found, Quantity(), scope, "a key")


# -- handlers ------------------------------------------------------------------------------------


def event_of(clause: ast.Clause) -> str | None:
    """Return the event that a handler is of; None where it names none."""
    head = clause.head
    if head is None:
        return "every" if clause.preposition("every") else None
    return ast.path_of(head.function if isinstance(head, ast.Call) else head)


def variables_of(clause: ast.Clause) -> tuple[str, ...] | None:
    """Return the variables that a handler gives names to; None where they are no names."""
    if not isinstance(clause.head, ast.Call):
        return ()
    names = [
        argument.value.id
        for argument in clause.head.arguments
        if argument.name is None and isinstance(argument.value, ast.Name)
    ]
    return tuple(names) if len(names) == len(clause.head.arguments) else None


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
    variables = variables_of(clause)
    if variables is None or len(variables) != len(about) or len(set(variables)) != len(variables):
        shown = ", ".join(_USUAL[record] for record in about)
        scope.sink.error(
            "E0418", f"a handler of `{name}` gives names to {_count(about)}", clause.span,
            help=(f"write `on {name}({shown}) {{ … }}`" if about else _TIMER,),
        )  # fmt: skip
        return
    if clause.body is None:
        scope.sink.error(
            "E0412", "a handler has a body", clause.span, help=("write its statements in `{ … }`",)
        )
        return
    names = {**RUNNING, **(HERE if stage == "local" else {"workers": WORKERS})}
    for variable, record in zip(variables, about, strict=True):
        names[variable] = Quantity() if record == "layer" else Record(record)
    names |= states_of(members, scope)
    inner = replace(scope, symbols={}).with_locals(names)
    for preposition in clause.prepositions:
        wanted: Type = TIME if preposition.word == "every" else Boolean()
        subject = "the time between two" if preposition.word == "every" else "a condition"
        for expression in preposition.objects:
            require(expression, wanted, inner, subject)
    if name in ("arrive", "submit") and not holds(clause.body, ("dispatch", "reject")):
        request = variables[0]
        scope.sink.error(
            "E0415", f"a handler of `{name}` dispatches the request, or rejects it", clause.span,
            help=(
                f"write `on {name}({request}) {{ dispatch {request} to "
                "pick(w by w.queued for w in workers) }`",
            ),
        )  # fmt: skip
    check_body(clause.body, inner, Place(stage, name))


_TIMER = "write `on every(5 s) { … }`"
_USUAL = {"request": "r", "worker": "w", "batch": "batch", "layer": "layer"}


def _count(about: tuple[str, ...]) -> str:
    return {0: "nothing"}.get(len(about), " and ".join(about))


def _about(
    name: str | None, clause: ast.Clause, stage: str, scope: Scope
) -> tuple[str, ...] | None:
    """Return what an event is about; report one that there is not in this stage."""
    event = EVENTS.get(name or "")
    if event is not None and (name == "every") == (clause.preposition("every") is not None):
        if stage in event.stages:
            return event.about
        scope.sink.error(
            "E0414", f"there is no event `{name}` in the {stage} stage", clause.span,
            help=(f"it is one of the {event.stages[0]} stage",),
        )  # fmt: skip
        return None
    breakpoints = breakpoints_of(scope.program)
    if name in breakpoints:
        return BREAKPOINT
    candidates = [n for n, e in EVENTS.items() if stage in e.stages] + breakpoints
    near = nearest(name or "", candidates)
    every = name == "every"
    scope.sink.error(
        "E0414",
        f"there is no event `{name}` of the {stage} stage" if name else "this names no event",
        clause.head.span if clause.head else clause.verb_span,
        help=(
            _TIMER
            if every
            else f"did you mean `{near}`?"
            if near
            else f"the events are {', '.join(candidates)}, and the breakpoints of models",
        ),
    )
    return None


# -- in models -----------------------------------------------------------------------------------


def check_hook(clause: ast.Clause, members: Members, scope: Scope) -> None:
    """Check `breakpoint NAME after OPERATOR when …` and `after OPERATOR when … { … }`."""
    names = clause.verb == "breakpoint"
    after = clause.preposition("after")
    target = (
        (after.objects[0] if after and len(after.objects) == 1 else None) if names else clause.head
    )
    well = (
        isinstance(clause.head, ast.Name) and clause.body is None
        if names
        else clause.body is not None
    )
    if not well or target is None or len(clause.objects) != 1:
        example = (
            "breakpoint kv_ready after block.attn" if names else 'after block.attn { log "…" }'
        )
        scope.sink.error(
            "E0412", f"`{clause.verb}` is not written like this", clause.span,
            help=(f"write `{example}`",),
        )  # fmt: skip
        return
    nodes = nodes_of(members)
    path = ast.path_of(target) or target.span.text
    if path not in nodes:
        near = nearest(path, nodes)
        scope.sink.error(
            "E0421", f"the graph of this model has no operator `{path}`", target.span, "unknown",
            help=(f"did you mean `{near}`?" if near else f"it has {', '.join(nodes)}",),
        )  # fmt: skip
    if names and isinstance(clause.head, ast.Name) and clause.head.id in EVENTS:
        scope.sink.error(
            "E0421", f"`{clause.head.id}` is an event already", clause.head.span,
            help=("give the breakpoint another name",),
        )  # fmt: skip
    inner = scope.with_locals({"layer": Quantity()})
    when = clause.preposition("when")
    for condition in when.objects if when else ():
        require(condition, Boolean(), inner, "a condition")
    if clause.body is not None:
        variables: dict[str, Type] = {
            **RUNNING,
            **HERE,
            "layer": Quantity(),
            "batch": Record("batch"),
        }
        place = replace(scope, symbols={}).with_locals(variables)
        check_body(clause.body, place, Place("local", "breakpoint"))


def nodes_of(members: Members) -> list[str]:
    """Return the paths of the operators of a graph: `embed`, `block.attn`."""
    found: list[str] = []
    for part in members.clauses("graph"):
        body = part.item.body if isinstance(part.item, ast.Clause) else None
        for item in body.items if body else ():
            match item:
                case ast.GraphNode(name=name):
                    found.append(name)
                case ast.Clause(verb="repeat", head=ast.Name(id=block), body=ast.Body(items=items)):
                    found += [f"{block}.{i.name}" for i in items if isinstance(i, ast.GraphNode)]
    return found
