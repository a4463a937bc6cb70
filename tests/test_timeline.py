"""Traces: that they are as the format asks, and say what happened."""

import gzip
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tsdl
from tests.engines import KINDS, cut_off, files_of
from tests.event_limits import TooLongError
from tests.good_programs import first_scenario
from tests.traceformat import Event, WrongTraceError, checked, nanoseconds
from tsdl.cli import main
from tsdl.runtime.files import write_trace
from tsdl.runtime.result import Result
from tsdl.runtime.run import run
from tsdl.runtime.timeline import Timeline
from tsdl.runtime.traceevents import trace_json
from tsdl.runtime.watched import Watch

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SMALL = """
workload few { requests = 40; arrivals = poisson(20 req/s)
               prompt = uniform(10..900 tokens); output = uniform(1..60 tokens) }
hardware narrow from A100_80G { memory.capacity = 16.2 GiB }
scenario small { model = llama2_7b; cluster = single(A100_80G); workload = few }
scenario crowded from small { cluster = single(narrow) }
scenario stopped from small { until = 500 ms }
scenario apart from small { cluster = two; policy = disaggregated }
cluster two {
  worker prefill { hardware = A100_80G; link = PCIe4_x16; runs = prefill }
  worker decode { hardware = A100_80G; link = PCIe4_x16; runs = decode }
}
workload long from few { prompt = constant(4096 tokens); requests = 3 }
scenario refused from small { workload = long }
"""


def traced(scenario: str, trace: bool | tuple[float, float] = True) -> tuple[Result, list[Event]]:
    """Run a scenario, and return its result and the events of its trace."""
    result = tsdl.compile(SMALL, scenario=scenario).run(trace=trace)
    return result, checked("".join(trace_json(result)))


@pytest.mark.parametrize("wrong", [0, 5, "19", (None,), (1, 5, 3), ("1", "5"), {1.0: 5.0}])
def test_what_says_no_stretch_of_time_is_refused(wrong: Any) -> None:  # noqa: ANN401
    plan = tsdl.compile(SMALL, scenario="small")
    with pytest.raises(ValueError, match="`trace` is True, or two times in seconds"):
        plan.run(trace=wrong)
    with pytest.raises(ValueError, match="a trace cannot go from 5 s to 3 s"):
        plan.run(trace=(5, 3))


def test_an_end_of_the_stretch_may_be_left_out() -> None:
    plan = tsdl.compile(SMALL, scenario="small")
    assert plan.run(trace=None).timeline is None
    stretches = [(None, 0.3), (0.3, None), (None, None), True]
    seen = [plan.run(trace=stretch).timeline for stretch in stretches]  # type: ignore[arg-type]
    ends = [(each.begin, each.end) for each in seen if each is not None]
    assert ends == [(0, 0.3), (0.3, math.inf), (0, math.inf), (0, math.inf)]


def named(events: list[Event], phase: str, *names: str) -> list[Event]:
    return [e for e in events if e["ph"] == phase and (not names or e["name"] in names)]


ITERATIONS = ("prefill", "decode", "mixed", "dummy")


@pytest.mark.parametrize("kind", ["tame", "wild"])
def test_traces_of_random_systems_are_sound(kind: str) -> None:
    """They change nothing, and hold each iteration, hand-over and preemption once."""
    done: Counter[str] = Counter()
    for seed in range(200, 230):
        try:
            plan = tsdl.compile(KINDS[kind].write(seed))
            with cut_off(KINDS[kind].most_events):
                wanted = plan.run(engine="reference")
        except (tsdl.TsdlError, TooLongError):
            continue
        result = plan.run(trace=True, tokens=True)
        assert files_of(result) == files_of(wanted), seed
        compare(result, checked("".join(trace_json(result))))
        done["done"] += 1
        done["moved"] += bool(result.summary["transfers"]["count"])
        done["preempted"] += bool(result.summary["preemptions"])
    assert done["done"] > 15
    assert done["moved"] > (3 if kind == "wild" else 0)
    assert done["preempted"] > 2


def compare(result: Result, events: list[Event]) -> None:
    """See that a trace says what the summary does."""
    summary = result.summary
    stages = [max(len(kind.pipeline), 1) for kind in result.plan.workers for _ in range(kind.count)]
    seen, busy = Counter[int](), defaultdict[int, float](float)
    for event in named(events, "X", *ITERATIONS):
        if event["name"] != "dummy":
            seen[event["pid"] - 2] += 1
        busy[event["pid"] - 2] += event["dur"] * 1e-6
        assert event["args"]["requests"] == event["args"]["prefills"] + event["args"]["decodes"]
        assert (event["ts"] + event["dur"]) * 1e-6 <= summary["end"] + 1e-9
    for worker, count in zip(summary["workers"], stages, strict=True):
        number = worker["id"]
        # One may be put together when the run stops, and wait for victims that still move.
        waits = worker["iterations"] * count - seen[number]
        assert 0 <= waits <= (result.plan.until is not None)
        if count == 1:
            assert busy[number] == pytest.approx(worker["busy"], abs=1e-6)
    moves = named(events, "X", "hand-over", "sent ahead")
    if result.plan.until is None:  # else some are still on their way
        assert len(moves) == summary["transfers"]["count"]
        assert sum(e["args"]["bytes"] for e in moves) == summary["transfers"]["bytes"]
    assert len(named(events, "i", "preempted")) == summary["preemptions"]
    counts = summary["requests"]
    arrived = counts["arrived"] + counts["warmup"]
    assert len(named(events, "i", "arrived")) == arrived
    rejected = sum(result.requests["status"] == "rejected")
    assert len(named(events, "i", "rejected")) == rejected
    assert len(named(events, "b", "request")) == arrived


