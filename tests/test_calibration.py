"""`tsdl calibrate` and `tsdl.calibrate`: what is compared, and what comes out."""

import json
import math
import sys
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

import tsdl
from tests.conftest import ROOT
from tsdl.calibration import Calibration
from tsdl.calibration.declarations import declarations
from tsdl.calibration.forward import log_ratios, replayed
from tsdl.calibration.residuals import groups, residuals, split_of
from tsdl.calibration.text import as_json, table
from tsdl.cli import main
from tsdl.cli.calibrating import _command
from tsdl.cli.parsers import make_parser
from tsdl.diagnostics import Sink
from tsdl.measured import Request, Run
from tsdl.planworkload import Draw
from tsdl.session import Session, choose_scenario

Capture = pytest.CaptureFixture[str]

EXAMPLE = ROOT / "examples" / "measured.tsim"
SAMPLE = ROOT / "examples" / "data" / "measured_sample.jsonl"
BANDWIDTHS = "hardware.efficiency.gemm.bandwidth+hardware.efficiency.attention.bandwidth"
OVERHEAD = "policy.local.overhead"
HEAVY = f"""
policy heavy from chunked {{ local {{ overhead = 1 ms + 48 us * requests }} }}
workload recorded {{ trace = "{SAMPLE}" }}
scenario it {{ model = llama3_1_8b; cluster = single(A100_80G); policy = heavy
  workload = recorded }}
"""


@pytest.fixture
def scipy() -> None:
    """Skip the test where there is no scipy."""
    pytest.importorskip("scipy", reason="needs scipy: pip install -e '.[calibrate]'")


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """Return a file of the first 40 requests of the sample: where the figures do not matter."""
    path = tmp_path / "few.jsonl"
    path.write_text("".join(SAMPLE.read_text("utf-8").splitlines(keepends=True)[:40]), "utf-8")
    return path


# Residuals.


def run_of(factor: float = 1.0, count: int = 120, constants: dict[str, float] | None = None) -> Run:
    """Return a run that was simulated with other constants, its times multiplied by a factor."""
    found = tsdl.compile(EXAMPLE, constants=constants).run().requests
    requests = [
        Request(
            float(found["arrived"][i] - found["arrived"][0]),
            int(found["prompt"][i]),
            int(found["output"][i]),
            ttft=float(found["ttft"][i]) * factor,
            e2e=float(found["e2e"][i]) * factor,
            tpot=float(found["tpot"][i]) * factor,
        )
        for i in range(count)
    ]
    return Run("run.csv", "csv", tuple(requests), 1.0)


def test_a_run_is_divided_by_its_arrivals() -> None:
    split = split_of(120, 0.3)
    assert (split.first, split.last, split.count) == (1, 84, 120)
    bins = split.bins
    assert (bins[0][0], bins[-1][1], len(bins)) == (1, 84, 10)
    assert all(high == low for (_, high), (low, _) in pairwise(bins))
    assert split_of(120, 0.0).last == 120
    assert split_of(17, 0.99).last == 2


def test_residuals_are_logarithms_in_bins() -> None:
    found = tsdl.validate(tsdl.compile(EXAMPLE), run_of(1.25), skip_first=1)
    splits = [split_of(120, 0.3)]
    apart = residuals([found], splits)
    assert apart == pytest.approx(-math.log(1.25))
    assert [len(apart[part]) for part in groups(splits)] == [10, 10, 10]


def test_what_never_came_is_far_away_and_what_was_not_measured_is_nowhere() -> None:
    run = run_of()
    first = replace(run.requests[0], ttft=math.nan)
    run = replace(run, requests=(first, *run.requests[1:]))
    found = tsdl.validate(tsdl.compile(EXAMPLE), run)
    found.simulated.values["ttft"] = np.where(np.arange(120) == 7, np.nan, 0.5)
    ratios = log_ratios(found, "ttft")
    assert math.isnan(ratios[0])
    assert ratios[7] == 2.0
    assert abs(ratios[8]) > 0


def test_a_trace_keeps_what_it_knows_besides() -> None:
    workload = tsdl.compile(EXAMPLE).workload
    run = run_of()
    later = replace(run, requests=tuple(replace(r, arrived=2 * r.arrived) for r in run.requests))
    again = replayed(workload, later).table
    assert again is not None
    assert workload.table is not None
    assert again.arrived[5] == 2 * run.requests[5].arrived
    assert (again.prompt, again.output) == (workload.table.prompt, workload.table.output)
    other = replayed(workload, run_of(count=20)).table
    assert other is not None
    assert len(other.prompt) == 20


