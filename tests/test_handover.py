"""KV on its way between workers and tiers, worked out by hand: what it costs, and where that shows.

A token has 64 KiB. A prefill takes a second for each token, an iteration of decodes a quarter, and
a token takes a second over the link `by_token`.
"""

from collections.abc import Sequence

import numpy as np
import pytest

import tsdl
from tests.invariants import watched
from tsdl.runtime.arrivals import Arrivals
from tsdl.runtime.result import Result

FILE = """edition "2026"
link by_token {{
  bandwidth = {rate} KiB/s; latency = {latency}; sharing = {sharing}; duplex = {duplex}
}}
link no_time {{ bandwidth = 1_000_000_000 EB/s }}
hardware box from A100_80G {{ host = no_time }}
link at_once {{ bandwidth = 1000 PB/s }}
cost by_hand {{ iteration = 1 s * prefill_tokens if prefills > 0 else 250 ms * decodes / decodes }}
kvcache exact from token_wise {{ block = 1 tokens; blocks = {blocks}; swap_space = 1 GiB }}
model small from llama2_7b {{ layers = 4 layers; context = 1000 tokens {points} }}
cluster pair {{
  worker prefill * {prefills} {{
    hardware = box; cost = by_hand; kv = exact; link = {link}; runs = prefill
  }}
  worker decode * {decodes} {{
    hardware = box; cost = by_hand; kv = exact; link = {link}; runs = decode; {receiving}
  }}
}}
cluster alone {{
  worker gpu {{ hardware = box; cost = by_hand; kv = exact }}
  tier pool {{ capacity = {pool} KiB; latency = 800 ns/block; {tier} }}
}}
policy own from {policy} {{
  local {{ watermark = 0 %; max_tokens = {most} tokens {local} }}
  {stage}
}}
workload some {{
  {size}; arrivals = burst(); prompt = constant({prompt} tokens); output = constant({output} tokens)
}}
scenario it {{ model = small; cluster = {cluster}; policy = own; workload = some }}
"""
USUAL: dict[str, object] = {
    "rate": 64,
    "latency": "0 s",
    "sharing": "fair",
    "duplex": "full",
    "blocks": 1000,
    "points": "",
    "prefills": 1,
    "decodes": 1,
    "link": "by_token",
    "receiving": "",
    "pool": 64 * 1000,
    "tier": "",
    "policy": "disaggregated",
    "local": "",
    "most": 1000,
    "stage": "",
    "size": "requests = 1",
    "prompt": 10,
    "output": 5,
    "cluster": "pair",
}
TOKEN = 64 * 1024  # bytes
NEARLY = 1e-8  # the link `at_once` takes some time, too

Row = tuple[float, int, int]  # arrival in seconds, tokens of the prompt, tokens of the answer


def run(rows: Sequence[Row] = (), **given: object) -> Result:
    plan = tsdl.compile(FILE.format(**(USUAL | given)))
    if not rows:
        return watched(plan)
    arrived, prompt, output = zip(*rows, strict=True)
    arrivals = Arrivals(
        np.array(arrived, dtype=np.float64),
        np.array(prompt, dtype=np.int64),
        np.array(output, dtype=np.int64),
    )
    return watched(plan, arrivals=arrivals)


def column(result: Result, name: str) -> list[float]:
    found: list[float] = result.requests[name].tolist()
    return found


# -- a link that takes no time -----------------------------------------------------------------


def test_phases_apart_take_what_each_takes_alone() -> None:
    one = run([(0.0, 10, 5)], link="at_once")
    assert column(one, "ttft") == [10.0]
    assert column(one, "tpot") == pytest.approx([0.25], abs=NEARLY)
    assert column(one, "e2e") == pytest.approx([10 + 4 * 0.25], abs=NEARLY)
    assert column(one, "transferred") == [10 * TOKEN]


def test_a_single_token_is_never_handed_over() -> None:
    one = run([(0.0, 10, 1)])
    assert column(one, "e2e") == [10.0]
    assert column(one, "transferred") == [0]
    assert one.summary["transfers"]["count"] == 0


