"""A run that reaches a limit stops between events, keeps what it has, and says so."""

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import tsdl
from tests.engines import KINDS, compiled, ending, files_of
from tests.python_costs import EXTERNS
from tsdl.cli import main
from tsdl.errors import TsdlError
from tsdl.runtime import limits
from tsdl.runtime.externs import View
from tsdl.runtime.limits import Guard, Interrupted, Limits
from tsdl.runtime.result import Result
from tsdl.runtime.run import run
from tsdl.studies.store import Store

Capture = pytest.CaptureFixture[str]

PROGRAM = """
param n: int = 400
scenario busy {
  model = llama2_7b; cluster = replicas(A100_80G, 2); workload = sharegpt(requests = n)
  timeseries = changes; expect rejected > 0
}
"""
MUCH = 1e18


@pytest.fixture
def thin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often: in every slice of a run that takes a millionth of a second."""
    monkeypatch.setattr(limits, "SLICE", 1e-6)


def stop_after(monkeypatch: pytest.MonkeyPatch, looks: int) -> None:
    """Let a run reach its limit when it has been looked at so often."""
    left = iter(range(looks))

    def reached(guard: Guard, _requests: int, _gaps: int) -> tuple[str, float] | None:
        return None if next(left, None) is not None else ("time", guard.limits.seconds or 0.0)

    monkeypatch.setattr(Guard, "reached", reached)


def made(kind: str, seed: int) -> tsdl.Plan:
    """Return the plan of a random system; skip those that are no good."""
    try:
        return compiled(KINDS[kind].write(seed))
    except TsdlError as error:
        pytest.skip(f"it is no program: {error.diagnostics[0].code}")


ENGINES = pytest.mark.parametrize("engine", ["fast", "reference"])
SYSTEMS = pytest.mark.parametrize(
    ("kind", "seed"), [(kind, seed) for kind in KINDS for seed in range(715, 720)]
)


@ENGINES
@SYSTEMS
@pytest.mark.usefixtures("thin")
def test_limits_that_are_not_reached_change_nothing(kind: str, seed: int, engine: str) -> None:
    plan = made(kind, seed)
    wanted = ending(plan, engine)
    if wanted.how != "done":
        pytest.skip(f"it ends with {wanted.how}")
    assert files_of(plan.run(engine=engine, max_seconds=MUCH, max_memory=MUCH)) == wanted.files


def without_plan(result: Result) -> dict[str, str]:
    """Return the files of a result, of which the summary does not say what was to be run."""
    summary = {k: v for k, v in result.summary.items() if k not in ("partial", "plan")}
    return files_of(result) | {"summary.json": json.dumps(summary)}


@ENGINES
@SYSTEMS
@pytest.mark.usefixtures("thin")
def test_a_stopped_run_is_the_run_until_then(
    kind: str, seed: int, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = made(kind, seed)
    stop_after(monkeypatch, 15)
    try:
        stopped = plan.run(engine=engine, max_seconds=1.0)
    except TsdlError as error:
        pytest.skip(f"it ends with {error.diagnostics[0].code}")
    if stopped.partial is None:
        pytest.skip("it is over before")
    assert stopped.partial.at > 0
    until = tsdl.Plan(**plan.fields() | {"until": stopped.partial.at}).with_externs(EXTERNS)
    same = until.run(engine=engine)
    assert without_plan(stopped) == without_plan(same)
    assert same.partial is None


@pytest.mark.parametrize("looks", range(1, 6))
@pytest.mark.usefixtures("thin")
def test_a_stopped_run_has_nothing_from_after_it_was_stopped(
    looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fast engine runs to the next end, where nothing comes before it."""
    monkeypatch.setattr(limits, "_EVENTS", 1)
    name = "an_end_that_is_run_ahead_comes_after_the_boundaries_of_its_time"
    plan = compiled((Path(__file__).parent / "differences" / f"{name}.tsim").read_text("utf-8"))
    stop_after(monkeypatch, looks)
    stopped = plan.run(max_seconds=1.0)
    assert stopped.partial
    until = tsdl.Plan(**plan.fields() | {"until": stopped.partial.at})
    assert without_plan(stopped) == without_plan(until.run(engine="reference"))


