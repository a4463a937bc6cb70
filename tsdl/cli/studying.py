"""What `run` and `plan` do with a study: run it, keep what was run, tell what would be run."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from tsdl.cli.limiting import limits_of
from tsdl.cli.rungs import rung_lines
from tsdl.cli.shared import (
    EXPECTATION,
    MISTAKE,
    OK,
    PARTIAL,
    no_collector,
    no_folder,
    open_file,
    tell,
    usage_error,
)
from tsdl.diagnostics import Severity, Sink

if TYPE_CHECKING:
    import argparse
    from collections.abc import Container, Iterable, Iterator

    from tsdl.evaluate import Evaluator
    from tsdl.plan import Plan
    from tsdl.session import Session
    from tsdl.studies import Answer, Points
    from tsdl.studies.cluster import Cluster
    from tsdl.studies.points import Infeasible, Point
    from tsdl.studies.pool import Pool
    from tsdl.studies.store import Store

_LOOKED_AT = 20  # points of a study that `check` makes a plan of


def run_study(arguments: argparse.Namespace) -> int:
    """Run a study, or what is left of it."""
    if arguments.jobs != 1 and not arguments.cluster:
        from tsdl.studies.pool import prepare

        prepare()
    points = _points(arguments)
    if points is None:
        return MISTAKE
    problem = no_folder(arguments.out)
    if problem:
        return usage_error(problem)
    tell(points.warned_before, "text")  # better before long runs than after them
    from tsdl.studies.runners import runner
    from tsdl.studies.store import Store

    where = runner(points.units, arguments.jobs, arguments.cluster)
    with Store(_store_path(arguments)) as store:
        answer = _run(arguments, points, where, store)
    return _tell(arguments, answer)


def _run(
    arguments: argparse.Namespace, points: Points, where: Pool | Cluster, store: Store
) -> Answer:
    from tsdl.cli.progress import StudyBar
    from tsdl.studies import Answer, Course

    with StudyBar() as bar:
        course = Course(
            points, store, where, arguments.seed, arguments.engine, bar.show, limits_of(arguments)
        )
        try:
            units = course.run()
        except KeyboardInterrupt:
            print(
                f"\n{course.runs} runs are kept in {store.path}; the same command goes on there",
                file=sys.stderr,
            )
            raise
    if sys.stderr.isatty():
        kept = f", {course.reused} were known" if course.reused else ""
        print(f"{course.runs} runs{kept}; kept in {store.path}", file=sys.stderr)
    return Answer(points, units, arguments.seed)


def _tell(arguments: argparse.Namespace, answer: Answer) -> int:
    from tsdl.studies import files, text

    tell([d for d in answer.warnings if d not in answer.points.warned_before], "text")
    unwritten = ""
    if arguments.out:
        try:
            files.write(answer, Path(arguments.out))
        except OSError as error:
            unwritten = f"cannot write to {arguments.out!r}: {error.strerror or error}"
    if arguments.format == "json":
        sys.stdout.write(files.answer_json(answer, warned=True))
    else:
        print(text.describe(answer))
    if unwritten:
        return usage_error(unwritten)
    if answer.passed:
        return OK
    return PARTIAL if answer.met else EXPECTATION


def study_lines(session: Session, outside: Evaluator, told: Container[str]) -> Iterator[str]:
    """Yield for each study of a file how much it would run, and what few points have of their own.

    That is which cannot be run, how others will be, and what is warned of: what is not in `told`,
    the lines and titles of scenarios. `outside` knows which params and constants are given.
    """
    for declaration in outside.program.own("study"):
        from tsdl.lower.studies import outside_of  # only where there is a study
        from tsdl.studies.points import points_of

        points = points_of(session, outside_of(outside.anew(Sink()), declaration), declaration)
        if points is None:
            continue
        yield f"{declaration.name}: {extent(points)}"
        if len(points.all) <= _LOOKED_AT:
            found = points.study.search.values[0] if points.study.search else None
            plans = [(point, points.plan(point, found)) for point in points.all]
            if not points.study.search:
                yield from _infeasible(plans, points)
            for line, count in _own(plans, points, found).items():
                if line not in told:
                    yield f"  at {count} of {len(plans)} points {line}"


def _own(
    plans: list[tuple[Point, Plan | Infeasible]], points: Points, found: float | None
) -> dict[str, int]:
    """Return how groups of workers will be simulated and what is warned of, at how many points."""
    from tsdl.studies.points import Infeasible

    lines: Counter[str] = Counter()
    for point, plan in plans:
        if not isinstance(plan, Infeasible):
            lines.update(rung_lines(plan))
            lines.update(f"{d.code}: {d.title}" for d in points.warned(point, found))
    return lines


def extent(points: Points) -> str:
    """Say of how many points a study is, with how many seeds, and about how many runs."""
    from tsdl.studies.search import expected

    study = points.study
    count = len(points.all)
    told = f"{count:,} point{'s' if count > 1 else ''}"
    if study.replicates > 1:
        told += f" with {study.replicates} seeds each"
    if study.search:
        steps = expected(len(study.search.values))
        told += f", each a search of about {steps} runs for `{study.search.param}`"
        count *= steps
    return f"{told}: {count * study.replicates:,} runs"


def _points(arguments: argparse.Namespace) -> Points | None:
    from tsdl.studies import choose_study

    sink = Sink()
    with no_collector():
        session = open_file(arguments.file, sink.found, arguments.allowed)
        points = None
        if session is not None:
            points = choose_study(
                session,
                sink,
                dict(arguments.params),
                arguments.study,
                dict(arguments.constants),
            )
    tell([d for d in sink.sorted() if points is None and d.severity is Severity.ERROR], "text")
    return points


def _store_path(arguments: argparse.Namespace) -> Path:
    """Return where runs are kept: as is said, or in the working folder under the file's name."""
    if arguments.store:
        return Path(arguments.store)
    stem = "stdin" if arguments.file == "-" else Path(arguments.file).stem
    return Path(f"{stem}.results.sqlite")


