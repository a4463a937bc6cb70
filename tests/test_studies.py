"""Studies: which points there are, what is asked of them, and what is made of the answers."""

import json
import math
import re
from pathlib import Path

import pytest

import tsdl
from tsdl.cli import main
from tsdl.studies import Answer
from tsdl.studies.text import describe

PARTS = """
param qps = 8 req/s
param size = 64 tokens
param answer = 16 tokens
param gpus: int = 1
param scheduler: policy = continuous
param device: hardware = A100_80G
workload short {
  requests = 60; arrivals = poisson(qps); prompt = constant(size); output = constant(answer)
}
cluster several { worker gpu * gpus { hardware = device } }
slo tight { ttft <= 100 ms }
scenario one {
  model = llama2_7b; cluster = several; policy = scheduler; workload = short; slo = tight
}
"""


def asked(study: str, name: str | None = None, **more: object) -> Answer:
    return tsdl.study(PARTS + study, name, jobs=1, **more)  # type: ignore[arg-type]


def codes(study: str) -> list[str]:
    return [d.code for d in tsdl.check(PARTS + study) if d.severity is tsdl.Severity.ERROR]


def column(answer: Answer, name: str) -> list[object]:
    return [row.cells[name] for row in answer.rows]


def means(answer: Answer, text: str) -> list[float]:
    return [row.figures[text].mean for row in answer.rows]


# -- points ------------------------------------------------------------------------------------


def test_points_are_all_combinations_that_where_leaves() -> None:
    answer = asked("""
study s {
  scenario = one
  vary qps in [2, 4] req/s
  vary scheduler in [continuous, static]
  where qps < 4 req/s or scheduler != static
  table throughput
}""")
    assert [list(row.cells.values()) for row in answer.rows] == [
        [2, "continuous"], [2, "static"], [4, "continuous"],
    ]  # fmt: skip


def test_a_point_is_the_run_of_its_params() -> None:
    answer = asked("""
study s { scenario = one; vary qps in [2, 9] req/s; table p99(ttft), mean(e2e / output), goodput }
""")
    for row, qps in zip(answer.rows, ("2 req/s", "9 req/s"), strict=True):
        result = tsdl.compile(PARTS, params={"qps": qps}).run()
        assert row.figures["p99(ttft)"].mean == result.summary["latency"]["ttft"]["p99"]
        assert row.figures["goodput"].mean == result.summary["goodput"]
        per_token = result.summary["latency"]["e2e_per_output_token"]["mean"]
        assert row.figures["mean(e2e / output)"].mean == per_token


def test_ranges_go_in_steps_of_the_unit_they_are_in() -> None:
    answer = asked("""
study s { scenario = one; vary gpus in 1..3; vary qps in 1..2 step 0.5 req/s; table throughput }
""")
    assert column(answer, "gpus") == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert column(answer, "qps")[:3] == [1, 1.5, 2]
    minutes = asked("study s { scenario = one; vary qps in 60..62 req/min; table throughput }")
    assert column(minutes, "qps") == pytest.approx([1, 61 / 60, 62 / 60])


def test_linked_params_and_cases_are_axes() -> None:
    answer = asked("""
study s {
  scenario = one
  vary size, answer in zip([32, 64] tokens, [8, 4] tokens)
  case slow { qps = 1 req/s }
  case fast { qps = 9 req/s; scheduler = static }
  table mean(prompt), mean(output), throughput
}""")
    assert column(answer, "case") == ["slow", "slow", "fast", "fast"]
    assert means(answer, "mean(prompt)") == [32, 64, 32, 64]
    assert means(answer, "mean(output)") == [8, 4, 8, 4]
    assert min(means(answer, "throughput")[2:]) > max(means(answer, "throughput")[:2])


def test_hardware_and_policies_are_varied() -> None:
    answer = asked(
        "study s { scenario = one; vary device in [A100_80G, H100_SXM]; table mean(e2e) }"
    )
    assert column(answer, "device") == ["A100_80G", "H100_SXM"]
    slow, fast = means(answer, "mean(e2e)")
    assert fast < slow


