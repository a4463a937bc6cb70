"""Charts of runs and of studies, as data: what is drawn, over what, and in what words."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

import tsdl
from tests.reported import PROGRAM, pictures_of, results_in, run_of
from tsdl.cli import main
from tsdl.reports import charts_of, read, series
from tsdl.reports.results import Run
from tsdl.reports.workercharts import worker_charts


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return results_in(tmp_path_factory.mktemp("results"))


# -- runs --------------------------------------------------------------------------------------


def test_parquet_is_read_as_csv_is(results: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="needs pyarrow: pip install -e '.[parquet]'")
    file = str(results / "main.tsim")
    given = ["--scenario", "pair", "--table-format", "parquet", "--out", str(tmp_path / "pair")]
    assert main(["run", file, *given]) == 0
    assert not (tmp_path / "pair" / "requests.csv").exists()
    one, other = run_of(results / "pair"), run_of(tmp_path / "pair")
    assert one.finished.tolist() == other.finished.tolist()
    for columns, others in ((one.requests, other.requests), (one.samples, other.samples)):
        assert columns.keys() == others.keys()
        assert all(np.array_equal(columns[n], others[n], equal_nan=True) for n in columns)


def test_a_distribution_is_that_of_the_values() -> None:
    values = np.append(np.arange(1001.0), math.nan)
    found, shares = series.distribution(values)
    assert (found[0], found[-1], shares[0], shares[-1]) == (0.0, 1000.0, 0.0, 1.0)
    assert found == pytest.approx([1000 * share for share in shares])
    assert series.distribution(np.array([math.nan])) == ([], [])


def test_what_is_noted_is_held_until_the_next_note(results: Path) -> None:
    run = run_of(results / "pair")
    columns = {
        "time": np.array([0.0, 0.0, 1.0, 3.0]),
        "worker": np.array([0.0, 1.0, 0.0, 0.0]),
        "running": np.array([4.0, 2.0, 8.0, 0.0]),
    }
    changed = Run("", run.summary, run.plan, run.requests, run.finished, columns)
    assert series.held(changed, "running", [0.0, 2.0, 4.0]) == [[6.0, 4.0], [2.0, 2.0]]


def test_the_share_that_met_the_slo_is_that_of_the_summary(results: Path) -> None:
    run = run_of(results / "pair")
    met = np.logical_and.reduce([series.met(run, c) for c in run.plan.slo])
    counted = series.counted(run)
    assert 0 < counted.sum() < len(counted)  # the warm-up is not
    assert met[counted].mean() == run.summary["attainment"]


def test_charts_of_a_run(results: Path) -> None:
    charts = {chart.name: chart for chart in charts_of(read([str(results / "pair")]))}
    assert list(charts) == [
        "latency", "throughput", "attainment", "memory", "batch-map", "kv", "batch", "queue",
    ]  # fmt: skip
    cells = charts["memory"].panels[0].spec["data"]["values"]
    assert {cell["y"] for cell in cells} == {"0 gpu", "1 gpu"}
    assert 0 < max(cell["v"] for cell in cells) < 1
    assert [row[0] for row in charts["latency"].table.rows][:2] == ["TTFT (ms)", "TPOT (ms)"]


def test_results_are_compared_in_one_chart_with_one_scale(results: Path) -> None:
    twice = [str(results / "pair"), str(results / "load" / ".." / "pair")]
    found = read(twice)
    assert [result.name for result in found] == ["pair 1", "pair 2"]
    charts = {chart.name: chart for chart in charts_of(found)}
    values = charts["latency"].panels[0].spec["data"]["values"]
    assert {value["c"] for value in values} == {"pair 1", "pair 2"}
    first, second = (panel.spec["encoding"] for panel in charts["kv"].panels)
    assert first["y"]["scale"] == second["y"]["scale"]
    assert [panel.title for panel in charts["memory"].panels] == ["pair 1", "pair 2"]


def test_many_workers_are_taken_together(results: Path) -> None:
    run = run_of(results / "pair")
    workers = [{**run.summary["workers"][0], "id": number} for number in range(1000)]
    times = np.repeat(np.linspace(0, run.summary["end"], 50), 1000)
    numbers = np.tile(np.arange(1000.0), 50)
    columns = {"time": times, "worker": numbers}
    columns |= dict.fromkeys(("queued", "running", "kv_used"), numbers)
    summary = {**run.summary, "workers": workers}
    many = Run("many", summary, run.plan, run.requests, run.finished, columns)
    charts = {chart.name: chart for chart in worker_charts([many])}
    field = charts["batch-map"].panels[0].spec["data"]["values"]
    assert len({cell["y"] for cell in field}) <= 64
    assert len(field) <= 20_000
    lines = charts["batch"].panels[0].spec["data"]["values"]
    assert {(v["c"], v["y"]) for v in lines} == {("highest", 999), ("mean", 499.5), ("lowest", 0)}


# -- studies -----------------------------------------------------------------------------------


def test_pictures_of_a_study(results: Path) -> None:
    lines, bars, heat, points, cdf = pictures_of(results / "load")
    values = lines.panels[0].spec["data"]["values"]
    assert {v["c"] for v in values} == {
        f"{policy}, {what}"
        for policy in ("static", "continuous")
        for what in ("mean(e2e)", "p99(e2e)")
    }
    assert {v["x"] for v in values} == {2, 8}
    assert all(v["l"] <= v["y"] <= v["h"] for v in values)  # two seeds
    assert [panel.title for panel in bars.panels] == ["qps = 2 req/s", "qps = 8 req/s"]
    assert [v["y"] for v in bars.panels[0].spec["data"]["values"] if v["x"] == "static"] == [1]
    places = [(c["x"], c["y"]) for c in heat.panels[0].spec["data"]["values"]]
    assert places == [(x, y) for x in ("2 req/s", "8 req/s") for y in ("static", "continuous")]
    assert {v["c"] for v in points.panels[0].spec["data"]["values"]} == {"static", "continuous"}
    curve = [v for v in cdf.panels[1].spec["data"]["values"] if v["c"] == "continuous"]
    assert [v["y"] for v in curve] == pytest.approx([p / 100 for p in range(101)])
    assert [v["x"] for v in curve] == sorted(v["x"] for v in curve)


def test_a_distribution_of_a_study_is_that_of_its_runs(results: Path) -> None:
    study = json.loads((results / "load" / "study.json").read_text("utf-8"))
    (picture,) = (p for p in study["pictures"] if p["kind"] == "cdf")
    row = picture["rows"][-1]
    assert row["point"] == {"qps": 8, "scheduler": "continuous"}
    plan = tsdl.compile(PROGRAM, params={"qps": "8 req/s"}, scenario="one")
    assert study["rows"][-1]["runs"] == [{"plan": plan.hash, "seed": seed} for seed in (0, 1)]
    each = []
    for seed in (0, 1):
        metrics = plan.run(seed=seed).metrics
        each.append(np.percentile(np.asarray(metrics["e2e"]) / np.asarray(metrics["output"]), 90))
    assert row["percentiles"][0][90] == pytest.approx(sum(each) / 2, rel=1e-12)


def test_without_pictures_the_table_is_drawn(results: Path) -> None:
    first, second = pictures_of(results / "bare")
    assert (first.title, second.title) == ("throughput over qps", "mean(e2e) over qps")
    assert [v["x"] for v in first.panels[0].spec["data"]["values"]] == [2, 8]
