"""`tsdl validate` and `tsdl.validate`: a simulation beside a measurement."""

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

import tsdl
from tests.conftest import ROOT
from tsdl.cli import main
from tsdl.imports.served import of_another_model
from tsdl.measured import Request, Run
from tsdl.validation import Validation
from tsdl.validation.files import as_csv, as_json
from tsdl.validation.text import percent, table

Capture = pytest.CaptureFixture[str]

EXAMPLE = ROOT / "examples" / "measured.tsim"
SAMPLE = ROOT / "examples" / "data" / "measured_sample.jsonl"
SMALL = """
workload few from constant_lengths { requests = 20; arrivals = poisson(4 req/s) }
scenario small { model = llama2_7b; cluster = single(A100_80G); workload = few }
"""


TOLD, LENGTHS = ("open", "drawn"), "prompt = constant(9); output = constant(3)"
SMALL_OF = """
workload recorded {{ {} }}
scenario s {{ model = llama3_1_8b; cluster = single(A100_80G); workload = recorded }}
"""


def plan_of(text: str = SMALL) -> tsdl.Plan:
    return tsdl.compile(text)


def measured(slower: float = 1.0, *, prompt: int | None = None, timed: bool = True) -> Run:
    """Return a run of the small scenario whose times are longer than the simulated ones."""
    found = plan_of().run().requests
    requests = tuple(
        Request(
            float(found["arrived"][i] - found["arrived"][0]) if timed else math.nan,
            prompt or int(found["prompt"][i]),
            int(found["output"][i]),
            ttft=float(found["ttft"][i]) * slower,
            e2e=float(found["e2e"][i]) * slower,
            tpot=float(found["tpot"][i]) * slower,
        )
        for i in range(20)
    )
    return Run("measured.csv", "csv", requests, duration=10.0)


def errors(found: Validation) -> dict[str, float]:
    return {f"{row.metric} {row.statistic}".strip(): row.error for row in found.rows}


def test_a_run_against_itself_has_no_error() -> None:
    found = tsdl.validate(plan_of(), measured())
    assert found.same
    assert found.latest < 1e-9
    assert {row.metric for row in found.rows} == {
        "ttft", "tpot", "e2e", "throughput", "token_throughput",
    }  # fmt: skip
    assert all(abs(error) < 1e-12 for error in errors(found).values())
    for agreement in found.agreements:
        assert (agreement.count, agreement.mean_error, agreement.median_error) == (20, 0, 0)
        assert agreement.correlation == pytest.approx(1)


def test_errors_are_of_the_simulated_to_the_measured() -> None:
    found = tsdl.validate(plan_of(), measured(slower=1.25))
    assert ": ttft -20.0 %, tpot -20.0 %, e2e -20.0 %, throughput " in repr(found)
    for name, error in errors(found).items():
        if not name.endswith("throughput"):
            assert error == pytest.approx(-0.2)
    assert [a.mean_error for a in found.agreements] == pytest.approx([0.2] * 3)
    assert errors(found)["throughput"] > 0


def test_statistics_are_those_of_numpy() -> None:
    run = measured()
    found = {
        (row.metric, row.statistic): row.measured for row in tsdl.validate(plan_of(), run).rows
    }
    ttft = [request.ttft for request in run.requests]
    assert found["ttft", "mean"] == pytest.approx(np.mean(ttft))
    assert found["ttft", "p90"] == pytest.approx(np.percentile(ttft, 90))


def test_other_requests_leave_distributions() -> None:
    found = tsdl.validate(plan_of(), measured(prompt=7))
    assert not found.same
    assert found.agreements == []
    text = table(found)
    assert "these are not the same requests, so that only distributions are compared:" in text
    assert "measured   20 of 20 requests count, of 7 + 128 tokens on average, " in text
    assert "simulated  20 of 20 requests count, of 512 + 128 tokens on average, " in text
    assert 'to compare one by one, replay them: `trace = "measured.csv"`' in text
    untimed = table(tsdl.validate(plan_of(), measured(prompt=7, timed=False)))
    assert "tokens on average, arrivals unknown" in untimed
    one = replace(measured(prompt=7), requests=measured(prompt=7).requests[:1])
    assert "1 of 1 requests count, of 7 + 128 tokens on average\n" in table(
        tsdl.validate(plan_of(), one)
    )
    first = one.requests[0]
    both = table(tsdl.validate(plan_of(), replace(one, requests=(first, first))))
    assert "2 of 2 requests count, of 7 + 128 tokens on average, all at once\n" in both
    assert json.loads(as_json(found))["by_request"] == []


