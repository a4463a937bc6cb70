"""Workers that start, drain and are down: who is up when, what they serve, and what they cost."""

import math

import pytest

import tsdl
from tests.told import records
from tsdl.runtime.externs import ExternActions, View
from tsdl.runtime.result import Result
from tsdl.runtime.text import summary

FILE = """edition "2026"
hardware rented from A100_80G {{ rent = 3600 USD/h }}
cluster elastic {{ worker gpu * {scale} {{ hardware = rented; start = {start}; {worker} }} }}
policy by_hand from continuous {{
  local {{ max_requests = 1 }}
  global {{ {handlers} }}
}}
kvcache prefixes from paged {{ share = prefix }}
cost second {{ iteration = 1 s }}
workload some {{ {workload} }}
scenario it {{ model = llama2_7b; cluster = elastic; policy = by_hand; workload = some }}
"""
# Each takes a second for every token.
LENGTHS = "prompt = constant(5 tokens); output = constant(3 tokens)"
FOUR = f"requests = 4; arrivals = burst(); {LENGTHS}"
IN_TURN = "dispatch r to round_robin(w for w in workers)"
NOTE = 'record "up", count(w for w in workers)'


def run(
    handlers: str,
    scale: str = "1..3",
    start: str = "2 s",
    worker: str = "cost = second",
    workload: str = FOUR,
    engine: str = "fast",
) -> Result:
    text = FILE.format(
        handlers=handlers, scale=scale, start=start, worker=worker, workload=workload
    )
    return tsdl.compile(text).run(engine=engine)


def ups(result: Result) -> list[tuple[float, float]]:
    """Return when how many were up, as handlers have recorded it."""
    return records(result, "up")


def on(result: Result) -> list[float]:
    return [worker["on"] for worker in result.summary["workers"]]


# -- starting ----------------------------------------------------------------------------------


def test_a_worker_is_up_once_it_has_started_and_handlers_are_told() -> None:
    result = run(
        f'on every(1 s) {{ scale gpu to 3; {NOTE} }}; on ready(w) {{ record "ready", w.id }}'
    )
    assert ups(result)[:4] == [(1, 1), (2, 1), (3, 3), (4, 3)]  # asked for at 1 s
    assert records(result, "ready") == [(3, 1), (3, 2)]


def test_who_waits_for_a_worker_goes_to_one_that_has_started() -> None:
    """Nobody is up at first; whoever arrives asks for one, which is there two seconds later."""
    dispatch = f"on arrive(r) {{ scale gpu to 2; {IN_TURN} }}"
    result = run(dispatch, scale="0..2")
    requests = result.requests
    assert requests["started"].tolist() == [2, 2, 5, 5]
    assert requests["worker"].tolist() == [0, 1, 0, 1]
    assert on(result) == [8, 8]


def test_numbers_are_rounded_up_and_held_within_the_bounds() -> None:
    for asked, found in (("1.2", 2), ("99", 3), ("-4", 1), ("2", 2)):
        result = run(f"on every(1 s) {{ scale gpu to {asked}; {NOTE} }}", start="0 s")
        assert ups(result)[-1][1] == found


def test_who_was_given_up_while_it_started_is_never_up() -> None:
    """Asked for at 1 s, given up at 2 s, asked for again at 3 s: it is up at 5 s."""
    handler = f"on every(1 s) {{ scale gpu to 1 if now == 2 s else 2; {NOTE} }}"
    result = run(handler, scale="1..2")
    assert ups(result)[:6] == [(1, 1), (2, 1), (3, 1), (4, 1), (5, 2), (6, 2)]
    assert on(result)[1] == 1 + (result.summary["end"] - 3)


def test_nothing_happens_once_all_is_done() -> None:
    """A start under way at the last token is not paid for, and its handler is not told."""
    result = run(
        f"on arrive(r) {{ scale gpu to 3; {IN_TURN} }}\n"
        "on ready(w) { log w.id; scale gpu to 1; scale gpu to 3 }",
        start="60 s",
    )
    end = result.summary["end"]
    assert end == 12
    assert on(result) == [end, end, end]
    assert not result.log


