"""TSDL from Python: `compile` a scenario to a plan, `run` it to a result."""

from __future__ import annotations

from copy import deepcopy
from os import PathLike, fspath
from os.path import normpath
from pathlib import PurePath
from typing import TYPE_CHECKING

from msgspec.structs import replace

from tsdl import plan as plan_
from tsdl.arguments import by_name, folders, names, of_kind, several, texts
from tsdl.diagnostics import Diagnostic, Severity, Sink
from tsdl.errors import TsdlError
from tsdl.reading import read_named, read_program, reader_within, why_not
from tsdl.session import Session, choose_scenario
from tsdl.source import Source, Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tsdl.calibration import Calibration
    from tsdl.measured import Run
    from tsdl.reading import Reader
    from tsdl.runtime.result import Result
    from tsdl.sources import Times
    from tsdl.studies import Answer
    from tsdl.validation import Validation


class Plan(plan_.Plan, frozen=True, dict=True, weakref=True):
    """An executable plan: a value that prints, hashes, pickles and runs.

    Its fields (SPEC.md, section 11.3) hold all that a run needs, in base units: seconds, bytes,
    FLOP, tokens. It cannot be changed.
    """

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read what `to_json` wrote. Raises ValueError for all else, and for another format."""
        from tsdl.planreading import read_plan

        return cls(**read_plan(text).fields())

    def __reduce__(self) -> tuple[Callable[..., Plan], tuple[object, ...]]:
        """Pickle as JSON, which is refused where it is of another format, and its warnings."""
        return _unpickled, (self.to_json(), self.warnings)

    def with_externs(self, externs: Mapping[str, object]) -> Plan:
        """Return the plan with the Python that it names, which is no part of it.

        `externs` are policies and costs by these names (SPEC.md, sections 8.17 and 7.7).
        """
        plan = Plan(**self.fields()).warned(self.warnings)
        plan.__dict__["_externs"] = by_name(externs, "externs")
        return plan

    def run(
        self,
        seed: int | None = None,
        engine: str = "fast",
        *,
        trace: bool | tuple[float | None, float | None] | None = False,
        tokens: bool = False,
        max_seconds: float | None = None,
        max_memory: float | None = None,
    ) -> Result:
        """Run the plan; without a seed, with the plan's own.

        `engine` is `fast` or `reference`: both give the same result, to the last bit. The result
        holds numpy columns (times in seconds, lengths in tokens) and a summary. With `trace` (from
        and to which second, either of which may be None, or True for all) it can `write_trace`;
        with `tokens` it knows when each token came. Both take the reference engine. A run that
        takes longer than `max_seconds`, or whose process takes more than `max_memory` (bytes),
        stops, and its result is `partial`. Raises ValueError for what cannot be.
        """
        from tsdl.runtime.limits import limits
        from tsdl.runtime.run import run
        from tsdl.runtime.watched import watch

        watched = watch(trace=trace, tokens=tokens)
        return run(
            self,
            seed,
            externs=getattr(self, "_externs", {}),
            engine=engine,
            watch=watched,
            limits=limits(max_seconds, max_memory),
        )

    def __repr__(self) -> str:
        """Say what would be run; `to_json` says it all."""
        from tsdl.runtime.html import workers

        where = " and ".join(workers(self))
        what = f"{', '.join(self.served)} under {self.policy} on {where}"
        return f"<Plan of {self.scenario}: {what}, hash {self.hash[:12]}>"

    def _repr_html_(self) -> str:
        """Return what would be run as a notebook shows it."""
        from tsdl.runtime.html import plan_html

        return plan_html(self)


def _unpickled(text: str, warnings: tuple[Diagnostic, ...]) -> Plan:
    return Plan.from_json(text).warned(warnings)


def _session(
    source: str | PathLike[str],
    files: Mapping[str, str] | None,
    allow: Iterable[str | PathLike[str]] | PathLike[str] | None,
) -> Session:
    of_kind(source, (str, PathLike), "source", "the text of a program, or its path")
    if isinstance(source, str):
        if source.endswith(".tsim") and "\n" not in source:
            raise _unreadable("E0109", source, "a str is a program's text; give a file as a Path")
        path, text = "<text>", source
    else:
        path = fspath(source)
        text = _text(path)
    return Session(path, text, _reader(path, files, allow))


def _reader(
    path: str,
    files: Mapping[str, str] | None,
    allow: Iterable[str | PathLike[str]] | PathLike[str] | None,
) -> Reader:
    """Return what reads the files that a program names: given texts, then allowed folders."""
    read: Reader = read_named
    if allow is not None:
        own = [] if path == "<text>" else [str(PurePath(path).parent)]
        read = reader_within([*own, *folders(allow)])
    given = texts(files, "files")
    if not given:
        return read
    known = {normpath(PurePath(path).parent / name): text for name, text in given.items()}

    def read_given(name: str) -> str:
        text = known.get(normpath(name))
        return read(name) if text is None else text

    return read_given


def _text(path: str, read: Reader = read_program) -> str:
    try:
        return read(path)
    except UnicodeDecodeError as error:
        raise _unreadable("E0108", path, why_not(error)) from None
    except (OSError, ValueError) as error:
        raise _unreadable("E0109", path, why_not(error)) from None


def _unreadable(code: str, path: str, reason: str) -> TsdlError:
    place = Span(Source(path, ""), 0, 0)
    return TsdlError([Diagnostic(code, Severity.ERROR, f"cannot read `{path}`: {reason}", place)])


def check(
    source: str | PathLike[str],
    constants: Mapping[str, object] | None = None,
    *,
    params: Mapping[str, object] | None = None,
    files: Mapping[str, str] | None = None,
    allow: Iterable[str | PathLike[str]] | PathLike[str] | None = None,
) -> list[Diagnostic]:
    """Check a program (a `str` is its text, a `PathLike` a file); return what was found.

    `constants` are those of `compile`, for all scenarios of the file that have such, and `params`
    those for all scenarios and for studies that do not vary them; `files` and `allow`, too, are as
    there. Raises TsdlError where the file itself cannot be read.
    """
    session = _session(source, files, allow)
    program, sink = session.compile()
    if not sink.has_errors:
        outside = session.outside(
            program, sink, by_name(params, "params"), by_name(constants, "constants")
        )
        session.verify(program, sink, outside)
    return sink.sorted()


def compile(  # noqa: A001, PLR0913 (the name that people look for: tsdl.compile)
    source: str | PathLike[str],
    params: Mapping[str, object] | None = None,
    scenario: str | None = None,
    externs: Mapping[str, object] | None = None,
    constants: Mapping[str, object] | None = None,
    *,
    files: Mapping[str, str] | None = None,
    allow: Iterable[str | PathLike[str]] | PathLike[str] | None = None,
) -> Plan:
    """Compile a scenario (a `str` is its text, a `PathLike` a file) to a plan.

    `params` sets params by name: a number, a text as on the command line (`"8 req/s"`), a bool.
    `scenario` chooses one where the file has several. `externs` hands in the policies and costs
    that are Python, by the names that the file has for them (SPEC.md, sections 8.17 and 7.7).
    `constants` sets numbers of what the scenario uses by name (`hardware.efficiency.gemm.compute`,
    or with the name of the declaration behind its kind): a number in base units or a text.

    `files` holds texts by path, as the program names them (`import "gpus.tsim"`, a trace, a table):
    they are read in the place of files of these names. With `allow` the program may read, besides
    these, files in its own folder (a `str` has none) and in the folders that are given, or beneath
    them, and no others. Raises TsdlError, whose `diagnostics` say what is wrong and where.
    """
    sink = Sink()
    session = _session(source, files, allow)
    chosen = choose_scenario(
        session, sink, by_name(params, "params"), scenario, by_name(constants, "constants")
    )
    plan = chosen.compiled(sink) if chosen else None
    if plan is not None:
        return Plan(**plan.fields()).warned(plan.warnings).with_externs(by_name(externs, "externs"))
    raise TsdlError([d for d in sink.sorted() if d.severity is Severity.ERROR])


def tabulate(times: Times, *, tokens: int = 8192, requests: int = 256, context: int = 8192) -> str:
    """Return the text of a CSV file for the library's cost `tabulated` (SPEC.md, section 7.8).

    `times` has four functions that return seconds, each asked once at the points of a grid, for
    iterations up to so many tokens and requests, and contexts of so many tokens. Where one raises
    `tsdl.NoTime`, the table has a hole. Raises ValueError where one has no time at any point.
    """
    from tsdl.sources import Bounds
    from tsdl.sources import tabulate as ask

    found = ask(times, Bounds(tokens, requests, context))
    if found.silent:
        raise ValueError(f"there are no times of {', '.join(found.silent)}: {found.reason}")
    return found.text


def read_run(
    path: str | PathLike[str], form: str = "auto", columns: Mapping[str, str] | None = None
) -> Run:
    """Read a measured run (SPEC.md, section 12.3, has the formats).

    `form` is `auto`, `llmservingsim`, `vllm` or `csv`; `columns` gives the headers of a CSV file's
    columns. Raises TsdlError for what is wrong with the file, ValueError for an unknown format.
    """
    from tsdl import measured

    if form != "auto" and form not in measured.FORMATS:
        raise ValueError(f"there is no format {form!r}; there are {', '.join(measured.FORMATS)}")
    headers = texts(columns, "columns")
    for column in headers:
        if column not in measured.CSV_COLUMNS:
            known = ", ".join(measured.CSV_COLUMNS)
            raise ValueError(f"`columns` names {column!r}, which a run has not; it has {known}")
    of_kind(path, (str, PathLike), "path", "that of a file")
    sink = Sink()
    name = fspath(path)
    found = measured.read_run(name, _text(name, read_named), form, headers, sink)
    if found is None:
        raise TsdlError(sink.sorted())
    return found


def validate(
    plan: plan_.Plan,
    run: Run | PathLike[str],
    *,
    seed: int | None = None,
    engine: str = "fast",
    skip_first: int = 0,
    after: float | None = None,
) -> Validation:
    """Simulate a plan and compare it with a measured run, which `read_run` or a path gives.

    The first `skip_first` requests do not count, nor those that arrive before `after` (seconds from
    the first arrival of each; without it, the workload's warm-up). Raises TsdlError where the file
    or a formula of the plan is wrong, ValueError where the run does not say when requests arrived
    and `after` asks for it.
    """
    from tsdl.imports.served import doubts_of
    from tsdl.measured import Run
    from tsdl.validation import of_closed_loop, validate

    of_kind(plan, (plan_.Plan,), "plan", "what `tsdl.compile` returns")
    of_kind(run, (Run, str, PathLike), "run", "a measured run, or the path of one")
    measured = run if isinstance(run, Run) else read_run(run)
    found = validate(
        plan,
        measured,
        seed=seed,
        engine=engine,
        skip_first=skip_first,
        after=after,
        externs=getattr(plan, "_externs", {}),
    )
    told = (
        *doubts_of(measured, plan.served),
        *of_closed_loop(measured, plan.workload),
    )
    return replace(found, warnings=told)


def calibrate(  # noqa: PLR0913 (what is compiled, and how it is fitted)
    source: str | PathLike[str],
    runs: Sequence[Run | str | PathLike[str]] | Run | str | PathLike[str],
    *,
    params: Mapping[str, object] | None = None,
    scenario: str | None = None,
    constants: Mapping[str, object] | None = None,
    fit: Sequence[str] | str | None = None,
    holdout: float = 0.3,
    files: Mapping[str, str] | None = None,
    allow: Iterable[str | PathLike[str]] | PathLike[str] | None = None,
) -> Calibration:
    """Fit constants of a scenario to measured runs, or one (scipy must be installed).

    `fit` names what is fitted, one or several, each name one factor (SPEC.md, section 12.4); the
    last `holdout` of each run's arrivals are kept back to see how the fit does. `constants` and the
    other arguments are those of `compile`; the result's `values` are such constants. Raises
    TsdlError for mistakes in files and names, ValueError for a run or a constant that cannot be
    fitted, ImportError without scipy.
    """
    from tsdl.calibration import calibrate
    from tsdl.imports.served import doubts_of
    from tsdl.measured import Run

    measured = []
    for run in several(runs):
        of_kind(run, (Run, str, PathLike), "runs", "measured runs, or the paths of such")
        measured.append(run if isinstance(run, Run) else read_run(run))  # type: ignore[arg-type]
    sink = Sink()
    session = _session(source, files, allow)
    chosen = choose_scenario(
        session, sink, by_name(params, "params"), scenario, by_name(constants, "constants")
    )
    if chosen is None:
        raise TsdlError([d for d in sink.sorted() if d.severity is Severity.ERROR])
    found = calibrate(chosen, measured, None if fit is None else names(fit, "fit"), holdout)
    plan = chosen.plan(Sink())
    assert plan is not None  # it has run
    served = plan.served
    return replace(found, doubts=tuple(d for run in measured for d in doubts_of(run, served)))


def study(  # noqa: PLR0913 (what is asked, and how it is run)
    source: str | PathLike[str],
    name: str | None = None,
    *,
    params: Mapping[str, object] | None = None,
    constants: Mapping[str, object] | None = None,
    externs: Mapping[str, object] | None = None,
    seed: int | None = None,
    jobs: int | None = None,
    store: str | PathLike[str] | None = None,
    cluster: str | None = None,
    max_seconds: float | None = None,
    max_memory: float | None = None,
    files: Mapping[str, str] | None = None,
    allow: Iterable[str | PathLike[str]] | PathLike[str] | None = None,
) -> Answer:
    """Run a study of a program (SPEC.md, sections 10.2 and 12.5); return its answer.

    `name` chooses one where there are several. Runs are done by `jobs` processes (left out, one on
    each core; 1 is this process itself), or on the Dask cluster at an address; they are kept in the
    file `store`, if one is given. A run that takes longer than `max_seconds`, or whose process
    takes more than `max_memory` (bytes), fails. `params`, `constants`, `externs`, `files` and
    `allow` are those of `compile`. With `externs` all is done in this process, nothing is kept, and
    each run has a copy of them (`copy.deepcopy`), so that it does not depend on the others. Raises
    TsdlError for mistakes in the program, in the store, or of the cluster, ValueError for a seed or
    a number of processes that there cannot be, and for `externs` with what they do not go with.
    """
    from tsdl.runtime.limits import limits
    from tsdl.studies import Answer, Course, choose_study
    from tsdl.studies.runners import jobs_of, runner
    from tsdl.studies.store import opened

    jobs = None if jobs is None else jobs_of(jobs)
    if seed is not None:
        from tsdl.runtime.run import seed_of

        seed = seed_of(seed)
    python = by_name(externs, "externs")
    if python:
        _check_studied(python, jobs, store, cluster)
        jobs = 1
    sink = Sink()
    points = choose_study(
        _session(source, files, allow),
        sink,
        by_name(params, "params"),
        name,
        by_name(constants, "constants"),
    )
    if points is None:
        raise TsdlError([d for d in sink.sorted() if d.severity is Severity.ERROR])
    with opened(store) as kept:
        within = limits(max_seconds, max_memory)
        where = runner(points.units, jobs, cluster)
        course = Course(points, kept, where, seed, limits=within, externs=python)
        return Answer(points, course.run(), seed)


def _check_studied(
    externs: Mapping[str, object],
    jobs: int | None,
    store: str | PathLike[str] | None,
    cluster: str | None,
) -> None:
    """See that a study can be done with Python of the caller's. Raises ValueError."""
    if (jobs or 1) > 1 or cluster is not None:
        raise ValueError(
            "what `externs` hands in is of this process, and so are runs with it: "
            "leave `jobs` and `cluster` out"
        )
    if store is not None:
        raise ValueError(
            "runs with `externs` are not kept, as nothing tells when their Python has changed: "
            "leave `store` out"
        )
    for name, brought in externs.items():
        try:
            deepcopy(brought)
        except Exception as error:
            raise ValueError(
                f"each run has a copy of what `externs` hands in, and `{name}` cannot be copied: "
                f"{error}; give its class a `__deepcopy__`"
            ) from error
