"""A checked study to what is asked: its axes and their values, what it searches for and tells."""

import math
from collections.abc import Iterator

from tsdl import ast
from tsdl.evaluate import Evaluator, Failed, Instance
from tsdl.evaluate.values import Binding, Place, Range, Value
from tsdl.formula import Atom
from tsdl.lower.questions import (
    Asked,
    Axis,
    Best,
    Elsewhere,
    Level,
    Levels,
    Picture,
    Search,
    Study,
    param_of,
)
from tsdl.program import Declaration, DeclarationName, SymbolName
from tsdl.schema.studies import CASES, PLOTS
from tsdl.source import Span
from tsdl.types import Quantity
from tsdl.units import Dimension

MOST_POINTS = 100_000
MOST_REPLICATES = 1000
RATIO = 1.02  # between the candidates of a search without a step
PARTS = 128  # of a search without a step that begins at zero or below
DIGITS = 3  # that a candidate is rounded to, where the study gives no step


def lower_study(evaluator: Evaluator, declaration: Declaration) -> Study | None:
    """Return what a study asks, or None with the reasons in the evaluator's sink.

    The evaluator knows the params that were given from outside.
    """
    try:
        study = _Lowering(evaluator, declaration).study()
        if study.points(evaluator.program, evaluator.params, evaluator.sink):
            return study
        where = study.where[0].expression.span
        raise evaluator.fail("E0529", f"no point of study `{study.name}` is left", where)
    except Failed:
        return None


