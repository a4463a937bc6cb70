"""In which unit a study shows its numbers: the one that was written, else one that suits them."""

import json
from pathlib import Path

import pytest

import tsdl
from tsdl.cli import main
from tsdl.session import Session
from tsdl.studies.figures import SCALES, figure, interval, measured, scale
from tsdl.studies.text import describe
from tsdl.units import Dimension, Scale, base_unit

PARTS = """
param bw = 100 GB/s
param cost_of_hour = 2.5 USD/h
param fill = 50 %
param wide = 0.1 TB/s
param qps = 8 req/s
hardware own from A100_80G { memory.bandwidth = bw; rent = cost_of_hour }
cluster c { worker gpu { hardware = own } }
workload w {
  requests = 5; arrivals = poisson(qps); prompt = constant(64 tokens); output = constant(4 tokens)
}
scenario one { model = llama2_7b; cluster = c; workload = w }
"""


def shown(study: str) -> str:
    return describe(tsdl.study(PARTS + f"study s {{ scenario = one; {study} }}", jobs=1))


@pytest.mark.parametrize(
    ("study", "header", "cells"),
    [
        ("vary bw in [100, 200] GB/s; table finished", "bw (GB/s)", ["100", "200"]),
        ("vary bw in [0.1 TB/s, 200 GB/s]; table finished", "bw (TB/s)", ["0.1", "0.2"]),
        ("vary bw in [wide, 2 * wide]; table finished", "bw (GB/s)", ["100", "200"]),
        ("vary cost_of_hour in 1..2 USD/h; table cost", "cost_of_hour (USD/h)", ["1", "2"]),
        ("vary fill in [50, 90] %; table finished", "fill (%)", ["50", "90"]),
        ("vary fill in [0.5, 0.9]; table finished", "fill", ["0.5", "0.9"]),
        ("vary qps in [60, 120] req/min; table finished", "qps (req/min)", ["60", "120"]),
    ],
)
def test_axes_are_in_the_unit_that_was_written(study: str, header: str, cells: list[str]) -> None:
    lines = shown(study).splitlines()[2:]
    assert lines[0].startswith(f"  {header}  ")
    assert [line.split()[0] for line in lines[1:3]] == cells


def test_values_of_params_and_searches_are_in_their_units() -> None:
    told = shown("maximize qps in 60..600 step 60 req/min while finished > 0; table cost_of_hour")
    assert told.splitlines()[2].split("  ")[1:3] == ["qps (req/min)", "cost_of_hour (USD/h)"]
    assert told.splitlines()[3].split()[:2] == ["600", "2.5"]
    told = shown("maximize qps in 60..600 step 60 req/min while finished > 9; table price")
    assert "the condition holds at none of 60 req/min, 300 req/min, 600 req/min" in told


def test_candidates_of_a_search_are_round_in_the_unit_that_was_written() -> None:
    answer = tsdl.study(
        PARTS + "study s { scenario = one; maximize qps in 10..20 req/min while finished > 9;"
        " table price }",
        jobs=1,
    )
    search = answer.study.search
    assert search is not None
    assert all(f"{v * 60:.3g}" == f"{v * 60:.9g}" for v in search.values)


def test_points_are_named_with_units() -> None:
    told = shown("vary bw in [100, 200] GB/s; table finished; expect bw > 150 GB/s")
    assert "not at bw = 100 GB/s" in told


def test_values_in_messages_have_units() -> None:
    study = "study s {{ scenario = one; vary bw in [{}] GB/s; table finished; expect {} > 0 }}"
    found = _mistake(study.format("100, 100", "finished"))
    assert found.title == "`bw` takes 100 GB/s twice"
    found = _mistake(study.format("100, 200", "finished[bw = 50 GB/s]"))
    assert found.help == ("it takes 100 GB/s, 200 GB/s",)