def test_a_derived_study_changes_what_it_says() -> None:
    answer = asked(
        """
study s { scenario = one; vary qps in [1, 2] req/s; vary gpus in [1, 2]; table throughput
  expect throughput > 1e6 req/s }
study t from s { vary qps in [3] req/s; table finished; expect finished == 60 }
""",
        "t",
    )
    assert column(answer, "qps") == [3, 3]
    assert column(answer, "gpus") == [1, 2]
    assert answer.passed
    assert [asked.text for asked in answer.study.table] == ["finished"]


@pytest.mark.parametrize(
    ("study", "code"),
    [
        ("vary qps in [1, 1] req/s", "E0529"),
        ("vary gpus in [1, 2.5]", "E0503"),
        ("case a { gpus = 2.5 }", "E0503"),
        ("case a { gpus = 1 / 0 }", "E0504"),
        ("vary gpus in 1.5..3", "E0503"),
        ("vary gpus in 1..2 step 0.5", "E0503"),
        ("vary gpus, qps in zip(1.5..2.5, [1, 2] req/s)", "E0503"),
        ("maximize gpus in 1..2 step 0.5 while finished > 0", "E0503"),
        ("vary gpus in 1.0..2.0 step 1.0", None),
        ("vary gpus in [2]; where gpus > 2", "E0529"),
        ("vary size, answer in zip([1, 2] tokens, [1] tokens)", "E0529"),
        ("vary size, answer in [1, 2] tokens", "E0422"),
        ("vary gpus in 3", "E0422"),
        ("vary gpus in []", "E0422"),
        ("vary qps, qps in zip([1] req/s, [2] req/s)", "E0403"),
        ("vary gpus in [1]; expect throughput[gpus = 1, gpus = 1] > 0 req/s", "E0403"),
        ("vary qps, gpus in zip([1, 2] req/s, [1, 2]); expect price[gpus = 1] > 0 USD", "E0529"),
        ("vary qps in [4] req/s; vary gpus in [qps / 4 req/s]", "E0529"),
        ("maximize gpus in 1..2 while finished > 0; where gpus > 1", "E0529"),
        ("vary gpus in [1]; maximize qps in 1..2 req/s while attainment[gpus = 1] > 0", "E0422"),
        ("vary gpus in [1]; case a { gpus = 2 }", "E0529"),
        ("case a { gpus = 2 }; minimize gpus in 1..2 while finished > 0", "E0529"),
        ("vary gpus in 1..2 step 0", "E0503"),
        ("vary gpus in 2..1", "E0503"),
        ("vary gpus in 0..1_000_000", "E0529"),
        ("vary scheduler in [A100_80G]", "E0304"),
        ("vary one in [1]", "E0422"),
        ("vary gpus in [1]; replicate 0", "E0503"),
        ("vary gpus in [1]; replicate 1.5", "E0503"),
        ("vary gpus in [1]; maximize gpus in 1..2 while attainment > 0", "E0422"),
        ("maximize qps in 1..2 req/s while finished > 0; minimize gpus in 1..2 while finished > 0",
         "E0422"),
        ("maximize qps in [1, 2] req/s while attainment > 0", "E0422"),
        ("vary gpus in [1]; expect throughput[gpus = 3] > 0 req/s", "E0529"),
        ("vary gpus in [1]; expect throughput[gpus = 1 s] > 0 req/s", "E0301"),
        ("vary gpus in [1]; expect ttft[gpus = 1] > 0 s", "E0304"),
        ("case a { gpus = 2 }; expect throughput[case = b] > 0 req/s", "E0422"),
        ("vary gpus in [1]; expect throughput[1] > 0 req/s", "E0305"),
        ("vary gpus in [1]; plot heat(throughput, x = gpus)", "E0305"),
        ("vary gpus in [1]; plot lines(ttft, x = gpus)", "E0304"),
        ("vary gpus in [1]; plot cdf(throughput)", "E0304"),
        ("vary gpus in [1]; plot throughput", "E0412"),
        ("vary gpus in [1]; best qps by -throughput", "E0422"),
        ("vary gpus in [1]; pareto by throughput", "E0412"),
        ("vary gpus in [1]; pareto throughput, price", "E0412"),
        ("vary gpus in [1]; table policy", "E0201"),
        ("vary gpus in [1] when 3", "E0412"),
    ],
)  # fmt: skip
def test_mistakes_are_found_before_anything_runs(study: str, code: str | None) -> None:
    told = "" if "table" in study else "; table throughput"
    found = codes(f"study s {{ scenario = one; {study}{told} }}")
    assert found == ([code] if code else [])


