"""Who has to go where memory runs out, worked out by hand: victims, and how they come back.

The notation is that of by_hand.py.
"""

from tests.by_hand import run

PAIR = [(0.0, 3, 4), (0.0, 3, 4)]  # both fit 8 tokens until their third


def test_recompute_starts_the_victim_again_from_all_it_had() -> None:
    two = run(PAIR, blocks=8, local="preempt = recompute")
    assert two.iterations[0] == ["0 A+3 B+3", "1 A B", "2 A", "3 A", "4 B+5", "5 B"]
    assert two.last == [4, 6]
    assert two.column("preemptions") == [0, 1]
    assert two.column("mtpot") == [1, 3]  # B's second token came at 2 s, its third at 5 s


def test_recompute_costs_the_tokens_that_are_computed_again() -> None:
    two = run(PAIR, blocks=8, local="preempt = recompute", cost="by_token")
    assert two.last == [6 + 2 + 1 + 1, 10 + 5 + 1]


def test_swap_takes_the_time_of_both_ways() -> None:
    """B's 4 tokens leave at 2 s, for 0.5 + 4 s, and come back at 8.5 s, for as long."""
    two = run(PAIR, blocks=8, local="preempt = swap")
    assert two.iterations[0] == ["0 A+3 B+3", "1 A B", "2 A", "7.5 A", "8.5 B", "14 B"]
    assert two.last == [8.5, 15]
    assert two.column("mtpot") == [5.5, 12]
    assert two.column("preemptions") == [0, 1]
    assert two.result.summary["workers"][0]["busy"] == 15


def test_without_room_in_swap_space_a_victim_is_recomputed() -> None:
    two = run(PAIR, blocks=8, swap=1.5, local="preempt = swap")  # 3 tokens
    assert two.iterations[0] == ["0 A+3 B+3", "1 A B", "2 A", "3 A", "4 B+5", "5 B"]


def test_chunked_batching_swaps_in_and_decodes_at_once() -> None:
    two = run(PAIR, policy="chunked", blocks=8, local="preempt = swap")
    assert two.iterations[0] == ["0 A+3 B+3", "1 A B", "2 A", "7.5 A", "8.5 B", "14 B"]


# -- the victim --------------------------------------------------------------------------------


def test_the_victim_is_the_last_admitted() -> None:
    three = run([(0, 2, 4)] * 3, blocks=10)
    assert three.iterations[0] == ["0 A+2 B+2 C+2", "1 A B C", "2 A B", "3 A B", "4 C+4", "5 C"]


def test_the_policy_chooses_the_victim_among_those_not_yet_in_the_iteration() -> None:
    """B needs room when A is already in: of B and C, the first by number goes."""
    three = run([(0, 2, 4)] * 3, blocks=10, local="evict r by r.id")
    assert three.iterations[0] == ["0 A+2 B+2 C+2", "1 A B C", "2 A C", "3 A C", "4 B+4", "5 B"]


def test_a_partial_prefill_leaves_room_for_all_that_decode() -> None:
    """B is swapped out and comes back while C is in the midst of its prompt.

    A to C fill 176 tokens at 23 s; A needs one more, and B, with the shorter prompt, goes. A ends;
    at the next boundary B comes back, and from then on decodes beside C's chunks of 7.
    """
    rows = [(0.0, 40, 19), (0.0, 30, 30), (0.0, 100, 2)]
    limits = "max_tokens = 8 tokens; max_requests = 3; preempt = swap; evict r by r.prompt"
    three = run(rows, policy="chunked", blocks=176, local=limits)
    assert three.column("preemptions")[1] == 1


def test_a_batch_of_nothing_but_padding_does_not_run() -> None:
    """A is done and keeps its slot; B finds no room and goes: the batch has ended at 2 s."""
    two = run([(0, 3, 2), (0, 3, 4)], policy="static", blocks=8)
    assert two.iterations[0] == ["0 A+3 B+3", "1 A B", "2 B+5", "3 B"]


# -- who waits meanwhile -----------------------------------------------------------------------


def test_nobody_is_admitted_while_somebody_is_swapped() -> None:
    three = run([*PAIR, (2.5, 1, 1)], blocks=8, local="preempt = swap")
    assert three.iterations[0][3:] == ["7.5 A", "8.5 B", "14 C+1", "15 B"]


def test_a_step_that_preempts_admits_nobody() -> None:
    """At 2 s C would fit where B was; it comes only with the next step."""
    three = run([*PAIR, (1.5, 1, 1)], policy="chunked", blocks=8, local="preempt = recompute")
    assert three.iterations[0][:4] == ["0 A+3 B+3", "1 A B", "2 A", "3 A"]
    ahead = run([*PAIR, (1.5, 1, 1)], policy="chunked", blocks=8, local="admit r by r.prompt")
    assert ahead.iterations[0][:4] == ["0 A+3 B+3", "1 A B", "2 A", "3 C+1 A"]


def test_a_preempted_request_goes_before_those_who_wait() -> None:
    three = run([*PAIR, (0.5, 3, 1)], blocks=8, local="preempt = recompute; max_requests = 2")
    assert three.iterations[0] == ["0 A+3 B+3", "1 A B", "2 A", "3 A", "4 B+5 C+3", "5 B"]