@pytest.mark.parametrize(
    "name", ["conversations", "disaggregated", "pipeline", "ranks", "memory", "prefix_caching"]
)
def test_traces_of_examples(name: str) -> None:
    """Tiers, breakpoints, stages, ranks and swapping."""
    source = (EXAMPLES / f"{name}.tsim").read_text("utf-8")
    few, count = re.subn(
        r"(requests|sessions) = (\d+)", lambda m: f"{m[1]} = {int(m[2]) // 5}", source
    )
    assert count == 1
    result = tsdl.compile(few, scenario=first_scenario(source)).run(trace=True)
    compare(result, checked("".join(trace_json(result))))


def test_names_say_what_an_iteration_does() -> None:
    _, events = traced("small")
    for event in named(events, "X", *ITERATIONS):
        prefills, decodes = event["args"]["prefills"], event["args"]["decodes"]
        wanted = "mixed" if prefills and decodes else "prefill" if prefills else "decode"
        assert event["name"] == wanted
    assert {e["name"] for e in named(events, "X")} >= {"prefill", "decode"}
    names = {e["args"]["name"] for e in named(events, "M", "process_name", "thread_name")}
    assert "gpu 0 (1 × A100_80G)" in names
    assert {"requests", "arrivals", "iterations"} <= names


def test_spans_of_requests_are_their_times() -> None:
    result, events = traced("small")
    begun = {(e["id"], e["name"]): e["ts"] for e in named(events, "b")}
    ended = {(e["id"], e["name"]): e["ts"] for e in named(events, "e")}
    for number, arrived in enumerate(result.requests["arrived"].tolist()):
        assert begun[number, "request"] == begun[number, "queue"] == round(arrived * 1e9) / 1e3
        for name in ("queue", "ttft", "e2e"):
            part = {"queue": "queue", "ttft": "prefill", "e2e": "decode"}[name]
            took = (ended[number, part] - begun[number, "request"]) * 1e-6
            assert took == pytest.approx(result.requests[name][number], abs=2e-9)


def test_kv_is_followed_from_the_prefill_to_the_decode() -> None:
    result, events = traced("apart")
    moves = {e["args"]["request"]: e for e in named(events, "X", "hand-over")}
    slices = {(e["tid"], e["ts"]): e for e in named(events, "X")}
    flows: dict[int, list[Event]] = defaultdict(list)
    for event in events:
        if event["ph"] in "stf":
            flows[event["id"]].append(slices[event["tid"], event["ts"]])
    assert flows.keys() == moves.keys()
    assert len(flows) == (result.requests["transferred"] > 0).sum() > 30
    for number, (prefill, move, decode) in flows.items():
        assert (prefill["name"], move, decode["name"]) == ("prefill", moves[number], "decode")
        assert (prefill["pid"], move["pid"], decode["pid"]) == (2, 3, 3)
        assert nanoseconds(prefill["ts"] + prefill["dur"]) <= nanoseconds(move["ts"])
        assert nanoseconds(move["ts"] + move["dur"]) <= nanoseconds(decode["ts"])
        assert move["args"]["way"] == "prefill 0 > decode 1"


def test_counters_say_how_many_run_and_wait() -> None:
    result, events = traced("crowded")
    counts = named(events, "C", "requests")
    assert max(e["args"]["waiting"] for e in counts) > 0
    assert counts[-1]["args"] == {"running": 0, "waiting": 0}
    used = [e["args"]["bytes"] for e in named(events, "C", "KV")]
    assert max(used) <= result.summary["workers"][0]["kv_peak"]
    assert result.summary["preemptions"] > 0


def test_who_is_rejected_has_a_span_up_to_then() -> None:
    result, events = traced("refused")
    assert result.summary["requests"]["rejected"] == 3
    assert len(named(events, "i", "rejected")) == 3
    assert {e["args"]["status"] for e in named(events, "b", "request")} == {"rejected"}


def test_what_is_in_flight_ends_with_the_run() -> None:
    result, events = traced("stopped")
    assert result.summary["requests"]["unfinished"] > 0
    last = max(e["ts"] + e.get("dur", 0) for e in events if "ts" in e)
    assert last == 500_000


def test_a_window_shows_what_is_in_it() -> None:
    _, whole = traced("small")
    result, part = traced("small", trace=(0.5, 1.0))
    assert result.summary == traced("small")[0].summary

    def within(event: Event) -> bool:
        return bool(event["ts"] < 1e6 and event["ts"] + event["dur"] >= 0.5e6)

    assert named(part, "X") == [e for e in named(whole, "X") if within(e)]
    assert 0 < len(named(part, "X")) < len(named(whole, "X"))
    for event in named(part, "C") + named(part, "i"):
        assert 0.5e6 <= event["ts"] < 1e6


