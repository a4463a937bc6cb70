"""Costs of iterations against sums done by hand, and what is added to their kernels."""

import math

import pytest

import tsdl
from tests.costs_by_hand import (
    BANDWIDTH,
    BYTES,
    EXACT,
    LAUNCH,
    LLAMA2_7B,
    LLAMA2_70B,
    PEAK,
    by_hand,
)
from tests.priced import text_of, worker_of
from tests.summed_batches import BATCHES, batch_of
from tsdl.costs import Batch, compiled
from tsdl.pythonsource import function, python

# -- iterations --------------------------------------------------------------------------------


@pytest.mark.parametrize("devices", [1, 2, 4, 8])
@pytest.mark.parametrize("batch", BATCHES)
def test_an_iteration_takes_what_one_works_out_by_hand(batch: str, devices: int) -> None:
    time = compiled(worker_of(devices=devices).cost)(BATCHES[batch])
    assert math.isclose(time, by_hand(LLAMA2_7B, BATCHES[batch], devices), rel_tol=EXACT)


@pytest.mark.parametrize("batch", BATCHES)
def test_grouped_queries_read_fewer_heads(batch: str) -> None:
    time = compiled(worker_of("llama2_70b", devices=4).cost)(BATCHES[batch])
    assert math.isclose(time, by_hand(LLAMA2_70B, BATCHES[batch], 4), rel_tol=EXACT)


def test_a_lonely_decode_is_near_the_bandwidth_bound() -> None:
    """All weights but the embedding's rows are read once: 6.5 ms; with launches, 10.3 ms."""
    weights = worker_of().weights - 32_000 * 4096 * BYTES
    bound = weights / BANDWIDTH
    time = compiled(worker_of().cost)(batch_of(contexts=(500,)))
    assert bound < time < 1.7 * bound
    assert math.isclose(bound, 6.48e-3, rel_tol=0.01)


def test_a_long_prompt_is_near_the_compute_bound() -> None:
    time = compiled(worker_of().cost)(batch_of(((2048, 0, True),)))
    flops = 2 * 2048 * (6_738_415_616 - 2 * 32_000 * 4096) + 32 * 4 * 4096 * 2048 * 2048 / 2
    assert flops / PEAK < time < 1.6 * flops / PEAK


def test_a_batch_of_decodes_costs_little_more_than_one() -> None:
    time = compiled(worker_of().cost)
    assert time(batch_of(contexts=(100,) * 16)) < 1.15 * time(batch_of(contexts=(100,)))


@pytest.mark.parametrize("devices", [1, 2, 4, 8])
def test_a_collective_depends_on_how_many_take_part(devices: int) -> None:
    """A ring of n pays its latency n - 1 times, and shares a switch from the third on."""
    plan = tsdl.compile(f"""edition "2026"
link ring {{
  bandwidth = 50 GB/s
  collective {{
    latency = 4 us; bandwidth = 50 %; sharpness = 1
    latency_factor = max(devices, 2) - 1; bandwidth_factor = 1 if devices <= 2 else 0.4
  }}
}}
cluster one {{ worker gpu {{ hardware = A100_80G; link = ring; parallel = tp({devices}) }} }}
scenario s {{ model = llama2_7b; cluster = one; workload = sharegpt }}
""")
    found = [
        k for s in plan.workers[0].cost.stages for k in s.kernels if k.name == "out.all_reduce"
    ]
    assert len(found) == (devices > 1)
    for kernel in found:
        wire = 2 * (devices - 1) / devices * 100 * 4096 * BYTES
        rate = 50e9 * 0.5 * (1 if devices <= 2 else 0.4)
        expected = 4e-6 * (devices - 1) + wire / rate + LAUNCH
        batch = batch_of(contexts=(10,) * 100)
        names = ", ".join(Batch.__slots__)
        time = function("a kernel", names, python(kernel.time), {})
        seconds = time(*(getattr(batch, name) for name in Batch.__slots__))
        assert math.isclose(seconds, expected, rel_tol=EXACT)


def test_a_dtype_without_a_peak_runs_at_that_of_its_fallback() -> None:
    own = 'edition "2026"\nmodel coded from llama2_7b { dtype = fp8 }\n'
    worker = tsdl.compile(own + text_of("coded").partition("\n")[2]).workers[0]
    assert worker.weights == 13_476_831_232 // 2
    prompt = batch_of(((4096, 0, True),))
    fp16 = compiled(worker_of().cost)(prompt)
    assert math.isclose(compiled(worker.cost)(prompt), fp16, rel_tol=0.05)


