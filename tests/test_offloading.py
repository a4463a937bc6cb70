"""Operators that other devices compute, worked out by hand: times, what crosses, memory, money."""

import json

import pytest

import tsdl
from tests.models_on_devices import amount, decodes, kernel, prompt
from tests.test_plan_values import put
from tsdl.costs import Batch, compiled
from tsdl.plan import Kernel, Offload, Workers

EXACT = 1e-12
# Devices with round figures: what a kernel takes can be told without a machine.
DEVICES = """
hardware near {
  compute { fp16 = 100 TFLOPS }
  memory { capacity = 80 GB; bandwidth = 1 TB/s }
  power { idle = 50 W; decode = 200 W; peak = 300 W }
  efficiency {
    gemm { compute = 50 %; bandwidth = 50 % }
    attention { compute = 50 %; bandwidth = 50 % }
    pointwise { bandwidth = 50 % }
  }
  price = 1000 USD; lifetime = 2 year; multiprocessors = 10
}
hardware far {
  compute { fp16 = 10 TFLOPS }
  memory { capacity = 100 GB; bandwidth = 2 TB/s }
  power { idle = 10 W; decode = 20 W; peak = 30 W }
  efficiency {
    gemm { compute = 10 %; bandwidth = 25 %; overhead = 7 us }
    attention { compute = 10 %; bandwidth = 25 %; overhead = 7 us }
    pointwise { bandwidth = 25 % }
  }
  price = 300 USD; lifetime = 5 year; multiprocessors = 4
}
link wire { bandwidth = 10 GB/s; latency = 3 us }
"""
MODEL = """
model tiny { layers = 2; hidden = 1024; heads = 8; kv_heads = 4; ffn = 4096; vocabulary = 32_000
  graph {
    embed: Embedding(vocabulary, hidden)
    repeat block * layers {
      qkv:  QKV(hidden, heads, kv_heads, head_dim)
      attn: Attention(heads, kv_heads, head_dim)
      out:  GEMM(hidden, hidden, shard = row)
      up:   GEMM(hidden, ffn, shard = column)
      act:  GELU(ffn)
      down: GEMM(ffn, hidden, shard = row)
    }
  }
}
operator Wide(k, n) from GEMM(k, n) {}
"""


def worker_of(offload: str, worker: str = "", **given: str) -> Workers:
    """Return a worker on `near` with an offload."""
    return plan_of(offload, worker, **given).workers[0]


def plan_of(
    offload: str,
    worker: str = "",
    *,
    more: str = "",
    model: str = "tiny",
    scenario: str = "",
    hardware: str = "near",
) -> tsdl.Plan:
    return tsdl.compile(
        f'edition "2026"\n{DEVICES}{MODEL}{more}\n'
        f"cluster one {{ worker gpu {{ hardware = {hardware}; {worker}\n  {offload} }} }}\n"
        "workload some { requests = 5; arrivals = burst(); prompt = constant(40 tokens)\n"
        "  output = constant(9 tokens) }\n"
        "kvcache all from paged { utilization = 50 %; reserve = 1 GB }\n"
        "kvcache part from all { free_share = 50 % }\n"
        f"scenario s {{ model = {model}; cluster = one; workload = some; {scenario} }}"
    )


def beside(operators: str, more: str = "", many: int = 1) -> str:
    return (
        f"offload aside * {many} {{ hardware = far; operators = [{operators}]; link = wire; "
        f"{more} }}"
    )


def names(worker: Workers, on: str | None = None) -> list[str]:
    block = next(stage for stage in worker.cost.stages if stage.name == "block")
    return [k.name for k in block.kernels if k.time != 0 and on in (None, k.on)]


def seconds(found: Kernel, batch: Batch) -> float:
    return amount(found.time, batch)


def test_a_product_takes_what_the_other_devices_reach() -> None:
    worker = worker_of(beside("GEMM"))
    batch = prompt(100)
    flops, moved = 2 * 100 * 1024 * 4096, 2 * (1024 * 4096 + 100 * (1024 + 4096))
    there = max(flops / (10e12 * 0.1), moved / (2e12 * 0.25)) + 7e-6
    assert seconds(kernel(worker.cost, "up"), batch) == pytest.approx(there, rel=EXACT)
    assert kernel(worker.cost, "up").on == "aside"
    assert kernel(worker.cost, "attn.prefill").on == ""


