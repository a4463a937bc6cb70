"""Workloads of which only so many requests are open at a time."""

import math

import numpy as np
import pytest

import tsdl

LOOP = """
workload loop {{ requests = {}; concurrency = {}; {}
  prompt = lognormal(mean = 200 tokens, sigma = 1, max = 2000 tokens)
  output = lognormal(mean = 50 tokens, sigma = 1, max = 500 tokens)
}}
scenario it {{
  model = llama2_7b; cluster = replicas(A100_80G, 2); policy = {}; router = least_loaded
  workload = loop
}}
"""


def run(requests: int, users: int, more: str = "", policy: str = "vllm") -> tsdl.Result:
    return tsdl.compile(LOOP.format(requests, users, more, policy)).run()


def most_open(result: tsdl.Result) -> int:
    """Return how many requests were open at one time, those that end then not counted."""
    begun, ended = result.requests["arrived"], result.requests["last_token"]
    changes = sorted([(t, 1) for t in begun] + [(t, -1) for t in ended])
    return int(np.cumsum([change for _, change in changes]).max())


@pytest.mark.parametrize("policy", ["vllm", "continuous", "static"])
@pytest.mark.parametrize("users", [1, 7, 300])
def test_so_many_are_open_and_no_more(users: int, policy: str) -> None:
    result = run(200, users, policy=policy)
    assert result.summary["requests"]["finished"] == 200
    assert most_open(result) == min(users, 200)


@pytest.mark.parametrize("think", [0.0, 1.5])
def test_the_interactive_response_time_law_holds(think: float) -> None:
    """Users are the rate times how long a request and the thinking take (Little's law)."""
    result = run(3000, 12, f"think = constant({think} s)")
    e2e = result.summary["latency"]["e2e"]["mean"]
    users = result.summary["throughput"] * (e2e + think)
    assert users == pytest.approx(12, rel=0.03)


def test_one_user_waits_for_each_answer() -> None:
    result = run(50, 1, "think = constant(250 ms)")
    arrived, ended = result.requests["arrived"], result.requests["last_token"]
    assert np.allclose(arrived[1:], ended[:-1] + 0.25, rtol=0, atol=1e-9)


def test_nobody_comes_before_his_time() -> None:
    """A loop that is never full is an open one."""
    arrivals = "arrivals = poisson(2 req/s)"
    loop, free = run(100, 90, arrivals), run(100, 100, arrivals)
    assert np.array_equal(loop.requests["arrived"], free.requests["arrived"])
    tight = run(100, 2, arrivals)
    assert (np.sort(tight.requests["arrived"]) >= free.requests["arrived"]).all()
    assert most_open(tight) == 2


def test_who_is_rejected_makes_room() -> None:
    text = LOOP.format(60, 3, "warmup = 1 s;", "vllm").replace(
        "sigma = 1, max = 2000", "sigma = 2, max = 2000"
    )
    result = tsdl.compile(text.replace("model = llama2_7b", "model = small") + SMALL).run()
    requests = result.summary["requests"]
    assert requests["rejected"] > 0
    assert requests["arrived"] + requests["warmup"] == 60
    assert not requests["unfinished"]


SMALL = "model small from llama2_7b { context = 600 tokens }"


def test_a_trace_is_replayed_in_a_loop(tmp_path: object) -> None:
    text = LOOP.format(20, 4, "", "vllm")
    result = tsdl.compile(text).run()
    told = [f"{t},{p},{o}" for t, p, o in zip(
        *(result.requests[name] for name in ("arrived", "prompt", "output")), strict=True
    )]  # fmt: skip
    trace = "arrived_at,num_prefill_tokens,num_decode_tokens\n" + "\n".join(told)
    again = tsdl.compile(
        'workload again { trace = "trace.csv"; concurrency = 4 }\n'
        "scenario it { model = llama2_7b; cluster = replicas(A100_80G, 2); policy = vllm\n"
        "  router = least_loaded; workload = again }",
        files={"trace.csv": trace},
    ).run()
    assert most_open(again) <= 4
    assert math.isclose(again.summary["makespan"], result.summary["makespan"], rel_tol=0.05)


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ("concurrency = 4; duration = 10 s", "E0520"),
        ("requests = 10; concurrency = 0", "E0503"),
        ("sessions = 4; turns = constant(2); arrivals = burst(); concurrency = 2", "E0521"),
    ],
)
def test_what_is_no_loop_is_told(members: str, code: str) -> None:
    text = (
        f"workload odd {{ {members}; prompt = constant(9 tokens); output = constant(9 tokens) }}\n"
        "scenario it { model = llama2_7b; cluster = single(A100_80G); workload = odd }"
    )
    assert code in [d.code for d in tsdl.check(text)]
