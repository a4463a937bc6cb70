"""What an iteration takes beside its kernels where the host launches them one by one."""

from dataclasses import fields

import pytest
from msgspec.structs import replace

import tsdl
from tests.models_on_devices import worker_of
from tsdl.costs import Batch, DecodeTime, compiled, compiled_features, shares
from tsdl.plan import Cost

EXACT = 1e-12
KERNELS = 2 * 11 + 4  # of two layers of Llama 2; before them is one, behind them are three
PROGRAM = """edition "2026"
model two from llama2_7b {{ layers = 2 }}
policy own from chunked {{
  local {{ eager = {eager}; {launch}; overhead = 5 ms if eager else 1 ms }}
}}
cluster one {{ worker gpu {{ hardware = A100_80G; parallel = {parallel} }} }}
scenario s {{ model = two; cluster = one; workload = sharegpt; policy = own }}
"""


def plan_of(eager: str, *, parallel: str = "tp(1)", launch: str = "launch = 1 ms") -> tsdl.Plan:
    return tsdl.compile(PROGRAM.format(eager=eager, parallel=parallel, launch=launch))


def cost_of(eager: str, **others: str) -> Cost:
    return plan_of(eager, **others).workers[0].cost


def batch_of(prefill: int = 0, decodes: int = 0, context: int = 0) -> Batch:
    batch = Batch()
    if prefill:
        batch.add_prefill(prefill, 0, last=True)
    batch.add_decodes([context] * decodes)
    batch.close()
    return batch


@pytest.mark.parametrize(
    ("eager", "batch", "is_eager", "waits"),
    [
        ("tokens > 100", batch_of(300), True, True),
        ("tokens > 100", batch_of(50), False, False),
        ("tokens > 100", batch_of(20_000), True, False),  # its kernels take longer than launches
        ("prefills > 0", batch_of(50), True, True),
        ("prefills > 0", batch_of(0, 8, 100), False, False),
        ("contexts > 1000", batch_of(0, 8, 100), False, False),
        ("contexts > 1000", batch_of(0, 8, 1000), True, True),
        ("tokens / requests < 9", batch_of(8), True, True),
        ("true", batch_of(0, 1, 100), True, True),
    ],
)
def test_an_eager_iteration_waits_for_its_host(
    eager: str, batch: Batch, *, is_eager: bool, waits: bool
) -> None:
    cost = cost_of(eager)
    time, alone = (compiled(c)(batch) for c in (cost, replace(cost, least=0)))
    overhead = 5e-3 if is_eager else 1e-3
    assert alone > overhead
    assert time == pytest.approx(KERNELS * 1e-3 + overhead if waits else alone, rel=EXACT)
    every = [getattr(batch, f.name) for f in fields(Batch)]
    assert compiled_features(cost, {})(*every) == time
    found = {share.name: share.seconds for share in shares(cost, batch)}
    assert sum(found.values()) == pytest.approx(time, rel=EXACT)
    assert found["overhead"] == overhead
    assert (found["waits for its host"] > 0) is waits
    if batch.decodes:
        fixed, growing = DecodeTime(cost, {}).of(batch.decodes)
        told = batch.contexts, batch.context_blocks, batch.longest_context
        assert (growing(*told) if growing else fixed) == time


@pytest.mark.parametrize(
    ("batch", "seconds"),
    [
        (batch_of(300), 5e-3 + KERNELS * 1e-3),
        (batch_of(50), 1e-3 + 4 * 2 * 1e-3 + 2e-3 * 1),
        (batch_of(0, 8, 100), 1e-3 + 2e-3 * 8),
        (batch_of(50, 8, 100), 1e-3 + 4 * 2 * 1e-3 + 2e-3 * 9),
    ],
)
def test_a_host_takes_what_its_policy_says(batch: Batch, seconds: float) -> None:
    """Graphs of prompts end at each layer; a request takes the host 2 ms as long as one has it."""
    said = "launch * (kernels if eager else 4 * layers if prefills > 0 else 0)"
    more = f"{said} + (0 s if eager else 2 ms * requests)"
    cost = cost_of("tokens > 100", launch=f"launch = 1 ms; host_time = {more}")
    assert compiled(cost)(batch) == pytest.approx(seconds, rel=EXACT)
    if not batch.prefills:
        _, growing = DecodeTime(cost, {}).of(batch.decodes)
        assert growing is not None
        told = batch.contexts, batch.context_blocks, batch.longest_context
        assert growing(*told) == compiled(cost)(batch)


