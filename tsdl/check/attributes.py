"""Attributes of requests: what may be one, who reads it, and what a workload draws for it."""

from collections.abc import Iterable

from tsdl import ast
from tsdl.check import expressions
from tsdl.check.parameters import param_type
from tsdl.check.scope import Scope
from tsdl.diagnostics import Edit, Fix, Label
from tsdl.diagnostics.suggest import nearest
from tsdl.program import Declaration, DeclarationName, Members
from tsdl.schema import KNOWN_OF_REQUESTS
from tsdl.source import Span
from tsdl.types import Construct, Quantity, Samples, Type, Unknown, describe

UNKNOWN = Unknown()


def declared(name: str, scope: Scope) -> Declaration | None:
    """Return the attribute of a name; all files of a program mean the same one by it."""
    found = scope.program.lookup(scope.owner.module, name)
    if found is not None and found.kind == "attribute":
        return found
    return next((d for d in _all(scope) if d.name == name), None)


def _all(scope: Scope) -> list[Declaration]:
    return [d for d in scope.program.declarations if d.kind == "attribute"]


def names(scope: Scope) -> list[str]:
    """Return the names of all attributes of a program."""
    return list(dict.fromkeys(d.name for d in _all(scope)))


def check_attribute(declaration: Declaration, scope: Scope) -> None:
    """Check a declaration: its name, its type, and that no other file says otherwise."""
    found = param_type(declaration, scope)
    if declaration.name in KNOWN_OF_REQUESTS:
        scope.sink.error(
            "E0206",
            f"requests have `{declaration.name}` already: {KNOWN_OF_REQUESTS[declaration.name]}",
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
    first = next(d for d in _all(scope) if d.name == declaration.name)
    if first is not declaration and _said(first) != _said(declaration):
        scope.sink.error(
            "E0202",
            f"`{declaration.name}` is another attribute in another file",
            declaration.span,
            secondary=(Label(first.span, "declared here"),),
            help=("say the same in both, or give one of them another name",),
        )


def _said(declaration: Declaration) -> tuple[str, str]:
    clause = declaration.clause
    return (
        clause.type.span.text if clause.type else "", clause.value.span.text if clause.value else ""
    )  # fmt: skip


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
            f"policies read it as `r.{name}`; SLOs, and what is asked of results, by its name: "
            f"`p99(ttft, where = {name} == 1)`",
        ),
    )
    return UNKNOWN


def check_drawn(members: Members, scope: Scope) -> None:
    """Check what a workload draws for attributes."""
    outside = scope._replace(own=None)
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
            expressions.require(definition.value, wanted, outside, f"`{key}`")


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
    if key in KNOWN_OF_REQUESTS:
        near, help_ = None, f"`{key}` is no attribute: {KNOWN_OF_REQUESTS[key]}"
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
