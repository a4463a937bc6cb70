"""Workers that fail: what becomes of what they had to do, and when they serve again."""

import math

import pytest

import tsdl
from tests.told import records
from tsdl.runtime.result import Result

FILE = """edition "2026"
cost second {{ iteration = 1 s }}
kvcache prefixes from paged {{ share = prefix }}
link slow {{ bandwidth = 4 MiB/s; latency = 0 s }}
cluster frail {{ {cluster} }}
policy told from {base} {{
  {local}
  global {{
    {handlers}
    on fail(w) {{ record "fail", w.id }}
    on ready(w) {{ record "ready", w.id }}
  }}
}}
workload some {{ requests = {requests}; arrivals = burst({requests} req); {lengths} }}
scenario it {{ model = llama2_7b; cluster = frail; policy = told; workload = some }}
"""
LENGTHS = "prompt = constant(5 tokens); output = constant(3 tokens)"
ONE = "worker gpu * {n} {{ hardware = A100_80G; cost = second; failures = constant({at}); {more} }}"


def run(
    cluster: str,
    handlers: str = "",
    base: str = "continuous",
    local: str = "",
    requests: int = 2,
    lengths: str = LENGTHS,
) -> Result:
    text = FILE.format(
        cluster=cluster, handlers=handlers, base=base, local=local, requests=requests,
        lengths=lengths,
    )  # fmt: skip
    return tsdl.compile(text).run()


def one(n: int = 1, at: str = "1.5 s", more: str = "repair = 10 s; start = 2 s") -> str:
    return ONE.format(n=n, at=at, more=more)


def test_what_a_worker_had_computed_is_computed_anew_once_it_is_repaired() -> None:
    """It fails at 1.5 s, in its second iteration, whose token counts, and is up again at 13.5 s."""
    result = run(one(), requests=1)
    assert records(result, "fail") == [(1.5, 0)]
    assert records(result, "ready") == [(13.5, 0)]
    [first], [last] = (result.requests[name].tolist() for name in ("first_token", "last_token"))
    assert first == 1  # of the prompt; the second came at 2 s
    assert last == 14.5  # a prefill of prompt and both tokens has the third
    assert result.requests["started"].tolist() == [0]
    [worker] = result.summary["workers"]
    assert worker["on"] == 2 + (14.5 - 11.5)
    assert worker["iterations"] == 3


def test_others_take_what_a_failed_worker_had() -> None:
    result = run(one(n=2, at="1.5 s", more="repair = 100 s"), requests=2)
    # Both fail at the same time: nobody is left until 101.5 s.
    assert result.requests["last_token"].tolist() == [102.5, 102.5]
    frail = one(at="1.5 s", more="repair = 100 s")
    both = f"{frail}; worker sound {{ hardware = A100_80G; cost = second }}"
    result = run(both, requests=2)
    assert result.requests["worker"].tolist() == [1, 1]
    assert result.requests["last_token"].tolist() == [3, 4]  # a prefill between


def test_handlers_say_what_becomes_of_who_is_lost() -> None:
    handlers = 'on lost(r) { record "lost", r.id; if r.id == 0 { reject r } }'
    result = run(one(), handlers, requests=2, local="local { max_requests = 1 }")
    assert records(result, "lost")[:2] == [(1.5, 1), (2, 0)]  # who waits leaves at once
    assert result.requests["status"].tolist() == ["rejected", "finished"]


def test_a_worker_fails_anew_each_time_and_never_while_it_is_down() -> None:
    result = run(one(at="5 s", more="repair = 1 s"), requests=4, local="local { max_requests = 1 }")
    fails = [time for time, _ in records(result, "fail")]
    assert fails == [5, 11]  # up at 6 s
    assert result.summary["requests"]["finished"] == 4


def test_a_range_has_another_start_in_its_place() -> None:
    cluster = one(at="4 s", more="repair = 50 s; start = 1 s").replace("* 1 {", "* 1..2 {")
    handlers = "on every(100 s) { scale gpu to 1 }"
    result = run(cluster, handlers, requests=2, local="local { max_requests = 1 }")
    assert records(result, "fail")[0] == (4, 0)
    assert records(result, "ready")[0] == (5, 1)
    assert result.requests["worker"].tolist() == [0, 1]
    assert result.requests["last_token"].tolist() == [3, 7]  # of the second one token was lost


def test_kv_on_its_way_to_a_failed_worker_is_lost_and_what_it_hands_over_is_not() -> None:
    """A block of 16 tokens has 8 MiB, and takes 2 s over 4 MiB/s."""
    cluster = (
        "worker first { hardware = A100_80G; cost = second; link = slow; runs = prefill }\n"
        "worker then * 2 { hardware = A100_80G; cost = second; link = slow; runs = decode\n"
        "  failures = constant(1.2 s); repair = 30 s }"
    )
    result = run(cluster, base="disaggregated", requests=1)
    # At 1.2 s its KV was on its way; it is computed anew and handed over once one is up again.
    assert [time for time, _ in records(result, "fail")][:2] == [1.2, 1.2]
    assert result.summary["requests"]["finished"] == 1
    assert result.requests["transfer"].tolist()[0] > 4
    source = (
        "worker first { hardware = A100_80G; cost = second; link = slow; runs = prefill\n"
        "  failures = constant(1.2 s); repair = 30 s }\n"
        "worker then { hardware = A100_80G; cost = second; link = slow; runs = decode }"
    )
    result = run(source, base="disaggregated", requests=1)
    assert math.isclose(result.requests["transfer"].tolist()[0], 2)
    assert result.requests["last_token"].tolist() == [5]


