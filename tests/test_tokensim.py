"""examples/tokensim.tsim against TokenSim's own runs, request by request (see docs/tokensim.md)."""

import csv
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import tsdl
from tests.conftest import ROOT
from tsdl.runtime.arrivals import generate
from tsdl.runtime.engine import Engine
from tsdl.runtime.result import Result
from tsdl.runtime.worker import Worker

EXAMPLE = ROOT / "examples" / "tokensim.tsim"
STATISTICS: dict[str, Callable[[np.ndarray], float]] = {
    "mean": lambda x: float(np.mean(x)),
    "p50": lambda x: float(np.percentile(x, 50)),
    "p99": lambda x: float(np.percentile(x, 99)),
}
# The bound that the agreement has to keep, and what it comes to: steps, preemptions, and in how
# many steps there were any. TokenSim has swapped in 40 steps of its run at 16 per second.
RUNS = {4: (0.5e-2, 14_788, 0, 0), 16: (2e-2, 3_053, 49, 40)}


def told(path: Path) -> dict[str, np.ndarray]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(row["done"] == "1" for row in rows)
    columns = {"ttft": "ttft_s", "e2e": "e2e_s", "tpot": "mean_tpot_s", "mtpot": "max_tbt_s"}
    return {k: np.array([float(row[name]) for row in rows]) for k, name in columns.items()}


@pytest.fixture(params=RUNS, scope="module")
def rate(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def trace_of(data: Path, rate: int) -> Path:
    path = data / "tokensim" / f"one-a100-40g-{rate}-per-s.csv"
    if not path.is_file():
        pytest.skip(f"needs {path.name}")
    return path


def run(path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Result, int]:
    """Return the result, and in how many steps somebody was swapped out."""
    steps = 0
    schedule = Worker.schedule

    def counted(worker: Worker, now: float) -> object:
        nonlocal steps
        made = schedule(worker, now)
        steps += made is not None and made.preempted
        return made

    monkeypatch.setattr(Worker, "schedule", counted)
    plan = tsdl.compile(EXAMPLE, params={"trace": str(path.resolve())})
    outcome = Engine(plan, generate(plan.workload, 0), 0).run()
    return Result(plan, 0, outcome), steps


def test_it_agrees_with_tokensim(data: Path, rate: int, monkeypatch: pytest.MonkeyPatch) -> None:
    path = trace_of(data, rate)
    bound, iterations, preemptions, swapping = RUNS[rate]
    theirs = told(path)
    result, steps = run(path, monkeypatch)
    for metric in ("ttft", "e2e"):
        for name, statistic in STATISTICS.items():
            ours, its = statistic(result.requests[metric]), statistic(theirs[metric])
            assert abs(ours / its - 1) <= bound, (metric, name, ours, its)
    (worker,) = result.summary["workers"]
    assert (worker["iterations"], worker["preemptions"], steps) == (
        iterations,
        preemptions,
        swapping,
    )


def test_it_agrees_request_by_request(
    data: Path, rate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left: TokenSim counts one latency for all victims of a step, we one for each."""
    path = trace_of(data, rate)
    theirs = told(path)
    result, steps = run(path, monkeypatch)
    saved = 10e-6 * (result.summary["workers"][0]["preemptions"] - steps)
    for metric in ("ttft", "e2e", "mtpot"):
        apart = np.abs(result.requests[metric] - theirs[metric])
        assert np.nanmax(apart) <= saved + 2e-9, metric


def test_without_its_queue_single_requests_differ(data: Path) -> None:
    """With `queue = arrival` the same system serves those that come in one step in their order."""
    path = trace_of(data, 16)
    text = EXAMPLE.read_text("utf-8")
    plain = text.replace("queue = heap", "queue = arrival")
    assert plain != text
    apart = []
    for program in (text, plain):
        plan = tsdl.compile(program, params={"trace": str(path.resolve())})
        apart.append(np.abs(plan.run().requests["ttft"] - told(path)["ttft"]))
    assert apart[0].max() < 1e-4
    late = np.flatnonzero(apart[1] > 1e-4)
    assert 0 < len(late) < 60
    assert late.min() > 900, "only where the memory was full did the order matter"


def test_its_first_step_is_that_of_the_formula() -> None:
    """One prompt of 101 tokens: the formula of TokenSim, by hand."""
    tera, d, layers = 2.0**40, 4096, 32
    weights = layers * (4 * d**2 + 3 * d * 11008)
    rows = 128 * (101 // 128) + 128
    projection = max(2 * weights * rows / (312 * tera), 2 * weights / (1.555 * tera))
    attention = 4 * 101**2 * d * layers / (312 * tera)
    first = (projection + attention) * 1.41 + 9e-3
    decode = (2 * weights / (1.555 * tera) + 4 * 102 * d * layers / (1.555 * tera)) / 0.55
    text = re.sub(
        r"workload tokensim_requests \{.*?\n\}",
        "workload tokensim_requests { requests = 1; arrivals = burst(); "
        "prompt = constant(101 tokens); output = constant(2 tokens) }",
        EXAMPLE.read_text("utf-8"),
        flags=re.DOTALL,
    )
    result = tsdl.compile(text).run()
    assert result.requests["ttft"][0] == pytest.approx(first, rel=1e-12)
    assert result.requests["e2e"][0] == pytest.approx(first + decode, rel=1e-12)
