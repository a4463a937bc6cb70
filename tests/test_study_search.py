"""Searches: that they find the edge, say where it is not one, and try few values."""

import math
import re
from collections.abc import Callable

import pytest

import tsdl
from tests.test_studies import PARTS, asked
from tsdl.studies.search import Bracket, bracket


def answered(values: list[float], answer: Callable[[float], bool | None]) -> Bracket:
    """Search where a condition holds at a value, or not, or where it cannot be run (None)."""
    trial, tried = bracket(values), []
    try:
        value = next(trial)
        while True:
            tried.append(value)
            value = trial.send(answer(value))
    except StopIteration as end:
        assert len(tried) == len(set(tried))
        return end.value  # type: ignore[no-any-return]


def searched(values: list[float], holds: set[int], lacking: int = 0) -> Bracket:
    """Search where a condition holds at some values, and the first so many cannot be run."""
    places = {value: place for place, value in enumerate(values)}
    return answered(values, lambda v: None if places[v] < lacking else places[v] in holds)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 31, 64, 245])
def test_a_search_finds_every_edge(count: int) -> None:
    values = [float(i) for i in range(count)]
    for edge in range(count + 1):
        found = searched(values, set(range(edge)))
        assert found.found == (values[edge - 1] if edge else None)
        assert found.beyond == (values[edge] if edge < count else None)
        assert found.odd is None
        assert len(found.tried) <= 2 + math.ceil(math.log2(max(count - 1, 1))) + 2
        assert len({v for v, _ in found.tried}) == len(found.tried)


def test_a_search_notices_that_a_condition_is_not_monotone() -> None:
    values = [float(i) for i in range(65)]
    good = set(range(20)) | {42}
    found = searched(values, good)  # it holds again in the middle of the bad side
    assert (found.found, found.odd) == (19, 42)
    found = searched(values, set(range(40)) - {19})
    assert (found.found, found.odd) == (39, 19)
    assert searched(values, {10}).found is None  # nowhere that it looks
    island = searched(values, set(range(30, 40)))  # it fails at the beginning, and holds later
    assert island.found == 39
    assert island.odd in (0, 19)  # either tells that it is not monotone
    rising = searched(values, set(range(30, 65)))  # the condition is the wrong way round
    assert (rising.found, rising.beyond, rising.odd) == (64, None, 0)


@pytest.mark.parametrize("lacking", [1, 2, 3, 7, 20, 64])
def test_values_that_cannot_be_run_are_left_out_at_the_beginning(lacking: int) -> None:
    values = [float(i) for i in range(65)]
    for edge in range(lacking + 1, 66, 5):
        found = searched(values, set(range(edge)), lacking)
        assert (found.found, found.odd) == (edge - 1, None)
        assert all(value >= lacking for value, _ in found.tried)


@pytest.mark.parametrize("kept", [(8, 4, 2, 1), (8, 1), (7, 6, 2), (8, 7, 6, 5, 4, 3, 2, 1), (3,)])
def test_values_that_cannot_be_run_are_left_out_between_others(kept: tuple[int, ...]) -> None:
    values = [float(value) for value in range(8, 0, -1)]
    for least in kept:

        def answer(value: float, least: int = least) -> bool | None:
            return value >= least if value in kept else None

        found = answered(values, answer)
        assert (found.found, found.odd) == (least, None)


@pytest.mark.parametrize("heads", [8, 12, 40, 64, 96, 128])
def test_degrees_that_do_not_divide_are_passed_over_in_any_range(heads: int) -> None:
    for high in (2, 5, 6, 8, 10, 12, 31, 64):
        kept = [float(n) for n in range(1, high + 1) if heads % n == 0]
        values = [float(n) for n in range(high, 0, -1)]
        for least in kept:
            found = answered(values, lambda v, a=least, k=kept: v >= a if v in k else None)  # type: ignore[misc]
            assert (found.found, found.odd) == (least, None), (high, least)
        none = answered(values, lambda v, k=kept: False if v in k else None)  # type: ignore[misc]
        assert none.found is None


def test_a_search_is_of_the_runs_that_it_stands_for() -> None:
    answer = asked("""
study s {
  scenario = one
  vary gpus in [1, 2]
  maximize qps in 1..2000 step 1 req/s while attainment >= 90 %
  table qps, attainment, throughput
}""")
    for row, gpus in zip(answer.rows, (1, 2), strict=True):
        (unit,) = row.units
        assert unit.bracket is not None
        assert unit.bracket.found is not None
        assert unit.bracket.beyond == unit.bracket.found + 1
        for qps, holds in ((unit.bracket.found, True), (unit.bracket.beyond, False)):
            plan = tsdl.compile(PARTS, params={"qps": f"{qps} req/s", "gpus": gpus})
            assert (plan.run().summary["attainment"] >= 0.9) is holds
        assert row.figures["qps"].mean == unit.bracket.found
    one, two = (row.figures["qps"].mean for row in answer.rows)
    assert two > one