ROWS = [(0.0, 7, 9), (1.5, 3, 4), (2.0, 30, 2), (2.0, 5, 12), (40.25, 2, 6), (41.0, 11, 3)]


def test_first_tokens_are_those_of_a_prefill_worker_alone() -> None:
    """Decodes never hold up a prefill: as if all answers were a single token."""
    apart = run(ROWS, link="at_once", most=12)
    alone = run([(t, p, 1) for t, p, _ in ROWS], cluster="alone", policy="continuous", most=12)
    assert column(apart, "first_token") == column(alone, "first_token")
    assert column(apart, "queue") == column(alone, "queue")


def test_decodes_take_what_closed_formulas_say() -> None:
    """Each alone: o - 1 iterations over contexts p + 1 … p + o - 1."""
    text = FILE.replace("250 ms * decodes / decodes", "10 ms + 1 ms * contexts + 5 ms * decodes")
    rows = [(1000.0 * i, p, o) for i, (p, o) in enumerate([(1, 2), (7, 30), (100, 5), (20, 1)])]
    plan = tsdl.compile(text.format(**(USUAL | {"link": "at_once"})))
    columns = [np.array(c) for c in zip(*rows, strict=True)]
    result = watched(plan, arrivals=Arrivals(*columns))
    wanted = [p + 0.015 * (o - 1) + 0.001 * ((o - 1) * p + (o - 1) * o / 2) for _, p, o in rows]
    assert column(result, "e2e") == pytest.approx(wanted, abs=NEARLY)
    assert column(result, "ttft") == [p for _, p, _ in rows]


def test_who_comes_joins_the_next_iteration_of_decodes() -> None:
    """A decodes from 4 s on; B has come at 4.125 s, and joins at 4.25 s."""
    both = run([(0.0, 4, 6), (0.0, 1, 3)], link="at_once", prefills=2, stage=BY_TURNS, local=LATE)
    assert column(both, "first_token") == pytest.approx([4.0, 4.125], abs=NEARLY)
    assert column(both, "last_token") == pytest.approx([4 + 5 * 0.25, 4.25 + 0.5], abs=NEARLY)
    assert column(both, "mtpot") == pytest.approx([0.25, 4.5 - 4.125], abs=NEARLY)


LATE = "; overhead = 3.125 s if prefill_tokens == 1 else 0 s"
BY_TURNS = """global {
    on arrive(r) { dispatch r to round_robin(w for w in workers if w.prefills) }
  }"""


# -- a slow link -------------------------------------------------------------------------------


def test_a_hand_over_is_in_the_gap_before_the_second_token_and_nowhere_else() -> None:
    for latency, more in (("0 s", 0.0), ("3 s", 3.0)):
        one = run([(0.0, 10, 5)], latency=latency)
        assert column(one, "ttft") == [10.0]
        assert column(one, "mtpot") == [10.25 + more]
        assert column(one, "tpot") == [(10.25 + more + 3 * 0.25) / 4]
        assert column(one, "e2e") == [10 + 10.25 + more + 3 * 0.25]
        assert column(one, "transfer") == [10.0 + more]
        assert column(one, "transferred") == [10 * TOKEN]
        assert one.summary["transfers"]["bytes"] == 10 * TOKEN
        assert one.summary["transfers"]["time"]["max"] == 10.0 + more


def test_both_workers_hold_its_memory_meanwhile() -> None:
    """The target reserves a token more than the source has: it holds memory for its length."""
    one = run([(0.0, 10, 5)])
    prefill, decode = one.summary["workers"]
    assert prefill["kv_peak"] == 10 * TOKEN
    assert decode["kv_peak"] == 14 * TOKEN


TWO = [(0.0, 4, 3), (0.0, 4, 3)]  # prefilled together, until 8 s; 4 s each over the link


