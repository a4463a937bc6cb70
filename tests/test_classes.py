"""Results of some requests alone: by `where`, and by the priorities that requests have."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import tsdl
from tests.engines import compared
from tests.told_requests import Told, result_of
from tsdl.cli import main
from tsdl.runtime.request import REJECTED
from tsdl.runtime.text import summary
from tsdl.studies.answer import Answer

# Of the first class two are good and one is rejected; of the second, one is late, one unfinished.
CLASSES = (
    Told(0, (0.5, 1.0, 1.5), prompt=10),
    Told(0, (0.7, 1.7), prompt=50),
    Told(0, status=REJECTED),
    Told(0, (4.0,), priority=1),
    Told(0, (0.5, 1.0), output=9, priority=1),
    Told(0, (9.5, 10.0), priority=2),
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("mean(ttft, where = priority == 0) >= 0 s", 0.6),
        ("max(ttft, where = priority < 2) >= 0 s", 4.0),
        ("p50(e2e / output, where = priority == 0) >= 0 s/token", (0.5 + 0.85) / 2),
        ("mean(ttft, where = prompt > 20 tokens and priority == 0) >= 0 s", 0.7),
        ("mean(ttft, where = tpot <= 1 s) >= 0 s", (0.5 + 0.7 + 9.5) / 3),
        ("mean(ttft, where = not tpot <= 1 s) >= 0 s", None),  # who has one token has no tpot
        ("mean(ttft, where = tpot <= 1 s or priority == 1) >= 0 s", (0.5 + 0.7 + 9.5) / 3),
        ("mean(priority) >= 0", 0.75),
        ("mean(ttft, where = priority in [1, 2]) >= 0 s", 6.75),
        ("mean(ttft, where = (ttft > 1 s if priority == 1 else false)) >= 0 s", 4),
        ("mean(ttft, where = priority == 7) >= 0 s", None),
        ("mean(max(1 s, ttft)) >= 0 s", (1 + 1 + 4 + 9.5) / 4),
        ("max(min(ttft, 5 s, 4.5 s)) >= 0 s", 4.5),
        ("mean(clamp(ttft, 600 ms, 5 s)) >= 0 s", (0.6 + 0.7 + 4 + 5) / 4),
        ("mean(ttft if ttft <= 1 s else 1 s) >= 0 s", (0.5 + 0.7 + 1 + 1) / 4),
        ("mean(1 s if priority == 0 else ttft, where = ttft < 5 s) >= 0 s", 2.0),
        ("arrived(where = priority == 0) >= 0 req", 3),
        ("finished(where = priority == 1) >= 0 req", 1),
        ("rejected(where = priority == 0) >= 0 req", 1),
        ("unfinished(where = priority == 1) >= 0 req", 1),
        ("arrived(where = ttft >= 0.5 s) >= 0 req", 5),  # the unfinished has its first token
        ("arrived(where = e2e >= 0 s) >= 0 req", 4),
        ("arrived(where = priority == 7) >= 0 req", 0),
        ("attainment(where = priority == 0) >= 0", 2 / 3),
        ("attainment(where = priority == 1) >= 0", 0),
        ("attainment(where = priority == 7) >= 0", None),
        ("throughput(where = priority == 0) >= 0 req/s", 2 / 10),
        ("goodput(where = priority == 2) >= 0 req/s", 0),
        ("token_throughput(where = priority == 1) >= 0 tokens/s", 3 / 10),
        ("throughput(where = priority == 7) >= 0 req/s", 0),
    ],
)
def test_a_statistic_or_a_total_is_of_some_requests(text: str, value: float | None) -> None:
    [found] = result_of(*CLASSES, more=f"expect {text}").expectations
    assert found.value == (None if value is None else pytest.approx(value, rel=1e-12))
    assert found.passed is (value is not None)


@pytest.mark.parametrize("name", ["arrived", "finished", "goodput", "throughput", "rejected"])
def test_totals_of_all_classes_add_up(name: str) -> None:
    parts = " + ".join(f"{name}(where = priority == {n})" for n in range(3))
    assert result_of(*CLASSES, more=f"expect {parts} == {name}").passed


def test_the_warm_up_counts_in_no_class() -> None:
    more = "expect arrived(where = priority == 0) == 1 req"
    assert result_of(Told(0, (1,)), Told(5, (6,)), warmup=3, more=more).passed


def test_a_bound_may_depend_on_the_priority() -> None:
    slo = "ttft <= (600 ms if priority == 0 else 5 s)"
    result = result_of(*CLASSES, slo=slo)
    assert result.totals["attainment"] == 2 / 6


# -- tables of priorities ----------------------------------------------------------------------


def test_a_table_tells_priorities_apart() -> None:
    plan = tsdl.compile(RUN.format("priority = choice(0: 1, 5: 3)"))
    lines = summary(plan.run()).splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("  priority "))
    assert lines[at].split()[1:4] == ["requests", "finished", "mean"]
    rows = [line.split() for line in lines[at + 1 : at + 3]]
    assert [row[0] for row in rows] == ["0", "5"]
    assert sum(int(row[1]) for row in rows) == 60
    assert "in SLO" in lines[at]


@pytest.mark.parametrize("drawn", ["", "priority = uniform(1..90)", "priority = constant(3)"])
def test_there_is_no_table_where_there_are_no_classes(drawn: str) -> None:
    text = summary(tsdl.compile(RUN.format(drawn)).run())
    assert "\n  priority " not in text


def test_the_report_has_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("vl_convert")
    monkeypatch.chdir(tmp_path)
    for name, drawn in (("with", "priority = choice(-1: 1, 2: 3)"), ("without", "")):
        Path(f"{name}.tsim").write_text(RUN.format(drawn))
        assert main(["run", f"{name}.tsim", "--out", name]) == 0
        assert main(["report", name, "-o", f"{name}.html"]) == 0
    assert "By priority" not in Path("without.html").read_text()
    assert ">By priority<" in (text := Path("with.html").read_text())
    assert '<th scope="row">-1</th>' in text
    told = capsys.readouterr().out
    row = next(line for line in told.splitlines() if line.startswith("  -1 ")).split()
    assert f"<td>{row[1]}</td><td>{row[2]}</td><td>{row[3]} {row[4]}</td>" in text


def test_the_report_reads_priorities_from_parquet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow")
    pytest.importorskip("vl_convert")
    monkeypatch.chdir(tmp_path)
    Path("a.tsim").write_text(RUN.format("priority = choice(-1: 1, 2: 3)"))
    for form in ("csv", "parquet"):
        assert main(["run", "a.tsim", "--out", "of", "--table-format", form]) == 0
        assert main(["report", "of", "-o", f"{form}.html"]) == 0
    assert Path("csv.html").read_bytes() == Path("parquet.html").read_bytes()


# -- files -------------------------------------------------------------------------------------

RUN = """edition "2026"
slo tiers {{ ttft <= (30 ms if priority == 0 else 1 s) }}
workload some from sharegpt(rate = 9 req/s) {{ requests = 60; {} }}
scenario one {{
  model = llama2_7b; cluster = single(A100_80G); policy = priority_first; workload = some
  slo = tiers
}}
"""
TELLS = """policy tells { global {
  on arrive(r) { record "of", r.priority; dispatch r to pick(w by w.queued for w in workers) }
} }
"""


@pytest.mark.parametrize(
    "more",
    [
        "priority = choice(0: 1, 1: 3)",
        "priority = uniform(0..3); turns = uniform(1..3); sessions = 30",
        "priority = choice(0: 1, 1.5: 1); concurrency = 3",
    ],
)
def test_the_column_of_priorities_is_that_of_each_request(more: str) -> None:
    text = RUN.format(more).replace("slo = tiers", "slo = tiers; router = tells") + TELLS
    plan = tsdl.compile(text)
    assert compared(plan).how == "done"
    result = plan.run()
    assert list(result.requests)[-1] == "priority"
    served = result.requests["status"] != REJECTED  # no policy is asked of what is too long
    assert result.requests["priority"][served].tolist() == result.records["value"].tolist()


def test_without_priorities_there_is_no_column() -> None:
    assert "priority" not in tsdl.compile(RUN.format("")).run().requests


TRACE = "arrived_at,num_prefill_tokens,num_decode_tokens,tier\n" + "".join(
    f"{i / 10},{100 + i},{5 + i % 7},{i % 3}\n" for i in range(30)
)
REPLAY = """edition "2026"
workload some {{ {} }}
scenario one {{
  model = llama2_7b; cluster = single(A100_80G); policy = priority_first; workload = some
}}
"""
Compile = Callable[[str, str, str], tsdl.Plan]


@pytest.fixture(name="compiled")
def _compiled(tmp_path: Path) -> Compile:
    def compiled(text: str, kind: str, more: str) -> tsdl.Plan:
        (tmp_path / f"t.{kind}").write_text(text)
        source = "" if "lengths" in more else f'trace = "t.{kind}"; '
        (tmp_path / "a.tsim").write_text(REPLAY.format(source + more))
        return tsdl.compile(tmp_path / "a.tsim")

    return compiled


NAMED = 'columns { priority = "tier" }'


def test_a_trace_brings_priorities(compiled: Compile) -> None:
    plan = compiled(TRACE, "csv", f"{NAMED}; requests = 20")
    assert compared(plan).how == "done"
    assert plan.run().requests["priority"].tolist() == [i % 3 for i in range(20)]
    assert tsdl.Plan.from_json(plan.to_json()).hash == plan.hash


def test_a_request_that_draws_a_row_has_its_priority(compiled: Compile) -> None:
    drawn = f"{NAMED}; arrivals = poisson(5 req/s); requests = 99; duration = 8 s"
    plan = compiled(TRACE, "csv", drawn.replace("columns", 'lengths = "t.csv"; columns', 1))
    requests = plan.run().requests
    assert 20 < len(requests["id"]) < 99
    assert requests["priority"].tolist() == ((requests["prompt"] - 100) % 3).tolist()


def test_lines_of_json_bring_priorities(compiled: Compile) -> None:
    lines = [
        {"timestamp": i * 100, "input_length": 90, "output_length": 5, "tier": -i} for i in range(5)
    ]
    plan = compiled("\n".join(map(json.dumps, lines)), "jsonl", NAMED)
    assert plan.run().requests["priority"].tolist() == [0, -1, -2, -3, -4]


def test_calls_of_a_session_have_its_priority(compiled: Compile) -> None:
    call = {"input_toks": 9, "output_toks": 2}
    lines = [
        {"arrival_time_ns": i * 10**9, "sub_requests": [call] * 2, "tier": i} for i in range(2)
    ]
    plan = compiled("\n".join(map(json.dumps, lines)), "jsonl", NAMED)
    assert sorted(plan.run().requests["priority"].tolist()) == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("text", "more", "code", "title"),
    [
        (TRACE, 'columns { priority = "teir" }', "E0602", "no column `teir`"),
        (TRACE.replace("tier", "tier,tier"), NAMED, "E0601", "2 columns `tier`"),
        (TRACE.replace(",2\n", ",gold\n"), NAMED, "E0603", "`tier` is 'gold': a priority is a num"),
        (TRACE.replace(",2\n", ",\n"), NAMED, "E0603", "`tier` is ''"),
        (TRACE.replace(",2\n", ",inf\n"), NAMED, "E0603", "a priority is from"),
        (TRACE.replace(",2\n", ",nan\n"), NAMED, "E0603", "a priority is from"),
        (TRACE, f"{NAMED}; priority = constant(2)", "E0521", "a column of priorities"),
    ],
)
def test_mistakes_are_told(compiled: Compile, text: str, more: str, code: str, title: str) -> None:
    with pytest.raises(tsdl.TsdlError) as failed:
        compiled(text, "csv", more)
    found = failed.value.diagnostics[0]
    assert found.code == code
    assert title in found.title


def test_a_column_of_priorities_is_that_of_a_file() -> None:
    with pytest.raises(tsdl.TsdlError, match="names a column of priorities, and no file"):
        tsdl.compile(RUN.format(NAMED))


def test_a_plan_with_priorities_of_other_rows_is_refused(compiled: Compile) -> None:
    data = json.loads(compiled(TRACE, "csv", NAMED).to_json())
    data["workload"]["priority"]["values"].pop()
    with pytest.raises(ValueError, match="priorities"):
        tsdl.Plan.from_json(json.dumps(data))


# -- studies -----------------------------------------------------------------------------------

STUDY = """edition "2026"
param qps = 9 req/s
param tier = 0
param order: policy = continuous
workload some from sharegpt(rate = qps) {{ requests = 60; priority = choice(0: 1, 1: 2) }}
slo tiers {{ ttft <= (300 ms if priority == 0 else 1 s) }}
scenario one {{
  model = llama2_7b; cluster = single(A100_80G); policy = order; workload = some; slo = tiers
}}
study s {{ scenario = one; {} }}
"""


def asked(text: str) -> Answer:
    return tsdl.study(STUDY.format(text), jobs=1)


def test_a_study_asks_of_some_requests() -> None:
    """A condition may read a param that is varied; a value may be of another point, or along."""
    answer = asked("""
  vary qps in [4, 9] req/s
  vary tier in [0, 1]
  table mean(ttft, where = priority == tier), attainment(where = priority == tier)
  table mean(ttft, where = priority == tier)[tier = 0], arrived(where = priority == 1 - tier)
  table max(goodput(where = priority == tier) over qps if qps > 4 req/s)
  expect mean(ttft, where = priority == 0) > 0 s where qps <= 4 req/s""")
    assert answer.passed
    plan = tsdl.compile(STUDY.format("table qps"), scenario="one", params={"qps": "9 req/s"})
    result = plan.run()
    found = answer.rows[3].figures
    second = result.requests["priority"] == 1
    mean = result.requests["ttft"][second].mean()
    assert found["mean(ttft, where = priority == tier)"].mean == pytest.approx(mean, rel=1e-12)
    assert found["arrived(where = priority == 1 - tier)"].mean == int((~second).sum())
    good = (result.requests["ttft"][second] <= 1).mean()
    assert found["attainment(where = priority == tier)"].mean == pytest.approx(good)
    [first, _, _, last] = answer.rows
    elsewhere = "mean(ttft, where = priority == tier)[tier = 0]"
    own = "mean(ttft, where = priority == tier)"
    assert first.figures[elsewhere].mean == first.figures[own].mean
    assert last.figures[elsewhere].mean == answer.rows[2].figures[own].mean
    along = "max(goodput(where = priority == tier) over qps if qps > 4 req/s)"
    assert first.figures[along].mean == answer.rows[2].figures[along].mean > 0


def test_a_search_keeps_to_what_some_requests_have() -> None:
    rates = []
    for priority in (0, 1):
        of = f"attainment(where = priority == {priority})"
        answer = asked(f"maximize qps in 1..64 req/s while {of} >= 80 %; table qps, {of}")
        figures = answer.rows[0].figures
        assert figures[of].mean >= 0.8
        rates.append(figures["qps"].mean)
    assert rates[0] < rates[1]  # its bound is the tighter one


def test_best_pareto_and_pictures_are_of_some_requests() -> None:
    answer = asked("""
  vary order in [continuous, priority_first]
  vary qps in [9, 20] req/s
  best order by p99(ttft, where = priority == 0)
  pareto by mean(ttft, where = priority == 0), -throughput(where = priority == 0)
  table qps
  plot lines(p50(ttft, where = priority == 0), p50(ttft, where = priority == 1), x = qps)
  plot cdf(ttft, where = priority == 0)
  plot cdf(ttft)""")
    lines, some, every = answer.data["pictures"]
    assert len(lines["rows"][0]["values"]) == 2
    assert some["text"] == "cdf(ttft, where = priority == 0)"
    assert len(some["rows"][0]["percentiles"][0]) == 101
    assert some["rows"][0]["percentiles"] != every["rows"][0]["percentiles"]
    assert some["rows"][0]["percentiles"][0][50] == lines["rows"][0]["values"][0]
