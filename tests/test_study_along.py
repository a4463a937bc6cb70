"""What a study makes of values along an axis, which points it expects something of, and `best`."""

import math

import pytest

import tsdl
from tsdl.studies import Answer
from tsdl.studies.text import describe

PARTS = """
param qps = 8 req/s
param gpus: int = 1
param size = 64 tokens
param scheduler: policy = continuous
workload short {
  requests = 40; arrivals = poisson(qps); prompt = constant(size); output = constant(8 tokens)
}
cluster several { worker gpu * gpus { hardware = A100_80G } }
slo tight { ttft <= 100 ms }
scenario one {
  model = llama2_7b; cluster = several; policy = scheduler; workload = short; slo = tight
}
"""


def asked(study: str) -> Answer:
    return tsdl.study(PARTS + f"study s {{ scenario = one; {study} }}", jobs=1)


def means(answer: Answer, text: str) -> list[float]:
    return [row.figures[text].mean for row in answer.rows]


def codes(study: str) -> list[str]:
    program = PARTS + f"study s {{ scenario = one; {study}; table throughput }}"
    return [d.code for d in tsdl.check(program) if d.severity is tsdl.Severity.ERROR]


# -- along an axis -----------------------------------------------------------------------------


def test_functions_along_an_axis_are_of_the_points_that_differ_in_it_only() -> None:
    answer = asked(
        """
  vary gpus in [1, 2]
  vary qps in [2, 8, 20] req/s
  table throughput, max(throughput over qps), min(throughput over qps), mean(throughput over qps),
    sum(throughput / qps over qps)""".replace("\n    ", " ")
    )
    each = means(answer, "throughput")
    for group in (slice(0, 3), slice(3, 6)):
        own = each[group]
        assert means(answer, "max(throughput over qps)")[group] == [max(own)] * 3
        assert means(answer, "min(throughput over qps)")[group] == [min(own)] * 3
        assert means(answer, "mean(throughput over qps)")[group] == pytest.approx(
            [sum(own) / 3] * 3
        )
        parts = [t / q for t, q in zip(own, (2, 8, 20), strict=True)]  # params are those there
        assert means(answer, "sum(throughput / qps over qps)")[group] == pytest.approx(
            [sum(parts)] * 3
        )


def test_only_points_for_which_a_condition_holds_are_looked_at() -> None:
    answer = asked("""
  vary qps in [2, 8, 20] req/s
  table throughput, max(throughput over qps if qps < 10 req/s), min(qps over qps if qps > 99 req/s)
""")
    each = means(answer, "throughput")
    assert means(answer, "max(throughput over qps if qps < 10 req/s)") == [max(each[:2])] * 3
    assert all(map(math.isnan, means(answer, "min(qps over qps if qps > 99 req/s)")))


def test_conditions_along_an_axis() -> None:
    answer = asked("""
  vary qps in [2, 20] req/s
  table price
  expect any(throughput > 5 req/s over qps)
  expect not all(throughput > 5 req/s over qps)
  expect all(throughput > 1 req/s over qps if qps > 1 req/s)
  expect any(hit_rate > 0 or throughput > 1 req/s over qps)
  expect all(throughput > 1 req/s over qps if qps > 99 req/s)
  expect not any(throughput > 1 req/s over qps if qps > 99 req/s)
""")
    passed = [e.passed for e in answer.expectations]
    assert passed == [True, True, True, False, False, False]  # undefined, or of no point


def test_they_nest_and_are_of_other_points() -> None:
    answer = asked("""
  vary gpus in [1, 2]
  vary qps in [2, 20] req/s
  table throughput, max(min(throughput over gpus) over qps), max(throughput over qps)[gpus = 2]
""")
    one, two, three, four = means(answer, "throughput")
    nested = max(min(one, three), min(two, four))
    assert means(answer, "max(min(throughput over gpus) over qps)") == [nested] * 4
    assert means(answer, "max(throughput over qps)[gpus = 2]") == [max(three, four)] * 4


def test_points_without_a_number_leave_none() -> None:
    answer = asked("""
  vary gpus in [0, 1]
  vary qps in [2, 20] req/s
  table throughput, max(throughput over gpus), sum(mean(itl) over gpus if gpus > 9)
""")
    ok = [row for row in answer.rows if row.status == "ok"]  # what is infeasible is left out
    assert [row.figures["max(throughput over gpus)"].mean for row in ok] == means(
        answer, "throughput"
    )[2:]
    answer = asked(
        """
  vary gpus in [1, 2]
  maximize qps in 1..4 req/s step 1 req/s while finished > 20 * gpus
  table max(qps over gpus), qps[gpus = 1]
""".replace("4 req/s step 1 req/s", "4 step 1 req/s")
    )
    assert [row.status for row in answer.rows] == ["ok", "none"]
    assert math.isnan(answer.rows[0].figures["max(qps over gpus)"].mean)  # nobody knows


