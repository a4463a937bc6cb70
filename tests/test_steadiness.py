"""Runs whose requests pile up are told, and few that are steady."""

from typing import Any

import numpy as np
import pytest

import tsdl

TEXT = """edition "2026"
param rate = 1 req/s
workload some {{
  requests = {requests}; arrivals = {arrivals}; warmup = {warmup} s
  prompt = constant(1 tokens); output = constant({output} tokens)
}}
cluster one {{ worker gpu {{ hardware = A100_80G; cost = constant_cost(1 s) }} }}
policy queue from chunked {{
  local {{ max_requests = {slots} }}
  {router}
}}
scenario it {{ model = llama2_7b; cluster = one; policy = queue; workload = some; {more} }}
study load {{ scenario = it; vary rate in [0.5, 1.5] req/s; table mean(e2e) }}
"""
USUAL: dict[str, object] = {
    "requests": 200, "arrivals": "poisson(rate)", "warmup": 0, "output": 1, "slots": 1,
    "router": "", "more": "",
}  # fmt: skip
SHEDDING = """global { on arrive(r) {
    if mod(r.id, 2) == 1 { reject r } else { dispatch r to pick(w by w.id for w in workers) }
  } }"""


def run(rate: float, seed: int = 0, engine: str = "fast", **given: object) -> tsdl.Result:
    """Run a queue that serves one a second, or what is given."""
    text = TEXT.format(**(USUAL | given))
    return tsdl.compile(text, params={"rate": f"{rate} req/s"}).run(seed, engine)


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_more_than_can_be_served_pile_up(engine: str) -> None:
    result = run(1.5, engine=engine)
    assert result.steady is False
    assert result.summary["steady"] is False
    (warning,) = result.warnings
    assert warning.code == "W0902"


def test_those_that_can_be_served_do_not() -> None:
    result = run(0.5)
    assert result.steady is True
    assert not result.warnings


