"""An iteration of a llama on A100s, worked out by hand from the library's formulas.

The figures are copied from stdlib/hardware_nvidia.tsim and links.tsim, on purpose: whoever changes
a device's efficiency has to look at what it does to an iteration.
"""

import math
from dataclasses import dataclass

from tsdl.costs import Batch

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
# NVLink 3: of 300 GB/s an all-reduce reaches 64 %, others 72 %; latency and p.
ALL_REDUCE = (0.64 * 300e9, 33e-6, 0.75)
EXCHANGE = (0.72 * 300e9, 8.2e-6, 0.52)
BYTES = 2  # of a weight, an activation, an element of KV


# -- models ------------------------------------------------------------------------------------


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


# -- times -------------------------------------------------------------------------------------


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


def over_link(wire: float, rate: float, latency: float, p: float) -> float:
    return float((latency**p + (wire / rate) ** p) ** (1 / p)) + LAUNCH


def all_reduce(rows: int, width: int, devices: int) -> float:
    wire = 2 * (devices - 1) / devices * rows * width * BYTES
    return over_link(wire, *ALL_REDUCE) if devices > 1 else 0


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
        wire = (devices - 1) / devices * last * shape.vocabulary * BYTES
        rate, latency, p = EXCHANGE
        parts.append(over_link(wire, rate, latency * (1 + 0.04 * (devices - 2)), p))
    return math.fsum(parts)


# -- batches -----------------------------------------------------------------------------------
