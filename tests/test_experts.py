"""Experts against sums by hand and measured times: on one device, several, and shared by ranks.

Figures of devices are copied from stdlib/hardware_nvidia.tsim, on purpose.
"""

import math

import numpy as np
import pytest

import tsdl
from tests.models_on_devices import amount, decodes, kernel, plan_of, worker_of
from tsdl.costs import compiled
from tsdl.plan import Cost, Stage

EXACT = 1e-12


# -- weights -----------------------------------------------------------------------------------

QWEN_EXPERTS = 48 * 128 * 3 * 2048 * 768
QWEN_EMBEDDINGS = 2 * 151_936 * 2048  # embedding and lm_head
QWEN_QKVO = 48 * (2048 * (32 + 2 * 4) * 128 + 32 * 128 * 2048)
QWEN_ROUTERS = 48 * 2048 * 128
QWEN_NORMS = 48 * (2 * 2048 + 2 * 128) + 2048


@pytest.mark.parametrize(
    ("parallel", "devices", "over"),
    [
        ("tp(1)", 1, 1),
        ("tp(4)", 4, 4),
        ("ep(4)", 4, 4),
        ("ep(4, ranks = 2)", 4, 8),
        ("ep(1, ranks = 8)", 1, 8),
    ],
)
def test_a_device_has_its_share_of_the_weights(parallel: str, devices: int, over: int) -> None:
    """Experts are shared by all ranks; all else by the devices of a worker; some by nobody."""
    worker = worker_of("qwen3_30b_a3b", parallel)
    shared = QWEN_EMBEDDINGS + QWEN_QKVO
    expected = QWEN_EXPERTS // over + shared // devices + QWEN_ROUTERS + QWEN_NORMS
    assert worker.weights == devices * 2 * expected


# -- times -------------------------------------------------------------------------------------

# H100, of the peaks: the efficiencies of stdlib/hardware_nvidia.tsim.
PEAK, BANDWIDTH = 989e12, 3.35e12
GEMM, GROUPED = (0.78, 0.888, 5.8e-6, 3.8), (0.78, 0.87, 8.4e-6, 1.27)
SHARES = {"norm": 1.1, "rotary": 0.88, "residual": 1.1, "activation": 0.88, "embedding": 0.15}
LAUNCH = 2.5e-6


def gemm(flops: float, size: float, reached: tuple[float, float, float, float] = GEMM) -> float:
    compute, bandwidth, launch, p = reached
    one, other = flops / (PEAK * compute), size / (BANDWIDTH * bandwidth)
    return float((one**p + other**p) ** (1 / p)) + launch


def dense(rows: int, k: int, n: int) -> float:
    return gemm(2 * rows * k * n, 2 * (k * n + rows * (k + n)))


def grouped(rows: int, k: int, n: int) -> float:
    hit = 128 * (1 - (1 - 8 / 128) ** rows)
    return gemm(2 * rows * 8 * k * n, 2 * (hit * k * n + rows * 8 * (k + n)), GROUPED)


def moved(elements: float, work_class: str = "") -> float:
    launch = 0 if work_class == "residual" else LAUNCH  # it is added in the norm's kernel
    return 2 * elements / (BANDWIDTH * SHARES.get(work_class, 0.88)) + launch


@pytest.mark.parametrize("rows", [1, 256])
def test_a_decode_of_experts_takes_what_one_works_out_by_hand(rows: int) -> None:
    context, hidden, heads = 1000, 2048, 32 * 128
    # From 53 on, contexts are not split, and the longest takes a quarter of its time alone.
    alone = context / 4 * 2 * 132 / 4 if rows * 4 > 0.8 * 2 * 132 else 0
    kv = math.hypot(rows * context, rows * 110, alone) * 2 * 4 * 128
    flops = 4 * heads * rows * context / (PEAK * 0.655)
    attention = max(flops, 2 * (2 * rows * heads + kv) / (BANDWIDTH * 0.881)) + 11.1e-6
    layer = [
        2 * moved(2 * rows * hidden, "norm"),
        dense(rows, hidden, (32 + 8) * 128),
        moved(2 * rows * 36 * 128, "norm"),
        moved(2 * rows * 36 * 128, "rotary"),
        attention,
        dense(rows, heads, hidden),
        2 * moved(3 * rows * hidden, "residual"),
        dense(rows, hidden, 128),  # the router
        moved(2 * rows * 128 * 4 / 2),  # in fp32
        2 * moved(rows * 9 * hidden),  # rows to their experts, and back
        grouped(rows, hidden, 2 * 768),
        moved(3 * rows * 8 * 768, "activation"),
        grouped(rows, 768, hidden),
    ]
    around = [
        moved(2 * rows * hidden, "embedding"),
        moved(2 * rows * hidden, "norm"),
        dense(rows, hidden, 151_936),
        3 * rows * 151_936 * 4 / (BANDWIDTH * 2) + 25e-6,  # the sampler
    ]
    time = compiled(worker_of("qwen3_30b_a3b").cost)(decodes(rows, context))
    assert math.isclose(time, 48 * math.fsum(layer) + math.fsum(around), rel_tol=EXACT)