@pytest.mark.parametrize(
    ("handlers", "scale"),
    [
        (
            "on every(1 s) { scale gpu to 2 }; on ready(w) { scale gpu to 1; scale gpu to 2 }",
            "1..3",
        ),
        ("on every(1 s) { scale gpu to 3 if mod(now / 1 s, 2) == 1 else 0 }", "0..3"),
    ],
)
def test_a_policy_that_starts_and_gives_up_for_ever_is_told(
    handlers: str, scale: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tsdl.runtime.system.MOST_IN_VAIN", 500)
    with pytest.raises(tsdl.TsdlError, match="round and round") as error:
        run(
            handlers.replace("; on ready", "\non ready"),
            scale,
            start="0 s" if "ready" in handlers else "5 s",
        )
    assert error.value.diagnostics[0].code == "E0903"


# -- draining ----------------------------------------------------------------------------------


def test_who_drains_serves_what_it_has_and_gets_nothing_more() -> None:
    """Two of four wait on each; at 1 s the second drains: it serves its own two, until 6 s."""
    late = f"requests = 6; arrivals = burst(4 req, 2 s); {LENGTHS}"
    both = run(
        f"on arrive(r) {{ scale gpu to 2; {IN_TURN} }}\non every(1 s) {{ scale gpu to 1; {NOTE} }}",
        scale="2..3",
        start="0 s",
        workload=late,
    )
    assert both.requests["worker"].tolist() == [0, 1, 0, 1, 0, 1]
    result = run(
        f"on arrive(r) {{ if r.arrived == 0 s {{ scale gpu to 2 }}; {IN_TURN} }}\n"
        f"on every(1 s) {{ scale gpu to 1; {NOTE} }}",
        scale="0..2",
        start="0 s",
        workload=late,
    )
    assert result.requests["worker"].tolist() == [0, 1, 0, 1, 0, 0]
    assert on(result)[1] == 6  # from 0 s until the last of its own has ended
    assert result.summary["requests"]["finished"] == 6


def test_who_drains_comes_back_before_another_starts() -> None:
    handlers = (
        f"on arrive(r) {{ scale gpu to 2; {IN_TURN} }}\n"
        f"on every(1 s) {{ scale gpu to 1 if now == 1 s else 2; {NOTE} }}"
    )
    again = run(handlers, scale="0..3", start="0 s")
    # At 1 s it began to drain with its two requests, at 2 s it is taken back, at once.
    assert ups(again)[:2] == [(1, 1), (2, 2)]
    assert on(again) == [6, 6, 0]


def test_a_worker_that_is_named_all_the_same_gets_nothing() -> None:
    """`w` of a handler may drain: what is dispatched to it waits for another."""
    policy = (
        f"on arrive(r) {{ scale gpu to 2; {IN_TURN} }}\n"
        "on token(r, w) { if w.id == 1 { scale gpu to 1; submit r } }\n"
        "on submit(r) { dispatch r to pick(w by w.id for w in workers) }"
    )
    result = run(policy, scale="0..2", start="0 s")
    assert result.summary["requests"]["finished"] == 4
    assert set(result.requests["worker"].tolist()) == {0}


def test_what_a_cache_kept_is_gone_once_its_worker_was_down() -> None:
    talks = (
        "sessions = 1; arrivals = burst(); turns = constant(3); think = constant(20 s)\n"
        "prompt = constant(64 tokens); output = constant(2 tokens)"
    )
    always = run("", scale="1..1", worker="kv = prefixes", workload=talks)
    assert always.summary["workers"][0]["kv_hit_rate"] > 0
    again = run(
        f"on arrive(r) {{ scale gpu to 1; {IN_TURN} }}\non finish(r, w) {{ scale gpu to 0 }}",
        scale="0..1",
        start="1 s",
        worker="kv = prefixes",
        workload=talks,
    )
    assert again.summary["requests"]["finished"] == 3
    assert again.summary["workers"][0]["kv_hit_rate"] == 0
    assert on(again)[0] < 5


# -- costs -------------------------------------------------------------------------------------


def test_devices_cost_and_draw_while_they_are_on() -> None:
    """A dollar a second each: one for eight seconds, from the begin of the start; one for none."""
    result = run(f"on arrive(r) {{ scale gpu to 1; {IN_TURN} }}",
                 scale="0..2")  # fmt: skip
    end = result.summary["end"]
    assert on(result) == [end, 0]
    assert result.summary["cluster"]["cost"] == end
    power = result.plan.workers[0]
    first, second = (worker["energy"] for worker in result.summary["workers"])
    busy = result.summary["workers"][0]
    decoding = busy["busy"] - busy["prefilling"]
    expected = (
        power.idle_power * end
        + (power.decode_power - power.idle_power) * decoding
        + (power.peak_power - power.idle_power) * busy["prefilling"]
    )
    assert math.isclose(first, expected)
    assert second == 0
    assert result.summary["workers"][1]["utilization"] is None


def test_what_is_bought_costs_up_to_the_end_on_or_not() -> None:
    """Two that cost a dollar a second each, one of which is never on."""
    text = FILE.format(
        handlers=f"on arrive(r) {{ scale gpu to 1; {IN_TURN} }}", scale="0..2", start="2 s",
        worker="cost = second", workload=FOUR,
    )  # fmt: skip
    own = "price = 3600 USD; lifetime = 1 h; power { idle = 0 W; decode = 0 W; peak = 1 W }"
    result = tsdl.compile(
        text.replace("rent = 3600 USD/h", own)
    ).run()  # a joule costs next to none
    assert on(result)[1] == 0
    assert result.summary["cluster"]["cost"] == pytest.approx(2 * result.summary["end"], rel=1e-6)


def test_all_that_are_up_at_one_time_share_who_waits() -> None:
    """Three groups, and not the first of them alone."""
    groups = "; ".join(
        f"worker {name} * 0..1 {{ hardware = rented; start = 2 s; cost = second }}"
        for name in ("near", "far", "away")
    )
    text = FILE.format(
        handlers=(
            "on every(1 s) { scale near to 1; scale far to 1; scale away to 1 }; "
            'on ready(w) { record "seen", count(v for v in workers) }; '
            "on arrive(r) { dispatch r to pick(w by w.outstanding for w in workers) }"
        ),
        scale="0..1", start="2 s", worker="cost = second",
        workload=FOUR.replace("requests = 4", "requests = 6"),
    )  # fmt: skip
    line = next(line for line in text.splitlines() if line.startswith("cluster"))
    text = text.replace(line, f"cluster elastic {{ {groups} }}")
    for engine in ("fast", "reference"):
        result = tsdl.compile(text).run(engine=engine)
        assert [value for _, value in records(result, "seen")] == [3, 3, 3]
        assert sorted(result.requests["worker"]) == [0, 0, 1, 1, 2, 2]


def test_the_text_tells_how_long_they_were_on() -> None:
    text = summary(run(f"on arrive(r) {{ scale gpu to 1; {IN_TURN} }}",
                       scale="0..2"))  # fmt: skip
    assert "0..2 × gpu" in text
    assert "on 50.0 % of the time, busy" in text


# -- both engines, and Python ------------------------------------------------------------------


@pytest.mark.parametrize("wanted", ['"2"', "None", "[2]", "10 ** 400", "float('nan')", "True"])
def test_a_policy_in_python_scales_to_numbers(wanted: str) -> None:
    scaler = Scaler("gpu", eval(wanted))
    with pytest.raises(tsdl.TsdlError, match="which is no number") as error:
        tsdl.compile(PYTHON, externs={"scaler": scaler}).run()
    assert error.value.diagnostics[0].code == "E0904"


@pytest.mark.parametrize("others", ["", "worker fixed { hardware = A100_80G }"])
def test_both_engines_agree(others: str) -> None:
    text = f"""edition "2026"
cluster elastic {{ worker gpu * 1..4 {{ hardware = A100_80G; start = 3 s }}; {others} }}
policy by_queue from continuous {{ global {{
  on arrive(r) {{ dispatch r to pick(w by w.load for w in workers) }}
  on every(1 s) {{ {NOTE}; scale gpu to sum(w.outstanding for w in workers) / 20 }}
}} }}
workload bursts {{
  requests = 400; arrivals = on_off(rate = 30 req/s, on = 5 s, off = 20 s)
  prompt = uniform(20..400 tokens); output = uniform(20..200 tokens)
}}
scenario it {{ model = llama2_7b; cluster = elastic; policy = by_queue; workload = bursts }}
"""
    plan = tsdl.compile(text)
    fast, reference = plan.run(), plan.run(engine="reference")
    assert fast.summary == reference.summary
    for name in ("worker", "started", "first_token", "last_token"):
        assert fast.requests[name].tolist() == reference.requests[name].tolist()
    assert max(value for _, value in ups(fast)) > 2
    assert plan.rungs[0].name == "lazy"


class Scaler:
    """Asks for two workers of a name whenever somebody arrives."""

    def __init__(self, name: str, wanted: object = 2) -> None:
        """Ask for so many workers of a name."""
        self.name, self.wanted = name, wanted
        self.started: list[int] = []

    def arrive(self, act: ExternActions, r: View, workers: list[View]) -> None:
        """Ask for two, and send it to one of those that are up."""
        act.scale(self.name, self.wanted)  # type: ignore[arg-type]
        if workers:
            act.dispatch(r, min(workers, key=lambda w: w.queued))

    def ready(self, act: ExternActions, w: View) -> None:
        """Note who is up."""
        self.started.append(w.id)


PYTHON = f"""edition "2026"
cluster elastic {{ worker gpu * 0..2 {{ hardware = A100_80G; start = 1 s; cost = second }} }}
cost second {{ iteration = 1 s }}
policy in_python from continuous {{ extern = "scaler"; reads = [w.queued] }}
workload some {{ {FOUR} }}
scenario it {{ model = llama2_7b; cluster = elastic; policy = in_python; workload = some }}
"""


def test_a_policy_in_python_scales_too() -> None:
    scaler = Scaler("gpu")
    result = tsdl.compile(PYTHON, externs={"scaler": scaler}).run()
    assert result.requests["worker"].tolist() == [0, 1, 0, 1]
    assert scaler.started == [0, 1]


def test_a_policy_in_python_is_told_what_can_be_scaled() -> None:
    with pytest.raises(tsdl.TsdlError, match="scales 'cpu', which cannot be scaled") as error:
        tsdl.compile(PYTHON, externs={"scaler": Scaler("cpu")}).run()
    assert error.value.diagnostics[0].code == "E0904"
    assert "gpu" in error.value.diagnostics[0].help[0]
