"""Types of expressions: what each is, and whether it is what its place asks for."""

from tsdl import ast
from tsdl.check import asked, calls, names, operators, slips
from tsdl.check.measures import agrees, mismatch, unit_of
from tsdl.check.scope import Scope
from tsdl.diagnostics.suggest import nearest
from tsdl.types import (
    Boolean,
    Bounds,
    Quantity,
    Read,
    Record,
    Sequence,
    State,
    Text,
    Type,
    Unknown,
    describe,
)
from tsdl.units import Unit

__all__ = ["agrees", "infer", "infer_generator", "mismatch", "require"]

UNKNOWN = Unknown()
MOST = 1e100  # leaves room for units and products within what a float can hold
PLAIN = Quantity()


def infer(expression: ast.Expr, scope: Scope, expected: Type | None = None) -> Type:
    """Return the type of an expression, and note the meaning of its names."""
    found = _infer(expression, scope, expected)
    scope.program.types[expression] = found
    return found


def require(
    expression: ast.Expr, wanted: Type, scope: Scope, subject: str, usual: str = ""
) -> None:
    """Check that an expression is what its place asks for.

    `subject` names the place, `usual` the unit that people write there, if it has one of its own.
    """
    found = infer(expression, scope, wanted)
    if not agrees(found, wanted, expression):
        mismatch(expression, found, wanted, scope, subject, usual)


# -- the cases ---------------------------------------------------------------------------------


def _infer(expression: ast.Expr, scope: Scope, expected: Type | None) -> Type:
    match expression:
        case ast.Number():
            return _number(expression, scope, expected)
        case ast.Text():
            return Text(path=isinstance(expected, Text) and expected.path)
        case ast.Name() | ast.Index() if isinstance(expected, Read):
            return names.infer_read(expression, scope)
        case ast.Name():
            return _whole_state(expression, names.infer_name(expression, scope, expected), scope)
        case ast.Attribute() if expected in (Read(), Sequence(Read())):
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
            return operators.infer_unary(expression, scope)
        case ast.Binary():
            return operators.infer_binary(expression, scope)
        case ast.Conditional():
            return operators.infer_choice(expression, scope, expected)
        case ast.Generator() | ast.Across():
            return _loose(expression, scope)
        case ast.Index() if scope.axes is not None:
            return asked.check_selected(expression, scope)
        case ast.Index():
            return _indexed_state(expression, scope)


def _loose(expression: ast.Generator | ast.Across, scope: Scope) -> Type:
    """Report what has no meaning but in the brackets of a function."""
    across = isinstance(expression, ast.Across)
    example = "max(throughput over qps)" if across else "sum(w.queued for w in workers)"
    scope.sink.error(
        "E0305",
        f"{'`over`' if across else 'a generator'} stands in the brackets of a function",
        expression.span,
        help=(f"for example `{example}`",),
    )
    return UNKNOWN


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
    if isinstance(state, Unknown):
        return UNKNOWN
    if not isinstance(state, State) or not state.key or len(keys) != 1:
        title = "nothing here can be indexed"
        helps = [slips.of_index(expression, scope)]
        if isinstance(state, State):
            title = (
                f"`{name.span.text}` is indexed by one {state.key}"
                if state.key
                else f"`{name.span.text}` is one value, and not indexed"
            )
        elif state is None:
            states = [n for n, type_ in scope.locals.items() if isinstance(type_, State)]
            near = nearest(name.span.text, states)
            helps = [f"did you mean `{near}`?"] if near else helps
        scope.sink.error("E0306", title, expression.span, help=tuple(helps))
        return UNKNOWN
    require(keys[0], _KEYS.get(state.key, PLAIN), scope, f"the index of `{name.span.text}`")
    return state.of


def _number(expression: ast.Number, scope: Scope, expected: Type | None) -> Type:
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
    unit = unit_of(expression.unit, expression, scope, expected)
    if unit is None:
        return UNKNOWN
    scope.program.number_units[expression] = unit
    return Quantity(unit.dimension)


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
                help=(slips.of_list(expression.iterable, scope),),
            )
            item = UNKNOWN
    inner = scope.with_locals({expression.variable: item})
    if expression.condition:
        require(expression.condition, Boolean(), inner, "a condition")
    for written in expression.keys:
        key = infer(written, inner)
        if not isinstance(key, (Quantity, Unknown)):
            mismatch(written, key, PLAIN, inner, "a key")
    return infer(expression.element, inner)
