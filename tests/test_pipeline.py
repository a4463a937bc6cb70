"""Pipelines, worked out by hand: which iterations overlap, who is in them, and what stages keep.

The notation is that of by_hand.py; a time is that at which an iteration is put together, and waits
for the first stage.
"""

import pytest
from msgspec.structs import replace

import tsdl
from tests.by_hand import Row, Run, plan_of, run_plan
from tests.models_on_devices import plan_of as plan_of_model
from tsdl.costs import Batch, compiled
from tsdl.facts import facts_of
from tsdl.formula import Formula, Value, symbol
from tsdl.plan import Cost, Kernel, Stage

TOKENS = symbol("tokens")


def by_token(seconds: float) -> Value:
    return Formula("*", (TOKENS, seconds))


def stage(seconds: Value) -> Cost:
    return Cost("by hand", (Stage("", 1, (Kernel("it", "formula", 0, 0, 0, 0, seconds),)),), 0)


def piped(rows: list[Row], *seconds: Value, **given: object) -> Run:
    """Run requests through stages that take so long each."""
    plan = plan_of(**({"policy": "chunked", "worker": f"parallel = pp({len(seconds)})"} | given))
    (kind,) = plan.workers
    stages = tuple(stage(value) for value in seconds)
    return run_plan(replace(plan, workers=(replace(kind, pipeline=stages),)), rows)


# -- iterations that overlap -----------------------------------------------------------------------


def test_a_token_takes_the_time_of_all_stages() -> None:
    one = piped([(0, 4, 3)], 1, 2)
    assert one.iterations[0] == ["0 A+4", "3 A", "6 A"]
    assert one.last == [9]
    assert one.result.summary["workers"][0]["busy"] == 9


def test_who_comes_meanwhile_is_looked_at_when_an_iteration_ends() -> None:
    """B comes at 0.5 and is put together at 3; it leaves the first stage at 4, the other at 6."""
    two = piped([(0, 4, 3), (0.5, 4, 2)], 1, 2)
    assert two.iterations[0] == ["0 A+4", "3 B+4 A", "6 A B"]
    assert two.last == [9, 9]


def test_those_for_whom_there_was_no_room_are_in_the_next_iteration_at_once() -> None:
    """Four tokens an iteration: B's follow A's by the slower stage, and so do their decodes."""
    local = "max_tokens = 4 tokens; max_requests = 4"
    two = piped([(0, 4, 3), (0, 4, 3)], 1, 2, local=local)
    assert two.iterations[0] == ["0 A+4", "0 B+4", "3 A", "5 B", "7 A", "9 B"]
    # A: 0–1, 1–3. B: 1–2, 3–5. A: 3–4, 5–7. B: 5–6, 7–9. A: 7–8, 9–11. B: 9–10, 11–13.
    assert two.first == [3, 5]
    assert two.last == [11, 13]
    assert two.result.summary["workers"][0]["busy"] == 13


def test_no_more_iterations_than_stages_are_in_flight() -> None:
    local = "max_tokens = 4 tokens; max_requests = 4"
    three = piped([(0, 4, 1), (0, 4, 1), (0, 4, 1)], 1, 1, local=local)
    assert three.iterations[0] == ["0 A+4", "0 B+4", "2 C+4"]
    assert three.last == [2, 3, 4]


def test_the_slowest_stage_bounds_the_throughput() -> None:
    local = "max_tokens = 4 tokens; max_requests = 4"
    rows: list[Row] = [(0, 4, 1)] * 9
    even = piped(rows, 1, 1, 1, local=local)
    assert even.last == [3, 4, 5, 6, 7, 8, 9, 10, 11]
    uneven = piped(rows, 0.5, 2, 0.5, local=local)
    assert uneven.last == [3 + 2 * number for number in range(9)]


def test_chunks_of_a_prompt_follow_one_another() -> None:
    """As in vLLM: a prompt's next chunk does not wait for its last one, a decode does."""
    local = "max_tokens = 4 tokens; max_requests = 4"
    one = piped([(0, 10, 2)], by_token(1), by_token(1), local=local)
    assert one.iterations[0] == ["0 A+4", "0 A+4", "8 A+2", "14 A"]
    # 0–4, 4–8; 4–8, 8–12; 8–10, 12–14; 14–15, 15–16.
    assert one.first == [14]
    assert one.last == [16]


def test_an_idle_pipeline_begins_at_once() -> None:
    two = piped([(0, 4, 1), (7, 4, 1)], 1, 2)
    assert two.iterations[0] == ["0 A+4", "7 B+4"]
    assert two.last == [3, 10]
    assert two.result.summary["workers"][0]["busy"] == 6


def test_prefills_and_decodes_in_iterations_of_their_own_overlap() -> None:
    two = piped([(0, 4, 3), (2, 4, 2)], 1, 1, policy="continuous")
    assert two.iterations[0] == ["0 A+4", "2 B+4", "2 A", "4 B", "5 A"]
    assert two.last == [7, 6]


def test_a_static_batch_has_one_iteration_in_flight() -> None:
    three = piped(
        [(0, 4, 2), (0, 4, 1), (0, 4, 1)], 1, 1, policy="static", local="max_requests = 2"
    )
    assert three.iterations[0] == ["0 A+4 B+4", "2 A b", "4 C+4"]


# -- memory, swapping ------------------------------------------------------------------------------


def test_who_is_in_flight_is_no_victim() -> None:
    """Room for 8 tokens: at 2, A cannot grow to 5, and B, which would have to go, is in flight.

    At 3 it is there, and goes; it is computed anew when A is done.
    """
    local = "max_tokens = 4 tokens; max_requests = 4"
    two = piped([(0, 4, 3), (0, 4, 2)], 1, 1, local=local, blocks=8)
    assert two.iterations[0] == ["0 A+4", "0 B+4", "3 A", "5 A", "7 B+4", "7 B+1"]
    assert two.column("preemptions") == [0, 1]
    assert two.last == [7, 10]