def test_devices_share_the_work_evenly() -> None:
    """Three for two devices are one and a half for each; cores count together, as do peaks."""
    whole = worker_of(beside("GEMM, Attention"))
    shared = worker_of(beside("GEMM, Attention", many=3), "parallel = tp(2)")
    batch = prompt(100)
    flops, moved = 2 * 100 * 1024 * 2048, 2 * (1024 * 2048 + 100 * (1024 + 2048))
    there = max(flops / (15e12 * 0.1), moved / (3e12 * 0.25)) + 7e-6
    assert seconds(kernel(shared.cost, "up"), batch) == pytest.approx(there, rel=EXACT)
    # A wave has a row of queries for each core: 4 for 8 heads, or 6 for 4 of them.
    rows = {1: 100, 2: 100.5}  # 100 rounded up to a whole number of waves: of 1/2, of 3/2
    for devices, worker in ((1, whole), (2, shared)):
        found = amount(kernel(worker.cost, "attn.prefill").flops, batch)
        assert found == pytest.approx(4 * 8 / devices * 128 * rows[devices] * 50, rel=EXACT)


def test_what_crosses_is_what_stands_at_the_edges() -> None:
    """What follows one another there takes and gives nothing on the way."""
    worker = worker_of(beside("GELU, Wide, GEMM"))
    assert names(worker) == [
        "qkv.to_aside", "qkv", "qkv.from_aside", "attn.prefill", "attn.decode",
        "out.to_aside", "out", "up", "act", "down", "down.from_aside",
    ]  # fmt: skip
    batch = prompt(100)
    for name, width in (
        ("qkv.to_aside", 1024),
        ("qkv.from_aside", 2048),
        ("out.to_aside", 1024),
        ("down.from_aside", 1024),
    ):
        found = kernel(worker.cost, name)
        assert amount(found.wire, batch) == 100 * width * 2
        expected = 3e-6 + 100 * width * 2 / 10e9
        assert seconds(found, batch) == pytest.approx(expected, rel=EXACT), name
        assert (found.work_class, found.on, found.roof) == ("transfer", "aside", None)


def test_an_iteration_is_the_sum() -> None:
    alone, there = worker_of(""), worker_of(beside("GELU"))
    batch = decodes(7, 60)
    moved = 2 * 7 * 4096 * 2
    more = 2 * (moved / (2e12 * 0.25) - moved / (1e12 * 0.5) + 2 * (3e-6 + 7 * 4096 * 2 / 10e9))
    expected = compiled(alone.cost)(batch) + more
    assert compiled(there.cost)(batch) == pytest.approx(expected, rel=EXACT)


def test_kinds_are_declarations_and_what_derives_from_them() -> None:
    more = "model other from tiny { graph { up: Wide(hidden, ffn); down: GEMM(ffn, hidden) } }"

    def on(operators: str) -> dict[str, str]:
        plan = plan_of(beside(operators), more=more, model="other")
        return {k.name: k.on for s in plan.workers[0].cost.stages for k in s.kernels if k.flops}

    assert on("GEMM") == {"up": "aside", "down": "aside"}
    assert on("Wide") == {"up": "aside", "down": ""}


def test_kv_is_kept_where_decodes_read_it() -> None:
    one, other = worker_of(""), worker_of(beside("Attention", "runs = decode"), "kv = all")
    assert one.offloads == ()
    aside = other.offloads[0]
    assert (aside.keeps_kv, aside.memory, aside.weights) == (True, 100_000_000_000, 0)
    assert 50e9 - 16 * other.kv.bytes_per_token < other.kv.capacity <= 50e9
    half = worker_of(beside("Attention", "runs = decode"), "kv = part")
    assert 25e9 - 16 * other.kv.bytes_per_token < half.kv.capacity <= 25e9
    assert other.memory == one.memory
    assert names(other, "aside") == [
        "attn.decode.to_aside", "attn.decode", "attn.decode.from_aside", "attn.kv_aside",
    ]  # fmt: skip
    chunk = prompt(100, cached=300)
    crossing = kernel(other.cost, "attn.kv_aside")
    assert amount(crossing.wire, chunk) == 400 * 2 * 4 * 128 * 2  # keys and values of 4 heads
    assert amount(crossing.time, decodes(3, 50)) == 0
    there, back = (kernel(other.cost, f"attn.decode.{way}_aside") for way in ("to", "from"))
    assert amount(there.wire, decodes(3, 50)) == 3 * (8 + 2 * 4) * 128 * 2
    assert amount(back.wire, decodes(3, 50)) == 3 * 8 * 128 * 2
    assert amount(there.time, prompt(100)) == 0


