"""Layers that keep a state of each request: what it takes, where it goes, and what kernels do."""

import pytest

import tsdl
from tests.models_on_devices import decodes, kernel, plan_of, prompt, worker_of
from tests.moving_kv import FILE, NEARLY, TOKEN, USUAL, column, run
from tests.summed_batches import batch_of
from tests.test_kv_sent_ahead import LAYERED
from tsdl.cli.heldtext import held_text
from tsdl.costs import Batch, compiled_footprint, nobody
from tsdl.formula import Value
from tsdl.plan import Kernel
from tsdl.pythonsource import function, python
from tsdl.runtime.stops import stops_of

# Of Qwen3-Next 80B-A3B in one layer: 32 heads of 128 × 128 in fp32, and three tokens of a
# convolution of 16 heads of queries, 16 of keys and 32 of values in bf16.
MATRICES = 32 * 128 * 128 * 4
CHANNELS = (16 + 16 + 32) * 128
STATE = MATRICES + 3 * CHANNELS * 2
# A state that is as large as the KV of one token of tests.moving_kv, which stays what it was.
KEEPS_ONE_TOKEN = """; graph {
  repeat block * layers { attn: Attention(heads, kv_heads, head_dim) }
  mixer: Recurrence(1, 1, 64, 256, 1, 0)
}"""


def work(value: Value, batch: Batch) -> float:
    names = ", ".join(Batch.__slots__)
    found = function("work", names, python(value), {})
    return float(found(*(getattr(batch, name) for name in Batch.__slots__)))


def seconds(found: Kernel, batch: Batch) -> float:
    return work(found.time, batch)


# -- memory ------------------------------------------------------------------------------------


def test_a_request_takes_its_state_and_the_kv_of_layers_with_attention() -> None:
    kv = worker_of("qwen3_next_80b_a3b").kv
    per_token = 12 * 2 * 2 * 256 * 2
    assert (kv.bytes_per_token, kv.state) == (per_token, 36 * STATE)
    assert compiled_footprint(kv)(1000, 900, 200) == 1008 * per_token + 36 * STATE


def test_heads_of_a_state_are_divided_among_devices() -> None:
    one, four = worker_of("qwen3_next_80b_a3b"), worker_of("qwen3_next_80b_a3b", "tp(4)")
    assert four.kv.state == one.kv.state


def test_groups_are_kept_by_each_device_where_there_are_fewer() -> None:
    """Nemotron H has 8 groups: each of 16 devices keeps the convolution of a whole one."""
    one, sixteen = worker_of("nemotron_h_56b"), worker_of("nemotron_h_56b", "tp(16)")
    twice = 54 * 3 * 2 * 8 * 256 * 2
    assert sixteen.kv.state == one.kv.state + twice


@pytest.mark.parametrize(("format_", "size"), [("fp32", 4), ("bf16", 2)])
def test_matrices_have_a_format_of_their_own(format_: str, size: int) -> None:
    own = f"model own from qwen3_next_80b_a3b {{ state_dtype = {format_} }}"
    wanted = 36 * (32 * 128 * 128 * size + 3 * CHANNELS * 2)
    plan = plan_of("own", own=own)
    assert (plan.workers[0].kv.state, plan.models[0].state_dtype) == (wanted, format_)


def test_every_drafted_token_has_a_state_of_its_own() -> None:
    speculate = "speculate { tokens = 2; acceptance(r) = 0.7 }"
    own = f"policy drafting from continuous {{ local {{ {speculate} }} }}"
    found = worker_of("qwen3_next_80b_a3b", own=own, policy="drafting")
    assert found.kv.state == 3 * 36 * STATE


def test_a_model_without_attention_keeps_states_alone() -> None:
    own = "model own from nemotron_h_56b { recurrent_layers = 64 }"
    kv = worker_of("own", own=own).kv
    assert (kv.bytes_per_token, kv.state > 0) == (0, True)
    footprint = compiled_footprint(kv)
    assert footprint(10, 10, 10) == footprint(8000, 10, 10) == kv.state


