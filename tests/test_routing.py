"""Which worker a request goes to, worked out by hand, and how it waits while there is none.

The notation is that of by_hand.py.
"""

import tsdl
from tests.by_hand import run
from tsdl.runtime.streams import stream


def test_among_equal_workers_the_first_declared_is_chosen() -> None:
    three = run([(0, 1, 1), (5, 1, 1), (9, 1, 1)], workers=3)
    assert three.column("worker") == [0, 0, 0]


def test_round_robin_goes_on_from_the_last_choice() -> None:
    five = run([(0, 1, 1)] * 5, workers=3, target="round_robin(w for w in workers)")
    assert five.column("worker") == [0, 1, 2, 0, 1]


def test_round_robin_skips_who_does_not_qualify() -> None:
    free = "round_robin(w for w in workers if w.outstanding < 1)"
    four = run([(0, 1, 5), (0, 1, 1), (0, 1, 5), (2, 1, 1)], workers=3, target=free)
    assert four.column("worker") == [0, 1, 2, 1]


def test_each_place_of_round_robin_has_its_own_turn() -> None:
    """Also where two places read the same: B's turn is not that of A and C."""
    first = "round_robin(w for w in workers if w.id < 2)"
    other = "round_robin(w for w in workers)"
    target = f"{first} if r.prompt > 8 else {other} if r.prompt > 4 else {first}"
    rows = [(0, 9, 1), (0, 1, 1), (0, 9, 1), (0, 5, 1), (0, 1, 1)]
    assert run(rows, workers=3, target=target).column("worker") == [0, 0, 1, 0, 1]


def test_random_takes_a_whole_number_of_its_stream_for_each_dispatch() -> None:
    some = run([(0, 1, 1)] * 20, workers=3, target="random(w for w in workers)")
    numbers = stream(0, "dispatch")
    assert some.column("worker") == [int(numbers.integers(3)) for _ in range(20)]


# -- none for now, or for ever -----------------------------------------------------------------

FREE = "pick(w by w.id for w in workers if w.outstanding < 1)"


def test_a_request_without_a_worker_waits_until_one_qualifies() -> None:
    three = run([(0, 8, 3), (0, 8, 1), (0.5, 8, 1)], workers=2, target=FREE)
    assert three.column("worker") == [0, 1, 1]
    assert three.column("started") == [0, 0, 1]


def test_requests_without_a_worker_are_placed_in_order_of_arrival() -> None:
    four = run([(0, 8, 2), (0.25, 8, 1), (0.5, 8, 1), (0.75, 8, 1)], target=FREE)
    assert four.column("started") == [0, 2, 3, 4]


def test_a_static_worker_that_has_emptied_takes_who_was_waiting_for_it() -> None:
    """Its slots are free once the batch has ended: nobody else would wake it."""
    free = "pick(w by w.id for w in workers if w.running < 1)"
    two = run([(0, 8, 2), (0.5, 8, 1)], policy="static", target=free)
    assert two.column("started") == [0, 2]


def test_who_has_no_worker_ever_is_left_unfinished() -> None:
    two = run([(0, 9, 1), (3, 5, 1)], target="pick(w by w.id for w in workers if w.id > 5)")
    assert two.status == ["unfinished", "unfinished"]
    assert two.column("worker") == [-1, -1]


def test_a_block_of_no_workers_is_none() -> None:
    text = """
param large: int = 0
cluster some { worker h100 * large { hardware = H100_SXM }; worker l4 * 2 { hardware = L4 } }
policy by_size from chunked { global { on arrive(r) {
  dispatch r to pick(w by w.outstanding / (5 if w.group == "h100" else 1) for w in workers) } } }
scenario s { model = llama3_1_8b; cluster = some; policy = by_size
  workload = sharegpt(requests = 20) }
"""
    assert tsdl.check(text) == []  # it has the name, though there is none
    plan = tsdl.compile(text)
    assert [kind.name for kind in plan.workers] == ["l4"]
    assert set(plan.run().requests["worker"].tolist()) == {0, 1}
    both = tsdl.compile(text, params={"large": 1})
    assert [kind.name for kind in both.workers] == ["h100", "l4"]
