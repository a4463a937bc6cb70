"""A report as one HTML page that needs nothing else: no server, no network, no other file.

Jinja2 escapes every text that came from a file; specifications of charts stand in it as JSON that
cannot end its element. Only our own scripts run, known by their hashes, and nothing may be fetched.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from tsdl._resources import report_file
from tsdl.reports import tables
from tsdl.reports.drawing import NoReports, described, library
from tsdl.reports.marks import Chart, Table, configured
from tsdl.reports.results import Result, Run, StudyAnswer
from tsdl.reports.runcharts import run_charts
from tsdl.reports.studycharts import study_charts

if TYPE_CHECKING:
    from tsdl.plan import Plan


MOST_ROWS = 1000  # of a table


class Named(Struct, frozen=True):
    """A table with a title; `folded` if it is opened by who wants to see it."""

    title: str
    table: Table
    folded: bool = False


class Section(Struct, frozen=True):
    """A part of the page: tables, then charts, then texts with titles."""

    title: str
    tables: tuple[Named, ...] = ()
    charts: tuple[Chart, ...] = ()
    texts: tuple[tuple[str, str], ...] = ()


def page(results: Sequence[Result], describe: Callable[[Plan], str], version: str) -> str:
    """Return the page about some results; `describe` puts a plan into words.

    The same results give the same bytes. Raises NoReports, or ValueError for what cannot be drawn.
    """
    try:
        from jinja2 import Environment
    except ImportError:
        raise NoReports from None
    scripts = library()
    script = report_file("page.js")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(report_file("page.html.j2"))
    found = list(sections(results, describe))
    titles = {_title(result): None for result in results}
    specs = {
        f"{chart.name}-{number}": configured(
            {**panel.spec, "width": "container", "height": chart.size["height"]},
            f"{described(chart)} {panel.title}".strip(),
        )
        for section in found
        for chart in section.charts
        for number, panel in enumerate(chart.panels)
    }
    return template.render(
        title=", ".join(titles),
        sections=found,
        specs=specs,
        library=scripts,
        script=script,
        style=report_file("page.css"),
        most=MOST_ROWS,
        hashes=[_hash(scripts), _hash(script)],
        version=version,
    )


def charts_of(results: Sequence[Result]) -> list[Chart]:
    """Return all charts of some results; names differ. Raises ValueError for what cannot be."""
    runs = [result for result in results if isinstance(result, Run)]
    studies = [result for result in results if isinstance(result, StudyAnswer)]
    return [*run_charts(runs), *(chart for _, charts in _pictured(studies) for chart in charts)]


def _pictured(studies: Sequence[StudyAnswer]) -> Iterator[tuple[StudyAnswer, list[Chart]]]:
    """Yield studies with their charts; of several, a chart's name begins with the study's."""
    for study in studies:
        prefix = f"{study.name}-" if len(studies) > 1 else ""
        yield study, list(study_charts(study, prefix))


def sections(results: Sequence[Result], describe: Callable[[Plan], str]) -> Iterator[Section]:
    """Yield the parts of a report. Raises ValueError for what cannot be drawn."""
    runs = [result for result in results if isinstance(result, Run)]
    if runs:
        yield from _of_runs(runs, describe)
    for study, charts in _pictured([r for r in results if isinstance(r, StudyAnswer)]):
        yield from _of_study(study, charts, describe)


def _of_runs(runs: list[Run], describe: Callable[[Plan], str]) -> Iterator[Section]:
    charts = {chart.name: chart for chart in run_charts(runs)}
    yield Section(
        "Summary",
        (*_some("Expectations", tables.expectations(runs)), Named("", tables.summary(runs))),
    )
    latencies = [Named("", tables.latency(runs))]
    for name in dict.fromkeys(name for run in runs for name in run.plan.workload.classes):
        latencies += _some(f"By {name}", tables.classes(name, runs))
    yield Section("Latency", tuple(latencies), (charts.pop("latency"),))
    yield Section("Throughput", (), (charts.pop("throughput"),))
    if "attainment" in charts:
        yield Section(
            "SLO attainment", (Named("", tables.bounds(runs)),), (charts.pop("attainment"),)
        )
    did = [Named(f"Workers of {run.name}", tables.workers(run), folded=True) for run in runs]
    yield Section("Memory and batch", tuple(did), tuple(charts.values()))
    yield Section("Cost", (Named("", tables.cost(runs)),))
    texts = [
        (f"{run.name}: plan {run.summary['plan']}, seed {run.summary['seed']}", describe(run.plan))
        for run in runs
    ]
    yield Section("Plan and provenance", texts=tuple(texts))


def _of_study(
    study: StudyAnswer, charts: list[Chart], describe: Callable[[Plan], str]
) -> Iterator[Section]:
    name = study.data["study"]
    rows = Named("", tables.answer(study))
    yield Section(f"Study {name}", (*_some("Expectations", tables.study_expectations(study)), rows))
    if charts:
        yield Section(f"Pictures of {name}", (), tuple(charts))
    runs = Named(
        "Every run: the hash of its plan, and its seed", tables.provenance(study), folded=True
    )
    plan = study.plan
    texts = ((f"The plan of the first row: {plan.hash}", describe(plan)),) if plan else ()
    yield Section(f"Plan and provenance of {name}", (runs,), texts=texts)


def _some(title: str, table: Table) -> tuple[Named, ...]:
    return (Named(title, table),) if table.rows else ()


def _title(result: Result) -> str:
    name = result.summary["scenario"] if isinstance(result, Run) else result.data["study"]
    return str(name)


def _hash(script: str) -> str:
    """Return the name of a script in a content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