def test_priorities_count_where_the_trace_has_the_same_requests() -> None:
    workload = tsdl.compile(EXAMPLE).workload
    assert workload.table is not None
    rows = tuple(float(row % 2) for row in range(len(workload.table.prompt)))
    workload = replace(workload, priority=Draw("rows", values=rows))
    assert replayed(workload, run_of()).priority == workload.priority
    assert replayed(workload, run_of(count=20)).priority is None


@pytest.mark.usefixtures("scipy")
def test_a_trace_of_other_requests_brings_no_priorities(few: Path, tmp_path: Path) -> None:
    rows = "".join(f"{row},100,10,{row % 2}\n" for row in range(5))
    (tmp_path / "own.csv").write_text(
        f"arrived_at,num_prefill_tokens,num_decode_tokens,tier\n{rows}", "utf-8"
    )
    program = tmp_path / "own.tsim"
    program.write_text(
        """
workload own { trace = "own.csv"; columns { priority = "tier" } }
scenario s { model = llama3_1_8b; cluster = single(A100_80G); policy = priority_first
  workload = own }
""",
        "utf-8",
    )
    assert tsdl.calibrate(program, [few], fit=[BANDWIDTHS]).fitted


# All of it.

TRUE = {"hardware.A100_80G.efficiency.gemm.bandwidth": 0.7, "policy.chunked.local.overhead": 1e-3}


@cache
def calibration() -> Calibration:
    names = ["hardware.efficiency.gemm.bandwidth", OVERHEAD]
    return tsdl.calibrate(EXAMPLE, [run_of(constants=TRUE)], fit=names)


@pytest.mark.usefixtures("scipy")
def test_constants_are_found_again() -> None:
    found = calibration()
    assert list(found.values) == list(TRUE)
    for fitted, true in zip(found.fitted, TRUE.values(), strict=True):
        (value,) = fitted.factor.values(fitted.logarithm)
        assert abs(math.log(value / true)) < 3 * fitted.deviation, fitted
        assert fitted.open < 1
        assert not fitted.at_bound
    (on_run,) = found.runs
    checks = {(check.part, check.statistic): check for check in on_run.checks}
    for name in ("tpot", "e2e"):
        check = checks["held out", name]
        assert abs(check.after) < 0.01
        assert abs(check.before) > 0.1
        assert check.after_each < 0.02
    assert all(0 < p.deviation < 0.1 for p in on_run.predictions)
    assert on_run.warnings == ()


@pytest.mark.usefixtures("scipy")
def test_it_is_shown_by_its_factors_and_errors() -> None:
    shown = repr(calibration())
    assert shown.startswith("<Calibration of measured: hardware.efficiency.gemm.bandwidth × 0.")
    assert ", policy.local.overhead × 0." in shown
    assert "; 1 run, means of what was held out off by up to " in shown
    assert len(shown) < 200


@pytest.mark.usefixtures("scipy")
def test_a_measured_zero_has_no_error() -> None:
    run = run_of()
    at_once = replace(run, requests=tuple(replace(r, ttft=0.0) for r in run.requests))
    found = tsdl.calibrate(EXAMPLE, [at_once], fit=[OVERHEAD])
    checks = [check for check in found.runs[0].checks if check.statistic == "ttft"]
    assert all(math.isnan(check.before) and math.isnan(check.after) for check in checks)
    assert "TTFT                   –" in table(found)


@pytest.mark.usefixtures("scipy")
def test_a_run_that_no_constants_explain_is_warned_of() -> None:
    found = tsdl.calibrate(EXAMPLE, [run_of(1000.0, 40)], fit=[BANDWIDTHS])
    (*doubts, warning), (on_run,) = found.warnings, found.runs
    assert {each.code for each in doubts} == {"W0611"}  # as seconds for each token
    assert warning.code == "W0904"
    assert warning.title.startswith("the fitted constants do not explain `run.csv`: held out, TPOT")
    assert "are they in ms?" in warning.help[0]
    sure = {p.statistic: p.deviation for p in on_run.predictions}
    for check in on_run.checks[-len(sure) :]:
        assert sure[check.statistic] >= abs(math.log(1 + check.after))
    written, told = declarations(found).replace("\n## ", " "), json.loads(as_json(found))
    assert f"Warning: {warning.title}." in written
    assert told["runs"][0]["warnings"] == [warning.title]


