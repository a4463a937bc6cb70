"""Who is admitted, worked out by hand: room in the KV cache, the watermark, conditions and order.

The notation is that of by_hand.py.
"""

from msgspec.structs import replace

import tsdl
from tests.by_hand import FILE, USUAL, plan_of, run
from tsdl.costs import compiled_footprint
from tsdl.formula import Formula


def test_prompt_and_answer_beyond_the_context_are_rejected() -> None:
    three = run([(0, 90, 11), (0, 90, 10), (0, 200, 1)], context=100)
    assert three.status == ["rejected", "finished", "rejected"]
    assert three.iterations[0][0] == "0 B+90"


def test_what_never_fits_the_kv_cache_is_rejected_and_blocks_nobody() -> None:
    """The last token needs no KV: 20 tokens hold a prompt of 15 and 6 tokens of an answer."""
    three = run([(0, 15, 7), (0, 15, 6), (0, 1, 1)], blocks=20)
    assert three.status == ["rejected", "finished", "finished"]
    assert three.last[2] == 1


def test_a_contiguous_cache_takes_the_longest_context_from_the_start() -> None:
    three = run([(0, 5, 2)] * 3, kv="contiguous", context=100, blocks=250)
    assert three.iterations[0] == ["0 A+5 B+5", "1 A B", "2 C+5", "3 C"]
    assert three.result.summary["workers"][0]["kv_peak"] == 200 * 2**19


def test_a_footprint_is_of_whole_bytes() -> None:
    plan = plan_of().workers[0].kv
    third = Formula("/", (Formula("symbol", ("context",)), 3))
    footprint = compiled_footprint(replace(plan, footprint=third))
    assert [footprint(context, 1, 1) for context in (1, 2, 3, 4)] == [1, 1, 1, 2]


def test_a_paged_cache_takes_whole_blocks() -> None:
    """Two blocks of 16: A's seventeenth token needs the second, so B has to go."""
    two = run([(0, 15, 4), (0, 16, 1)], kv="paged", block=16, blocks=2)
    assert two.iterations[0] == ["0 A+15 B+16", "1 A", "2 A", "3 A"]
    both = run([(0, 15, 4), (0, 15, 4)], kv="paged", block=16, blocks=2)
    assert both.iterations[0] == ["0 A+15 B+15", "1 A B", "2 A", "3 A", "4 B+17", "5 B"]


# -- the watermark -----------------------------------------------------------------------------


def test_the_watermark_is_left_free_by_newcomers_only() -> None:
    """Of 20 tokens 4 stay free: B waits while A would leave it none, and A grows into them."""
    two = run([(0, 12, 5), (0, 5, 1)], blocks=20, watermark=20)
    assert two.iterations[0] == ["0 A+12", "1 A", "2 A", "3 A", "4 A", "5 B+5"]
    two = run([(0, 8, 3), (0, 8, 3)], blocks=20, watermark=20)
    assert two.iterations[0] == ["0 A+8 B+8", "1 A B", "2 A B"]
    assert two.result.summary["workers"][0]["kv_peak"] == 20 * 2**19


def test_the_watermark_is_of_whole_blocks() -> None:
    """15 % of ten blocks are one and a half: one stays free, and nine are for newcomers."""
    two = run([(0, 9 * 16, 1), (0, 9 * 16 + 1, 1)], kv="paged", block=16, blocks=10, watermark=15)
    assert two.status == ["finished", "rejected"]


def test_who_could_never_leave_the_watermark_free_is_rejected() -> None:
    two = run([(0, 12, 6), (0, 12, 5)], blocks=20, watermark=20)
    assert two.status == ["rejected", "finished"]


def test_a_request_that_the_check_lets_pass_is_not_rejected_for_the_watermark() -> None:
    """20 blocks hold 320 tokens, and E0512 is silent: then the run must not reject them all."""
    own = {"kv": "paged", "block": 16, "blocks": 20, "context": 320, "watermark": 1}
    text = FILE.format(**(USUAL | own)).replace(
        "prompt = constant(1 tokens); output = constant(1 tokens)",
        "prompt = constant(300 tokens); output = constant(20 tokens)",
    )
    try:
        plan = tsdl.compile(text)
    except tsdl.TsdlError:
        return  # said before the run: as good
    assert plan.run().summary["requests"]["rejected"] == 0


# -- conditions and order ----------------------------------------------------------------------


def test_admission_by_fill_counts_the_newcomer() -> None:
    two = run([(0, 5, 2), (0, 5, 1)], blocks=20, local="admit r when kv.fill_with(r) <= 25 %")
    assert two.iterations[0] == ["0 A+5", "1 A", "2 B+5"]
    two = run([(0, 5, 2), (0, 5, 1)], blocks=20, local="admit r when kv.fill_with(r) <= 50 %")
    assert two.iterations[0] == ["0 A+5 B+5", "1 A"]


def test_the_first_refusal_ends_the_pass() -> None:
    alone = "admit r when r.prompt != 5 tokens or w.running < 1"
    three = run([(0, 9, 1), (0, 5, 1), (0, 1, 1)], local=alone)
    assert three.iterations[0] == ["0 A+9", "1 B+5 C+1"]


def test_the_order_of_admission_is_the_policys() -> None:
    three = run([(0, 9, 1), (0, 5, 1), (0, 5, 1)], local="admit r by r.prompt; max_requests = 1")
    assert three.iterations[0] == ["0 B+5", "1 C+5", "2 A+9"]


def test_who_is_never_admitted_is_left_unfinished() -> None:
    two = run([(0, 9, 1), (0, 5, 1)], local="admit r when r.prompt < 9 tokens")
    assert two.status == ["unfinished", "unfinished"]