# Microseconds of vLLM's fused_moe by tokens: both GEMMs of a layer and what is around them. From
# github.com/vllm-project/vllm/pull/24700 (H100, Mixtral 8x7B, bf16, TP 2, tuned) and pull/31448
# (B200, Qwen 3 Omni 30B-A3B, bf16): older kernels than those that the library was fitted to. Last
# stands the error allowed.
MEASURED = {
    ("mixtral_8x7b", "tp(2)", "H100_SXM", 0.13): {
        1: 144.03, 2: 229.28, 4: 351.10, 8: 434.98, 16: 471.49, 24: 478.27, 32: 487.35, 48: 487.85,
        64: 483.14, 96: 494.42, 128: 491.39, 256: 536.77, 512: 662.33, 1024: 833.72, 1536: 1122.93,
    },
    ("qwen3_30b_a3b", "tp(1)", "B200", 0.2): {1: 39.61, 2: 51.87, 4: 73.18},
}  # fmt: skip


@pytest.mark.parametrize("what", MEASURED, ids=lambda what: what[0])
def test_experts_take_as_long_as_was_measured(what: tuple[str, str, str, float]) -> None:
    model, parallel, hardware, error = what
    cost = worker_of(model, parallel, hardware=hardware).cost
    names = ("topk", "permute", "gate_up", "act", "down", "combine")
    time = compiled(Cost("test", (Stage("", 1, tuple(kernel(cost, name) for name in names)),), 0))
    for tokens, measured in MEASURED[what].items():
        assert math.isclose(time(decodes(tokens, 9)), measured * 1e-6, rel_tol=error)


# -- rows and weights of a batch ---------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 7, 64, 4096])
def test_weights_are_read_of_as_many_experts_as_chance_hits(rows: int) -> None:
    """A token takes two of three: each is missed by one token in three, and not read if by all."""
    own = "model small from mixtral_8x7b { experts = 3; active_experts = 2; expert_ffn = 64 }"
    down = kernel(worker_of("small", own=own).cost, "down")
    missed = (1 / 3) ** rows
    weights = 3 * (1 - missed) * 64 * 4096 * 2
    assert math.isclose(
        amount(down.bytes, decodes(rows, 9)), weights + rows * 2 * (64 + 4096) * 2, rel_tol=EXACT
    )


@pytest.mark.parametrize("rows", [1, 100])
def test_whole_experts_are_not_hit_alike_and_move_fewer_rows(rows: int) -> None:
    batch = decodes(rows, 9)
    sharded, divided = (
        kernel(worker_of("qwen3_30b_a3b", way).cost, "gate_up") for way in ("tp(4)", "ep(4)")
    )
    hidden, width = 2048, 2 * 768
    rows_of = {"tp": rows * 8 * (hidden + width / 4) * 2, "ep": rows * 2 * (hidden + width) * 2}
    most = rows + 0.56 * 2 * math.sqrt(rows / 2)  # on the device whose experts are hit the most
    for found, hit, way in ((sharded, rows, "tp"), (divided, most, "ep")):
        weights = 128 * (1 - (1 - 8 / 128) ** hit) * hidden * width / 4 * 2
        assert math.isclose(amount(found.bytes, batch), weights + rows_of[way], rel_tol=EXACT)
    assert amount(sharded.flops, batch) == amount(divided.flops, batch)
    assert amount(sharded.flops, batch) == 2 * rows * 8 * hidden * width / 4


@pytest.mark.parametrize("devices", [2, 4, 8])
@pytest.mark.parametrize("rows", [1, 4, 16, 64])
def test_all_wait_for_the_device_whose_experts_are_hit_the_most(devices: int, rows: int) -> None:
    """As draws have it: each token goes to 8 of 128 experts, which stand on devices alike."""
    found = kernel(worker_of("qwen3_30b_a3b", f"ep({devices})").cost, "gate_up")
    moved = rows * 8 / devices * (2048 + 2 * 768) * 2
    hit = (amount(found.bytes, decodes(rows, 9)) - moved) / (2048 * 2 * 768 * 2)
    draws = np.random.default_rng(7).random((400, rows, 128)).argsort(axis=2)[:, :, :8]
    drawn = np.zeros((400, 128), dtype=bool)
    np.put_along_axis(drawn, draws.reshape(400, -1), values=True, axis=1)
    most = drawn.reshape(400, devices, -1).sum(axis=2).max(axis=1).mean()
    assert hit == pytest.approx(most, rel=0.08)
    assert rows > 4 or devices == 2 or hit > 1.3 * drawn.sum(axis=1).mean() / devices