def test_a_study_says_what_it_tells() -> None:
    assert codes("study s { scenario = one; vary gpus in [1] }") == ["E0529"]
    assert codes("study s { vary gpus in [1]; table throughput }") == ["E0404"]


@pytest.mark.parametrize("jobs", [0, -1, 1.5, "2"])
def test_a_number_of_processes_that_there_cannot_be(jobs: object) -> None:
    with pytest.raises(ValueError, match=r"there are no .* processes"):
        tsdl.study(f"{PARTS} study s {{ scenario = one; table throughput }}", jobs=jobs)  # type: ignore[arg-type]


def test_a_param_of_the_study_is_not_given_from_outside() -> None:
    with pytest.raises(tsdl.TsdlError, match="E0529"):
        asked("study s { scenario = one; vary gpus in [1]; table throughput }", params={"gpus": 2})
    answer = asked("study s { scenario = one; vary gpus in [1]; table throughput / qps }",
                   params={"qps": "2 req/s"})  # fmt: skip
    assert 0.7 < means(answer, "throughput / qps")[0] < 1.3


def test_a_point_that_cannot_be_run_is_infeasible() -> None:
    answer = asked("""
model wide from llama2_7b { layers = 400 }
param served: model = llama2_7b
scenario two from one { model = served }
study s { scenario = two; vary served in [llama2_7b, wide]; table throughput
  expect throughput > 0 req/s }
""")
    assert [row.status for row in answer.rows] == ["ok", "infeasible"]
    assert answer.rows[1].reason.startswith("E0511")
    assert math.isnan(answer.rows[1].figures["throughput"].mean)
    assert answer.passed
    assert answer.complete


# -- seeds -------------------------------------------------------------------------------------


def test_seeds_are_common_to_all_points_and_expressions_are_of_pairs() -> None:
    answer = asked("""
study s {
  scenario = one
  vary scheduler in [continuous, static]
  replicate 4
  table mean(e2e), mean(e2e) / mean(e2e)[scheduler = continuous]
}""")
    plain, static = (row.figures["mean(e2e)"] for row in answer.rows)
    ratio = answer.rows[1].figures["mean(e2e) / mean(e2e)[scheduler = continuous]"]
    assert ratio.each == tuple(b / a for a, b in zip(plain.each, static.each, strict=True))
    for index, each in enumerate(plain.each):
        assert each == tsdl.compile(PARTS).run(seed=index).summary["latency"]["e2e"]["mean"]
    again = asked(
        "study s { scenario = one; vary gpus in [1]; replicate 2; table mean(e2e) }", seed=2
    )
    assert again.rows[0].figures["mean(e2e)"].each == plain.each[2:]


def test_the_interval_is_that_of_student() -> None:
    from scipy.stats import t

    from tsdl.studies.measures import half_width

    for count in (2, 3, 10, 31, 32, 60, 200):
        values = [math.sin(i * 1.7) for i in range(count)]
        deviation = math.sqrt(sum((v - sum(values) / count) ** 2 for v in values) / (count - 1))
        wanted = t.ppf(0.975, count - 1) * deviation / math.sqrt(count)
        assert half_width(values) == pytest.approx(wanted, rel=3e-4)
    assert math.isnan(half_width([1.0]))
    assert math.isnan(half_width([1.0, math.nan]))


