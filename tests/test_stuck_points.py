"""Points of a study at which requests are stuck: they answer nothing, and say so."""

import math
from pathlib import Path

import pytest

import tsdl
from tests.command_line import Capture
from tsdl.cli import main
from tsdl.studies import Answer
from tsdl.studies.text import describe

PROGRAM = """
param qps = 4 req/s
param share = 90 %
policy sparing from chunked { local { admit r when kv.fill_with(r) < share } }
workload few from sharegpt(rate = qps) { requests = 30 }
scenario s { model = llama2_7b; cluster = single(A100_80G); policy = sparing; workload = few }
scenario ending from s { until = 2 s }
"""
NEVER = "0.1 %"


def asked(study: str, **params: str) -> Answer:
    return tsdl.study(PROGRAM + study, jobs=1, params=params)


def status_of(study: str, tmp_path: Path, *options: str) -> int:
    path = tmp_path / "stuck.tsim"
    path.write_text(PROGRAM + study)
    store = str(tmp_path / "store.sqlite")
    return main(["run", str(path), "--study", "x", "--jobs", "1", "--store", store, *options])


def test_a_stuck_row_has_no_numbers_and_fails_what_is_expected(
    tmp_path: Path, capsys: Capture
) -> None:
    study = """study x {
      scenario = s; vary share in [0.1, 90] %; table finished, p99(ttft); expect p99(ttft) <= 10 s
    }"""
    answer = asked(study)
    stuck, good = answer.rows
    assert (stuck.status, good.status) == ("stuck", "ok")
    assert stuck.reason == "nothing will ever dispatch or admit 29 requests"
    assert math.isnan(stuck.figures["finished"].mean)
    assert good.figures["finished"].mean == 30
    (expected,) = answer.expectations
    assert expected.failed == ({"share": 0.001},)
    assert expected.told == stuck.reason
    assert not answer.passed
    assert answer.complete
    assert status_of(study, tmp_path) == 3
    told = capsys.readouterr().out
    assert "–  stuck: nothing will ever dispatch or admit 29 requests\n" in told
    assert "not at share = 0.1 %\n        nothing will ever dispatch or admit 29 requests" in told


def test_stuck_rows_alone_have_a_status_without_any_expectation(tmp_path: Path) -> None:
    study = "study x { scenario = s; vary qps in [2, 4] req/s; table p99(ttft) }"
    assert not asked(study, share=NEVER).passed
    assert status_of(study, tmp_path, "-p", f"share={NEVER}") == 3
    assert asked(study).passed
    assert status_of(study, tmp_path) == 0


def test_a_search_finds_nothing_where_requests_are_stuck(tmp_path: Path) -> None:
    study = """study x {
      scenario = s; maximize qps in 1..64 req/s while p99(ttft) <= 10 s; table finished
    }"""
    (row,) = asked(study, share=NEVER).rows
    assert row.status == "stuck"
    assert "(at 1 req/s, nothing will ever dispatch or admit 29 requests)" in row.reason
    assert status_of(study, tmp_path, "-p", f"share={NEVER}", "--out", str(tmp_path / "out")) == 3
    assert not (tmp_path / "out" / "plan.json").exists()  # of no value it is the answer


def test_a_search_goes_past_values_at_which_requests_are_stuck() -> None:
    (row,) = asked("""study x {
      scenario = s; minimize share in 0.1..90 % while p99(ttft) <= 10 s; table finished
    }""").rows
    assert row.figures["finished"].mean == 30
    bracket = row.units[0].bracket
    assert bracket is not None
    assert dict(bracket.tried)[0.001] is False


def test_best_passes_over_who_is_stuck(tmp_path: Path) -> None:
    study = """study x {
      scenario = s; vary share in [0.1, 90] %; best share by mean(e2e); table finished
    }"""
    answer = asked(study)
    assert [row.cells["share"] for row in answer.rows] == [0.9]
    assert answer.passed  # what is left is an answer
    assert status_of(study, tmp_path) == 0


def test_one_seed_that_is_stuck_is_enough() -> None:
    (row,) = asked(
        "study x { scenario = s; vary qps in [4] req/s; replicate 2; table finished }", share=NEVER
    ).rows
    assert row.status == "stuck"
    assert row.reason == "with 2 of 2 seeds nothing will ever dispatch or admit 29 requests"


def test_who_is_unfinished_at_the_end_is_not_stuck() -> None:
    answer = asked(
        "study x { scenario = ending; vary qps in [4] req/s; table unfinished }", share=NEVER
    )
    (row,) = answer.rows
    assert row.status == "ok"
    assert row.figures["unfinished"].mean > 0
    assert answer.passed


def test_an_answer_of_failed_rows_has_not_passed() -> None:
    answer = tsdl.study(
        PROGRAM + "study x { scenario = s; vary qps in [4] req/s; table finished }",
        jobs=1, max_seconds=1e-6,
    )  # fmt: skip
    assert [row.status for row in answer.rows] == ["failed"]
    assert not answer.passed
    assert repr(answer) == "<Answer of x: 0 of 1 points, FAILED>"
    assert "failed: stopped at" in describe(answer)


@pytest.mark.parametrize("scenario", ["s", "ending"])
def test_a_result_passes_where_the_command_ends_well(scenario: str, tmp_path: Path) -> None:
    path = tmp_path / "stuck.tsim"
    path.write_text(PROGRAM)
    for share, stuck in (("90 %", False), (NEVER, scenario == "s")):
        result = tsdl.compile(path, {"share": share}, scenario).run()
        assert bool(result.summary["requests"]["stuck"]) is stuck
        assert result.passed is not stuck
        assert ("29 stuck" in repr(result)) is stuck
        status = main(["run", str(path), "--scenario", scenario, "-p", f"share={share}"])
        assert status == (3 if stuck else 0)


def test_a_result_that_a_limit_stopped_has_not_passed() -> None:
    result = tsdl.compile(PROGRAM, scenario="s").run(max_seconds=1e-9)
    assert result.partial
    assert not result.passed
    assert "passed" not in repr(result)