# -- plan --------------------------------------------------------------------------------------


def plan_study(arguments: argparse.Namespace) -> int:
    """Tell what a study would run, what of it is known, and about how long the rest will take."""
    points = _points(arguments)
    if points is None:
        return MISTAKE
    from tsdl.studies.store import Store

    path = _store_path(arguments)
    if arguments.store or path.exists():  # nothing is made only to be looked into
        with Store(path) as store:
            print(_described(points, store, arguments.seed))
    else:
        print(_described(points, None, arguments.seed))
    return OK


def _described(points: Points, store: Store | None, seed: int | None) -> str:
    from tsdl.studies.forecast import forecast
    from tsdl.studies.pool import cores

    study = points.study
    told = forecast(points, store, seed)
    lines = [f"{study.name}: {extent(points)}"]
    lines += [f"  {', '.join(axis.columns)}: {len(axis.levels)} values" for axis in study.axes]
    if told.known:
        left = f", and {'about ' if study.search else ''}{told.left:,} are left"
        lines.append(f"  {told.known:,} runs are known{left if told.left else ''}")
    lines += _infeasible(told.infeasible, points)
    if told.left:
        lines.append(
            f"  about {_rough(told.seconds)} of CPU time, on {cores()} cores "
            f"{_rough(told.seconds / cores())}, as {told.measured} runs tell"
        )
    return "\n".join(lines)


def _infeasible(found: Iterable[tuple[Point, Plan | Infeasible]], points: Points) -> Iterator[str]:
    """Yield how many points cannot be run, and why."""
    from tsdl.studies import figures
    from tsdl.studies.points import Infeasible

    study = points.study
    told = [(point, why) for point, why in found if isinstance(why, Infeasible)]
    if told:
        yield f"  {len(told)} point{'s are' if len(told) > 1 else ' is'} infeasible:"
    for point, why in told:
        named = figures.point(points.cells(point), study.columns, study.scales)
        yield f"    {named}: {why.code}: {why.reason}"


def _rough(seconds: float) -> str:
    for limit, by, unit in ((90.0, 1.0, "s"), (5400.0, 60.0, "min"), (float("inf"), 3600.0, "h")):
        if seconds < limit:
            return f"{max(seconds / by, 1):.0f} {unit}"
    raise AssertionError(seconds)
