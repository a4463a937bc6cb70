"""What is told of workers that start, drain and fail: states.csv, tracks of a trace, a chart."""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

import tsdl
from tests.reported import run_of
from tests.traceformat import checked
from tsdl.cli import main
from tsdl.reports import charts_of, read, series
from tsdl.runtime.scaling import STATES, turns

# One token a second. The second worker starts at 1 s, drains at 4 s with what came at 3.5 s, and is
# down at 6.5 s. Each fails 6.75 s after it is up: the first does, and the second takes its place.
FILE = """edition "2026"
cost second { iteration = 1 s }
cluster elastic {
  worker gpu * 1..2 {
    hardware = A100_80G; cost = second; start = 2 s
    failures = constant(6.75 s); repair = 1.25 s
  }
}
policy by_hand from continuous {
  global {
    on arrive(r) { dispatch r to pick(w by -w.id for w in workers) }
    on every(1 s) { scale gpu to 2 if now < 4 s else 1 }
  }
}
workload some {
  requests = 3; arrivals = burst(1 req, 3.5 s)
  prompt = constant(5 tokens); output = constant(3 tokens)
}
scenario it { model = llama2_7b; cluster = elastic; policy = by_hand; workload = some }
scenario still { model = llama2_7b; cluster = single(A100_80G); workload = some }
"""
TURNS = [
    (0, 0, "up"), (0, 1, "down"), (1, 1, "starting"), (3, 1, "up"), (4, 1, "draining"),
    (6.5, 1, "down"), (6.75, 0, "broken"), (6.75, 1, "starting"), (8, 0, "down"), (8.75, 1, "up"),
]  # fmt: skip


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("states") / "it.tsim"
    path.write_text(FILE, "utf-8")
    return path


def out(file: Path, folder: Path, *more: str, scenario: str = "it") -> Path:
    """Run the scenario and write its files into a folder."""
    given = ["--scenario", scenario, "--out", str(folder), *more]
    assert main(["run", str(file), *given]) == 0
    return folder


def test_each_state_has_the_time_at_which_it_begins(file: Path, tmp_path: Path) -> None:
    lines = (out(file, tmp_path) / "states.csv").read_text("utf-8").splitlines()
    assert lines[0] == "time,worker,state"
    found = [(float(t), int(w), s) for t, w, s in (line.split(",") for line in lines[1:])]
    assert found == TURNS
    seconds: dict[int, float] = defaultdict(float)
    result = tsdl.compile(file, scenario="it").run()
    ends = dict.fromkeys((0, 1), result.summary["end"])
    for time, worker, state in reversed(found):
        if state not in ("down", "broken"):  # here nobody has anything left once it broke
            seconds[worker] += ends[worker] - time
        ends[worker] = time
    assert [seconds[w["id"]] for w in result.summary["workers"]] == [
        w["on"] for w in result.summary["workers"]
    ]


def test_of_states_at_one_time_the_last_counts() -> None:
    history = [(0.0, 1, "up"), (0.0, 0, "up"), (2.0, 0, "draining"), (2.0, 0, "up"),
               (2.0, 1, "starting"), (2.0, 1, "down"), (5.0, 1, "up")]  # fmt: skip
    assert turns(history, 4.0) == [(0.0, 0, "up"), (0.0, 1, "up"), (2.0, 1, "down")]


def test_a_cluster_that_stays_as_it_is_has_none(file: Path, tmp_path: Path) -> None:
    out(file, tmp_path)
    out(file, tmp_path, scenario="still")  # what was there goes
    assert not (tmp_path / "states.csv").exists()
    assert len(tsdl.compile(file, scenario="still").run().states["time"]) == 0
    assert "states" not in {chart.name for chart in charts_of(read([str(tmp_path)]))}


def test_a_trace_has_a_track_of_states(file: Path) -> None:
    result = tsdl.compile(file, scenario="it").run(trace=True)
    folder = file.parent / "it.json"
    result.write_trace(folder)
    events = [e for e in checked(folder.read_text("utf-8")) if e.get("cat") == "state"]
    second = [(e["ts"] / 1e6, e["name"]) for e in events if e["pid"] == 3]
    assert second[:4] == [(0, "down"), (1, "starting"), (3, "up"), (4, "draining")]
    end = result.summary["end"] * 1e6
    assert {e["pid"]: e["ts"] + e["dur"] for e in events} == {2: end, 3: end}


def test_a_trace_of_some_time_has_the_states_that_overlap_it(file: Path) -> None:
    result = tsdl.compile(file, scenario="it").run(trace=(3.5, 5.0))
    path = file.parent / "some.json"
    result.write_trace(path)
    events = json.loads(path.read_text("utf-8"))["traceEvents"]
    found = [(e["pid"], e["name"]) for e in events if e.get("cat") == "state"]
    assert sorted(found) == [(2, "up"), (3, "draining"), (3, "up")]


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_chart_has_how_many_are_in_each_state(form: str, file: Path, tmp_path: Path) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow", reason="needs pyarrow: pip install -e '.[parquet]'")
    folder = out(file, tmp_path, "--table-format", form)
    run = run_of(folder)
    up, starting, draining = (
        series.in_state(run, STATES.index(state), [0.0, 2.0, 4.0, 8.0])
        for state in ("up", "starting", "draining")
    )
    assert up == [1.0, 1.5, 2.75 / 4]
    assert starting == [0.5, 0.5, 1.25 / 4]
    assert draining == [0.0, 0.0, 2.5 / 4]
    [chart] = [chart for chart in charts_of([run]) if chart.name == "states"]
    values = chart.panels[0].spec["data"]["values"]
    assert {v["c"] for v in values} == {"up", "starting", "draining", "broken"}
    assert np.isclose(max(v["y"] for v in values if v["c"] == "up"), 2)


@pytest.mark.parametrize(
    ("row", "reason"), [("1,0,asleep", "`asleep` is no state"), ("1,9,up", "states has workers")]
)
def test_damaged_states_are_told(
    row: str, reason: str, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out(file, tmp_path)
    (tmp_path / "states.csv").write_text(f"time,worker,state\n{row}\n", "utf-8")
    assert main(["report", str(tmp_path), "-o", str(tmp_path / "report.html")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error[E0704]: ")
    assert reason in said