@pytest.mark.usefixtures("scipy")
def test_a_share_that_no_device_reaches_is_warned_of() -> None:
    name = "hardware.A100_80G.efficiency.gemm.bandwidth"
    found = tsdl.calibrate(EXAMPLE, [run_of(0.6, 40)], fit=[BANDWIDTHS, OVERHEAD])
    beyond = {w.title: w for w in found.warnings if w.code == "W0905"}
    title = next(title for title in beyond if name in title)
    assert title.startswith(f"`{name}` was fitted to 1")
    assert title.endswith(" % of the memory's bandwidth")
    assert f"Warning: {title}." in declarations(found).replace("\n## ", " ")
    assert title in json.loads(as_json(found))["warnings"]
    within = tsdl.calibrate(EXAMPLE, [run_of(1.1, 40)], fit=[BANDWIDTHS])
    assert not [w for w in within.warnings if w.code == "W0905"]


@pytest.mark.usefixtures("scipy")
def test_what_is_at_its_bound_is_not_said_to_be_nothing_the_run_depends_on() -> None:
    first, second = calibration().fitted
    stuck = replace(first, logarithm=first.factor.high, deviation=first.factor.width)
    assert stuck.at_bound
    shown = table(replace(calibration(), fitted=(stuck, second)))
    (line,) = (line for line in shown.splitlines() if "gemm.bandwidth" in line)
    assert line.endswith("   1.00  at its bound")


@pytest.mark.long
@pytest.mark.usefixtures("scipy")
def test_the_same_runs_give_the_same_bytes() -> None:
    again = tsdl.calibrate(EXAMPLE, SAMPLE, fit=[BANDWIDTHS], holdout=0.5)
    once = tsdl.calibrate(EXAMPLE, [SAMPLE], fit=[BANDWIDTHS], holdout=0.5)
    assert as_json(once) == as_json(again)
    assert declarations(once) == declarations(again)
    told = json.loads(as_json(once))
    assert [len(factor["constants"]) for factor in told["factors"]] == [2]
    assert told["runs"][0]["held_out"] == 60


@pytest.mark.usefixtures("scipy")
def test_what_is_written_declares_the_fitted_constants(tmp_path: Path) -> None:
    (tmp_path / "calibrated.tsim").write_text(declarations(calibration()), "utf-8")
    mine = tmp_path / "mine.tsim"
    text = EXAMPLE.read_text("utf-8").replace("data/measured", f"{SAMPLE.parent}/measured")
    text = text.replace("single(A100_80G)", "single(A100_80G_calibrated)")
    text = text.replace("= chunked", "= chunked_calibrated")
    mine.write_text(text.replace('"2026"\n', '"2026"\nimport "calibrated.tsim"\n'), "utf-8")
    assert tsdl.check(mine) == []
    assert tsdl.check(tmp_path / "calibrated.tsim") == []
    written = tsdl.compile(mine).workers[0]
    fitted = tsdl.compile(EXAMPLE, constants=calibration().values).workers[0]
    assert written.cost.overhead == pytest.approx(fitted.cost.overhead, rel=1e-3)
    for one, other in zip(written.efficiencies, fitted.efficiencies, strict=True):
        assert one.bandwidth == pytest.approx(other.bandwidth, rel=1e-3)


@pytest.mark.usefixtures("scipy")
def test_what_is_not_of_the_library_is_imported(few: Path, tmp_path: Path) -> None:
    text = EXAMPLE.read_text("utf-8").replace("data/measured", f"{SAMPLE.parent}/measured")
    own = "\nhardware own(share = 70 %) from A100_80G { efficiency.gemm.compute = share }\n"
    path = tmp_path / "own.tsim"
    path.write_text(text.replace("single(A100_80G)", "single(own(60 %))") + own, "utf-8")
    found = tsdl.calibrate(path, [few], fit=["hardware.efficiency.gemm.compute"])
    written = declarations(found, str(tmp_path / "results"))
    assert 'import "../own.tsim"\n' in written
    assert "hardware own_calibrated(share = 70 %) from own(share) {" in written
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "it.tsim").write_text(written, "utf-8")
    assert tsdl.check(tmp_path / "results" / "it.tsim") == []