def test_an_empty_batch_costs_nothing_but_launches_that_do_not_happen() -> None:
    assert compiled(worker_of().cost)(Batch()) == 0


def test_an_engine_takes_more_for_kernels_of_a_class() -> None:
    """Two all-reduces in each of 80 layers, and that of the embedding."""
    usual = tsdl.compile(text_of("llama2_70b", 4)).workers[0]
    own = 'edition "2026"\npolicy slow { local { extra { collective = 3 us } } }\n'
    text = own + text_of("llama2_70b", 4, policy="slow").partition("\n")[2]
    slow = tsdl.compile(text).workers[0]
    batch = batch_of(contexts=(10,) * 7)
    more = compiled(slow.cost)(batch) - compiled(usual.cost)(batch)
    assert math.isclose(more, (2 * 80 + 1) * 3e-6, rel_tol=1e-9)


# -- overhead and gaps -------------------------------------------------------------------------


def test_the_schedulers_overhead_is_added() -> None:
    own = 'edition "2026"\npolicy slow { local { overhead = 1 ms + 48 us * requests } }\n'
    text = own + text_of(policy="slow").partition("\n")[2]
    time = compiled(tsdl.compile(text).workers[0].cost)
    for batch in BATCHES.values():
        expected = by_hand(LLAMA2_7B, batch) + 1e-3 + 48e-6 * batch.requests
        assert math.isclose(time(batch), expected, rel_tol=EXACT)


@pytest.mark.parametrize(
    ("parallel", "counts"),
    # A layer of Llama 2 has 11 kernels; before the layers is one, behind them are three.
    # Between two devices are collectives besides: two in a layer, of the embedding and the logits.
    [
        ("tp(1)", [32 * 11 + 4]),
        ("tp(2)", [32 * (11 + 2) + 4 + 2]),
        ("pp(2)", [16 * 11 + 1, 16 * 11 + 3]),
    ],
)
def test_kernels_have_gaps_and_the_overhead_knows_devices(parallel: str, counts: list[int]) -> None:
    plan = tsdl.compile(f"""edition "2026"
policy own from continuous {{ local {{ gap = 1 us; overhead = 1 ms * devices }} }}
cluster one {{ worker gpu {{ hardware = A100_80G; parallel = {parallel} }} }}
scenario s {{ model = llama2_7b; cluster = one; workload = sharegpt; policy = own }}
""")
    worker = plan.workers[0]
    devices = 2 if parallel == "tp(2)" else 1
    assert worker.cost.overhead == pytest.approx(sum(counts) * 1e-6 + 1e-3 * devices, rel=EXACT)
    if worker.pipeline:  # what is not of kernels is the first's alone
        assert [cost.overhead for cost in worker.pipeline] == [
            pytest.approx(count * 1e-6 + (0 if stage else 1e-3), rel=1e-9)
            for stage, count in enumerate(counts)
        ]


def test_a_kernel_whose_time_has_no_value_counts_as_launched() -> None:
    plan = tsdl.compile("""edition "2026"
operator odd from GEMM(8, 8) { flops = tokens / (decodes - 1) ** 2 }
model own from llama2_7b { graph { one: GEMM(8, 8); two: odd; three: GEMM(8, 8) } }
policy told from continuous { local { gap = 1 ms } }
scenario s { model = own; cluster = single(A100_80G); workload = sharegpt; policy = told }
""")
    assert plan.workers[0].cost.overhead == pytest.approx(3e-3)


def test_a_parameter_with_a_default_is_no_size_that_is_divided() -> None:
    text = """
operator Tiled(k, n, tile = 128) from GEMM(k, n) {
  flops = 2 * tokens * round_up(k, tile) * round_up(n, tile)
}
operator Plain(k, n) from GEMM(k, n) {
  flops = 2 * tokens * round_up(k, 128) * round_up(n, 128)
}
model own from llama2_7b {
  graph { up: Plain(hidden, ffn, shard = column); down: Plain(ffn, hidden, shard = row) }
}
"""
    tiled = text.replace("up: Plain", "up: Tiled").replace("down: Plain", "down: Tiled")
    found, wanted = (
        tsdl.compile(text_of("own", devices=2) + operators).workers[0]
        for operators in (tiled, text)
    )
    assert found == wanted
    assert [kernel.name for kernel in found.cost.stages[0].kernels][-1] == "down.all_reduce"
