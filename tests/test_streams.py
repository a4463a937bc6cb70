"""Streams of random numbers: each purpose and seed has its own, and nothing else changes them."""

import numpy as np
import pytest

import tsdl
from tests.drawn_requests import FILE, MANY, STEP, drawn
from tsdl.runtime.arrivals import Arrivals
from tsdl.runtime.streams import stream

USUAL = {
    "arrivals": "poisson(50 req/s)",
    "prompt": "lognormal(mean = 300 tokens, sigma = 1)",
    "output": "choice(1 tokens: 1, exponential(mean = 90 tokens): 3)",
    "more": "requests = 3000; correlation = 0.4",
}
OTHERS = {
    "arrivals": "gamma(9 req/s, cv = 2)",
    "prompt": "choice(uniform(1..9 tokens): 1, 5 tokens: 1)",
    "output": "quantiles([1, 5, 900] tokens)",
}
COLUMNS = {"arrivals": "arrived", "prompt": "prompt", "output": "output"}

RAW = [8051068133138486332, 132461034152668935]


def columns(found: Arrivals) -> dict[str, list[float]]:
    return {name: getattr(found, name).tolist() for name in COLUMNS.values()}


@pytest.mark.parametrize("changed", OTHERS)
def test_changing_one_purpose_leaves_the_others_alone(changed: str) -> None:
    before = columns(drawn(**USUAL))
    after = columns(drawn(**(USUAL | {changed: OTHERS[changed]})))
    same = {name for name in before if before[name] == after[name]}
    assert same == set(COLUMNS.values()) - {COLUMNS[changed]}


def test_changing_the_policy_leaves_the_workload_alone() -> None:
    text = FILE.format(
        text="requests = 50; arrivals = poisson(900 req/s); prompt = uniform(1..99 tokens);"
        " output = uniform(1..9 tokens)",
        name="own",
    ).replace("worker gpu {", "worker gpu * 3 {")
    kept = ("arrived", "prompt", "output")
    runs = [
        tsdl.compile(text.replace("model = endless", f"model = endless; policy = {policy}")).run(4)
        for policy in ("round_robin", "random", "chunked")
    ]
    for name in kept:
        assert len({run.requests[name].tobytes() for run in runs}) == 1
    assert runs[0].requests["worker"].tolist() != runs[1].requests["worker"].tolist()


def test_a_longer_run_begins_with_the_same_requests() -> None:
    short = columns(drawn(**USUAL))
    long = columns(drawn(**(USUAL | {"more": "requests = 7000; correlation = 0.4"})))
    assert all(long[name][:3000] == short[name] for name in short)


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others() -> None:
    assert columns(drawn(**USUAL, seed="5")) == columns(drawn(**USUAL, seed="5"))
    one, other = columns(drawn(**USUAL, seed="5")), columns(drawn(**USUAL, seed="6"))
    assert all(one[name] != other[name] for name in one)


def test_streams_are_independent_across_purposes_and_seeds() -> None:
    names = ("arrivals", "prompt", "output", "lengths", "dispatch", "prompt.choice")
    rows = [stream(seed, name).standard_normal(MANY) for seed in (0, 1) for name in names]
    matrix = np.corrcoef(rows) - np.eye(len(rows))
    assert np.abs(matrix).max() < STEP


def test_the_numbers_of_a_stream_are_kept_from_version_to_version() -> None:
    """Raw numbers: numpy promises them for ever, other than what it makes of them."""
    raw = stream(0, "arrivals").bit_generator.random_raw(2)
    assert [int(number) for number in raw] == RAW


def test_a_choice_within_another_draws_for_those_alone_that_took_it() -> None:
    """As SPEC.md, section 8.8, says it: from a stream of its own, in the order of the requests."""
    inner = "choice(3 tokens: 1, 4 tokens: 1)"
    found = drawn(prompt=f"choice(1 tokens: 1, {inner}: 1)", more="requests = 1000").prompt
    took = stream(0, "prompt.choice").random(1000) >= 0.5
    within = stream(0, "prompt.choice.1.choice").random(int(took.sum())) >= 0.5
    expected = np.ones(1000)
    expected[took] = np.where(within, 4, 3)
    assert found.tolist() == expected.tolist()
