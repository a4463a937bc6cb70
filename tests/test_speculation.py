"""Speculative decoding, worked out by hand: who gains how much when, what it takes, what it holds.

The notation is that of by_hand.py. With a chance of 100 % every draft is right to its end.
"""

import re

import pytest

import tsdl
from tests.by_hand import plan_of, run
from tests.models_on_devices import kernel
from tests.models_on_devices import plan_of as on_devices
from tests.summed_batches import batch_of
from tsdl.costs import Batch, compiled
from tsdl.facts import facts_of
from tsdl.formula import Value
from tsdl.plan import Workers

ALWAYS = "speculate { tokens = 2 tokens; acceptance(r) = 100 % }"
NEVER = "speculate { tokens = 2 tokens; acceptance(r) = 0 % }"


# -- what a request gains --------------------------------------------------------------------------


def test_a_request_gains_what_was_drafted_and_one_more() -> None:
    one = run([(0, 4, 8)], local=ALWAYS)
    # The prompt gives one token, two iterations three each, and the last one what is left.
    assert one.iterations[0] == ["0 A+4", "1 A", "2 A", "3 A"]
    assert one.first == [1]
    assert one.last == [4]
    assert one.column("generated") == [8]
    assert one.result.summary["workers"][0]["acceptance_length"] == 1 + 4 / 3
    assert one.column("tpot") == [3 / 7]


def test_with_drafts_that_are_never_right_it_gains_one() -> None:
    one, plain = run([(0, 4, 4)], local=NEVER), run([(0, 4, 4)])
    assert one.iterations == plain.iterations
    assert one.last == plain.last == [4]
    assert one.result.totals["acceptance_length"] == 1


def test_tokens_of_one_iteration_have_one_gap() -> None:
    one = run([(0, 4, 8)], local=ALWAYS)
    assert one.result.measure(formula("max(itl)")) == 1
    assert one.result.measure(formula("min(itl)")) == 1
    assert one.column("mtpot") == [1]


def formula(text: str) -> Value:
    return plan_of(more=f"expect {text} <= 9 s").expects[0].formula.arguments[0]  # type: ignore[union-attr]


def test_handlers_are_told_of_every_token() -> None:
    told = f'{ALWAYS}; on token(r, w) {{ record "token", r.generated / 1 token }}'
    one = run([(0, 4, 5)], local=told)
    times = one.result.records["time"].tolist()
    assert times == [1, 2, 2, 2, 3]
    assert one.result.records["value"].tolist() == [1, 4, 4, 4, 5]


def test_the_chance_may_depend_on_the_request() -> None:
    local = "speculate { tokens = 2 tokens; acceptance(r) = 1 if r.prompt > 4 tokens else 0 }"
    both = run([(0, 4, 4), (0, 5, 4)], local=local)
    assert both.iterations[0] == ["0 A+4 B+5", "1 A B", "2 A", "3 A"]


def test_with_no_tokens_nothing_is_drafted() -> None:
    none = plan_of(local="speculate { tokens = 0 tokens }")
    assert none.workers[0].local.speculation is None
    assert facts_of(none)[0].rung == "lazy"


def test_the_last_says_what_counts() -> None:
    """A policy derived from one that drafts may draft otherwise, or nothing."""
    text = """
policy first from continuous { local { speculate { tokens = 4 tokens; acceptance(r) = 50 % } } }
policy second from first { local { speculate { tokens = 1 token } } }
scenario one { model = llama2_7b; cluster = single(A100_80G); policy = second; workload = sharegpt }
"""
    speculation = tsdl.compile(f'edition "2026"\n{text}').workers[0].local.speculation
    assert speculation is not None
    assert (speculation.tokens, speculation.acceptance) == (1, 0.5)


# -- memory, budget, time --------------------------------------------------------------------------