def test_prefills_elsewhere_leave_their_kv_here() -> None:
    worker = worker_of(beside("Attention", "runs = prefill"), "kv = all")
    assert not worker.offloads[0].keeps_kv
    assert worker.kv.capacity < 40e9
    assert names(worker, "aside") == [
        "attn.prefill.to_aside", "attn.prefill", "attn.prefill.from_aside",
    ]  # fmt: skip
    # Queries, keys and values of what is new, and the KV of what was computed before.
    expected = (100 * (8 + 2 * 4) + 300 * 2 * 4) * 128 * 2
    assert amount(kernel(worker.cost, "attn.prefill.to_aside").wire, prompt(100, 300)) == expected


def test_a_window_bounds_what_comes_back() -> None:
    more = (
        "model short from tiny { graph { attn: WindowedAttention(heads, kv_heads, head_dim, 64) } }"
    )
    plan = plan_of(beside("WindowedAttention", "runs = decode"), more=more, model="short")
    found = kernel(plan.workers[0].cost, "attn.kv_aside", "")
    of_a_token = 2 * 4 * 128 * 2
    assert amount(found.wire, prompt(100, cached=300)) == (100 + 64) * of_a_token
    assert amount(found.wire, prompt(100, cached=30)) == 130 * of_a_token


def test_weights_are_kept_where_all_of_an_operator_is_computed() -> None:
    alone, there = worker_of(""), worker_of(beside("GEMM"), "parallel = tp(2)")
    products = 2 * 2 * (1024 * 2048 + 1024 * 1024 + 2 * 1024 * 4096)
    assert there.offloads[0].weights == products
    assert alone.weights == products + 2 * 32_000 * 1024
    assert there.weights == 2 * 32_000 * 1024  # half of the embedding on each device
    more = "model latent from tiny { graph { attn: LatentAttention(heads, head_dim, 64, 512) } }"
    for runs, expected in (("decode", 0), ("both", 2 * 2 * 512 * 8 * 128)):
        offload = beside("LatentAttention", f"runs = {runs}")
        parts = worker_of(offload, more=more, model="latent")
        assert parts.offloads[0].weights == expected  # they belong to what absorbs them


def test_money_and_power_are_those_of_all_devices() -> None:
    alone, there = (
        worker_of(offload, "parallel = tp(2)") for offload in ("", beside("GEMM", many=3))
    )
    assert there.price == 2 * 1000 + 3 * 300
    year = 365 * 24 * 3600
    assert there.upkeep == pytest.approx((2 * 1000 / 2 + 3 * 300 / 5) / year)  # each over its own
    watts = [(w.idle_power, w.decode_power, w.peak_power) for w in (alone, there)]
    assert watts == [(100, 400, 600), (130, 460, 690)]
    more = (
        "hardware gift from far { price = 0 USD; power { idle = 0 W; decode = 0 W; peak = 0 W } }"
    )
    offload = beside("GEMM").replace("far", "gift")
    unknown = worker_of(offload, more=more)
    assert (unknown.price, unknown.peak_power) == (0, 0)  # of one of them it is not known


def test_each_device_counts_by_its_rent_or_else_its_price() -> None:
    more = (
        "hardware rented from near { rent = 2 USD/h }\nhardware lent from far { rent = 1 USD/h }\n"
    )
    year = 365 * 24 * 3600
    for own, mine in (("near", 1000 / (2 * year)), ("rented", 2 / 3600)):
        for other, expected in (("far", 300 / (5 * year)), ("lent", 1 / 3600)):
            offload = beside("GEMM").replace("far", other)
            worker = worker_of(offload, more=more, hardware=own)
            bought = mine * (own == "near") + expected * (other == "far")
            assert worker.upkeep == pytest.approx(bought)
            assert worker.rent == pytest.approx(mine + expected - bought)
            assert worker.rented == (own == "rented")


def test_kernels_elsewhere_are_not_launched_by_the_host() -> None:
    launches = "; ".join(f"{name}.overhead = 1 us" for name in ("gemm", "attention", "pointwise"))
    more = (
        "policy slow from continuous { local { gap = 1 ms } }\n"
        f"hardware counted from near {{ efficiency {{ {launches} }} }}\n"
    )
    plans = [
        plan_of(offload, more=more, hardware="counted", scenario="policy = slow")
        for offload in ("", beside("GEMM"))
    ]
    gaps = [plan.workers[0].cost.overhead for plan in plans]
    # An embedding; in each of two layers four products, attention and an activation.
    assert gaps == [pytest.approx(13e-3), pytest.approx(5e-3)]


