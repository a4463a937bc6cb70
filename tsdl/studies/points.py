"""The points of a study: which there are, what params are there, and the plan of each."""

from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property

from msgspec import Struct, field
from msgspec.structs import replace

from tsdl.diagnostics import Diagnostic, Severity, Sink
from tsdl.diagnostics.words import several
from tsdl.errors import TsdlError
from tsdl.evaluate import Evaluator, Failed
from tsdl.formula import Atom, symbol
from tsdl.formula import Value as FormulaValue
from tsdl.lower.questions import Asked, Expectation, Levels, Study, evaluator_at, values_at
from tsdl.lower.studies import lower_study, scenario_of, varied
from tsdl.plan import Plan
from tsdl.program import Declaration, Program
from tsdl.reading import Kept
from tsdl.session import Chosen, Session, checked, of_numbers
from tsdl.source import Span
from tsdl.studies.measures import settled
from tsdl.verifystudies import check_study

FOUND = "found"  # stands in formulas for the value that is searched for
_KEPT = 100  # plans that are kept: those of the points that are on their way


class Point(Struct, frozen=True):
    """One point: its number, and the level of each axis."""

    number: int
    levels: Levels


class Infeasible(Struct, frozen=True):
    """Why a point cannot be run: the code of the first mistake, and what it says."""

    code: str
    reason: str


class Points(Struct, dict=True):
    """A study, and its scenario with the values that params and constants have at all points."""

    study: Study
    chosen: Chosen
    warned_before: list[Diagnostic] = field(default_factory=list)  # that anything is run
    # By point and what is found; by point, whether something is, and what was asked.
    _plans: dict[tuple[int, float | None], Plan | Infeasible] = field(default_factory=dict)
    _formulas: dict[tuple[int, bool, int], FormulaValue] = field(default_factory=dict)
    _warned: dict[tuple[int, float | None], list[Diagnostic]] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Say of which study they are."""
        return f"<Points of {self.study.name}: {len(self.all):,}>"

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle what they come from: what is known of them goes by places in this process."""
        return Points, (self.study, self.chosen, self.warned_before)

    @cached_property
    def all(self) -> list[Point]:
        """Return the points that `where` leaves, the last axis changing fastest."""
        found = self.study.points(self.chosen.evaluator(Sink()))
        return [Point(number, levels) for number, levels in enumerate(found)]

    @property
    def units(self) -> int:
        """Return how many points there are, each counted with each of its seeds."""
        return len(self.all) * self.study.replicates

    def plan(self, point: Point, found: float | None = None) -> Plan | Infeasible:
        """Return the plan of a point, `found` being what is searched for; or why there is none.

        All seeds of a point have one plan, and the last ones are kept for them.
        """
        key = (point.number, found)
        if key not in self._plans:
            if len(self._plans) == _KEPT:
                del self._plans[next(iter(self._plans))]
            self._plans[key] = self._made(point, found)
        return self._plans[key]

    def _made(self, point: Point, found: float | None) -> Plan | Infeasible:
        sink = Sink()
        known = self.chosen.params
        try:
            outside = self.chosen.evaluator(sink)
            given = values_at(outside, point.levels, self.study.search, found)
        except Failed:
            return _infeasible(sink)
        plan = replace(self.chosen, params={**known, **given}).verified(sink)
        warned = [d for d in sink.sorted() if d.severity is Severity.WARNING]
        if warned:
            self._warned[point.number, found] = warned
        return plan if plan is not None else _infeasible(sink)

    def warned(self, point: Point, found: float | None = None) -> list[Diagnostic]:
        """Return what is warned of in the plan of a point, once that is made."""
        return self._warned.get((point.number, found), [])

    def warnings(self) -> list[Diagnostic]:
        """Return what is warned of in the study, then in the plans that were made of its points.

        That is what numbers rest on, each once at a place, and of how many points it is.
        """
        groups: dict[tuple[str, str], list[tuple[int, Diagnostic]]] = {}
        for number, found in sorted(self._warned, key=lambda key: (key[0], key[1] or 0.0)):
            for warning in of_numbers(self._warned[number, found]):
                groups.setdefault(_place(warning), []).append((number, warning))
        told, points = list(self.warned_before), several(len(self.all), "point")
        known = {_place(warning) for warning in told}
        for group in (group for place, group in groups.items() if place not in known):
            count, first = len({number for number, _ in group}), group[0][1]
            where = (f"at {count:,} of {points}",) if count < len(self.all) else ()
            told.append(replace(first, notes=(*first.notes, *where)))
        return told

    def formulas(
        self, point: Point, asked: tuple[Asked, ...], found: float | None = None
    ) -> list[FormulaValue]:
        """Return what expressions of the study are at a point. Raises TsdlError.

        Where `found` is what is searched for, it is part of measures; elsewhere `FOUND` stands for
        it, so that the formulas of several seeds are alike.
        """
        searched = found is not None
        lacking = [one for one in asked if (point.number, searched, id(one)) not in self._formulas]
        if lacking:
            name = symbol(FOUND) if searched else None
            sink = Sink()
            try:
                outside = self.chosen.evaluator(sink)
                evaluator = evaluator_at(outside, self.study, point.levels, name)
                for one in lacking:
                    formula = one.formula(evaluator)
                    self._formulas[point.number, searched, id(one)] = formula
            except Failed:
                raise TsdlError(sink.sorted()) from None
        formulas = [self._formulas[point.number, searched, id(one)] for one in asked]
        return formulas if found is None else [settled(f, {FOUND: found}) for f in formulas]

    def is_of(self, expected: Expectation, point: Point) -> bool:
        """Tell whether an `expect` looks at a point. Raises TsdlError."""
        return expected.where is None or self.formulas(point, (expected.where,))[0] is True

    def cells(self, point: Point) -> dict[str, Atom]:
        """Return what stands in the columns of a point."""
        return {
            column: cell
            for axis, level in zip(self.study.axes, point.levels, strict=True)
            for column, cell in zip(axis.columns, level.cells, strict=True)
        }


