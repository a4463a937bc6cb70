"""The tables of a report: what came of runs and studies in a few numbers, as texts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tsdl.formula import ATTRIBUTE
from tsdl.reports import series
from tsdl.reports.marks import Table
from tsdl.reports.runcharts import LATENCIES
from tsdl.reports.workercharts import labels
from tsdl.runtime.among import few
from tsdl.runtime.metrics import statistics
from tsdl.studies.figures import column_of_cells, column_of_means, figure, point, scale

if TYPE_CHECKING:
    from tsdl.reports.results import Run, StudyAnswer

Data = dict[str, Any]
_JOULES = 3.6e6  # of a kilowatt hour


def told(value: float | None, unit: str = "") -> str:
    """Return a number in a unit that suits it; a share as per cent; a dash for nothing."""
    if value is None or math.isnan(value):
        return "–"
    if unit == "share":
        return f"{value:.1%}"
    factor, shown = scale(unit, [value]) if value else (1.0, unit)
    return f"{figure(value / factor)} {shown}".strip()


def summary(runs: Sequence[Run]) -> Table:
    """Return the totals: a row for each, a column for each run."""
    rows: list[tuple[str, Callable[[Data], str]]] = [
        ("scenario", lambda s: s["scenario"]),
        ("requests counted", lambda s: f"{s['requests']['arrived']:,}"),
        ("finished", lambda s: f"{s['requests']['finished']:,}"),
        ("rejected", lambda s: f"{s['requests']['rejected']:,}"),
        ("unfinished", lambda s: f"{s['requests']['unfinished']:,}"),
        ("stuck", lambda s: f"{len(s['requests']['stuck']):,}"),
        ("not counted: warm-up", lambda s: f"{s['requests']['warmup']:,}"),
        ("makespan", lambda s: told(s["makespan"], "s")),
        ("throughput", lambda s: told(s["throughput"], "req/s")),
        ("tokens generated", lambda s: told(s["token_throughput"], "tokens/s")),
        ("goodput", lambda s: told(s["goodput"], "req/s")),
        ("SLO attainment", lambda s: told(s["attainment"], "share")),
        ("workers busy", lambda s: told(s["utilization"], "share")),
        ("preemptions", lambda s: told(s["preemptions"])),
    ]  # fmt: skip
    if any(run.summary["partial"] for run in runs):
        rows.insert(1, ("PARTIAL", _partial))
    if any(run.summary["transfers"]["count"] for run in runs):
        rows += [
            ("hand-overs of KV", lambda s: f"{s['transfers']['count']:,}"),
            ("bytes handed over", lambda s: told(s["transfers"]["bytes"], "bytes")),
        ]
    if any(run.summary["acceptance_length"] for run in runs):
        rows.append(("tokens a decode", lambda s: told(s["acceptance_length"])))
    if any(run.summary["steady"] is False for run in runs):
        rows.append(("requests pile up", lambda s: "yes" if s["steady"] is False else "no"))
    return _by_run(runs, rows)


def _partial(data: Data) -> str:
    """Say where a limit has stopped a run."""
    stopped = data["partial"]
    return f"stopped at {told(stopped['at'], 's')} (limit of {stopped['by']})" if stopped else ""


def latency(runs: Sequence[Run]) -> Table:
    """Return the statistics of latencies: a row for each latency and run."""
    statistics = ("mean", "p50", "p90", "p99", "max")
    rows = []
    for name in (*LATENCIES, "itl", "e2e_per_output_token"):
        title = {**LATENCIES, "itl": "Gaps of tokens", "e2e_per_output_token": "E2E / token"}[name]
        for run in runs:
            found = run.summary["latency"].get(name, {})
            cells = (told(found.get(s), "s") for s in statistics)
            rows.append((title, run.name, *cells))
    return _without_lone_run(runs, Table(("latency", "run", *statistics), tuple(rows), words=2))


def classes(name: str, runs: Sequence[Run]) -> Table:
    """Return what came of the requests of each priority, or by an attribute, of runs with few.

    Raises ValueError.
    """
    rows = []
    for run in runs:
        counted = series.counted(run)
        found = run.requests.get("priority" if name == "priority" else f"{ATTRIBUTE}{name}")
        if found is None:
            continue
        good = np.full(len(counted), bool(run.plan.slo))
        for condition in run.plan.slo:
            good &= series.met(run, condition)
        for one in few(found[counted]):
            those = counted & (found == one)
            times = [run.requests[m][those & run.finished] for m in ("ttft", "tpot")]
            cells = [told(t, "s") for values in times for t in statistics(values, (99,))]
            share = told(float(np.mean(good[those])), "share") if run.plan.slo else "–"
            told_of = run.plan.workload.told(name, one)
            counts = [f"{int(each.sum()):,}" for each in (those, those & run.finished)]
            rows.append((told_of, run.name, *counts, *cells, share))
    headers = ("finished", "mean TTFT", "p99 TTFT", "mean TPOT", "p99 TPOT", "in SLO")
    table = Table((name, "run", "requests", *headers), tuple(rows), words=2)
    return _without_lone_run(runs, table)


def bounds(runs: Sequence[Run]) -> Table:
    """Return what share of counted arrivals met each bound of the SLO. Raises ValueError."""
    rows = []
    for run in runs:
        counted = series.counted(run)
        for condition in run.plan.slo:
            met = series.met(run, condition)[counted]
            share = float(np.mean(met)) if len(met) else math.nan
            rows.append((condition.text, run.name, told(share, "share")))
    return _without_lone_run(runs, Table(("bound", "run", "met by"), tuple(rows), words=2))


def expectations(runs: Sequence[Run]) -> Table:
    """Return what was expected, and whether it holds."""
    rows = [
        ("pass" if e["passed"] else "FAIL", run.name, e["text"], told(e["value"]))
        for run in runs
        for e in run.summary["expect"]
    ]
    headers = ("verdict", "run", "expected", "its left side, in base units")
    return _without_lone_run(runs, Table(headers, tuple(rows), words=3))


def cost(runs: Sequence[Run]) -> Table:
    """Return what the cluster costs and draws, in all and for what it did."""
    known = {
        "devices": ("devices", ""),
        "price": ("price of all devices", "USD"),
        "idle_power": ("power, all idle", "W"),
        "decode_power": ("power, all decoding", "W"),
        "peak_power": ("power, all with prompts", "W"),
        "energy_per_token": ("energy per generated token", "J"),
        "cost": ("cost of the run", "USD"),
        "cost_per_million_tokens": ("cost per million tokens", "USD"),
        "carbon": ("carbon of the run", "gCO2"),
        "carbon_per_token": ("carbon per generated token", "gCO2"),
    }

    def reader(name: str, unit: str) -> Callable[[Data], str]:
        return lambda s: told(s["cluster"].get(name), unit)

    def of(s: Data, name: str) -> float:
        found = s["cluster"].get(name) if name in s["cluster"] else s[name]
        return math.nan if found is None else found

    def over(whole: float, part: float) -> float:
        return whole / part if part else math.nan

    rows = [(title, reader(name, unit)) for name, (title, unit) in known.items()]
    rows += [
        ("energy of the run", lambda s: told(of(s, "energy") / _JOULES, "kWh")),
        (
            "energy per finished request",
            lambda s: told(over(of(s, "energy"), s["requests"]["finished"]), "J"),
        ),
        (
            "price of devices by throughput",
            lambda s: told(over(of(s, "price"), of(s, "throughput")), "USD per req/s"),
        ),
    ]
    return _by_run(runs, rows)


def workers(run: Run) -> Table:
    """Return what each worker of a run did."""
    headers = (
        "worker", "hardware", "devices", "busy", "iterations", "preemptions", "KV peak", "of",
    )  # fmt: skip
    rows = tuple(
        (
            label,
            worker["hardware"],
            told(worker["devices"]),
            told(worker["utilization"], "share"),
            told(worker["iterations"]),
            told(worker["preemptions"]),
            told(worker["kv_peak"], "bytes"),
            told(worker["kv_capacity"], "bytes"),
        )
        for label, worker in zip(labels(run), run.summary["workers"], strict=True)
    )
    return Table(headers, rows, words=2)


def answer(study: StudyAnswer) -> Table:
    """Return the rows of a study: its columns, each number of its table, what is to be said."""
    data = study.data
    columns = []
    for name, unit in data["columns"].items():
        cells = [row["point"].get(name) for row in data["rows"]]
        columns.append(column_of_cells(name, unit, cells, study.scales.get(name)))
    for text, unit in data["table"].items():
        found = [row["values"].get(text, {}) for row in data["rows"]]
        pairs = [(f.get("mean"), f.get("half_width")) for f in found]
        columns.append(column_of_means(text, unit, pairs, study.scales.get(text)))
    columns.append(["notes", *map(_note, data["rows"])])
    headers, *rows = zip(*columns, strict=True)
    return Table(headers, tuple(rows), words=len(data["columns"]))


def study_expectations(study: StudyAnswer) -> Table:
    """Return what a study expected, and where it does not hold."""
    data, rows = study.data, []
    for expected in data["expect"]:
        points = [point(cells, data["columns"], study.scales) for cells in expected["failed"]]
        verdict = "pass" if expected["passed"] else "FAIL"
        rows.append((verdict, expected["text"], "; ".join(points), expected["told"]))
    headers = ("verdict", "expected", "not at", "in numbers, at the first")
    return Table(headers, tuple(rows), words=4)


def provenance(study: StudyAnswer) -> Table:
    """Return which runs a study is made of: plans by their hashes, and seeds."""
    rows = tuple(
        (
            point(row["point"], study.data["columns"], study.scales),
            run["plan"],
            str(run["seed"]),
        )
        for row in study.data["rows"]
        for run in row["runs"]
    )
    return Table(("point", "plan", "seed"), rows, words=2)


def _by_run(runs: Sequence[Run], rows: Sequence[tuple[str, Callable[[Data], str]]]) -> Table:
    headers = ("", *(run.name for run in runs))
    return Table(headers, tuple((title, *(of(r.summary) for r in runs)) for title, of in rows))


def _without_lone_run(runs: Sequence[Run], table: Table) -> Table:
    """Leave out the column that says which run, where there is one."""
    if len(runs) > 1 or "run" not in table.headers:
        return table
    at = table.headers.index("run")

    def rest(cells: tuple[str, ...]) -> tuple[str, ...]:
        return (*cells[:at], *cells[at + 1 :])

    return Table(rest(table.headers), tuple(map(rest, table.rows)), table.words - 1)


def _note(row: Data) -> str:
    """Say what there is to say of a row: of its search and front, or why it has no numbers."""
    if row["status"] != "ok":
        return f"{row['status']}: {row.get('reason', '')}"
    return "; ".join([*row.get("notes", ()), *(["on the front"] if row.get("pareto") else [])])