def test_the_numbers_are_those_of_a_queue() -> None:
    """Every half a second one comes, every second one goes.

    Number i comes at i / 2 s, when half of those before it are gone.
    """
    (warning,) = run(2, requests=800, arrivals="uniform(rate)").warnings
    words = warning.notes[-1].replace(",", "").split()
    late, early = (float(word) for word in words if word[0].isdigit())
    found = [i + 1 - i // 2 for i in range(800)]
    assert late == pytest.approx(np.mean(found[600:]), abs=0.6)
    assert early == pytest.approx(np.mean(found[100:400]), abs=0.6)


def test_few_are_wrongly_told_of_steady_runs() -> None:
    """At 60 % of what a queue can do; by the definition it is one in seventy by chance."""
    wrong = sum(run(0.6, seed, requests=2000).steady is False for seed in range(60))
    assert wrong <= 4


@pytest.mark.parametrize(
    ("output", "rate", "requests", "warmup"), [(60, 0.5, 160, 70), (30, 1, 200, 40)]
)
def test_requests_as_long_as_a_part_are_no_growth(
    output: int, rate: float, requests: int, warmup: int
) -> None:
    """What is open early is open late: without that one run in fifteen to twenty was told of."""
    long: dict[str, Any] = {"output": output, "requests": requests, "warmup": warmup, "slots": 500}
    assert sum(run(rate, seed, **long).steady is False for seed in range(40)) <= 1


def test_more_than_can_be_served_is_told_in_most_runs() -> None:
    for rate, requests, fewest in ((1.3, 200, 17), (1.1, 1000, 17), (1.5, 100, 20)):
        assert sum(run(rate, s, requests=requests).steady is False for s in range(20)) >= fewest


def test_a_warmup_takes_away_what_it_takes_to_fill() -> None:
    """An answer takes 100 s: until then some come and none goes, and from then on as many."""
    filling: dict[str, Any] = {
        "requests": 400, "arrivals": "uniform(rate)", "output": 100, "slots": 500,
    }  # fmt: skip
    assert run(2, **filling).steady is False
    assert run(2, **filling, warmup=130).steady is True


def test_who_is_not_answered_at_the_end_is_open() -> None:
    result = run(1.5, more="until = 100 s")
    assert result.summary["requests"]["unfinished"] > 0
    assert result.steady is False


def test_who_is_rejected_is_not_open() -> None:
    result = run(1.4, router=SHEDDING)
    assert result.summary["requests"]["rejected"] == 100
    assert result.steady is True


@pytest.mark.parametrize(
    "arrivals",
    [
        "burst(size = 10, every = 5 s)",
        "on_off(rate = 4 req/s, on = 5 s, off = 10 s)",
    ],
)
def test_of_loads_that_are_not_steady_nothing_is_said(arrivals: str) -> None:
    result = run(1.5, arrivals=arrivals)
    assert result.steady is None
    assert not result.warnings


def test_of_closed_loops_nothing_is_said() -> None:
    text = TEXT.format(**USUAL).replace("arrivals = poisson(rate)", "concurrency = 50")
    assert tsdl.compile(text).run().steady is None


def test_of_conversations_nothing_is_said() -> None:
    text = TEXT.format(**USUAL).replace("requests = 200", "sessions = 100; turns = constant(3)")
    assert tsdl.compile(text).run().steady is None


def test_a_warmup_does_not_hide_what_goes_on_to_pile_up() -> None:
    assert run(1.5, requests=400, arrivals="uniform(rate)", warmup=150).steady is False


def test_of_few_requests_nothing_is_said() -> None:
    assert run(3, requests=79).steady is None
    assert run(3, requests=80).steady is False


def test_a_study_says_it_of_its_points() -> None:
    answer = tsdl.study(TEXT.format(**USUAL), "load", jobs=1)
    assert ["W0902" in " ".join(row.notes) for row in answer.rows] == [False, True]


# -- long enough -------------------------------------------------------------------------------


def codes(result: tsdl.Result) -> list[str]:
    return [warning.code for warning in result.warnings]


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_a_run_in_which_nobody_counts_is_told(engine: str) -> None:
    result = run(5, engine=engine, warmup=1000)
    assert codes(result) == ["W0903"]
    assert result.warnings[0].title == "no request counts: all 200 arrive within the warm-up"
    assert result.summary["requests"]["finished"] == 0


@pytest.mark.parametrize(("warmup", "told"), [(0, False), (11, False), (14, True), (15.5, True)])
def test_counted_requests_arrive_for_longer_than_one_takes(warmup: float, *, told: bool) -> None:
    """80 come in 16 s, five a second, and each takes 4 s: those of the last 5 are enough."""
    result = run(5, warmup=warmup, requests=80, arrivals="uniform(rate)", output=4, slots=100)
    assert ("W0903" in codes(result)) == told


@pytest.mark.parametrize(
    "arrivals", ["burst(size = 200 req)", "burst(size = 100 req, every = 15.5 s)"]
)
def test_of_bursts_only_that_nobody_counts_is_told(arrivals: str) -> None:
    result = run(5, arrivals=arrivals, warmup=15, slots=100)
    assert codes(result) == (["W0903"] if "every" not in arrivals else [])


def test_a_run_to_which_nobody_comes_is_told() -> None:
    nobody = tsdl.compile(
        "workload w { duration = 1 s; arrivals = poisson(1e-9 req/s); prompt = constant(9 tokens)\n"
        "output = constant(2 tokens) }\n"
        "scenario s { model = llama2_7b; cluster = single(A100_80G); workload = w }"
    ).run()
    assert [(w.code, w.title) for w in nobody.warnings] == [("W0903", "no request arrives")]


SEARCH = """
study most {{ scenario = it; maximize rate in 0.5..3 step 0.5 req/s while {condition}; table rate }}
"""


def found(condition: str) -> float:
    text = TEXT.format(**(USUAL | {"requests": 400})) + SEARCH.format(condition=condition)
    answer = tsdl.study(text, name="most")
    return answer.rows[0].figures["rate"].mean


def test_a_search_may_ask_for_steady_runs() -> None:
    lenient = "finished >= 1 req"
    assert found(lenient) == 3.0
    assert found(f"{lenient} and steady") <= 1.0  # which it can just serve


def test_it_can_be_expected() -> None:
    for rate, passes in ((0.5, True), (1.5, False)):
        result = run(rate, more="expect steady\n  expect steady and finished >= 1 req")
        assert [e.passed for e in result.expectations] == [passes, passes]
    closed = run(1.5, arrivals="burst()", more="expect steady")
    assert closed.steady is None
    assert closed.passed  # nothing says that it is not