def test_errors_beyond_all_measure_fit_the_table() -> None:
    assert percent(0.123) == "+12.3 %"
    assert percent(-1.0) == "-100.0 %"
    assert percent(9.68e300) == "+9.68e+302 %"


def test_both_engines_and_a_folder_that_cannot_be(capsys: Capture, tmp_path: Path) -> None:
    given = ["validate", str(EXAMPLE), str(SAMPLE)]
    assert main(given) == 0
    fast = capsys.readouterr().out
    assert main([*given, "--engine", "reference"]) == 0
    assert capsys.readouterr().out == fast
    (tmp_path / "taken").write_text("", "utf-8")
    assert main([*given, "-o", str(tmp_path / "taken")]) == 2
    assert capsys.readouterr().out == ""  # said before the run


def test_the_first_requests_do_not_count() -> None:
    run = measured()
    late = run.requests[5].arrived
    for found in (
        tsdl.validate(plan_of(), run, skip_first=5),
        tsdl.validate(plan_of(), run, after=late - 1e-9),
    ):
        assert found.measured.counted.tolist() == [False] * 5 + [True] * 15
        assert found.agreements[0].count == 15


def test_the_warm_up_of_the_workload_does_not_count() -> None:
    run = measured()
    late = run.requests[5].arrived
    text = SMALL.replace("requests = 20", f"requests = 20; warmup = {late + 1e-6} s")
    assert tsdl.validate(plan_of(text), run).measured.counted.sum() == 14
    assert tsdl.validate(plan_of(text), run, after=0).measured.counted.sum() == 20


@pytest.mark.parametrize("number", range(1, 20))
def test_both_sides_count_the_same_requests(number: int) -> None:
    """The first of the simulated ones comes some time after the begin, that of the run at 0."""
    found = tsdl.validate(plan_of(), run := measured(), after=run.requests[number].arrived)
    assert found.simulated.counted.tolist() == found.measured.counted.tolist()
    assert found.measured.counted.sum() == 20 - number
    assert all(abs(error) < 1e-9 for error in errors(found).values())


def test_of_other_requests_those_count_that_come_so_long_after_the_first() -> None:
    found = tsdl.validate(plan_of(), run := measured(prompt=7), after=2)
    arrived = found.simulated.values["arrived"]
    assert arrived[0] > 0.1
    late = [request.arrived >= 2 for request in run.requests]
    assert found.simulated.counted.tolist() == (arrived - arrived[0] >= 2).tolist() == late


def test_a_run_without_arrivals() -> None:
    run = measured(timed=False)
    found = tsdl.validate(plan_of(), run)
    assert found.same
    assert math.isnan(found.latest)
    assert "is not known" in table(found)
    assert found.measured.throughput == 2.0  # 20 requests within its 10 seconds
    assert math.isnan(tsdl.validate(plan_of(), run, skip_first=1).measured.throughput)
    with pytest.raises(ValueError, match="when requests arrived"):
        tsdl.validate(plan_of(), run, after=1)


@pytest.mark.parametrize("wrong", [-1, 1.5, "1", None, math.nan])
def test_so_many_requests_are_no_number(wrong: Any) -> None:  # noqa: ANN401
    with pytest.raises(ValueError, match="`skip_first` is a whole number from 0 on, not "):
        tsdl.validate(plan_of(), measured(), skip_first=wrong)


@pytest.mark.parametrize("wrong", [-1, math.nan, math.inf, "5"])
def test_so_many_seconds_are_no_time(wrong: Any) -> None:  # noqa: ANN401
    with pytest.raises(ValueError, match="`after` is a time in seconds from 0 on, not "):
        tsdl.validate(plan_of(), measured(), after=wrong)


def test_somebody_must_count() -> None:
    with pytest.raises(ValueError, match="no request of"):
        tsdl.validate(plan_of(), measured(), skip_first=1000)


def test_arrivals_that_differ_are_told() -> None:
    text = SMALL.replace("poisson(4 req/s)", "poisson(8 req/s)")
    told = table(tsdl.validate(plan_of(text), measured()))
    assert "arrivals differ by up to" in told
    assert "is it the run of this workload" in told
    assert "is it the run" not in table(tsdl.validate(plan_of(), measured()))


