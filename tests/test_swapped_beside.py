"""Newcomers beside those who are swapped out: `swapped_first = false`."""

import pytest

import tsdl
from tests.engines import compared

# Whoever runs goes to the host's memory for whoever waits, and comes back once nobody does.
SYSTEM = """
policy by_turns from BATCHING {
  local {
    preempt = swap; max_requests = 1; FIRST
    let waiting = count(q for q in w.waiting)
    resume r when waiting == 0
    on every(50 ms) { if waiting > 0 { for r in w.active { preempt r } } }
  }
}
kvcache both from paged { swap_space = 64 GiB }
cluster one { worker gpu { hardware = A100_80G; kv = both } }
workload two {
  requests = 2; arrivals = uniform(2 req/s); prompt = constant(100 tokens)
  output = constant(90 tokens)
}
scenario s { model = llama2_7b; cluster = one; policy = by_turns; workload = two; until = 60 s }
"""


def plan_of(batching: str, first: str) -> tsdl.Plan:
    text = SYSTEM.replace("BATCHING", batching).replace("FIRST", first)
    return tsdl.compile(text)


@pytest.mark.parametrize("batching", ["continuous", "chunked"])
def test_others_are_admitted_while_somebody_is_swapped_out(batching: str) -> None:
    plan = plan_of(batching, "swapped_first = false")
    assert compared(plan).how == "done"
    requests = plan.run().requests
    assert requests["status"].tolist() == ["finished"] * 2
    assert requests["preemptions"].tolist() == [1, 0]
    arrived, began = requests["arrived"][1], requests["started"][1]
    assert arrived < began < arrived + 0.1
    assert requests["last_token"][1] < requests["last_token"][0]


@pytest.mark.parametrize("batching", ["continuous", "chunked"])
@pytest.mark.parametrize("first", ["", "swapped_first = true"])
def test_nobody_is_where_it_is_not_said(batching: str, first: str) -> None:
    plan = plan_of(batching, first)
    assert compared(plan).how == "done"
    requests = plan.run().requests
    assert requests["status"].tolist() == ["unfinished"] * 2
    assert str(requests["started"][1]) == "nan"
