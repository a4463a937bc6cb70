"""A checked study to what is asked: its axes and their values, what it searches for and tells."""

from collections.abc import Iterator
from contextlib import suppress

from msgspec.structs import replace

from tsdl import ast
from tsdl.diagnostics import Sink
from tsdl.evaluate import Evaluator, Failed, Instance
from tsdl.evaluate.values import Binding, Place
from tsdl.formula import COMPARISONS, Atom, Value, symbol, symbols
from tsdl.lower.axes import Axes, shown
from tsdl.lower.questions import (
    Along,
    Asked,
    Axis,
    Best,
    Comparison,
    Elsewhere,
    Expectation,
    Levels,
    Picture,
    Search,
    Study,
    evaluator_at,
)
from tsdl.measures import measures_of, of_requests
from tsdl.program import Declaration, DeclarationName, Definition, SymbolName
from tsdl.schema.studies import CASES, LOG, PLOTS
from tsdl.types import Quantity
from tsdl.units import Scale, base_unit

MOST_REPLICATES = 1000
SEARCHES = ("maximize", "minimize")


def lower_study(evaluator: Evaluator, declaration: Declaration) -> Study | None:
    """Return what a study asks, or None with the reasons in the evaluator's sink.

    The evaluator knows the params that were given from outside.
    """
    try:
        study = _Lowering(evaluator, declaration).study()
        _check_elsewhere(evaluator, study, _points_left(evaluator, study)[0])
    except Failed:
        return None
    return study


def scenario_of(evaluator: Evaluator, declaration: Declaration) -> Declaration | None:
    """Return the scenario that a study runs, or None with the reason in the evaluator's sink."""
    try:
        return evaluator.required(evaluator.instance(declaration), "scenario").declaration
    except Failed:
        return None


def outside_of(outside: Evaluator, declaration: Declaration) -> Evaluator:
    """Return what a study has from outside: all but the params that it gives values itself."""
    members = declaration.members
    assert members is not None
    own = {key for case in members.named(CASES) for key in case.fields}
    for verb in ("vary", *SEARCHES):
        for part in members.clauses(verb):
            assert isinstance(part.item, ast.Clause)
            own |= {name.span.text for name in part.item.objects}
    params = {name: value for name, value in outside.params.items() if name not in own}
    return Evaluator(outside.program, params, outside.sink, outside.constants)


def varied(outside: Evaluator, declaration: Declaration) -> list[Instance]:
    """Return the declarations among the values of a study's axes; none where they are wrong."""
    evaluator = outside_of(outside, declaration)
    try:
        axes = Axes(evaluator, evaluator.instance(declaration)).all
        given = [each for axis in axes for level in axis.levels for each in level.given.values()]
        bound = [each for each in given if isinstance(each, Binding)]
        values = [evaluator.value(each.expression, each.place) for each in bound]
    except Failed:
        return []
    return [value for value in values if isinstance(value, Instance)]


def _points_left(evaluator: Evaluator, study: Study) -> list[Levels]:
    """Return the points that conditions on them leave, of which there are some. Raises Failed."""
    points = study.points(evaluator)
    if not points:
        where = study.where[0].expression.span
        raise evaluator.fail("E0529", f"no point of study `{study.name}` is left", where)
    for expected in study.expects:
        if not any(expected.is_of(evaluator, study, point) for point in points):
            raise evaluator.fail(
                "E0529", "there is no such point to expect anything of", expected.span
            )
    return points


def _check_elsewhere(evaluator: Evaluator, study: Study, point: Levels) -> None:
    """See that no run is asked for values of other points: it knows its own requests alone.

    It is looked at as it is at a point. Raises Failed.
    """
    found = symbol(study.search.param) if study.search else None
    at = evaluator_at(evaluator.anew(Sink()), study, point, found)
    for asked in (*study.asked, *study.distributions):
        read: set[str] = set()
        with suppress(Failed):  # it has no value there, which is told
            read = _asked_of_a_run(asked.formula(at))
        for name in sorted(read & study.elsewhere.keys()):
            raise evaluator.fail(
                "E0529",
                f"`{asked.text}` mixes values of each request with one of other points",
                study.elsewhere[name].asked.expression.span,
                "of other points",
                help=(
                    "a run knows its own requests alone: take a statistic of them first, as in "
                    "`mean(ttft) / mean(ttft)[…]`",
                ),
            )


def _asked_of_a_run(formula: Value) -> set[str]:
    """Return the names in the parts of a formula that a run is to tell."""
    parts = [formula] if of_requests(formula) else measures_of(formula)
    return {name for part in parts for name in symbols(part)}


