"""Answers, rows, figures and measured runs as values of Python: how they show, how they travel."""

import pickle
from pathlib import Path

import pytest

import tsdl
from tsdl.measured import Request
from tsdl.studies.text import describe

PROGRAM = """
param rate = 2 req/s
param load: workload = few
workload few from constant_lengths { requests = 5; arrivals = poisson(rate) }
workload recorded { trace = "t.csv" }
scenario one { model = llama2_7b; cluster = single(A100_80G); workload = load }
study loads {
  scenario = one; vary rate in [2, 4] req/s; vary load in [few, recorded]; replicate 2
  table p99(ttft), throughput, throughput / throughput[rate = 2 req/s]
  expect throughput[rate = 4 req/s] >= throughput
}
study most { scenario = one; maximize rate in 1..4 req/s while p99(ttft) <= 10 s; table p99(ttft) }
"""
TRACE = "arrived,prompt,output\n0,100,10\n2,100,10\n"


def answer(study: str) -> tsdl.Answer:
    return tsdl.study(PROGRAM, study, jobs=1, files={"t.csv": TRACE}, allow=[])


@pytest.mark.parametrize("study", ["loads", "most"])
def test_an_answer_can_be_pickled(study: str, tmp_path: Path) -> None:
    found = answer(study)
    again = pickle.loads(pickle.dumps(found))
    assert again.data == found.data
    assert describe(again) == describe(found)
    assert again.passed == found.passed
    assert again.first_plan == found.first_plan
    assert [str(row) for row in again.rows] == [str(row) for row in found.rows]
    assert [warning.code for warning in again.warnings] == [w.code for w in found.warnings]
    assert pickle.loads(pickle.dumps(again)).data == found.data


def test_rows_and_figures_say_in_short_what_they_are() -> None:
    found = answer("loads")
    row = found.rows[0]
    assert repr(row).startswith("<Row of rate = 2, load = few: p99(ttft) 0.0")
    assert repr(row.figures["throughput"]).startswith("<Figure ")
    assert " ± " in repr(row.figures["throughput"])
    assert repr(row.units) == "[<Unit of point 0, seed 0>, <Unit of point 0, seed 1>]"
    assert repr(found.points) == "<Points of loads: 4>"
    assert len(repr(found.rows)) < 1000
    (single,) = answer("most").rows
    assert "±" not in repr(single.figures["p99(ttft)"])


def test_a_diagnostic_does_not_show_all_of_its_source() -> None:
    (found,) = tsdl.check("scenario small {\n" + "## so much\n" * 1000 + "}")
    assert len(repr(found)) < 1000


def test_a_measured_run_says_in_short_what_it_is() -> None:
    request = Request(0.0, 10, 5, ttft=0.5, e2e=1.0, tpot=0.125)
    run = tsdl.Run("served.json", "vllm", (request,) * 500, duration=12.5)
    assert repr(run) == "<Run of served.json (vllm): 500 requests in 12.5 s>"