def test_memory_is_held_for_what_may_come_but_not_beyond_the_end() -> None:
    held = 'on iteration(b, w) { record "used", w.kv.used / w.kv.block }'
    one = run([(0, 4, 8)], local=f"{NEVER}; {held}")
    # A context of 5 and two drafts are 7 tokens; the longest is 11, as the last is not cached.
    assert one.result.records["value"].tolist() == [4, 7, 8, 9, 10, 11, 11, 0]


def test_who_finds_no_room_for_drafts_makes_others_go() -> None:
    plain = run([(0, 4, 4), (0, 4, 4)], blocks=12)
    one = run([(0, 4, 4), (0, 4, 4)], blocks=12, local=NEVER)
    assert plain.result.summary["preemptions"] == 1
    assert one.result.summary["preemptions"] > 0
    assert one.iterations[0][1] == "1 A"  # 6 and 6 tokens would fit, and 7 and 7 do not
    assert one.status == ["finished", "finished"]


def test_drafts_take_their_part_of_the_budget() -> None:
    given = {"policy": "chunked", "cost": "written", "iteration": "1 s * tokens"}
    local = f"max_tokens = 8 tokens; max_requests = 2; {ALWAYS}"
    two = run([(0, 4, 4), (1, 9, 1)], local=local, **given)
    # Of 8 tokens A takes three, so that B's prompt comes in parts of five and four.
    assert two.iterations[0] == ["0 A+4", "4 B+5 A", "12 B+4"]
    assert two.last == [12, 16]


def test_swapped_requests_come_back_with_room_for_drafts() -> None:
    """B comes back once there is room for its context and what is drafted, not for the context.

    Both hold 4 tokens, and then 7; B goes. A ends with 9, so that B could come back at 5 tokens.
    """
    local = f"preempt = swap; {NEVER}"
    held = 'on admit(r, w) { record "held", r.held / kv.block }'
    two = run([(0, 4, 6), (0, 4, 6)], blocks=13, local=f"{local}; {held}")
    assert two.result.summary["preemptions"] == 1
    # Admitted with their prompts, B comes back with its context of 5 and two drafts.
    assert two.result.records["value"].tolist() == [4, 4, 7]
    assert two.status == ["finished", "finished"]


@pytest.mark.parametrize("policy", ["continuous", "chunked", "static", "disaggregated_chunked"])
def test_every_way_of_batching_drafts(policy: str) -> None:
    rows = [(0.25 * i, 3 + i % 4, 1 + i % 7) for i in range(20)]
    some = run(
        rows,
        policy=policy,
        blocks=60,
        local="speculate { tokens = 3 tokens; acceptance(r) = 60 % }",
    )
    assert set(some.status) == {"finished"}
    assert some.column("generated") == [row[2] for row in rows]


def test_features_count_all_tokens_of_a_decode() -> None:
    batch = Batch()
    batch.add_decodes([100, 33], 4)
    assert batch == Batch(
        tokens=8, requests=2, last_tokens=8, decodes=2, contexts=133, context_blocks=7 + 3,
        longest_context=100,
    )  # fmt: skip


# -- which tokens are right ------------------------------------------------------------------------

CHANCE = """edition "2026"
param chance = 60 %
param ahead: tokens = 3 tokens
policy own from {policy} {{ local {{ speculate {{ tokens = ahead; acceptance(r) = chance }} }} }}
workload some {{
  requests = 200; arrivals = poisson(rate = 20 req/s)
  prompt = uniform(5..90 tokens); output = uniform(20..60 tokens)
}}
scenario one {{ model = llama3_8b; cluster = single(H100_SXM); policy = own; workload = some }}
"""


def chance(policy: str = "chunked", **params: object) -> tsdl.Result:
    return tsdl.compile(CHANCE.format(policy=policy), params=params).run()


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_the_mean_is_that_of_a_geometric_series(share: float) -> None:
    expected = sum(share**k for k in range(4))  # 1 and what the drafts give, of endless answers
    length = chance(chance=share).totals["acceptance_length"]
    assert expected * 0.95 < length < expected * 1.02


