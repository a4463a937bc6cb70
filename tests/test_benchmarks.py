"""The benchmarks: they still run, and say what they measured. What time they take is no test."""

import json
from pathlib import Path

import pytest

from benchmarks.long_program import long_program
from benchmarks.measure import HERE, ROWS, bench
from benchmarks.report import as_json, table
from tsdl import check


def test_the_long_program_has_no_mistake() -> None:
    text = long_program()
    assert 990 <= text.count("\n") <= 1000
    assert check(text) == []


@pytest.mark.parametrize("path", sorted(HERE.glob("*.tsim")), ids=lambda path: path.stem)
def test_every_scenario_has_no_mistake(path: Path) -> None:
    assert check(path) == []
    assert any(row.scenario == path.stem for row in ROWS.values())


def test_a_row_is_measured_and_shown() -> None:
    with bench(runs=1) as found:
        measured = [found.measure(ROWS["one_worker"], 20), found.measure(ROWS["check"])]
    alone, checked = (one.figures for one in measured)
    assert alone["arrived"] == 20
    assert alone["iterations"] > 20
    assert alone["ratio"] > 0
    assert min(alone["whole"], alone["summary"], alone["megabytes"], checked["whole"]) > 0
    assert "| one_worker | 20 | " in table(measured)
    assert [row["name"] for row in json.loads(as_json(measured))] == ["one_worker", "check"]


@pytest.mark.long
def test_a_study_is_measured_by_the_clock() -> None:
    with bench(runs=1) as found:
        measured = [found.measure(ROWS["study"], 2)]
    assert measured[0].figures["speedup"] > 0
    assert "| study | 2 |  | two cores / one |" in table(measured)