def test_a_search_says_that_it_ends_where_no_request_counts() -> None:
    source = """
param rate = 8 req/s
workload few from sharegpt(rate = rate) { requests = 100; warmup = WARMUP }
scenario one { model = llama2_7b; cluster = single(H100_SXM); workload = few; slo = chatbot }
study s {
  scenario = one
  maximize rate in 1..64 step 1 req/s while attainment >= 0 %
  table rate
}"""
    (row,) = tsdl.study(source.replace("WARMUP", "5 s"), jobs=1).rows
    (unit,) = row.units
    assert unit.bracket is not None
    assert unit.bracket.beyond is not None  # it is not the condition that fails there
    assert f"ends where no request counts, at {unit.bracket.beyond:g} req/s" in row.notes
    (row,) = tsdl.study(source.replace("WARMUP", "0 s"), jobs=1).rows
    assert not any("no request counts" in note for note in row.notes)


def test_the_least_value_is_searched_for_as_well() -> None:
    answer = asked("""
study s {
  scenario = one
  vary qps in [20, 200, 5000] req/s
  minimize gpus in 1..8 while p99(ttft) <= 40 ms
  table gpus, p99(ttft)
  expect gpus >= 1
}""")
    few, more = (row.figures["gpus"].mean for row in answer.rows[:2])
    assert 1 <= few <= more <= 8
    for row in answer.rows[:2]:
        assert row.figures["p99(ttft)"].mean <= 0.04
    assert answer.rows[2].status == "none"
    assert not answer.passed  # nothing was found there


def test_each_seed_has_its_own_search() -> None:
    answer = asked("""
study s {
  scenario = one
  maximize qps in 1..200 req/s while attainment >= 90 %
  replicate 3
  table qps
}""")
    (row,) = answer.rows
    found = [unit.bracket.found for unit in row.units if unit.bracket]
    assert row.figures["qps"].each == tuple(found)
    assert len(found) == 3


def test_a_search_that_holds_everywhere_says_so() -> None:
    answer = asked(
        "study s { scenario = one; maximize qps in 1..2 req/s while finished > 0; table qps }"
    )
    assert answer.rows[0].figures["qps"].mean == 2
    assert answer.rows[0].notes == ["holds even at 2 req/s, an end of the range"]


def test_a_search_for_the_least_value_may_end_at_the_first() -> None:
    answer = asked(
        "study s { scenario = one; minimize gpus in 1..3 while finished > 0; table gpus }"
    )
    assert answer.rows[0].figures["gpus"].mean == 1
    assert answer.rows[0].notes == ["holds even at 1, an end of the range"]


def test_values_that_cannot_be_run_fail_the_condition() -> None:
    answer = asked("""
param deep: int = 32
model tall from llama2_7b { layers = deep }
scenario two from one { model = tall }
study s { scenario = two; maximize deep in 32..400 step 8 while finished == 60; table deep }
study t { scenario = two; maximize deep in 300..400 step 8 while finished == 60; table deep }
""", "s")  # fmt: skip
    assert 100 < answer.rows[0].figures["deep"].mean < 300
    none = asked("""
param deep: int = 32
model tall from llama2_7b { layers = deep }
scenario two from one { model = tall }
study t { scenario = two; maximize deep in 300..400 step 8 while finished == 60; table deep }
""")
    assert none.rows[0].status == "infeasible"
    assert none.rows[0].reason.startswith("E0511")


def test_a_condition_compares_the_mean_of_what_was_searched_for() -> None:
    answer = asked("""
study s {
  scenario = one
  maximize qps in 1..2000 step 1 req/s while attainment >= 90 %
  replicate 3
  table throughput
  expect qps > 1 req/s
}""")
    found = answer.rows[0].figures["qps"]  # told although the table does not say it
    assert len(set(found.each)) > 1
    middle = found.mean
    assert min(found.each) < middle - 1
    for bound, passed in ((middle - 0.5, True), (middle + 0.5, False)):
        judged = asked(f"""
study s {{
  scenario = one
  maximize qps in 1..2000 step 1 req/s while attainment >= 90 %
  replicate 3
  table throughput
  expect qps > {bound} req/s
}}""")
        assert judged.passed is passed


def test_a_search_from_zero_leaves_out_what_cannot_be_run() -> None:
    answer = asked("""
study s { scenario = one; maximize gpus in 0..3 while finished == 60; table throughput }
""")
    assert answer.rows[0].figures["gpus"].mean == 3
    assert answer.rows[0].notes == ["holds even at 3, an end of the range"]


@pytest.mark.parametrize(
    ("search", "told"),
    [
        ("maximize qps in 1..3 step 1 req/s", r"none of 1 req/s, 2 req/s, 3 req/s \(at 1 req/s"),
        ("minimize gpus in 1..3", r"none of 1, 2, 3 \(at 3"),
    ],
)
def test_a_search_that_finds_nothing_tells_how_near_it_came(search: str, told: str) -> None:
    answer = asked(f"study s {{ scenario = one; {search} while p99(ttft) <= 1 us; table price }}")
    (row,) = answer.rows
    assert row.status == "none"
    number = r"p99\(ttft\) is [\d.]+ ms, not <= 0.001 ms\)"
    assert re.search(f"{told}, {number}", row.reason)
