"""Types of calls: functions, constructors, selections of workers, anonymous declarations."""

from collections.abc import Mapping

from tsdl import ast
from tsdl.check import expressions
from tsdl.check.scope import Scope
from tsdl.diagnostics import Label
from tsdl.diagnostics.suggest import nearest
from tsdl.formula import percentile_of
from tsdl.program import ChoiceName, Declaration, DeclarationName, Parameter
from tsdl.resolve import find, report_unknown
from tsdl.schema import CONSTRUCTORS, FUNCTIONS, KINDS, RECORDS, STATISTICS, Field
from tsdl.schema.names import DRAWN, RECORD_FUNCTIONS, REDUCTIONS, SELECTORS
from tsdl.types import (
    Boolean,
    Bounds,
    Construct,
    Quantity,
    Record,
    Reference,
    Samples,
    Sequence,
    Text,
    Type,
    Unknown,
    article,
    describe,
)
from tsdl.units import Dimension

UNKNOWN = Unknown()
PLAIN = Quantity()
_SIMPLE_TYPES: dict[str, Type] = {
    "int": PLAIN,
    "number": PLAIN,
    "ratio": PLAIN,
    "bool": Boolean(),
    "text": Text(),
    "path": Text(path=True),
}


def constructors(family: str) -> list[str]:
    """Return the names of the constructors of a family."""
    return list(CONSTRUCTORS[family])


def is_function(name: str) -> bool:
    """Tell whether a name is that of a function."""
    names = {*FUNCTIONS, *SELECTORS, *REDUCTIONS, *(n for f in CONSTRUCTORS.values() for n in f)}
    return name in names or percentile_of(name) is not None


# -- parameters and params ---------------------------------------------------------------------------


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
    """Return the type of a `param`, from its written type or its value."""
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
            help=(f"write `param {declaration.name}: int` or `param {declaration.name} = 8`",),
        )
        result = UNKNOWN
    scope.program.types[head] = result
    return result


def _written_type(expression: ast.Expr, scope: Scope) -> Type:
    if isinstance(expression, ast.Name):
        name = expression.id
        dimension = scope.program.units.dimensions.get(name)
        if name in _SIMPLE_TYPES:
            return _SIMPLE_TYPES[name]
        if name in KINDS:
            return Reference(name)
        if dimension is not None:
            return Quantity(dimension)
    names = [*_SIMPLE_TYPES, *KINDS, *scope.program.units.dimensions]
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


# -- calls ------------------------------------------------------------------------------------------


def infer_call(expression: ast.Call, scope: Scope, expected: Type | None) -> Type:
    """Return the type of a call."""
    function = expression.function
    if isinstance(function, ast.Attribute):
        return _method(expression, function, scope)
    if not isinstance(function, ast.Name):
        scope.sink.error("E0305", "this cannot be called", function.span)
        return UNKNOWN
    name = function.id
    if isinstance(expected, Construct) and name in CONSTRUCTORS[expected.family]:
        scope.program.meanings[function] = ChoiceName(name)
        return _construct(expression, name, expected, scope)
    selects = any(isinstance(a.value, ast.Generator) for a in expression.arguments)
    if selects and (name in SELECTORS or name in REDUCTIONS):
        return _selection(expression, name, scope)
    declaration = scope.program.lookup(scope.owner.module, name)
    if declaration and declaration.kind != "param":
        scope.program.meanings[function] = DeclarationName(declaration)
        return check_derived(expression, declaration, scope)
    if declaration:
        _called_param(function, declaration, scope)
        return UNKNOWN
    if scope.metrics and (name in STATISTICS or percentile_of(name) is not None):
        return _statistic(expression, name, scope)
    if name in SELECTORS or name in REDUCTIONS:
        return _selection(expression, name, scope)
    if name in FUNCTIONS:
        return _function(expression, name, scope)
    _not_callable(expression, function, scope, expected)
    return UNKNOWN


def _called_param(function: ast.Name, param: Declaration, scope: Scope) -> None:
    hidden = scope.program.prelude.get(param.name)
    helps = ()
    if hidden:
        helps = (f"it hides the library's {hidden.kind} of that name: rename the param",)
    scope.sink.error(
        "E0305",
        f"`{param.name}` is a param here, and cannot be called",
        function.span,
        secondary=(Label(param.span, "declared here"),),
        help=helps,
    )


def _not_callable(
    expression: ast.Call, function: ast.Name, scope: Scope, expected: Type | None
) -> None:
    name = function.id
    family = next((f for f, makers in CONSTRUCTORS.items() if name in makers), None)
    if family and isinstance(expected, Construct):
        wanted = expected.family
        scope.sink.error(
            "E0304",
            f"`{name}` makes {article(family)} {family}, not {article(wanted)} {wanted}",
            expression.span,
            help=(f"there are {', '.join(constructors(wanted))}",),
        )
    elif family:
        scope.sink.error(
            "E0304", f"`{name}(…)` makes {article(family)} {family}, which has no place here",
            expression.span,
        )  # fmt: skip
    else:
        candidates = [*FUNCTIONS, *SELECTORS, *REDUCTIONS]
        if isinstance(expected, Construct):
            candidates = constructors(expected.family)
        elif scope.metrics:
            candidates += [*STATISTICS, "p50", "p90", "p99"]
        near = nearest(name, candidates)
        if near is None and not isinstance(expected, Construct):
            kind = expected.kind if isinstance(expected, Reference) else None
            report_unknown(scope.program, scope.owner.module, function, kind, scope.sink)
            return
        helps = (f"did you mean `{near}`?",) if near else (f"there are {', '.join(candidates)}",)
        scope.sink.error(
            "E0201", f"there is no function `{name}` here", function.span, "unknown", help=helps
        )