def interrupt_after(monkeypatch: pytest.MonkeyPatch, looks: int) -> None:
    """Interrupt handlers when they have gone so many steps; nothing else reaches the limit."""
    left = iter(range(looks))

    def look(guard: Guard) -> None:
        if guard.interrupts and next(left, None) is None:
            raise Interrupted

    def reached(guard: Guard, _requests: int, _gaps: int) -> tuple[str, float] | None:
        return None if guard.interrupts else ("time", guard.limits.seconds or 0.0)

    monkeypatch.setattr(limits, "_STEPS", 1)
    monkeypatch.setattr(Guard, "look", look)
    monkeypatch.setattr(Guard, "reached", reached)


def looping(of_workers: str = "", of_the_cluster: str = "", requests: str = "requests = 60") -> str:
    """Return a program whose handlers go through loops, in the one stage or in the other."""
    return f"""
cluster two {{ worker gpu * 2 {{ hardware = A100_80G }} }}
workload some from sharegpt {{ {requests} }}
policy slow from continuous {{
  local {{ state n: int = 0; {of_workers} }}
  global {{
    state m: int = 0
    on arrive(r) {{ dispatch r to pick(w by w.queued + w.running, w.id for w in workers) }}
    {of_the_cluster}
  }}
}}
scenario s {{
  model = llama2_7b; cluster = two; workload = some; policy = slow; timeseries = changes
}}
"""


PAIRS = "for q in w.active { for p in w.active { n += count(o for o in w.active) } }"
OF_ITERATIONS = looping(f"on iteration(b, w) {{ {PAIRS} }}")
SLOW = {
    "iterations": OF_ITERATIONS,
    "tokens": looping(f"on token(r, w) {{ {PAIRS} }}"),
    "timers": looping(
        of_the_cluster="on every(3 s) { for w in workers { for q in w.active { m += 1 } } }"
    ),
    "admissions": looping("admit r when count(q for q in w.active) < 50"),
}