def test_a_swap_comes_before_the_first_stage() -> None:
    """Half a second and, over two links, half a one for each token: B goes out, and comes back."""
    two = piped([(0, 4, 4), (0, 4, 3)], 1, 1, policy="continuous", blocks=9, local="preempt = swap")
    assert two.iterations[0] == ["0 A+4 B+4", "2 A", "6.5 A", "8.5 A", "10.5 B", "15 B"]
    assert two.last == [10.5, 17]


# -- what stages compute and keep ------------------------------------------------------------------


def layers_of(model: str, stages: int) -> list[list[tuple[str, int]]]:
    (kind,) = plan_of_model(model, f"tp(1, stages = {stages})").workers
    return [[(s.name, s.repeat) for s in cost.stages if s.name] for cost in kind.pipeline]


def test_layers_are_divided_as_evenly_as_can_be() -> None:
    assert layers_of("llama3_8b", 2) == [[("block", 16)], [("block", 16)]]
    # 61 over 4: what vLLM makes of it, the rest over the last but one first.
    dense, sparse = "dense", "block"
    assert layers_of("deepseek_v3", 4) == [
        [(dense, 3), (sparse, 12)],
        [(sparse, 15)],
        [(sparse, 16)],
        [(sparse, 15)],
    ]


def test_stages_together_are_the_whole_and_what_is_sent() -> None:
    (kind,) = plan_of_model("llama3_8b", "tp(2, stages = 4)").workers
    batch = Batch()
    batch.add_prefill(512, 0, last=True)
    batch.peer_tokens = 512
    whole = compiled(kind.cost)(batch)
    sends = [k for c in kind.pipeline for s in c.stages for k in s.kernels if k.name == "send"]
    assert len(sends) == 3
    assert compiled(stage(sends[0].wire))(batch) == 2 * 512 * 4096 * 2 / 2
    sent = sum(compiled(stage(send.time))(batch) for send in sends)
    parts = sum(compiled(cost)(batch) for cost in kind.pipeline)
    assert parts == pytest.approx(whole + sent, rel=1e-12)


def test_stages_keep_their_own_weights_and_as_many_tokens_as_the_fullest() -> None:
    (one,) = plan_of_model("llama3_8b", "tp(1)").workers
    (two,) = plan_of_model("llama3_8b", "pp(2)").workers
    assert two.devices == 2
    assert two.weights == one.weights
    assert two.kv.bytes_per_token == one.kv.bytes_per_token
    # Embedding and lm_head are alike large: both stages have half of it all but the last norm.
    half = one.weights / 2
    free = two.memory / 2 * 0.9 - half - two.reserve / 2
    assert two.kv.capacity == pytest.approx(2 * free, rel=1e-3)


def test_overhead_comes_once_and_closed_costs_are_shared_alike() -> None:
    plan = plan_of(worker="parallel = pp(4)", cost="constant_cost(8 s)", local="overhead = 1 s")
    (kind,) = plan.workers
    own = [next(k.time for s in cost.stages for k in s.kernels) for cost in kind.pipeline]
    assert own == [2, 2, 2, 2]
    assert [cost.overhead for cost in kind.pipeline] == [1, 0, 0, 0]
    (facts,) = facts_of(plan)
    assert (facts.rung, facts.reasons[0].part) == ("reference", "parallel")


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"local": "scheduling = asynchronous"}, "asynchronous"),
        ({"worker": "parallel = pp(2); handoff = sequential"}, "sequential"),
        ({"worker": "parallel = pp(2); swap = gpu"}, "other memory"),
        ({"worker": "parallel = ep(1, ranks = 2, stages = 2)", "workers": 2}, "lock-step"),
    ],
)
def test_what_does_not_go_with_it_is_told(given: dict[str, object], what: str) -> None:
    text = {"worker": "parallel = pp(2)", "policy": "chunked"} | given
    with pytest.raises(tsdl.TsdlError, match=f"E0527(.|\n)*2 stages does not go with .*{what}"):
        plan_of(**text)


@pytest.mark.parametrize(
    ("policy", "help_"),
    [
        ("vllm", "take the library's `vllm_synchronous`, which is not scheduled ahead"),
        ("sglang", "`policy own from sglang { local { scheduling = synchronous } }`"),
        ("mine", "write `local { scheduling = synchronous }` in `mine`"),
    ],
)
def test_a_policy_that_goes_with_it_is_named(policy: str, help_: str) -> None:
    text = f"""
policy mine from vllm {{}}
policy own from sglang {{ local {{ scheduling = synchronous }} }}
cluster piped {{ worker gpu {{ hardware = A100_80G; parallel = tp(1, stages = 2) }} }}
workload few from sharegpt {{ requests = 3 }}
scenario s {{ model = llama2_7b; cluster = piped; policy = {policy}; workload = few }}
"""
    with pytest.raises(tsdl.TsdlError) as error:
        tsdl.compile(text)
    [found] = error.value.diagnostics
    assert found.code == "E0527"
    assert help_ in found.help[0]
    for good in ("vllm_synchronous", "own"):
        assert tsdl.compile(text.replace(f"policy = {policy};", f"policy = {good};")).run().passed


def test_more_stages_than_layers_are_refused() -> None:
    with pytest.raises(tsdl.TsdlError, match=r"E0514(.|\n)*32 layers cannot be divided over 33"):
        plan_of(worker="parallel = pp(33)")
