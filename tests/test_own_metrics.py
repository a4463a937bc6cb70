"""Metrics of one's own: declared, recorded by handlers, and asked about."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

import tsdl
from tests.engines import compared
from tsdl.runtime.text import summary

PROGRAM = """
metric age: time
metric waiting: requests
metric class: number  # a word of Python's, not of the language
cluster pair { worker gpu * 2 { hardware = A100_80G } }
workload chat {
  requests = 120
  arrivals = poisson(30 req/s)
  prompt   = uniform(10..400 tokens)
  output   = uniform(1..60 tokens)
  WARMUP
}
policy watched from chunked {
  local {
    max_requests = 8
    on start(r, w) { record age, now - r.arrived }
    on every(50 ms) { record waiting, w.queued }
  }
  global {
    on arrive(r) {
      record class, 1 if all(w.queued > 0 for w in workers) else 0
      dispatch r to pick(w by w.queued for w in workers)
    }
  }
}
scenario s { model = llama2_7b; cluster = pair; policy = watched; workload = chat; EXPECT }
"""


def plan_of(expect: str = "", warmup: str = "") -> tsdl.Plan:
    return tsdl.compile(PROGRAM.replace("EXPECT", expect).replace("WARMUP", warmup))


def values(result: tsdl.Result, name: str, since: float = 0.0) -> list[float]:
    noted = result.records
    rows = zip(noted["name"], noted["time"], noted["value"], strict=True)
    return [float(value) for named, time, value in rows if named == name and time >= since]


def test_statistics_are_those_of_what_was_recorded() -> None:
    result = plan_of(
        "expect mean(age) > 0 s; expect p90(waiting) >= 0; expect max(class) <= 1\n"
        "expect sum(class) >= 1; expect mean(2 * age + 1 s) >= 1 s"
    ).run()
    ages, waiting, met = (values(result, name) for name in ("age", "waiting", "class"))
    assert len(ages) == len(met) == 120
    found = [expectation.value for expectation in result.expectations]
    assert found[0] == pytest.approx(math.fsum(ages) / len(ages), rel=1e-15)
    assert found[1] == np.percentile(waiting, 90)
    assert found[2:4] == [max(met), sum(met)]
    assert found[4] == pytest.approx(2 * np.mean(ages) + 1)
    assert 0 < sum(met) < 120  # both happen
    own = result.summary["metrics"]
    assert list(own) == ["age", "class", "waiting"]
    assert own["age"]["count"] == 120
    assert own["age"]["max"] == max(ages)
    assert own["waiting"]["p50"] == np.percentile(waiting, 50)
    assert result.passed


def test_what_is_recorded_in_the_warm_up_does_not_count() -> None:
    result = plan_of("expect sum(class) >= 0", "warmup = 2 s").run()
    late = values(result, "class", since=2.0)
    assert 0 < len(late) < 120
    assert result.summary["metrics"]["class"]["count"] == len(late)
    assert result.expectations[0].value == sum(late)


def test_they_stand_under_the_latencies_in_the_unit_of_each() -> None:
    rows = [line.split() for line in summary(plan_of().run()).splitlines() if line.strip()]
    shown = {row[0]: row[1:] for row in rows}
    assert shown["age"][1] in ("us", "ms", "s")
    assert len(shown["waiting"]) == 5


def test_of_nothing_the_sum_is_zero_and_all_else_undefined() -> None:
    text = PROGRAM.replace("EXPECT", "expect sum(age) == 0 s; expect mean(age) >= 0 s").replace(
        "on start(r, w) { record age, now - r.arrived }",
        "on start(r, w) when r.prompt > 1000 { record age, now - r.arrived }",
    )
    result = tsdl.compile(text.replace("WARMUP", "")).run()
    assert [e.passed for e in result.expectations] == [True, False]
    assert result.summary["metrics"]["age"] == dict.fromkeys(
        ("mean", "p50", "p90", "p99", "max"), None
    ) | {"count": 0}
    assert " age" not in summary(result).replace("message", "")


def test_both_engines_record_the_same_and_plans_keep_them() -> None:
    plan = plan_of("expect p99(age) <= 1 s; expect sum(class) >= 0 and sum(output) > 0")
    compared(plan)
    again = tsdl.Plan.from_json(plan.to_json())
    assert again.run().summary == plan.run().summary
    said = json.loads(plan.to_json())
    assert said["metrics"] == [
        {"name": "age", "measure": "time"},
        {"name": "class", "measure": ""},
        {"name": "waiting", "measure": ""},
    ]
    said["metrics"].pop(0)  # which the condition asks for
    with pytest.raises(ValueError, match="asks for what no run has"):
        tsdl.Plan.from_json(json.dumps(said))


def test_a_study_asks_for_them() -> None:
    text = PROGRAM.replace("EXPECT", "").replace("WARMUP", "").replace("30 req/s", "qps")
    text += """
    param qps = 30 req/s
    study rates {
      scenario = s
      vary qps in [5, 60] req/s
      table mean(age), sum(class)
    }
    study most {
      scenario = s
      maximize qps in 10..60 req/s step 10 while max(age) <= 200 ms
      table max(age)
    }
    """
    slow, fast = (
        {text: figure.mean for text, figure in row.figures.items()}
        for row in tsdl.study(text, "rates", jobs=1).rows
    )
    assert slow["mean(age)"] < fast["mean(age)"]
    assert slow["sum(class)"] < fast["sum(class)"]
    (found,) = tsdl.study(text, "most", jobs=1).rows
    assert found.status == "ok"
    assert 10 <= found.figures["qps"].mean < 60


def test_another_file_records_and_this_one_asks(tmp_path: Path) -> None:
    policies, scenario = tmp_path / "policies.tsim", tmp_path / "scenario.tsim"
    policies.write_text(
        'edition "2026"\nmetric age: time\n'
        "policy aged from chunked { local { on start(r, w) { record age, now - r.arrived } } }\n"
    )
    scenario.write_text(
        'edition "2026"\nimport "policies.tsim" as p\n'
        "scenario s { model = llama2_7b; cluster = single(A100_80G); policy = p.aged\n"
        "  workload = sharegpt(rate = 4 req/s, requests = 50)\n"
        "  expect max(age) <= 60 s; expect min(p.age) >= 0 s }\n"
    )
    assert not tsdl.check(scenario)
    assert tsdl.compile(scenario).run().passed
    policies.write_text(policies.read_text() + "metric depth: number\n")
    scenario.write_text(scenario.read_text() + "metric depth: time\n")
    assert {found.code for found in tsdl.check(scenario)} >= {"E0202"}


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("expect age <= 1 s", "E0304", "a record of `age` belongs to no request"),
        ("expect mean(age / ttft) <= 1", "E0306", "for each record of `age`"),
        ("expect mean(age / itl) <= 1", "E0306", "for each record of `age`"),
        ("expect mean(age, where = prompt > 9) <= 1 s", "E0306", "`where` chooses requests"),
        ("expect sum(age * 0 + makespan) <= 1 s", "E0306", "the same for all"),
        ("expect sum(3) <= 1", "E0304", "takes a metric"),
        ("expect attainment(where = age > 1 s) >= 0", "E0304", "belongs to no request"),
        ("until = age", "E0304", "handlers record"),
    ],
)
def test_what_cannot_be_asked(line: str, code: str, told: str) -> None:
    found = tsdl.check(PROGRAM.replace("EXPECT", line).replace("WARMUP", ""))
    assert [one.code for one in found] == [code]
    assert told in str(found[0])


@pytest.mark.parametrize(
    ("said", "code", "told"),
    [
        ('record "age", 1', "E0416", "without quotes"),
        ("record ages, 1 s", "E0201", "did you mean `age`?"),
        ("record chat, 1 s", "E0201", "is a workload, and no metric"),
        ("record age, r.prompt", "E0301", "what `age` records"),
        ("record age", "E0416", "takes a name and a number"),
        ("log age", "E0304", "only results know"),
    ],
)
def test_what_cannot_be_recorded(said: str, code: str, told: str) -> None:
    text = PROGRAM.replace("record age, now - r.arrived", said)
    found = tsdl.check(text.replace("EXPECT", "").replace("WARMUP", ""))
    assert code in {one.code for one in found}
    assert told in "\n".join(map(str, found))


def test_a_policy_that_is_chosen_in_a_study_may_be_the_one_that_records() -> None:
    text = PROGRAM.replace("policy = watched", "policy = way").replace("EXPECT", "")
    text = text.replace("WARMUP", "") + "param way: policy = chunked\n"
    study = "study ways { scenario = s; vary way in [chunked, watched]; table mean(age) }"
    assert not [d for d in tsdl.check(text + study) if d.code == "W0530"]
    alone = "study one { scenario = s; table mean(age) }"
    assert [d.code for d in tsdl.check(text + alone) if d.code == "W0530"]
    one, other = (row.figures["mean(age)"].mean for row in tsdl.study(text + study, jobs=1).rows)
    assert math.isnan(one)
    assert other > 0
