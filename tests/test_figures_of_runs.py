"""The figures of a run, worked out by hand: latencies of requests, and the summary without warm-up.

The notation is that of by_hand.py.
"""

from math import isnan

import numpy as np
import pytest

import tsdl
from tests.by_hand import run


def test_one_token_has_a_ttft_and_no_tpot() -> None:
    two = run([(0, 8, 1), (0, 8, 3)])
    assert two.column("ttft") == [1, 1]
    assert isnan(two.column("tpot")[0])
    assert isnan(two.column("mtpot")[0])
    assert two.column("tpot")[1] == 1
    assert two.result.summary["latency"]["tpot"]["mean"] == 1
    assert two.result.summary["latency"]["itl"]["mean"] == 1


def test_queueing_ends_with_the_first_iteration_that_holds_the_request() -> None:
    two = run([(0, 8, 1), (0.25, 8, 1)], local="max_requests = 1")
    assert two.column("queue") == [0, 0.75]
    assert two.column("ttft") == [1, 1.75]


def test_the_warm_up_is_simulated_but_not_counted() -> None:
    """B arrives at its very end and counts; the makespan begins with B."""
    three = run([(0, 8, 3), (1, 8, 2), (1.5, 8, 1)], warmup=1, policy="chunked")
    assert three.iterations[0] == ["0 A+8", "1 B+8 A", "2 C+8 A B"]
    summary = three.result.summary
    assert (summary["requests"]["arrived"], summary["requests"]["warmup"]) == (2, 1)
    assert summary["makespan"] == 2
    assert summary["throughput"] == 1
    assert summary["token_throughput"] == 1.5
    assert summary["total_token_throughput"] == (8 + 2 + 8 + 1) / 2
    assert summary["token_throughput_per_device"] == 1.5
    assert summary["latency"]["ttft"]["mean"] == (1 + 1.5) / 2
    assert summary["latency"]["itl"]["max"] == 1
    assert summary["utilization"] == 1  # of the whole run


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_gaps_are_of_the_turns_that_arrive_after_the_warm_up(engine: str) -> None:
    """Whenever their conversations began."""
    result = tsdl.compile("""
      workload w {
        sessions = 40; turns = uniform(1..5); think = exponential(mean = 2 s)
        arrivals = poisson(4 req/s); warmup = 6 s
        prompt = uniform(10..400 tokens); output = uniform(1..60 tokens)
      }
      scenario s {
        model = llama2_7b; cluster = single(A100_80G); policy = chunked; workload = w
        expect mean(itl) > 0 s
      }
    """).run(engine=engine)
    found = result.requests
    late = found["arrived"] >= 6
    assert (late & (found["turn"] > 0)).any()
    assert (~late).any()
    spans = (found["last_token"] - found["first_token"])[late].sum()
    gaps = (found["generated"] - 1)[late].sum()
    assert result.expectations[0].value == pytest.approx(spans / gaps)
    assert result.summary["latency"]["itl"]["max"] == np.nanmax(found["mtpot"][late])


def test_a_run_without_counted_requests_has_no_figures() -> None:
    summary = run([(0, 8, 1)], warmup=9).result.summary
    assert summary["requests"]["warmup"] == 1
    assert summary["throughput"] is None
    assert summary["latency"]["ttft"]["p99"] is None