def test_a_state_takes_the_place_of_tokens() -> None:
    """Of 62 tokens three prompts of 20 take 60; with states two take 42, and a third waits."""
    given = {
        "cluster": "alone", "policy": "continuous", "blocks": 62, "output": 1, "prompt": 20,
        "size": "requests = 4",
    }  # fmt: skip
    without = run((), **given)
    assert without.summary["workers"][0]["kv_peak"] == 60 * TOKEN
    assert column(without, "first_token") == [60.0, 60.0, 60.0, 80.0]
    keeping = run((), **given, points=KEEPS_ONE_TOKEN)
    assert keeping.summary["workers"][0]["kv_peak"] == 42 * TOKEN
    assert column(keeping, "first_token") == [40.0, 40.0, 80.0, 80.0]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ("state_groups = 7", "`state_groups` must divide `state_heads`, and 7 does not divide 32"),
        ("recurrent_layers = 49", "`recurrent_layers` must be at most `layers`, which is 48"),
        ("ffn_layers = 49", "`ffn_layers` must be at most `layers`, which is 48"),
    ],
)
def test_sizes_that_do_not_go_together(changed: str, said: str) -> None:
    with pytest.raises(tsdl.TsdlError) as caught:
        worker_of("own", own=f"model own from qwen3_next_80b_a3b {{ {changed} }}")
    assert f"error[E0503]: {said}" in str(caught.value)


# -- where it goes -----------------------------------------------------------------------------


def test_a_hand_over_takes_the_state_along() -> None:
    without, keeping = (run([(0.0, 10, 5)], points=points) for points in ("", KEEPS_ONE_TOKEN))
    assert column(without, "transferred") == [10 * TOKEN]
    assert column(keeping, "transferred") == [11 * TOKEN]
    assert column(keeping, "e2e")[0] - column(without, "e2e")[0] == pytest.approx(1, rel=1e-9)


def test_a_tier_keeps_the_last_state_and_each_copy_takes_it_along() -> None:
    """24 tokens are stored, and a state; fetched from 101 s on, and 25 more are stored then."""
    chat = run(
        (), cluster="alone", policy="pooled", prompt=20, output=5, tier="link = by_token",
        size="sessions = 1; turns = constant(2); think = constant(100 s)", points=KEEPS_ONE_TOKEN,
    )  # fmt: skip
    assert column(chat, "cached") == [0, 24]
    assert column(chat, "ttft")[1] == pytest.approx(2 * 800e-9 + 25 + 21, rel=1e-12)
    assert chat.summary["tiers"][0]["peak"] == 50 * TOKEN


def test_victims_are_swapped_with_their_states() -> None:
    """Two of 8 and 9 tokens with a state each fill 19 of 20; the second grows, and leaves with 10.

    To the host a token goes in a second: 10 s out, and as many back.
    """
    given = {
        "cluster": "alone", "policy": "continuous", "points": KEEPS_ONE_TOKEN, "prompt": 8,
        "output": 6, "size": "requests = 2", "local": "; preempt = swap",
    }  # fmt: skip
    waits = run((), **given, blocks=20)
    apart = run((), **given, blocks=100)
    assert column(waits, "preemptions") == [0, 1]
    assert waits.summary["workers"][0]["kv_peak"] == 20 * TOKEN
    slow = FILE.format(**(USUAL | given | {"blocks": 20})).replace(
        "host = no_time", "host = by_token"
    )
    swapped = tsdl.compile(slow).run()
    first, second = column(swapped, "e2e")
    alone, other = column(waits, "e2e")
    assert column(apart, "preemptions") == [0, 0]
    assert first - alone == pytest.approx(10, abs=NEARLY)  # the iteration waits for it
    assert second - other == pytest.approx(20, abs=NEARLY)


