"""What an iteration takes beside its kernels where the host launches them one by one."""

from dataclasses import fields

import pytest
from msgspec.structs import replace

import tsdl
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
        ("tokens / prefills < 9", batch_of(8), True, True),
        ("true", batch_of(0, 1, 100), True, True),
    ],
)
def test_an_eager_iteration_waits_for_its_host(
    eager: str, batch: Batch, *, is_eager: bool, waits: bool
) -> None:
    cost = cost_of(eager)
    time, alone = (compiled(c)(batch) for c in (cost, replace(cost, eager=False, least=0)))
    overhead = 5e-3 if is_eager else 1e-3
    assert alone > overhead
    assert time == pytest.approx(KERNELS * 1e-3 + overhead if waits else alone, rel=EXACT)
    every = [getattr(batch, f.name) for f in fields(Batch)]
    assert compiled_features(cost, {})(*every) == time
    found = {share.name: share.seconds for share in shares(cost, batch)}
    assert sum(found.values()) == pytest.approx(time, rel=EXACT)
    assert found["overhead"] == overhead
    assert (found["waits for launches"] > 0) is waits
    if batch.decodes:
        fixed, growing = DecodeTime(cost, {}).of(batch.decodes)
        told = batch.contexts, batch.context_blocks, batch.longest_context
        assert (growing(*told) if growing else fixed) == time


def test_a_formula_that_is_never_asked_for_may_have_no_value() -> None:
    """Decodes have no prefills to divide by, but their kernels take longer than launches."""
    text = PROGRAM.replace("5 ms if eager else 1 ms", "1 ms").format(
        eager="tokens / prefills < 9", launch="launch = 1 us", parallel="tp(1)"
    )
    cost = tsdl.compile(text).workers[0].cost
    _, growing = DecodeTime(cost, {}).of(8)
    batch = batch_of(0, 8, 100)
    assert growing is not None
    assert growing(batch.contexts, 56, 100) == compiled(cost)(batch)


def test_each_stage_of_a_pipeline_launches_its_own_kernels() -> None:
    (worker,) = plan_of("true", parallel="pp(2)").workers
    assert [cost.least for cost in worker.pipeline] == [
        pytest.approx((11 + 1) * 1e-3 + 5e-3),
        pytest.approx((11 + 3) * 1e-3),
    ]


def test_who_launches_in_no_time_is_never_eager() -> None:
    cost = cost_of("true", launch="launch = 0 s")
    assert (cost.eager, cost.least, cost.overhead) == (False, 0, 5e-3)


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
    assert [times._may_be_eager(count) for count in (1, 256, 512, 513)] == [False] * 3 + [True]


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
