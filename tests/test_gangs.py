"""Ranks in lock-step, worked out by hand: who pads, who computes a dummy, and when a gang idles.

The notation is that of by_hand.py. Requests go to the workers in turn: A to rank 0, B to rank 1,
and so on.
"""

import re

import pytest

import tsdl
from tests.by_hand import Row, Run, plan_of, run
from tests.conftest import ROOT
from tsdl.cli import main
from tsdl.facts import facts_of
from tsdl.runtime.arrivals import generate
from tsdl.runtime.engine import Engine
from tsdl.runtime.fast.cohortworker import CohortWorker
from tsdl.runtime.fast.engine import FastEngine
from tsdl.runtime.gangs import dummy, gangs_of

PAIR = {
    "workers": 2,
    "worker": "parallel = ep(1, ranks = 2)",
    "target": "round_robin(w for w in workers)",
}
BY_OWN = "by_token"


def pair(rows: list[Row], **given: object) -> Run:
    return run(rows, **(PAIR | {"policy": "chunked"} | given))


def busy(result: Run) -> float:
    """Return the busy seconds of both ranks."""
    seconds: float = sum(worker["busy"] for worker in result.result.summary["workers"])
    return seconds


# -- two ranks of other loads ----------------------------------------------------------------------


def test_an_iteration_of_all_takes_the_longest_of_their_times() -> None:
    two = pair([(0, 16, 3), (0, 4, 3)], cost=BY_OWN)
    assert two.iterations == {0: ["0 A+16", "16 A", "17 A"], 1: ["0 B+4", "16 B", "17 B"]}
    assert two.last == [18, 18]


def test_ranks_pad_to_the_most_tokens_of_any() -> None:
    padded = "1 s * tokens + 100 s * peer_tokens"
    two = pair([(0, 16, 2), (0, 4, 2)], cost="written", iteration=padded)
    assert two.iterations == {0: ["0 A+16", "1616 A"], 1: ["0 B+4", "1616 B"]}
    assert two.last == [1616 + 101] * 2


def test_ranks_know_the_least_and_whether_any_of_them_prefills() -> None:
    """Of 16 and 4 tokens, and of one each; prefills are the others', too, in the first alone."""
    told = "1 s * tokens + 100 s * least_peer_tokens + 1000 s * peer_prefills"
    two = pair([(0, 16, 2), (0, 4, 2)], cost="written", iteration=told)
    assert two.iterations == {0: ["0 A+16", "1416 A"], 1: ["0 B+4", "1416 B"]}
    assert two.last == [1416 + 101] * 2


OF_PEERS = """edition "2026"
cost of_prefills { iteration = 1 ms if peer_prefills > 0 else 40 ms }
cost of_the_least { iteration = 2 ms + 1 us * least_peer_tokens }
hardware pair from H100_SXM { memory.capacity = 1 TiB }
cluster first { worker w * 2 { hardware = pair; parallel = ep(1, ranks = 2); cost = of_prefills } }
cluster second {
  worker w * 2 { hardware = pair; parallel = ep(1, ranks = 2); cost = of_the_least }
}
cluster third { worker w * 2 { hardware = pair; parallel = ep(1, ranks = 2) } }
slo quick { ttft <= 20 ms }
policy divides from vllm { local { overlap { when = devices > 1 and tokens > 8 } } }
scenario one { model = llama3_8b; cluster = first; policy = vllm; workload = sharegpt; slo = quick }
scenario two { model = llama3_8b; cluster = second; policy = vllm; workload = sharegpt }
scenario three { model = qwen3_30b_a3b; cluster = third; policy = divides; workload = sharegpt }
"""


def test_of_costs_that_read_of_all_ranks_nothing_is_warned() -> None:
    """They say themselves what ranks share (W0509), and know of their own prefill (W0502).

    Nor is it warned of that a policy divides no batch of workers that its condition leaves out.
    """
    assert not tsdl.check(OF_PEERS)


def test_a_rank_without_requests_takes_part_with_a_token_that_is_nobodys() -> None:
    one = pair([(0, 4, 2)], cost="linear_cost(1 s, 1 s)")
    assert one.iterations == {0: ["0 A+4", "5 A"], 1: []}
    assert one.last == [7]
    assert busy(one) == 7 + 7
    batch = dummy().batch
    assert (batch.tokens, batch.peer_tokens, batch.requests, batch.last_tokens) == (1, 1, 0, 0)


def test_a_dummy_may_take_longer_than_what_it_is_there_for() -> None:
    """The cost of nobody's token counts: here it is all that takes time."""
    slow = "3 s if requests == 0 else 1 s"
    assert pair([(0, 4, 2)], cost="written", iteration=slow).last == [6]
    assert pair([(0, 4, 2), (0, 4, 2)], cost="written", iteration=slow).last == [2, 2]


def test_workers_without_ranks_go_each_for_itself() -> None:
    two = pair([(0, 16, 3), (0, 4, 3)], cost=BY_OWN, worker="")
    assert two.last == [18, 6]


