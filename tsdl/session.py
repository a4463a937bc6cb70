"""Runs the stages in order. The only one to know them all, and the only one to read files."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path as FilePath

from msgspec import Struct, field
from msgspec.structs import replace

from tsdl._resources import library_files
from tsdl.check import check, check_defaults
from tsdl.constants import Constant, Key, constants_in, formulas_of, links_of, read_constants
from tsdl.diagnostics import Diagnostic, Severity, Sink
from tsdl.evaluate import Evaluator, Instance
from tsdl.evaluate.values import Binding, Path, Value
from tsdl.kept import kept
from tsdl.lower import lower
from tsdl.modules import Module, load, load_library
from tsdl.params import read_params
from tsdl.parse import parse
from tsdl.plan import Plan
from tsdl.program import Declaration, Program, TooDeep, followed
from tsdl.reading import Reader, read_named
from tsdl.resolve import resolve
from tsdl.source import Source, Span
from tsdl.verify import verify, verify_scenario


@cache
def checked_library() -> Program:
    """Return the standard library, resolved and checked: what every program begins with."""
    sources = [Source(name, text) for name, text in library_files()]

    def make() -> Program:
        sink = Sink()
        program = resolve(load_library([parse(s, sink) for s in sources], sink), None, sink)
        check_defaults(program)
        check(program, sink)
        assert not sink.found, sink.found[0].title
        return program

    return kept(sources, make)


def library() -> list[Module]:
    """Return the modules of the standard library."""
    return checked_library().modules


class Session(Struct):
    """One file with all that it imports: checked, and made into plans."""

    path: str
    text: str
    read: Reader = read_named

    def compile(self) -> tuple[Program, Sink]:
        """Parse, resolve and check; the sink holds what was found."""
        sink = Sink()
        try:
            modules = load(self.path, self.text, self.read, sink)
            program = resolve(modules, checked_library(), sink)
            check(program, sink)
        except RecursionError as error:
            self._too_deep(sink, error)
            # Without the library: where calls are deep already it may be what went too deep.
            program = resolve(load(self.path, "", self.read, Sink()), None, Sink())
        return program, sink

    def _too_deep(self, sink: Sink, error: RecursionError) -> None:
        whole = Span(Source(self.path, self.text), 0, 0)
        sink.error(
            "E0103",
            "definitions lead to one another through too many steps",
            error.span if isinstance(error, TooDeep) else whole,
            "from here" if isinstance(error, TooDeep) else "",
            help=("a chain of some hundred definitions is the longest that can be followed",),
        )

    def outside(
        self,
        program: Program,
        sink: Sink,
        params: Mapping[str, object],
        constants: Mapping[str, object],
    ) -> Evaluator:
        """Return what people gave by name for all scenarios and studies; report mistakes in it.

        Constants are those that any scenario of the file has.
        """
        known = Evaluator(program, {}, sink)
        try:
            known.params = read_params(program, dict(params), sink)
            known.constants = _given(known, constants) if constants else {}
        except RecursionError as error:
            self._too_deep(sink, error)
        return known

    def verify(self, program: Program, sink: Sink, outside: Evaluator | None = None) -> list[Plan]:
        """Report what only values show, for every scenario and study.

        Params and constants are as `outside` knows them, else as the file has them. Returns the
        plans of the scenarios that have one.
        """
        try:
            return verify(outside or Evaluator(program, {}, sink), self.read_beside, sink)
        except RecursionError as error:
            self._too_deep(sink, error)
            return []

    def read_beside(self, path: Path) -> tuple[str, str]:
        """Read a file that a program names; return the name to show and the text."""
        beside = FilePath(path.beside).parent if path.beside else FilePath()
        name = str(beside / path.text)
        return name, self.read(name)

    def plan(
        self,
        program: Program,
        sink: Sink,
        params: dict[str, Value],
        scenario: Declaration,
        constants: Mapping[Key, Binding] | None = None,
    ) -> Plan | None:
        """Return the plan of a scenario, with other values for some of its constants."""
        try:
            evaluator = Evaluator(program, dict(params), sink, constants or {})
            with followed(scenario):
                return lower(evaluator, scenario, self.read_beside)
        except RecursionError as error:
            self._too_deep(sink, error)
            return None


def _given(outside: Evaluator, constants: Mapping[str, object]) -> Mapping[Key, Binding]:
    """Return other values for constants of any scenario of a file; report names that none has.

    Those of what its studies vary are among them.
    """
    from tsdl.lower.studies import varied  # only where constants are given

    evaluator = outside.anew(Sink())
    used = [evaluator.instance(scenario) for scenario in outside.program.own("scenario")]
    for study in outside.program.own("study"):
        used += varied(outside.anew(Sink()), study)
    known = {c.key: c for c in constants_in(evaluator, used)}
    return read_constants(outside.program, list(known.values()), constants, outside.sink)


# What only values show, and files: the rest is style, which checking is for.
_OF_NUMBERS = ("W05", "W06")


def of_numbers(found: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Return the warnings of what the numbers of a run rest on."""
    warnings = (each for each in found if each.severity is Severity.WARNING)
    return [warning for warning in warnings if warning.code.startswith(_OF_NUMBERS)]


