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


# Conditions on each request: whether all of the requests below, and none at all, are so.
OF_EACH = [
    ("prompt in [1, 2]", False),
    ("prompt in 1..1_000_000 tokens", True),
    ("not prompt in [1, 2]", True),
    ("(1 if tenant == 1 else 2) in [1, 2]", True),
    ("tenant == 1 or tenant == 2", True),
    ("not tenant == 1", False),
    ("(tenant == 2 if tenant > 1 else tenant == 1)", True),
    ("(makespan if tenant == 1 else 1 s) >= 1 s", True),
    ("(tenant == 1) == (tenant < 2)", True),
    ("sqrt(tenant) <= 2 and round_up_to(prompt, [1] tokens) == prompt", True),
]


@pytest.mark.parametrize("until", ["", "until = 1 us"])
def test_a_condition_is_asked_of_each_request_wherever_it_stands(until: str) -> None:
    lets = "; ".join(f"let c{i} = {asked}" for i, (asked, _) in enumerate(OF_EACH))
    expects = "; ".join(f"expect c{i}" for i in range(len(OF_EACH)))
    text = PROGRAM.replace("MORE", f"{until}; {lets}; {expects}" if until else f"{lets}; {expects}")
    wanted = [holds and not until for _, holds in OF_EACH]
    assert [one.passed for one in tsdl.compile(text).run().expectations] == wanted
    text += (
        f"study t {{ scenario = s; vary qps in [2, 4] req/s; {lets}; table arrived; {expects} }}"
    )
    assert [one.passed for one in tsdl.study(text, jobs=1).expectations] == wanted


def test_what_a_condition_chooses_is_of_each_request() -> None:
    asked = "mean(1 if tenant == 1 else 2), mean(tenant), mean(1 if ttft <= 0 s else 0)"
    found = tsdl.study(STUDY.replace("MORE", f"vary qps in [2, 4] req/s; table {asked}"), jobs=1)
    one, other, share = (list(found.table[name]) for name in asked.split(", "))
    assert one == other
    assert 1 < one[0] < 2
    assert share == [0, 0]


@pytest.mark.parametrize(
    ("asked", "help_"),
    [
        ("table 1 if tenant == 1 else 2", "take a statistic: `mean(1 if tenant == 1 else 2)`"),
        ("let x = 1 if prompt in [1, 2] else 2; table x", "take a statistic: `mean(x)`"),
        ("table makespan; best qps by makespan if tenant == 1 else 1 s", "take a statistic"),
        ("table ttft < 1 s", "`mean(1 if ttft < 1 s else 0)`"),
        ("table mean(ttft in 1 s..2 s)", "`mean(1 if ttft in 1 s..2 s else 0)`"),
        ("table makespan; expect itl in [1 s, 2 s]", "take a statistic: `p99(itl)`"),
        ("table makespan; expect (itl if tenant == 1 else 1 s) > 0 s", "take a statistic of each"),
    ],
)
def test_no_point_has_what_each_request_has(asked: str, help_: str) -> None:
    with pytest.raises(tsdl.TsdlError) as error:
        tsdl.study(STUDY.replace("MORE", f"vary qps in [2, 4] req/s; {asked}"), jobs=1)
    [found] = error.value.diagnostics
    assert found.code in ("E0304", "E0306")
    assert help_ in found.help[0]
