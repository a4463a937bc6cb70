"""Studies whose policies and costs are Python: each run has its own, and nothing is kept."""

from pathlib import Path
from threading import Lock
from typing import Any

import pytest

import tsdl
from tsdl.studies import Answer

PROGRAM = """
param scheduler: policy = continuous
param time: cost = constant_cost
policy learned from continuous { extern = "mine"; reads = [w.queued] }
cost guessed { extern = "predictor"; reads = [tokens] }
cluster three { worker gpu * 3 { hardware = A100_80G; cost = time } }
workload few from sharegpt(rate = 4 req/s) { requests = 20 }
scenario s { model = llama2_7b; cluster = three; policy = scheduler; workload = few }
study policies {
  scenario = s; vary scheduler in [learned, continuous]; replicate 2; table mean(e2e)
}
study costs { scenario = s; vary time in [guessed, constant_cost]; table mean(tpot) }
"""


class Turns:
    """Sends requests round; a second run with the same object begins elsewhere."""

    def __init__(self) -> None:
        """Begin with the first."""
        self.next = 0

    def arrive(self, act: Any, request: Any, workers: Any) -> None:  # noqa: ANN401
        """Send one to whose turn it is."""
        act.dispatch(request, self.next % 2)
        self.next += 1 if request.id else 2


def asked(name: str, **externs: object) -> Answer:
    return tsdl.study(PROGRAM, name, externs=externs)


def test_policies_are_compared_and_each_run_begins_anew() -> None:
    mine = Turns()
    answer = asked("policies", mine=mine)
    assert [row.status for row in answer.rows] == ["ok", "ok"]
    assert mine.next == 0
    each = answer.rows[0].figures["mean(e2e)"].each
    for seed, found in enumerate(each):
        plan = tsdl.compile(PROGRAM, {"scheduler": "learned"}, externs={"mine": Turns()})
        assert plan.run(seed).summary["latency"]["e2e"]["mean"] == found


def test_costs_are_compared() -> None:
    answer = asked("costs", predictor=lambda tokens: 5e-3 + 1e-5 * tokens)
    assert answer.passed
    assert answer.rows[0].figures != answer.rows[1].figures


def test_what_fails_in_python_is_a_row() -> None:
    answer = asked("costs", predictor=lambda tokens: 1 / 0)
    assert [row.status for row in answer.rows] == ["failed", "ok"]
    assert "E0904" in answer.rows[0].reason
    missing = tsdl.study(PROGRAM, "policies", jobs=1)
    assert "E0519" in missing.rows[0].reason
    assert not missing.passed


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"jobs": 2}, "leave `jobs` and `cluster` out"),
        ({"cluster": "tcp://127.0.0.1:1"}, "leave `jobs` and `cluster` out"),
        ({"store": Path("kept.sqlite")}, "leave `store` out"),
    ],
)
def test_python_stays_in_this_process(more: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        tsdl.study(PROGRAM, "policies", externs={"mine": Turns()}, **more)


def test_what_cannot_be_copied_is_told_of() -> None:
    mine = Turns()
    mine.lock = Lock()  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="`mine` cannot be copied"):
        asked("policies", mine=mine)
