"""Many arrivals at once: where it is proved to change nothing, and nowhere else."""

from unittest.mock import patch

import pytest

import tsdl
from tests.engines import compared
from tsdl.runtime.fast.engine import FastEngine

SYSTEM = """
cluster some { worker gpu * {workers} { hardware = A100_80G; kv = {kv} } }
kvcache small from paged { blocks = 130; swap_space = 1 GiB }
kvcache tight from paged {
  footprint(r) = round_up(r.context, block) * kv_per_token + r.output / 1 token * 1 MiB
}
model short from llama2_7b { context = 300 tokens }
policy mine from continuous {
  local { {local} }
  global { {shared} }
}
workload asked {
  {requests}; arrivals = {arrivals}; prompt = uniform(1..400 tokens)
  output = uniform(1..90 tokens)
}
scenario it { model = {model}; cluster = some; policy = mine; workload = asked; {more} }
"""
IN_TURN = "on arrive(r) { dispatch r to round_robin(w for w in workers if w.prefills) }"
COUNT = 400


def plan_of(**said: str) -> tsdl.Plan:
    known = {
        "workers": "1", "kv": "paged", "local": "", "shared": "", "model": "llama2_7b",
        "more": "sample = 500 ms",
        "requests": f"requests = {COUNT}", "arrivals": "poisson(40 req/s)",
    }  # fmt: skip
    text = SYSTEM
    for name, value in (known | said).items():
        text = text.replace(f"{{{name}}}", value)
    return tsdl.compile(text)


def one_by_one(plan: tsdl.Plan) -> int:
    """Return how many requests the fast engine has arrive one by one; both engines agree."""
    arrive, count = FastEngine._arrive, 0

    def counted(engine: FastEngine, request: object) -> None:
        nonlocal count
        count += 1
        arrive(engine, request)  # type: ignore[arg-type]

    with patch.object(FastEngine, "_arrive", counted):
        plan.run()
    assert compared(plan).how == "done"
    return count


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"workers": "3"},
        {"workers": "3", "shared": IN_TURN},
        {"local": "scheduling = asynchronous; overhead = 1 ms"},
        {"local": "batching = chunked; max_tokens = 256 tokens"},
        {"local": "evict r by -r.generated; preempt = swap", "kv": "small", "model": "short"},
        {"model": "short"},
        {"workers": "2", "arrivals": "uniform(125 req/s)", "more": "timeseries = changes"},
    ],
    ids=str,
)
def test_many_arrive_at_once(said: dict[str, str]) -> None:
    assert one_by_one(plan_of(**said)) < COUNT / 2


@pytest.mark.parametrize(
    "said",
    [
        {"shared": IN_TURN.replace("on arrive(r)", "on arrive(r) when r.prompt > 0")},
        {"shared": f"{IN_TURN}\n on every(700 ms) {{ }}"},
        {"shared": "on arrive(r) { dispatch r to random(w for w in workers) }"},
        {"shared": "on arrive(r) { dispatch r to pick(w by w.queued for w in workers) }"},
        {"shared": IN_TURN.replace("w.prefills", "w.queued < 9")},
        {"shared": "on arrive(r) { let w = round_robin(w for w in workers); dispatch r to w }"},
        {"local": "on finish(r, w) { log r.id }"},
        {"requests": f"sessions = {COUNT}; turns = constant(1); think = constant(1 s)"},
        {"requests": f"requests = {COUNT}; concurrency = {COUNT}"},
        {"kv": "tight"},
        {"arrivals": "burst()"},
    ],
    ids=str,
)
def test_each_arrives_by_itself(said: dict[str, str]) -> None:
    assert one_by_one(plan_of(workers="2", **said)) == COUNT


def test_each_arrives_by_itself_where_a_limit_may_stop_the_run() -> None:
    plan, count = plan_of(), 0
    with patch.object(FastEngine, "_arrive", autospec=True, side_effect=FastEngine._arrive) as one:
        plan.run(max_seconds=1000)
        count = one.call_count
    assert count == COUNT