class _Lowering:
    """Reads one study."""

    def __init__(self, evaluator: Evaluator, declaration: Declaration) -> None:
        self.evaluator = evaluator
        self.declaration = declaration
        self.instance = evaluator.instance(declaration)
        self.elsewhere: dict[str, Elsewhere | Along] = {}
        self.replaced: list[Definition] = []  # of bases, those that are read

    def study(self) -> Study:
        scenario = self.evaluator.required(self.instance, "scenario")
        self._check_scenario(scenario)
        self.reader = Axes(self.evaluator, self.instance)
        self.axes = self.reader.all
        for named in self.instance.members.lets.values():  # what other points say in them, too
            self._asked(named.value, Place(named.owner, self.instance))
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
        return Study(
            self.declaration.name,
            self.declaration.clause.doc,
            scenario.declaration,
            self.axes,
            self._all("where"),
            search,
            self._replicates(),
            next((clause.span for clause, _ in self._clauses("replicate")), None),
            tuple(
                Best(self._axis(clause.objects[0]).columns, self._keys(clause, place)[0])
                for clause, place in self._clauses("best")
            ),
            tuple(
                k for clause, place in self._clauses("pareto") for k in self._keys(clause, place)
            ),
            self._told(table, search),
            tuple(self._picture(c.objects[0], place) for c, place in self._clauses("plot")),
            tuple(self._expectation(clause, place) for clause, place in self._clauses("expect")),
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
        varied = self._varied()
        if search is not None:
            for clause, _ in self._clauses("where"):
                self._refuse({search.param}, clause, "a condition on it belongs behind `while`")
            for clause, _ in self._clauses("expect"):
                only = clause.preposition("where")
                self._refuse({search.param}, only, "what is found belongs into the condition")
        for clause, _ in self._clauses("vary"):
            if clause.within is not None:
                self._refuse(varied, clause.within, "write the values out: `zip([…], […])`")
        for case in self.instance.members.named(CASES):
            for definition in case.fields.values():
                self._refuse(varied, definition.value, "write the value out in each case")
        for verb in SEARCHES:
            for clause, _ in self._clauses(verb):
                self._refuse(varied, clause.within, "search a range that holds all of them")
        for clause, _ in self._clauses("replicate"):
            self._refuse(varied, clause.objects[0], "all points have as many seeds")

    def _varied(self) -> set[str]:
        """Return the params that differ between points, the one that is searched for among them."""
        searches = (clause for verb in SEARCHES for clause, _ in self._clauses(verb))
        found = {clause.objects[0].span.text for clause in searches}
        return found | {n for axis in self.axes for level in axis.levels for n in level.given}

    def _refuse(self, names: set[str], inside: object, remedy: str) -> None:
        """Refuse what reads one of some params, or another that is computed with one of them."""
        seen = self.evaluator.program.sees
        for node, param in self._params(inside):
            read = sorted({p.name for p in self._behind(param) if seen(p)} & names)
            if read:
                name = param.name if param.name in read else read[0]
                raise self.evaluator.fail(
                    "E0529",
                    f"`{name}` differs between points, and would have its default here",
                    node.span,
                    f"`{param.name}` is computed with it" if name != param.name else "",
                    help=(remedy,),
                )

    def _params(self, inside: object) -> Iterator[tuple[ast.Name, Declaration]]:
        """Yield the names of params in an expression, and what they are."""
        for node in ast.walk(inside):
            if isinstance(node, ast.Name):
                meaning = self.evaluator.program.meanings.get(node)
                if isinstance(meaning, DeclarationName) and meaning.declaration.kind == "param":
                    yield node, meaning.declaration

    def _behind(self, param: Declaration) -> list[Declaration]:
        """Return the params that make the value of one, itself first."""
        found = [param]
        for one in found:  # which grows meanwhile
            found += [p for _, p in self._params(one.clause.value) if p not in found]
        return found

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

    # -- the search ----------------------------------------------------------------------------

    def _search(self) -> Search | None:
        for verb in SEARCHES:
            for clause, place in self._clauses(verb):
                name = clause.objects[0].span.text
                self.reader.check_own(name, place.owner, clause.objects[0].span)
                values = clause.within
                assert isinstance(values, ast.Interval)
                condition = clause.preposition("while")
                assert condition is not None
                return Search(
                    name,
                    self.reader.unit(name),
                    self.reader.scale(name, values),
                    verb == "maximize",
                    tuple(self.reader.candidates(name, values, place)),
                    self._asked(condition.objects[0], place),
                    tuple(self._compared(condition.objects[0], place)),
                )
        return None

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

    def _expectation(self, clause: ast.Clause, place: Place) -> Expectation:
        only = clause.preposition("where")
        where = self._asked(only.objects[0], place) if only else None
        condition = clause.objects[0]
        compared = tuple(self._compared(condition, place))
        return Expectation(self._asked(condition, place), where, compared)

    def _compared(self, condition: ast.Expr, place: Place) -> Iterator[Comparison]:
        """Yield the comparisons that must all hold for a condition to hold."""
        if not isinstance(condition, ast.Binary):
            return
        if condition.operator == "and":
            yield from self._compared(condition.left, place)
            yield from self._compared(condition.right, place)
        elif condition.operator in COMPARISONS:
            types = [self.evaluator.program.types.get(e) for e in (condition.left, condition.right)]
            if all(isinstance(getattr(type_, "of", type_), Quantity) for type_ in types):
                left, right = (self._asked(e, place) for e in (condition.left, condition.right))
                yield Comparison(left, condition.operator, right)

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
            elif isinstance(node, ast.Call) and _across(node):
                self._along(node, place)
            elif isinstance(node, ast.Attribute):
                self._replaced(node, place)
        type_ = self.evaluator.program.types.get(expression)
        of = getattr(type_, "of", type_)
        unit = base_unit(of.dimension) if isinstance(of, Quantity) else ""
        text = " ".join(expression.span.text.split())
        return Asked(text, unit, self._scale(expression, place), expression, place)

    def _scale(self, expression: ast.Expr, place: Place) -> Scale | None:
        """Return the unit that people gave a param, of which an expression is the value."""
        if isinstance(expression, ast.Index):
            return self._scale(expression.value, place)
        across = _across(expression)
        if across is not None:
            return self._scale(across.element, place)
        meaning = self.evaluator.program.meanings.get(expression)
        if not isinstance(meaning, DeclarationName) or meaning.declaration.kind != "param":
            return None
        name = meaning.declaration.name
        for axis in self.axes:
            if name in axis.columns:
                return axis.scales[axis.columns.index(name)]
        for verb in SEARCHES:
            for clause, _ in self._clauses(verb):
                if clause.objects[0].span.text == name:
                    return self.reader.scale(name, clause.within)
        seen = self.evaluator.program.sees(meaning.declaration)
        return self.reader.scale(name, None) if seen else None

    def _axis(self, name: ast.Expr) -> Axis:
        """Return the axis that a column is of."""
        return next(axis for axis in self.axes if name.span.text in axis.columns)

    def _alone(self, name: ast.Expr) -> str:
        """Return a column that is an axis of its own."""
        column, axis = name.span.text, self._axis(name)
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
        if name in self.elsewhere:  # within another one that was looked at
            return
        cells: dict[str, Atom] = {}
        for argument in node.arguments:
            assert argument.name is not None
            if argument.name == CASES:
                cells[CASES] = argument.value.span.text
                continue
            self._refuse(self._varied(), argument.value, "name the point by a value of its own")
            value = self.evaluator.value(argument.value, place)
            cells[argument.name] = self.reader.level(
                argument.name, shown(value, argument.value), argument
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
        self.elsewhere[name] = Elsewhere(self._asked(node.value, place), cells)

    def _replaced(self, node: ast.Attribute, place: Place) -> None:
        """Look at what a base says of a `let`: it may ask for other points, too."""
        holder, _, key = (ast.path_of(node) or "").partition(".")
        if holder != "base":
            return
        bases = (base.members for base in place.owner.bases)
        said = next(
            (members.lets[key] for members in bases if members and key in members.lets), None
        )
        if said is not None and said not in self.replaced:
            self.replaced.append(said)
            self._asked(said.value, Place(said.owner, self.instance))

    def _along(self, node: ast.Call, place: Place) -> None:
        """Give what is made of values along an axis a name, which its expression stands for."""
        across = _across(node)
        assert across is not None
        name = f"along {node.span.source.name}:{node.span.start}"
        if name in self.elsewhere:
            return
        self.evaluator.program.meanings[node] = SymbolName(name)
        self.elsewhere[name] = Along(
            node.function.span.text,
            self._asked(across.element, place),
            self._alone(across.axis),
            self._asked(across.condition, place) if across.condition is not None else None,
        )

    def _picture(self, expression: ast.Expr, place: Place) -> Picture:
        assert isinstance(expression, ast.Call)
        kind = expression.function.span.text
        assert kind in PLOTS
        columns = {column for axis in self.axes for column in axis.columns}
        channels: dict[str, str | Asked] = {}
        shown = []
        where = next((a.value for a in expression.arguments if a.name == "where"), None)
        for argument in expression.arguments:
            text = argument.value.span.text
            if argument.name is None:
                shown.append(replace(self._asked(argument.value, place), where=where))
            elif argument.value is where or argument.name == "log":
                continue
            elif text in columns:
                channels[argument.name] = text
            else:
                channels[argument.name] = self._asked(argument.value, place)
        text = " ".join(expression.span.text.split())
        log = next((a.value.span.text for a in expression.arguments if a.name == "log"), "")
        return Picture(kind, text, tuple(shown), channels, LOG.get(log, ()))


def _across(expression: ast.Expr) -> ast.Across | None:
    """Return what a function goes over, if that is an axis."""
    if isinstance(expression, ast.Call) and expression.arguments:
        first = expression.arguments[0].value
        return first if isinstance(first, ast.Across) else None
    return None


def _others(axis: Axis, column: str) -> str:
    return " and ".join(f"`{other}`" for other in axis.columns if other != column)