def test_what_is_sent_ahead_is_kv_alone() -> None:
    """Three layers of 4 tokens go ahead, the last with the request, and with it the last state."""
    given = {"stage": LAYERED, "points": f"; breakpoint kv_ready after block.attn{KEEPS_ONE_TOKEN}"}
    one = run([(0.0, 4, 5)], **given)
    assert column(one, "transferred") == [5 * TOKEN]
    assert column(one, "e2e") == [4 + 1 + 1 + 4 * 0.25]


UNLIKE = """; graph {
  repeat recurrent * 4 { mixer: Recurrence(1, 1, 64, 256, 1, 0) }
  repeat block * 4 {
    norm: RMSNorm(hidden)
    attn: Attention(heads, kv_heads, head_dim)
    add: Residual(hidden)
  }
}"""


@pytest.mark.parametrize(
    ("place", "there"),
    [
        ("recurrent.mixer", [0, 0, 0, 0]),
        ("block.norm", [0, 1, 2, 3]),
        ("block.attn", [1, 2, 3, 4]),
        ("block.add", [1, 2, 3, 4]),
    ],
)
def test_kv_is_there_once_the_attention_of_a_layer_has_run(place: str, there: list[int]) -> None:
    points = f"; breakpoint kv_ready after {place}{UNLIKE}"
    text = FILE.replace("cost = by_hand; ", "")
    plan = tsdl.compile(text.format(**(USUAL | {"stage": LAYERED, "points": points})))
    kind = plan.workers[0]
    stops = stops_of(kind, batch_of([(4, 0, True)]), 1.0, 4, nobody)
    assert [4 * stop.share for stop in stops] == there


def test_layers_of_each_kind_are_on_every_stage_of_a_pipeline() -> None:
    worker = worker_of("qwen3_next_80b_a3b", "tp(1, stages = 4)", policy="continuous")
    for cost in worker.pipeline:
        assert [(s.name, s.repeat) for s in cost.stages if s.name] == [
            ("recurrent", 9), ("block", 3),
        ]  # fmt: skip
    one = worker_of("qwen3_next_80b_a3b", "tp(4)").kv
    assert worker.kv.capacity == pytest.approx(one.capacity, rel=0.01)
    assert worker.kv.state == one.state


def test_stages_of_a_pipeline_have_room_for_their_states() -> None:
    """Of 52 layers without attention 27 keep states: 14 of them on one of two stages."""
    own = "model own from nemotron_nano_9b_v2 { layers = 52 }"
    one, two = (
        worker_of("own", f"tp(1, stages = {stages})", own, policy="continuous") for stages in (1, 2)
    )
    assert one.kv.bytes_per_token == 0
    free = 0.9 * two.memory - two.weights - two.reserve  # of two devices
    assert two.kv.capacity == pytest.approx(free / 2 / (14 / 27), rel=0.002)
    assert two.kv.capacity > 1.8 * one.kv.capacity


def test_dense_layers_are_on_the_first_stage() -> None:
    """They keep as much KV as others do, and so their order is that of the graph."""
    worker = worker_of("deepseek_v3", "tp(1, stages = 4)", policy="continuous")
    first, *others = worker.pipeline
    assert [(s.name, s.repeat) for s in first.stages if s.name] == [("dense", 3), ("block", 12)]
    assert all([s.name for s in cost.stages if s.name] == ["block"] for cost in others)


def test_a_drafter_has_a_state_of_its_own() -> None:
    speculate = "speculate { tokens = 1; acceptance(r) = 0.7; drafter = nemotron_nano_9b_v2 }"
    own = f"policy drafting from continuous {{ local {{ {speculate} }} }}"
    both = worker_of("qwen3_next_80b_a3b", own=own, policy="drafting").kv.state
    alone = worker_of("nemotron_nano_9b_v2").kv.state
    assert both == 2 * (36 * STATE + alone)