def test_halves_hide_what_another_device_computes() -> None:
    """Attention there beside the other half's products here: what is longer counts."""
    policy = (
        "policy halves from continuous { local { overlap { when = true; hides = [aside]; "
        "occupies = 0 } } }"
    )
    plain = worker_of(beside("Attention"))
    plan = plan_of(beside("Attention"), more=policy, scenario="policy = halves")
    batch, half = decodes(8, 100), decodes(4, 100)
    block = next(stage for stage in plain.cost.stages if stage.name == "block")
    here = sum(amount(k.time, half) for k in block.kernels if not k.on)
    there = sum(amount(k.time, half) for k in block.kernels if k.on)
    outside = compiled(plain.cost)(batch) - 2 * sum(amount(k.time, batch) for k in block.kernels)
    expected = outside + 2 * (2 * here + 2 * max(0, there - here))
    assert compiled(plan.workers[0].cost)(batch) == pytest.approx(expected, rel=1e-9)


def test_a_drafter_goes_where_its_kinds_go() -> None:
    more = (
        "model small from tiny { layers = 1 }\n"
        "policy drafts from continuous { local { speculate { tokens = 2; drafter = small; "
        "acceptance(r) = 0.5 } } }"
    )
    plan = plan_of(beside("GEMM"), more=more, scenario="policy = drafts")
    [aside] = plan.workers[0].offloads
    assert aside.weights == 3 * 2 * (1024 * 2048 + 1024 * 1024 + 2 * 1024 * 4096)
    drafted = [s for s in plan.workers[0].cost.stages if s.name == "draft.block"]
    assert {k.name for k in drafted[0].kernels if k.on} >= {"up", "out.to_aside", "down"}


def test_a_cost_has_the_time_there_too() -> None:
    told = "cost told { operator up { time = 40 us } }"
    worker = worker_of(beside("GEMM"), "cost = told", more=told)
    found = kernel(worker.cost, "up")
    assert (found.on, seconds(found, prompt(10))) == ("aside", 40e-6)
    assert "out.to_aside" in names(worker)


def test_plans_keep_what_is_elsewhere() -> None:
    plan = plan_of(beside("GEMM", many=2))
    again = tsdl.Plan.from_json(plan.to_json())
    assert again.hash == plan.hash
    assert isinstance(again.workers[0].offloads[0], Offload)


def test_both_engines_give_the_same() -> None:
    plan = plan_of(beside("Attention", "runs = decode", many=2))
    fast, reference = (plan.run(engine=engine) for engine in ("fast", "reference"))
    assert fast.summary == reference.summary
    alone = plan_of("").run()
    slower, faster = (result.summary["latency"]["tpot"]["mean"] for result in (fast, alone))
    assert slower > faster


def test_what_crosses_is_of_those_that_are_launched() -> None:
    more = """
operator Early(width) { bytes = tokens * width; takes = 3 * tokens; gives = 5 * tokens
  when = prefills > 0 }
operator Always(width) { bytes = tokens * width; takes = 7 * tokens; gives = 11 * tokens }
model other from tiny { graph { one: Early(hidden); two: Always(hidden); three: Early(hidden) } }
"""
    worker = worker_of(beside("Early, Always"), more=more, model="other")
    there, back = (kernel(worker.cost, name, "") for name in ("one.to_aside", "three.from_aside"))
    for batch, taken, given in ((prompt(100), 300, 500), (decodes(10, 50), 70, 110)):
        assert amount(there.wire, batch) == taken
        assert amount(back.wire, batch) == given
        assert seconds(there, batch) == pytest.approx(3e-6 + taken / 10e9, rel=EXACT)


def test_what_never_takes_time_parts_nothing() -> None:
    """An all-reduce among one device stands between both."""
    more = (
        "model other from tiny { graph { a: GEMM(hidden, hidden); r: AllReduce(hidden)\n"
        "  b: GEMM(hidden, hidden) } }"
    )
    worker = worker_of(beside("GEMM"), more=more, model="other")
    found = [k.name for stage in worker.cost.stages for k in stage.kernels if k.time != 0]
    assert found == ["a.to_aside", "a", "b", "b.from_aside"]


