"""What `tsdl plan` tells of a study: which runs are known, and about how long the others take."""

import json
import time
from pathlib import Path

import pytest

import tsdl
from tsdl.cli import main
from tsdl.diagnostics import Sink
from tsdl.session import Session
from tsdl.studies import Course, Points, choose_study
from tsdl.studies.forecast import _share, forecast
from tsdl.studies.pool import Pool
from tsdl.studies.store import Store

TEXT = """
param qps = 8 req/s
param gpus: int = 1
workload short {
  requests = 40; arrivals = poisson(qps); prompt = constant(64 tokens); output = constant(16 tokens)
}
cluster several { worker gpu * gpus { hardware = A100_80G } }
slo tight { ttft <= 40 ms }
scenario one { model = llama2_7b; cluster = several; workload = short; slo = tight }
study grid { scenario = one; vary qps in [2, 9] req/s; vary gpus in 0..2; replicate 2; table price }
study most {
  scenario = one
  vary gpus in 1..2
  maximize qps in 1..30 step 1 req/s while attainment >= 90 %
  table price
}
policy slow from continuous {
  local { on iteration(batch, w) when sum(r.generated for r in w.active) < 0 tokens { log 1 } }
}
scenario long from one { policy = slow; workload = lengthy }
workload lengthy from short { requests = 3000; output = constant(200 tokens) }
study heavy { scenario = long; vary qps in [9, 10] req/s; table price }
"""


def points(name: str) -> Points:
    found = choose_study(Session("a.tsim", TEXT), Sink(), {}, name)
    assert found is not None
    return found


def test_runs_that_are_known_are_told_and_points_without() -> None:
    told = forecast(points("grid"), None)
    assert (told.known, told.left, told.measured) == (0, 8, 3)
    assert [(p.number, why.code) for p, why in told.infeasible] == [(0, "E0513"), (3, "E0513")]


def test_runs_of_a_search_are_known_as_far_as_it_has_come(tmp_path: Path) -> None:
    with Store(tmp_path / "a.sqlite") as store:
        before = forecast(points("most"), store)
        assert (before.known, before.left) == (0, 18)  # 9 of 30 values each
        course = Course(points("most"), store, Pool(1))
        course.run()
        after = forecast(points("most"), store)
        assert (after.known, after.left, after.seconds) == (course.runs, 0, 0.0)
    with Store(tmp_path / "b.sqlite") as store:

        class Half(Exception):
            pass

        def stop(done: int, total: int, runs: int) -> None:
            if runs >= 5:
                raise Half

        course = Course(points("most"), store, Pool(1), progress=stop)
        with pytest.raises(Half):
            course.run()
        half = forecast(points("most"), store)
        assert half.known == 5
        assert 0 < half.left < 18
        assert half.measured == 5
        assert half.seconds > 0


def test_a_forecast_is_of_the_right_size_for_a_policy_that_is_slow() -> None:
    told = forecast(points("heavy"), None)
    begun = time.process_time()
    Course(points("heavy"), None, Pool(1)).run()
    seconds = time.process_time() - begun
    assert seconds > 1.0  # so that the beginnings are no more than that
    assert seconds / 4 < told.seconds < seconds * 4


@pytest.mark.parametrize(
    ("workload", "share"),
    [
        ("trace = \"t.jsonl\"", 5 / 40),  # sessions, of five calls each
        ("trace = \"t.jsonl\"; requests = 20", 5 / 20),
        ("trace = \"t.jsonl\"; requests = 60", 5 / 40),
        ("trace = \"t.csv\"", 5 / 50),
        ("lengths = \"t.csv\"; arrivals = uniform(1 req/s); requests = 10", 5 / 10),
        ("lengths = \"t.csv\"; arrivals = uniform(1 req/s); duration = 16 s", 4 / 16),
        ("sessions = 8; turns = constant(2); think = constant(1 s); arrivals = uniform(1 req/s)\n"
         "prompt = constant(9 tokens); output = constant(2 tokens)", 5 / 8),
    ],
)  # fmt: skip
def test_the_share_that_has_arrived_is_of_what_the_workload_counts(
    workload: str, share: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    call = {"input_toks": 10, "output_toks": 2, "tool_duration_ns": 0}
    sessions = ({"arrival_time_ns": i * 1e9, "sub_requests": [call] * 5} for i in range(40))
    Path("t.jsonl").write_text("\n".join(map(json.dumps, sessions)))
    rows = ["arrived_at,num_prefill_tokens,num_decode_tokens", *(f"{i},9,2" for i in range(50))]
    Path("t.csv").write_text("\n".join(rows))
    plan = tsdl.compile(f"""
workload w {{ {workload} }}
scenario s {{ model = llama2_7b; cluster = single(A100_80G); workload = w; until = 4 s }}
""")
    assert _share(plan.workload, plan.run(), 4.0) == pytest.approx(share)


def test_the_command_line_tells_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.tsim").write_text(TEXT)
    assert main(["check", "a.tsim"]) == 0
    told = capsys.readouterr().out
    assert "\n  2 points are infeasible:\n    qps = 2 req/s, gpus = 0: E0513: " in told
    assert main(["plan", "a.tsim", "--study", "grid"]) == 0
    told = capsys.readouterr().out
    assert "  2 points are infeasible:\n    qps = 2 req/s, gpus = 0: E0513: " in told
    assert "of CPU time, on " in told
    assert "as 3 runs tell\n" in told
    assert main(["run", "a.tsim", "--study", "grid", "--jobs", "1"]) == 0
    capsys.readouterr()
    assert main(["plan", "a.tsim", "--study", "grid"]) == 0
    told = capsys.readouterr().out
    assert "  8 runs are known\n" in told
    assert "CPU time" not in told
    assert main(["plan", "a.tsim", "--study", "grid", "--seed", "7"]) == 0
    assert "are known" not in capsys.readouterr().out
    assert main(["run", "a.tsim", "--study", "grid", "--jobs", "1", "--seed", "7"]) == 0
    capsys.readouterr()
    assert main(["plan", "a.tsim", "--study", "grid", "--seed", "7"]) == 0
    assert "  8 runs are known\n" in capsys.readouterr().out


def test_check_says_what_points_have_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """How the default is simulated, and what it is warned of, is told already."""
    path = tmp_path / "cards.tsim"
    path.write_text("""edition "2026"
model light from llama3_1_8b { weight_dtype = fp8; compute_dtype = fp8 }
policy aged from chunked { local { admit r by r.prompt / 1 tokens - (now - r.arrived) / 1 ms } }
param card: hardware = H100_SXM
param scheduler: policy = chunked
param rate = 1 req/s
workload few from sharegpt { requests = 10; arrivals = poisson(rate) }
scenario s { model = light; cluster = single(card); policy = scheduler; workload = few }
study cards {
  scenario = s
  vary card in [A100_80G, H100_SXM]
  vary scheduler in [chunked, aged]
  table mean(ttft)
}
study most {
  scenario = s
  vary scheduler in [aged]
  maximize rate in 1..2 req/s while mean(ttft) < 1 s
  table mean(ttft)
}
""")
    assert main(["check", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "s: gpu is lazy"
    assert lines[1] == "cards: 4 points: 4 runs"
    assert lines[2].startswith("  at 2 of 4 points W0515: `A100_80G` has no peak for fp8")
    assert lines[3].startswith("  at 2 of 4 points gpu is stepped because of `admit by` (")
    assert lines[4].startswith("most: 1 point, each a search")
    assert lines[5].startswith("  at 1 of 1 points gpu is stepped because of `admit by` (")
    assert len(lines) == 6