def test_a_trace_that_would_be_too_large_ends_early() -> None:
    plan = tsdl.compile(SMALL, scenario="apart")
    timeline = Timeline(most=50)
    result = run(plan, watch=Watch(timeline))
    events = checked("".join(trace_json(result)))
    assert timeline.cut
    assert len(timeline) == 50
    assert all(e["ts"] < timeline.end * 1e6 for e in named(events, "X"))
    assert result.summary == plan.run().summary


@pytest.mark.parametrize("stretch", [(2.0, 1.0), (1.0, 1.0), (-1.0, 1.0), (float("nan"), 1.0)])
def test_a_stretch_that_cannot_be(stretch: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="a trace cannot go from"):
        tsdl.compile(SMALL, scenario="small").run(trace=stretch)


def test_a_run_that_was_not_traced_has_no_trace(tmp_path: Path) -> None:
    result = tsdl.compile(SMALL, scenario="small").run()
    with pytest.raises(ValueError, match=r"plan\.run\(trace=True\)"):
        result.write_trace(tmp_path / "x.json")
    assert not list(tmp_path.iterdir())


def test_files_are_the_same_bytes_compressed_or_not(tmp_path: Path) -> None:
    for name in ("a.json", "b.json.gz", "c.json.gz"):
        tsdl.compile(SMALL, scenario="small").run(trace=True).write_trace(tmp_path / name)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "b.json.gz", "c.json.gz"]
    plain = (tmp_path / "a.json").read_bytes()
    packed = (tmp_path / "b.json.gz").read_bytes()
    assert gzip.decompress(packed) == plain
    assert packed == (tmp_path / "c.json.gz").read_bytes()
    about = json.loads(plain)["otherData"]
    assert about["scenario"] == "small"
    assert set(about) == {"scenario", "plan", "seed"}


def test_a_trace_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result, _ = traced("small")

    def broken(_result: Result) -> Any:  # noqa: ANN401
        yield "{"
        raise OSError("the disk is full")

    monkeypatch.setattr("tsdl.runtime.files.trace_json", broken)
    with pytest.raises(OSError, match="full"):
        write_trace(result, tmp_path / "x.json")
    assert not list(tmp_path.iterdir())


# -- the checks themselves -------------------------------------------------------------------------


def break_nesting(events: list[Event]) -> None:
    named(events, "X")[0]["dur"] = 1e9


def break_span(events: list[Event]) -> None:
    events.remove(named(events, "e")[0])


def break_flow(events: list[Event]) -> None:
    named(events, "t")[0]["ts"] = 0


def break_name(events: list[Event]) -> None:
    events.remove(named(events, "M", "thread_name")[0])


def break_field(events: list[Event]) -> None:
    del named(events, "X")[0]["dur"]


@pytest.mark.parametrize("broken", [break_nesting, break_span, break_flow, break_name, break_field])
def test_a_wrong_trace_is_found(broken: Callable[[list[Event]], None]) -> None:
    _, events = traced("apart")
    broken(events)
    with pytest.raises(WrongTraceError):
        checked(json.dumps({"traceEvents": events}))


# -- the command line ------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "small.tsim"
    path.write_text(SMALL, encoding="utf-8")
    return str(path)


def test_command(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["run", file, "--scenario", "small"]
    assert main(arguments) == 0
    plain = capsys.readouterr()
    path = tmp_path / "x.json"
    assert main([*arguments, "--trace", str(path)]) == 0
    assert capsys.readouterr() == plain
    assert checked(path.read_text("utf-8")) == traced("small")[1]
    assert main([*arguments, "--trace", str(path), "--trace-window", "0.5..1"]) == 0
    assert checked(path.read_text("utf-8")) == traced("small", trace=(0.5, 1.0))[1]


def test_command_says_where_a_trace_was_cut(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tsdl.runtime.timeline.MOST_EVENTS", 10)
    path = str(tmp_path / "x.json")
    assert main(["run", file, "--scenario", "small", "--trace", path]) == 0
    said = capsys.readouterr().err
    assert "where it has 10 events; --trace-window" in said


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--trace", "x.txt"), "does not end in .json or .json.gz"),
        (("--trace", "x.json", "--trace-window", "3..2"), "is no FROM..TO"),
        (("--trace", "x.json", "--trace-window", "3"), "is no FROM..TO"),
        (("--trace", "x.json", "--trace-window", "a..b"), "is no FROM..TO"),
        (("--trace-window", "1..2"), "add --trace FILE"),
        (("--trace", "/nowhere/x.json"), "there is no such folder"),
    ],
)
def test_wrong_usage(
    given: tuple[str, ...], said: str, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status = main(["run", file, "--scenario", "small", *given])
    except SystemExit as ended:
        status = int(str(ended.code))
    assert status == 2
    assert said in capsys.readouterr().err