# -- newcomers, idling -----------------------------------------------------------------------------


def test_who_comes_to_an_idle_rank_waits_for_the_end_of_its_dummy() -> None:
    two = pair([(0, 16, 2), (5, 4, 1)], cost=BY_OWN)
    assert two.iterations == {0: ["0 A+16", "16 A"], 1: ["16 B+4"]}
    assert two.last == [20, 20]
    assert two.first == [16, 20]


def test_a_gang_idles_when_all_ranks_do_and_whoever_comes_first_starts_it() -> None:
    three = pair([(0, 4, 1), (50, 4, 1), (53, 2, 1)], cost=BY_OWN)
    assert three.iterations == {0: ["0 A+4", "54 C+2"], 1: ["50 B+4"]}
    assert three.last == [4, 54, 56]
    assert busy(three) == 2 * (4 + 4 + 2)


def test_newcomers_of_one_time_start_together() -> None:
    two = pair([(3, 4, 1), (3, 6, 1)], cost=BY_OWN)
    assert two.iterations == {0: ["3 A+4"], 1: ["3 B+6"]}
    assert two.last == [9, 9]


def test_who_comes_at_a_boundary_is_in_what_begins_there() -> None:
    two = pair([(0, 4, 2), (4, 2, 1)], cost=BY_OWN)
    assert two.iterations == {0: ["0 A+4", "4 A"], 1: ["4 B+2"]}


def test_all_end_before_anybody_begins() -> None:
    """B ends on rank 1, and C, which waited for it, goes to rank 0 at that very boundary."""
    target = "pick(w by w.id for w in workers if w.outstanding == 0)"
    three = pair([(0, 4, 2), (0, 4, 1), (1, 4, 1)], target=target)
    assert three.iterations == {0: ["0 A+4", "1 A"], 1: ["0 B+4", "1 C+4"]}
    swapped = pair([(0, 4, 1), (0, 4, 2), (1, 4, 1)], target=target)
    assert swapped.iterations == {0: ["0 A+4", "1 C+4"], 1: ["0 B+4", "1 B"]}


# -- with what else a worker does ------------------------------------------------------------------


def test_prefills_of_one_rank_and_decodes_of_another_go_together() -> None:
    three = pair([(0, 4, 4), (0, 4, 4), (1, 9, 1)], policy="continuous", cost=BY_OWN)
    assert three.iterations[0] == ["0 A+4", "4 C+9", "13 A", "14 A", "15 A"]
    assert three.iterations[1] == ["0 B+4", "4 B", "13 B", "14 B"]


def test_static_batches_go_in_lock_step_too() -> None:
    rows: list[Row] = [(0, 4, 3), (0, 4, 1), (0, 4, 1), (0, 4, 1)]
    four = pair(rows, policy="static", local="max_requests = 2")
    assert four.iterations == {0: ["0 A+4 C+4", "1 A c", "2 A c"], 1: ["0 B+4 D+4"]}
    alone = pair([*rows, (1.5, 4, 1), (1.5, 4, 1)], policy="static", local="max_requests = 2")
    assert alone.iterations == {
        0: ["0 A+4 C+4", "1 A c", "2 A c", "3 E+4"],
        1: ["0 B+4 D+4", "2 F+4"],
    }


def test_an_iteration_ahead_of_its_results_after_a_dummy_newcomers_are_seen_at_once() -> None:
    """Rank 0 is ahead, so that C waits for the next but one; rank 1 has put nothing together."""
    local = "scheduling = asynchronous"
    three = pair([(0, 4, 5), (0, 4, 1), (0.5, 4, 1), (2.5, 4, 1)], local=local)
    assert three.iterations == {0: ["0 A+4", "1 A", "2 C+4 A", "3 A", "4 A"], 1: ["0 B+4", "3 D+4"]}


def test_a_rank_that_gives_way_lets_its_peers_go_on() -> None:
    """Rank 0 has room for 9 tokens: A and C need 5 each when they grow, and C has to go."""
    rows: list[Row] = [(0, 4, 4), (0, 4, 4), (0, 4, 4)]
    three = pair(rows, policy="continuous", blocks=9)
    assert three.iterations[0] == ["0 A+4 C+4", "1 A", "2 A", "3 A", "4 C+5", "5 C", "6 C"]
    assert three.iterations[1] == ["0 B+4", "1 B", "2 B", "3 B"]
    assert three.column("preemptions") == [0, 0, 1]


def test_peers_wait_for_what_a_rank_swaps() -> None:
    """Half a second and one for each token: C's four go out, and come back."""
    rows: list[Row] = [(0, 4, 4), (0, 4, 4), (0, 4, 4)]
    three = pair(rows, policy="continuous", blocks=9, local="preempt = swap")
    assert three.iterations[0] == ["0 A+4 C+4", "1 A", "6.5 A", "7.5 A", "8.5 C", "14 C", "15 C"]
    assert three.iterations[1] == ["0 B+4", "1 B", "6.5 B", "7.5 B"]


