"""Ways of batching, worked out by hand: who is in each iteration, and what it takes.

The notation is that of by_hand.py.
"""

import pytest

import tsdl
from tests.by_hand import FILE, USUAL, run

FOUR = [(0.0, 16, 4), (0.0, 16, 2), (0.0, 16, 3), (0.0, 16, 2)]
TWO_SLOTS = "max_requests = 2"
TWENTY_TOKENS = f"{TWO_SLOTS}; max_tokens = 20 tokens"


# -- four requests, three ways of batching (Figure 8 of the TokenSim paper) --------------------


def test_static_batches_wait_for_their_longest() -> None:
    four = run(FOUR, policy="static", local=TWO_SLOTS)
    assert four.iterations[0] == [
        "0 A+16 B+16",
        "1 A B",
        "2 A b",
        "3 A b",
        "4 C+16 D+16",
        "5 C D",
        "6 C d",
    ]
    assert four.first == [1, 1, 5, 5]
    assert four.last == [4, 2, 7, 6]


def test_continuous_batching_fills_a_slot_at_once_and_prefills_first() -> None:
    four = run(FOUR, policy="continuous", local=TWO_SLOTS)
    assert four.iterations[0] == [
        "0 A+16 B+16",
        "1 A B",
        "2 C+16",
        "3 A C",
        "4 A C",
        "5 D+16",
        "6 D",
    ]
    assert four.first == [1, 1, 3, 6]
    assert four.last == [5, 2, 5, 7]
    assert four.column("mtpot") == [2, 1, 1, 1]  # A stood still while C was prefilled


def test_chunked_batching_decodes_and_prefills_at_once() -> None:
    four = run(FOUR, policy="chunked", local=TWENTY_TOKENS)
    assert four.iterations[0] == [
        "0 A+16 B+4",
        "1 B+12 A",
        "2 A B",
        "3 C+16 A",
        "4 D+16 C",
        "5 C D",
    ]
    assert four.first == [1, 2, 4, 5]
    assert four.last == [4, 3, 6, 6]
    assert four.column("mtpot") == [1, 1, 1, 1]


def test_mixed_batching_prefills_whole_prompts_beside_decodes() -> None:
    four = run(FOUR, policy="chunked", local=f"batching = mixed; {TWENTY_TOKENS}")
    assert four.iterations[0] == ["0 A+16", "1 B+16 A", "2 A B", "3 C+16 A", "4 D+16 C", "5 C D"]
    assert four.first == [1, 2, 4, 5]
    assert four.last == [4, 3, 6, 6]


# -- the budget of tokens ----------------------------------------------------------------------


def test_a_chunk_never_exceeds_the_budget_and_prompts_go_in_order() -> None:
    few = "max_tokens = 4 tokens; max_requests = 4"
    two = run([(0, 10, 2), (0, 6, 1)], policy="chunked", local=few)
    assert two.iterations[0] == ["0 A+4", "1 A+4", "2 A+2 B+2", "3 B+3 A", "4 B+1"]
    assert two.first == [3, 5]


def test_a_prompt_beyond_the_budget_runs_alone() -> None:
    three = run([(0, 4, 1), (0, 20, 1), (0, 4, 1)], local="max_tokens = 10 tokens")
    assert three.iterations[0] == ["0 A+4", "1 B+20", "2 C+4"]


WHOLE = "batching = mixed; max_tokens = 10 tokens; max_requests = 4"


def test_a_prompt_that_is_not_cut_waits_for_room_and_those_behind_it_with_it() -> None:
    three = run([(0, 4, 3), (0, 7, 2), (0, 1, 1)], policy="chunked", local=WHOLE)
    assert three.iterations[0] == ["0 A+4", "1 B+7 C+1 A", "2 A B"]
    three = run([(0, 4, 3), (0, 30, 2), (0, 4, 1)], policy="chunked", local=WHOLE)
    assert three.iterations[0] == ["0 A+4", "1 B+30 A", "2 C+4 A B"]


def test_a_prompt_that_is_not_cut_and_was_preempted_comes_back_whole() -> None:
    three = run([(0, 5, 8), (0, 9, 8), (1, 2, 8)], policy="chunked", local=WHOLE, blocks=24)
    assert three.column("preemptions") == [0, 1, 1]
    assert three.iterations[0][:4] == ["0 A+5", "1 B+9 A", "2 C+2 A B", "3 A B C"]
    assert three.iterations[0][4:8] == ["4 A B", "5 A B", "6 A", "7 A"]
    # Five tokens of B's own have come to its prompt, which is beyond the budget now.
    assert three.iterations[0][8:11] == ["8 B+14", "9 C+4 B", "10 B C"]


def test_prompts_that_fill_the_budget_exactly_run_together() -> None:
    three = run([(0, 4, 1), (0, 6, 1), (0, 1, 1)], local="max_tokens = 10 tokens")
    assert three.iterations[0] == ["0 A+4 B+6", "1 C+1"]


# -- what an iteration takes -------------------------------------------------------------------


def test_with_a_time_per_token_chunks_cost_what_they_hold() -> None:
    four = run(FOUR, policy="chunked", local=TWENTY_TOKENS, cost="by_token")
    assert [float(text.split()[0]) for text in four.iterations[0]] == [0, 20, 33, 35, 52, 69]
    assert four.last == [52, 35, 71, 71]


def test_padding_of_a_static_batch_costs_tokens() -> None:
    two = run(FOUR[:2], policy="static", local=TWO_SLOTS, cost="by_token")
    assert two.last == [32 + 2 + 2 + 2, 32 + 2]


