"""Questions that mix what each request has with what a run has, or other points, or a search."""

import math

import pytest

import tsdl

PROGRAM = """
attribute tenant: int
param qps = 4 req/s
param f: int = 1
workload w from sharegpt(rate = qps) { requests = 20; attributes { tenant = uniform(1..2) } }
scenario s { model = llama2_7b; cluster = single(A100_80G); workload = w; MORE }
"""
STUDY = PROGRAM.replace("MORE", "") + "study t { scenario = s; MORE }"

# Beside each, what it comes to: nothing is left of the metric in it.
SAME_FOR_ALL = [
    ("mean(ttft * 0 + makespan)", "makespan"),
    ("p99(makespan - 0 * ttft)", "makespan"),
    ("min(max(ttft * 0, mean(ttft)))", "mean(ttft)"),
    ("max(itl * 0 + p99(ttft))", "p99(ttft)"),
    ("mean(ttft * 0 / 1 s + attainment, where = tenant < 2)", "attainment(where = tenant < 2)"),
    ("mean(ttft * 0 + makespan, where = tenant == 1)", "makespan"),
    ("mean(ttft * 0 if attainment > 0 else 5 s)", "0 s"),
]  # fmt: skip


def test_a_statistic_of_what_is_the_same_for_all_is_that() -> None:
    lines = "; ".join(f"expect {asked} == {same}" for asked, same in SAME_FOR_ALL)
    plan = tsdl.compile(PROGRAM.replace("MORE", lines))
    for each in (plan, tsdl.Plan.from_json(plan.to_json())):
        assert all(expectation.passed for expectation in each.run().expectations)


def test_so_it_is_in_a_study() -> None:
    lets = "; ".join(f"let a{i} = {a}; let b{i} = {b}" for i, (a, b) in enumerate(SAME_FOR_ALL))
    told = ", ".join(f"a{i}, b{i}" for i in range(len(SAME_FOR_ALL)))
    asked = f"vary qps in [2, 4] req/s; {lets}; table {told}"
    found = tsdl.study(STUDY.replace("MORE", asked), jobs=1).table
    for i in range(len(SAME_FOR_ALL)):
        assert list(found[f"a{i}"]) == list(found[f"b{i}"])
        assert not any(map(math.isnan, found[f"a{i}"]))


def test_a_plan_has_totals_of_the_run_in_a_statistic_of_some() -> None:
    text = "expect mean(e2e / makespan, where = tenant == 1) <= 1"
    plan = tsdl.compile(PROGRAM.replace("MORE", text))
    assert tsdl.Plan.from_json(plan.to_json()).run().summary == plan.run().summary


def test_what_is_the_same_for_all_is_drawn() -> None:
    shown = "vary qps in [2, 4] req/s; table makespan; plot cdf(ttft * 0 + makespan)"
    answer = tsdl.study(STUDY.replace("MORE", shown), jobs=1)
    [picture] = answer.data["pictures"]
    for row, makespan in zip(picture["rows"], answer.table["makespan"], strict=True):
        [percentiles] = row["percentiles"]
        assert set(percentiles) == {makespan}


@pytest.mark.parametrize(
    "asked",
    [
        "table mean(ttft / mean(ttft)[qps = 2 req/s])",
        "let least = min(mean(ttft) over qps); table max(ttft - least, where = tenant == 1)",
        "table makespan; expect ttft <= 2 * mean(ttft)[qps = 2 req/s]",
        "table makespan; plot cdf(ttft - mean(ttft)[qps = 2 req/s])",
    ],
)
def test_a_run_is_asked_for_nothing_of_other_points(asked: str) -> None:
    with pytest.raises(tsdl.TsdlError, match="mixes values of each request with one of other") as e:
        tsdl.study(STUDY.replace("MORE", f"vary qps in [2, 4] req/s; {asked}"), jobs=1)
    assert [d.code for d in e.value.diagnostics] == ["E0529"]


@pytest.mark.parametrize(
    ("condition", "greatest"),
    [
        ("mean(ttft * f) < 1 s", 3),
        ("p99(ttft * f, where = prompt * f < 1 token) < 1 s", 0),
        ("mean(ttft * (1 / f)) < 1 s", 3),  # of which there is none at 0: it does not hold
    ],
)
def test_what_is_searched_for_may_be_nothing(condition: str, greatest: int) -> None:
    asked = f"maximize f in 0..3 while {condition}; table makespan"
    assert list(tsdl.study(STUDY.replace("MORE", asked), jobs=1).table["f"]) == [greatest]
