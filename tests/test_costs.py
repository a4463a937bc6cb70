"""Costs against sums done by hand from the library's formulas.

The figures of the hand calculation are copied from stdlib/hardware.tsim and links.tsim, on purpose:
whoever changes a device's efficiency has to look at what it does to an iteration.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import pytest
from msgspec.structs import replace

import tsdl
from tests.priced import plan_of, text_of, worker_of
from tsdl.costs import (
    Batch,
    DecodeTime,
    compiled,
    compiled_features,
    compiled_footprint,
)
from tsdl.formula import symbols
from tsdl.plan import Cost, Kernel, Stage
from tsdl.pythonsource import function, python

EXACT = 1e-12

# A100 80 GB: peaks, and what is reached of them (compute, bandwidth, seconds of a launch, p).
PEAK, BANDWIDTH = 312e12, 2.039e12
GEMM = (0.739, 0.827, 5.3e-6, 1.41)
ATTENTION = (0.57, 0.75, 16e-6)
SAMPLER = (2.0, 25e-6)  # the logits stay in the cache
TILE, UNITS, REREADS = 64, 108, 0.3  # rows that each multiprocessor works on; of KV, by a group
EXTRA_KEYS, LEAST_CONTEXT = 195, 80
LAUNCH = 2.5e-6
SHARES = {
    "norm": 0.37,
    "rotary": 0.45,
    "residual": 0.93,
    "activation": 0.5,
    "embedding": 0.15,
    "pointwise": 0.45,
}
# NVLink 3: 64 % of 300 GB/s, 33 us, p = 0.75.
RATE, LATENCY, SHARPNESS = 0.64 * 300e9, 33e-6, 0.75
BYTES = 2  # of a weight, an activation, an element of KV


def kernels(cost: Cost) -> list[str]:
    """Return the names of all kernels, those of a repeated stage once."""
    return [kernel.name for stage in cost.stages for kernel in stage.kernels]


def kernel(cost: Cost, name: str) -> Kernel:
    [found] = [k for stage in cost.stages for k in stage.kernels if k.name == name]
    return found


# -- an iteration by hand ----------------------------------------------------------------------


@dataclass(frozen=True)
class Shape:
    """A model of the llama family, by its numbers."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    ffn: int
    vocabulary: int
    head_dim: int = 128


LLAMA2_7B = Shape(32, 4096, 32, 32, 11_008, 32_000)
LLAMA2_70B = Shape(80, 8192, 64, 8, 28_672, 32_000)


def gemm(rows: int, k: int, n: int) -> float:
    compute, bandwidth, launch, p = GEMM
    first = 2 * rows * k * n / (PEAK * compute)
    second = (k * n + rows * (k + n)) * BYTES / (BANDWIDTH * bandwidth)
    return float((first**p + second**p) ** (1 / p)) + launch


def moved(work_class: str, size: float) -> float:
    return size / (BANDWIDTH * SHARES[work_class]) + LAUNCH


def attention(flops: float, size: float) -> float:
    compute, bandwidth, launch = ATTENTION
    return max(flops / (PEAK * compute), size / (BANDWIDTH * bandwidth)) + launch


def over_link(wire: float) -> float:
    return float((LATENCY**SHARPNESS + (wire / RATE) ** SHARPNESS) ** (1 / SHARPNESS)) + LAUNCH


def all_reduce(rows: int, width: int, devices: int) -> float:
    return over_link(2 * (devices - 1) / devices * rows * width * BYTES) if devices > 1 else 0


