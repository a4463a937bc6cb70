"""Arguments of constructors and of anonymous declarations: parameters first, then fields."""

from collections.abc import Mapping

from tsdl import ast
from tsdl.check import expressions
from tsdl.check.parameters import parameter_type
from tsdl.check.scope import Scope
from tsdl.diagnostics import Label
from tsdl.diagnostics.suggest import nearest
from tsdl.program import Declaration, Parameter
from tsdl.schema import CONSTRUCTORS, KINDS, Field
from tsdl.schema.names import DRAWN
from tsdl.types import Bounds, Construct, Quantity, Reference, Sequence, Type
from tsdl.units import Dimension

PLAIN = Quantity()


def check_constructor(expression: ast.Call, name: str, wanted: Construct, scope: Scope) -> Type:
    """Check the arguments of a constructor; return what it makes."""
    maker = CONSTRUCTORS[wanted.family][name]
    if maker.variadic:
        _weighted(expression, name, wanted, scope)
        return wanted
    given: dict[str, ast.Argument] = {}
    order = list(maker.parameters)
    for index, argument in enumerate(expression.arguments):
        key = argument.name or (order[index] if index < len(order) else None)
        if key is None or key not in maker.parameters or argument.weight:
            near = nearest(argument.name or "", order)
            scope.sink.error(
                "E0305",
                f"`{name}` has no parameter `{argument.name}`"
                if argument.name
                else f"`{name}` takes no such argument",
                argument.span,
                help=(f"did you mean `{near}`?",) if near else (f"it takes {', '.join(order)}",),
            )
            continue
        if key in given:
            scope.sink.error(
                "E0305", f"`{key}` is given twice", argument.span,
                secondary=(Label(given[key].span, "first here"),),
            )  # fmt: skip
            continue
        given[key] = argument
        type_ = _drawn_type(maker.parameters[key], wanted.dimension)
        expressions.require(argument.value, type_, scope, f"`{key}` of `{name}`")
    _report_missing(expression, name, maker.parameters, set(given), scope)
    return wanted


def _drawn_type(field: Field, dimension: Dimension) -> Type:
    """Put the dimension that is drawn where the schema says `drawn`."""
    drawn, meant = Quantity(DRAWN), Quantity(dimension)
    match field.type:
        case Bounds(of=of) if of == drawn:
            return Bounds(meant)
        case Sequence(of=of) if of == drawn:
            return Sequence(meant)
        case other:
            return meant if other == drawn else other


def _report_missing(
    expression: ast.Call, name: str, parameters: Mapping[str, Field], given: set[str], scope: Scope
) -> None:
    missing = [k for k, f in parameters.items() if f.required and k not in given]
    if missing:
        scope.sink.error(
            "E0305",
            f"`{name}` needs {' and '.join(f'`{m}`' for m in missing)}",
            expression.span,
            help=(f"write `{name}({', '.join(f'{k} = …' for k in parameters if k in missing)})`",),
        )


def _weighted(expression: ast.Call, name: str, wanted: Construct, scope: Scope) -> None:
    if not expression.arguments:
        scope.sink.error("E0305", f"`{name}` needs at least one value", expression.span)
    for argument in expression.arguments:
        if argument.name or argument.weight is None:
            scope.sink.error(
                "E0305",
                f"each value of `{name}` has a weight",
                argument.span,
                help=("write `choice(1: 50 %, uniform(2..7): 50 %)`",),
            )
            continue
        expressions.require(argument.weight, PLAIN, scope, "a weight")
        nested = isinstance(argument.value, ast.Call) and (
            getattr(argument.value.function, "id", "") in CONSTRUCTORS[wanted.family]
        )
        type_: Type = wanted if nested else Quantity(wanted.dimension)
        expressions.require(argument.value, type_, scope, f"a value of `{name}`")


def check_derived(expression: ast.Call, declaration: Declaration, scope: Scope) -> Type:
    """Check the arguments of an anonymous declaration: parameters first, then fields by name."""
    shape = KINDS[declaration.kind]
    given: set[str] = set()
    for index, argument in enumerate(expression.arguments):
        parameter: Parameter | None = None
        if argument.name is None and argument.weight is None:
            if index < len(declaration.parameters):
                parameter = declaration.parameters[index]
        elif argument.name is not None:
            parameter = declaration.parameter(argument.name)
        name = parameter.name if parameter is not None else argument.name
        if name in given:
            scope.sink.error(
                "E0305",
                f"`{name}` of `{declaration.name}` is given twice",
                argument.span,
            )
        elif parameter is not None:
            type_ = parameter_type(declaration, parameter, scope)
            given.add(parameter.name)
            expressions.require(
                argument.value, type_, scope, f"`{parameter.name}` of `{declaration.name}`"
            )
        elif argument.name is not None and argument.name in shape.fields:
            field = shape.fields[argument.name]
            given.add(argument.name)
            expressions.require(
                argument.value,
                PLAIN if shape.plain and isinstance(field.type, Quantity) else field.type,
                scope,
                f"`{argument.name}` of `{declaration.name}`",
                field.usual_unit,
            )
        else:
            _wrong_argument(argument, declaration, scope)
    missing = [p.name for p in declaration.parameters if p.default is None and p.name not in given]
    if missing:
        scope.sink.error(
            "E0305",
            f"`{declaration.name}` needs {' and '.join(f'`{m}`' for m in missing)}",
            expression.span,
            secondary=(Label(declaration.span, "declared here"),),
        )
    return Reference(declaration.kind)


def _wrong_argument(argument: ast.Argument, declaration: Declaration, scope: Scope) -> None:
    names = [*(p.name for p in declaration.parameters), *KINDS[declaration.kind].fields]
    near = nearest(argument.name or "", names)
    scope.sink.error(
        "E0305",
        f"`{declaration.name}` has no parameter or field `{argument.name}`"
        if argument.name
        else f"`{declaration.name}` takes {len(declaration.parameters)} by position",
        argument.span,
        secondary=(Label(declaration.span, "declared here"),),
        help=(f"did you mean `{near}`?",) if near else (f"it has {', '.join(names)}",),
    )
