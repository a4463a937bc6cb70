"""TSDL from Python: compile, plan, run, errors as data."""

import pickle
from pathlib import Path

import numpy as np
import pytest

import tsdl

TEXT = """
param qps = 4 req/s
param n: int = 50
param device: hardware = A100_80G
workload w from sharegpt(qps) { requests = n }
scenario small { model = llama2_7b; cluster = single(device); workload = w }
scenario other { model = llama2_13b; cluster = single(device); workload = w }
"""


def test_a_text_and_a_file_compile_alike(tmp_path: Path) -> None:
    path = tmp_path / "x.tsim"
    path.write_text(TEXT, encoding="utf-8")
    assert tsdl.compile(path, scenario="small").hash == tsdl.compile(TEXT, scenario="small").hash


def test_params_are_set_by_value_or_text() -> None:
    plan = tsdl.compile(TEXT, {"n": 7, "qps": "2 req/s", "device": "H100_SXM"}, "small")
    assert plan.workload.requests == 7
    assert plan.workers[0].hardware == "H100_SXM"
    assert plan.hash != tsdl.compile(TEXT, scenario="small").hash


def test_a_plan_runs_to_numpy_columns() -> None:
    result = tsdl.compile(TEXT, scenario="small").run(seed=3)
    assert len(result.requests["ttft"]) == 50
    assert result.requests["ttft"].dtype == np.float64
    assert (result.requests["e2e"] >= result.requests["ttft"]).all()
    assert result.summary["requests"]["finished"] == 50
    assert result.summary["seed"] == 3


def test_pandas_when_asked() -> None:
    frame = tsdl.compile(TEXT, {"n": 5}, "small").run().to_pandas()
    assert list(frame["id"]) == [0, 1, 2, 3, 4]


def test_a_plan_is_a_value() -> None:
    plan = tsdl.compile(TEXT, scenario="small")
    again = tsdl.Plan.from_json(plan.to_json())
    assert again == plan
    assert isinstance(again, tsdl.Plan)
    assert pickle.loads(pickle.dumps(plan)) == plan
    assert again.run().summary == plan.run().summary


def test_comments_do_not_change_the_hash() -> None:
    commented = TEXT.replace("scenario small", "## What it is.\nscenario small")
    one, other = tsdl.compile(commented, scenario="small"), tsdl.compile(TEXT, scenario="small")
    assert one.hash == other.hash
    assert one.docs != other.docs


@pytest.mark.parametrize(
    ("source", "params", "scenario", "code"),
    [
        (TEXT, {}, None, "E0506"),
        (TEXT, {}, "nope", "E0506"),
        (TEXT, {"m": 1}, "small", "E0507"),
        (TEXT, {"n": "two"}, "small", "E0201"),
        (TEXT, {"qps": 4}, "small", "E0301"),
        (TEXT, {"n": -1}, "small", "E0503"),
        ("scenario {", {}, None, "E0102"),
        (Path("nowhere.tsim"), {}, None, "E0109"),
    ],
)
def test_errors_carry_diagnostics(
    source: str | Path, params: dict[str, object], scenario: str | None, code: str
) -> None:
    with pytest.raises(tsdl.TsdlError) as caught:
        tsdl.compile(source, params, scenario)
    assert [d.code for d in caught.value.diagnostics] == [code]
    assert code in str(caught.value)


@pytest.mark.parametrize("text", ["not json", "{}", "[]", '{"format": 99}', '{"format": 1}'])
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"plan|Expecting"):
        tsdl.Plan.from_json(text)