@pytest.mark.long
@pytest.mark.usefixtures("scipy")
def test_runs_are_fitted_together(data: Path) -> None:
    path = data / "measured" / "vllm-0.19-rtxpro6000-llama-3.1-8b" / "requests.jsonl"
    if not path.is_file():
        pytest.skip(f"needs {path.name}")
    text = """
    policy served from chunked { local { max_requests = 128 } }
    workload any from constant_lengths { requests = 1; arrivals = burst(size = 1) }
    cluster one { worker gpu { hardware = RTX_PRO_6000 } }
    scenario s { model = llama3_1_8b; cluster = one; policy = served; workload = any }
    """
    found = tsdl.calibrate(
        text,
        [path, path],
        fit=["hardware.efficiency.*.bandwidth", "hardware.efficiency.*.overhead"],
    )
    assert len(found.runs) == 2
    for check in found.runs[0].checks:
        assert abs(check.after) < 0.05, check


# The command line.


@pytest.mark.usefixtures("scipy")
def test_the_command(few: Path, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "calibrated.tsim"
    arguments = ["calibrate", str(EXAMPLE), str(few), "--fit", BANDWIDTHS, "-o", str(path)]
    assert main([*arguments, "--holdout", "20 %"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.startswith("measured: 1 factor fitted to 1 run in ")
    assert "31 of 40 requests fitted, the last 8 held out" in said.out
    written = path.read_text("utf-8")
    assert "hardware A100_80G_calibrated from A100_80G {" in written
    assert "2026-01-01" in written
    assert "--holdout 0.2" in " ".join(written.split())


OWN = """
hardware own from A100_80G { efficiency.gemm.bandwidth = 70 % }
workload any { requests = 1; arrivals = burst(); prompt = constant(9); output = constant(9) }
scenario s { model = llama3_1_8b; cluster = single(own); workload = any }
"""


@pytest.mark.usefixtures("scipy")
def test_what_comes_in_by_the_standard_input_cannot_be_imported(
    few: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.tsim"
    arguments = ["calibrate", "-", str(few), "--fit", BANDWIDTHS, "-o", str(path)]
    monkeypatch.setattr("tsdl.cli.shared._stdin", lambda: OWN)
    assert main(arguments) == 2
    assert "-o writes imports hardware `own` from the program" in capsys.readouterr().err
    assert not path.exists()
    assert main(arguments[:-2]) == 0
    monkeypatch.setattr("tsdl.cli.shared._stdin", lambda: OWN.replace("(own)", "(A100_80G)"))
    assert main(arguments) == 0
    assert "import" not in path.read_text("utf-8")


def test_the_command_that_is_noted_is_the_one_that_was_given() -> None:
    words = ["calibrate", "a.tsim", "r.csv", "--allow", "data", "-p", "n=1", "-o", "out.tsim"]
    parsed = make_parser(["calibrate"]).parse_args(words)
    assert "r.csv -p n=1 --allow data --holdout 0.3 -o out.tsim" in _command(parsed)


@pytest.mark.usefixtures("scipy")
def test_the_command_in_json(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    found = calibration()
    monkeypatch.setattr("tsdl.calibration.calibrate", lambda *_: found)
    assert main(["calibrate", str(EXAMPLE), str(SAMPLE), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["scenario"] == "measured"


def test_without_scipy_it_says_so(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    assert main(["calibrate", str(EXAMPLE), str(SAMPLE)]) == 2
    assert "pip install 'tsdl[calibrate]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fit_", "reason"),
    [
        ("policy.local.watermark", "only numbers above 0"),
        ("hardware.price", "changes anything"),
        ("hardware.efficiency.gemm.compute,hardware.*.compute", "in two of the names"),
    ],
)
def test_what_cannot_be_fitted_is_wrong_usage(fit_: str, reason: str, capsys: Capture) -> None:
    assert main(["calibrate", str(EXAMPLE), str(SAMPLE), "--fit", fit_]) == 2
    assert reason in capsys.readouterr().err


def test_unknown_names_are_told(capsys: Capture) -> None:
    name = "hardware.efficiency.gem.compute"
    assert main(["calibrate", str(EXAMPLE), str(SAMPLE), "--fit", name]) == 1
    said = capsys.readouterr().err
    assert "E0508" in said
    assert "`hardware.efficiency.gemm.compute`" in said


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("prompt,output,ttft\n" + "8,8,1\n" * 40, "when requests arrived"),
        ("arrived,prompt,output,ttft\n" + "1,8,8,1\n" * 3, "16 are the least"),
    ],
)
def test_a_run_that_cannot_be_replayed(
    text: str, reason: str, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "run.csv").write_text(text, "utf-8")
    assert main(["calibrate", str(EXAMPLE), str(tmp_path / "run.csv")]) == 2
    assert reason in capsys.readouterr().err


def test_a_result_without_arrivals_is_compared_by_its_lengths() -> None:
    run = Run("old.json", "vllm", run_of().requests, 1.0, instead="`lengths = …`")
    first = replace(run.requests[0], arrived=math.nan)
    with pytest.raises(ValueError, match="compares it with a workload of `lengths = …`"):
        tsdl.calibrate(EXAMPLE, [replace(run, requests=(first, *run.requests[1:]))])


@pytest.mark.usefixtures("scipy")
def test_the_first_request_does_not_count() -> None:
    with pytest.raises(ValueError, match="has 15 requests to fit, besides the first; 16 are"):
        tsdl.calibrate(EXAMPLE, [run_of(count=16)], fit=[BANDWIDTHS], holdout=0)
    found = tsdl.calibrate(EXAMPLE, [run_of(count=17)], fit=[BANDWIDTHS], holdout=0)
    assert found.runs[0].split.last - found.runs[0].split.first == 16


def test_what_is_left_to_fit_counts(capsys: Capture) -> None:
    assert main(["calibrate", str(EXAMPLE), str(SAMPLE), "--holdout", "0.99"]) == 2
    assert "16 are the least" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--holdout", "1"], ["--holdout", "x"], ["--fit", ","]])
def test_wrong_usage(arguments: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["calibrate", str(EXAMPLE), str(SAMPLE), *arguments])
    assert ended.value.code == 2
    assert "usage: tsdl calibrate" in capsys.readouterr().err


@pytest.mark.usefixtures("scipy")
def test_a_file_that_cannot_be_written_is_told_before_the_fit(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tsdl.calibration.calibrate", lambda *_: pytest.fail("it was fitted"))
    out = tmp_path / "missing" / "out.tsim"
    assert main(["calibrate", str(EXAMPLE), str(SAMPLE), "-o", str(out)]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_what_is_read_is_not_written_over(tmp_path: Path, capsys: Capture) -> None:
    scenario, run = tmp_path / "own.tsim", tmp_path / "run.jsonl"
    scenario.write_bytes(EXAMPLE.read_bytes())
    run.write_bytes(SAMPLE.read_bytes())
    for lost in (scenario, run):
        before = lost.read_bytes()
        assert main(["calibrate", str(scenario), str(run), "-o", str(lost)]) == 2
        assert "it is read, and would be lost" in capsys.readouterr().err
        assert lost.read_bytes() == before


@pytest.mark.usefixtures("scipy")
def test_a_name_joined_to_others_may_be_unknown(capsys: Capture) -> None:
    names = f"{BANDWIDTHS}+hardware.nope"
    assert main(["calibrate", str(EXAMPLE), str(SAMPLE), "--fit", names]) == 1
    assert "no constant `hardware.nope`" in capsys.readouterr().err


@pytest.mark.usefixtures("scipy")
def test_a_formula_in_the_place_of_a_number_is_told(few: Path) -> None:
    with_launches = f"{OVERHEAD}+hardware.efficiency.gemm.overhead"
    found = tsdl.calibrate(HEAVY, [few], fit=[with_launches])
    assert found.formulas == (OVERHEAD,)
    assert f"`{OVERHEAD}` is a formula in this scenario and was not fitted" in table(found)
    assert json.loads(as_json(found))["formulas"] == [OVERHEAD]
    with pytest.raises(ValueError, match="is a formula here"):
        tsdl.calibrate(HEAVY, [SAMPLE], fit=[BANDWIDTHS, OVERHEAD])


def test_of_what_is_usually_fitted_formulas_are_told() -> None:
    chosen = choose_scenario(Session("it.tsim", HEAVY), Sink(), {})
    assert chosen is not None
    assert OVERHEAD in chosen.formulas()
    assert OVERHEAD not in {constant.short for constant in chosen.constants()}


def test_what_changes_nothing_is_told(few: Path) -> None:
    names = [BANDWIDTHS, "link.NVLink3.collective.latency"]
    found = tsdl.calibrate(EXAMPLE, [few], fit=names)
    assert found.idle == (names[1],)
    assert f"`{names[1]}` changes nothing" in table(found)
