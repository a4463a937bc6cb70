"""What agrees with what, and which unit was meant where two do not."""

import re

from tsdl import ast
from tsdl.check import slips
from tsdl.check.scope import Scope
from tsdl.diagnostics import Edit, Fix
from tsdl.diagnostics.suggest import nearest
from tsdl.schema import CONSTRUCTORS
from tsdl.types import (
    Boolean,
    Bounds,
    Choice,
    Construct,
    Quantity,
    Record,
    Sequence,
    Text,
    Type,
    Unknown,
    describe,
)
from tsdl.units import NUMBER, Dimension, Unit, UnknownUnit


def agrees(found: Type, wanted: Type, expression: ast.Expr | None = None) -> bool:
    """Tell whether a thing of one type may stand where another is asked for."""
    match found, wanted:
        case (Unknown(), _) | (_, Unknown()):
            return True
        case Quantity(dimension=have), Quantity(dimension=want):
            return have == want or (have == NUMBER and want.is_count and may_count(expression))
        case Text(), Text():
            return True
        case Sequence(of=have), Sequence(of=want):
            return agrees(have, want)
        case Bounds(of=have), Bounds(of=want):
            return agrees(have, want)
        case (Choice(), Choice()) | (Boolean(), Boolean()):
            return True
        case _:
            return found == wanted


def may_count(expression: ast.Expr | None) -> bool:
    """Tell whether a bare number may stand for a count: not as a ratio, not as a fraction."""
    return not (
        isinstance(expression, ast.Number)
        and (expression.unit is not None or isinstance(expression.value, float))
    )


def mismatch(
    expression: ast.Expr,
    found: Type,
    wanted: Type,
    scope: Scope,
    subject: str,
    usual: str = "",
) -> None:
    """Report that an expression is not what its place asks for, in the unit that is usual there."""
    measured = isinstance(wanted, Quantity) and isinstance(found, Quantity)
    better = (
        better_unit(expression, wanted.dimension, scope) if isinstance(wanted, Quantity) else None
    )
    scope.sink.error(
        "E0301" if measured else "E0304",
        f"{subject} is {describe(wanted)}, this is {describe(found)}",
        expression.span,
        describe(found),
        help=_remedy(expression, found, wanted, better, scope, usual),
        fix=Fix(f"write `{better}`", (Edit(expression.span, better),)) if better else None,
    )
    if isinstance(expression, ast.Name) and expression.id in scope.locals:
        scope.locals[expression.id] = Unknown()  # a variable of a wrong type is told once


def no_number(
    expression: ast.Expr, found: Type, scope: Scope, subject: str, helps: tuple[str, ...] = ()
) -> None:
    """Report that an expression is no number, where one of any dimension may stand."""
    scope.sink.error(
        "E0304",
        f"{subject} is a number, this is {describe(found)}",
        expression.span,
        describe(found),
        help=helps,
    )


def _remedy(
    expression: ast.Expr, found: Type, wanted: Type, better: str | None, scope: Scope, usual: str
) -> tuple[str, ...]:
    shown = expression.span.text
    match wanted:
        case Bounds(of=Quantity(dimension=dimension)) if found == Bounds(Quantity()):
            example = scope.program.units.example_of(dimension)
            return (f"write its unit: `{shown} {example}`",) if example else ()
        case Bounds(of=of) if agrees(found, of, expression):
            return ("a range has two ends, with `..` between them",)
        case Quantity(dimension=dimension) if isinstance(found, Quantity):
            example = scope.program.units.example_of(dimension)
            if better:
                return (f"did you mean `{better}`?",)
            work = slips.of_work(expression, scope)
            if work:
                return (work,)
            if _is_fraction(expression) and dimension.is_count:
                has = f"; where a fraction may stand, it has its unit: `{shown} {example}`"
                return ("write a whole number" + (has if example else ""),)
            if found.dimension == NUMBER and (
                measured := with_unit(expression, dimension, scope, usual)
            ):
                return (f"write its unit: `{measured}`",)
            if isinstance(expression, ast.Number) and dimension == NUMBER:
                if (expression.unit or "").endswith("B"):
                    return (f"a number of bytes is `{shown} / 1 B`",)
                return (
                    f"leave its unit out: `{shown.removesuffix(expression.unit or '').rstrip()}`",
                )
            return (f"it is measured in `{example}`, for example",) if example else ()
        case Text() if isinstance(expression, ast.Name):
            return (f'a text stands in quotes: `"{expression.id}"`',)
        case Construct(family=family):
            return (f"write one of {', '.join(f'`{n}(…)`' for n in CONSTRUCTORS[family])}",)
        case Sequence(of=of) if agrees(found, of):
            return (f"a list stands in brackets: `[{shown}]`",)
        case Record() if (
            isinstance(expression, ast.Attribute)
            and scope.program.types.get(expression.value) == wanted
        ):
            return (f"write `{expression.value.span.text}` itself",)
        case Record(name="worker") if "workers" in scope.locals:
            return ("choose a worker: `pick(w by w.queued for w in workers)`",)
        case _:
            return ()


