"""Plans with measured tables: they are values, in JSON too, and what is none is refused."""

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tsdl
from tests.kernel_tables import program, tables_in


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return tables_in(tmp_path, monkeypatch)


def test_a_plan_with_tables_is_a_value() -> None:
    plan = tsdl.compile(program())
    again = tsdl.Plan.from_json(plan.to_json())
    assert again == plan
    assert (again.hash, hash(again.workers[0].cost)) == (plan.hash, hash(plan.workers[0].cost))
    assert pickle.loads(pickle.dumps(plan.workers)) == plan.workers
    assert again.run().summary == plan.run().summary


def test_groups_with_the_same_tables_share_them_in_json() -> None:
    text = (
        program()
        .replace("worker gpu {", "node a * 3 { worker gpu {")
        .replace("kernels;  } }", "kernels } }; network = Ethernet_100G }")
    )
    plan = tsdl.compile(text)
    data = json.loads(plan.to_json())
    tables = [kind["cost"]["tables"] for kind in data["workers"]]
    assert tables[1:] == [0, 0]
    assert tsdl.Plan.from_json(plan.to_json()) == plan
    data["workers"][1]["cost"]["tables"] = 1
    with pytest.raises(ValueError, match="comes before"):
        tsdl.Plan.from_json(json.dumps(data))


def _ask_another(cost: dict[str, Any]) -> None:
    kernel = next(k for s in cost["stages"] for k in s["kernels"] if k["name"] == "qkv")
    kernel["time"] = ["table", "kqv", ["symbol", "tokens"]]


def _name_no_name(cost: dict[str, Any]) -> None:
    cost["tables"][0]["name"] = "a b"


def _one_axis_more(cost: dict[str, Any]) -> None:
    cost["tables"][0]["axes"] = ["a", "b"]


def _less_than_nothing(cost: dict[str, Any]) -> None:
    cost["tables"][0]["grid"]["values"][0] = -1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_ask_another, "no table 'kqv'"),
        (_name_no_name, "names of their own"),
        (_one_axis_more, "other axes"),
        (_less_than_nothing, "no time"),
    ],
)
def test_a_plan_whose_tables_cannot_be_read_is_refused(
    change: Callable[[dict[str, Any]], None], reason: str
) -> None:
    data = json.loads(tsdl.compile(program(worker="parallel = pp(2)")).to_json())
    (kind,) = data["workers"]
    for cost in (kind["cost"], *kind["pipeline"]):
        whole = copy.deepcopy(cost)
        change(cost)
        with pytest.raises(ValueError, match=reason):
            tsdl.Plan.from_json(json.dumps(data))
        cost.update(whole)


def test_a_table_may_be_called_what_python_has_for_itself() -> None:
    part = 'file = "dense.csv"; rows { layer = "qkv" }; at { tokens = tokens }'
    parts = "; ".join(f"part {name} {{ {part}; unit = 1 ns }}" for name in ("_own", "lambda"))
    plan = tsdl.compile(program(f'folder = "kernels"; {parts}'))
    assert tsdl.Plan.from_json(plan.to_json()).run().passed
