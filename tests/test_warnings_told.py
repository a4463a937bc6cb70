"""What is warned of is told the same, wherever a program runs: command line, Python, notebooks."""

import json
import pickle
from pathlib import Path

import pytest

import tsdl
from tsdl.cli import main
from tsdl.diagnostics.text import render_all

Capture = pytest.CaptureFixture[str]

TRACE = "arrived,prompt,output\n0,100,10\n,,\n2,100,10\n"
PROGRAM = """
param rate = 2 req/s
param load: workload = even
slo tight { ttft <= 1 us }
workload recorded { trace = "t.csv" }
workload even from constant_lengths { requests = 5; arrivals = uniform(rate) }
scenario replayed { model = llama2_7b; cluster = single(A100_80G); workload = recorded }
scenario vain from replayed { workload = even; slo = tight }
scenario loaded from replayed { workload = load }
study twice { scenario = vain; vary rate in [2, 4] req/s; table p99(ttft); replicate 2 }
study some { scenario = loaded; vary load in [recorded, even]; table p99(ttft) }
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (tmp_path / "t.csv").write_text(TRACE, encoding="utf-8")
    path = tmp_path / "p.tsim"
    path.write_text(PROGRAM, encoding="utf-8")
    return path


def compiled(program: Path, scenario: str) -> tsdl.Plan:
    return tsdl.compile(program, scenario=scenario)


def test_a_plan_does_not_keep_the_files_that_it_is_warned_of(program: Path) -> None:
    (program.parent / "t.csv").write_text(TRACE + "3,100,10\n" * 10_000, encoding="utf-8")
    (warning,) = compiled(program, "replayed").warnings
    assert warning.span is not None
    assert warning.span.source.text == "arrived,prompt,output"
    assert warning.span.place.endswith("t.csv:1:1")


@pytest.mark.parametrize(("scenario", "code"), [("replayed", "W0603"), ("vain", "W0502")])
def test_what_compiling_told_is_with_plan_and_result(
    scenario: str, code: str, program: Path
) -> None:
    plan = compiled(program, scenario)
    assert [found.code for found in plan.warnings] == [code]
    assert plan.run().warnings[0] == plan.warnings[0]
    assert plan.with_externs({}).warnings == plan.warnings
    again = tsdl.Plan.from_json(plan.to_json())  # which has none of it
    assert (again.warnings, again, again.hash) == ((), plan, plan.hash)
    there = pickle.loads(pickle.dumps(plan))
    assert [found.title for found in there.warnings] == [plan.warnings[0].title]


def test_the_command_tells_them_once_and_its_json_has_them(program: Path, capsys: Capture) -> None:
    out = program.parent / "out"
    command = ["run", str(program), "--scenario", "vain", "--format", "json", "--out", str(out)]
    assert main(command) == 0
    said = capsys.readouterr()
    assert said.err.count("warning[W0502]") == 1
    assert json.loads(said.out)["warnings"] == [
        {
            "code": "W0502",
            "title": "no request can meet `ttft <= 1 us`",
            "place": f"{program}:4:13",
        }
    ]
    assert "warnings" not in json.loads((out / "summary.json").read_text())  # of plan and seed


def test_a_comparison_has_them(program: Path, capsys: Capture) -> None:
    out = program.parent / "out"
    assert main(["run", str(program), "--scenario", "vain", "--out", str(out)]) == 0
    capsys.readouterr()
    command = ["validate", str(program), str(out / "requests.csv"), "--scenario", "vain"]
    assert main([*command, "--format", "json"]) == 0
    said = capsys.readouterr()
    assert [found["code"] for found in json.loads(said.out)["warnings"]] == ["W0502"]
    assert said.err.count("warning[W0502]") == 1


def test_an_answer_has_those_of_its_study(program: Path, capsys: Capture) -> None:
    answer = tsdl.study(program, "twice", jobs=1)
    assert [found.code for found in answer.warnings] == ["W0512", "W0502"]  # and of its points
    assert len(answer.warnings[1].notes) == 1  # it is of all of them
    store = str(program.parent / "s.sqlite")
    command = ["run", str(program), "--study", "twice", "--jobs", "1", "--store", store]
    assert main([*command, "--format", "json"]) == 0
    said = capsys.readouterr()
    assert [said.err.count(f"warning[{code}]") for code in ("W0512", "W0502")] == [1, 1]
    assert [found["code"] for found in json.loads(said.out)["warnings"]] == ["W0512", "W0502"]


def test_an_answer_has_those_of_its_points(program: Path, capsys: Capture) -> None:
    answer = tsdl.study(program, "some", jobs=1)
    (left_out,) = answer.warnings
    assert left_out.code == "W0603"
    assert left_out.notes[-1] == "at 1 of 2 points"
    store = str(program.parent / "s.sqlite")
    main(["run", str(program), "--study", "some", "--jobs", "1", "--store", store])
    assert capsys.readouterr().err.count("warning[W0603]") == 1


def test_a_diagnostic_alone_looks_as_with_all_of_its_sources() -> None:
    """What is marked at two places of a source stands under one name."""
    found = tsdl.check(PROGRAM.replace("param rate = 2 req/s", "param rate = 2 req/s\n" * 2))
    found += tsdl.check(PROGRAM.replace("arrivals", "arivals"))
    assert any(each.secondary for each in found)
    assert any(each.fix for each in found)
    for each in found:
        assert render_all([each.alone], color=False) == render_all([each], color=False)
