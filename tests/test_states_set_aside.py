"""Memory that is set aside for states of recurrent layers, and how many run at most for it."""

import pytest

import tsdl
from tsdl.cli.heldtext import held_text
from tsdl.plan import Workers

PROGRAM = """edition "2026"
kvcache apart from paged {{ block = 1 token; reserve = 0 GB; {kv} }}
policy usual from continuous {{ local {{ max_requests = {most} }} }}
workload many {{
  requests = 60; concurrency = 60 req
  prompt = constant(200 tokens); output = constant(50 tokens)
}}
cluster one {{ worker gpu{count} {{ hardware = H200; kv = apart; parallel = {parallel} }} }}
scenario s {{ model = {model}; cluster = one; policy = usual; workload = many }}
"""
SPARSE, DENSE = "qwen3_next_80b_a3b", "llama3_1_8b"


def plan_of(
    kv: str, *, model: str = SPARSE, parallel: str = "tp(2)", most: int = 10_000, count: str = ""
) -> tsdl.Plan:
    return tsdl.compile(
        PROGRAM.format(kv=kv, model=model, parallel=parallel, most=most, count=count)
    )


def worker_of(kv: str, **others: object) -> Workers:
    (worker,) = plan_of(kv, **others).workers  # type: ignore[arg-type]
    return worker


def test_a_share_of_the_memory_is_for_states_of_so_many_requests() -> None:
    """Each takes three places; of what is set aside their states alone are part of the cache."""
    whole, apart = worker_of(""), worker_of("states = 40 %; state_places = 3")
    room, state = whole.kv.capacity, whole.kv.state
    requests = int(0.4 * room / (3 * state))
    assert (whole.kv.requests, apart.kv.requests) == (None, requests)
    assert requests > 100
    assert apart.kv.capacity == pytest.approx(0.6 * room + requests * state, rel=1e-6)
    assert (whole.local.max_requests, apart.local.max_requests) == (10_000, requests)
    assert worker_of("states = 40 %", most=5).local.max_requests == 5


def test_a_model_without_states_has_all_of_the_memory() -> None:
    found = [worker_of(kv, model=DENSE, parallel="tp(1)") for kv in ("", "states = 40 %")]
    assert found[0].kv == found[1].kv
    assert found[0].local == found[1].local


def test_where_blocks_are_given_nothing_is_set_aside() -> None:
    found = [worker_of(f"blocks = 100_000{more}") for more in ("", "; states = 40 %")]
    assert found[0].kv == found[1].kv


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_no_more_run_than_have_places(engine: str) -> None:
    """60 are sent at once, and 7 have places: the 8th begins as one of them ends."""
    share = 7.5 * worker_of("").kv.state / worker_of("").kv.capacity
    plan = plan_of(f"states = {share}; state_places = 1")
    assert plan.workers[0].kv.requests == 7
    found = plan.run(engine=engine).requests
    last, started = sorted(found["last_token"]), sorted(found["started"])
    assert all(begun >= ended for ended, begun in zip(last, started[7:], strict=False))
    assert started[6] < last[0]


def test_a_plan_tells_for_how_many() -> None:
    worker = worker_of("states = 40 %; state_places = 3")
    places = f"places for states of {worker.kv.requests} requests, "
    assert places in held_text(worker, worker.model)


def test_ranks_have_places_each_for_itself() -> None:
    (rank,) = plan_of("states = 40 %", parallel="ep(4, ranks = 4)", count=" * 4").workers
    (whole,) = plan_of("", parallel="ep(4, ranks = 4)", count=" * 4").workers
    assert rank.kv.requests == int(0.4 * whole.kv.capacity / whole.kv.state)
    assert rank.local.max_requests == rank.kv.requests
