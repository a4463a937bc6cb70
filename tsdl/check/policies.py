"""Types in a stage of a policy: whom it admits, evicts and takes back, and by what order."""

from tsdl import ast
from tsdl.check.expressions import infer, require
from tsdl.check.measures import no_number
from tsdl.check.scope import Place, Scope
from tsdl.check.states import known_states
from tsdl.program import Members
from tsdl.schema.stages import AMBIENT
from tsdl.types import Boolean, Quantity, Record, Unknown


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
    names = {**AMBIENT["local"], head.id: Record("request")}
    names |= known_states({head.id: head.span}, members, scope)
    place = Place("local", clause.verb, {head.id: "request"})
    inner = scope._replace(symbols={}, place=place).with_locals(names)
    for preposition in clause.prepositions:
        if preposition.word == "when":
            for expression in preposition.objects:
                require(expression, Boolean(), inner, "a condition")
        elif preposition.word == "by":
            check_keys(preposition, inner)


def check_queue(clause: ast.Clause, members: Members, scope: Scope) -> None:
    """Check `queue r in LANE by KEY, …`: how those wait whom no worker takes."""
    head, by = clause.head, clause.preposition("by")
    said = clause.within is not None or by is not None
    if not isinstance(head, ast.Name) or len(clause.objects) != 1 or not said:
        scope.sink.error(
            "E0412", "`queue` names a request, and says by what requests are told apart",
            clause.span,
            help=(
                "write `queue r by -r.priority` for an order, `queue r in r.priority` for a lane "
                "of each, or both",
            ),
        )  # fmt: skip
        return
    # Who waits is asked again whenever a worker has done something: workers are the handler's.
    names = {"now": AMBIENT["global"]["now"], head.id: Record("request")}
    names |= known_states({head.id: head.span}, members, scope)
    place = Place("global", clause.verb, {head.id: "request"})
    inner = scope._replace(symbols={}, place=place).with_locals(names)
    if clause.within is not None:
        lane = infer(clause.within, inner)
        if not isinstance(lane, (Quantity, Boolean, Unknown)):
            no_number(clause.within, lane, inner, "a lane")
    if by is not None:
        check_keys(by, inner)


def check_keys(preposition: ast.Preposition, scope: Scope) -> None:
    """Check the keys of an order."""
    for expression in preposition.objects:
        found = infer(expression, scope)
        if not isinstance(found, (Quantity, Unknown)):
            no_number(expression, found, scope, "a key")
