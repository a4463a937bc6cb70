"""Formats of numbers: the bytes that weights take in them, and the rate of their multiplication."""

import pytest

from tests.models_on_devices import amount, decodes, kernel, prompt, worker_of

LAYERS_8B = 32 * (4096 * (32 + 16) * 128 + 4096 * 4096 + 3 * 4096 * 14_336)
OTHERS_8B = 2 * 128_256 * 4096 + (2 * 32 + 1) * 4096


@pytest.mark.parametrize(
    ("dtype", "size"),
    [
        ("bf16", 2.0),
        ("fp8", 1.0),
        ("int4", 0.5),
        ("int4_group", 0.51953125),
        ("int4_group(32, zero = 0)", 0.5625),
        ("mxfp4", 0.53125),
        ("nvfp4", 0.5625),
    ],
)
def test_weights_take_the_bytes_of_their_format_and_scales(dtype: str, size: float) -> None:
    own = f"model own from llama3_8b {{ weight_dtype = {dtype} }}"
    worker = worker_of("own", own=own)
    assert worker.weights == int(LAYERS_8B * size + OTHERS_8B * 2)
    assert worker.kv.bytes_per_token == 2 * 8 * 128 * 32 * 2  # KV as the activations
    batch = decodes(4, 9)
    expected = 4096 * 28_672 * size + 4 * (4096 + 28_672) * 2
    assert amount(kernel(worker.cost, "gate_up").bytes, batch) == expected
    assert kernel(worker.cost, "lm_head", "") == kernel(worker_of("llama3_8b").cost, "lm_head", "")


def time_of_a_prompt(own: str, hardware: str = "huge") -> float:
    cost = worker_of("own", own=f"model own from llama3_8b {{ {own} }}", hardware=hardware).cost
    batch = prompt(4096)
    return amount(kernel(cost, "gate_up").time, batch)


def test_matrices_are_multiplied_at_the_rate_of_their_format() -> None:
    """Weights in fp8 halve the bytes, not the work; multiplied in fp8, the rate doubles, too.

    Of that double rate an H100's kernels attain 74 %.
    """
    bf16, weights, both = (
        time_of_a_prompt(own)
        for own in ("", "weight_dtype = fp8", "weight_dtype = fp8; compute_dtype = fp8")
    )
    assert 0.9 * bf16 < weights < bf16
    assert 0.6 * bf16 < both < 0.75 * bf16
    on_a100 = (
        time_of_a_prompt(own, "A100_80G")
        for own in ("weight_dtype = fp8", "weight_dtype = fp8; compute_dtype = fp8")
    )
    assert len(set(on_a100)) == 1  # it has no fp8, and computes in fp16


WIDENING = """hardware widening from huge {
  compute  { fp8 = 1979 TFLOPS; int4 = 3958 TOPS }
  attained { fp8 = 50 %; bf16 = 90 % }
  efficiency {
    gemm {
      compute = 50 %; bandwidth = 80 %; overhead = 0 us; sharpness = 1
      stored_in {
        int4      { compute = 30 %; bandwidth = 20 % }
        fp8_block { compute = 90 % }
        mxfp4     { bandwidth = 1 %; overhead = 3 us }
      }
    }
  }
}"""
# What gemm reaches of the peak, and of the bandwidth, with weights of a format; and their launch.
REACHED = {
    "": (0.5, 0.8, 0.0), "int4": (0.3, 0.2, 0.0), "fp8_block": (0.9, 0.8, 0.0),
    "mxfp4": (0.5 * 0.9, 0.01, 3e-6),
}  # fmt: skip


@pytest.mark.parametrize(
    ("formats", "computed", "stored"),
    [
        ("", "bf16", ""),
        ("weight_dtype = int4_group", "bf16", "int4"),  # its fallback
        ("weight_dtype = mxfp4_marlin", "bf16", "int4"),
        ("weight_dtype = mxfp4", "bf16", "mxfp4"),
        ("weight_dtype = fp8", "bf16", ""),
        ("weight_dtype = fp8; compute_dtype = fp8", "fp8", ""),
        ("weight_dtype = fp8_block; compute_dtype = fp8", "fp8", "fp8_block"),
        ("weight_dtype = int4_group; compute_dtype = fp8", "fp8", "int4"),
        ("weight_dtype = bf16; compute_dtype = fp8", "fp8", ""),
        ("weight_dtype = nvfp4; compute_dtype = nvfp4", "fp16", ""),
    ],
)
def test_a_class_reaches_what_it_does_with_weights_of_a_format(
    formats: str, computed: str, stored: str
) -> None:
    worker = worker_of(
        "own", own=f"{WIDENING}\nmodel own from llama3_8b {{ {formats} }}", hardware="widening"
    )
    one, batch = kernel(worker.cost, "gate_up"), prompt(4096)
    (peak,) = [peak for peak in worker.peaks if peak.dtype == computed]
    compute, bandwidth, launch = REACHED[stored]
    attained = 1 if stored else peak.attained  # is in what is said of a format
    expected = amount(one.flops, batch) / (peak.compute * attained * compute)
    expected += amount(one.bytes, batch) / (worker.peak_bandwidth * bandwidth) + launch
    assert amount(one.time, batch) == pytest.approx(expected, rel=1e-12)
    told = {(e.work_class, e.stored_in): e for e in worker.efficiencies}
    reached = told["gemm", stored]
    assert (reached.compute, reached.bandwidth, reached.overhead) == pytest.approx(REACHED[stored])
    whole = told["gemm", ""]  # lm_head stays in the format of the activations
    assert (whole.compute, whole.bandwidth) == (0.5, 0.8)
    bare = worker_of("own", own=f"{WIDENING}\nmodel own from llama3_8b {{}}", hardware="widening")
    assert kernel(worker.cost, "lm_head", "") == kernel(bare.cost, "lm_head", "")


def test_fallbacks_in_a_ring_end_where_no_peak_is_asked_for() -> None:
    """A format of weights alone needs no peak: only what is said of its fallbacks is looked for."""
    ring = "dtype a8 { size = 1 B; fallback = b8 }\ndtype b8 { size = 1 B; fallback = a8 }\n"
    own = f"{ring}{WIDENING}\nmodel own from llama3_8b {{ weight_dtype = a8 }}"
    worker = worker_of("own", own=own, hardware="widening")
    assert {e.stored_in for e in worker.efficiencies} == {""}


def test_kernels_of_four_bits_reach_what_was_measured_of_them() -> None:
    """Experts in int4, which Marlin multiplies, take twice as long as gpt-oss's for a long prompt.

    vLLM had Marlin for both before 0.11.1.
    """
    marlin, openai = (
        worker_of("own", own=f"model own from gpt_oss_20b {{ {own} }}").cost
        for own in ("expert_dtype = mxfp4_marlin", "")
    )
    for batch, low, high in ((prompt(8192), 2.0, 2.6), (decodes(1, 100), 0.8, 1.0)):
        first, second = (amount(kernel(c, "gate_up").time, batch) for c in (marlin, openai))
        assert low < first / second < high
