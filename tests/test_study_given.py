"""Params and constants that people give: what a check, and a study itself, make of them."""

from pathlib import Path

import pytest

import tsdl
from tsdl.cli import main

TEXT = """
param count: int = 1
param held = slight.memory.capacity
hardware slight from A100_80G { memory.capacity = 1 GB }
cluster some { worker gpu * count { hardware = slight } }
workload few from sharegpt(rate = 4 req/s) { requests = 5 }
scenario little { model = llama2_7b; cluster = some; workload = few }
study s { scenario = little; vary count in [1, 2]; table throughput * held / throughput }
"""
ENOUGH = {"hardware.slight.memory.capacity": "80 GB"}


def test_a_check_with_constants_has_them_in_studies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = """
param served: model = llama2_7b
hardware slight from A100_80G { memory.capacity = 24 GB }
scenario little { model = served; cluster = single(slight); workload = sharegpt }
study s { scenario = little; vary served in [llama2_7b, llama2_13b]; table throughput }
"""
    path = tmp_path / "it.tsim"
    path.write_text(text, "utf-8")
    assert main(["check", str(path)]) == 0
    assert "1 point is infeasible" in capsys.readouterr().out
    assert main(["check", str(path), "--set", "hardware.slight.memory.capacity=80 GB"]) == 0
    assert "infeasible" not in capsys.readouterr().out


def test_a_study_has_its_constants_in_what_it_tells_too() -> None:
    answer = tsdl.study(TEXT, constants=ENOUGH, jobs=1)
    told = [row.figures["throughput * held / throughput"].mean for row in answer.rows]
    assert told == pytest.approx([80e9] * 2)


def test_a_check_with_params_has_them_where_a_study_does_not_vary_them() -> None:
    assert tsdl.check(TEXT, ENOUGH, params={"count": 3}) == []
    assert [d.code for d in tsdl.check(TEXT, ENOUGH, params={"count": 0})] == ["E0513"]
    assert [d.code for d in tsdl.check(TEXT, ENOUGH, params={"counts": 1})] == ["E0507"]


@pytest.mark.parametrize("axis", ["", "vary count in [1, 2]; ", "case a { count = 2 }; "])
def test_a_check_with_params_has_them_in_studies(axis: str) -> None:
    text = TEXT.replace("count: int = 1", "count: int").replace("vary count in [1, 2]; ", axis)
    searched = TEXT.replace("vary count in [1, 2]", "maximize count in 1..2 while finished > 0")
    assert tsdl.check(text, ENOUGH, params={"count": 3}) == []
    assert tsdl.check(searched, ENOUGH, params={"count": 3}) == []