def test_overlapped_transfers_share_the_link() -> None:
    two = run(TWO)
    assert column(two, "first_token") == [8.0, 8.0]
    assert column(two, "last_token") == [16.5, 16.5]
    assert column(two, "transfer") == [8.0, 8.0]


def test_overlapped_transfers_go_one_by_one_over_a_link_that_is_fifo() -> None:
    two = run(TWO, sharing="fifo")
    assert column(two, "last_token") == [12.5, 16.5]
    assert column(two, "transfer") == [4.0, 8.0]


def test_a_buffer_bounds_what_is_on_its_way() -> None:
    for kib, ends in ((4 * 64, [12.5, 16.5]), (8 * 64 - 1, [12.5, 16.5]), (8 * 64, [16.5, 16.5])):
        two = run(TWO, receiving=f"buffer = {kib} KiB")
        assert column(two, "last_token") == ends


def test_what_is_larger_than_the_buffer_goes_alone() -> None:
    two = run(TWO, receiving="buffer = 1 KiB")
    assert column(two, "last_token") == [12.5, 16.5]
    assert column(two, "transfer") == [4.0, 8.0]


def test_sequential_hand_overs_are_taken_in_one_after_another_before_anything_is_computed() -> None:
    two = run(TWO, receiving="handoff = sequential")
    assert column(two, "transfer") == [4.0, 8.0]
    assert column(two, "last_token") == [16.5, 16.5]


# A is prefilled until 4 s, B from then until 8.125 s. A has come at 8 s.
ONE_BY_ONE = [(0.0, 4, 21), (4.125, 4, 3)]


def test_overlapped_hand_overs_do_not_hold_up_who_decodes() -> None:
    both = run(ONE_BY_ONE)
    assert column(both, "first_token") == [4.0, 8.125]
    assert column(both, "last_token") == [8 + 20 * 0.25, 12.25 + 0.5]  # B joins at 12.25 s
    assert column(both, "mtpot") == [4.25, 12.5 - 8.125]


def test_sequential_hand_overs_hold_up_who_decodes() -> None:
    """At 8.25 s A has its second token; until 12.25 s nothing is computed."""
    both = run(ONE_BY_ONE, receiving="handoff = sequential")
    assert column(both, "first_token") == [4.0, 8.125]
    assert column(both, "mtpot") == [4.25, 12.5 - 8.125]
    assert column(both, "last_token") == [12.25 + 19 * 0.25, 12.75]
    assert column(both, "transfer") == [4.0, 12.25 - 8.125]


def test_a_hand_over_waits_for_memory() -> None:
    """Each needs 5 tokens there: with room for 9, the second waits until the first is done."""
    rows = [(0.0, 4, 2), (0.0, 4, 2)]
    two = run(rows, blocks=10, prompt=1, output=1)
    assert column(two, "last_token") == [16.25, 16.25]
    two = run(rows, blocks=9, prompt=1, output=1)
    assert column(two, "last_token") == [12.25, 16.5]
    assert column(two, "transfer") == [4.0, 8.25]


def test_half_duplex_is_of_no_account_where_all_goes_one_way() -> None:
    assert run(TWO, duplex="half").summary["end"] == run(TWO).summary["end"]


def test_two_senders_share_the_port_of_the_receiver() -> None:
    """Each prefills one until 4 s; both flow to one port until 12 s."""
    two = run(TWO, prefills=2)
    assert column(two, "first_token") == [4.0, 4.0]
    assert column(two, "last_token") == [12.5, 12.5]


def test_two_receivers_share_the_port_of_the_sender() -> None:
    two = run(TWO, decodes=2)
    assert column(two, "last_token") == [16.5, 16.5]


# -- layer by layer ----------------------------------------------------------------------------

LAYERED = """global {
    on kv_ready(batch, layer, w) when not w.decodes {
      for r in batch.prefilling { transfer r to pick(v by v.id for v in workers if v.decodes) }
    }
    on submit(r) { dispatch r to pick(v by v.id for v in workers if v.decodes) }
  }"""