def _is_bare(expression: ast.Expr) -> bool:
    return isinstance(expression, ast.Number) and expression.unit is None


def _is_fraction(expression: ast.Expr) -> bool:
    return _is_bare(expression) and not may_count(expression)


def with_unit(
    expression: ast.Expr, dimension: Dimension, scope: Scope, usual: str = ""
) -> str | None:
    """Return a bare number with the unit that was likely meant; None for all else."""
    if not isinstance(expression, ast.Number) or expression.unit is not None:
        return None
    written, value = expression.span.text, expression.value
    return scope.program.units.measured(written, value, dimension, usual)


def better_unit(expression: ast.Expr, wanted: Dimension, scope: Scope) -> str | None:
    """Return a number with the unit that was likely meant, where people would write one."""
    if isinstance(expression, ast.Number) and expression.unit and wanted != NUMBER:
        repaired = scope.program.units.repaired(expression.unit, wanted)
        if repaired:
            digits = expression.span.text.removesuffix(expression.unit).rstrip()
            return f"{digits} {repaired}"
    return None


# Other names of units, as people write them.
_USUAL = {
    "msec": "ms", "millis": "ms", "usec": "us", "micros": "us", "nsec": "ns", "sec": "s",
    "secs": "s", "second": "s", "seconds": "s", "minute": "min", "minutes": "min", "hour": "h",
    "hours": "h", "hr": "h", "reqs": "requests", "rps": "req/s", "qps": "req/s",
    "dollars": "USD",
}  # fmt: skip


# Bits with a small b, and what there is of either in a second.
_BITS = re.compile(r"(?P<prefix>[kKMGTP]i?)?(?P<of>bits|b|bit(?=ps)|B(?=ps))(?P<per>ps)?$")


def _meant(name: str, token: str) -> str | None:
    """Return the unit that another name of it is known to mean within a compound one."""
    bits = _BITS.match(name)
    if bits is None:
        return _USUAL.get(name)
    # What is so much in a second is told in bits, and memory in bytes, however it is written.
    is_size = bits["of"] == "b" and name == token and not bits["per"]
    of = "B" if bits["of"] == "B" or is_size else "bit"
    return f"{bits['prefix'] or ''}{of}{'/s' if bits['per'] else ''}"


def unit_of(
    token: str, expression: ast.Expr, scope: Scope, expected: Type | None = None
) -> Unit | None:
    """Read a unit; report it where there is none of that name.

    Of those that are like it, one that fits what the place expects is proposed first.
    """
    units = scope.program.units
    try:
        return units.parse(token)
    except UnknownUnit as error:
        first = token.partition("/")[0]
        helps: tuple[str, ...] = ()
        fix = None
        meant = _meant(error.name, token)
        fitting = [n for n, unit in units.units.items() if expected == Quantity(unit.dimension)]
        fits = nearest(error.name, fitting) if error.name == token else None
        near = meant or fits or nearest(error.name, units.units)
        if meant is None and error.name != first and first in units.units and "/" in token:
            spaced = expression.span.text.replace(token, f"{first} / {token.partition('/')[2]}")
            helps = (f"to divide by `{error.name}`, write blanks around `/`: `{spaced}`",)
        elif near:
            whole = re.sub(rf"\b{re.escape(error.name)}\b", near, token)
            helps = (f"did you mean `{whole}`?",)
            better = expression.span.text.replace(token, whole)
            fix = Fix(f"write `{whole}`", (Edit(expression.span, better),))
        scope.sink.error(
            "E0303", f"there is no unit `{error.name}`", expression.span, "unknown unit",
            help=helps, fix=fix,
        )  # fmt: skip
        return None
