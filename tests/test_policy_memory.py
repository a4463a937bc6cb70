"""KV that policies put elsewhere: stored in a tier for the next turn, swapped to other workers."""

import pytest

import tsdl
from tests.policy_runs import FILE, USUAL, run, said

TALK = (
    "sessions = 1; arrivals = burst(); turns = constant(3); think = constant(10 s); "
    "prompt = constant(5 tokens); output = constant(3 tokens)"
)
POOL = USUAL["cluster"] + "; tier pool { capacity = 1 GiB; latency = 1 s/block; block = 4 tokens }"


# -- conversations and tiers -----------------------------------------------------------------------


def test_the_context_of_a_conversation_accumulates() -> None:
    columns = run(workload=TALK).requests
    assert columns["prompt"].tolist() == [5, 13, 21]
    assert columns["turn"].tolist() == [0, 1, 2]
    assert columns["session"].tolist() == [0, 0, 0]
    assert columns["arrived"].tolist() == [0, 13, 26]


def test_the_next_turn_finds_what_was_stored() -> None:
    """Of 5 + 3 tokens 7 are computed: two blocks, two seconds to fetch; 13 - 7 are left."""
    policy = """
      local {
        on start(r, w) when r.turn > 0 { fetch r from pool }
        on finish(r, w) { store r in pool }
        on iteration(batch, w) when batch.prefills > 0 { log batch.prefill_tokens, batch.prefill_contexts }
      }
    """
    result = run(policy=policy, workload=TALK, cluster=POOL)
    columns = result.requests
    assert columns["cached"].tolist() == [0, 7, 15]
    assert said(result) == ["5 5", "6 13", "6 21"]
    assert columns["ttft"].tolist() == pytest.approx([1, 3, 5], rel=1e-9)
    tier = result.summary["tiers"][0]
    assert (tier["fetches"], tier["hits"], tier["tokens_found"], tier["tokens_asked"]) == (
        2,
        2,
        22,
        32,
    )
    assert result.totals["hit_rate"] == 22 / 32


def test_a_full_tier_evicts_the_least_by_its_order() -> None:
    """A token has half a MiB: 3.5 MiB for the first turn of each; there is room for one."""
    policy = """
      local { on start(r, w) when r.turn > 0 { fetch r from pool }; on finish(r, w) { store r in pool } }
      global { on evict(r) { log "evicted", r.session } }
    """
    workload = TALK.replace("sessions = 1", "sessions = 2").replace(
        "turns = constant(3)", "turns = constant(1)"
    )
    cluster = POOL.replace("capacity = 1 GiB", "capacity = 4 MiB")
    workload = workload.replace("burst()", "uniform(0.1 req/s)")
    result = run(policy=policy, workload=workload, cluster=cluster)
    assert said(result) == ["evicted 0"]
    assert result.summary["tiers"][0]["evictions"] == 1


# -- swapping elsewhere ----------------------------------------------------------------------------


def test_victims_may_go_to_the_memory_of_others() -> None:
    cluster = """
      worker gpu { hardware = A100_80G; cost = constant_cost(1 s); kv = exact; swap = spare; link = slow }
      worker spare { hardware = A100_80G; cost = constant_cost(1 s); kv = exact; link = slow }
    """
    policy = """
      local { preempt = swap; watermark = 0 % }
      global { on arrive(r) { dispatch r to pick(w by w.id for w in workers) } }
    """
    text = FILE.format(
        **{**USUAL, "cluster": cluster, "policy": policy, "blocks": "14",
           "workload": "requests = 2; arrivals = burst(); prompt = constant(5 tokens); output = constant(6 tokens)"}
    ) + "link slow { bandwidth = 1 MiB/s }"  # fmt: skip
    result = tsdl.compile(text).run()
    assert result.summary["preemptions"] == 1
    assert result.summary["requests"]["finished"] == 2
    assert result.requests["generated"].tolist() == [6, 6]
    # 7 tokens of half a MiB go out, which takes 3.5 s; and come back, after the other has ended.
    assert result.requests["mtpot"].max() > 7
    assert result.summary["workers"][1]["kv_peak"] == 7 * 2**19


def test_workers_that_wait_for_each_others_room_do_not_wait_for_ever() -> None:
    cluster = (
        "worker g * 2 { hardware = A100_80G; cost = constant_cost(1 s); kv = exact; swap = g }"
    )
    policy = "local { preempt = swap; watermark = 0 % }"
    workload = (
        "requests = 6; arrivals = burst(); prompt = constant(5 tokens); output = constant(6 tokens)"
    )
    result = run(policy=policy, cluster=cluster, workload=workload, blocks="14")
    assert result.summary["requests"]["finished"] == 6