def test_states_are_where_decodes_read_them() -> None:
    """Prefills here send KV and states to where both are kept; a worker has them in one place."""
    own = "hardware card from GDDR6_AiM { memory.capacity = 4 TiB }"
    kv = (
        "paged; offload pim { hardware = card; link = PCIe4_x16; operators = [OPS]; runs = decode }"
    )
    both = kv.replace("OPS", "Attention, GatedDeltaNet")
    plan = plan_of("qwen3_next_80b_a3b", own=own, kv=both)
    sent = {
        k.name: work(k.wire, prompt(100))
        for stage in plan.workers[0].cost.stages for k in stage.kernels if "kv_pim" in k.name
    }  # fmt: skip
    assert sent == {"mixer.kv_pim": STATE, "attn.kv_pim": 100 * 2 * 2 * 256 * 2}
    with pytest.raises(tsdl.TsdlError, match="E0531"):
        plan_of("qwen3_next_80b_a3b", own=own, kv=kv.replace("OPS", "Attention"))


# -- kernels -----------------------------------------------------------------------------------


def test_decodes_read_and_write_states_whatever_their_contexts() -> None:
    cost = worker_of("qwen3_next_80b_a3b").cost
    mixer = kernel(cost, "mixer.decode", "recurrent")
    short, long = (seconds(mixer, decodes(100, context)) for context in (10, 10_000))
    assert short == long
    moved = 100 * (2 * MATRICES + (CHANNELS + 32 * 128) * 2)
    assert short == pytest.approx(4e-6 + moved / (0.89 * 3.35e12))


def test_heads_of_prompts_go_in_waves() -> None:
    """132 multiprocessors take the 32 heads of four prompts at once, and of five in two waves."""
    mixer = kernel(worker_of("qwen3_next_80b_a3b").cost, "mixer.prefill", "recurrent")
    one, four, five = (
        work(mixer.flops, batch_of([(4096, 0, True)] * count)) for count in (1, 4, 5)
    )
    assert one == four == five / 2 == 132 * 4096 * (2 * 64 * 5 * 128 + 6 * 128 * 128)
    one, two = work(mixer.flops, prompt(64)), work(mixer.flops, prompt(65))
    assert work(mixer.flops, prompt(1)) == one == two / 2


def test_a_head_of_mamba_does_so_much_for_a_token() -> None:
    """Of Nemotron 3 Nano: 64 heads in 8 groups, 128 × 64, chunks of 128 tokens."""
    mixer = kernel(worker_of("nemotron3_nano_30b_a3b").cost, "mixer.prefill", "recurrent")
    assert work(mixer.flops, prompt(64)) == 132 * 64 * (
        2 * 128 * (128 * 8 / 64 + 64) + 4 * 128 * 64
    )


def test_parameters_of_a_recurrence() -> None:
    """A convolution over each channel, and two numbers for each head."""
    own = "model own from qwen3_next_80b_a3b { recurrent_layers = 35 }"
    less, more = (
        plan_of(name, own=own).models[0].parameters for name in ("own", "qwen3_next_80b_a3b")
    )
    recurrent = (
        CHANNELS * 4 + 2 * 32 + 128 + 2048 * (CHANNELS + 32 * 128 + 2 * 32) + 32 * 128 * 2048
    )
    attention = 2048 * (2 * 16 + 2 * 2) * 256 + 2 * 256 + 16 * 256 * 2048
    assert more - less == recurrent - attention


def test_a_decode_has_no_scan_and_a_prompt_no_recurrence() -> None:
    cost = worker_of("nemotron3_nano_30b_a3b").cost
    scan, step = (kernel(cost, f"mixer.{part}", "recurrent") for part in ("prefill", "decode"))
    assert seconds(scan, decodes(3, 100)) == seconds(step, prompt(100)) == 0
    assert seconds(scan, prompt(100)) > 0 < seconds(step, decodes(3, 100))


def test_a_plan_tells_of_states() -> None:
    plan = plan_of("qwen3_next_80b_a3b", "tp(2)")
    told = held_text(plan.workers[0], plan.models[0])
    assert told.startswith("12 KiB a token on each of 2 devices, and 36.84 MiB a request: ")
    assert " requests of a token, " in told
    assert told.endswith(" of 262,144")