class Chosen(Struct, frozen=True):
    """A scenario of a checked program, with values for its params and for some constants."""

    session: Session
    program: Program
    params: dict[str, Value]
    scenario: Declaration
    given: Mapping[Key, Binding] = field(default_factory=dict)

    def evaluator(self, sink: Sink) -> Evaluator:
        """Return an evaluator that knows these values."""
        return Evaluator(self.program, dict(self.params), sink, self.given)

    def constants(self, varied: Iterable[Instance] = ()) -> list[Constant]:
        """Return the numbers of the scenario, of what else is varied, and of all that these use."""
        evaluator = self.evaluator(Sink())
        try:
            return constants_in(evaluator, [evaluator.instance(self.scenario), *varied])
        except RecursionError:
            return []  # which making the plan tells

    def formulas(self) -> list[str]:
        """Return the names of what could be a number, and is a formula that only the run knows."""
        try:
            return formulas_of(self.evaluator(Sink()), self.scenario)
        except RecursionError:
            return []

    def links(self) -> list[tuple[Declaration, str, Declaration]]:
        """Return the devices' own links: a device, the field that names one, and the link."""
        return links_of(self.evaluator(Sink()), self.scenario)

    def with_constants(
        self, constants: Mapping[str, object], sink: Sink, varied: Iterable[Instance] = ()
    ) -> "Chosen | None":
        """Return it with values that people gave by name; None where one cannot be given."""
        if not constants:
            return self
        before = len(sink.found)
        given = read_constants(self.program, self.constants(varied), constants, sink)
        return replace(self, given=given) if len(sink.found) == before else None

    def plan(self, sink: Sink, constants: Mapping[Key, Binding] | None = None) -> Plan | None:
        """Return the plan, with other values for some more constants."""
        given = {**self.given, **(constants or {})}
        return self.session.plan(self.program, sink, self.params, self.scenario, given)

    def compiled(self, sink: Sink) -> Plan | None:
        """Return the plan, with all that is warned of what its numbers rest on."""
        plan = self.verified(sink)
        return plan.warned(of_numbers(sink.sorted())) if plan is not None else None

    def verified(self, sink: Sink) -> Plan | None:
        """Return the plan; the sink is told of what it asks in vain, too."""
        plan = self.plan(sink)
        if plan is not None:
            with suppress(RecursionError):
                verify_scenario(self.evaluator(Sink()), self.scenario, plan, sink)
        return plan


def choose_scenario(
    session: Session,
    sink: Sink,
    params: Mapping[str, object],
    name: str | None = None,
    constants: Mapping[str, object] | None = None,
    *,
    studies: bool = False,
) -> Chosen | None:
    """Compile a file and choose one of its scenarios; None where there are mistakes.

    `constants` are values that people gave by name; `studies` tells whether they could have asked
    for a study instead.
    """
    program, values = checked(session, sink, params)
    scenario = None if sink.has_errors else choose(program, name, sink, studies=studies)
    if scenario is None:
        return None
    return Chosen(session, program, values, scenario).with_constants(constants or {}, sink)


def checked(
    session: Session, sink: Sink, params: Mapping[str, object]
) -> tuple[Program, dict[str, Value]]:
    """Compile a file and read the values of its params; the sink tells of mistakes in either."""
    program, found = session.compile()
    sink.found += found.found
    return program, {} if sink.has_errors else read_params(program, dict(params), sink)


def choose(
    program: Program, name: str | None, sink: Sink, *, studies: bool = False
) -> Declaration | None:
    """Return the scenario of a name, or the only one of the file; report where there is none."""
    scenarios = program.own("scenario")
    if name is not None:
        found = next((s for s in scenarios if s.name == name), None)
        if found is None:
            known = ", ".join(s.name for s in scenarios) or "none"
            _no_scenario(program, sink, f"there is no scenario `{name}`", f"the file has {known}")
        return found
    if len(scenarios) == 1:
        return scenarios[0]
    if scenarios:
        known = ", ".join(s.name for s in scenarios)
        _no_scenario(
            program,
            sink,
            "the file has several scenarios",
            f"choose one: --scenario NAME ({known})" + (_or_study(program) if studies else ""),
        )
    else:
        _no_scenario(
            program, sink, "the file has no scenario",
            "write `scenario name { model = …; cluster = …; workload = … }`",
        )  # fmt: skip
    return None


def _or_study(program: Program) -> str:
    """Return how to run a study of the file instead, if it has one."""
    studies = ", ".join(s.name for s in program.own("study"))
    return f", or a study: --study NAME ({studies})" if studies else ""


def _no_scenario(program: Program, sink: Sink, title: str, help_: str) -> None:
    source: Source = program.root.file.source
    sink.error("E0506", title, Span(source, 0, 0), help=(help_,))
