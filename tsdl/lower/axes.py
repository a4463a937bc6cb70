"""The axes of a checked study: which params they give values, which values, in which units."""

import math
from collections.abc import Iterator
from fractions import Fraction

from tsdl import ast
from tsdl.evaluate import Evaluator, Failed
from tsdl.evaluate.values import Binding, Instance, Place, Range, Value
from tsdl.formula import Atom
from tsdl.lower.questions import Axis, Level, param_of
from tsdl.program import Declaration
from tsdl.schema.studies import CASES, OWN_COLUMNS
from tsdl.source import Span
from tsdl.types import Quantity
from tsdl.units import Dimension, Scale, Unit, base_unit
from tsdl.writing import quantity

MOST_POINTS = 100_000
RATIO = 1.02  # between the candidates of a search without a step
PARTS = 128  # of a search without a step that begins at zero or below
DIGITS = 3  # that a candidate is rounded to, where the study gives no step


class Axes:
    """Reads the axes of one study, and knows them then."""

    def __init__(self, evaluator: Evaluator, instance: Instance) -> None:
        """Read all axes. Raises Failed."""
        self.evaluator = evaluator
        self.instance = instance
        self.all: tuple[Axis, ...] = tuple(self._read())
        self._check_count()

    def _read(self) -> Iterator[Axis]:
        cases = self.instance.members.named(CASES)
        if cases:
            levels = []
            for case in cases:
                given: dict[str, Binding | int | float] = {}
                for key, definition in case.fields.items():
                    self.check_own(key, definition.owner, definition.span)
                    place = Place(definition.owner, self.instance)
                    self._value(key, definition.value, place)
                    given[key] = Binding(definition.value, place)
                levels.append(Level((case.name,), given))
            yield Axis((CASES,), ("",), (None,), tuple(levels))
        for part in self.instance.members.clauses("vary"):
            clause, place = part.item, Place(part.owner, self.instance)
            assert isinstance(clause, ast.Clause)
            names = [name.span.text for name in clause.objects]
            for name in clause.objects:
                self.check_own(name.span.text, place.owner, name.span)
            assert clause.within is not None
            parts: list[ast.Expr] = (
                [a.value for a in clause.within.arguments]
                if isinstance(clause.within, ast.Call)
                else [clause.within]
            )
            columns = [
                self._values(name, part, place) for name, part in zip(names, parts, strict=True)
            ]
            if len({len(column) for column in columns}) > 1:
                counts = " and ".join(str(len(column)) for column in columns)
                raise self.evaluator.fail(
                    "E0529",
                    f"params that go together have as many values each, and here are {counts}",
                    clause.within.span,
                )
            yield self._axis(names, parts, columns, clause.within.span)

    def _axis(
        self, names: list[str], parts: list[ast.Expr], columns: list[list[Level]], place: Span
    ) -> Axis:
        """Return an axis; refuse two levels that are the same: a row is known by its cells."""
        axis = Axis(
            tuple(names),
            tuple(map(self.unit, names)),
            tuple(self.scale(name, part) for name, part in zip(names, parts, strict=True)),
            tuple(map(_joined, zip(*columns, strict=True))),
        )
        seen: list[tuple[Atom, ...]] = []
        for level in axis.levels:
            if level.cells in seen:
                verb = "takes" if len(names) == 1 else "take"
                name = " and ".join(f"`{name}`" for name in names)
                values = " and ".join(map(told, level.cells, axis.scales))
                raise self.evaluator.fail("E0529", f"{name} {verb} {values} twice", place)
            seen.append(level.cells)
        return axis

    def check_own(self, name: str, owner: Declaration, place: Span) -> None:
        """Refuse a param that the study cannot give values. Raises Failed."""
        if name in OWN_COLUMNS:
            raise self.evaluator.fail(
                "E0529",
                f"the table of a study has a column `{name}` of its own",
                place,
                help=("give the param another name",),
            )
        program = self.evaluator.program
        param = program.lookup(owner.module, name)
        if param is None or not program.sees(param):
            raise self.evaluator.fail(
                "E0507",
                f"`{name}` is a param of another file, which this one does not see by that name",
                place,
                help=("import that file here, without `as`, or run the study in it",),
            )
        if name in self.evaluator.params:
            raise self.evaluator.fail(
                "E0529",
                f"the study gives `{name}` its values, and `-p` gives it another",
                place,
                help=("leave one of both out",),
            )

    def _dimension(self, name: str) -> Dimension | None:
        head = param_of(self.evaluator, name).clause.head
        type_ = self.evaluator.program.types.get(head) if head else None
        return type_.dimension if isinstance(type_, Quantity) else None

    def unit(self, name: str) -> str:
        """Return the base unit of a param; "" where it is no quantity."""
        dimension = self._dimension(name)
        return base_unit(dimension) if dimension is not None else ""

    def scale(self, name: str, values: ast.Expr | None) -> Scale | None:
        """Return the unit in which people wrote values for a param, else its default."""
        dimension = self._dimension(name)
        if dimension is None:
            return None
        default = param_of(self.evaluator, name).clause.value if dimension.exponents else None
        units = self.evaluator.program.units
        for expression in filter(None, (values, default)):
            for node in ast.walk(expression):
                token = node.unit if isinstance(node, (ast.Number, ast.ListOf)) else None
                if token and units.parse(token).dimension == dimension:
                    return Scale(float(units.parse(token).factor), token)
        return None

    def _values(self, name: str, values: ast.Expr, place: Place) -> list[Level]:
        """Return the levels that a list or a range gives to one param."""
        if isinstance(values, ast.Interval):
            span = self.evaluator.value(values, place)
            assert isinstance(span, Range)
            numbers = self._steps(name, values, span)
            return [Level((number,), {name: number}) for number in numbers]
        assert isinstance(values, ast.ListOf)
        levels = []
        for item in values.items:
            value = self._value(name, item.value, place)
            levels.append(Level((shown(value, item.value),), {name: Binding(item.value, place)}))
        return levels

    def _value(self, name: str, expression: ast.Expr, place: Place) -> Value:
        """Return what a level gives to one param, which may take it. Raises Failed."""
        value = self.evaluator.value(expression, place)
        self.evaluator.check_whole(param_of(self.evaluator, name).clause.type, value, expression)
        return value

    def _steps(self, name: str, values: ast.Interval, span: Range) -> list[float]:
        """Return the values of a range; without a step, steps of one of the unit it is in.

        A param that is an int takes whole ones. Raises Failed.
        """
        step = span.step if span.step is not None else self._one(values)
        if step <= 0:
            raise self.evaluator.fail("E0503", "a step goes up", (values.step or values).span)
        count = math.floor((span.high - span.low) / step + 1e-9) + 1
        if count > MOST_POINTS:
            raise self._too_many(count, values.span)
        # As people add up decimals: 0.1 and two steps of 0.1 are 0.3.
        low, exact = Fraction(str(span.low)), Fraction(str(step))
        found = [float(low + index * exact) for index in range(count)]
        type_ = param_of(self.evaluator, name).clause.type
        for value in found:
            self.evaluator.check_whole(type_, value, values)
        return [int(v) if v == int(v) and isinstance(span.low, int) else v for v in found]

    def _one(self, values: ast.Interval) -> float:
        unit = self._written(values)
        return unit.convert(1) if unit else 1

    def _written(self, values: ast.Interval) -> Unit | None:
        """Return the unit that a range is in."""
        units = self.evaluator.program.number_units
        return next((units[p] for p in (values.low, values.high) if p in units), None)

    def _too_many(self, count: int, place: Span) -> Failed:
        return self.evaluator.fail(
            "E0529",
            f"a study has at most {MOST_POINTS:,} points, and this makes {count:,}",
            place,
        )

    def _check_count(self) -> None:
        count = math.prod(len(axis.levels) for axis in self.all)
        if count > MOST_POINTS:
            raise self._too_many(count, self.instance.declaration.span)

    def candidates(self, name: str, values: ast.Interval, place: Place) -> list[float]:
        """Return the values that a search over a range may try."""
        span = self.evaluator.value(values, place)
        assert isinstance(span, Range)
        type_ = param_of(self.evaluator, name).clause.type
        if span.step is not None or (isinstance(type_, ast.Name) and type_.id == "int"):
            return self._steps(name, values, span)
        if span.low > 0:
            count = max(1, math.ceil(math.log(span.high / span.low) / math.log(RATIO)))
            inner = [span.low * (span.high / span.low) ** (i / count) for i in range(1, count)]
        else:
            inner = [span.low + (span.high - span.low) * i / PARTS for i in range(1, PARTS)]
        unit = self._written(values)
        size = float(unit.factor) if unit else 1.0
        digits = [float(f"{value / size:.{DIGITS}g}") for value in inner]
        rounded = {float(unit.convert(value)) if unit else value for value in digits}
        return [span.low, *sorted(v for v in rounded if span.low < v < span.high), span.high]

    def level(self, column: str, cell: Atom, argument: ast.Argument) -> Atom:
        """Return the cell of an axis that is meant."""
        for axis in self.all:
            if column in axis.columns:
                at = axis.columns.index(column)
                cells = [level.cells[at] for level in axis.levels]
                for known in cells:
                    if known == cell or _close(known, cell):
                        return known
                values = ", ".join(told(cell, axis.scales[at]) for cell in cells)
                raise self.evaluator.fail(
                    "E0529", f"`{column}` does not take this value", argument.value.span,
                    help=(f"it takes {values}",),
                )  # fmt: skip
        raise AssertionError(column)


def told(cell: Atom, scale: Scale | None) -> str:
    """Return a cell as people would write it."""
    if isinstance(cell, (bool, str)) or scale is None:
        return str(cell)
    return quantity(cell / scale.size, scale.unit)


def _joined(levels: tuple[Level, ...]) -> Level:
    """Return the level of an axis of several params."""
    return Level(
        tuple(cell for level in levels for cell in level.cells),
        {name: source for level in levels for name, source in level.given.items()},
    )


def shown(value: Value, expression: ast.Expr) -> Atom:
    """Return what stands in a column for a value: a number in base units, or a name as written."""
    if isinstance(value, (bool, int, float, str)):
        return value
    return " ".join(expression.span.text.split())


def _close(one: Atom, other: Atom) -> bool:
    """Tell whether two cells are the same number, but for rounding."""
    if isinstance(one, str) or isinstance(other, str):
        return False
    return math.isclose(one, other, rel_tol=1e-9)