def test_the_same_tokens_are_right_whatever_the_policy() -> None:
    iterations = [chance(policy).totals["acceptance_length"] for policy in ("chunked", "orca")]
    assert iterations[0] == iterations[1]


def test_a_greater_chance_is_never_worse() -> None:
    some = [chance(chance=share) for share in (0.5, 0.55, 0.6)]
    lengths = [result.totals["acceptance_length"] for result in some]
    assert lengths == sorted(lengths)


def test_another_seed_has_other_tokens() -> None:
    plan = tsdl.compile(CHANCE.format(policy="chunked"))
    assert plan.run(1).totals["acceptance_length"] != plan.run(2).totals["acceptance_length"]


# -- drafters --------------------------------------------------------------------------------------

EAGLE = """
model eagle from llama3_8b { layers = 1; vocabulary = 32_000 }
policy own from vllm { local { speculate {
  tokens = 3 tokens; acceptance(r) = 60 %; drafter = eagle } } }
"""


def with_drafter(own: str = EAGLE, parallel: str = "tp(1)") -> Workers:
    return on_devices("llama3_8b", parallel, own, policy="own").workers[0]


def test_a_drafter_takes_memory() -> None:
    plain = on_devices("llama3_8b", policy="vllm").workers[0]
    drafting = with_drafter()
    # A layer of 2 × (4096² + 4096 × 1024 + 3/2 × 4096 × 14336) and more, head and table of 32,000.
    layer = 2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14_336 + 2 * 4096
    assert drafting.weights - plain.weights == 2 * (layer + 2 * 32_000 * 4096 + 4096)
    assert drafting.kv.bytes_per_token == plain.kv.bytes_per_token * 33 / 32
    sharing = with_drafter(EAGLE.replace("drafter = eagle", "drafter = eagle; shared_ends = true"))
    assert sharing.weights - plain.weights == 2 * layer
    assert sharing.cost == drafting.cost  # they are read as before


def test_a_drafter_with_another_format_of_its_kv_takes_its_own_bytes() -> None:
    drafting = with_drafter(EAGLE.replace("layers = 1;", "layers = 1; kv_dtype = fp8;"))
    assert drafting.kv.bytes_per_token == 32 * 4096 + 2048


def test_it_computes_once_over_all_and_then_token_by_token() -> None:
    cost = with_drafter().cost
    batch = batch_of([(512, 0, True)])
    batch.add_decodes([1000] * 8, 4)
    seconds = {stage: kernel(cost, "qkv", f"{stage}.block").flops for stage in ("draft", "redraft")}
    known = {name: getattr(batch, name) for name in Batch.__slots__}
    per_row = 2 * 4096 * (4096 + 2 * 1024)
    assert evaluated(seconds["draft"], known) == (512 + 8 * 4) * per_row
    assert evaluated(seconds["redraft"], known) == 9 * per_row
    assert {s.name: s.repeat for s in cost.stages if "draft" in s.name} == {
        "draft": 1, "draft.block": 1, "redraft": 2, "redraft.block": 2,
    }  # fmt: skip
    assert not [
        k
        for s in cost.stages
        if s.name == "redraft.block"
        for k in s.kernels
        if "prefill" in k.name
    ]
    heads = evaluated(kernel(cost, "lm_head", "draft").flops, known)
    assert heads == 9 * 2 * 4096 * 32_000  # of each sequence one token


def evaluated(value: Value, known: dict[str, int]) -> float:
    from tsdl.pythonsource import function, python

    return float(function("a test", ", ".join(known), python(value), {})(**known))


