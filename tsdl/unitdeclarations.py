"""Declarations of dimensions and units to the table of units."""

from fractions import Fraction

from tsdl import ast
from tsdl.diagnostics import Sink
from tsdl.modules import Module
from tsdl.parse.parser import is_unit
from tsdl.units import NUMBER, PREFIXES, Dimension, Unit, Units, UnknownUnit

_MOST = 1e100


def declare_units(modules: list[Module], units: Units, sink: Sink) -> None:
    """Enter every `dimension` and `unit` of the modules, in order, into the table."""
    for module in modules:
        for clause in module.clauses:
            if clause.verb == "dimension":
                _dimension(clause, units, sink)
            elif clause.verb == "unit":
                _unit(clause, units, sink)


def _bad(clause: ast.Clause, sink: Sink) -> None:
    form = {
        "dimension": "`dimension name` or `dimension name = one / other`",
        "unit": "`unit name: dimension` or `unit name = 60 s`",
    }
    sink.error(
        "E0302",
        f"a {clause.verb} is not declared like this",
        clause.span,
        help=(f"write {form[clause.verb]}",),
    )


def _dimension(clause: ast.Clause, units: Units, sink: Sink) -> None:
    name = clause.head
    if not isinstance(name, ast.Name) or clause.body or clause.type or _extra(clause):
        _bad(clause, sink)
        return
    value = Dimension(((name.id, 1),)) if clause.value is None else _formula(clause.value, units)
    if value is None:
        _bad(clause, sink)
    elif name.id in units.dimensions:
        sink.error("E0202", f"dimension `{name.id}` is declared twice", name.span)
    else:
        units.dimensions[name.id] = value


def _extra(clause: ast.Clause) -> bool:
    """Tell whether more stands there than a name, and what it is."""
    return bool(clause.objects[1:] or clause.count or clause.within or clause.prepositions)


def _formula(expression: ast.Expr, units: Units) -> Dimension | None:
    match expression:
        case ast.Name(id=name):
            return units.dimensions.get(name)
        case ast.Number(value=1, unit=None):
            return NUMBER
        case ast.Binary(operator="*" | "/" as operator, left=left, right=right):
            a, b = _formula(left, units), _formula(right, units)
            if a is None or b is None:
                return None
            return a * b if operator == "*" else a / b
        case _:
            return None


def _unit(clause: ast.Clause, units: Units, sink: Sink) -> None:
    name = clause.head
    options = _options(clause, sink)
    unit = _value(clause, units, sink)
    if not isinstance(name, ast.Name) or options is None or unit is None or _extra(clause):
        _bad(clause, sink)
        return
    unwritten = [s for s in (name.id, options.get("symbol", name.id)) if not is_unit(s)]
    if unwritten:
        sink.error(
            "E0302",
            f"`{unwritten[0]}` cannot be written behind a number",
            clause.span,
            help=("a unit is a word of letters, digits and `_` that the language has no use for",),
        )
        return
    for shown in filter(None, (name.id, options.get("symbol", ""))):
        for taken in units.declare(shown, unit, options.get("prefixes", "none")):
            sink.error("E0202", f"unit `{taken}` is declared twice", name.span)


def _options(clause: ast.Clause, sink: Sink) -> dict[str, str] | None:
    found: dict[str, str] = {}
    for item in clause.body.items if clause.body else ():
        if isinstance(item, ast.Field) and item.target.span.text in found:
            sink.error("E0403", f"`{item.target.span.text}` is set twice", item.span)
        match item:
            case ast.Field(target=ast.Name(id="prefixes"), value=ast.Name(id=value)) if (
                value in PREFIXES
            ):
                found["prefixes"] = value
            case ast.Field(target=ast.Name(id="symbol"), value=ast.Text(value=value)):
                found["symbol"] = value
            case _:
                return None
    return found


def _value(clause: ast.Clause, units: Units, sink: Sink) -> Unit | None:
    match clause.type, clause.value:
        case ast.Name(id=dimension), None:
            known = units.dimensions.get(dimension)
            return Unit(Fraction(1), known) if known else None
        case None, ast.Number(value=value, unit=token):
            try:
                base = units.parse(token) if token else Unit(Fraction(1), NUMBER)
            except UnknownUnit as error:
                sink.error("E0303", f"there is no unit `{error.name}`", clause.span)
                return None
            if not 0 < value < _MOST:
                return None
            return Unit(Fraction(str(value)) * base.factor, base.dimension)
        case _:
            return None
