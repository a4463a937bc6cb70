"""Types of expressions: what each is, and whether it is what its place asks for."""

import re

from tsdl import ast
from tsdl.check import calls, names
from tsdl.check.scope import Scope
from tsdl.diagnostics import Edit, Fix
from tsdl.diagnostics.suggest import nearest
from tsdl.types import (
    Boolean,
    Bounds,
    Choice,
    Construct,
    Quantity,
    Read,
    Record,
    Samples,
    Sequence,
    State,
    Text,
    Type,
    Unknown,
    describe,
)
from tsdl.units import NUMBER, Dimension, Unit, UnknownUnit

UNKNOWN = Unknown()
MOST = 1e100  # leaves room for units and products within what a float can hold
PLAIN = Quantity()


def infer(expression: ast.Expr, scope: Scope, expected: Type | None = None) -> Type:
    """Return the type of an expression, and note the meaning of its names."""
    found = _infer(expression, scope, expected)
    scope.program.types[expression] = found
    return found


def require(expression: ast.Expr, wanted: Type, scope: Scope, subject: str) -> None:
    """Check that an expression is what its place asks for; `subject` names the place."""
    found = infer(expression, scope, wanted)
    if not agrees(found, wanted, expression):
        mismatch(expression, found, wanted, scope, subject)


def agrees(found: Type, wanted: Type, expression: ast.Expr | None = None) -> bool:
    """Tell whether a thing of one type may stand where another is asked for."""
    match found, wanted:
        case (Unknown(), _) | (_, Unknown()):
            return True
        case Quantity(dimension=have), Quantity(dimension=want):
            return have == want or (have == NUMBER and want.is_count and _may_count(expression))
        case Text(), Text():
            return True
        case Sequence(of=have), Sequence(of=want):
            return agrees(have, want)
        case Bounds(of=have), Bounds(of=want):
            return agrees(have, want)
        case Choice(), Choice():
            return True
        case _:
            return found == wanted


def _may_count(expression: ast.Expr | None) -> bool:
    """Tell whether a bare number may stand for a count: not as a ratio, not as a fraction."""
    return not (
        isinstance(expression, ast.Number)
        and (expression.unit is not None or isinstance(expression.value, float))
    )


def mismatch(expression: ast.Expr, found: Type, wanted: Type, scope: Scope, subject: str) -> None:
    """Report that an expression is not what its place asks for."""
    helps: tuple[str, ...] = ()
    fix = None
    units = scope.program.units
    if isinstance(wanted, Quantity) and isinstance(found, Quantity):
        code = "E0301"
        better = _better_unit(expression, wanted.dimension, scope)
        example = units.example_of(wanted.dimension)
        if better:
            helps = (f"did you mean `{better}`?",)
            fix = Fix(f"write `{better}`", (Edit(expression.span, better),))
        elif _is_bare(expression) and found.dimension == NUMBER and example:
            shown = expression.span.text
            helps = (f"write its unit: `{shown} {example}`",)
        elif example:
            helps = (f"it is measured in `{example}`, for example",)
    else:
        code = "E0304"
        if isinstance(wanted, Text) and isinstance(expression, ast.Name):
            helps = (f'a text stands in quotes: `"{expression.id}"`',)
        elif isinstance(wanted, Construct):
            names = calls.constructors(wanted.family)
            helps = (f"write one of {', '.join(f'`{n}(…)`' for n in names)}",)
    scope.sink.error(
        code,
        f"{subject} is {describe(wanted)}, this is {describe(found)}",
        expression.span,
        describe(found),
        help=helps,
        fix=fix,
    )


def _is_bare(expression: ast.Expr) -> bool:
    return isinstance(expression, ast.Number) and expression.unit is None


def _better_unit(expression: ast.Expr, wanted: Dimension, scope: Scope) -> str | None:
    if isinstance(expression, ast.Number) and expression.unit:
        repaired = scope.program.units.repaired(expression.unit, wanted)
        if repaired:
            digits = expression.span.text.removesuffix(expression.unit).rstrip()
            return f"{digits} {repaired}"
    return None


# -- the cases ---------------------------------------------------------------------------------