def test_layers_are_the_repeats_of_the_models_blocks() -> None:
    """Of a pipeline each stage has its own; a drafter has other layers."""
    text = PROGRAM.replace("layers = 2", "layers = 5")
    told = {"eager": "false", "launch": "launch = 1 ms; host_time = launch * layers"}
    (worker,) = tsdl.compile(text.format(parallel="tp(1)", **told)).workers
    assert worker.cost.least == pytest.approx(1e-3 + 5e-3)
    (worker,) = tsdl.compile(text.format(parallel="pp(2)", **told)).workers
    assert [cost.least for cost in worker.pipeline] == [
        pytest.approx(1e-3 + 3e-3),
        pytest.approx(2e-3),
    ]
    drafts = "speculate { tokens = 2 tokens; acceptance(r) = 50 %; drafter = one_layer }"
    told["launch"] = f"launch = 1 ms; host_time = launch * layers; {drafts}"
    drafter = "model one_layer from llama2_7b { layers = 1 }\n"
    (worker,) = tsdl.compile(text.format(parallel="tp(1)", **told) + drafter).workers
    assert worker.cost.least == pytest.approx(1e-3 + 5e-3)


def test_each_stage_of_a_pipeline_launches_its_own_kernels() -> None:
    (worker,) = plan_of("true", parallel="pp(2)").workers
    assert [cost.least for cost in worker.pipeline] == [
        pytest.approx((11 + 1) * 1e-3 + 5e-3),
        pytest.approx((11 + 3) * 1e-3),
    ]


@pytest.mark.parametrize(
    ("model", "layers"),
    [("nemotron_nano_9b_v2", 31), ("qwen3_next_80b_a3b", 48), ("deepseek_v3", 61)],
)
def test_layers_are_those_that_look_at_other_tokens(model: str, layers: int) -> None:
    """Of Nemotron's 56 blocks 27 have a recurrence and 4 attention; the others end no graph."""
    own = "policy own from chunked { local { host_time = 1 ms * layers } }"
    assert worker_of(model, "tp(8)", own, policy="own").cost.least == pytest.approx(layers * 1e-3)


def test_layers_of_a_batch_in_two_halves_are_launched_twice() -> None:
    said = "host_time = 1 s * layers; overlap { when = decodes > 1 }"
    own = f"policy own from chunked {{ local {{ {said} }} }}"
    cost = worker_of("qwen3_30b_a3b", "ep(1, ranks = 4)", own, policy="own").cost
    assert [compiled(cost)(batch_of(0, n, 100)) for n in (1, 2)] == [48, 96]


def test_who_launches_in_no_time_waits_for_no_host() -> None:
    cost = cost_of("true", launch="launch = 0 s")
    assert (cost.least, cost.overhead) == (0, 5e-3)


def test_most_decodes_of_a_profile_need_no_comparison() -> None:
    """Steps of up to 512 tokens have a graph: their loops have the source that they had before."""
    cost = (
        tsdl.compile("""edition "2026"
scenario s { model = llama3_1_8b; cluster = single(H100_SXM); workload = sharegpt; policy = vllm }
""")
        .workers[0]
        .cost
    )
    times = DecodeTime(cost, {})
    assert [times._may_wait(count) for count in (1, 256, 512, 513)] == [False] * 3 + [True]


def test_breakpoints_come_after_what_is_waited_for() -> None:
    """Kernels run at the end of an iteration that waits for its host."""
    result = tsdl.compile("""edition "2026"
model stopping from llama2_7b { layers = 2; breakpoint late after block.down when layer == 0 }
policy own from chunked {
  local { eager = true; launch = 1 ms; on late(batch, layer, w) { record "at", now / 1 ms } }
}
workload one {
  requests = 1
  arrivals = uniform(1 req/s)
  prompt   = constant(100 tokens)
  output   = constant(1 token)
}
scenario s { model = stopping; cluster = single(A100_80G); workload = one; policy = own }
""").run()
    (at,), (arrived,) = result.records["value"], result.requests["arrived"]
    assert 0.8 * KERNELS < at - arrived * 1e3 < KERNELS