# -- what becomes of rows ----------------------------------------------------------------------


def test_best_keeps_the_least_key_of_the_other_axes() -> None:
    study = """
study s { scenario = one; vary qps in [4, 30] req/s; vary gpus in 1..3; table mean(e2e), price }
study dear from s { best gpus by mean(e2e) }
study cheap from s { best gpus by price }
study few from s { best gpus by gpus }
"""
    every = asked(study, "s")
    dear = asked(study, "dear")
    for qps in (4, 30):
        times = {row.cells["gpus"]: row.figures["mean(e2e)"].mean
                 for row in every.rows if row.cells["qps"] == qps}  # fmt: skip
        chosen = next(row for row in dear.rows if row.cells["qps"] == qps)
        assert times[chosen.cells["gpus"]] == min(times.values())
    assert column(asked(study, "cheap"), "gpus") == [1, 1]
    assert column(asked(study, "few"), "gpus") == [1, 1]


def test_one_of_the_params_that_go_together_names_their_axis() -> None:
    axes = "vary qps in [2, 9] req/s; vary gpus, size in zip([1, 2, 3], [32, 64, 48] tokens)"
    for name, key, kept in (("gpus", "-mean(prompt)", 2), ("size", "price", 1)):
        answer = asked(f"study s {{ scenario = one; {axes}; best {name} by {key}; table price }}")
        assert column(answer, "qps") == [2, 9]
        assert column(answer, "gpus") == [kept, kept]


def test_the_front_is_what_no_other_row_beats() -> None:
    answer = asked("""
study s { scenario = one; vary gpus in 1..4; vary qps in [4, 40] req/s; table price, p99(ttft)
  pareto by price, p99(ttft) }
""")
    keys = list(zip(means(answer, "price"), means(answer, "p99(ttft)"), strict=True))
    for row, own in zip(answer.rows, keys, strict=True):
        beaten = any(a <= own[0] and b <= own[1] and (a, b) != own for a, b in keys)
        assert row.efficient is not beaten
    assert any(row.efficient for row in answer.rows)
    assert not all(row.efficient for row in answer.rows)


def test_an_expect_holds_in_every_row() -> None:
    answer = asked("""
study s {
  scenario = one
  vary qps in [2, 4, 8] req/s
  table throughput
  expect throughput >= 3 req/s
  expect throughput >= 3 req/s or qps < 4 req/s
  expect throughput[qps = 8 req/s] > throughput[qps = 2 req/s]
  expect ttft <= 10 s and not (finished < 60)
}""")
    assert [e.passed for e in answer.expectations] == [False, True, True, True]
    assert answer.expectations[0].failed == ({"qps": 2},)


def test_a_failed_expect_tells_both_sides_and_names_each_place_once() -> None:
    answer = asked("""
study s {
  scenario = one
  vary qps in [2, 4] req/s
  vary gpus in [1, 2]
  table throughput
  expect throughput > 0 req/s and p99(ttft) < 0 ms
  expect throughput[gpus = 1] > 60 req/min and throughput[gpus = 1] > throughput[gpus = 1] * 2
  expect any(throughput < 0 req/s over gpus)
  expect max(throughput over qps)[gpus = 1] < 0 req/s
  expect ttft < 0 s
  expect throughput[gpus = 1] < gpus * 1 req/s - 9 req/s
}""")
    both, one, over, fixed, each, mixed = answer.expectations
    assert len(both.failed) == 4
    assert re.fullmatch(r"p99\(ttft\) is [\d.]+ ms, not < 0 ms", both.told)
    assert one.failed == ({"qps": 2}, {"qps": 4})
    assert one.told.startswith("throughput[gpus = 1] is ")
    assert over.failed == ({"qps": 2}, {"qps": 4})
    assert over.told == each.told == ""  # nothing that is one number
    assert fixed.told.endswith(" req/s, not < 0 req/s")
    assert len(each.failed) == len(mixed.failed) == 4
    shown = describe(answer)
    assert (
        f"        not at qps = 2 req/s; qps = 4 req/s\n        at qps = 2 req/s, {one.told}"
        in shown
    )