def test_the_schedulers_own_time_adds_to_every_iteration() -> None:
    two = run([(0, 4, 2)], local="overhead = 250 ms * requests")
    assert two.last == [2.5]


def test_a_cost_below_zero_cannot_turn_time_back() -> None:
    """`1 s * tokens - 5 s` is below zero for one decode: say so, or take it as nothing."""
    text = FILE.format(**(USUAL | {"cost": "by_token"}))
    text = text.replace("1 s * tokens }", "1 s * tokens - 5 s }").replace(
        "output = constant(1 tokens)", "output = constant(4 tokens)"
    )
    try:
        result = tsdl.compile(text.replace("prompt = constant(1", "prompt = constant(9")).run()
    except tsdl.TsdlError:
        return
    assert (result.requests["last_token"] >= result.requests["first_token"]).all()


# -- an iteration ahead of its results ---------------------------------------------------------

AHEAD = f"scheduling = asynchronous; {TWENTY_TOKENS}"


def test_an_iteration_ahead_of_its_results_newcomers_wait_for_the_next_but_one() -> None:
    two = run([(0, 16, 4), (0.5, 4, 2)], policy="chunked", local=AHEAD)
    assert two.iterations[0] == ["0 A+16", "1 A", "2 B+4 A", "3 A B"]
    assert two.first == [1, 3]


def test_an_iteration_ahead_of_its_results_a_slot_is_free_one_later() -> None:
    four = run(FOUR, policy="chunked", local=AHEAD)
    assert four.iterations[0] == [
        "0 A+16 B+4",
        "1 B+12 A",
        "2 A B",
        "3 A",  # B has ended at 3: that is known once this one is put together
        "4 C+16",  # nobody else runs, so A's end is waited for, and then C has its slot
        "5 D+16 C",
        "6 C D",
    ]
    assert four.last == [4, 3, 7, 7]


def test_an_iteration_ahead_of_its_results_memory_is_free_one_later() -> None:
    few = "scheduling = asynchronous; max_requests = 8; max_tokens = 20 tokens"
    three = run([(0, 16, 2), (0, 4, 5), (0, 12, 1)], policy="chunked", local=few, blocks=24)
    assert three.iterations[0] == ["0 A+16 B+4", "1 A B", "2 B", "3 C+12 B", "4 B"]


# -- a budget that changes ------------------------------------------------------------------------


def test_a_budget_is_asked_for_every_iteration() -> None:
    """While A alone runs, chunks have 8 tokens; once B waits, 4 of them: as A's and B's chunks."""
    local = "max_tokens = 20 tokens; max_requests = 2; budget(w) = 8 tokens if w.queued < 2 else 4"
    two = run([(0, 20, 2), (0, 6, 2)], policy="chunked", local=local)
    assert two.iterations[0] == ["0 A+4", "1 A+8", "2 A+8", "3 B+6 A", "4 B"]


def test_a_budget_is_at_most_that_of_the_policy_and_at_least_a_token() -> None:
    much = "max_tokens = 20 tokens; max_requests = 2; budget(w) = 1000 tokens"
    assert run(FOUR, policy="chunked", local=much).iterations == (
        run(FOUR, policy="chunked", local=TWENTY_TOKENS).iterations
    )
    none = "max_tokens = 20 tokens; max_requests = 2; budget(w) = -3 tokens"
    one = run([(0, 3, 2)], policy="chunked", local=none)
    assert one.iterations[0] == ["0 A+1", "1 A+1", "2 A+1", "3 A"]


def test_whoever_has_no_budget_does_not_decode() -> None:
    local = "max_tokens = 20 tokens; max_requests = 3; budget(w) = 1 token if w.running > 1 else 20"
    two = run([(0, 8, 3), (0, 8, 3)], policy="chunked", local=local)
    assert two.iterations[0] == ["0 A+8 B+8", "1 A", "2 A", "3 B", "4 B"]


def test_a_prompt_beyond_a_budget_runs_alone() -> None:
    local = "max_requests = 4; budget(w) = 16 tokens if w.running == 0 else 20 tokens"
    four = run(FOUR, policy="continuous", local=local)
    assert [each for each in four.iterations[0] if "+" in each] == [
        "0 A+16",
        "1 B+16",
        "2 C+16",
        "3 D+16",
    ]


def test_a_budget_without_a_value_ends_the_run() -> None:
    local = "budget(w) = 8 tokens / (w.running / 1 request)"
    plan = tsdl.compile(FILE.format(**(USUAL | {"policy": "chunked", "local": local})))
    with pytest.raises(tsdl.TsdlError) as error:
        plan.run()
    (found,) = error.value.diagnostics
    assert found.code == "E0901"
    assert "`budget` of policy" in found.title


def test_a_budget_costs_a_rung_where_it_depends_on_more_than_its_worker() -> None:
    rungs = {
        "8 tokens if w.queued > 2 else 100 tokens": "lazy",
        "8 tokens if now > 2 s else 100 tokens": "stepped",
        "1 token * random(n for n in [8, 100])": "reference",
    }
    for budget, rung in rungs.items():
        local = f"budget(w) = {budget}"
        plan = tsdl.compile(FILE.format(**(USUAL | {"policy": "chunked", "local": local})))
        assert plan.rungs[0].name == rung
        decides = [because.part for because in plan.rungs[0].because]
        assert decides == (["budget"] if rung != "lazy" else [])