def test_each_seed_is_taken_by_itself() -> None:
    answer = asked("""
  vary qps in [2, 20] req/s
  replicate 3
  table p99(ttft), max(p99(ttft) over qps)
""")
    one, two = (row.figures["p99(ttft)"].each for row in answer.rows)
    assert answer.rows[0].figures["max(p99(ttft) over qps)"].each == tuple(map(max, one, two))


def test_they_are_in_the_unit_of_what_they_are_of() -> None:
    told = describe(
        asked("maximize qps in 60..120 step 60 req/min while finished > 0; vary gpus in 1..2;"
              " table max(qps over gpus)")
    )  # fmt: skip
    assert "max(qps over gpus) (req/min)" in told


@pytest.mark.parametrize(
    ("study", "code"),
    [
        ("expect max(throughput over gpus) > 0 req/s", "E0422"),
        ("expect max(throughput over nothing) > 0 req/s", "E0422"),
        ("expect max(throughput over qps) > 0 s", "E0301"),
        ("expect max(ttft over qps) > 0 s", "E0304"),
        ("expect max(price > 1 USD over qps) > 0", "E0304"),
        ("expect any(throughput over qps)", "E0304"),
        ("expect median(throughput over qps) > 0 req/s", "E0305"),
        ("expect max(throughput over qps, 3) > 0 req/s", "E0305"),
        ("expect max(throughput over qps if qps) > 0 req/s", "E0304"),
        ("expect (throughput over qps) > 0 req/s", "E0101"),
        ("expect throughput in [1 req/s over qps]", "E0305"),
        ("where max(qps over qps) > 1 req/s", "E0305"),
        ("expect throughput > 0 req/s where gpus > 1", "E0529"),
        ("expect throughput > 0 req/s where throughput > 1 req/s", "E0201"),
        ("expect throughput > 0 req/s where qps", "E0304"),
        ("vary gpus, size in zip([1], [2] tokens); expect max(price over gpus) > 0 USD", "E0529"),
        ("where qps in [2 s]", "E0301"),
        ("where qps in 3", "E0306"),
        ("where qps in 1..4 step 1 req/s", "E0306"),
        ("where scheduler in 1..2", "E0306"),
        ("where scheduler in [A100_80G]", "E0304"),
        ("expect itl in [1 s]", "E0304"),
        ("where qps in [2, 4] req/s", None),
        ("where qps in 2..4 req/s", None),
        ("where scheduler in [static, continuous]", None),
        ("where not qps in [4] req/s and size in [64]", None),
    ],
)
def test_mistakes_are_found_before_anything_runs(study: str, code: str | None) -> None:
    assert codes(f"vary qps in [2, 4] req/s; {study}") == ([code] if code else [])


def test_only_a_study_has_axes() -> None:
    program = PARTS.replace("slo = tight", "expect max(throughput over qps) > 0 req/s")
    assert [d.code for d in tsdl.check(program)] == ["E0305"]
    program = PARTS.replace("slo = tight", "expect throughput > 0 req/s where qps > 1 req/s")
    assert [d.code for d in tsdl.check(program)] == ["E0412"]


def test_a_search_sees_no_other_point() -> None:
    study = "vary gpus in [1]; maximize qps in 1..2 req/s while all(finished > 0 over gpus)"
    assert codes(study) == ["E0422"]


# -- membership, and expectations of some points -------------------------------------------------


def test_in_is_one_of_a_list_or_within_a_range() -> None:
    answer = asked("""
  vary qps in 1..5 req/s
  vary scheduler in [static, continuous]
  where qps in [1, 5] req/s or qps in 2..3 req/s and scheduler in [static]
  table price
""")
    assert [tuple(row.cells.values()) for row in answer.rows] == [
        (1, "static"), (1, "continuous"), (2, "static"), (3, "static"),
        (5, "static"), (5, "continuous"),
    ]  # fmt: skip


def test_values_of_a_range_are_those_that_are_written() -> None:
    answer = asked("vary qps in 0.1..0.5 step 0.1 req/s; where qps in [0.3] req/s; table price")
    assert [row.cells["qps"] for row in answer.rows] == [0.3]


