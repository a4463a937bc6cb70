"""Small runs, worked out by hand: every iteration, every time to the last bit.

Requests are A, B, C, … in order of arrival. An iteration reads `2 A+16 B`: it starts at 2 s, holds
a chunk of 16 tokens of A's prompt, and a decode of B; in lower case, B is done and pads its batch.
The KV cache counts tokens; moving it to the host takes half a second, and a second per token.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from string import ascii_uppercase

import numpy as np
import pytest
from msgspec.structs import replace

import tsdl
from tests.invariants import Watch, iteration_is_right
from tsdl.costs import compiled_footprint
from tsdl.formula import Formula
from tsdl.runtime.arrivals import Arrivals
from tsdl.runtime.batching import Iteration
from tsdl.runtime.columns import Column
from tsdl.runtime.engine import Engine
from tsdl.runtime.result import Result
from tsdl.runtime.streams import stream
from tsdl.runtime.worker import Worker

FILE = """edition "2026"
link slow {{ bandwidth = 0.5 MiB/s; latency = 500 ms }}
hardware box from A100_80G {{ host = slow }}
cost by_token {{ iteration = 1 s * tokens }}
cost written {{ iteration = {iteration} }}
kvcache exact from {kv} {{ block = {block} tokens; blocks = {blocks}; swap_space = {swap} MiB }}
model small from llama2_7b {{ context = {context} tokens }}
cluster few {{ worker gpu * {workers} {{ hardware = box; cost = {cost}; kv = exact; {worker} }} }}
policy own from {policy} {{
  local {{ watermark = {watermark} %; {local} }}
  global {{ on arrive(r) {{ dispatch r to {target} }} }}
}}
workload some {{
  requests = 1; arrivals = burst(); prompt = constant(1 tokens); output = constant(1 tokens)
  warmup = {warmup} s
}}
scenario by_hand {{ model = small; cluster = few; policy = own; workload = some; {more} }}
"""
USUAL: dict[str, object] = {
    "kv": "token_wise",
    "block": 1,
    "blocks": 1000,
    "swap": 1000,
    "context": 1000,
    "workers": 1,
    "worker": "",
    "cost": "constant_cost(1 s)",
    "iteration": "1 s",
    "policy": "continuous",
    "local": "",
    "watermark": 0,
    "target": "pick(w by w.outstanding for w in workers)",
    "warmup": 0,
    "more": "",
}
MOST_EVENTS = 20_000  # of any run here; beyond, it would never end
SERIES = ("time", "worker", "queued", "running", "kv_used")
PER_TOKEN = 524_288  # bytes of Llama 2 7B's KV: 2 of 32 layers, 4096 elements and 2 bytes

Row = tuple[float, int, int]  # arrival in seconds, tokens of the prompt, tokens of the answer


@dataclass
class Run:
    """A run, with its iterations by worker as texts."""

    result: Result
    iterations: dict[int, list[str]]

    def column(self, name: str) -> list[float]:
        """Return a column of the requests."""
        values: list[float] = self.result.requests[name].tolist()
        return values

    @property
    def status(self) -> list[str]:
        """Return how each request ended."""
        values: list[str] = self.result.requests["status"].tolist()
        return values

    @property
    def first(self) -> list[float]:
        """Return when each request had its first token."""
        return self.column("first_token")

    @property
    def last(self) -> list[float]:
        """Return when each request had its last token."""
        return self.column("last_token")


def plan_of(**given: object) -> tsdl.Plan:
    return tsdl.compile(FILE.format(**(USUAL | given)))


def run(rows: Sequence[Row], **given: object) -> Run:
    """Run requests through a system that `given` says, all else as usual."""
    return run_plan(plan_of(**given), rows)


def run_plan(plan: tsdl.Plan, rows: Sequence[Row]) -> Run:
    arrived, prompt, output = zip(*rows, strict=True)
    arrivals = Arrivals(
        np.array(arrived, dtype=np.float64),
        np.array(prompt, dtype=np.int64),
        np.array(output, dtype=np.int64),
    )
    watch = Watch()
    engine = Engine(plan, arrivals, 0, observer=watch)
    watch.follow(engine)
    seen: dict[int, list[str]] = defaultdict(list)
    for worker in engine.workers:
        _record(worker, seen[worker.id])
    _limit(engine)
    return Run(Result(plan, 0, engine.run()), dict(seen))


def _record(worker: Worker, seen: list[str]) -> None:
    schedule = worker.schedule

    def recorded(now: float) -> Iteration | None:
        iteration = schedule(now)
        if iteration is not None:
            iteration.close()
            seen.append(_text(now, iteration))
            iteration_is_right(worker, iteration)
        return iteration

    setattr(worker, "schedule", recorded)  # noqa: B010 (mypy lets nobody assign to a method)


def _text(now: float, iteration: Iteration) -> str:
    parts = [f"{ascii_uppercase[r.id]}+{chunk}" for r, chunk in iteration.prefills]
    for request in iteration.decodes:
        letter = ascii_uppercase[request.id]
        parts.append(letter.lower() if request.done else letter)
    return f"{now:g} {' '.join(parts)}"


def _limit(engine: Engine) -> None:
    step = engine.clock.step
    left = iter(range(MOST_EVENTS))

    def counted() -> None:
        assert next(left, None) is not None, "the run does not end"
        step()

    setattr(engine.clock, "step", counted)  # noqa: B010 (mypy lets nobody assign to a method)


# -- four requests, three ways of batching (Figure 8 of the TokenSim paper) --------------------

FOUR = [(0.0, 16, 4), (0.0, 16, 2), (0.0, 16, 3), (0.0, 16, 2)]
TWO_SLOTS = "max_requests = 2"
TWENTY_TOKENS = f"{TWO_SLOTS}; max_tokens = 20 tokens"


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


def test_with_a_time_per_token_chunks_cost_what_they_hold() -> None:
    four = run(FOUR, policy="chunked", local=TWENTY_TOKENS, cost="by_token")
    assert [float(text.split()[0]) for text in four.iterations[0]] == [0, 20, 33, 35, 52, 69]
    assert four.last == [52, 35, 71, 71]


def test_padding_of_a_static_batch_costs_tokens() -> None:
    two = run(FOUR[:2], policy="static", local=TWO_SLOTS, cost="by_token")
    assert two.last == [32 + 2 + 2 + 2, 32 + 2]


def test_a_chunk_never_exceeds_the_budget_and_prompts_go_in_order() -> None:
    few = "max_tokens = 4 tokens; max_requests = 4"
    two = run([(0, 10, 2), (0, 6, 1)], policy="chunked", local=few)
    assert two.iterations[0] == ["0 A+4", "1 A+4", "2 A+2 B+2", "3 B+3 A", "4 B+1"]
    assert two.first == [3, 5]


def test_the_schedulers_own_time_adds_to_every_iteration() -> None:
    two = run([(0, 4, 2)], local="overhead = 250 ms * requests")
    assert two.last == [2.5]


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


# -- ties --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "iterations"),
    [
        ("continuous", ["0 A+8", "1 B+8", "2 A B", "3 A"]),
        ("chunked", ["0 A+8", "1 B+8 A", "2 A B"]),
        ("static", ["0 A+8", "1 A", "2 A", "3 B+8", "4 B"]),
    ],
)
def test_who_arrives_at_a_boundary_joins_it(policy: str, iterations: list[str]) -> None:
    assert run([(0, 8, 3), (1, 8, 2)], policy=policy).iterations[0] == iterations


def test_who_arrives_just_after_a_boundary_waits_for_the_next() -> None:
    late = run([(0, 8, 3), (float(np.nextafter(1, 2)), 8, 1)], policy="chunked")
    assert late.iterations[0] == ["0 A+8", "1 A", "2 B+8 A"]


@pytest.mark.parametrize("policy", ["continuous", "chunked", "static"])
@pytest.mark.parametrize("at", [0.0, 5.0])
def test_who_arrives_together_at_an_idle_worker_starts_together(policy: str, at: float) -> None:
    three = run([(at, 8, 1)] * 3, policy=policy)
    assert three.iterations[0] == [f"{at:g} A+8 B+8 C+8"]
    assert three.column("queue") == [0, 0, 0]


def test_a_router_sees_those_who_arrived_before_at_the_same_time() -> None:
    three = run([(0, 8, 2)] * 3, workers=2)
    assert three.column("worker") == [0, 1, 0]


def test_arrivals_come_before_the_boundary_at_their_time() -> None:
    """At 1 s, A is still on worker 0 for the router, though its last token comes at 1 s."""
    two = run([(0, 8, 1), (1, 8, 1)], workers=2)
    assert two.column("worker") == [0, 1]


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


def test_boundaries_at_one_time_go_in_the_order_of_the_workers() -> None:
    """Worker 1's iteration began long before worker 0's: that does not show at 10 s.

    D waits, and is offered to the workers again after the boundary of worker 0 alone.
    """
    rows = [(0.0, 4, 1), (0.0, 10, 1), (1.0, 6, 1), (5.0, 3, 1)]
    for key in ("w.id", "-w.id"):
        target = FREE.replace("by w.id", f"by {key}")
        first, second = (0, 1) if key == "w.id" else (1, 0)
        ordered = [rows[first], rows[second], *rows[2:]]
        four = run(ordered, workers=2, cost="by_token", target=target)
        assert sorted(four.last[:3]) == [4, 10, 10]
        assert four.column("worker")[3] == 0


# -- memory: preemption, swapping, rejection ---------------------------------------------------

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


def test_nobody_is_admitted_while_somebody_is_swapped() -> None:
    three = run([*PAIR, (2.5, 1, 1)], blocks=8, local="preempt = swap")
    assert three.iterations[0][3:] == ["7.5 A", "8.5 B", "14 C+1", "15 B"]


def test_chunked_batching_swaps_in_and_decodes_at_once() -> None:
    two = run(PAIR, policy="chunked", blocks=8, local="preempt = swap")
    assert two.iterations[0] == ["0 A+3 B+3", "1 A B", "2 A", "7.5 A", "8.5 B", "14 B"]


def test_a_step_that_preempts_admits_nobody() -> None:
    """At 2 s C would fit where B was; it comes only with the next step."""
    three = run([*PAIR, (1.5, 1, 1)], policy="chunked", blocks=8, local="preempt = recompute")
    assert three.iterations[0][:4] == ["0 A+3 B+3", "1 A B", "2 A", "3 A"]
    ahead = run([*PAIR, (1.5, 1, 1)], policy="chunked", blocks=8, local="admit r by r.prompt")
    assert ahead.iterations[0][:4] == ["0 A+3 B+3", "1 A B", "2 A", "3 C+1 A"]


def test_the_victim_is_the_last_admitted() -> None:
    three = run([(0, 2, 4)] * 3, blocks=10)
    assert three.iterations[0] == ["0 A+2 B+2 C+2", "1 A B C", "2 A B", "3 A B", "4 C+4", "5 C"]


def test_the_policy_chooses_the_victim_among_those_not_yet_in_the_iteration() -> None:
    """B needs room when A is already in: of B and C, the first by number goes."""
    three = run([(0, 2, 4)] * 3, blocks=10, local="evict r by r.id")
    assert three.iterations[0] == ["0 A+2 B+2 C+2", "1 A B C", "2 A C", "3 A C", "4 B+4", "5 B"]


def test_a_preempted_request_goes_before_those_who_wait() -> None:
    three = run([*PAIR, (0.5, 3, 1)], blocks=8, local="preempt = recompute; max_requests = 2")
    assert three.iterations[0] == ["0 A+3 B+3", "1 A B", "2 A", "3 A", "4 B+5 C+3", "5 B"]


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


def test_a_prompt_beyond_the_budget_runs_alone() -> None:
    three = run([(0, 4, 1), (0, 20, 1), (0, 4, 1)], local="max_tokens = 10 tokens")
    assert three.iterations[0] == ["0 A+4", "1 B+20", "2 C+4"]


def test_prompts_that_fill_the_budget_exactly_run_together() -> None:
    three = run([(0, 4, 1), (0, 6, 1), (0, 1, 1)], local="max_tokens = 10 tokens")
    assert three.iterations[0] == ["0 A+4 B+6", "1 C+1"]


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


# -- runs that cannot go on, and runs that are cut ---------------------------------------------


def test_who_is_never_admitted_is_left_unfinished() -> None:
    two = run([(0, 9, 1), (0, 5, 1)], local="admit r when r.prompt < 9 tokens")
    assert two.status == ["unfinished", "unfinished"]


def test_who_has_no_worker_ever_is_left_unfinished() -> None:
    two = run([(0, 9, 1), (3, 5, 1)], target="pick(w by w.id for w in workers if w.id > 5)")
    assert two.status == ["unfinished", "unfinished"]
    assert two.column("worker") == [-1, -1]


def test_until_leaves_unfinished_requests() -> None:
    two = run([(0, 8, 9), (0, 8, 2)], more="until = 2.5 s")
    assert two.status == ["unfinished", "finished"]
    assert two.column("generated") == [2, 2]
    assert two.result.summary["requests"]["unfinished"] == 1
    assert two.result.summary["end"] == 2.5


def test_what_happens_at_until_counts() -> None:
    assert run([(0, 8, 2)], more="until = 2 s").status == ["finished"]
    assert run([(0, 8, 3)], more="until = 2 s").status == ["unfinished"]


def test_an_unfinished_request_has_no_latencies_to_its_end() -> None:
    """It has a first token, and so a TTFT; where its last would be, nobody knows."""
    cut = run([(0, 8, 9)], more="until = 2.5 s")
    assert cut.column("ttft") == [1]
    assert all(isnan(cut.column(name)[0]) for name in ("tpot", "mtpot", "e2e"))


def test_who_would_arrive_after_until_has_not_arrived() -> None:
    cut = run([(0, 8, 1), (10, 8, 1), (20, 8, 1)], more="until = 10 s")
    assert cut.result.summary["requests"]["arrived"] == 2
    assert cut.result.summary["attainment"] == 0.5


def test_a_run_that_is_done_before_until_ends_when_it_is_done() -> None:
    one = run([(0, 8, 4)], more="until = 1 h").result.summary
    assert one["end"] == 4
    assert one["utilization"] == 1


def test_nobody_is_busy_beyond_until() -> None:
    cut = run([(0, 8, 4)], more="until = 2.5 s").result.summary
    assert cut["workers"][0]["busy"] == 2.5
    assert cut["utilization"] == 1


@pytest.mark.parametrize("sample", ["", "sample = 1 h", "sample = 300 ms", "timeseries = changes"])
def test_sampling_does_not_change_the_end_or_the_utilization(sample: str) -> None:
    summary = run([(0, 8, 2), (5, 8, 2)], more=sample).result.summary
    assert summary["end"] == 7
    assert summary["utilization"] == 4 / 7


def test_requests_a_moment_apart_do_not_make_a_million_samples() -> None:
    series = run([(0, 8, 2), (1e-9, 8, 300)]).result.timeseries
    assert len(series["time"]) <= 1000


def test_samples_show_the_state_after_all_that_happens_at_their_time() -> None:
    series = run([(0, 8, 2), (0.5, 8, 1)], more="sample = 0.5 s").result.timeseries
    assert series["time"].tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3]
    assert series["queued"].tolist() == [0, 1, 0, 0, 0, 0, 0]
    assert series["running"].tolist() == [1, 1, 2, 2, 1, 1, 0]


def rows(series: Mapping[str, Column]) -> list[tuple[float, ...]]:
    return list(zip(*(series[name].tolist() for name in SERIES), strict=True))


def test_changes_show_every_boundary_that_changes_something() -> None:
    """B comes between boundaries and is queued from the next on: A takes all slots."""
    local = "max_requests = 1"
    two = run([(0, 8, 3), (0.5, 8, 1)], more="timeseries = changes", local=local)
    assert two.iterations[0] == ["0 A+8", "1 A", "2 A", "3 B+8"]
    assert two.result.plan.workers[0].kv.bytes_per_token == PER_TOKEN
    assert rows(two.result.timeseries) == [
        (0, 0, 0, 1, 8 * PER_TOKEN),
        (1, 0, 1, 1, 9 * PER_TOKEN),
        (2, 0, 1, 1, 10 * PER_TOKEN),
        (3, 0, 0, 1, 8 * PER_TOKEN),
        (4, 0, 0, 0, 0),
    ]


def test_what_stays_the_same_has_no_row() -> None:
    """A block of 16 tokens holds A to its end; B comes to an idle worker, 6 s later."""
    given: dict[str, object] = {"kv": "paged", "block": 16, "blocks": 100}
    two = run([(0, 8, 5), (11, 8, 2)], more="timeseries = changes", **given)
    assert rows(two.result.timeseries) == [
        (0, 0, 0, 1, 16 * PER_TOKEN),
        (5, 0, 0, 0, 0),
        (11, 0, 0, 1, 16 * PER_TOKEN),
        (13, 0, 0, 0, 0),
    ]


def test_rows_of_changes_are_in_order_of_time_then_worker() -> None:
    """B comes to worker 1 at the time at which A is decoded on worker 0; nobody to worker 2."""
    two = run([(0, 8, 2), (1, 8, 2)], more="timeseries = changes", workers=3)
    assert rows(two.result.timeseries) == [
        (0, 0, 0, 1, 8 * PER_TOKEN),
        (0, 1, 0, 0, 0),
        (0, 2, 0, 0, 0),
        (1, 0, 0, 1, 9 * PER_TOKEN),
        (1, 1, 0, 1, 8 * PER_TOKEN),
        (2, 0, 0, 0, 0),
        (2, 1, 0, 1, 9 * PER_TOKEN),
        (3, 1, 0, 0, 0),
    ]


def test_of_changes_at_one_time_the_last_counts() -> None:
    """Where iterations take no time, all that is left of a request is that it has gone."""
    two = run([(0, 8, 3), (2, 8, 3)], more="timeseries = changes", cost="constant_cost(0 s)")
    assert two.iterations[0] == ["0 A+8", "0 A", "0 A", "2 B+8", "2 B", "2 B"]
    assert rows(two.result.timeseries) == [(0, 0, 0, 0, 0)]


def test_changes_end_where_the_run_is_cut_off() -> None:
    cut = run([(0, 8, 9)], more="timeseries = changes; until = 2 s")
    assert cut.result.timeseries["time"].tolist() == [0, 1, 2]


# -- the figures of a run ----------------------------------------------------------------------


def test_one_token_has_a_ttft_and_no_tpot() -> None:
    two = run([(0, 8, 1), (0, 8, 3)])
    assert two.column("ttft") == [1, 1]
    assert isnan(two.column("tpot")[0])
    assert isnan(two.column("mtpot")[0])
    assert two.column("tpot")[1] == 1
    assert two.result.summary["latency"]["tpot"]["mean"] == 1
    assert two.result.summary["latency"]["itl"]["mean"] == 1


def test_the_warm_up_is_simulated_but_not_counted() -> None:
    """B arrives at its very end and counts; the makespan begins with B."""
    three = run([(0, 8, 3), (1, 8, 2), (1.5, 8, 1)], warmup=1, policy="chunked")
    assert three.iterations[0] == ["0 A+8", "1 B+8 A", "2 C+8 A B"]
    summary = three.result.summary
    assert (summary["requests"]["arrived"], summary["requests"]["warmup"]) == (2, 1)
    assert summary["makespan"] == 2
    assert summary["throughput"] == 1
    assert summary["token_throughput"] == 1.5
    assert summary["latency"]["ttft"]["mean"] == (1 + 1.5) / 2
    assert summary["latency"]["itl"]["max"] == 1
    assert summary["utilization"] == 1  # of the whole run


def test_a_run_without_counted_requests_has_no_figures() -> None:
    summary = run([(0, 8, 1)], warmup=9).result.summary
    assert summary["requests"]["warmup"] == 1
    assert summary["throughput"] is None
    assert summary["latency"]["ttft"]["p99"] is None


def test_queueing_ends_with_the_first_iteration_that_holds_the_request() -> None:
    two = run([(0, 8, 1), (0.25, 8, 1)], local="max_requests = 1")
    assert two.column("queue") == [0, 0.75]
    assert two.column("ttft") == [1, 1.75]


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
