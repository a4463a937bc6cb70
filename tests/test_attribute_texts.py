"""Texts of attributes: which number each is, in one file and in several, and where that is told."""

import json
from pathlib import Path

import pytest

import tsdl
from tests.test_plan_values import put
from tsdl.cli.plantext import describe
from tsdl.reports.results import Run
from tsdl.reports.results import read as read_results
from tsdl.reports.tables import classes
from tsdl.runtime.files import write
from tsdl.runtime.text import summary

HEADER = "arrived_at,num_prefill_tokens,num_decode_tokens,user\n"
FIRST = f"{HEADER}0,90,4,acme\n1,90,4,globex\n2,90,4,acme\n"
SECOND = f"{HEADER}0,90,4,initech\n1,90,4,globex\n"
LONG = "a company with a name beyond all measure"
PROGRAM = """
attribute tenant: int
workload first { trace = "first.csv"; columns { tenant = "user" } }
workload second { trace = "second.csv"; columns { tenant = "user" } }
workload drawn from sharegpt(rate = 1 req/s) { requests = 3; attributes { tenant = constant(1) } }
workload asked from first {}

scenario s { model = llama2_7b; cluster = single(A100_80G); workload = asked }
"""


def plan_of(folder: Path, parts: str = "", *, first: str = FIRST) -> tsdl.Plan:
    (folder / "first.csv").write_text(first)
    (folder / "second.csv").write_text(SECOND)
    mixed = PROGRAM.replace("asked from first {}", f"asked {{ mix = [{parts}] }}")
    (folder / "a.tsim").write_text(mixed if parts else PROGRAM)
    return tsdl.compile(folder / "a.tsim")


def test_the_summary_and_the_plan_tell_which_number_is_which_text(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    rows = [line.split() for line in summary(plan.run()).splitlines()]
    assert [row[:3] for row in rows if "acme" in row or "globex" in row] == [
        ["0", "acme", "2"],
        ["1", "globex", "1"],
    ]
    assert "tenant of its row in the file (0 acme, 1 globex)" in describe(plan)
    again = tsdl.Plan.from_json(plan.to_json())
    assert again.hash == plan.hash
    assert again.workload.told("tenant", 1) == "1 globex"


def test_a_long_text_is_cut_and_columns_stay_in_line(tmp_path: Path) -> None:
    lines = summary(plan_of(tmp_path, first=FIRST.replace("acme", LONG)).run()).splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("  tenant"))
    assert lines[at + 1].startswith("  0 a company with a name b…")
    assert len({len(line) for line in lines[at : at + 3]}) == 1


def test_a_report_tells_them(tmp_path: Path) -> None:
    write(plan_of(tmp_path).run(), tmp_path / "out")
    (run,) = read_results([str(tmp_path / "out")])
    assert isinstance(run, Run)
    assert [row[0] for row in classes("tenant", [run]).rows] == ["0 acme", "1 globex"]


def test_a_text_is_the_same_number_in_all_files_of_a_mix(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "first, second")
    assert [each.attributes[0].names for each in plan.workload.parts] == [
        ("acme", "globex", "initech")
    ] * 2
    requests = plan.run().requests
    found = sorted(zip(requests["arrived"], requests["tenant"], strict=True))
    assert found == [(0.0, 0), (0.0, 2), (1.0, 1), (1.0, 1), (2.0, 0)]
    assert tsdl.Plan.from_json(plan.to_json()).hash == plan.hash


@pytest.mark.parametrize("use", ["trace", "lengths"])
def test_texts_are_counted_as_the_file_has_them_and_not_by_time(tmp_path: Path, use: str) -> None:
    rows = [(5, "zoe"), (1, "adam"), (2, "zoe")]
    lines = (
        json.dumps({"arrival_time": at, "input_toks": 9, "output_toks": 2, "user": user})
        for at, user in rows
    )
    (tmp_path / "f.jsonl").write_text("\n".join(lines))
    more = "" if use == "trace" else "; arrivals = poisson(1 req/s); requests = 3"
    asked = f'asked {{ {use} = "f.jsonl"; columns {{ tenant = "user" }}{more} }}'
    (tmp_path / "a.tsim").write_text(PROGRAM.replace("asked from first {}", asked))
    (tmp_path / "first.csv").write_text(FIRST)
    (tmp_path / "second.csv").write_text(SECOND)
    plan = tsdl.compile(tmp_path / "a.tsim")
    assert plan.workload.attributes[0].names == ("zoe", "adam")


def test_beside_numbers_that_are_drawn_texts_are_not_told(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "first, drawn")
    assert plan.workload.told("tenant", 1) == "1"
    assert "globex" not in describe(plan)


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("names", ["acme"], "'tenant' has numbers that stand for no text"),
        ("draw.values.0", 0.5, "'tenant' has numbers that stand for no text"),
        ("names", ["globex", "acme", "initech"], "texts of attributes are numbered alike"),
    ],
)
def test_a_plan_whose_texts_go_wrong_is_refused(
    tmp_path: Path, path: str, value: object, told: str
) -> None:
    data = json.loads(plan_of(tmp_path, "first, second").to_json())
    put(data, f"workload.parts.0.attributes.0.{path}", value)
    with pytest.raises(ValueError, match=told):
        tsdl.Plan.from_json(json.dumps(data))