def test_a_value_of_another_point_is_undefined_where_there_is_none() -> None:
    answer = asked("""
study s {
  scenario = one
  vary qps in [2, 4] req/s
  vary gpus in [1, 2]
  where gpus == 1 or qps < 4 req/s
  table throughput / throughput[gpus = 2]
  expect throughput[gpus = 2] > 0 req/s
}""")
    ratios = means(answer, "throughput / throughput[gpus = 2]")
    assert [math.isnan(r) for r in ratios] == [False, False, True]
    assert not answer.passed
    assert answer.expectations[0].failed == ({"qps": 4},)
    assert answer.expectations[0].told == "throughput[gpus = 2] is undefined"


# -- on the command line -----------------------------------------------------------------------


def test_the_command_line_tells_writes_and_judges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.tsim").write_text(
        PARTS
        + "study s { scenario = one; vary gpus in 1..2; replicate 2; table throughput, p99(ttft)\n"
        "  expect throughput < 0 req/s }"
    )
    assert main(["check", "a.tsim"]) == 0
    assert "s: 2 points with 2 seeds each: 4 runs" in capsys.readouterr().out
    assert main(["plan", "a.tsim", "--study", "s"]) == 0
    assert "known" not in capsys.readouterr().out
    assert main(["run", "a.tsim", "--study", "s", "--jobs", "1", "--out", "out"]) == 3
    shown = capsys.readouterr().out
    assert "FAIL  expect throughput < 0 req/s" in shown
    assert "not at gpus = 1; gpus = 2" in shown
    assert (tmp_path / "a.results.sqlite").exists()
    data = json.loads((tmp_path / "out" / "study.json").read_text())
    assert [row["point"] for row in data["rows"]] == [{"gpus": 1}, {"gpus": 2}]
    lines = (tmp_path / "out" / "study.csv").read_text().splitlines()
    assert lines[0] == "gpus,status,throughput,throughput ±,p99(ttft),p99(ttft) ±"
    assert float(lines[1].split(",")[2]) == data["rows"][0]["values"]["throughput"]["mean"]
    assert main(["plan", "a.tsim", "--study", "s"]) == 0
    assert "4 runs are known" in capsys.readouterr().out
    for wrong in (["--study", "t"], ["--study", "s", "--scenario", "one"]):
        assert main(["run", "a.tsim", *wrong]) in (1, 2)
    assert "there is no study `t`" in capsys.readouterr().err


def test_a_failed_row_makes_the_answer_partial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.tsim").write_text(
        PARTS + "param k: int = 1\n"
        "cost own { iteration = 5 ms + (1 ms * contexts / decodes if k > 1 else 0 s) }\n"
        "cluster odd { worker gpu { hardware = A100_80G; cost = own } }\n"
        "scenario two from one { cluster = odd }\n"
        "study s { scenario = two; vary k in 1..2; table throughput }"
    )
    assert main(["run", "a.tsim", "--study", "s", "--jobs", "1"]) == 4
    shown = capsys.readouterr().out
    assert "failed: E0901" in shown
    assert "–" in shown


def test_an_axis_that_no_run_depends_on_is_told() -> None:
    answer = asked("""
param idle: int = 1
study s { scenario = one; vary idle in 1..2; vary gpus in 1..2; table throughput }
""")
    assert answer.remarks == ["no run depends on `idle`"]
    assert answer.data["remarks"] == answer.remarks


