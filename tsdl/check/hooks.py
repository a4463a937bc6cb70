"""Places in the graph of a model that are events: `breakpoint … after …` and `after … { … }`."""

from tsdl import ast
from tsdl.check.expressions import require
from tsdl.check.handlers import check_statements
from tsdl.check.scope import Place, Scope
from tsdl.diagnostics.suggest import nearest
from tsdl.program import Members
from tsdl.schema import EVENTS
from tsdl.schema.stages import AMBIENT
from tsdl.types import Boolean, Quantity, Record, Type

_FORMS = {
    "breakpoint": "breakpoint kv_ready after block.attn",
    "after": 'after block.attn { log "…" }',
}


def check_hook(clause: ast.Clause, members: Members, scope: Scope) -> None:
    """Check `breakpoint NAME after OPERATOR when …` and `after OPERATOR when … { … }`."""
    target = _target(clause)
    if target is None:
        scope.sink.error(
            "E0412", f"`{clause.verb}` is not written like this", clause.span,
            help=(f"write `{_FORMS[clause.verb]}`",),
        )  # fmt: skip
        return
    _check_operator(target, members, scope)
    if clause.verb == "breakpoint" and isinstance(clause.head, ast.Name):
        _check_name(clause.head, scope)
    bare = scope._replace(symbols={}, place=Place("model", "breakpoint"))
    when = clause.preposition("when")
    for condition in when.objects if when else ():
        require(condition, Boolean(), bare.with_locals({"layer": Quantity()}), "a condition")
    if clause.body is not None:
        inside = bare._replace(place=Place("local", "breakpoint"))
        own: dict[str, Type] = {"layer": Quantity(), "batch": Record("batch")}
        check_statements(clause.body, inside.with_locals({**AMBIENT["local"], **own}))


def _target(clause: ast.Clause) -> ast.Expr | None:
    """Return the operator that a clause stands after; None where it is not well formed."""
    if len(clause.objects) != 1:
        return None
    if clause.verb == "after":
        return clause.head if clause.body is not None else None
    after = clause.preposition("after")
    well = isinstance(clause.head, ast.Name) and clause.body is None
    return after.objects[0] if well and after and len(after.objects) == 1 else None


def _check_operator(target: ast.Expr, members: Members, scope: Scope) -> None:
    nodes = nodes_of(members)
    path = ast.path_of(target) or target.span.text
    if path in nodes:
        return
    inner = [node for node in nodes if node.endswith(f".{path}")]
    near = inner[0] if inner else nearest(path, nodes)
    within = [node for node in nodes if node.startswith(f"{path}.")]
    remedy = f"it has {', '.join(within or nodes)}"
    scope.sink.error(
        "E0421", f"the graph of this model has no operator `{path}`", target.span, "unknown",
        help=(f"did you mean `{near}`?" if near else remedy,),
    )  # fmt: skip


def _check_name(head: ast.Name, scope: Scope) -> None:
    if head.id in EVENTS:
        scope.sink.error(
            "E0421", f"`{head.id}` is an event already", head.span,
            help=("give the breakpoint another name",),
        )  # fmt: skip


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