@ENGINES
@pytest.mark.parametrize("steps", [3, 1000, 20_000])
@pytest.mark.parametrize("what", SLOW)
@pytest.mark.usefixtures("thin")
def test_an_interrupted_run_is_the_run_until_the_time_before(
    what: str, steps: int, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = compiled(SLOW[what])
    interrupt_after(monkeypatch, steps)
    stopped = plan.run(engine=engine, max_seconds=1.0)
    if stopped.partial is None:
        assert steps > 3
        return
    if stopped.partial.at == 0:
        assert stopped.summary["requests"]["arrived"] <= 1
        return
    until = tsdl.Plan(**plan.fields() | {"until": stopped.partial.at})
    assert without_plan(stopped) == without_plan(until.run(engine=engine))


@ENGINES
def test_handlers_that_go_on_for_long_are_interrupted(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "_PATIENCE", 0.1)
    loops = "for a in w.active { for b in w.active { for c in w.active { for d in w.active {"
    handler = f"on iteration(batch, w) {{ {loops} n += 1 }} }} }} }} }}"
    plan = compiled(looping(handler, requests="requests = 300; arrivals = burst()"))
    begun = time.monotonic()
    stopped = plan.run(engine=engine, max_seconds=0.2)
    assert time.monotonic() - begun < 10  # it would take minutes
    assert stopped.partial is not None
    assert stopped.partial.by == "time"
    assert stopped.summary["requests"]["finished"] == 0


@pytest.mark.usefixtures("thin")
def test_a_formula_without_a_value_is_told_of_a_run_with_limits() -> None:
    """The reference engine says what is to be told: it begins anew."""
    plan = compiled(looping("on finish(r, w) { n += 1; log 1 / (n - 20) }"))
    told = []
    for most in (None, MUCH):
        with pytest.raises(TsdlError) as caught:
            plan.run(max_seconds=most)
        told.append(str(caught.value))
    assert told[0] == told[1]
    assert "division by zero" in told[0]


def test_a_trace_of_an_interrupted_run_has_everything_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = compiled(OF_ITERATIONS)
    interrupt_after(monkeypatch, 20_000)
    stopped = plan.run(max_seconds=1.0, trace=True, tokens=True)
    assert stopped.partial is not None
    until = tsdl.Plan(**plan.fields() | {"until": stopped.partial.at})
    whole = until.run(trace=True, tokens=True)
    assert stopped.tokens is not None
    assert whole.tokens is not None
    assert stopped.tokens.time.tolist() == whole.tokens.time.tolist()


def test_a_policy_in_python_is_not_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have kept something: such a run stops between events only."""
    local = f"local {{ state n: int = 0; on iteration(b, w) {{ {PAIRS} }} }}"
    policy = f'policy own from continuous {{ extern = "own"; reads = [r.prompt]; {local} }}'
    asked: list[int] = []

    def own(request: View, workers: list[View]) -> int:
        assert workers
        asked.append(request.id)
        return 0

    plan = tsdl.compile(
        policy + OF_ITERATIONS.replace("policy = slow", "policy = own"), externs={"own": own}
    )
    interrupt_after(monkeypatch, 20)
    plan.run(max_seconds=1.0)
    assert len(asked) == len(set(asked))


def test_a_partial_run_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    path, out = tmp_path / "busy.tsim", tmp_path / "out"
    path.write_text(PROGRAM, "utf-8")
    stop_after(monkeypatch, 12)
    assert main(["run", str(path), "--max-time", "5", "--out", str(out)]) == 4
    shown = capsys.readouterr().out
    assert "PARTIAL      stopped at" in shown
    assert "by the limit of 5 s of computing" in shown
    summary = json.loads((out / "summary.json").read_text("utf-8"))
    assert summary["partial"] == {"at": summary["end"], "by": "time", "limit": 5.0}
    assert 0 < summary["requests"]["arrived"] < 400
    assert json.loads((out / "summary.vllm.json").read_text("utf-8"))["partial"]["by"] == "time"
    assert main(["run", str(path), "-p", "n=3", "--max-time", "1000", "--out", str(out)]) == 4


def test_a_run_stops_in_time() -> None:
    plan = tsdl.compile(PROGRAM, params={"n": 2_000_000})
    result = plan.run(max_seconds=0.001)
    assert result.partial
    assert result.partial.by == "time"
    assert result.summary["requests"]["unfinished"] == result.summary["requests"]["arrived"]


def test_much_after_nothing_is_looked_at_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where little has happened for a long time, a slice is long, and what begins in it is not."""
    monkeypatch.chdir(tmp_path)
    rows = [f"{10_000 * i},10,2" for i in range(60)]
    header = "arrived_at,num_prefill_tokens,num_decode_tokens"
    Path("t.csv").write_text("\n".join([header, *rows, "600000,10,100000000"]), "utf-8")
    plan = tsdl.compile("""
model long from llama2_7b { context = 2e8 tokens }
hardware large from A100_80G { memory.capacity = 1e8 GiB }
workload w { trace = "t.csv" }
scenario s { model = long; cluster = single(large); workload = w }
""")
    looks = 400
    stop_after(monkeypatch, looks)
    stopped = plan.run(max_seconds=1)
    assert stopped.partial
    assert stopped.partial.at > 600_000
    assert stopped.summary["workers"][0]["iterations"] < 400 * looks


def test_a_run_stops_before_its_memory_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "used", lambda: 1e9)
    plan = tsdl.compile(PROGRAM)
    stopped = plan.run(max_memory=1e9 + 400 * 80 + 1)
    assert stopped.partial
    assert stopped.partial.by == "memory"
    assert "954 MiB of memory" in str(stopped.partial)
    assert 0 < stopped.summary["requests"]["arrived"] < 400
    assert plan.run(max_memory=2e9).partial is None


def test_the_memory_of_this_process_is_known() -> None:
    before = limits.used()
    block = bytearray(64 << 20)
    assert limits.used() - before > 48 << 20
    assert block


def test_requests_that_fill_the_memory_are_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = tsdl.compile(PROGRAM, params={"n": 50_000_000})
    with pytest.raises(TsdlError, match=r"50,000,000 requests would .* may take 1,000 MiB"):
        plan.run(max_memory=1000 << 20)
    monkeypatch.setattr(limits, "_installed", lambda: float(1 << 30))
    with pytest.raises(TsdlError, match="this machine has 1,024 MiB"):
        plan.run()


def test_a_system_without_memory_is_no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("tsdl.runtime.run.generate", full)
    with pytest.raises(TsdlError, match="E0905"):
        run(tsdl.compile(PROGRAM))