def test_a_condition_with_something_undefined_does_not_hold() -> None:
    answer = asked("""
study s {
  scenario = one
  vary gpus in [1]
  table throughput
  expect not (hit_rate > 0)
  expect hit_rate > 0 or attainment > 0
}""")
    assert [e.passed for e in answer.expectations] == [False, False]  # as in a scenario


def test_nothing_answered_is_no_success() -> None:
    answer = asked("study s { scenario = one; vary gpus in [0]; table throughput }")
    assert [row.status for row in answer.rows] == ["infeasible"]
    assert not answer.complete


def test_params_that_an_import_brings_are_set_and_vary(tmp_path: Path) -> None:
    (tmp_path / "base.tsim").write_text(PARTS)
    path = tmp_path / "user.tsim"
    path.write_text(
        'import "base.tsim"\nscenario two from one { expect price > 0 USD }\n'
        "study s { scenario = two; vary gpus in [1, 3]; table price }\n"
    )
    prices = [row.figures["price"].mean for row in tsdl.study(path, jobs=1).rows]
    assert prices[1] == 3 * prices[0]
    assert tsdl.compile(path, params={"gpus": 3}, scenario="two").workers[0].count == 3


def test_what_cannot_be_set_is_told_how(tmp_path: Path) -> None:
    """Of a file that is imported under a name, and of one that another imports."""
    (tmp_path / "base.tsim").write_text(PARTS)
    (tmp_path / "between.tsim").write_text('import "base.tsim"\nscenario two from one {}\n')
    path = tmp_path / "user.tsim"
    path.write_text('import "base.tsim" as base\nscenario three from base.one {}\n')
    with pytest.raises(tsdl.TsdlError, match=r"`base\.gpus` can be set where its file is imported"):
        tsdl.compile(path, params={"gpus": 3})
    path.write_text('import "between.tsim"\nparam gpus: int = 7\nscenario three from two {}\n')
    plan = tsdl.compile(path, params={"gpus": 3}, scenario="three")
    assert plan.workers[0].count == 1  # the other param keeps its value


def test_params_that_a_file_does_not_see_do_not_vary(tmp_path: Path) -> None:
    (tmp_path / "base.tsim").write_text(
        PARTS + "study b { scenario = one; vary gpus in [1, 2]; table price }"
    )
    path = tmp_path / "user.tsim"
    path.write_text('import "base.tsim" as base\nparam gpus: int = 1\nstudy d from base.b {}\n')
    with pytest.raises(tsdl.TsdlError, match="E0507"):
        tsdl.study(path, jobs=1)


def test_an_answer_shows_itself_and_goes_to_pandas() -> None:
    answer = asked(
        "study s { scenario = one; vary gpus in [1, 2]; table price; expect price > 0 USD }"
    )
    assert repr(answer) == "<Answer of s: 2 of 2 points, passed>"
    pytest.importorskip("pandas", reason="needs pandas: pip install '.[pandas]'")
    frame = answer.to_pandas()
    assert list(frame["gpus"]) == [1, 2]
    assert list(frame["price"]) == means(answer, "price")


@pytest.mark.parametrize("name", ["status", "pareto"])
def test_a_column_of_the_table_is_no_axis(name: str) -> None:
    text = f"""
param {name} = 2 req/s
workload few from sharegpt(rate = {name}) {{ requests = 3 }}
scenario one {{ model = llama2_7b; cluster = single(A100_80G); workload = few }}
study s {{ scenario = one; vary {name} in [1, 2] req/s; table throughput }}
"""
    assert [found.code for found in tsdl.check(f'edition "2026"\n{text}')] == ["E0529"]


@pytest.mark.parametrize("seed", [1.5, 2.0, -1, 2**64, "3"])
def test_a_seed_that_cannot_be_is_refused_before_a_run(seed: int) -> None:
    text = "scenario s { model = llama2_7b; cluster = single(A100_80G); workload = sharegpt }\n"
    with pytest.raises(ValueError, match="a seed is a whole number"):
        tsdl.study(text + "study t { scenario = s; table throughput }", seed=seed, jobs=1)