def test_verifying_is_hardly_slower_than_decoding_and_much_slower_in_large_batches() -> None:
    time = compiled(on_devices("llama3_8b", own="policy own from chunked {}").workers[0].cost)

    def ratio(count: int) -> float:
        one, four = Batch(), Batch()
        one.add_decodes([500] * count)
        four.add_decodes([500] * count, 4)
        return time(four) / time(one)

    assert ratio(1) < 1.05
    assert ratio(256) > 1.4


def test_drafters_are_divided_as_the_model_is() -> None:
    alone, shared = with_drafter(), with_drafter(parallel="tp(2)")
    assert [s.name for s in shared.cost.stages] == [s.name for s in alone.cost.stages]
    assert kernel(shared.cost, "out.all_reduce", "redraft.block").wire != 0


def test_a_cost_of_whole_iterations_has_drafts_in_it() -> None:
    text = EAGLE + "cost whole { iteration = 5 ms }"
    plan = on_devices("llama3_8b", own=text, policy="own", cost="whole")
    assert [stage.name for stage in plan.workers[0].cost.stages] == [""]


# -- plans, rungs, errors --------------------------------------------------------------------------


def test_a_plan_that_drafts_is_read_back() -> None:
    plan = tsdl.compile(CHANCE.format(policy="chunked"))
    assert tsdl.Plan.from_json(plan.to_json()) == plan


def test_the_rung_is_told_with_its_place() -> None:
    (rung,) = tsdl.compile(CHANCE.format(policy="chunked")).rungs
    assert rung.name == "reference"
    assert rung.because[0].part == "speculate"
    assert rung.because[0].place == "<text>:4:35"


@pytest.mark.parametrize(
    ("block", "code", "told"),
    [
        ("speculate { tokens = 3 tokens }", "E0404", "acceptance(r)"),
        ("speculate { acceptance(r) = 0.5 }", "E0404", "tokens"),
        ("speculate { tokens = 3 tokens; acceptance(r) = 70 }", "E0503", "from 0 to 100 %"),
        ("speculate { tokens = 3 tokens; acceptance = 0.7 }", "E0408", "acceptance(r)"),
        ("speculate { tokens = 2.5 tokens; acceptance(r) = 0.7 }", "E0503", "whole"),
        ("speculate { tokens = 3 ms; acceptance(r) = 0.7 }", "E0301", "tokens"),
        (
            "speculate { tokens = 3 tokens; acceptance(r) = 0.7; draft = llama3_8b }",
            "E0410",
            "drafter",
        ),
        ("speculate { tokens = 9 tokens; acceptance(r) = 0.7 }", "E0516", "of 10 tokens"),
        ("speculate { tokens = 1 token; acceptance(r) = devices / 2 }", "E0502", "reads `devices`"),
    ],
)
def test_slips_are_told(block: str, code: str, told: str) -> None:
    text = (
        f'edition "2026"\npolicy own from chunked {{ local {{ {block} }} }}\n'
        "scenario one { model = llama2_7b; cluster = single(A100_80G); policy = own; "
        "workload = sharegpt }\n"
    )
    with pytest.raises(tsdl.TsdlError) as raised:
        tsdl.compile(text)
    (found,) = raised.value.diagnostics
    assert found.code == code
    assert re.search(re.escape(told), str(raised.value))
    assert found.span is not None
    assert found.span.place.startswith("<text>:2:")


def test_a_chance_that_has_no_value_is_told_with_its_place() -> None:
    text = CHANCE.format(policy="chunked").replace("(r) = chance", "(r) = 1 / (r.id - 3)")
    with pytest.raises(tsdl.TsdlError, match=r"acceptance.*own") as raised:
        tsdl.compile(text).run()
    assert "<text>:4" in str(raised.value)


def test_pipelines_do_not_speculate() -> None:
    with pytest.raises(tsdl.TsdlError, match="E0527"):
        on_devices(
            "llama3_8b",
            "pp(2)",
            "policy own from chunked { local { "
            "speculate { tokens = 1 token; acceptance(r) = 50 % } } }",
            policy="own",
        )