BY_LAYERS: dict[str, object] = {
    "points": "; breakpoint kv_ready after block.attn",
    "stage": LAYERED,
}


def test_kv_that_is_sent_layer_by_layer_leaves_the_last_layer_to_wait_for() -> None:
    """A layer of 4 tokens takes a second to compute, and one to send: the last comes at 5 s."""
    one = run([(0.0, 4, 5)], **BY_LAYERS)
    assert column(one, "ttft") == [4.0]
    assert column(one, "mtpot") == [1.25]
    assert column(one, "e2e") == [5 + 4 * 0.25]
    assert column(one, "transferred") == [4 * TOKEN]
    assert run([(0.0, 4, 5)], points="").summary["end"] == 8 + 4 * 0.25  # not layer by layer


def test_layers_wait_for_a_link_that_is_slower_than_they_are() -> None:
    """The first layer flows from 1 s to 3 s, the second to 5 s, the other two to 9 s."""
    one = run([(0.0, 4, 5)], rate=32, **BY_LAYERS)
    assert column(one, "ttft") == [4.0]
    assert column(one, "e2e") == [9 + 4 * 0.25]
    assert one.summary["transfers"]["count"] == 4  # three ahead, and the hand-over of nothing


def test_memory_is_reserved_from_the_first_layer_on() -> None:
    """At 5 s the first takes 5 of 8 tokens: the second is sent ahead from its next layer on.

    Half of it flows from 6 s to 8 s, a layer to 9 s, the last to 10 s.
    """
    rows = [(0.0, 4, 2), (0.0, 4, 2)]
    two = run(rows, blocks=8, most=4, prompt=1, output=1, **BY_LAYERS)
    assert column(two, "first_token") == [4.0, 8.0]
    assert column(two, "last_token") == [5.25, 10.25]
    assert two.summary["workers"][1]["kv_peak"] == 5 * TOKEN


def test_a_sequential_hand_over_of_which_all_was_sent_ahead_takes_its_latency() -> None:
    """A layer of A takes an eighth of a second to send, of B a quarter of that, and half to begin.

    A is there at 4.625 s, and taken in until 5.125 s. Of B a layer is there at 4.78125 s, two at
    5.34375 s, all at 5.875 s, when A has its fourth token; until 6.375 s nothing is computed.
    """
    given = BY_LAYERS | {"receiving": "handoff = sequential", "latency": "500 ms", "most": 4}
    both = run([(0.0, 4, 5), (0.0, 1, 3)], rate=64 * 8, **given)
    assert column(both, "first_token") == [4.0, 5.0]
    assert column(both, "last_token") == [6.625, 6.875]


# Two workers that do everything.
TWO_ALIKE = FILE.replace(
    "worker gpu {{ hardware = box; cost = by_hand; kv = exact }}",
    "worker gpu * 2 {{ hardware = box; cost = by_hand; kv = exact; link = by_token }}",
)


def alike(rows: Sequence[Row], stage: str, **given: object) -> Result:
    values = USUAL | {"cluster": "alone", "stage": f"global {{ {stage} }}"} | given
    plan = tsdl.compile(TWO_ALIKE.format(**values))
    columns = [np.array(c) for c in zip(*rows, strict=True)]
    return watched(plan, arrivals=Arrivals(*columns))


TO_FIRST = "on arrive(r) { dispatch r to pick(w by w.id for w in workers) }"
LAST = "pick(v by -v.id for v in workers)"


def test_a_copy_is_given_up_when_its_request_ends() -> None:
    """Ten tokens are sent ahead to where the request never goes; it rests meanwhile."""
    stage = f"{TO_FIRST}\n on token(r, w) when r.generated == 1 {{ transfer r to {LAST} }}"
    one = alike([(0.0, 10, 5)], stage, policy="continuous")
    assert column(one, "e2e") == [10 + 10 + 4 * 0.25]
    assert [w["kv_peak"] for w in one.summary["workers"]] == [14 * TOKEN, 11 * TOKEN]


