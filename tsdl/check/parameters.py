"""Types of parameters and params: as written, as their default has it, or the kind's usual one."""

from tsdl import ast
from tsdl.check import expressions
from tsdl.check.scope import Scope
from tsdl.diagnostics.suggest import nearest
from tsdl.program import Declaration, Parameter
from tsdl.schema import KINDS
from tsdl.types import Boolean, Quantity, Reference, Text, Type, Unknown

UNKNOWN = Unknown()
PLAIN = Quantity()
SIMPLE_TYPES: dict[str, Type] = {
    "int": PLAIN,
    "number": PLAIN,
    "ratio": PLAIN,
    "bool": Boolean(),
    "text": Text(),
    "path": Text(path=True),
}


def parameter_type(owner: Declaration, parameter: Parameter, scope: Scope) -> Type:
    """Return the type of a parameter: written, that of its default, or its kind's usual one."""
    known = scope.program.parameter_types.get(parameter)
    if known is not None:
        return known
    scope.program.parameter_types[parameter] = UNKNOWN  # while its default is looked at
    place = Scope(scope.program, scope.sink, owner)
    usual = KINDS[owner.kind].parameter_type if owner.kind in KINDS else None
    if parameter.type is not None:
        result = _written_type(parameter.type, place)
    elif parameter.default is not None:
        result = expressions.infer(parameter.default, place)
    elif usual is not None:
        result = usual
    else:
        scope.sink.error(
            "E0308",
            f"nothing says what `{parameter.name}` is",
            parameter.span,
            help=(f"give it a type or a default: `{parameter.name}: hardware`",),
        )
        result = UNKNOWN
    if parameter.type is not None and parameter.default is not None:
        expressions.require(parameter.default, result, place, f"`{parameter.name}`")
    scope.program.parameter_types[parameter] = result
    return result


def param_type(declaration: Declaration, scope: Scope) -> Type:
    """Return the type of a param, an attribute or a metric, from its written type or its value."""
    clause = declaration.clause
    head = clause.head
    assert head is not None
    if head in scope.program.types:
        return scope.program.types[head]
    scope.program.types[head] = UNKNOWN
    place = Scope(scope.program, scope.sink, declaration)
    if clause.type is not None:
        result = _written_type(clause.type, place)
        if clause.value is not None:
            expressions.require(clause.value, result, place, f"`{declaration.name}`")
    elif clause.value is not None:
        result = expressions.infer(clause.value, place)
    else:
        scope.sink.error(
            "E0308",
            f"nothing says what `{declaration.name}` is",
            declaration.span,
            help=(
                f"write `metric {declaration.name}: time`"
                if declaration.kind == "metric"
                else f"write `{declaration.kind} {declaration.name}: int` or "
                f"`{declaration.kind} {declaration.name} = 8`",
            ),
        )
        result = UNKNOWN
    scope.program.types[head] = result
    return result


def _written_type(expression: ast.Expr, scope: Scope) -> Type:
    if isinstance(expression, ast.Name):
        name = expression.id
        dimension = scope.program.units.dimensions.get(name)
        if name in SIMPLE_TYPES:
            return SIMPLE_TYPES[name]
        if name in KINDS:
            return Reference(name)
        if dimension is not None:
            return Quantity(dimension)
    names = [*SIMPLE_TYPES, *KINDS, *scope.program.units.dimensions]
    near = nearest(expression.span.text, names)
    scope.sink.error(
        "E0309",
        f"there is no type `{expression.span.text}`",
        expression.span,
        "unknown type",
        help=(
            f"did you mean `{near}`?"
            if near
            else "a type is int, number, text, path, bool, a dimension or a kind of block",
        ),
    )
    return UNKNOWN
