"""Types in a model's graph: names of its operators, repeats, calls of operators."""

from tsdl import ast
from tsdl.check.arguments import check_derived
from tsdl.check.expressions import require
from tsdl.check.scope import Scope
from tsdl.diagnostics import Label
from tsdl.program import DeclarationName
from tsdl.resolve import find, report_unknown
from tsdl.source import Span
from tsdl.types import Quantity, with_article


def check_graph(clause: ast.Clause, scope: Scope) -> None:
    """Check the operators of a graph and the blocks that repeat."""
    assert clause.body is not None
    _check_form(clause, None, scope)
    _items(clause.body, scope, {}, nested=False)


def _items(body: ast.Body, scope: Scope, names: dict[str, Span], *, nested: bool) -> None:
    for item in body.items:
        match item:
            case ast.GraphNode():
                _declare(item.name, item.name_span, names, scope)
                _operator(item, scope)
            case ast.Clause(verb="repeat", head=ast.Name(id=name), body=ast.Body() as inner) if (
                not nested
            ):
                _declare(name, item.span, names, scope)
                _check_form(item, item.count, scope)
                if item.count is not None:
                    require(item.count, Quantity(), scope, "how often a block repeats")
                _items(inner, scope, {}, nested=True)
            case _:
                scope.sink.error(
                    "E0413",
                    "a graph holds operators and blocks that repeat",
                    item.span,
                    help=(
                        "write `name: Operator(…)`"
                        + ("" if nested else " or `repeat block * layers { … }`"),
                    ),
                )


def _check_form(clause: ast.Clause, count: ast.Expr | None, scope: Scope) -> None:
    """See that nothing stands before the braces but a name and how often it repeats."""
    extra: tuple[ast.Expr | ast.Preposition | None, ...] = (
        *clause.objects[1:],
        None if clause.count is count else clause.count,
        clause.type,
        clause.within,
        *clause.prepositions,
        clause.value,
    )
    wrong = next((part for part in extra if part is not None), None)
    if wrong is not None:
        scope.sink.error(
            "E0413", f"`{clause.verb}` is not written like this", wrong.span,
            "does not belong here",
            help=("write `graph { … }`, and in it `repeat block * layers { … }`",),
        )  # fmt: skip


def _declare(name: str, span: Span, names: dict[str, Span], scope: Scope) -> None:
    if name in names:
        scope.sink.error(
            "E0202",
            f"`{name}` stands twice in this graph",
            span,
            secondary=(Label(names[name], "first here"),),
        )
    names.setdefault(name, span)


def _operator(item: ast.GraphNode, scope: Scope) -> None:
    call = item.operator
    if isinstance(call, (ast.Name, ast.Attribute)):
        call = ast.Call(call, (), call.span)
    if not isinstance(call, ast.Call):
        scope.sink.error("E0413", "an operator is called with its sizes", item.operator.span)
        return
    operator = find(scope.program, scope.owner.module, call)
    if operator is None:
        report_unknown(scope.program, scope.owner.module, call, "operator", scope.sink)
    elif operator.kind != "operator":
        scope.sink.error(
            "E0304",
            f"`{operator.name}` is {with_article(operator.kind)}, not an operator",
            call.function.span,
            secondary=(Label(operator.span, "declared here"),),
        )
    else:
        scope.program.meanings[call.function] = DeclarationName(operator)
        check_derived(call, operator, scope)