def test_a_delay_of_one_rank_holds_all_up() -> None:
    local = "on iteration(batch, w) when batch.prefills > 0 and w.id == 1 { delay 5 s }"
    two = pair([(0, 4, 3), (0, 4, 1)], local=local)
    assert two.iterations == {0: ["0 A+4", "1 A", "7 A"], 1: ["0 B+4"]}


def test_a_rank_that_waits_for_others_takes_part_meanwhile() -> None:
    three = pair([(0, 4, 4), (0.25, 4, 1)], policy="continuous", local="window = 2 s")
    assert three.iterations == {0: ["2 A+4", "3 A", "4 A", "5 A"], 1: ["3 B+4"]}


# -- gangs -----------------------------------------------------------------------------------------


def test_of_four_workers_two_gangs_go_each_for_itself() -> None:
    rows: list[Row] = [(0, 2, 1), (0, 4, 1), (0, 6, 1), (0, 8, 1)]
    assert pair(rows, workers=4, cost=BY_OWN).last == [4, 4, 8, 8]


def test_ranks_may_stand_in_several_nodes() -> None:
    plan = tsdl.compile(
        """edition "2026"
cluster racks {
  network = InfiniBand_NDR
  node rack * 2 {
    worker rank * 2 { hardware = H100_SXM; link = NVLink4; parallel = ep(1, ranks = 4) }
    worker other    { hardware = H100_SXM; link = NVLink4; parallel = ep(1, ranks = 2) }
  }
  node shelf { worker other { hardware = H100_SXM; link = NVLink4 } }
}
scenario s { model = qwen3_30b_a3b; cluster = racks; workload = sharegpt(requests = 1) }
"""
    )
    engine = Engine(plan, generate(plan.workload, 0), 0)
    numbers = [[w.id for w in gang.ranks] for gang in gangs_of(engine.workers)]
    assert numbers == [[0, 1, 3, 4], [2, 5], [6]]
    assert [f.rung for f in facts_of(plan)] == ["stepped"] * 4 + ["lazy"]


def test_ranks_are_stepped_and_what_decodes_there_is_one() -> None:
    plan = plan_of(**(PAIR | {"policy": "chunked", "cost": BY_OWN}))
    (facts,) = facts_of(plan)
    assert (facts.rung, facts.reasons[0].part) == ("stepped", "parallel")
    engine = FastEngine(plan, generate(plan.workload, 0), 0)
    assert all(isinstance(worker, CohortWorker) for worker in engine.workers)


@pytest.mark.parametrize("way", ["ep", "tp"])
def test_experts_are_shared_by_all_ranks_by_tensor_parallelism_too(way: str) -> None:
    text = f"""edition "2026"
cluster c {{
  worker w * 2 {{ hardware = H100_SXM; link = NVLink4; parallel = {way}(2, ranks = 2) }}
}}
scenario s {{ model = qwen3_30b_a3b; cluster = c; workload = sharegpt(requests = 1) }}
"""
    (worker,) = tsdl.compile(text).workers
    names = [k.name for s in worker.cost.stages for k in s.kernels]
    assert "ranks_in.gather" in names
    assert (worker.devices, worker.ranks) == (2, 2)


# -- where requests go -----------------------------------------------------------------------------


def test_a_router_sees_the_load_as_it_was_told_last() -> None:
    """A waits and counts four until the load is told at 0.1 s; then it runs, and counts one."""
    rows: list[Row] = [(0, 4, 1), (0, 4, 9), (0.05, 4, 9), (0.15, 4, 9), (0.16, 4, 9)]
    five = run(
        rows,
        workers=2,
        cost="constant_cost(40 ms)",
        more="router = reported_load",
        policy="chunked",
    )
    # At 0.1 s, 0 has C alone, since A is done, and 1 has B: each counts one. D then counts four.
    assert five.column("worker") == [0, 1, 0, 0, 1]


def test_between_two_reports_requests_go_where_fewest_were_sent() -> None:
    rows: list[Row] = [(0, 4, 100), (0.15, 4, 1), (0.16, 4, 1), (0.17, 4, 1)]
    four = run(
        rows,
        workers=2,
        cost="constant_cost(1 ms)",
        more="router = reported_load(10 h)",
        policy="chunked",
    )
    assert four.column("worker") == [0, 1, 0, 1]


def test_a_plan_shows_what_experts_take(capsys: pytest.CaptureFixture[str]) -> None:
    """Its sample batches have peers with as much to do."""
    assert main(["plan", str(ROOT / "examples" / "ranks.tsim")]) == 0
    [shown] = [text for text in capsys.readouterr().out.split("\n") if "block.gate_up" in text]
    decode, prefill = (float(found) for found in re.findall(r"([\d.]+) ms", shown))
    assert prefill > decode > 0.1
