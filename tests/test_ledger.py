"""Requests built as they arrive, what is written of them, and sums that are exact."""

import gc
import math
import pickle
from array import array
from collections import Counter

import numpy as np
import pytest

import tsdl
from tsdl.runtime.arrivals import Arrivals, generate
from tsdl.runtime.columns import NAMES, Requests
from tsdl.runtime.engine import Engine
from tsdl.runtime.gaps import weighted
from tsdl.runtime.ledger import Ledger
from tsdl.runtime.metrics import percentile, statistics
from tsdl.runtime.request import FINISHED, REJECTED, Request
from tsdl.runtime.sessions import Sessions
from tsdl.runtime.sums import exact_sum

TALK = Arrivals(
    np.array([1.0, 1.0, 1.0, 2.0, 3.0, 3.0]),
    np.array([10, 20, 30, 40, 50, 60]),
    np.array([1, 2, 3, 4, 5, 6]),
    turns=np.array([3, 1, 2]),
    think=np.array([0.5, 0.25, 0.0, 0.0, 1.0, 0.0]),
)


# -- requests ----------------------------------------------------------------------------------


def test_a_turn_is_built_from_the_one_before_it() -> None:
    sessions = Sessions(TALK, warmup=2)
    first = list(sessions.first())
    assert (len(sessions), sessions.count, sessions.span) == (6, 3, 2)
    assert [(r.arrived, r.prompt, r.counted, r.think) for r in first] == [
        (1, 10, False, 0.5),
        (2, 40, True, 0),
        (3, 50, True, 1),
    ]
    turn = sessions.after(first[0], 0.25)
    assert (turn.prompt, turn.history, turn.output, turn.turn, turn.session) == (31, 11, 2, 1, 0)
    assert (turn.think, turn.counted, sessions.left(turn)) == (0.25, False, 1)
    last = sessions.after(turn, 2.5)
    assert (last.prompt, last.history, last.counted, sessions.left(last)) == (63, 33, True, 0)
    assert sessions.left(first[1]) == 0


def test_columns_of_turns_are_those_of_their_requests() -> None:
    sessions = Sessions(TALK, warmup=0)
    ledger = Ledger(sessions)
    one, other, third = sessions.first()
    following = sessions.after(one, 2.5)
    following.status, following.preemptions = REJECTED, 2
    arrived = [one, other, following, third]
    for request in arrived:
        ledger.open(request)
    ledger.close(following)
    assert list(ledger.live) == [0, 1, 3]
    ledger.end()
    columns = Requests(ledger)
    assert tuple(columns) == NAMES
    for name in ("id", "arrived", "prompt", "output", "session", "turn", "preemptions", "worker"):
        assert columns[name].tolist() == [getattr(r, name) for r in arrived]
        assert columns.part(name, slice(1, 3)).tolist() == columns[name].tolist()[1:3]
        assert columns[name].dtype == (np.float64 if name == "arrived" else np.int64)
    assert columns["status"].tolist() == ["unfinished", "unfinished", "rejected", "unfinished"]
    assert "tokens" not in columns


def test_what_changes_after_the_end_is_written() -> None:
    sessions = Sessions(TALK, warmup=0)
    ledger = Ledger(sessions)
    request = next(sessions.first())
    ledger.open(request)
    request.status, request.busy = FINISHED, True
    ledger.close(request)
    request.moved, request.busy = 7, False
    ledger.end()
    assert Requests(ledger)["transferred"].tolist() == [7]


def test_the_closed_are_let_go_once_their_actions_have_ended() -> None:
    count = 5000
    tokens = np.ones(count, dtype=np.int64)
    ledger = Ledger(Sessions(Arrivals(np.zeros(count), tokens, tokens), warmup=0))
    moving: list[Request] = []
    for request in ledger.sessions.first():
        ledger.open(request)
        request.status, request.busy = FINISHED, True
        ledger.close(request)
        moving.append(request)
        if len(moving) > 10:
            ended = moving.pop(0)
            ended.busy, ended.moved = False, ended.id
    assert len(ledger._late) < 2000
    ledger.end()
    assert Requests(ledger)["transferred"].tolist() == [*range(count - 10), *[0] * 10]


