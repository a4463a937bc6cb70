"""Values of expressions, case by case. Knows what the checker noted about names and types."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsdl import ast
from tsdl.diagnostics import Label
from tsdl.evaluate.values import Constructed, Instance, Path, Place, Range, Value, read_of_stage
from tsdl.formula import Formula, chosen, make, state, symbol
from tsdl.measures import of_requests, statistic
from tsdl.program import (
    ChoiceName,
    Declaration,
    DeclarationName,
    Definition,
    FieldName,
    LocalName,
    Members,
    ParameterName,
    SymbolName,
)
from tsdl.pythonsource import fresh_name
from tsdl.schema import CONSTRUCTORS
from tsdl.types import Record, Samples, Text

if TYPE_CHECKING:
    from tsdl.evaluate.evaluator import Evaluator


MOST_STEPS = 200_000  # a scenario takes about a thousand


def value_of(evaluator: Evaluator, expression: ast.Expr, place: Place) -> Value:
    """Return the value of an expression."""
    evaluator.steps += 1
    if evaluator.steps > MOST_STEPS:
        raise evaluator.fail(
            "E0104",
            f"computing the values takes more than {MOST_STEPS:,} steps",
            expression.span,
            "given up here",
            help=("definitions that use one another twice over double the work each time",),
        )
    match expression:
        case ast.Number():
            unit = evaluator.program.number_units.get(expression)
            return unit.convert(expression.value) if unit else expression.value
        case ast.Text():
            type_ = evaluator.program.types.get(expression)
            if isinstance(type_, Text) and type_.path:
                return Path(expression.value, expression.span.source.name)
            return expression.value
        case ast.Name():
            return _name(evaluator, expression, place)
        case ast.Attribute():
            return _attribute(evaluator, expression, place)
        case ast.Call():
            return _call(evaluator, expression, place)
        case ast.Index() if isinstance(
            meaning := evaluator.program.meanings.get(expression), SymbolName
        ):
            return symbol(meaning.name)  # of another point of a study
        case ast.Index(value=ast.Name(id=name), arguments=(key,)):
            return state(name, value_of(evaluator, key.value, place))  # type: ignore[arg-type]
        case ast.ListOf():
            return [value_of(evaluator, item.value, place) for item in expression.items]
        case ast.Interval():
            return _interval(evaluator, expression, place)
        case ast.Unary(operator="+"):
            return value_of(evaluator, expression.operand, place)
        case ast.Unary():
            operation = "not" if expression.operator == "not" else "negate"
            return _operation(evaluator, operation, (expression.operand,), expression, place)
        case ast.Binary():
            return _binary(evaluator, expression, place)
        case ast.Conditional():
            return _conditional(evaluator, expression, place)
        case _:
            raise AssertionError(expression)


def _operation(
    evaluator: Evaluator,
    operation: str,
    operands: tuple[ast.Expr, ...],
    whole: ast.Expr,
    place: Place,
) -> Value:
    values = [value_of(evaluator, operand, place) for operand in operands]
    return _make(evaluator, operation, values, whole)


def _make(evaluator: Evaluator, operation: str, values: list[Value], whole: ast.Expr) -> Value:
    if operation in ("==", "!=") and any(isinstance(v, Instance) for v in values):
        return (values[0] is values[1]) is (operation == "==")
    try:
        return make(operation, *values)  # type: ignore[arg-type]  # the checker saw the types
    except ZeroDivisionError:
        raise evaluator.fail("E0504", "division by zero", whole.span) from None
    except ArithmeticError as error:
        raise evaluator.fail("E0504", f"this cannot be computed: {error}", whole.span) from None


def _binary(evaluator: Evaluator, expression: ast.Binary, place: Place) -> Value:
    """Return the value of two sides; of `in`, whether one is in the list or range behind it."""
    value = value_of(evaluator, expression.left, place)
    among = value_of(evaluator, expression.right, place)
    if expression.operator != "in":
        return _make(evaluator, expression.operator, [value, among], expression)
    if isinstance(among, Range):
        ends = (("<=", among.low, value), ("<=", value, among.high))
        parts = [_make(evaluator, name, [one, other], expression) for name, one, other in ends]
        return _make(evaluator, "and", parts, expression)
    assert isinstance(among, list)
    parts = [_make(evaluator, "==", [value, item], expression) for item in among]
    return _make(evaluator, "or", parts, expression)


def _conditional(evaluator: Evaluator, expression: ast.Conditional, place: Place) -> Value:
    test = value_of(evaluator, expression.test, place)
    if not isinstance(test, Formula):
        return value_of(evaluator, expression.then if test else expression.otherwise, place)
    then = value_of(evaluator, expression.then, place)
    otherwise = value_of(evaluator, expression.otherwise, place)
    return make("if", test, then, otherwise)  # type: ignore[arg-type]


def _interval(evaluator: Evaluator, expression: ast.Interval, place: Place) -> Value:
    low, high = evaluator.number(expression.low, place), evaluator.number(expression.high, place)
    step = evaluator.number(expression.step, place) if expression.step else None
    if low > high:
        raise evaluator.fail(
            "E0503",
            f"this range is empty: {_shown(expression.low, low)} is more than "
            f"{_shown(expression.high, high)}",
            expression.span,
        )
    return Range(low, high, step)


def _shown(expression: ast.Expr, value: float) -> str:
    """Return a number as it is written, with its unit; its value where that is computed."""
    return expression.span.text if isinstance(expression, ast.Number) else f"{value:g}"


def _name(evaluator: Evaluator, expression: ast.Name, place: Place) -> Value:
    match evaluator.program.meanings[expression]:
        case LocalName(name=name):
            return place.locals[name]
        case ChoiceName(name=name):
            return {"true": True, "false": False}.get(name, name)
        case SymbolName(name=name):
            found = place.instance.symbols.get(name) if place.instance else None
            return found if found is not None else symbol(name)
        case FieldName(up=up, key=key):
            holder = place.instance
            for _ in range(up):
                assert holder is not None
                holder = holder.parent
            assert holder is not None
            if holder.members.shape.kind == "study":  # which is asked at many points
                named = holder.members.lets[key]
                return value_of(evaluator, named.value, Place(named.owner, holder))
            return _set_field(evaluator, holder, key, expression)
        case ParameterName(owner=owner, name=name):
            return _parameter(evaluator, owner, name, expression, place)
        case DeclarationName(declaration=declaration):
            return evaluator.declaration_value(declaration)
    raise AssertionError(expression.id)


def _set_field(evaluator: Evaluator, holder: Instance, key: str, expression: ast.Expr) -> Value:
    value = evaluator.get(holder, key)
    if value is None:
        raise evaluator.fail(
            "E0404",
            f"`{holder.path}{key}` of `{holder.root.name}` is not set",
            expression.span,
            "needed here",
            secondary=(Label(evaluator.place_of(holder), f"`{key}` could be set here"),),
        )
    return value


def _parameter(
    evaluator: Evaluator, owner: Declaration, name: str, expression: ast.Expr, place: Place
) -> Value:
    assert place.instance is not None
    bound = place.instance.root.bindings.get(id(owner), {}).get(name)
    if bound is None:
        raise evaluator.fail(
            "E0305",
            f"`{owner.name}` needs `{name}`",
            owner.span,
            help=(f"call it: `{owner.name}({name} = …)`",),
            secondary=(Label(expression.span, "needed here"),),
        )
    value = evaluator.argument(bound, name)
    parameter = owner.parameter(name)
    if parameter:
        evaluator.check_whole(parameter.type, value, bound.expression)
    return value


def _attribute(evaluator: Evaluator, expression: ast.Attribute, place: Place) -> Value:
    meaning = evaluator.program.meanings.get(expression)
    if isinstance(meaning, DeclarationName):
        holder = evaluator.program.types.get(expression.value)
        if meaning.declaration.kind == "attribute" and isinstance(holder, Record):
            request = value_of(evaluator, expression.value, place)
            assert isinstance(request, Formula), expression.span.text
            return Formula("attribute", (request, meaning.declaration.name))
        return evaluator.declaration_value(meaning.declaration)
    path = ast.path_of(expression)
    if path and path.startswith("base."):
        return _base(evaluator, path.removeprefix("base."), place, expression)
    names = [expression.name]
    root = expression.value
    value: Value | None = None
    while isinstance(root, ast.Attribute) and root not in evaluator.program.meanings:
        names.append(root.name)
        root = root.value
    value = value_of(evaluator, root, place)
    for name in reversed(names):
        if isinstance(value, Formula):
            value = Formula("field", (value, name))
        elif isinstance(value, Instance):
            block = value.members.shape.blocks.get(name)
            value = (
                evaluator.block(value, name)
                if block
                else _set_field(evaluator, value, name, expression)
            )
        assert value is not None
    return value


def _base(evaluator: Evaluator, path: str, place: Place, expression: ast.Expr) -> Value:
    *blocks, key = path.split(".")
    for base in place.owner.bases:
        holder: Members | None = base.members
        for verb in blocks:
            holder = holder.blocks.get((verb, "")) if holder else None
        definition = holder.said(key) if holder else None
        if definition and place.instance:
            instance: Instance | None = place.instance.root
            for verb in blocks:
                instance = evaluator.block(instance, verb) if instance else None
            value = _base_value(evaluator, definition, instance)
            if instance and not _stands_in(place.instance, instance):
                read = read_of_stage(value, instance)
                if read:
                    raise evaluator.fail(
                        "E0502",
                        f"`base.{path}` is a formula of the {blocks[0]} stage",
                        expression.span,
                        f"depends on {' and '.join(f'`{name}`' for name in read)}",
                        help=(f"only what stands in `{blocks[0]}` knows it",),
                    )
            return value
    raise AssertionError(expression.span.text)  # the checker has found it


def _stands_in(inner: Instance | None, outer: Instance) -> bool:
    """Tell whether a block is another one, or is nested in it."""
    while inner is not None and inner is not outer:
        inner = inner.parent
    return inner is outer


# -- calls ---------------------------------------------------------------------------------


def _base_value(evaluator: Evaluator, definition: Definition, instance: Instance | None) -> Value:
    """Return what a base says, computed once for each instance; of a study, at each point."""
    if instance is None:
        return value_of(evaluator, definition.value, Place(definition.owner, None))
    place = evaluator.place_in(instance, definition.key, definition.owner)
    if instance.members.shape.kind == "study":
        return value_of(evaluator, definition.value, place)
    key = f"base {id(definition)}"
    known = instance.known.get(key)
    if known is None:
        known = instance.known[key] = value_of(evaluator, definition.value, place)
    return known


def _call(evaluator: Evaluator, expression: ast.Call, place: Place) -> Value:
    function = expression.function
    along = evaluator.program.meanings.get(expression)
    if isinstance(along, SymbolName):
        return symbol(along.name)  # made of values along an axis of a study
    meaning = evaluator.program.meanings.get(function)
    match meaning:
        case DeclarationName(declaration=declaration):
            return evaluator.derived(declaration, expression.arguments, place)
        case ChoiceName(name=name):
            return _construct(evaluator, name, expression, place)
    if isinstance(function, ast.Attribute):
        holder = value_of(evaluator, function.value, place)
        values = [value_of(evaluator, a.value, place) for a in expression.arguments]
        return Formula("call", (holder, function.name, *values))  # type: ignore[arg-type]
    assert isinstance(function, ast.Name)
    arguments = expression.arguments
    if arguments and isinstance(arguments[0].value, ast.Generator):
        return _select(evaluator, function.id, arguments[0].value, place)
    where = next((a.value for a in arguments if a.name == "where"), None)
    if where is not None:
        return _of_some(evaluator, expression, where, place)
    values = [value_of(evaluator, a.value, place) for a in arguments]
    if any(isinstance(v, list) for v in values):
        values = [v for item in values for v in (item if isinstance(item, list) else [item])]
    samples = bool(arguments) and isinstance(
        evaluator.program.types.get(arguments[0].value), Samples
    )
    if len(values) == 1 and samples:
        return _statistic(evaluator, expression, function.id, values[0])
    if len(values) == 1 and function.id in ("min", "max") and not samples:
        return values[0]
    return _make(evaluator, function.id, values, expression)


def _of_some(evaluator: Evaluator, expression: ast.Call, where: ast.Expr, place: Place) -> Value:
    """Return a statistic, or a total, of those requests for which a condition holds."""
    condition = evaluator.formula(where, place)
    name = expression.function.span.text
    of = next((a.value for a in expression.arguments if a.value is not where), None)
    if of is None:
        return chosen(symbol(name), condition)
    metric = evaluator.formula(of, place)
    some = chosen(metric, condition) if isinstance(metric, Formula) else metric
    return _statistic(evaluator, expression, name, some)


def _statistic(evaluator: Evaluator, expression: ast.Call, name: str, metric: Value) -> Value:
    """Return a statistic of a metric. Raises Failed for a sum of what is the same for all."""
    if name == "sum" and not of_requests(metric):  # type: ignore[arg-type]
        raise evaluator.fail(
            "E0306",
            "a sum of what is the same for all says nothing",
            expression.span,
            help=("multiply it by how many there are: `finished * …`",),
        )
    return statistic(name, metric)  # type: ignore[arg-type]


def _select(evaluator: Evaluator, function: str, generator: ast.Generator, place: Place) -> Value:
    # The variable may be called like what a clause or a handler calls something else.
    variable = fresh_name(generator.variable, place.locals.values())
    inner = Place(
        place.owner, place.instance, {**place.locals, generator.variable: symbol(variable)}
    )
    iterable = evaluator.formula(generator.iterable, place)
    keys = tuple(value_of(evaluator, key, inner) for key in generator.keys)
    # Of several the first that differs decides, as with lists of Python.
    key = Formula("list", keys) if len(keys) > 1 else keys[0] if keys else ""  # type: ignore[arg-type]
    condition = value_of(evaluator, generator.condition, inner) if generator.condition else True
    element = value_of(evaluator, generator.element, inner)
    parts = (function, variable, element, iterable, key, condition)
    return Formula("select", parts)  # type: ignore[arg-type]


def _construct(evaluator: Evaluator, name: str, expression: ast.Call, place: Place) -> Value:
    type_ = evaluator.program.types[expression]
    family = getattr(type_, "family", "distribution")
    maker = CONSTRUCTORS[family][name]
    if maker.variadic:
        weighted = tuple(
            (value_of(evaluator, a.value, place), evaluator.number(a.weight, place))
            for a in expression.arguments
            if a.weight is not None
        )
        return Constructed(name, {}, weighted)
    order = list(maker.parameters)
    parameters: dict[str, Value] = {}
    for index, argument in enumerate(expression.arguments):
        key = argument.name or order[index]
        value = value_of(evaluator, argument.value, place)
        evaluator.validate(value, maker.parameters[key], f"{name}.{key}", argument.value, place)
        parameters[key] = value
    for key, spec in maker.parameters.items():
        if key not in parameters and spec.default is not None:
            parameters[key] = float(spec.default.split()[0])
    return Constructed(name, parameters)