@pytest.mark.parametrize("second", ["static", "continuous", "chunked"])
def test_what_came_in_part_is_computed_where_it_came_to(second: str) -> None:
    """Of 10 tokens 4 are computed in 4 s, and moved in 4 s; the other 6 take 6 s."""
    stage = f"""{TO_FIRST}
    on half(batch, layer, w) when w.id == 0 {{
      dispatch pick(r by r.id for r in batch.prefilling) to {LAST}
    }}"""
    own = f"policy other from {second} {{{{ local {{{{ max_requests = 4 }}}} }}}}\nworkload some"
    first = "worker gpu {{ hardware = box; cost = by_hand; kv = exact; link = by_token }}"
    text = TWO_ALIKE.replace("workload some", own).replace(
        "worker gpu * 2 {{", f"{first}\n  worker last {{{{ policy = other;"
    )
    given = {"policy": "chunked", "points": "; breakpoint half after lm_head", "cluster": "alone"}
    given |= {"stage": f"global {{ {stage} }}", "local": "; max_requests = 4"}
    plan = tsdl.compile(text.format(**(USUAL | given | {"most": 4})))
    one = watched(plan, arrivals=Arrivals(np.zeros(1), np.array([10]), np.array([1])))
    assert column(one, "first_token") == [14.0]
    assert column(one, "worker") == [1]
    assert one.summary["transfers"]["bytes"] == 4 * TOKEN


def test_an_action_that_waits_for_the_end_of_an_iteration_finds_its_request_done() -> None:
    """`drop` and `preempt` of one that has its last token meanwhile do nothing."""
    for verb in ("drop", "preempt", "submit", "reject"):
        stage = f"""{TO_FIRST}
        on half(batch, layer, w) {{ for r in batch.decoding {{ {verb} r }} }}
        on token(r, w) {{ store r in pool }}"""
        if verb == "submit":
            stage += f"\n on submit(r) {{ dispatch r to {LAST} }}"
        one = alike(
            [(0.0, 1, 2)], stage, policy="continuous", points="; breakpoint half after lm_head"
        )
        stored = 800e-9  # its first token, which is a block
        assert column(one, "last_token") == pytest.approx([1.25 + stored], rel=1e-12)
        assert one.summary["requests"]["finished"] == 1


# -- tiers -------------------------------------------------------------------------------------

CHAT: dict[str, object] = {
    "cluster": "alone",
    "policy": "pooled",
    "size": "sessions = 1; turns = constant(2); think = constant(1 s)",
    "prompt": 20,
    "output": 5,
}


def test_the_next_question_computes_only_what_the_pool_lacks() -> None:
    """24 tokens are kept, of two blocks; the next prompt has 25 + 20, of which 21 are computed."""
    chat = run((), **CHAT)
    assert column(chat, "arrived") == [0.0, 22.0]
    assert column(chat, "prompt") == [20, 45]
    assert column(chat, "cached") == [0, 24]
    fetched = 2 * 800e-9
    assert column(chat, "ttft") == pytest.approx([20.0, fetched + 21], rel=1e-12)
    assert column(chat, "e2e") == pytest.approx([21.0, fetched + 22], rel=1e-12)
    (pool,) = chat.summary["tiers"]
    assert (pool["fetches"], pool["hits"], pool["stores"]) == (1, 1, 2)
    assert (pool["tokens_asked"], pool["tokens_found"]) == (44, 24)
    assert pool["peak"] == (45 + 5 - 1) * TOKEN


