"""Policies under which a run gets no further are told of; those that only shed load go on."""

import re

import pytest

import tsdl
from tests.policy_runs import plan_of, run
from tsdl.runtime import system


def test_a_policy_that_goes_round_is_told_with_its_request() -> None:
    policy = """
      local { on admit(r, w) { preempt r } }
    """
    with pytest.raises(tsdl.TsdlError) as caught:
        run(policy=policy)
    (found,) = caught.value.diagnostics
    assert found.code == "E0903"
    assert re.search(r"(request|worker) \d", found.title)


def test_a_policy_under_which_nothing_gets_further_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every chunk is dropped again: time goes on, and nothing else does."""
    monkeypatch.setattr(system, "MOST_IN_VAIN", 10_000)
    policy = "local { max_tokens = 2; max_requests = 2; on iteration(batch, w) { for r in w.active { drop r } } }"
    with pytest.raises(tsdl.TsdlError) as caught:
        run(base="chunked", policy=policy)
    (found,) = caught.value.diagnostics
    assert found.code == "E0903"
    assert "0, 1, 2" in found.title


def test_whoever_waits_for_ever_is_reported() -> None:
    policy = "global { on arrive(r) { dispatch r to random(w for w in workers if r.id == 0) }; on every(1 s) { log now } }"
    result = run(policy=policy)
    assert result.summary["requests"]["stuck"] == [1, 2]


def test_who_sheds_load_makes_progress() -> None:
    policy = "local { max_requests = 2; on admit(r, w) when now - r.arrived > 2 s { reject r } }"
    workload = "requests = 3000; arrivals = burst(); prompt = constant(5 tokens); output = constant(2 tokens)"
    counts = run(policy=policy, workload=workload).summary["requests"]
    assert counts["rejected"] > 2900
    assert counts["finished"] + counts["rejected"] == 3000


def one_each(period: str) -> str:
    """Return a policy that admits one request in each period."""
    return f"""local {{
      state left = 1
      on every({period}) {{ left = 1 }}
      admit r when left > 0
      on admit(r, w) {{ left -= 1 }}
    }}"""


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_a_timer_has_idle_workers_ask_who_may_begin(engine: str) -> None:
    """One request a second: whoever waits on an idle worker begins when the state is refilled."""
    workload = "requests = 4; arrivals = burst(2 req, 30 s); prompt = constant(5 tokens); output = constant(1 tokens)"
    result = plan_of(base="chunked", policy=one_each("1 s"), workload=workload).run(engine=engine)
    assert result.requests["started"].tolist() == [0, 1, 30, 31]
    assert not result.summary["requests"]["stuck"]


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_a_timer_that_does_nothing_has_them_ask_what_time_changes(engine: str) -> None:
    policy = "local { admit r when now - r.arrived >= 100 ms; on every(20 ms) { } }"
    workload = "requests = 2; arrivals = burst(1 req, 30 s); prompt = constant(5 tokens); output = constant(1 tokens)"
    result = plan_of(base="chunked", policy=policy, workload=workload).run(engine=engine)
    assert result.requests["queue"].tolist() == pytest.approx([0.1, 0.1])


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_timers_end_though_they_have_workers_ask_for_ever(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tsdl.runtime.timers.MOST_ROUNDS", 50)
    policy = "local { admit r when r.id != 1; on every(1 s) { } }"
    result = plan_of(policy=policy).run(engine=engine)
    assert result.summary["requests"]["stuck"] == [1, 2]


def test_timers_go_on_where_answers_take_less_than_their_period(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All is quiet whenever the timer fires, and yet a request is served in each round."""
    monkeypatch.setattr("tsdl.runtime.timers.MOST_ROUNDS", 5)
    workload = "requests = 30; arrivals = burst(); prompt = constant(5 tokens); output = constant(1 tokens)"
    counts = run(base="chunked", policy=one_each("10 s"), workload=workload).summary["requests"]
    assert counts["finished"] == 30


@pytest.mark.parametrize("engine", ["fast", "reference"])
@pytest.mark.parametrize(
    ("policy", "cluster"),
    [
        ("local { admit r when r.id < 0; on every(1 s) { } }; global { on every(2 s) { } }", ""),
        (
            "local { admit r when r.id < 0; on every(1 s) { } }",
            "worker gpu * 2 { hardware = A100_80G }",
        ),
    ],
)
def test_timers_that_fire_together_end_too(
    policy: str, cluster: str, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has workers ask, and no other sees in that that something has happened."""
    monkeypatch.setattr("tsdl.runtime.timers.MOST_ROUNDS", 50)
    given = {"cluster": cluster} if cluster else {}
    router = "" if "global" in policy else "; global { }"
    result = plan_of(policy=policy + router, **given).run(engine=engine)
    assert result.summary["requests"]["stuck"] == [0, 1, 2]
