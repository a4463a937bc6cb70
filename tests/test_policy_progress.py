"""Policies under which a run gets no further are told of; those that only shed load go on."""

import re

import pytest

import tsdl
from tests.policy_runs import run
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