def test_in_looks_at_live_values_of_policies() -> None:
    result = tsdl.compile("""
policy odd from continuous {
  global { on arrive(r) {
    if r.prompt in [1, 64] tokens { reject r } else {
      dispatch r to pick(w by w.queued for w in workers)
    }
  } }
}
workload short {
  requests = 20; arrivals = poisson(8 req/s)
  prompt = choice(64 tokens: 50 %, 3 tokens: 50 %); output = constant(8 tokens)
}
scenario one { model = llama2_7b; cluster = single(A100_80G); policy = odd; workload = short }
""").run()
    requests = result.summary["requests"]
    assert requests["rejected"] + requests["finished"] == 20
    assert requests["rejected"] > 0


def test_an_expect_is_of_the_points_that_it_says() -> None:
    answer = asked("""
  vary qps in [2, 20] req/s
  table price
  expect qps > 9 req/s where qps > 9 req/s
  expect qps > 9 req/s where qps in [2, 20] req/s
""")
    assert [e.passed for e in answer.expectations] == [True, False]
    assert answer.expectations[0].text == "qps > 9 req/s where qps > 9 req/s"
    assert [p["qps"] for p in answer.expectations[1].failed] == [2]


def test_expectations_stay_in_order_and_are_replaced_as_one() -> None:
    text = (
        PARTS
        + """
study s {
  scenario = one; vary qps in [2, 20] req/s; table price
  expect price > 1 USD where qps > 9 req/s
  expect price > 2 USD
  expect price > 3 USD where qps > 9 req/s
}
study t from s { expect price > 4 USD where qps > 9 req/s }
study u from s { expect price > 5 USD }
"""
    )
    told = {n: [e.text for e in tsdl.study(text, n, jobs=1).expectations] for n in "stu"}
    where = " where qps > 9 req/s"
    assert told == {
        "s": [f"price > 1 USD{where}", "price > 2 USD", f"price > 3 USD{where}"],
        "t": [f"price > 4 USD{where}"],
        "u": ["price > 5 USD"],
    }


# -- after best ----------------------------------------------------------------------------------


BEST = """
  vary gpus in [1, 2]
  vary qps in [2, 20] req/s
  best gpus by {}
  table gpus, throughput, throughput[qps = 2 req/s], throughput[gpus = 1], max(gpus over qps),
    max(throughput over gpus), gpus[qps = 20 req/s]"""


def test_another_point_is_the_best_one_there() -> None:
    # One device at 2 req/s, two at 20: so the rows differ in what `best` has left of `gpus`.
    key = "abs(gpus - (1 if qps < 9 req/s else 2))"
    answer = asked(BEST.replace("\n    ", " ").format(key))
    every = asked("vary gpus in [1, 2]; vary qps in [2, 20] req/s; table throughput")
    known = {tuple(r.cells.values()): r.figures["throughput"].mean for r in every.rows}
    assert [tuple(row.cells.values()) for row in answer.rows] == [(1, 2), (2, 20)]
    assert means(answer, "throughput[qps = 2 req/s]") == [known[1, 2]] * 2  # not known[2, 2]
    assert means(answer, "gpus[qps = 20 req/s]") == [2, 2]
    assert means(answer, "max(gpus over qps)") == [2, 2]  # of the rows that are left
    assert means(answer, "throughput[gpus = 1]") == [known[1, 2], known[1, 20]]  # of all points
    assert means(answer, "max(throughput over gpus)") == [
        max(known[1, 2], known[2, 2]), max(known[1, 20], known[2, 20]),
    ]  # fmt: skip


def test_a_second_best_is_among_what_the_first_has_left() -> None:
    # The key is (gpus - 1) + (qps - 4)² per req/s: least of all at one device and 4 req/s.
    key = "gpus + ((qps - 4 req/s) / 1 req/s) ** 2"
    axes = "vary gpus in [1, 2]; vary qps in [2, 4, 20] req/s"
    answer = asked(f"{axes}; best qps by {key}; best gpus by {key}; table throughput")
    assert [tuple(row.cells.values()) for row in answer.rows] == [(1, 4)]
    tilted = "abs(gpus - (1 if qps < 9 req/s else 2)) + qps / 100 req/s"
    answer = asked(f"{axes}; best qps by {tilted}; best gpus by {tilted}; table throughput")
    assert [tuple(row.cells.values()) for row in answer.rows] == [(1, 2)]