STUDY = """
study sizes { scenario = busy; vary n in [5, 1000000]; table throughput }
study most {
  scenario = busy; maximize n in 5..1000005 step 1000000 while throughput > 0 req/s
  table throughput
}
"""


@pytest.mark.parametrize("study", ["sizes", "most"])
def test_a_study_goes_on_without_the_points_that_reach_a_limit(
    study: str, tmp_path: Path, capsys: Capture
) -> None:
    path, store, out = (tmp_path / name for name in ("busy.tsim", "kept.sqlite", "out"))
    path.write_text(PROGRAM + STUDY, "utf-8")
    given = ["--study", study, "--store", str(store), "--out", str(out), "--jobs", "1"]
    assert main(["run", str(path), *given, "--max-time", "1"]) == 4
    assert "failed: stopped at" in capsys.readouterr().out
    rows = json.loads((out / "study.json").read_text("utf-8"))["rows"]
    assert rows[-1]["status"] == "failed"
    assert rows[-1]["reason"].endswith("by the limit of 1 s of computing")
    if study == "sizes":
        assert rows[0]["status"] == "ok"
    with Store(store) as kept:  # the short run; the long one is not known
        (count,) = kept._base.execute("select count(*) from run").fetchone()
    assert count == 1


@pytest.mark.parametrize(
    ("option", "text", "wanted"),
    [
        ("--max-memory", "500MB", 500e6),
        ("--max-memory", "4 GiB", 4 * 2.0**30),
        ("--max-memory", "1.5G", 1.5e9),
        ("--max-memory", "1048576", 1048576.0),
        ("--max-time", "90", 90.0),
        ("--max-time", "1.5s", 1.5),
        *(
            ("--max-memory", text, None)
            for text in ("", "-1 GB", "0", "x", "nan", "1e999 B", "4 bits")
        ),
        *(("--max-time", text, None) for text in ("0", "-1", "nan", "inf", "x")),
    ],
)
def test_how_limits_are_written(
    option: str, text: str, wanted: float | None, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    seen: list[Limits | None] = []
    usual: Callable[..., Limits | None] = limits.limits

    def noted(seconds: float | None, memory: float | None) -> Limits | None:
        seen.append(usual(seconds, memory))
        raise KeyboardInterrupt

    monkeypatch.setattr(limits, "limits", noted)
    monkeypatch.setattr("sys.stdin", None)
    path = str(Path(__file__).parents[1] / "examples" / "quickstart.tsim")
    if wanted is None:
        with pytest.raises(SystemExit, match="2"):
            main(["run", path, f"{option}={text}"])
        assert "is no " in capsys.readouterr().err
        return
    assert main(["run", path, f"{option}={text}"]) == 130
    assert seen == [Limits(wanted) if option == "--max-time" else Limits(None, wanted)]


def test_runs_side_by_side_leave_the_depth_of_calls_as_it_was() -> None:
    before = sys.getrecursionlimit()
    plan = tsdl.compile(PROGRAM, params={"n": 200})
    short = tsdl.compile(PROGRAM, params={"n": 20})
    with ThreadPoolExecutor(8) as threads:  # the first to begin is not the last to end
        list(threads.map(lambda made: made.run(), [short, plan, short, plan, plan, short] * 3))
    assert sys.getrecursionlimit() == before


def test_a_traced_run_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    stop_after(monkeypatch, 12)
    stopped = tsdl.compile(PROGRAM).run(max_seconds=1, trace=True)
    assert stopped.partial
    assert stopped.timeline
    assert len(stopped.timeline)


def test_a_report_says_what_is_partial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, out, page = tmp_path / "busy.tsim", tmp_path / "out", tmp_path / "page.html"
    path.write_text(PROGRAM, "utf-8")
    stop_after(monkeypatch, 12)
    assert main(["run", str(path), "--max-time", "5", "--out", str(out)]) == 4
    assert main(["report", str(out), "-o", str(page)]) == 0
    assert "(limit of time)" in page.read_text("utf-8")


def test_a_limit_is_above_nothing() -> None:
    with pytest.raises(ValueError, match="above 0"):
        tsdl.compile(PROGRAM).run(max_seconds=0)
    for wrong in ("1", [1.0], float("nan")):
        with pytest.raises(ValueError, match="a limit is a number above 0, not"):
            tsdl.compile(PROGRAM).run(max_memory=wrong)  # type: ignore[arg-type]
