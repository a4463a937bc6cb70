"""What a field allows, and how a value that it does not is told: in the unit that people wrote."""

from tsdl import ast
from tsdl.schema import Field
from tsdl.schema.names import DRAWN
from tsdl.types import Quantity
from tsdl.units import Scale, Units, base_unit


def broken(value: float, spec: Field, written: ast.Expr, units: Units) -> str | None:
    """Return what a value must be and what it is, where its field does not allow it."""
    if spec.whole and value != int(value):
        return f"a whole number, and is {value:g}"
    if spec.low is not None and (value < spec.low or (spec.above and value == spec.low)):
        bound, words = spec.low, "more than" if spec.above else "at least"
    elif spec.high is not None and value > spec.high:
        bound, words = spec.high, "at most"
    else:
        return None
    scale = _scale(spec, written, units)
    least, found = _told(bound, scale), _told(value, scale)
    if least == found and bound != value:  # what differs is behind the digits that are shown
        found = f"{value / scale.size!r} {scale.unit}".rstrip()
    return f"{words} {least}, and is {found}"


def _scale(spec: Field, written: ast.Expr, units: Units) -> Scale:
    """Return the unit that a value is written in, else the base unit; counts go without one."""
    if not isinstance(spec.type, Quantity) or spec.plain or spec.type.dimension.is_count:
        return Scale(1.0, "")
    dimension = spec.type.dimension
    for node in ast.walk(written):
        if isinstance(node, (ast.Number, ast.ListOf)) and node.unit:
            unit = units.parse(node.unit)
            if dimension in (unit.dimension, DRAWN):
                return Scale(float(unit.factor), node.unit)
    return Scale(1.0, "" if dimension == DRAWN else base_unit(dimension))


def _told(value: float, scale: Scale) -> str:
    if value == 0:
        return "0"
    shown = value / scale.size if scale.size != 1 else value
    number = f"{shown:,}" if isinstance(shown, int) else f"{shown:.6g}"
    return f"{number} {scale.unit}".rstrip()