def test_kv_that_nobody_fetches_yet_is_lost_with_its_worker() -> None:
    """Its prompt was computed at 1 s, nobody decodes before 5 s, and its worker fails at 2.5 s."""
    cluster = (
        "worker first { hardware = A100_80G; cost = second; runs = prefill\n"
        "  failures = constant(2.5 s); repair = 0.5 s }\n"
        "worker then * 0..1 { hardware = A100_80G; cost = second; runs = decode }"
    )
    result = run(cluster, "on every(5 s) { scale then to 1 }", "disaggregated", requests=1)
    (fail, _), *_ = records(result, "fail")
    assert fail == 2.5
    # Computed anew from 3 s to 4 s, handed over at 5 s: two more tokens.
    assert result.requests["first_token"].tolist() == [1]
    assert result.requests["last_token"].tolist()[0] == pytest.approx(6, abs=0.1)


def test_what_a_cache_kept_is_gone_with_its_worker() -> None:
    """The second prompt begins as the first does; it is taken up before the failure, and after."""
    lengths = """prompt = constant(64 tokens); output = constant(2 tokens)
  prefixes = 1; prefix = constant(48 tokens)"""
    for at, share in (("1000 s", 48 / 128), ("2.5 s", 48 / 193)):
        result = run(one(at=at, more="kv = prefixes"), requests=2, lengths=lengths,
                     local="local { max_requests = 1 }")  # fmt: skip
        assert result.summary["workers"][0]["kv_hit_rate"] == share


def test_runs_end_though_nobody_can_ever_be_served() -> None:
    result = run(one(at="3 s", more="repair = 1 s"), local="local { admit r when r.id < 0 }")
    assert result.summary["requests"]["stuck"] == [0, 1]


def test_workers_that_fail_at_once_are_told_of() -> None:
    with pytest.raises(tsdl.TsdlError, match="fail without end") as error:
        run(one(at="0 s", more="repair = 0 s"))
    assert error.value.diagnostics[0].code == "E0903"


@pytest.mark.parametrize("seed", range(3))
def test_both_engines_agree(seed: int) -> None:
    text = """edition "2026"
cluster frail {
  worker gpu * 2..4 {
    hardware = A100_80G; start = 3 s; repair = 5 s; failures = exponential(mean = 20 s)
  }
  worker steady { hardware = A100_80G }
}
policy by_queue from continuous { global {
  on arrive(r) { dispatch r to pick(w by w.load for w in workers) }
  on every(1 s) { scale gpu to sum(w.outstanding for w in workers) / 20 }
} }
workload bursts {
  requests = 400; arrivals = on_off(rate = 30 req/s, on = 5 s, off = 20 s)
  prompt = uniform(20..400 tokens); output = uniform(20..200 tokens)
}
scenario it { model = llama2_7b; cluster = frail; policy = by_queue; workload = bursts }
"""
    plan = tsdl.compile(text)
    fast, reference = plan.run(seed), plan.run(seed, engine="reference")
    assert fast.summary == reference.summary
    for name in ("worker", "started", "first_token", "last_token", "preemptions"):
        assert fast.requests[name].tolist() == reference.requests[name].tolist()
    assert fast.summary["requests"]["finished"] == 400
    assert [rung.name for rung in plan.rungs] == ["lazy", "lazy"]


def test_failures_are_counted() -> None:
    result = tsdl.compile(
        "cluster frail { worker gpu * 3 { hardware = A100_80G; failures = exponential(mean = 5 min)"
        "\nrepair = 30 s } }\n"
        "scenario s { model = llama2_7b; cluster = frail; workload = sharegpt(requests = 2000)\n"
        "expect failures >= 1 }"
    ).run()
    rows = zip(result.states["worker"], result.states["state"], strict=True)
    broken = [worker for worker, state in rows if state == "broken"]
    assert result.summary["failures"] == result.totals["failures"] == len(broken) > 0
    assert result.passed
    counts = {w["id"]: w["failures"] for w in result.summary["workers"]}
    assert counts == {number: broken.count(number) for number in range(3)}


def test_workers_may_fail_at_any_time_of_a_range() -> None:
    """Without a step; it had gone by whole seconds, so that all failed at its beginning."""
    cluster = ONE.replace("constant({at})", "uniform(100 ms..900 ms)")
    result = run(cluster.format(n=8, more="repair = 100 s; start = 0 s"), requests=8)
    times = [time for time, _ in records(result, "fail")][:8]
    assert len(set(times)) == 8
    assert 0.1 <= min(times) < 0.4 < max(times) <= 0.9