def _infer(expression: ast.Expr, scope: Scope, expected: Type | None) -> Type:
    match expression:
        case ast.Number():
            return _number(expression, scope)
        case ast.Text():
            return Text(path=isinstance(expected, Text) and expected.path)
        case ast.Name() | ast.Index() if isinstance(expected, Read):
            return names.infer_read(expression, scope)
        case ast.Name():
            return _whole_state(expression, names.infer_name(expression, scope, expected), scope)
        case ast.Attribute() if isinstance(expected, Read):
            return names.infer_read(expression, scope)
        case ast.Attribute():
            return names.infer_attribute(expression, scope)
        case ast.Call():
            return calls.infer_call(expression, scope, expected)
        case ast.ListOf():
            return _list(expression, scope, expected)
        case ast.Interval():
            return _interval(expression, scope)
        case ast.Unary():
            return _unary(expression, scope)
        case ast.Binary():
            return _binary(expression, scope)
        case ast.Conditional():
            require(expression.test, Boolean(), scope, "a condition")
            then = infer(expression.then, scope, expected)
            otherwise = infer(expression.otherwise, scope, expected)
            return _same(expression, then, otherwise, scope, "both ways of a choice")
        case ast.Generator():
            scope.sink.error(
                "E0305",
                "a generator stands in the brackets of a function",
                expression.span,
                help=("for example `sum(w.queued for w in workers)`",),
            )
            return UNKNOWN
        case ast.Index():
            return _indexed_state(expression, scope)


_KEYS: dict[str, Type] = {"worker": Record("worker"), "request": Record("request")}


def _whole_state(expression: ast.Name, found: Type, scope: Scope) -> Type:
    """Return what reading a state yields that is not indexed."""
    if not isinstance(found, State):
        return found
    if not found.key:
        return found.of
    scope.sink.error(
        "E0306", f"`{expression.id}` is kept for each {found.key}", expression.span,
        help=(f"say which: `{expression.id}[…]`",),
    )  # fmt: skip
    return UNKNOWN


def _indexed_state(expression: ast.Index, scope: Scope) -> Type:
    """Return what reading a state at a key yields."""
    name = expression.value
    state = scope.locals.get(name.id) if isinstance(name, ast.Name) else None
    keys = [argument.value for argument in expression.arguments]
    if not isinstance(state, State) or not state.key or len(keys) != 1:
        scope.sink.error(
            "E0306",
            "nothing here can be indexed"
            if not isinstance(state, State)
            else f"`{name.span.text}` is indexed by one {state.key}"
            if state.key
            else f"`{name.span.text}` is one value, and not indexed",
            expression.span,
            help=("`[…]` after a name reads declared state, in a handler",),
        )
        return UNKNOWN
    require(keys[0], _KEYS.get(state.key, PLAIN), scope, f"the index of `{name.span.text}`")
    return state.of


def _number(expression: ast.Number, scope: Scope) -> Type:
    if abs(expression.value) > MOST:
        scope.sink.error(
            "E0310",
            f"a number beyond {MOST:g} measures nothing here",
            expression.span,
            "too large",
        )
        return UNKNOWN
    if expression in scope.program.number_units:  # it took the unit of its list or range
        return Quantity(scope.program.number_units[expression].dimension)
    if expression.unit is None:
        return PLAIN
    unit = unit_of(expression.unit, expression, scope)
    if unit is None:
        return UNKNOWN
    scope.program.number_units[expression] = unit
    return Quantity(unit.dimension)


def unit_of(token: str, expression: ast.Expr, scope: Scope) -> Unit | None:
    """Read a unit; report it where there is none of that name."""
    units = scope.program.units
    try:
        return units.parse(token)
    except UnknownUnit as error:
        first = token.partition("/")[0]
        helps: tuple[str, ...] = ()
        fix = None
        near = nearest(error.name, units.units)
        if error.name != first and first in units.units and "/" in token:
            spaced = expression.span.text.replace(token, f"{first} / {token.partition('/')[2]}")
            helps = (f"to divide by `{error.name}`, write blanks around `/`: `{spaced}`",)
        elif near:
            helps = (f"did you mean `{near}`?",)
            better = expression.span.text.replace(error.name, near)
            fix = Fix(f"write `{near}`", (Edit(expression.span, better),))
        scope.sink.error(
            "E0303", f"there is no unit `{error.name}`", expression.span, "unknown unit",
            help=helps, fix=fix,
        )  # fmt: skip
        return None


