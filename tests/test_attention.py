"""Latent and windowed attention against sums done by hand: their work, and what of KV they keep."""

import math

import pytest

from tests.models_on_devices import amount, decodes, kernel, prompt, worker_of
from tsdl.costs import Batch, compiled_footprint


def test_latent_attention_widens_for_prefills_and_absorbs_for_decodes() -> None:
    cost = worker_of("deepseek_v3", "tp(8)").cost
    heads, wide = 128 // 8, 2 * 128 + 64

    def work(part: str, batch: Batch) -> tuple[float, float]:
        found = kernel(cost, f"attn.{part}")
        return amount(found.flops, batch), amount(found.bytes, batch)

    batch = decodes(3, 1000)
    assert work("decode", batch) == (
        2 * heads * (2 * 512 + 64) * 3000,
        3000 * (512 + 64) * 2 + 3 * heads * (2 * 512 + 64) * 2,
    )
    assert work("absorb", batch) == (
        2 * 3 * heads * 512 * (128 + 128),
        heads * 512 * (128 + 128) * 2 + 3 * heads * 2 * (128 + 512) * 2,
    )
    batch = prompt(100, cached=50)
    assert work("prefill", batch)[0] == 2 * heads * wide * 100 * (50 + 100 / 2 + 530)
    assert work("widen", batch)[0] == 2 * 150 * 512 * heads * (128 + 128)


CONTEXTS = {"short": (7, 300), "long": (7, 90_000)}


@pytest.mark.parametrize("name", CONTEXTS)
def test_a_window_bounds_what_a_decode_reads(name: str) -> None:
    count, context = CONTEXTS[name]
    cost = worker_of("gemma3_27b").cost
    batch = decodes(count, context)
    for stage, seen in (("windowed", min(context, 1024)), ("block", context)):
        flops = amount(kernel(cost, "attn.decode", stage).flops, batch)
        assert flops == 4 * 32 * 128 * count * seen


@pytest.mark.parametrize("length", [100, 4096, 32_000])
def test_a_window_bounds_the_work_of_a_prompt_from_above(length: int) -> None:
    """Never less than the sum over its tokens, half a token each aside; more by window / 2c."""
    cost = worker_of("mistral_7b").cost
    flops = amount(kernel(cost, "attn.prefill").flops, prompt(length)) / (4 * 32 * 128)
    wave = 64 * 132 / 32  # rows that an H100 works on at a time; in the last, some are missing
    flops *= length / (wave * math.ceil(length / wave))
    flops -= 530 * length  # for the begins and ends of tiles
    exact = sum(min(token + 0.5, 4096) for token in range(length))
    assert exact <= flops * 1.000001
    short = length <= 4096
    # Beyond it, a tile of 64 rows sees the windows of all of them.
    assert flops / exact < (1.000001 if short else 1 + 1.2 * 4096 / (2 * length) + 64 / 4096)


def test_layers_with_a_window_may_keep_no_more_than_that() -> None:
    token = 2 * 16 * 128 * 2
    for kv, kept in (("paged", 62 * 8000), ("hybrid", 10 * 8000 + 52 * 1024)):
        footprint = compiled_footprint(worker_of("gemma3_27b", kv=kv).kv)
        assert footprint(8000, 1, 1) == kept * token
        assert footprint(160, 1, 1) == 62 * 160 * token


def test_without_windows_a_hybrid_cache_is_a_paged_one() -> None:
    found = [worker_of("llama3_8b", kv=kv).kv.footprint for kv in ("paged", "hybrid")]
    assert found[0] == found[1]


@pytest.mark.parametrize(("window", "kept"), [("", 2048), ("window = 512 tokens", 512)])
def test_a_reach_that_the_graph_says_is_the_window_of_a_model_without(
    window: str, kept: int
) -> None:
    own = f"""
operator Looking(heads, kv_heads, head_dim, far) from Attention(heads, kv_heads, head_dim) {{
  reach = far
}}
model own from llama3_1_8b {{
  {window}
  graph {{
    repeat near * 16 {{ attn: Looking(heads, kv_heads, head_dim, 1024, shard = heads) }}
    repeat mid * 8 {{ attn: Looking(heads, kv_heads, head_dim, 2048, shard = heads) }}
    repeat all * 8 {{ attn: Attention(heads, kv_heads, head_dim) }}
  }}
}}"""
    footprint = compiled_footprint(worker_of("own", own=own, kv="hybrid").kv)
    assert footprint(8000, 1, 1) == (8 * 8000 + 24 * kept) * 2 * 8 * 128 * 2
