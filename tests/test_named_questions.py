"""Names for what is asked of results: `let` in scenarios and studies."""

import pytest

import tsdl

PROGRAM = """
param qps = 2 req/s
workload w from sharegpt(rate = qps) { requests = 60; priority = choice(0: 1, 1: 1) }
scenario s { model = llama2_7b; cluster = single(A100_80G); workload = w; MORE }
"""
FIRST = "mean(ttft, where = priority == 0)"
STUDY = f"""
study t {{
  scenario = s
  vary qps in [2, 6] req/s
  let first = {FIRST}
  let worse = other / other[qps = 2 req/s]
  let other = first * 2 / scale
  let scale = qps / 2 req/s
  table first, worse, max(first over qps), {FIRST} * 2 / (qps / 2 req/s), throughput
  MORE
}}
"""


def test_a_name_is_what_it_names_at_each_point() -> None:
    answer = tsdl.study(PROGRAM.replace("MORE", "") + STUDY.replace("MORE", ""), jobs=1)
    names = ["first", "worse", "max(first over qps)", f"{FIRST} * 2 / (qps / 2 req/s)"]
    first, worse, most, doubled = (list(answer.table[name]) for name in names)
    assert doubled == [first[0] * 2, first[1] * 2 / 3]
    assert worse == pytest.approx([1.0, doubled[1] / doubled[0]])
    assert most == [max(first)] * 2


@pytest.mark.parametrize(("bound", "passed"), [("100 s", True), ("1 ms", False)])
def test_scenarios_and_studies_expect_by_it(bound: str, passed: bool) -> None:
    text = PROGRAM.replace("MORE", f"let first = {FIRST}; expect first <= {bound}")
    [expectation] = tsdl.compile(text).run().expectations
    assert expectation.passed is passed
    assert expectation.condition.text == f"first <= {bound}"
    study = STUDY.replace("MORE", f"expect first <= {bound} where qps < 3 req/s")
    [found] = tsdl.study(PROGRAM.replace("MORE", "") + study, jobs=1).expectations
    assert found.passed is passed


def test_a_search_and_a_choice_go_by_it() -> None:
    asked = """
study t {
  scenario = s
  let late = p90(e2e)
  maximize qps in 1..5 req/s while late <= 30 s
  table late
}
study best_of {
  scenario = s
  vary qps in [2, 4] req/s
  let late = -p90(e2e)
  best qps by late
  table late
}
"""
    text = PROGRAM.replace("MORE", "") + asked
    plain = text.replace("while late", "while p90(e2e)").replace("by late", "by -p90(e2e)")
    for study in ("t", "best_of"):
        found, wanted = (list(tsdl.study(t, study, jobs=1).table["qps"]) for t in (text, plain))
        assert found == wanted


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ("let limit = mean(ttft); until = limit", "E0502"),
        ("let a = b; let b = a; expect a > 0 s", "E0501"),
        ("let first = p99(tfft); expect first <= 1 s", "E0201"),
    ],
)
def test_what_cannot_be_named_is_told(more: str, code: str) -> None:
    with pytest.raises(tsdl.TsdlError) as error:
        tsdl.compile(PROGRAM.replace("MORE", more))
    assert code in {found.code for found in error.value.diagnostics}


BARE = PROGRAM.replace("MORE", "")


def told(study: str) -> list[tuple[str, str]]:
    """Return the code and the text of what is said of a study and of what is derived from it."""
    return [(d.code, d.span.text if d.span else "") for d in tsdl.check(BARE + study)]


@pytest.mark.parametrize(
    "study",
    [
        "{ S; maximize qps in 1..4 req/s while mean(ttft) <= 1 s; L; table qps, throughput }",
        "{ S; vary qps in [1, 2] req/s; L; table qps }",
        "{ S; let status = mean(ttft); table status }",
        "{ S; L; table qps }\nstudy u from t { vary qps in [1, 2] req/s }",
        "{ S; vary qps in [1, 2] req/s; table throughput }\nstudy u from t { L; table qps }",
    ],
)
def test_no_column_of_an_answer_is_named_again(study: str) -> None:
    text = study.replace("S;", "scenario = s;").replace("L;", "let qps = mean(ttft);")
    named = "status" if "status" in text else "qps"
    more = "\nstudy v from u { table throughput }" if "study u" in text else ""
    assert told(f"study t {text}{more}") == [("E0206", named)]


def test_a_name_of_a_param_that_does_not_vary_is_free() -> None:
    study = "study t { scenario = s; let qps = mean(ttft); table qps, mean(ttft) }"
    table = tsdl.study(BARE + study, jobs=1).table
    assert list(table["qps"]) == list(table["mean(ttft)"])
