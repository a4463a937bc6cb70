"""Types in policies: admission, eviction, and the dispatch of arrivals."""

from dataclasses import replace

from tsdl import ast
from tsdl.check.expressions import infer, mismatch, require
from tsdl.check.scope import Scope
from tsdl.diagnostics.suggest import nearest
from tsdl.types import Boolean, Quantity, Record, Sequence, Type, Unknown

EVENTS = (
    "arrive", "submit", "start", "token", "iteration", "finish", "admit", "preempt", "evict",
    "transferred", "every", "ready", "fail", "lost",
)  # fmt: skip
WORKERS: Type = Sequence(Record("worker"))


def check_admission(clause: ast.Clause, scope: Scope) -> None:
    """Check `admit r when … by …` and `evict r by …`."""
    head = clause.head
    if not isinstance(head, ast.Name) or len(clause.objects) != 1 or not clause.prepositions:
        scope.sink.error(
            "E0412", f"`{clause.verb}` names a request, and says something of it", clause.span,
            help=(f"write `{clause.verb} r by r.arrived`",),
        )  # fmt: skip
        return
    # The batch is not known yet when it is asked who may join it.
    inner = replace(scope, symbols={}).with_locals(
        {head.id: Record("request"), "kv": Record("kv"), "w": Record("worker")}
    )
    for preposition in clause.prepositions:
        if preposition.word == "when":
            for expression in preposition.objects:
                require(expression, Boolean(), inner, "a condition")
        elif preposition.word == "by":
            for expression in preposition.objects:
                found = infer(expression, inner)
                if not isinstance(found, (Quantity, Unknown)):
                    mismatch(expression, found, Quantity(), inner, "a key")


def check_handler(clause: ast.Clause, scope: Scope) -> None:
    """Check a handler of the global stage: its event, and for arrivals its dispatch."""
    head = clause.head
    function = head.function if isinstance(head, ast.Call) else head
    name = ast.path_of(function) if function else None
    if head is None and clause.preposition("every"):  # on every(5 s) { … }
        return
    if name is None or name not in EVENTS:
        near = nearest(name or "", EVENTS)
        scope.sink.error(
            "E0414",
            f"there is no event `{name}` of the global stage" if name else "this names no event",
            head.span if head else clause.verb_span,
            help=(f"did you mean `{near}`?",) if near else (f"the events are {', '.join(EVENTS)}",),
        )
        return
    if name != "arrive":
        return
    request = _request_name(head)
    action = dispatch_of(clause)
    if request is None or action is None:
        scope.sink.error(
            "E0415",
            "a handler of arrivals dispatches the request",
            clause.span,
            help=("write `on arrive(r) { dispatch r to pick(w by w.queued for w in workers) }`",),
        )
        return
    inner = scope.with_locals({request: Record("request"), "workers": WORKERS})
    require(action, Record("worker"), inner, "where a request is dispatched to")


def _request_name(head: ast.Expr | None) -> str | None:
    match head:
        case ast.Call(arguments=(ast.Argument(name=None, value=ast.Name(id=name)),)):
            return name
        case _:
            return None


def dispatch_of(clause: ast.Clause) -> ast.Expr | None:
    """Return where `on arrive(r) { dispatch r to … }` sends the request."""
    if clause.body is None or clause.prepositions or len(clause.body.items) != 1:
        return None
    match clause.body.items[0]:
        case ast.Clause(
            verb="dispatch",
            objects=(ast.Name(id=name),),
            prepositions=(ast.Preposition(word="to", objects=(target,)),),
        ) if name == _request_name(clause.head):
            return target
        case _:
            return None
