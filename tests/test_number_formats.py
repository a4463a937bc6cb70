"""Formats of numbers: the bytes that weights take in them, and the rate of their multiplication."""

import pytest

import tsdl
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
      stored_in { fp8_block { compute = 40 % }; bf16 { bandwidth = 60 % } }
      widened {
        int4_group {}
        int4       { compute = 30 %; bandwidth = 20 % }
        fp8_block  { compute = 90 % }
        mxfp4      { bandwidth = 1 %; overhead = 3 us }
      }
    }
  }
}"""
# What gemm reaches of the peak, or of what is attained of it, and of the bandwidth, with weights
# of a format; their launch; and whether it is the peak itself.
REACHED = {
    "": (0.5, 0.8, 0.0, False),
    "bf16": (0.5, 0.6, 0.0, False),
    "fp8_block": (0.4, 0.8, 0.0, True),
    "widened int4": (0.3, 0.2, 0.0, True),
    "widened fp8_block": (0.9, 0.8, 0.0, True),
    "widened mxfp4": (0.5, 0.01, 3e-6, False),
}


@pytest.mark.parametrize(
    ("formats", "computed", "said"),
    [
        ("", "bf16", "bf16"),
        ("weight_dtype = int4_group", "bf16", "widened int4"),  # its fallback
        ("weight_dtype = mxfp4_marlin", "bf16", "widened int4"),
        ("weight_dtype = mxfp4", "bf16", "widened mxfp4"),
        ("weight_dtype = fp8", "bf16", ""),
        ("weight_dtype = fp8; compute_dtype = fp8", "fp8", "bf16"),  # a fallback of its own
        ("weight_dtype = fp8_block; compute_dtype = fp8", "fp8", "fp8_block"),
        ("weight_dtype = fp8_block", "bf16", "widened fp8_block"),
        ("weight_dtype = int4_group; compute_dtype = fp8", "fp8", "widened int4"),
        ("weight_dtype = bf16; compute_dtype = fp8", "fp8", "bf16"),
        ("weight_dtype = nvfp4; compute_dtype = nvfp4", "fp16", ""),  # it has no nvfp4
        ("weight_dtype = mxfp4; compute_dtype = int4_group", "int4", ""),  # as many bytes
    ],
)
def test_a_class_reaches_what_it_does_with_weights_of_a_format(
    formats: str, computed: str, said: str
) -> None:
    worker = worker_of(
        "own", own=f"{WIDENING}\nmodel own from llama3_8b {{ {formats} }}", hardware="widening"
    )
    compute, bandwidth, launch, of_peak = REACHED[said]
    told = {(e.work_class, "widened " * e.widened + e.stored_in): e for e in worker.efficiencies}
    reached = told["gemm", said]
    assert (reached.compute, reached.bandwidth, reached.overhead) == (compute, bandwidth, launch)
    assert reached.of_peak == of_peak

    def expected(flops: float, moved: float, dtype: str, said: str) -> float:
        (peak,) = [peak for peak in worker.peaks if peak.dtype == dtype]
        compute, bandwidth, launch, of_peak = REACHED[said]
        most = peak.compute * (1 if of_peak else peak.attained) * compute
        return flops / most + moved / (worker.peak_bandwidth * bandwidth) + launch

    batch = prompt(4096)
    # lm_head stays in the format of the activations, whatever was attained by what came before.
    for name, stage, dtype, which in (
        ("gate_up", "block", computed, said),
        ("lm_head", "", "bf16", "bf16"),
    ):
        one = kernel(worker.cost, name, stage)
        work = amount(one.flops, batch), amount(one.bytes, batch)
        assert amount(one.time, batch) == pytest.approx(expected(*work, dtype, which), rel=1e-12)


def test_fallbacks_in_a_ring_are_told_where_shares_are_looked_for() -> None:
    ring = "dtype a8 { size = 1 B; fallback = b8 }\ndtype b8 { size = 1 B; fallback = a8 }\n"
    own = f"{ring}{WIDENING}\nmodel own from llama3_8b {{ weight_dtype = a8 }}"
    with pytest.raises(tsdl.TsdlError, match=r"E0501.*the fallback of dtype `a8` is itself"):
        worker_of("own", own=own, hardware="widening")


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
