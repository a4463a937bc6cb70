"""Hand-overs from prefill to decode, worked out by hand: what they cost, and where that shows.

The system and its figures are those of moving_kv.py.
"""

import numpy as np
import pytest

import tsdl
from tests.moving_kv import FILE, NEARLY, TOKEN, USUAL, column, run
from tests.watched_runs import watched
from tsdl.runtime.arrivals import Arrivals

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


# -- who hands over ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "handlers",
    [
        "on token(r, w) when not w.decodes { submit r }\n"
        "on submit(r) { dispatch r to pick(v by v.kv.fill for v in workers if v.decodes) }",
        "on token(r, w) when not w.decodes {"
        " dispatch r to pick(v by v.kv.fill for v in workers if v.decodes) }",
    ],
)
def test_the_global_stage_may_hand_over_alone(handlers: str) -> None:
    """As the local stage does: it is told of the same tokens."""
    plan = tsdl.compile(f"""
      policy apart from continuous {{ global {{
        on arrive(r) {{ dispatch r to pick(w by w.outstanding for w in workers if w.prefills) }}
        {handlers}
      }} }}
      scenario s {{
        model = llama2_7b; cluster = disaggregated_cluster(A100_80G); policy = apart
        workload = sharegpt(requests = 20)
      }}
    """)
    slow, fast = plan.run(engine="reference"), plan.run()
    assert slow.summary == fast.summary
    assert fast.summary["requests"]["finished"] == 20
    assert fast.summary["transfers"]["count"] == 20


LOOPS = """
policy looping from continuous {{
  local {{ max_requests = 2
    on finish(r, w) {{ for q in w.waiting {{ submit q }} }} }}
  global {{
    on arrive(r) {{ dispatch r to random(w for w in workers) }}
    {submit}
  }}
}}
scenario s {{ model = llama2_7b; cluster = replicas(A100_80G, 2); policy = looping
  workload = sharegpt(rate = 30 req/s, requests = 60) }}
"""
SUBMIT = "on submit(r) { dispatch r to pick(w by w.outstanding for w in workers) }"


def test_what_handlers_do_to_others_than_their_own_request_counts() -> None:
    """A handler of `finish` can submit nothing of its own, but whom it finds waiting."""
    plan = tsdl.compile(LOOPS.format(submit=SUBMIT))
    assert plan.run().summary["requests"]["finished"] == 60
    with pytest.raises(tsdl.TsdlError, match="no handler dispatches them"):
        tsdl.compile(LOOPS.format(submit=""))
    assert "W0506" not in {d.code for d in tsdl.check(LOOPS.format(submit=SUBMIT))}


def test_who_has_no_kv_yet_takes_none_along() -> None:
    """Sent on before anything of it is computed, a request begins elsewhere as if it came there."""
    text = """
cluster two { worker a { hardware = A100_80G; link = PCIe4_x16 }
  worker b { hardware = A100_80G; link = PCIe4_x16 } }
policy bounce from chunked { global {
  on arrive(r) { dispatch r to pick(w by w.id for w in workers if w.group == "FIRST") }
  on start(r, w) when w.group == "a" {
    dispatch r to pick(v by v.id for v in workers if v.group == "b")
  } } }
workload one { requests = 3; arrivals = burst(size = 1, every = 2 s); prompt = constant(2000 tokens)
  output = constant(10 tokens) }
scenario s { model = llama2_7b; cluster = two; policy = bounce; workload = one }
"""
    on, there = (tsdl.compile(text.replace("FIRST", first)) for first in ("a", "b"))
    for engine in ("fast", "reference"):
        result = on.run(engine=engine)
        assert result.summary["transfers"]["count"] == 0
        assert column(result, "e2e") == column(there.run(engine=engine), "e2e")
        assert result.summary["workers"][0]["kv_peak"] > 0  # it was admitted
