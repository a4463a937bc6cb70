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
  compute { fp8 = 1979 TFLOPS; int4 = 3958 TOPS }
  efficiency { gemm { compute = 50 %; bandwidth = 80 %; overhead = 0 us; sharpness = 1
                      widened_compute = 60 %; widened_bandwidth = 25 % } }
}"""


@pytest.mark.parametrize(
    ("formats", "computed", "widened"),
    [
        ("", "bf16", False),
        ("weight_dtype = int4_group", "bf16", True),
        ("weight_dtype = fp8", "bf16", True),
        ("weight_dtype = fp8; compute_dtype = fp8", "fp8", False),
        ("weight_dtype = fp8_block; compute_dtype = fp8", "fp8", False),  # more, with its scales
        ("weight_dtype = int4_group; compute_dtype = fp8", "fp8", True),
        ("weight_dtype = bf16; compute_dtype = fp8", "fp8", False),
        ("weight_dtype = nvfp4; compute_dtype = nvfp4", "fp16", True),  # it has no nvfp4
        ("weight_dtype = mxfp4; compute_dtype = int4_group", "int4", False),  # scales differ
    ],
)
def test_weights_are_widened_where_they_are_computed_in_more_bytes(
    formats: str, computed: str, *, widened: bool
) -> None:
    worker = worker_of(
        "own", own=f"{WIDENING}\nmodel own from llama3_8b {{ {formats} }}", hardware="widening"
    )
    one, batch = kernel(worker.cost, "gate_up"), prompt(4096)
    (peak,) = [peak for peak in worker.peaks if peak.dtype == computed]
    compute, bandwidth = (0.5 * 0.6, 0.8 * 0.25) if widened else (0.5, 0.8)
    expected = amount(one.flops, batch) / (peak.compute * peak.attained * compute)
    expected += amount(one.bytes, batch) / (worker.peak_bandwidth * bandwidth)
    assert amount(one.time, batch) == pytest.approx(expected, rel=1e-12)
    told = {(e.work_class, e.widened): (e.compute, e.bandwidth) for e in worker.efficiencies}
    assert told["gemm", widened] == pytest.approx((compute, bandwidth))
    assert told["gemm", False] == (0.5, 0.8)  # lm_head stays in the format of the activations
    bare = worker_of("own", own=f"{WIDENING}\nmodel own from llama3_8b {{}}", hardware="widening")
    assert kernel(worker.cost, "lm_head", "") == kernel(bare.cost, "lm_head", "")
