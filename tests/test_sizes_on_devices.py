"""What devices have of a model: their weights and KV, collectives between them, caches."""

from collections.abc import Callable

import pytest

import tsdl
from tests.costs_by_hand import BYTES
from tests.models_on_devices import amount, kernel
from tests.priced import plan_of, text_of, worker_of
from tests.summed_batches import batch_of
from tsdl.costs import compiled_footprint
from tsdl.plan import Cost

# -- weights and KV ----------------------------------------------------------------------------


def kernels(cost: Cost) -> list[str]:
    """Return the names of all kernels, those of a repeated stage once."""
    return [kernel.name for stage in cost.stages for kernel in stage.kernels]


def test_llama2_7b_has_its_weights_and_kv() -> None:
    plan = plan_of()
    worker = plan.workers[0]
    assert worker.weights == 13_476_831_232
    assert plan.models[0].parameters == 6_738_415_616
    assert worker.kv.bytes_per_token == 524_288


def test_kv_takes_what_the_weights_and_the_reserve_leave_in_whole_blocks() -> None:
    kv = worker_of().kv
    room = 0.9 * 79.15 * 2**30 - 13_476_831_232 - 2**30
    block = 16 * 524_288
    assert kv.capacity == room // block * block


def test_tensorrt_llm_takes_a_share_of_what_the_weights_leave() -> None:
    """Not of all memory: of a model that hardly fits much more is left so."""
    text = text_of().replace("parallel = tp(1)", "kv = half") + (
        "kvcache half from no_evict { free_share = 50 % }\n"
    )
    kv = tsdl.compile(text).workers[0].kv
    room = 0.5 * (79.15 * 2**30 - 13_476_831_232 - 2**30)
    block = 32 * 524_288
    assert kv.capacity == room // block * block


def test_grouped_queries_hold_kv_of_their_few_heads() -> None:
    worker = worker_of("llama2_70b", devices=4)
    assert worker.kv.bytes_per_token == 2 * 8 * 128 * 80 * BYTES
    assert worker_of("llama3_8b").kv.bytes_per_token == 2 * 8 * 128 * 32 * BYTES


# -- several devices ---------------------------------------------------------------------------


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
    flops = amount(qkv.flops, batch)
    assert flops == 2 * 8192 * wide


@pytest.mark.parametrize("devices", [3, 64])
def test_what_devices_do_not_divide_is_refused(devices: int) -> None:
    with pytest.raises(tsdl.TsdlError, match="E0514"):
        plan_of(devices=devices)


# -- caches ------------------------------------------------------------------------------------

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
