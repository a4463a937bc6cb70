"""What docs/accuracy.md says stays true: errors against measured runs and operators."""

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.fixture(scope="module")
def make() -> dict[str, Any]:
    """Return what docs/make_accuracy.py defines."""
    return runpy.run_path(str(DOCS / "make_accuracy.py"))


def percents(lines: list[str]) -> list[list[float]]:
    """Return the percentages in each row of a table."""
    found = [[float(n) for n in re.findall(r"([-+]?[\d.]+) %", text)] for text in lines]
    return [row for row in found if row]


def test_a_run_is_predicted(data: Path, make: dict[str, Any]) -> None:
    """Within 5 %, by constants that know nothing of the run."""
    [row] = percents(list(make["runs"](data)))
    assert max(map(abs, row)) < 5


def test_a_run_is_predicted_from_tables(data: Path, make: dict[str, Any]) -> None:
    [row] = percents(list(make["tables"](data)))
    assert max(map(abs, row)) < 2


def test_operators_of_the_a100_are(data: Path, make: dict[str, Any]) -> None:
    gemms, reduces = "\n".join(make["operators"](data)).split("| all-reduce")
    assert all(median < 10 for median, _ in percents(gemms.splitlines()))
    assert all(large < 15 and small < 40 for large, small in percents(reduces.splitlines()))


def test_each_effect_is_left_out_of_the_same_run(data: Path, make: dict[str, Any]) -> None:
    rows = percents(list(make["ablations"](data)))
    assert len(rows) == len(make["ABLATIONS"])
    assert all(row != rows[0] for row in rows[1:])
