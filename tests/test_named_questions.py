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


@pytest.mark.parametrize(
    ("lets", "condition", "code", "direct"),
    [
        ("let x = ttft > 1 s; let y = attainment(where = x)", "x and y > 0.5", "E0304", ""),
        ("let y = mean(ttft)", "ttft > y", "E0304", "ttft > mean(ttft)"),
        ("let x = mean(ttft); let y = x", "ttft > y", "E0304", "ttft > mean(ttft)"),
        ("let y = throughput", "e2e * y > 9", "E0304", "e2e * throughput > 9"),
        ("let y = p50(e2e)[qps = 2 req/s]", "ttft > y", "E0306", "ttft > p50(e2e)[qps = 2 req/s]"),
        ("let y = max(p50(e2e) over qps)", "ttft > y", "E0304", "ttft > max(p50(e2e) over qps)"),
        ("let y = sum(p50(e2e) over qps)", "ttft > y", "E0304", "ttft > sum(p50(e2e) over qps)"),
    ],
)
def test_what_is_asked_of_each_request_is_no_name_of_what_is_of_all(
    lets: str, condition: str, code: str, direct: str
) -> None:
    study = f"study t {{ scenario = s; vary qps in [1, 2] req/s; {lets}; table TOLD }}"
    [found] = tsdl.check(BARE + study.replace("TOLD", f"mean(ttft, where = {condition})"))
    assert (found.code, found.span and found.span.text) == (code, "y")
    assert found.notes[0].startswith("`y` is `")
    if direct:
        plain = study.replace("TOLD", f"mean(ttft, where = {direct})")
        assert (code, found.title) in {(d.code, d.title) for d in tsdl.check(BARE + plain)}


def test_a_name_of_a_base_that_asks_each_request_is_replaced_by_no_other() -> None:
    base = "study t { scenario = s; let y = 1 s; let x = ttft > y; table finished(where = x) }"
    assert told(f"{base}\nstudy u from t {{ let y = 2 s }}") == []
    derived = "study u from t { let y = mean(ttft) }"
    assert told(f"{base}\n{derived}") == [("E0304", "mean(ttft)")]
    assert told(f"{base}\n{derived}\nstudy v from u {{ let z = base.y; table z }}") == [
        ("E0304", "mean(ttft)")
    ]


def test_what_each_request_has_goes_by_a_name() -> None:
    lets = "let y = ttft * 2; let z = y + 1 s; let x = z > 1.1 s and prompt < 500 tokens"
    study = f"study t {{ scenario = s; {lets}; table finished(where = x), mean(z, where = x), "
    study += "finished(where = ttft * 2 + 1 s > 1.1 s and prompt < 500 tokens) }"
    row = tsdl.study(BARE + study, jobs=1).data["rows"][0]
    named, _, plain = (figure["mean"] for figure in row["values"].values())
    assert 0 < named == plain


def test_what_a_base_says_of_other_points_is_known_in_what_is_derived() -> None:
    asked = "let y = mean(ttft) / mean(ttft)[qps = 2 req/s]; let z = max(mean(ttft) over qps)"
    base = f"study t {{ scenario = s; vary qps in [2, 6] req/s; {asked}; table y, z }}"
    derived = """
study u from t { let y = base.y * 2; table y }
study v from u { let y = base.y + base.y; let z = base.z * 1; table y, z }
"""
    first, second, third = (
        tsdl.study(BARE + base + derived, name, jobs=1).table for name in ("t", "u", "v")
    )
    assert list(second["y"]) == [2 * y for y in first["y"]]
    assert list(third["y"]) == [4 * y for y in first["y"]]
    assert list(third["z"]) == list(first["z"])


def test_points_of_a_name_that_is_replaced_need_not_be() -> None:
    base = "study t { scenario = s; vary qps in [2, 6] req/s; "
    base += "let y = mean(ttft)[qps = 2 req/s]; table y }"
    derived = "study u from t { vary qps in [1, 3] req/s; let y = p50(ttft); table y }"
    assert told(f"{base}\n{derived}") == []


def test_what_a_base_says_is_computed_at_each_point() -> None:
    base = "study t { scenario = s; vary qps in [2, 6] req/s; let y = qps * 1 s; table y }"
    derived = "study u from t { let y = base.y * 2; table y }"
    assert list(tsdl.study(f"{BARE}{base}\n{derived}", "u", jobs=1).table["y"]) == [4, 12]


@pytest.mark.parametrize(
    "study",
    [
        "vary qps in [1 req/s, x]", "vary qps in [1, 2] req/s; where qps < x", "replicate x",
        "case one { qps = x }", "maximize qps in 1 req/s..x while attainment > 0.9",
        "vary qps in [1, 2] req/s; expect throughput > x where qps < x", "vary x in [1, 2] req/s",
    ],
)  # fmt: skip
def test_what_makes_points_knows_params_alone(study: str) -> None:
    text = f"study t {{ scenario = s; let x = 2 req/s; {study}; table throughput / x }}"
    [found] = tsdl.check(BARE + text)
    assert found.code == ("E0422" if "vary x" in study else "E0201")
    told = "`x` is a `let`, computed at each point; params alone say which points there are"
    assert found.help == (told,)


def test_a_study_may_name_its_scenario() -> None:
    assert told("study t { let x = s; scenario = x; table throughput }") == []
    assert tsdl.study(BARE + "study t { let x = s; scenario = x; table throughput }", jobs=1).passed