class _Lowering:
    """Reads one study."""

    def __init__(self, evaluator: Evaluator, declaration: Declaration) -> None:
        self.evaluator = evaluator
        self.declaration = declaration
        self.instance = evaluator.instance(declaration)
        self.elsewhere: dict[str, Elsewhere] = {}
        self.axes: tuple[Axis, ...] = ()

    def study(self) -> Study:
        members = self.instance.members
        scenario = self.evaluator.required(self.instance, "scenario")
        self._check_scenario(scenario)
        self.axes = tuple(self._axes())
        search = self._search()
        self._check_once(search)
        self._check_points(search)
        table = self._all("table")
        if not table:
            raise self.evaluator.fail(
                "E0529",
                f"study `{self.declaration.name}` does not say what it tells",
                self.declaration.span,
                help=("write a `table`: `table throughput, p99(ttft)`",),
            )
        self._check_count()
        return Study(
            self.declaration.name,
            self.declaration.clause.doc,
            scenario.declaration,
            self.axes,
            self._all("where"),
            search,
            self._replicates(),
            tuple(
                Best(self._alone(clause.objects[0]), self._keys(clause, place)[0])
                for clause, place in self._clauses("best")
            ),
            tuple(
                k for clause, place in self._clauses("pareto") for k in self._keys(clause, place)
            ),
            self._told(table, search),
            tuple(self._picture(c.objects[0], place) for c, place in self._clauses("plot")),
            self._all("expect") if members.clauses("expect") else (),
            self.elsewhere,
        )

    def _check_scenario(self, scenario: Instance) -> None:
        definition = self.instance.members.fields["scenario"]
        if isinstance(definition.value, ast.Call):
            raise self.evaluator.fail(
                "E0529",
                "a study runs a scenario that has a name",
                definition.value.span,
                help=("declare it: `scenario own from … { … }`, and write its name",),
            )
        if any(p.default is None for p in scenario.declaration.parameters):
            raise self.evaluator.fail(
                "E0529", "the scenario of a study takes no arguments", definition.value.span
            )

    def _clauses(self, verb: str) -> Iterator[tuple[ast.Clause, Place]]:
        for part in self.instance.members.clauses(verb):
            assert isinstance(part.item, ast.Clause)
            yield part.item, Place(part.owner, self.instance)

    # -- axes ----------------------------------------------------------------------------------

    def _axes(self) -> Iterator[Axis]:
        cases = self.instance.members.named(CASES)
        if cases:
            levels = []
            for case in cases:
                given: dict[str, Binding | int | float] = {}
                for key, definition in case.fields.items():
                    self._check_own(key, definition.owner, definition.span)
                    place = Place(definition.owner, self.instance)
                    given[key] = Binding(definition.value, place)
                levels.append(Level((case.name,), given))
            yield Axis((CASES,), ("",), tuple(levels))
        for clause, place in self._clauses("vary"):
            names = [name.span.text for name in clause.objects]
            for name in clause.objects:
                self._check_own(name.span.text, place.owner, name.span)
            assert clause.within is not None
            parts = (
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
            together = tuple(map(_joined, zip(*columns, strict=True)))
            self._check_different(names, together, clause.within.span)
            units = tuple(self._unit_of_param(name) for name in names)
            yield Axis(tuple(names), units, together)

    def _check_different(self, names: list[str], levels: Levels, place: Span) -> None:
        """Refuse an axis on which two levels are the same: a row is known by its cells."""
        seen: list[tuple[Atom, ...]] = []
        for level in levels:
            if level.cells in seen:
                verb = "takes" if len(names) == 1 else "take"
                name = " and ".join(f"`{name}`" for name in names)
                values = " and ".join(map(str, level.cells))
                raise self.evaluator.fail("E0529", f"{name} {verb} {values} twice", place)
            seen.append(level.cells)

    def _told(self, table: tuple[Asked, ...], search: Search | None) -> tuple[Asked, ...]:
        """Return what is told, each thing once: first what was searched for; axes are columns."""
        if search is not None:
            verb = "maximize" if search.greatest else "minimize"
            ((clause, place),) = self._clauses(verb)
            table = (self._asked(clause.objects[0], place), *table)
        columns = {column for axis in self.axes for column in axis.columns}
        return tuple({asked.text: asked for asked in table if asked.text not in columns}.values())

    def _check_points(self, search: Search | None) -> None:
        """See that what makes points depends on no param that differs between them."""
        varied = {name for axis in self.axes for level in axis.levels for name in level.given}
        if search is not None:
            for clause, _ in self._clauses("where"):
                self._refuse({search.param}, clause, "a condition on it belongs behind `while`")
        for clause, _ in self._clauses("vary"):
            if clause.within is not None:
                self._refuse(varied, clause.within, "write the values out: `zip([…], […])`")

    def _refuse(self, names: set[str], inside: object, remedy: str) -> None:
        for node in ast.walk(inside):
            if isinstance(node, ast.Name) and node.id in names:
                meaning = self.evaluator.program.meanings.get(node)
                if isinstance(meaning, DeclarationName) and meaning.declaration.kind == "param":
                    raise self.evaluator.fail(
                        "E0529",
                        f"`{node.id}` differs between points, and would have its default here",
                        node.span,
                        help=(remedy,),
                    )

    def _check_once(self, search: Search | None) -> None:
        """See that no param is given values by two axes, or by an axis and the search."""
        given = [{name for level in axis.levels for name in level.given} for axis in self.axes]
        given += [{search.param}] if search else []
        seen: set[str] = set()
        for names in given:
            twice = sorted(names & seen)
            if twice:
                raise self.evaluator.fail(
                    "E0529",
                    f"`{twice[0]}` is given values twice",
                    self.declaration.span,
                    help=("a param belongs to one axis, to the cases, or to the search",),
                )
            seen |= names

    def _check_own(self, name: str, owner: Declaration, place: Span) -> None:
        program = self.evaluator.program
        param = program.lookup(owner.module, name)
        if param is None or param.module is not program.root:
            raise self.evaluator.fail(
                "E0507",
                f"`{name}` is a param of an imported file, and only those of the file itself vary",
                place,
                help=("run the study in that file, or declare scenario and params in this one",),
            )
        if name in self.evaluator.params:
            raise self.evaluator.fail(
                "E0529",
                f"the study gives `{name}` its values, and `-p` gives it another",
                place,
                help=("leave one of both out",),
            )

    def _unit_of_param(self, name: str) -> str:
        head = param_of(self.evaluator, name).clause.head
        type_ = self.evaluator.program.types.get(head) if head else None
        return unit_of(type_.dimension) if isinstance(type_, Quantity) else ""

    def _values(self, name: str, values: ast.Expr, place: Place) -> list[Level]:
        """Return the levels that a list or a range gives to one param."""
        if isinstance(values, ast.Interval):
            span = self.evaluator.value(values, place)
            assert isinstance(span, Range)
            numbers = self._steps(values, span)
            return [Level((number,), {name: number}) for number in numbers]
        assert isinstance(values, ast.ListOf)
        levels = []
        for item in values.items:
            value = self.evaluator.value(item.value, place)
            levels.append(Level((_shown(value, item.value),), {name: Binding(item.value, place)}))
        return levels

    def _steps(self, values: ast.Interval, span: Range) -> list[float]:
        """Return the values of a range; without a step, steps of one of the unit it is in."""
        step = span.step if span.step is not None else self._one(values)
        if step <= 0:
            raise self.evaluator.fail("E0503", "a step goes up", (values.step or values).span)
        count = math.floor((span.high - span.low) / step + 1e-9) + 1
        if count > MOST_POINTS:
            raise self._too_many(count, values.span)
        found = [span.low + index * step for index in range(count)]
        return [int(v) if v == int(v) and isinstance(span.low, int) else v for v in found]

    def _one(self, values: ast.Interval) -> float:
        units = self.evaluator.program.number_units
        unit = next((units[p] for p in (values.low, values.high) if p in units), None)
        return unit.convert(1) if unit else 1

    def _too_many(self, count: int, place: Span) -> Failed:
        return self.evaluator.fail(
            "E0529",
            f"a study has at most {MOST_POINTS:,} points, and this makes {count:,}",
            place,
        )

    def _check_count(self) -> None:
        count = math.prod(len(axis.levels) for axis in self.axes)
        if count > MOST_POINTS:
            raise self._too_many(count, self.declaration.span)

    # -- the search ----------------------------------------------------------------------------

    def _search(self) -> Search | None:
        for verb in ("maximize", "minimize"):
            for clause, place in self._clauses(verb):
                name = clause.objects[0].span.text
                self._check_own(name, place.owner, clause.objects[0].span)
                values = clause.within
                assert isinstance(values, ast.Interval)
                condition = clause.preposition("while")
                assert condition is not None
                return Search(
                    name,
                    self._unit_of_param(name),
                    verb == "maximize",
                    tuple(self._candidates(name, values, place)),
                    self._asked(condition.objects[0], place),
                )
        return None

    def _candidates(self, name: str, values: ast.Interval, place: Place) -> list[float]:
        span = self.evaluator.value(values, place)
        assert isinstance(span, Range)
        type_ = param_of(self.evaluator, name).clause.type
        if span.step is not None or (isinstance(type_, ast.Name) and type_.id == "int"):
            return self._steps(values, span)
        if span.low > 0:
            count = max(1, math.ceil(math.log(span.high / span.low) / math.log(RATIO)))
            inner = [span.low * (span.high / span.low) ** (i / count) for i in range(1, count)]
        else:
            inner = [span.low + (span.high - span.low) * i / PARTS for i in range(1, PARTS)]
        rounded = {float(f"{value:.{DIGITS}g}") for value in inner}
        return [span.low, *sorted(v for v in rounded if span.low < v < span.high), span.high]

    # -- what is asked -------------------------------------------------------------------------

    def _replicates(self) -> int:
        for clause, place in self._clauses("replicate"):
            count = self.evaluator.number(clause.objects[0], place)
            if count != int(count) or not 1 <= count <= MOST_REPLICATES:
                raise self.evaluator.fail(
                    "E0503",
                    f"a point is run 1 to {MOST_REPLICATES} times, and this is {count:g}",
                    clause.objects[0].span,
                )
            return int(count)
        return 1

    def _all(self, verb: str) -> tuple[Asked, ...]:
        return tuple(
            self._asked(expression, place)
            for clause, place in self._clauses(verb)
            for expression in clause.objects
        )

    def _keys(self, clause: ast.Clause, place: Place) -> list[Asked]:
        by = clause.preposition("by")
        assert by is not None
        return [self._asked(key, place) for key in by.objects]

    def _asked(self, expression: ast.Expr, place: Place) -> Asked:
        for node in ast.walk(expression):
            if isinstance(node, ast.Index):
                self._elsewhere(node, place)
        type_ = self.evaluator.program.types.get(expression)
        of = getattr(type_, "of", type_)
        unit = unit_of(of.dimension) if isinstance(of, Quantity) else ""
        return Asked(" ".join(expression.span.text.split()), unit, expression, place)

    def _alone(self, name: ast.Expr) -> str:
        """Return a column that is an axis of its own."""
        column = name.span.text
        axis = next(axis for axis in self.axes if column in axis.columns)
        if len(axis.columns) > 1:
            raise self.evaluator.fail(
                "E0529",
                f"`{column}` goes together with {_others(axis, column)}",
                name.span,
                help=("a point that differs in it alone is none: vary it on its own",),
            )
        return column

    def _elsewhere(self, node: ast.Index, place: Place) -> None:
        """Give a value of another point a name, which its expression then stands for."""
        # By its place: studies that are derived from one another share what is written.
        name = f"elsewhere {node.span.source.name}:{node.span.start}"
        cells: dict[str, Atom] = {}
        for argument in node.arguments:
            assert argument.name is not None
            if argument.name == CASES:
                cells[CASES] = argument.value.span.text
                continue
            value = self.evaluator.value(argument.value, place)
            cells[argument.name] = self._level(
                argument.name, _shown(value, argument.value), argument
            )
        for axis in self.axes:
            named = [column for column in axis.columns if column in cells]
            if named and len(named) < len(axis.columns):
                raise self.evaluator.fail(
                    "E0529",
                    f"`{named[0]}` goes together with {_others(axis, named[0])}",
                    node.span,
                    help=("name them all: `[a = …, b = …]`",),
                )
        self.evaluator.program.meanings[node] = SymbolName(name)
        self.elsewhere[name] = Elsewhere(name, self._asked(node.value, place), cells)

    def _level(self, column: str, cell: Atom, argument: ast.Argument) -> Atom:
        """Return the cell of an axis that is meant."""
        for axis in self.axes:
            if column in axis.columns:
                cells = [level.cells[axis.columns.index(column)] for level in axis.levels]
                for known in cells:
                    if known == cell or _close(known, cell):
                        return known
                shown = ", ".join(map(str, cells))
                raise self.evaluator.fail(
                    "E0529", f"`{column}` does not take this value", argument.value.span,
                    help=(f"it takes {shown}",),
                )  # fmt: skip
        raise AssertionError(column)

    def _picture(self, expression: ast.Expr, place: Place) -> Picture:
        assert isinstance(expression, ast.Call)
        kind = expression.function.span.text
        assert kind in PLOTS
        columns = {column for axis in self.axes for column in axis.columns}
        channels: dict[str, str | Asked] = {}
        shown = []
        for argument in expression.arguments:
            text = argument.value.span.text
            if argument.name is None:
                shown.append(self._asked(argument.value, place))
            elif text in columns:
                channels[argument.name] = text
            else:
                channels[argument.name] = self._asked(argument.value, place)
        text = " ".join(expression.span.text.split())
        return Picture(kind, text, tuple(shown), channels)


def _others(axis: Axis, column: str) -> str:
    return " and ".join(f"`{other}`" for other in axis.columns if other != column)


def _joined(levels: tuple[Level, ...]) -> Level:
    """Return the level of an axis of several params."""
    return Level(
        tuple(cell for level in levels for cell in level.cells),
        {name: source for level in levels for name, source in level.given.items()},
    )


def _shown(value: Value, expression: ast.Expr) -> Atom:
    """Return what stands in a column for a value: a number in base units, or a name as written."""
    if isinstance(value, (bool, int, float, str)):
        return value
    return " ".join(expression.span.text.split())


def _close(one: Atom, other: Atom) -> bool:
    """Tell whether two cells are the same number, but for rounding."""
    if isinstance(one, str) or isinstance(other, str):
        return False
    return math.isclose(one, other, rel_tol=1e-9)


_UNITS = {
    Dimension.of(text): unit
    for text, unit in {
        "": "",
        "time": "s",
        "data": "bytes",
        "tokens": "tokens",
        "requests": "requests",
        "sessions": "sessions",
        "devices": "devices",
        "requests/time": "req/s",
        "tokens/time": "tokens/s",
        "time/tokens": "s/token",
        "data/time": "bytes/s",
        "money": "USD",
        "money/tokens": "USD/token",
        "energy": "J",
        "carbon": "gCO2",
        "carbon/tokens": "gCO2/token",
        "energy/tokens": "J/token",
        "energy/time": "W",
        "work/time": "FLOPS",
    }.items()
}


def unit_of(dimension: Dimension) -> str:
    """Return the base unit of a dimension, as it stands beside numbers; "" of plain numbers."""
    return _UNITS.get(dimension, str(dimension))