@pytest.mark.parametrize("turns", [3, 5])
def test_a_block_that_is_fetched_takes_800_ns(turns: int) -> None:
    more = {"size": f"sessions = 1; turns = constant({turns}); think = constant(1 s)"}
    chat = run((), **(CHAT | more))
    kept = [25 * turn - 1 for turn in range(1, turns)]
    wanted = [20.0] + [800e-9 * -(-tokens // 16) + 21 for tokens in kept]
    assert column(chat, "ttft") == pytest.approx(wanted, rel=1e-12)
    assert column(chat, "cached") == [0, *kept]


def test_a_fetch_over_a_link_takes_its_time_as_well() -> None:
    chat = run((), **(CHAT | {"tier": "link = by_token"}))
    # stored from 21 s on, for 24 s; asked for at 22 s, when nothing is there yet
    assert column(chat, "cached") == [0, 0]
    later = {"size": "sessions = 1; turns = constant(2); think = constant(100 s)"}
    chat = run((), **(CHAT | later | {"tier": "link = by_token"}))
    assert column(chat, "cached") == [0, 24]
    assert column(chat, "ttft")[1] == pytest.approx(2 * 800e-9 + 24 + 21, rel=1e-12)


def test_two_stores_at_once_keep_each_token_once() -> None:
    """24 tokens flow until 117 s; at 68 s 25 more follow, and not all 49."""
    chat = run((), **(CHAT | {"tier": "link = by_token", "rate": 16}))
    assert column(chat, "e2e") == [21.0, 46.0]
    assert chat.summary["tiers"][0]["peak"] == 49 * TOKEN


def test_what_is_done_when_kv_is_evicted_finds_all_in_its_place() -> None:
    """There is room for one of them; whoever is evicted has another that runs stored."""
    stage = """global {
    on arrive(r) { dispatch r to pick(w by w.id for w in workers) }
    on evict(r) { for w in workers { for x in w.active { store x in pool } } }
  }"""
    given = {"size": "requests = 6", "stage": stage, "pool": 64 * 30, "local": "; max_requests = 4"}
    chat = run((), **(CHAT | given))  # under watch, which looks at the tier
    (pool,) = chat.summary["tiers"]
    assert pool["evictions"] >= 1
    assert pool["peak"] <= pool["capacity"]


def test_what_has_no_room_is_not_kept() -> None:
    chat = run((), **(CHAT | {"pool": 64 * 23}))
    assert column(chat, "cached") == [0, 0]
    assert column(chat, "ttft") == [20.0, 45.0]
    assert chat.summary["tiers"][0]["refused"] == 2


def test_a_hand_over_through_a_pool() -> None:
    """`store`, `drop`, `submit`: all but one token of the length is fetched, and it decodes on."""
    stage = """global {
    on arrive(r) { dispatch r to pick(w by w.id for w in workers) }
    on submit(r) { dispatch r to pick(w by -w.id for w in workers) }
  }"""
    text = FILE.replace("worker gpu {{", "worker gpu * 2 {{")
    local = """
    on token(r, w) when r.generated == 1 { store r in pool; drop r; submit r }
    on start(r, w) when r.generated > 0 { fetch r from pool }
    on finish(r, w) {}"""
    given = USUAL | CHAT | {"size": "requests = 1", "stage": stage, "local": local}
    result = watched(tsdl.compile(text.format(**given)))
    moves = 2 * 2 * 800e-9  # two blocks, there and back
    assert column(result, "ttft") == [20.0]
    assert column(result, "mtpot") == pytest.approx([moves + 0.25], rel=1e-9)
    assert column(result, "e2e") == pytest.approx([20 + moves + 4 * 0.25], rel=1e-12)
    assert column(result, "worker") == [1]
    assert column(result, "cached") == [20]


def test_a_node_has_a_port_to_the_network_for_each_of_its_devices_or_as_many_as_it_says() -> None:
    text = """
      cluster racks {{
        network = Ethernet_10G
        node one {{ {ports} worker a * 3 {{ hardware = A100_80G }}; worker b {{ hardware = A100_80G; parallel = tp(4) }} }}
        node two {{ worker c {{ hardware = A100_80G }} }}
      }}
      scenario s {{ model = llama2_7b; cluster = racks; workload = sharegpt }}
    """
    for ports, wanted in (("", 7), ("ports = 2;", 2)):
        plan = tsdl.compile(text.format(ports=ports))
        gates = [kind.network.bandwidth / 1.25e9 for kind in plan.workers if kind.network]
        assert gates == [wanted, wanted, 1]