# -- several at once ---------------------------------------------------------------------------


def _spread(unit: Unit, parts: list[ast.Expr], scope: Scope) -> None:
    """Give bare numbers the unit that is written once, behind them."""
    for part in parts:
        number = part.operand if isinstance(part, ast.Unary) else part
        if isinstance(number, ast.Number) and number.unit is None:
            scope.program.number_units[number] = unit


def _list(expression: ast.ListOf, scope: Scope, expected: Type | None) -> Type:
    values = [item.value for item in expression.items]
    if expression.unit:
        unit = unit_of(expression.unit, expression, scope)
        if unit:
            _spread(unit, values, scope)
    of = expected.of if isinstance(expected, Sequence) else None
    result: Type | None = of
    for value in values:
        found = infer(value, scope, of)
        if result is None:
            result = found
        elif not agrees(found, result, value):
            mismatch(value, found, result, scope, "an item of this list")
            return UNKNOWN
    return Sequence(result if result is not None else UNKNOWN)


def _interval(expression: ast.Interval, scope: Scope) -> Type:
    parts = [p for p in (expression.low, expression.high, expression.step) if p is not None]
    written = [p for p in parts if isinstance(p, ast.Number) and p.unit]
    if len(written) == 1 and written[0].unit:
        unit = unit_of(written[0].unit, written[0], scope)
        if unit is None:
            return UNKNOWN
        _spread(unit, parts, scope)
    found = [infer(part, scope) for part in parts]
    first = next((f for f in found if isinstance(f, Quantity)), None)
    for part, type_ in zip(parts, found, strict=True):
        if isinstance(type_, Unknown):
            return UNKNOWN
        if not isinstance(type_, Quantity) or first is None or type_ != first:
            mismatch(part, type_, first or PLAIN, scope, "an end of this range")
            return UNKNOWN
    return Bounds(first) if first else UNKNOWN


def infer_generator(expression: ast.Generator, scope: Scope) -> Type:
    """Return the type of what a generator yields."""
    iterable = infer(expression.iterable, scope)
    match iterable:
        case Sequence(of=of):
            item: Type = of
        case Unknown():
            item = UNKNOWN
        case _:
            scope.sink.error(
                "E0304",
                f"`for` goes over a list, this is {describe(iterable)}",
                expression.iterable.span,
                describe(iterable),
            )
            item = UNKNOWN
    inner = scope.with_locals({expression.variable: item})
    if expression.condition:
        require(expression.condition, Boolean(), inner, "a condition")
    if expression.key:
        key = infer(expression.key, inner)
        if not isinstance(key, (Quantity, Unknown)):
            mismatch(expression.key, key, PLAIN, inner, "a key")
    return infer(expression.element, inner)


# -- operators ---------------------------------------------------------------------------------


def _unary(expression: ast.Unary, scope: Scope) -> Type:
    if expression.operator == "not":
        require(expression.operand, Boolean(), scope, "what `not` negates")
        return Boolean()
    found = infer(expression.operand, scope)
    if isinstance(found, (Quantity, Samples, Unknown)):
        return found
    mismatch(expression.operand, found, PLAIN, scope, f"what `{expression.operator}` stands before")
    return UNKNOWN