def _method(expression: ast.Call, function: ast.Attribute, scope: Scope) -> Type:
    declaration = find(scope.program, scope.owner.module, function)
    if declaration:
        scope.program.meanings[function] = DeclarationName(declaration)
        return check_derived(expression, declaration, scope)
    holder = expressions.infer(function.value, scope)
    if isinstance(holder, Unknown):
        return UNKNOWN
    methods = RECORD_FUNCTIONS.get(holder.name, {}) if isinstance(holder, Record) else {}
    if function.name not in methods:
        what = holder.name if isinstance(holder, Record) else describe(holder)
        near = nearest(function.name, [*methods, *RECORDS.get(what, {})])
        scope.sink.error(
            "E0307", f"a {what} has no function `{function.name}`", function.span, "unknown",
            help=(f"did you mean `{near}`?",) if near else (),
        )  # fmt: skip
        return UNKNOWN
    argument, result, _ = methods[function.name]
    values = _positional(expression, function.name, 1, 1, scope)
    if values is not None:
        expressions.require(values[0], Record(argument), scope, f"`{function.name}` takes what")
    return result


def _positional(
    expression: ast.Call, name: str, least: int, most: int | None, scope: Scope
) -> list[ast.Expr] | None:
    """Return the arguments of a call that takes no names; report wrong ones."""
    for argument in expression.arguments:
        if argument.name or argument.weight:
            scope.sink.error("E0305", f"`{name}` takes its arguments by position", argument.span)
            return None
    values = [argument.value for argument in expression.arguments]
    if len(values) < least or (most is not None and len(values) > most):
        count = (
            str(least)
            if most == least
            else f"{least} or more"
            if most is None
            else f"{least} to {most}"
        )
        scope.sink.error(
            "E0305",
            f"`{name}` takes {count} argument{'s' if count != '1' else ''}, here are {len(values)}",
            expression.span,
        )
        return None
    return values


def _function(expression: ast.Call, name: str, scope: Scope) -> Type:
    rule, least, most, _ = FUNCTIONS[name]
    values = _positional(expression, name, least, most, scope)
    if values is None:
        return UNKNOWN
    if rule == "number":
        expressions.require(values[0], PLAIN, scope, f"what `{name}` takes")
        return PLAIN
    if rule == "list":
        first = expressions.infer(values[0], scope)
        expressions.require(values[1], Sequence(first), scope, f"the second argument of `{name}`")
        return first
    result: Type = UNKNOWN
    for value in values:
        found = expressions.infer(value, scope)
        if isinstance(found, Unknown):
            continue
        if not isinstance(found, (Quantity, Samples)):
            expressions.mismatch(value, found, PLAIN, scope, f"an argument of `{name}`")
            return UNKNOWN
        if isinstance(result, Unknown):
            result = found
        elif not expressions.agrees(found, result, value):
            if expressions.agrees(result, found, values[0]):
                result = found
                continue
            expressions.mismatch(value, found, result, scope, f"an argument of `{name}`")
            return UNKNOWN
    return result


def _statistic(expression: ast.Call, name: str, scope: Scope) -> Type:
    values = _positional(expression, name, 1, 1, scope)
    if values is None:
        return UNKNOWN
    found = expressions.infer(values[0], scope)
    match found:
        case Samples(of=of):
            return of
        case Unknown():
            return UNKNOWN
        case _:
            scope.sink.error(
                "E0304",
                f"`{name}` takes a metric of requests, this is {describe(found)}",
                values[0].span,
                describe(found),
                help=("for example `p99(ttft)` or `mean(e2e / output)`",),
            )
            return UNKNOWN


def _selection(expression: ast.Call, name: str, scope: Scope) -> Type:
    values = _positional(expression, name, 1, 1, scope)
    if values is None:
        return UNKNOWN
    generator = values[0]
    if not isinstance(generator, ast.Generator):
        scope.sink.error(
            "E0305",
            f"`{name}` takes a generator",
            generator.span,
            help=(f"write `{name}(w for w in workers if …)`",),
        )
        return UNKNOWN
    if (generator.key is not None) != (name == "pick"):
        scope.sink.error(
            "E0305",
            f"`pick` needs `by KEY`, `{name}` takes none"
            if name != "pick"
            else "`pick` needs a key",
            generator.span,
            help=("write `pick(w by w.queued for w in workers)`",),
        )
    of = expressions.infer(generator, scope)
    if name in SELECTORS or isinstance(of, Unknown):
        return of
    if name == "count":
        return PLAIN
    if name in ("any", "all"):
        if of != Boolean():
            expressions.mismatch(generator.element, of, Boolean(), scope, f"what `{name}` looks at")
        return Boolean()
    if not isinstance(of, Quantity):
        expressions.mismatch(generator.element, of, PLAIN, scope, "what `sum` adds up")
        return UNKNOWN
    return of


# -- constructors and anonymous declarations ----------------------------------------------------------


def _construct(expression: ast.Call, name: str, wanted: Construct, scope: Scope) -> Type:
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
        if parameter is not None:
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