def attention_of(batch: Batch, heads: int, kv_heads: int, width: int) -> float:
    total = 0.0
    if batch.prefills:
        products = batch.prefill_products + batch.prefill_squares / 2
        read: float = batch.prefill_tokens * heads + batch.prefill_contexts * kv_heads
        wave = TILE * UNITS / heads
        idle: float = math.ceil(batch.prefill_tokens / wave) * wave / batch.prefill_tokens
        keys = products + EXTRA_KEYS * batch.prefill_tokens
        total += attention(4 * heads * width * keys * idle, 2 * read * width * BYTES)
    if batch.decodes:
        whole = batch.decodes * kv_heads > 0.8 * 2 * UNITS  # no context is split
        alone = batch.longest_context / kv_heads * 2 * UNITS / 4 if whole else 0
        anew = 1 + REREADS * (heads / kv_heads - 1) if batch.prefills else 1
        least = LEAST_CONTEXT * batch.decodes
        read = batch.decodes * heads
        read += math.hypot(batch.contexts, least, alone) * kv_heads * anew
        total += attention(4 * heads * width * batch.contexts, 2 * read * width * BYTES)
    return total


def layer_of(shape: Shape, batch: Batch, devices: int) -> float:
    rows, hidden, width = batch.tokens, shape.hidden, shape.head_dim
    heads, kv_heads = shape.heads // devices, max(1, shape.kv_heads // devices)
    ffn = shape.ffn // devices
    return math.fsum(
        [
            2 * moved("norm", 2 * rows * hidden * BYTES),
            gemm(rows, hidden, (shape.heads + 2 * shape.kv_heads) * width // devices),
            moved("rotary", 2 * rows * (heads + kv_heads) * width * BYTES),
            attention_of(batch, heads, kv_heads, width),
            gemm(rows, heads * width, hidden),
            2 * moved("residual", 3 * rows * hidden * BYTES),
            gemm(rows, hidden, 2 * ffn),
            moved("activation", 3 * rows * ffn * BYTES),
            gemm(rows, ffn, hidden),
            2 * all_reduce(rows, hidden, devices),
        ]
    )


def by_hand(shape: Shape, batch: Batch, devices: int = 1) -> float:
    """Return the seconds of an iteration, as one would work them out on paper."""
    rows, last, hidden = batch.tokens, batch.last_tokens, shape.hidden
    parts = [
        moved("embedding", 2 * rows * hidden * BYTES),
        all_reduce(rows, hidden, devices),
        shape.layers * layer_of(shape, batch, devices),
        moved("norm", 2 * rows * hidden * BYTES),
    ]
    if last:
        parts.append(gemm(last, hidden, shape.vocabulary // devices))
        parts.append(3 * last * shape.vocabulary * 4 / (BANDWIDTH * SAMPLER[0]) + SAMPLER[1])
    if last and devices > 1:
        parts.append(over_link((devices - 1) / devices * last * shape.vocabulary * BYTES))
    return math.fsum(parts)


def batch_of(
    chunks: tuple[tuple[int, int, bool], ...] = (), contexts: tuple[int, ...] = ()
) -> Batch:
    """Return the features of chunks (tokens, cached before, whether the last) and of decodes."""
    tokens = sum(chunk for chunk, _, _ in chunks) + len(contexts)
    return Batch(
        tokens=tokens,
        requests=len(chunks) + len(contexts),
        last_tokens=sum(last for _, _, last in chunks) + len(contexts),
        prefills=len(chunks),
        prefill_tokens=sum(chunk for chunk, _, _ in chunks),
        prefill_contexts=sum(cached + chunk for chunk, cached, _ in chunks),
        prefill_products=sum(chunk * cached for chunk, cached, _ in chunks),
        prefill_squares=sum(chunk * chunk for chunk, _, _ in chunks),
        decodes=len(contexts),
        contexts=sum(contexts),
        context_blocks=sum(-(-context // 16) for context in contexts),
        longest_context=max(contexts, default=0),
        peer_tokens=tokens,
    )


BATCHES = {
    "a decode": batch_of(contexts=(500,)),
    "many decodes": batch_of(contexts=tuple(range(100, 400))),
    "a prompt": batch_of(((1024, 0, True),)),
    "a chunk that yields nothing": batch_of(((512, 1024, False),)),
    "chunks and decodes": batch_of(((100, 0, True), (412, 88, False)), (17, 900, 33)),
}


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


# -- sizes -------------------------------------------------------------------------------------


def test_llama2_7b_has_its_weights_and_kv() -> None:
    plan = plan_of()
    worker = plan.workers[0]
    assert worker.weights == 13_476_831_232
    assert plan.model.parameters == 6_738_415_616
    assert worker.kv.bytes_per_token == 524_288


def test_kv_takes_what_the_weights_and_the_reserve_leave_in_whole_blocks() -> None:
    kv = worker_of().kv
    room = 0.9 * 79.15 * 2**30 - 13_476_831_232 - 2**30
    block = 16 * 524_288
    assert kv.capacity == room // block * block


def test_grouped_queries_hold_kv_of_their_few_heads() -> None:
    worker = worker_of("llama2_70b", devices=4)
    assert worker.kv.bytes_per_token == 2 * 8 * 128 * 80 * BYTES
    assert worker_of("llama3_8b").kv.bytes_per_token == 2 * 8 * 128 * 32 * BYTES


def test_two_devices_share_the_weights_but_for_the_norms() -> None:
    one, two = worker_of(), worker_of(devices=2)
    norms = (2 * 32 + 1) * 4096 * BYTES
    assert two.weights == one.weights + norms
    assert two.kv.bytes_per_token == one.kv.bytes_per_token
    assert (two.memory, two.reserve) == (2 * one.memory, 2 * one.reserve)
    assert two.kv.swap_space == 2 * one.kv.swap_space
    assert (two.price, two.idle_power, two.peak_power) == (20_000, 120, 800)
    assert (two.host.bandwidth, two.host.latency) == (2 * one.host.bandwidth, one.host.latency)


def test_an_all_reduce_follows_the_embedding_and_twice_a_layer() -> None:
    names = kernels(worker_of(devices=2).cost)
    reduces = [name for name in names if name.endswith(".all_reduce")]
    assert reduces == ["embed.all_reduce", "out.all_reduce", "down.all_reduce"]
    assert [names[names.index(name) - 1] for name in reduces] == ["embed", "out", "down"]
    assert not [name for name in kernels(worker_of().cost) if "all_reduce" in name]


def test_a_single_device_sends_nothing() -> None:
    assert all(k.wire == 0 for stage in worker_of().cost.stages for k in stage.kernels)


def test_kv_heads_are_copied_where_there_are_more_devices() -> None:
    """Eight KV heads on sixteen devices: each keeps one, so that every head is kept twice."""
    eight, sixteen = worker_of("llama2_70b", devices=8), worker_of("llama2_70b", devices=16)
    assert sixteen.kv.bytes_per_token == 2 * eight.kv.bytes_per_token


def test_copied_kv_heads_are_computed_on_every_device_that_keeps_them() -> None:
    """Of 64 query heads a device has 4, and one head of keys and of values whole: 6 heads wide."""
    qkv = kernel(worker_of("llama2_70b", devices=16).cost, "qkv")
    wide = (64 // 16 + 2) * 128
    batch = batch_of(contexts=(1,))
    flops = compiled(one_kernel(replace(qkv, time=qkv.flops)))(batch)
    assert flops == 2 * 8192 * wide


@pytest.mark.parametrize("devices", [3, 64])
def test_what_devices_do_not_divide_is_refused(devices: int) -> None:
    with pytest.raises(tsdl.TsdlError, match="E0514"):
        plan_of(devices=devices)


def test_a_dtype_without_a_peak_runs_at_that_of_its_fallback() -> None:
    own = 'edition "2026"\nmodel coded from llama2_7b { dtype = fp8 }\n'
    worker = tsdl.compile(own + text_of("coded").partition("\n")[2]).workers[0]
    assert worker.weights == 13_476_831_232 // 2
    prompt = batch_of(((4096, 0, True),))
    fp16 = compiled(worker_of().cost)(prompt)
    assert math.isclose(compiled(worker.cost)(prompt), fp16, rel_tol=0.05)


FOOTPRINTS: dict[str, Callable[[int], int]] = {
    "paged": lambda context: -(-context // 16) * 16,
    "token_wise": lambda context: context,
    "contiguous": lambda _: 4096,
    "windowed": lambda context: -(-min(context, 4096) // 16) * 16,
}


@pytest.mark.parametrize("name", FOOTPRINTS)
def test_a_cache_holds_what_its_formula_says(name: str) -> None:
    kv = tsdl.compile(text_of().replace("tp(1)", f"tp(1); kv = {name}")).workers[0].kv
    footprint = compiled_footprint(kv)
    for context in (1, 15, 16, 17, 4095, 4096):
        assert footprint(context, 1, 1) == FOOTPRINTS[name](context) * 524_288


def test_a_footprint_may_only_read_what_the_cache_knows() -> None:
    """`context`, `prompt` and `output` are given to it; for all else, no NameError in a run."""
    text = text_of()
    text += "kvcache odd from paged { footprint(r) = (r.generated + r.prompt) * kv_per_token }\n"
    try:
        plan = tsdl.compile(text.replace("tp(1)", "tp(1); kv = odd"))
    except tsdl.TsdlError:
        return
    assert plan.run().summary["requests"]["finished"] == 20


# -- sums in a fixed order ---------------------------------------------------------------------


def one_kernel(kernel: Kernel) -> Cost:
    return Cost("test", (Stage("", 1, (kernel,)),), 0)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("devices", [1, 2])
def test_kernels_are_added_by_the_features_that_they_depend_on(batch: str, devices: int) -> None:
    """Within a stage and then over the stages; what grows with the contexts comes last."""
    cost = worker_of(devices=devices).cost
    parts: dict[frozenset[str], float] = {frozenset(): 0.0}
    for stage in cost.stages:
        here: dict[frozenset[str], float] = {}
        for kernel in stage.kernels:
            used = frozenset(symbols(kernel.time))
            time = compiled(one_kernel(kernel))(BATCHES[batch])
            here[used] = here[used] + time if used in here else time
        for used, time in here.items():
            parts[used] = (
                parts[used] + time * stage.repeat if used in parts else time * stage.repeat
            )
    last = [used for used in parts if used & {"contexts", "context_blocks", "longest_context"}]
    total = 0.0
    for used in [used for used in parts if used not in last] + last:
        total += parts[used]
    assert compiled(cost)(BATCHES[batch]) == total


@pytest.mark.parametrize("batch", BATCHES)
def test_a_cost_of_features_is_that_of_the_batch(batch: str) -> None:
    cost = worker_of().cost
    known = [getattr(BATCHES[batch], field.name) for field in fields(Batch)]
    assert compiled_features(cost, {})(*known) == compiled(cost)(BATCHES[batch])


@pytest.mark.parametrize("contexts", [(1,), (500,), (17, 400, 3000), tuple(range(1, 200))])
def test_the_time_of_decodes_is_that_of_their_batch(contexts: tuple[int, ...]) -> None:
    batch = batch_of(contexts=contexts)
    cost = worker_of().cost
    fixed, growing = DecodeTime(cost, {}).of(len(contexts))
    assert growing is not None
    features = (batch.contexts, batch.context_blocks, batch.longest_context)
    assert growing(*features) == compiled(cost)(batch)
    assert 0 < fixed < growing(*features)


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
operator odd from GEMM(8, 8) { flops = tokens / prefills }
model own from llama2_7b { graph { one: GEMM(8, 8); two: odd; three: GEMM(8, 8) } }
policy told from continuous { local { gap = 1 ms } }
scenario s { model = own; cluster = single(A100_80G); workload = sharegpt; policy = told }
""")
    assert plan.workers[0].cost.overhead == pytest.approx(3e-3)


def test_an_empty_batch_costs_nothing_but_launches_that_do_not_happen() -> None:
    assert compiled(worker_of().cost)(Batch()) == 0