SYSTEM = """edition "2026"
cluster one { worker gpu * 2 { hardware = A100_80G; cost = constant_cost(1 ms) } }
workload some {
  sessions = 300; turns = uniform(1..4); think = exponential(mean = 10 ms)
  arrivals = poisson(5000 req/s); prompt = constant(8 tokens); output = uniform(1..4 tokens)
}
scenario it { model = llama2_7b; cluster = one; workload = some }
"""


def test_a_run_keeps_no_closed_request() -> None:
    def alive() -> int:
        gc.collect()
        return sum(type(thing) is Request for thing in gc.get_objects())

    before = alive()
    plan = tsdl.compile(SYSTEM)
    engine = Engine(plan, generate(plan.workload, 0), 0)
    outcome = engine.run()
    assert outcome.requests.count == outcome.requests.status.count(1) > 500
    assert alive() - before <= 2  # a generator has yielded it, a worker chosen it


def test_a_result_can_be_pickled() -> None:
    """With some unfinished, of which nothing but their row is kept."""
    result = tsdl.compile(
        SYSTEM.replace("workload = some }", "workload = some; until = 20 ms }")
    ).run()
    assert 0 < result.summary["requests"]["unfinished"] < result.columns.count
    again = pickle.loads(pickle.dumps(result))
    assert again.summary == result.summary
    assert all((again.requests[name] == result.requests[name]).all() for name in ("id", "status"))


# -- figures -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_a_sum_is_that_of_fsum(seed: int) -> None:
    random = np.random.default_rng(seed)
    size = int(random.integers(1, 60_000))
    values = random.normal(0, 1, size) * 10.0 ** random.integers(-320, 300, size)
    if seed % 2:
        values = random.lognormal(0, 2, size)
    counts = random.integers(0, 1000, size).astype(np.int32)
    assert exact_sum(values) == math.fsum(values.tolist())
    assert exact_sum(values, counts) == math.fsum((values * counts).tolist())
    assert exact_sum(np.concatenate((values, -values[::-1]))) == 0


def test_a_sum_of_what_is_not_finite_is_that_of_fsum() -> None:
    values = np.ones(1000)
    values[3] = math.inf
    assert exact_sum(values) == math.inf
    values[3] = 5e-324
    assert exact_sum(values) == math.fsum(values.tolist())


@pytest.mark.parametrize("distinct", [1, 7, 70_000, 10**9])
def test_gaps_are_merged_by_length(distinct: int) -> None:
    random = np.random.default_rng(distinct)
    length = array("d", (random.integers(0, distinct, 200_000) / 1024).tolist())
    count = array("i", random.integers(1, 100, 200_000).tolist())
    expected: Counter[float] = Counter()
    for value, times in zip(length, count, strict=True):
        expected[value] += times
    weighted(length, count)  # leaves them in order, as good as they were
    found = weighted(length, count)
    assert found.values.tolist() == sorted(expected)
    assert found.counts.tolist() == [expected[value] for value in sorted(expected)]
    expanded = np.repeat(found.values, found.counts)
    percents = (0, 50, 99, 99.99, 100)
    told = statistics(found, percents)
    assert told[0] == pytest.approx(expanded.mean())
    assert told[1:] == pytest.approx(np.percentile(expanded, percents).tolist())


def test_gaps_may_be_more_than_a_small_number_holds() -> None:
    found = weighted(array("d", [0.5, 0.25, 0.5]), array("i", [2**31 - 1] * 3))
    assert (found.values.tolist(), found.counts.tolist()) == ([0.25, 0.5], [2**31 - 1, 2**32 - 2])
    assert percentile(found, 25) == 0.25
    assert len(weighted(array("d"), array("i"))) == 0


def test_all_percentiles_at_once_are_each() -> None:
    values = np.random.default_rng(3).lognormal(0, 3, 4001)
    expected = [math.fsum(values) / len(values), *(np.percentile(values, p) for p in (50, 99, 100))]
    assert statistics(np.append(values, math.nan), (50, 99, 100)) == expected