def test_files_have_a_row_for_each_request_and_no_nan() -> None:
    found = tsdl.validate(plan_of(), measured(timed=False))
    lines = as_csv(found).splitlines()
    assert lines[0].startswith("id,measured_arrived,measured_prompt")
    assert len(lines) == 21
    assert lines[1].startswith("0,,512,")
    told = json.loads(as_json(found))
    assert told["arrivals_differ"] is None
    assert told["run"]["requests"] == 20


def test_python_reads_what_it_is_given() -> None:
    run = tsdl.read_run(SAMPLE)
    plan = tsdl.compile(EXAMPLE)
    assert as_json(tsdl.validate(plan, SAMPLE)) == as_json(tsdl.validate(plan, run))
    with pytest.raises(ValueError, match="no format"):
        tsdl.read_run(SAMPLE, "xls")
    with pytest.raises(tsdl.TsdlError, match="E0109"):
        tsdl.read_run(SAMPLE.with_name("missing"))
    with pytest.raises(tsdl.TsdlError, match="E0607"):
        tsdl.read_run(SAMPLE, "vllm")


# The command line.


def test_the_command_prints_a_table(capsys: Capture) -> None:
    assert main(["validate", str(EXAMPLE), str(SAMPLE), "--skip-first", "1"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.startswith(
        "measured against measured_sample.jsonl (llmservingsim, 2026-01-01)\n\n"
        "  119 of 120 requests count, the same in both\n"
    )
    assert "TTFT, engine's view" in said.out


def test_results_of_a_run_are_a_measured_run_too(tmp_path: Path, capsys: Capture) -> None:
    assert main(["run", str(EXAMPLE), "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    run = str(tmp_path / "requests.csv")
    assert main(["validate", str(EXAMPLE), run, "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["same_requests"]
    assert all(abs(row["error"]) < 1e-9 for row in told["table"])


@pytest.mark.parametrize(
    "header", ["arrived,prompt,output,ttft,e2e", "arrived_ms,prompt,output,ttft_ms,e2e_s"]
)
def test_requests_that_failed_are_in_neither_run(
    header: str, tmp_path: Path, capsys: Capture
) -> None:
    rows = [f"{i},{100 + i},20,{'' if i == 4 else 0.1},{'' if i == 4 else 0.5}" for i in range(9)]
    (tmp_path / "run.csv").write_text("\n".join([header, *rows]), "utf-8")
    path = tmp_path / "it.tsim"
    path.write_text(
        """
workload recorded { trace = "run.csv" }
scenario s { model = llama3_1_8b; cluster = single(A100_80G); workload = recorded }
""",
        "utf-8",
    )
    assert main(["validate", str(path), str(tmp_path / "run.csv")]) == 0
    said = capsys.readouterr()
    assert "8 of 8 requests count, the same in both" in said.out
    assert "1 that failed in the measurement are left out" in said.out
    (warning,) = tsdl.check(path)
    assert warning.title == "1 of 9 rows are left out: they failed, and have no answer"


def test_failed_requests_under_other_headers_are_told(tmp_path: Path, capsys: Capture) -> None:
    rows = [f"{i},{100 + i},20,{'' if i == 4 else 0.1}" for i in range(9)]
    run, path = tmp_path / "run.csv", tmp_path / "it.tsim"
    run.write_text("\n".join(["arrived,prompt,output,first", *rows]), "utf-8")
    path.write_text(SMALL_OF.format('trace = "run.csv"'), "utf-8")
    assert main(["validate", str(path), str(run), "--column", "ttft=first"]) == 0
    told = capsys.readouterr().out
    assert "the trace has those that failed, too: leave their rows out of the file" in told
    assert "to compare one by one" not in told


def test_files_and_pictures(tmp_path: Path, capsys: Capture) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install -e '.[plots]'")
    for name in ("a", "b"):
        folder = str(tmp_path / name)
        assert main(["validate", str(EXAMPLE), str(SAMPLE), "-o", folder]) == 0
    assert capsys.readouterr().err == ""
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["validate.csv", "validate.json", "validate.png", "validate.svg"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_without_matplotlib_the_other_files_are_written(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["validate", str(EXAMPLE), str(SAMPLE), "-o", str(tmp_path)]) == 0
    assert "pip install 'tsdl[plots]'" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["validate.csv", "validate.json"]


def test_mistakes_of_both_files_are_told(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "wrong.tsim").write_text("scenario x {}", "utf-8")
    (tmp_path / "wrong.csv").write_text("prompt,output,ttft\n1,2,x\n", "utf-8")
    assert main(["validate", str(tmp_path / "wrong.tsim"), str(tmp_path / "wrong.csv")]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "wrong.csv:2:1" in said.err
    assert "E0404" in said.err
    assert main(["validate", str(EXAMPLE), str(tmp_path / "none.csv")]) == 1
    assert "cannot read" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--column", "x=y"],
        ["--column", "ttft"],
        ["--column", "ttft=a", "--column", "ttft=b"],
        ["--skip-first", "-1"],
        ["--after", "soon"],
        ["--run-format", "xls"],
    ],
)
def test_wrong_usage(arguments: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["validate", str(EXAMPLE), str(SAMPLE), *arguments])
    assert ended.value.code == 2
    assert "usage: tsdl validate" in capsys.readouterr().err


def test_what_the_run_cannot_answer_is_wrong_usage(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "run.csv"
    path.write_text("in,output,ttft\n1,2,0.5\n", "utf-8")
    arguments = ["validate", str(EXAMPLE), str(path), "--column", "prompt=in"]
    assert main(arguments) == 0
    assert main([*arguments, "--after", "1"]) == 2
    assert "does not say when requests arrived" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("served", "told"),
    [
        ("meta-llama/Llama-2-7b-chat-hf", False),
        ("meta-llama/Llama-3.1-8B-Instruct", True),
        ("own/finetuned", False),
    ],
)
def test_a_run_of_another_model_is_told(served: str, told: bool, capsys: Capture) -> None:
    run = Run("run.json", "vllm", (), 1.0, model=served)
    assert [found.code for found in of_another_model(run, ["llama2_7b"])] == ["W0611"] * told
    both = ["qwen3_8b", "llama2_7b"]
    assert [found.code for found in of_another_model(run, both)] == ["W0611"] * told
    assert not list(of_another_model(run, ["mine"]))
    assert not list(of_another_model(run, ["llama2_7b", "mine"]))


def test_a_closed_loop_beside_an_open_one_is_told(tmp_path: Path, capsys: Capture) -> None:
    few = {"input_lens": [512] * 6, "output_lens": [3] * 6, "ttfts": [0.1] * 6}
    starts = [0.2 * (i // 2) for i in range(6)]
    result = {**few, "itls": [[0.05, 0.05]] * 6, "start_times": starts, "max_concurrency": 2}
    path, run = tmp_path / "main.tsim", tmp_path / "run.json"
    open_ = 'trace = "run.json"'
    told = {}
    for name, workload, changed in (
        ("open", open_, {}),
        ("closed", f"{open_}; speed = 1e6; concurrency = 2", {}),
        ("never full", open_, {"max_concurrency": 3}),
        ("unbounded", open_, {"max_concurrency": None}),
        ("drawn", f"requests = 6; arrivals = burst(); {LENGTHS}", {}),
    ):
        run.write_text(json.dumps(result | changed), "utf-8")
        path.write_text(SMALL_OF.format(workload), "utf-8")
        assert main(["validate", str(path), str(run)]) == 0
        told[name] = capsys.readouterr().err
        found = tsdl.validate(tsdl.compile(path), run)
        assert ["open at once" in w.title for w in found.warnings] == [True] * (name in TOLD)
    assert {name for name, text in told.items() if "W0611" in text} == set(TOLD)
    assert '`trace = "run.json"; speed = 1e6; concurrency = 2`' in told["open"]
    assert "has ended: `concurrency = 2`" in told["drawn"]


def test_python_tells_of_a_run_what_the_command_tells(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    served = {"model_id": "meta-llama/Llama-3.1-8B-Instruct", "duration": 0.5, "errors": [""]}
    lengths = {"input_lens": [512], "output_lens": [3], "start_times": [0.0], "ttfts": [0.1]}
    Path("run.json").write_text(json.dumps({**served, **lengths, "itls": [[2.0, 2.0]]}), "utf-8")
    Path("main.tsim").write_text(SMALL, "utf-8")
    assert main(["validate", "main.tsim", "run.json"]) == 0
    told = capsys.readouterr().err
    found = tsdl.validate(tsdl.compile(Path("main.tsim")), Path("run.json"))
    titles = [warning.title for warning in found.warnings]
    assert [title.partition(" ")[0] for title in titles] == [
        "a",
        "`meta-llama/Llama-3.1-8B-Instruct`",
    ]
    assert told.count("warning[W0611]") == 2
    assert all(title in told for title in titles)