def _binary(expression: ast.Binary, scope: Scope) -> Type:
    operator = expression.operator
    if operator in ("and", "or"):
        require(expression.left, Boolean(), scope, f"a side of `{operator}`")
        require(expression.right, Boolean(), scope, f"a side of `{operator}`")
        return Boolean()
    left, right = infer(expression.left, scope), infer(expression.right, scope)
    if isinstance(left, Unknown) or isinstance(right, Unknown):
        return Boolean() if operator in _COMPARISONS else UNKNOWN
    if operator in ("==", "!=") and not isinstance(left, (Quantity, Samples)):
        _same(expression, left, right, scope, f"both sides of `{operator}`")
        return Boolean()
    one, other = _number_of(left), _number_of(right)
    for side, type_, number in ((expression.left, left, one), (expression.right, right, other)):
        if number is None:
            mismatch(side, type_, PLAIN, scope, f"a side of `{operator}`")
            return UNKNOWN
    assert one is not None
    assert other is not None
    samples = [side for side in (left, right) if isinstance(side, Samples)]
    if len({side.each for side in samples}) > 1:
        scope.sink.error(
            "E0306",
            "gaps and requests do not go together",
            expression.span,
            "one side has a value for each gap, the other for each request",
            help=("take a statistic of each: `mean(itl) / mean(e2e)`",),
        )
        return UNKNOWN
    if operator in _COMPARISONS and samples and samples[0].each == "gap":
        scope.sink.error(
            "E0304",
            "gaps belong to no request, and a condition needs one value",
            expression.span,
            help=("take a statistic: `p99(itl)`, `mean(itl)` or `max(itl)`",),
        )
        return Boolean()
    if operator in _COMPARISONS:
        if _common(expression, one, other, scope) is None:
            return UNKNOWN
        return Boolean()
    dimension = _result(expression, one, other, scope)
    if dimension is None:
        return UNKNOWN
    result = Quantity(dimension)
    return Samples(result, samples[0].each) if samples else result


_COMPARISONS = frozenset({"<", "<=", ">", ">=", "==", "!="})


def _number_of(type_: Type) -> Dimension | None:
    match type_:
        case Quantity(dimension=dimension) | Samples(of=Quantity(dimension=dimension)):
            return dimension
        case _:
            return None


def _result(
    expression: ast.Binary, one: Dimension, other: Dimension, scope: Scope
) -> Dimension | None:
    match expression.operator:
        case "+" | "-":
            return _common(expression, one, other, scope)
        case "*":
            return one * other
        case "/" | "//":
            return one / other
        case _:
            if other != NUMBER:
                mismatch(expression.right, Quantity(other), PLAIN, scope, "an exponent")
                return None
            if one == NUMBER:
                return NUMBER
            power = expression.right
            if isinstance(power, ast.Number) and isinstance(power.value, int):
                return one**power.value
            scope.sink.error(
                "E0306",
                "a quantity can only be raised to a whole number that is written out",
                expression.span,
                help=("divide by its unit first to make it a plain number",),
            )
            return None


def _common(
    expression: ast.Binary, one: Dimension, other: Dimension, scope: Scope
) -> Dimension | None:
    """Return the dimension both sides share; a bare whole number may stand for a count."""
    if one == other:
        return one
    if other == NUMBER and one.is_count and _may_count(expression.right):
        return one
    if one == NUMBER and other.is_count and _may_count(expression.left):
        return other
    better = _better_unit(expression.right, one, scope)
    if better is None and isinstance(expression.right, ast.Number) and other == NUMBER:
        example = scope.program.units.example_of(one)
        helps = (f"write its unit: `{expression.right.span.text} {example}`",) if example else ()
    else:
        helps = (f"did you mean `{better}`?",) if better else ()
    doing = {"+": "added", "-": "subtracted"}.get(expression.operator, "compared")
    left, right = describe(Quantity(one)), describe(Quantity(other))
    scope.sink.error(
        "E0301",
        f"{left} and {right} cannot be {doing}",
        expression.span,
        f"`{expression.left.span.text}` is {left}, `{_short(expression.right)}` is {right}",
        help=helps,
    )
    return None


def _short(expression: ast.Expr) -> str:
    text = re.sub(r"\s+", " ", expression.span.text)
    return text if len(text) <= 40 else f"{text[:37]}…"  # noqa: PLR2004 (a label stays on a line)


def _same(expression: ast.Expr, one: Type, other: Type, scope: Scope, what: str) -> Type:
    if agrees(one, other) or agrees(other, one):
        return other if isinstance(one, Unknown) else one
    scope.sink.error(
        "E0306",
        f"{what} must be of one type",
        expression.span,
        f"{describe(one)}, and {describe(other)}",
    )
    return UNKNOWN