def _place(found: Diagnostic) -> tuple[str, str]:
    """Return what finding it is, and where."""
    return found.code, found.span.place if found.span else ""


def _infeasible(sink: Sink) -> Infeasible:
    first = next(d for d in sink.sorted() if d.severity is Severity.ERROR)
    return Infeasible(first.code, first.title)


def choose_study(
    session: Session,
    sink: Sink,
    params: Mapping[str, object],
    name: str | None = None,
    constants: Mapping[str, object] | None = None,
) -> Points | None:
    """Compile a file and choose one of its studies; None where there are mistakes.

    `constants` are values that people gave by name.
    """
    program, values = checked(session, sink, params)
    declaration = None if sink.has_errors else _choose(program, name, sink)
    if declaration is None:
        return None
    scenario = scenario_of(Evaluator(program, dict(values), sink), declaration)
    if scenario is None:
        return None
    outside = Evaluator(program, dict(values), Sink())
    chosen = Chosen(session, program, values, scenario).with_constants(
        constants or {}, sink, varied(outside, declaration) if constants else ()
    )
    points = points_of(session, chosen.evaluator(sink), declaration) if chosen else None
    if points is not None:
        with suppress(RecursionError):  # which a plan tells
            asking = points.chosen
            check_study(asking.evaluator(sink), points.study, asking.session.read_beside)
        points.warned_before = of_numbers(sink.sorted())
    return points


def points_of(session: Session, outside: Evaluator, declaration: Declaration) -> Points | None:
    """Return the points of a study of a checked program; None where there are mistakes.

    `outside` knows what all points are given, and is told of the mistakes.
    """
    study = lower_study(outside, declaration)
    if study is None:
        return None
    # Files that a program names are read once for all points.
    session = Session(session.path, session.text, Kept(session.read))
    given = outside.constants
    return Points(study, Chosen(session, outside.program, outside.params, study.scenario, given))


def _choose(program: Program, name: str | None, sink: Sink) -> Declaration | None:
    studies = program.own("study")
    chosen = next((s for s in studies if s.name == name), None)
    if name is None and len(studies) == 1:
        chosen = studies[0]
    if chosen is None:
        known = ", ".join(s.name for s in studies) or "none"
        title = f"there is no study `{name}`" if name else "which study?"
        place = Span(program.root.file.source, 0, 0)
        sink.found.append(
            Diagnostic("E0506", Severity.ERROR, title, place, help=(f"the file has {known}",))
        )
    return chosen
