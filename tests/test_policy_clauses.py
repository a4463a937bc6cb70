"""Clauses and settings of policies, and those of the library: who is admitted, when, in what order."""

from tests.policy_runs import USUAL, plan_of, run, said


def test_admission_may_reserve_memory_for_those_that_run() -> None:
    """Each needs 5 + 3 - 1 = 7 tokens at its longest; of 15 there is room for two."""
    policy = "local { watermark = 0 %; admit r when sum(kv.final(x) for x in w.active) + kv.final(r) <= kv.capacity }"
    workload = USUAL["workload"].replace("uniform(1 req/s)", "burst()")
    careful = run(policy=policy, workload=workload, blocks="15")
    assert careful.summary["preemptions"] == 0
    assert sorted(careful.requests["started"].tolist()) == [0, 0, 3]
    careless = run(policy="local { watermark = 0 % }", workload=workload, blocks="15")
    assert careless.summary["preemptions"] > 0


def test_conditions_that_are_known_count() -> None:
    """`admit` that never holds admits nobody; one that always does is no condition."""
    nobody = run(policy="local { admit r when false }")
    assert nobody.summary["requests"]["stuck"] == [0, 1, 2]
    other = run(policy='local { admit r when w.group == "other" }')
    assert other.summary["requests"]["stuck"] == [0, 1, 2]
    assert run(policy="local { admit r when true }").summary["requests"]["finished"] == 3


def test_a_worker_may_have_a_policy_of_its_own() -> None:
    cluster = """
      worker one { hardware = A100_80G; cost = constant_cost(1 s); kv = exact }
      worker two { hardware = A100_80G; cost = constant_cost(1 s); kv = exact; policy = static }
    """
    plan = plan_of(cluster=cluster)
    assert [kind.local.batching for kind in plan.workers] == ["prefill_first", "static"]
    assert plan.policy == "own, static"
    assert plan.run().summary["requests"]["finished"] == 3


# -- policies of the library -----------------------------------------------------------------------


def test_an_idle_worker_waits_for_others_within_its_window() -> None:
    result = run(base="windowed_batching(wait = 1500 ms)")
    # Those of 0 s and 1 s go together at 1.5 s; the third is alone with its batch.
    assert result.requests["started"].tolist() == [1.5, 1.5, 4.5]
    full = run(base="windowed_batching(wait = 1500 ms, size = 1)")
    assert full.requests["started"].tolist() == [0, 3, 6]


def test_policies_of_the_library_order_what_waits() -> None:
    lengths = "requests = 4; arrivals = burst(); prompt = uniform(1..90 tokens); output = uniform(1..9 tokens)"
    one = "local { max_requests = 1 }"

    def order(base: str, **keys: str) -> list[int]:
        result = run(base=base, policy=one, workload=f"{lengths}; {keys.get('more', '')}", seed=3)
        started = result.requests["started"].tolist()
        return sorted(range(4), key=lambda i: started[i])

    requests = run(workload=lengths, seed=3).requests
    prompts, outputs = requests["prompt"].tolist(), requests["output"].tolist()
    assert len(set(prompts)) == 4
    assert order("continuous") == [0, 1, 2, 3]
    assert order("shortest_first") == sorted(range(4), key=lambda i: prompts[i])
    total = [p + o for p, o in zip(prompts, outputs, strict=True)]
    assert order("shortest_job_first") == sorted(range(4), key=lambda i: (total[i], i))
    more = "priority = choice(0: 1, 1: 1)"
    assert order("priority_first", more=more) != [0, 1, 2, 3]


def test_orca_lets_whole_prompts_join_those_that_decode() -> None:
    policy = "local { on iteration(batch, w) { log batch.prefill_tokens, batch.decodes } }"
    lines = said(run(base="orca", policy=policy))
    assert lines[:3] == ["5 0", "5 1", "5 2"]
