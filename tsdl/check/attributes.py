"""Attributes of requests, and metrics: what may be one, who reads it, what a workload draws."""

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


_FOR_EXAMPLE = {
    "attribute": "numbers tell classes apart: `attribute tier: int`",
    "metric": "what is true or not is 1 or 0: `metric missed: number`",
}


def check_shared(declaration: Declaration, scope: Scope) -> None:
    """Check an attribute or a metric: its name, its type, and that no other file says otherwise."""
    found, kind = param_type(declaration, scope), declaration.kind
    taken, clause = TAKEN[kind], declaration.clause
    if declaration.name in taken:
        scope.sink.error(
            "E0206",
            f"`{declaration.name}` is {taken[declaration.name]}",
            declaration.span,
            help=(f"give the {kind} another name",),
        )
    if not isinstance(found, (Quantity, Unknown)):
        told = clause.type or clause.value
        scope.sink.error(
            "E0304",
            f"{with_article(kind)} is a number or a quantity, this is {describe(found)}",
            told.span if told else declaration.span,
            help=(_FOR_EXAMPLE[kind],),
        )
    elif kind == "metric" and clause.value is not None:
        scope.sink.error(
            "E0402",
            "a metric has no value of its own: handlers record them",
            clause.value.span,
            "does not belong here",
            help=(f"say what it measures: `metric {declaration.name}: time`",),
        )
    if isinstance(found, Quantity):
        _see_to_others(declaration, found, scope)


def _see_to_others(declaration: Declaration, found: Quantity, scope: Scope) -> None:
    """See that the name means nothing else in any file of the program. Library files have none."""
    program, name, kind = scope.program, declaration.name, declaration.kind
    first = program.shared(kind)[name][0]
    if first is not declaration and (
        first.whole != declaration.whole or param_type(first, scope) != found
    ):
        refuse_other(declaration, first, scope.sink)
    for module in program.modules:
        other = program.scopes[module].get(name)
        if other is not None and other.kind != kind and not module.library:
            both = with_article(kind), with_article(other.kind)
            scope.sink.error(
                "E0202",
                f"`{name}` is {both[0]} here, and {both[1]} in another file",
                declaration.span,
                secondary=(Label(other.span, "declared here"),),
                help=(f"all files know {kind}s by their names: give one of them another",),
            )


def refuse_other(declaration: Declaration, first: Declaration, sink: Sink) -> None:
    """Report an attribute, or a metric, that another file declares in another way."""
    sink.error(
        "E0202",
        f"`{declaration.name}` is another {declaration.kind} in another file",
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
    """Return the type of an attribute, or a metric, by its name: known where results are asked."""
    name, kind = declaration.name, declaration.kind
    if scope.metrics:
        found = param_type(declaration, scope)
        each = "request" if kind == "attribute" else f"record of `{name}`"
        return Samples(found, each) if isinstance(found, Quantity) else UNKNOWN
    title, help_ = (
        f"`{name}` is an attribute of requests, and this is about none",
        (
            f"policies read it as `r.{name}`; SLOs, and what is asked of results, by its name, as "
            "they do `ttft`"
        ),
    )
    if kind == "metric":
        title = f"`{name}` is a metric, which handlers record and only results know"
        help_ = f"what a policy remembers is state: `state {name}: …` in its stage"
    scope.sink.error("E0304", title, expression.span, help=(help_,))
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
    if key in TAKEN["attribute"]:
        near, help_ = None, f"`{key}` is {TAKEN['attribute'][key]}"
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