def test_the_busiest_device_has_more_rows_but_never_all_of_a_token_twice() -> None:
    batch = decodes(64, 9)

    def flops(parallel: str, model: str = "qwen3_30b_a3b") -> float:
        return amount(kernel(worker_of(model, parallel).cost, "gate_up").flops, batch)

    assert math.isclose(flops("ep(4, imbalance = 1.5)"), 1.5 * flops("ep(4)"), rel_tol=EXACT)
    assert flops("ep(4, imbalance = 9)") == flops("tp(1)")  # one device has the rows of all
    assert flops("ep(1, imbalance = 9)") == flops("tp(1)")
    # Two of eight experts on each of four devices: a token goes to each of two at most once.
    two = "mixtral_8x7b"
    assert flops("ep(4, imbalance = 9)", two) == flops("tp(1)", two)
    # One expert a device: of a token's two, one at most.
    assert flops("ep(8, imbalance = 9)", two) == flops("tp(1)", two) / 2


# -- what is sent ------------------------------------------------------------------------------


def test_experts_end_in_one_all_reduce_of_the_worker() -> None:
    cost = worker_of("deepseek_v3", "ep(4)").cost
    kernels = [k for s in cost.stages if s.name == "block" for k in s.kernels if k.time != 0]
    names = [k.name for k in kernels if k.wire != 0]
    assert names == ["out.all_reduce", "reduce"]
    assert amount(kernel(cost, "reduce").wire, decodes(8, 9)) == 2 * 3 / 4 * 8 * 7168 * 2


def test_ranks_tell_one_another_their_tokens_padded_to_the_longest() -> None:
    cost = worker_of("qwen3_30b_a3b", "ep(1, ranks = 8)").cost
    batch = decodes(5, 9)
    batch.peer_tokens = 16
    for name in ("ranks_in.gather", "ranks_out.gather"):
        assert amount(kernel(cost, name).wire, batch) == 7 * 16 * 2048 * 2
    # A device has an eighth of the experts, and an eighth of the rows of all ranks.
    assert amount(kernel(cost, "gate_up").flops, batch) == 2 * (8 * 16) * 1 * 2048 * 2 * 768
    assert amount(kernel(cost, "router").flops, batch) == 2 * 5 * 2048 * 128


def test_tokens_may_go_to_the_devices_of_their_experts_only() -> None:
    cost = worker_of("qwen3_30b_a3b", "ep(1, ranks = 4, exchange = all_to_all)").cost
    batch = decodes(5, 9)
    batch.peer_tokens = 16
    for name in ("ranks_in", "ranks_out"):
        wire = amount(kernel(cost, f"{name}.few").wire, batch)
        assert wire == 16 * 4 * (3 / 4) * 2048 * 2  # no token goes to a device twice
    assert amount(kernel(cost, "gate_up").flops, batch) == 2 * 64 * 2 * 2048 * 2 * 768
    # Rows come once for each of the device's two experts that a token has.
    assert amount(kernel(cost, "permute").bytes, batch) == 64 * (2 + 2) * 2048 * 2


def test_copies_of_experts_are_divided_as_well_and_take_their_share_of_the_rows() -> None:
    """256 experts and 32 copies on 72 devices: four on each, of whose rows a token has 8 / 72."""
    parallel = "ep(1, ranks = 8, redundant = {})"
    few = worker_of("qwen3_30b_a3b", parallel.format(0))
    more = worker_of("qwen3_30b_a3b", parallel.format(16))
    batch = decodes(64, 9)
    batch.peer_tokens = 64
    up = [kernel(worker.cost, "gate_up") for worker in (few, more)]
    assert amount(up[0].flops, batch) == amount(up[1].flops, batch)
    assert amount(up[1].bytes, batch) > amount(up[0].bytes, batch)
    # Two more of each layer's three matrices on each device.
    assert more.weights - few.weights == 48 * 2 * 3 * 2048 * 768 * 2


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parallel", "why"),
    [("ep(3)", "3 devices do not divide"), ("ep(1, ranks = 3)", "3 ranks share the experts")],
)
def test_experts_that_cannot_be_divided_are_refused(parallel: str, why: str) -> None:
    with pytest.raises(tsdl.TsdlError, match=f"E0514(.|\n)*{why}"):
        plan_of("mixtral_8x7b", parallel)


def test_a_token_goes_to_no_more_experts_than_there_are() -> None:
    with pytest.raises(tsdl.TsdlError, match="E0503"):
        plan_of("own", own="model own from mixtral_8x7b { active_experts = 9 }")


@pytest.mark.parametrize(
    ("model", "parallel", "told"),
    [
        ("llama3_8b", "ep(8)", "8 devices are to divide experts, and `llama3_8b` has no experts"),
        ("llama3_8b", "tp(8)", ""),
        ("llama3_8b", "ep(1)", ""),
        ("qwen3_30b_a3b", "ep(4)", ""),
    ],
)
def test_devices_that_have_no_experts_to_divide_are_warned_of(
    model: str, parallel: str, told: str
) -> None:
    found = tsdl.check(f"""
cluster c {{ worker g {{ hardware = H100_SXM; link = NVLink4; parallel = {parallel} }} }}
workload few from sharegpt(rate = 1 req/s) {{ requests = 5 }}
scenario s {{ model = {model}; cluster = c; workload = few; policy = chunked }}
""")
    assert [d.code for d in found] == ["W0509"] * bool(told)
    assert all(d.title.startswith(told) and d.help == ("write `tp` in its place",) for d in found)
