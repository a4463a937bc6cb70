"""What a study asks, as data: points and the values of params there, what is searched for and told.

Nothing here is of a run. What is asked stays an expression, which is a formula once the params of a
point are known.
"""

import itertools
from collections.abc import Mapping

from msgspec import Struct

from tsdl import ast
from tsdl.evaluate import Evaluator
from tsdl.evaluate.values import Binding, Place, Value
from tsdl.formula import Atom, Formula, chosen
from tsdl.formula import Value as FormulaValue
from tsdl.program import Declaration
from tsdl.source import Span
from tsdl.units import Scale


class Level(Struct, frozen=True):
    """One value of an axis: what its columns hold, and which params are given what."""

    cells: tuple[Atom, ...]
    given: Mapping[str, Binding | int | float]


Levels = tuple[Level, ...]  # one of each axis: a point


class Axis(Struct, frozen=True):
    """What is varied together: columns of the answer, and the levels.

    `units` are base units, those of cells; `scales` the ones that people wrote, if they did.
    """

    columns: tuple[str, ...]
    units: tuple[str, ...]
    scales: tuple[Scale | None, ...]
    levels: tuple[Level, ...]


class Asked(Struct, frozen=True):
    """An expression of the study: as written, with its unit, and where its names stand.

    `scale` is the unit that people gave what it is, if they did. `where` chooses requests, of whose
    metric the expression is.
    """

    text: str
    unit: str
    scale: Scale | None
    expression: ast.Expr
    place: Place
    where: ast.Expr | None = None

    def formula(self, evaluator: Evaluator) -> FormulaValue:
        """Return its formula at the point whose params the evaluator knows."""
        found = evaluator.formula(self.expression, self.place)
        if self.where is None:
            return found
        return chosen(found, evaluator.formula(self.where, self.place))


class Comparison(Struct, frozen=True):
    """One of the comparisons that must all hold for a condition to hold: its two sides."""

    left: Asked
    operator: str
    right: Asked


class Search(Struct, frozen=True):
    """The extreme of some values of a param at which a condition holds; values ascend."""

    param: str
    unit: str
    scale: Scale | None
    greatest: bool
    values: tuple[float, ...]
    condition: Asked
    compared: tuple[Comparison, ...]


class Best(Struct, frozen=True):
    """Of the points that differ in the columns of an axis only, the one with the least key."""

    columns: tuple[str, ...]
    key: Asked


class Picture(Struct, frozen=True):
    """A picture: its kind, what it shows, by which columns or values, which scales are `log`."""

    kind: str
    text: str
    shown: tuple[Asked, ...]
    channels: Mapping[str, str | Asked]
    log: tuple[str, ...]


class Elsewhere(Struct, frozen=True):
    """A value of another point: what, and the columns in which that point differs."""

    asked: Asked
    cells: Mapping[str, Atom]

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns in which points differ."""
        return tuple(self.cells)


class Along(Struct, frozen=True):
    """What a function makes of values at the points along an axis for which a condition holds."""

    function: str
    asked: Asked
    column: str
    condition: Asked | None

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns in which points differ."""
        return (self.column,)


class Expectation(Struct, frozen=True):
    """A condition that must hold at all points, or at those for which another one does."""

    asked: Asked
    where: Asked | None
    compared: tuple[Comparison, ...]

    @property
    def text(self) -> str:
        """Return it as it is written."""
        return f"{self.asked.text} where {self.where.text}" if self.where else self.asked.text

    @property
    def span(self) -> Span:
        """Return where the choice of points is written, else the condition."""
        return (self.where or self.asked).expression.span

    def is_of(self, evaluator: Evaluator, study: "Study", levels: Levels) -> bool:
        """Tell whether it looks at a point. Raises Failed."""
        if self.where is None:
            return True
        return self.where.formula(evaluator_at(evaluator, study, levels, None)) is True


class Study(Struct, frozen=True):
    """What is asked of which points of a scenario."""

    name: str
    doc: str
    scenario: Declaration
    axes: tuple[Axis, ...]
    where: tuple[Asked, ...]
    search: Search | None
    replicates: int
    seeds: Span | None  # where `replicate` is written
    best: tuple[Best, ...]
    pareto: tuple[Asked, ...]
    table: tuple[Asked, ...]
    pictures: tuple[Picture, ...]
    expects: tuple[Expectation, ...]
    elsewhere: Mapping[str, Elsewhere | Along]  # by the names that stand for them in formulas

    def points(self, outside: Evaluator) -> list[Levels]:
        """Return the points that `where` leaves, the last axis changing fastest. Raises Failed."""
        return [
            levels
            for levels in itertools.product(*(axis.levels for axis in self.axes))
            if all(
                asked.formula(evaluator_at(outside, self, levels, None)) is True
                for asked in self.where
            )
        ]

    @property
    def asked(self) -> tuple[Asked, ...]:
        """Return all that a run of a point is asked."""
        pictures = [p for p in self.pictures if p.kind != "cdf"]
        along = (e for e in self.elsewhere.values() if isinstance(e, Along))
        conditions = [a.condition for a in along if a.condition is not None]
        channels = [c for p in pictures for c in p.channels.values() if isinstance(c, Asked)]
        return (
            *self.table,
            *self.pareto,
            *(expected.asked for expected in self.expects),
            *(best.key for best in self.best),
            *(elsewhere.asked for elsewhere in self.elsewhere.values()),
            *conditions,
            *(one for p in pictures for one in p.shown),
            *channels,
            *((self.search.condition,) if self.search else ()),
        )

    @property
    def distributions(self) -> tuple[Asked, ...]:
        """Return the metrics of requests whose distribution is asked of a run of a point."""
        return tuple(one for p in self.pictures if p.kind == "cdf" for one in p.shown)

    @property
    def columns(self) -> dict[str, str]:
        """Return the columns that tell points apart, with their units."""
        return {c: u for a in self.axes for c, u in zip(a.columns, a.units, strict=True)}

    @property
    def scales(self) -> dict[str, Scale]:
        """Return in which unit columns and what is told are shown, where people gave one."""
        columns = {c: s for a in self.axes for c, s in zip(a.columns, a.scales, strict=True)}
        asked = {asked.text: asked.scale for asked in (*self.asked, *self.distributions)}
        return {text: s for text, s in {**asked, **columns}.items() if s is not None}


def evaluator_at(
    outside: Evaluator, study: Study, levels: Levels, found: float | Formula | None
) -> Evaluator:
    """Return an evaluator that knows the params of a point, `found` being searched for.

    `outside` knows what all points are given. Raises Failed.
    """
    common = outside.anew(outside.sink)
    given = values_at(common, levels, study.search, found)
    evaluator = common.anew(common.sink, given)
    evaluator.instances = common.instances  # so that `scheduler == static` knows its own
    return evaluator


def values_at(
    evaluator: Evaluator, levels: Levels, search: Search | None, found: float | Formula | None
) -> dict[str, Value]:
    """Return the value of each param at a point. Raises Failed."""
    given: dict[str, Value] = {}
    for level in levels:
        for name, source in level.given.items():
            value: Value = (
                evaluator.value(source.expression, source.place)
                if isinstance(source, Binding)
                else source
            )
            given[name] = value
            if isinstance(source, Binding):
                param = param_of(evaluator, name)
                evaluator.check_whole(param.clause.type, value, source.expression)
    if search is not None and found is not None:
        given[search.param] = found
    return given


def param_of(evaluator: Evaluator, name: str) -> Declaration:
    """Return a param that the file sees."""
    return evaluator.program.params()[name]