def _mistake(study: str) -> tsdl.Diagnostic:
    (found,) = (d for d in tsdl.check(PARTS + study) if d.severity is tsdl.Severity.ERROR)
    return found


def test_pictures_and_tables_of_reports_are_in_the_unit_that_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("vl_convert", reason="needs the extra `report`")
    monkeypatch.chdir(tmp_path)
    Path("a.tsim").write_text(
        PARTS + "study s { scenario = one; vary bw in [100, 200] GB/s; vary fill in [50, 90] %;"
        " table mean(e2e), cost_of_hour; expect bw > 150 GB/s;"
        " plot lines(mean(e2e), x = bw, color = fill) }"
    )
    assert main(["run", "a.tsim", "--study", "s", "--jobs", "1", "--out", "out"]) == 3
    from tsdl.reports.results import StudyAnswer, read
    from tsdl.reports.studycharts import study_charts
    from tsdl.reports.tables import answer, provenance, study_expectations

    (found,) = read(["out"])
    assert isinstance(found, StudyAnswer)
    table = answer(found)
    assert table.headers[:2] == ("bw (GB/s)", "fill (%)")
    assert table.headers[3] == "cost_of_hour (USD/h)"
    assert table.rows[0][:2] == ("100", "50")
    assert provenance(found).rows[0][0] == "bw = 100 GB/s, fill = 50 %"
    assert "bw = 100 GB/s, fill = 50 %" in study_expectations(found).rows[0][2]
    (chart,) = study_charts(found, "")
    drawn = json.dumps(chart.panels[0].spec)
    assert '"bw (GB/s)"' in drawn
    assert '"50 %"' in drawn
    assert chart.table.headers[0] == "bw (GB/s)"
    assert chart.table.rows[-1][:2] == ("200", "90")


def test_a_unit_without_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.tsim").write_text(
        PARTS + "study s { scenario = one; vary bw in [100, 200] GB/s; table finished }"
    )
    assert main(["run", "a.tsim", "--study", "s", "--jobs", "1", "--out", "out"]) == 0
    from tsdl.reports.results import read

    data = json.loads(Path("out/study.json").read_text("utf-8"))
    data["scales"]["bw"]["size"] = 0.0
    Path("out/study.json").write_text(json.dumps(data), "utf-8")
    with pytest.raises(tsdl.TsdlError, match="E0704"):
        read(["out"])


def test_every_unit_that_is_shown_is_one_of_the_language() -> None:
    program, _ = Session("<text>", "param x = 1").compile()
    units = program.units
    for base, steps in SCALES.items():
        for least, (size, unit) in steps:
            assert size == pytest.approx(float(units.parse(unit).factor), rel=1e-15)
            assert units.parse(unit).dimension == units.parse(base).dimension
            assert scale(base, [least]).unit == unit


@pytest.mark.parametrize(
    ("dimension", "unit"),
    [
        ("", ""),
        ("money/time", "USD/s"),
        ("money/tokens", "USD/token"),
        ("tokens/time", "tokens/s"),
        ("energy/time", "W"),
        ("time^2", "s^2"),
        ("data*time", "bytes*s"),
        ("requests/time", "req/s"),
    ],
)
def test_every_dimension_has_a_base_unit(dimension: str, unit: str) -> None:
    assert base_unit(Dimension.of(dimension)) == unit


def test_numbers_for_people() -> None:
    assert measured(2e11, Scale(1e9, "GB/s")) == "200 GB/s"
    assert measured("static", Scale(1.0, "")) == "static"
    assert measured(float("nan"), Scale(1.0, "s")) == "–"
    assert measured(None, Scale(1.0, "s")) == "–"
    assert measured(value=True, shown=Scale(1.0, "")) == "true"
    assert figure(12_345.6) == "12,346"
    assert figure(1e300) == "1e+300"
    assert interval("throughput", 2.0, 0.125, 1.0) == "2 ± 0.12"
    assert interval("throughput", 2.0, float("nan"), 1.0) == "2"