def test_ends_that_a_drafter_shares_take_no_memory_elsewhere_either() -> None:
    policy = (
        "policy drafts from continuous {{ local {{ speculate {{ tokens = 2; drafter = small\n"
        "  acceptance(r) = 0.5; shared_ends = {} }} }} }}\nmodel small from tiny {{ layers = 1 }}"
    )
    sizes = [
        worker_of(beside("Embedding"), more=policy.format(shared), scenario="policy = drafts")
        for shared in ("true", "false")
    ]
    weights = [worker.offloads[0].weights for worker in sizes]
    assert weights == [2 * 32_000 * 1024, 2 * 2 * 32_000 * 1024]


def test_an_offload_of_a_drafter_alone_is_no_idle_one() -> None:
    text = """
cluster one {{ worker gpu {{ hardware = H100_SXM
  offload cpu {{ hardware = CPU_server; operators = [Routed] }} }} }}
policy drafts from vllm {{ local {{ speculate {{ tokens = 2 tokens; drafter = {}
  acceptance(r) = 0.5 }} }} }}
scenario s {{ model = qwen3_8b; cluster = one; policy = drafts; workload = sharegpt }}
"""
    assert [d.code for d in tsdl.check(text.format("qwen3_30b_a3b"))] == []
    assert [d.code for d in tsdl.check(text.format("qwen3_0_6b"))] == ["W0526"]


def test_rent_is_not_known_where_neither_rent_nor_price_is() -> None:
    more = (
        "hardware rented from near { rent = 2 USD/h }\nhardware gift from far { price = 0 USD }\n"
    )
    offload = beside("GEMM").replace("far", "gift")
    worker = worker_of(offload, more=more, hardware="rented")
    assert (worker.upkeep, worker.price, worker.unpriced) == (None, 0, ("gift",))


@pytest.mark.parametrize(
    ("lacking", "asked", "said"),
    [
        ("price = 0 USD", "cost <= 1 USD", "hardware `gift` has neither `price` nor `rent`"),
        ("power { peak = 0 W; idle = 0 W; decode = 0 W }", "energy <= 1 J",
         "hardware `gift` has no `power`"),
    ],
)  # fmt: skip
def test_what_is_not_known_of_an_offload_is_told_of_it(lacking: str, asked: str, said: str) -> None:
    text = f"""
hardware gift from CPU_server {{ {lacking} }}
cluster one {{ worker gpu {{ hardware = H100_SXM
  offload cpu {{ hardware = gift; operators = [Routed] }} }} }}
scenario s {{
  model = qwen3_30b_a3b; cluster = one; policy = vllm; workload = sharegpt; expect {asked}
}}
"""
    (found,) = tsdl.check(text)
    assert (found.code, said in str(found)) == ("W0511", True)


HOSTILE: tuple[tuple[str, object, str], ...] = (
    ("workers.0.offloads.0.count", 0, "offloads have names of their own"),
    ("workers.0.offloads.0.memory", -1, "offloads have names of their own"),
    ("workers.0.offloads.0.name", "", "offloads have names of their own"),
    ("workers.0.offloads.0.link.duplex", "hafl", "`duplex` is not 'hafl'"),
    ("workers.0.offloads", [], "a kernel is where no offload is"),
)


@pytest.mark.parametrize(("path", "value", "reason"), HOSTILE)
def test_plans_with_other_offloads_are_refused(path: str, value: object, reason: str) -> None:
    data = json.loads(plan_of(beside("GEMM")).to_json())
    put(data, path, value)
    with pytest.raises(ValueError, match=f"not a plan: {reason}"):
        tsdl.Plan.from_json(json.dumps(data))


@pytest.mark.parametrize(
    ("device", "said", "link"),
    [
        ("RTX_4090", "", "PCIe4_x16"),  # its own, which is slower than the processor's
        ("H100_SXM", "", "PCIe5_x16"),
        ("GH200", "", "PCIe5_x16"),  # the processor's, which is slower than its own
        ("RTX_4090", "; link = PCIe5_x16", "PCIe5_x16"),
    ],
)
def test_the_way_to_an_offload_is_that_of_the_slower_side(
    device: str, said: str, link: str
) -> None:
    text = f"""
cluster one {{ worker gpu {{ hardware = {device}
  offload cpu {{ hardware = CPU_server; operators = [Routed]{said} }} }} }}
scenario s {{ model = qwen3_30b_a3b; cluster = one; policy = vllm; workload = sharegpt }}
"""
    (offload,) = tsdl.compile(text).workers[0].offloads
    assert offload.link.name == link
