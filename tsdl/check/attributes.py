"""Attributes of requests: what may be one, who reads it, and what a workload draws for it."""

from collections.abc import Iterable

from tsdl import ast
from tsdl.check import expressions
from tsdl.check.parameters import param_type
from tsdl.check.scope import Scope
from tsdl.diagnostics import Edit, Fix, Label, Sink
from tsdl.diagnostics.suggest import nearest
from tsdl.program import Declaration, DeclarationName, Members
from tsdl.schema import TAKEN
from tsdl.source import Span
from tsdl.types import Construct, Quantity, Samples, Type, Unknown, describe, with_article

UNKNOWN = Unknown()


def declared(name: str, scope: Scope) -> Declaration | None:
    """Return the attribute of a name; None where there is none."""
    return scope.program.attribute(scope.owner.module, name)


def names(scope: Scope) -> list[str]:
    """Return the names of all attributes of a program."""
    return list(scope.program.attributes())


def check_attribute(declaration: Declaration, scope: Scope) -> None:
    """Check a declaration: its name, its type, and that no other file says otherwise."""
    found = param_type(declaration, scope)
    if declaration.name in TAKEN:
        scope.sink.error(
            "E0206",
            f"`{declaration.name}` is {TAKEN[declaration.name]}",
            declaration.span,
            help=("give the attribute another name",),
        )
    if not isinstance(found, (Quantity, Unknown)):
        clause = declaration.clause
        told = clause.type or clause.value
        scope.sink.error(
            "E0304",
            f"an attribute is a number or a quantity, this is {describe(found)}",
            told.span if told else declaration.span,
            help=("numbers tell classes apart: `attribute tier: int`",),
        )
    if isinstance(found, Quantity):
        _see_to_others(declaration, found, scope)


def _see_to_others(declaration: Declaration, found: Quantity, scope: Scope) -> None:
    """See that the name means nothing else in any file of the program. Library files have none."""
    program, name = scope.program, declaration.name
    first = program.attributes()[name][0]
    if first is not declaration and (
        first.whole != declaration.whole or param_type(first, scope) != found
    ):
        refuse_other(declaration, first, scope.sink)
    for module in program.modules:
        other = program.scopes[module].get(name)
        if other is not None and other.kind != "attribute" and not module.library:
            scope.sink.error(
                "E0202",
                f"`{name}` is an attribute here, and {with_article(other.kind)} in another file",
                declaration.span,
                secondary=(Label(other.span, "declared here"),),
                help=("all files know attributes by their names: give one of them another",),
            )


def refuse_other(declaration: Declaration, first: Declaration, sink: Sink) -> None:
    """Report an attribute that another file declares in another way."""
    sink.error(
        "E0202",
        f"`{declaration.name}` is another attribute in another file",
        declaration.span,
        secondary=(Label(first.span, "declared here"),),
        help=("say the same in both, or give one of them another name",),
    )


def of_request(expression: ast.Attribute, scope: Scope) -> Type | None:
    """Return the type of `r.NAME` where that is an attribute, and note what it means."""
    found = declared(expression.name, scope)
    if found is None:
        return None
    scope.program.meanings[expression] = DeclarationName(found)
    return param_type(found, scope)


def of_result(declaration: Declaration, expression: ast.Expr, scope: Scope) -> Type:
    """Return the type of an attribute's name by itself: known where results are asked about."""
    if scope.metrics:
        found = param_type(declaration, scope)
        return Samples(found) if isinstance(found, Quantity) else UNKNOWN
    name = declaration.name
    scope.sink.error(
        "E0304",
        f"`{name}` is an attribute of requests, and this is about none",
        expression.span,
        help=(
            f"policies read it as `r.{name}`; SLOs, and what is asked of results, by its name, as "
            "they do `ttft`",
        ),
    )
    return UNKNOWN


def check_drawn(members: Members, scope: Scope) -> None:
    """Check what a workload draws for attributes."""
    for key, definition in members.fields.items():
        if definition.owner is not scope.owner:
            continue
        found = declared(key, scope)
        if found is None:
            _not_declared(key, definition.span, scope)
            continue
        type_ = param_type(found, scope)
        if isinstance(type_, Quantity):
            wanted = Construct("distribution", type_.dimension)
            place = scope.inside(members).defining(key)
            expressions.require(definition.value, wanted, place, f"`{key}`")


def check_columns(members: Members, scope: Scope) -> None:
    """See that columns of a file that are none of the usual ones are those of attributes."""
    usual = members.shape.fields
    for key, definition in members.fields.items():
        if definition.owner is scope.owner and key not in usual and not declared(key, scope):
            _not_declared(key, definition.span, scope, usual)


def _not_declared(key: str, span: Span, scope: Scope, others: Iterable[str] = ()) -> None:
    if span.text.startswith(key):  # the name alone, of `key = value`
        span = Span(span.source, span.start, span.start + len(key))
    near = nearest(key, [*others, *names(scope)])
    if key in TAKEN:
        near, help_ = None, f"`{key}` is {TAKEN[key]}"
    else:
        help_ = f"did you mean `{near}`?" if near else f"declare it: `attribute {key}: int`"
    scope.sink.error(
        "E0201",
        f"there is no attribute called `{key}`",
        span,
        "not declared",
        help=(help_,),
        fix=Fix(f"write `{near}`", (Edit(span, near),)) if near else None,
    )
