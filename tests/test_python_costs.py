"""Costs in Python: what a function is asked with, what it may answer, and what is said of slips."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tsdl
from tests.engines import compared
from tsdl.costs import Batch, compiled, shares
from tsdl.runtime.asked import asking

NUMBERS = Callable[..., Any]


def program(cost: str, worker: str = "", more: str = "") -> str:
    return f"""
cost learned {{ {cost} }}
cluster one {{ worker gpu {{ hardware = A100_80G; cost = learned; {worker} }} }}
workload few from sharegpt(rate = 4 req/s) {{ requests = 40 }}
scenario it {{ model = llama2_7b; cluster = one; policy = chunked; workload = few; {more} }}
"""


WHOLE = program('extern = "mine"; reads = [tokens, contexts]')


def predictor(tokens: int, contexts: int) -> float:
    return 6e-3 + 25e-6 * tokens + 20e-9 * contexts


def run(function: NUMBERS, text: str = WHOLE) -> Any:  # noqa: ANN401 (a result)
    return tsdl.compile(text, externs={"mine": function}).run()


def slip(function: object, text: str = WHOLE) -> tsdl.Diagnostic:
    with pytest.raises(tsdl.TsdlError) as caught:
        tsdl.compile(text, externs={"mine": function}).run()
    (found,) = caught.value.diagnostics
    assert found.code == "E0904"
    return found


def test_a_function_takes_the_place_of_a_formula() -> None:
    formula = program("iteration = 6 ms + 25 us * tokens + 20 ns * contexts")
    ours, theirs = run(predictor).requests["e2e"], tsdl.compile(formula).run().requests["e2e"]
    assert ours == pytest.approx(theirs, rel=1e-12)


def test_both_engines_ask_alike() -> None:
    assert compared(tsdl.compile(WHOLE, externs={"mine": predictor})).how == "done"
    falling = program('extern = "mine"; reads = [requests]')
    plan = tsdl.compile(falling, externs={"mine": lambda requests: 1 / (1 + requests)})
    assert compared(plan).how == "done"


def test_only_what_is_read_is_asked_with() -> None:
    asked: list[dict[str, float]] = []

    def noting(**point: float) -> float:
        asked.append(point)
        return 1e-2

    run(noting, program('extern = "mine"; reads = [decodes, devices, decodes, tokens]'))
    assert {tuple(point) for point in asked} == {("decodes", "devices", "tokens")}
    assert all(type(x) is int for point in asked for x in point.values())
    assert {point["devices"] for point in asked} == {1}


def test_an_operator_is_asked_for_by_itself() -> None:
    """lm_head has a row for each sequence; the work is that of one of two devices."""
    cost = (
        'operator lm_head { extern = "mine"; reads = [tokens, bytes, devices] }\n'
        "operator attn { part a { time = 2 us } }"
    )
    text = program(cost, "parallel = tp(2); link = NVLink3")
    plan = tsdl.compile(text, externs={"mine": lambda tokens, bytes, devices: 0})  # noqa: A006
    batch = Batch()
    batch.add_prefill(100, 0, last=True)
    batch.add_decodes([50])
    asked: list[dict[str, float]] = []

    def noting(**point: float) -> float:
        asked.append(point)
        return 3e-3

    cost_of = plan.workers[0].cost
    ask = asking({"mine": noting})
    found = {share.name: share for share in shares(cost_of, batch, ask)}
    assert asked[0]["tokens"] == 2
    assert asked[0]["devices"] == 2
    assert asked[0]["bytes"] > 32_000 * 4096  # 2 bytes of half of the matrix
    assert found["lm_head"].seconds == 3e-3
    assert found["lm_head"].source == "Python mine"
    assert found["block.attn.a"].source == "formula"
    assert found["block.qkv"].source == "roofline"
    total = compiled(cost_of, ask=ask)(batch)
    assert sum(share.seconds for share in found.values()) == pytest.approx(total)


def test_a_part_is_not_asked_where_it_is_not_launched() -> None:
    cost = (
        "part base { time = 1 ms }\n"
        'part prefill { extern = "mine"; reads = [prefill_tokens, prefills]; when = prefills > 0 }'
    )
    result = run(lambda prefill_tokens, prefills: 1e-6 * prefill_tokens / prefills, program(cost))
    assert result.summary["requests"]["finished"] == 40


def test_breakpoints_and_pipelines_ask_too() -> None:
    model = "model stopped from llama2_7b { after block.attn when layer == 3 { log 1 } }\n"
    plan = tsdl.compile(
        model + program('operator qkv { extern = "mine"; reads = [tokens] }').replace(
            "model = llama2_7b", "model = stopped"
        ),
        externs={"mine": lambda tokens: 1e-5 * tokens},
    )  # fmt: skip
    assert plan.run().log
    text = program('extern = "mine"; reads = [tokens, contexts]', "parallel = pp(2)")
    assert compared(tsdl.compile(text, externs={"mine": predictor})).how == "done"


def test_the_rung_that_it_costs_is_named() -> None:
    (rung,) = tsdl.compile(WHOLE).rungs
    assert rung.name == "reference"
    (because,) = rung.because
    assert (because.part, because.place) == ("cost", "<text>:3:56")


def test_no_bound_is_held_against_what_nobody_knows() -> None:
    bound = "slo tight { ttft <= 1 us }\n"
    (warning,) = tsdl.check(bound + program("iteration = 5 ms", more="slo = tight"))
    assert warning.code == "W0502"
    text = program('extern = "mine"; reads = [tokens]', more="slo = tight")
    assert tsdl.check(bound + text) == []


def test_it_is_no_part_of_the_plan() -> None:
    with_it, without = tsdl.compile(WHOLE, externs={"mine": predictor}), tsdl.compile(WHOLE)
    assert with_it == without
    assert with_it.hash == without.hash
    again = tsdl.Plan.from_json(with_it.to_json())
    assert again == with_it
    with pytest.raises(tsdl.TsdlError, match="the cost `mine` is Python, and was not handed in"):
        again.run()
    assert again.with_externs({"mine": predictor}).run().summary == with_it.run().summary


@pytest.mark.parametrize(
    "point", [["tokens"], ["lambda", 1], ["to-kens", 1], ["a", 1, "a", 2], [1, 1]]
)
def test_a_plan_from_elsewhere_asks_by_plain_names(point: list[object]) -> None:
    text = tsdl.compile(WHOLE).to_json()
    assert '"extern"' in text
    from tsdl.formulajson import from_json

    with pytest.raises(ValueError, match="is not a formula"):
        from_json(["extern", "mine", *point])


def test_a_run_is_validated_with_it(tmp_path: Path) -> None:
    plan = tsdl.compile(WHOLE, externs={"mine": predictor})
    rows = plan.run().requests
    lines = ["prompt,output,arrived,ttft"]
    columns = (rows[name] for name in ("prompt", "output", "arrived", "ttft"))
    lines += [",".join(map(str, row)) for row in zip(*columns, strict=True)]
    (tmp_path / "run.csv").write_text("\n".join(lines), encoding="utf-8")
    found = tsdl.validate(plan, tmp_path / "run.csv")
    ttft = next(row for row in found.rows if (row.metric, row.statistic) == ("ttft", "mean"))
    assert ttft.error == pytest.approx(0, abs=1e-9)


# -- slips -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer", [-1, float("nan"), float("inf"), "1", None, True, [1], 1j, -(10**9)]
)
def test_an_answer_that_is_no_time_is_told(answer: object) -> None:
    found = slip(lambda tokens, contexts: answer)
    assert found.title == f"the cost `mine` in Python returns {answer!r}, which is no time"
    assert found.notes[0].startswith("asked with tokens = ")


def test_what_is_shown_is_one_line() -> None:
    assert slip(lambda tokens, contexts: [0] * 1000).title.count("0, ") < 40

    def failing(tokens: int, contexts: int) -> float:
        raise RuntimeError("first\nsecond")

    assert slip(failing).title.endswith("RuntimeError: first second")
    text = program('extern = "other"; reads = [tokens, contexts]').replace(
        "cost = learned;", 'cost = learned(extern = "mine");'
    )
    assert run(predictor, text).summary["requests"]["finished"] == 40


def test_an_answer_of_numpy_is_a_time() -> None:
    import numpy as np

    ours = run(lambda tokens, contexts: np.float32(0.25))
    assert ours.summary == run(lambda tokens, contexts: 0.25).summary


def test_what_it_raises_is_told_and_kept() -> None:
    def failing(tokens: int, contexts: int) -> float:
        raise KeyError(tokens * contexts)

    with pytest.raises(tsdl.TsdlError) as caught:
        run(failing)
    (found,) = caught.value.diagnostics
    assert found.title == "the cost `mine` in Python fails: KeyError: 0"
    assert found.notes[1].startswith("raised at test_python_costs.py:")


@pytest.mark.parametrize("function", [lambda: 1, lambda tokens: 1, lambda a, b: 1, 5, None])
def test_what_cannot_be_asked_is_told_before_the_run(function: object) -> None:
    title = slip(function).title
    told = ("does not take what it reads: tokens, contexts", "cannot be called")
    assert any(text in title for text in told)


def test_functions_that_do_not_tell_what_they_take_are_asked() -> None:
    found = slip(max, program('extern = "mine"; reads = [tokens]'))
    assert found.title.startswith("the cost `mine` in Python fails: TypeError")


def test_the_work_of_parts_counts_where_they_are_launched() -> None:
    """Attention without prefills has no waves of them, whose formula would have no value."""
    text = program('operator attn { extern = "mine"; reads = [flops, bytes] }')
    asked: list[dict[str, float]] = []

    def noting(**point: float) -> float:
        asked.append(point)
        return 1e-5

    kind = tsdl.compile(text).workers[0]
    time = compiled(kind.cost, ask=asking({"mine": noting}))
    prefill, decode, both = Batch(), Batch(), Batch()
    for batch in (prefill, both):
        batch.add_prefill(528, 0, last=True)
    for batch in (decode, both):
        batch.add_decodes([100, 200])
    for batch in (prefill, decode, both):
        time(batch)
    flops = [point["flops"] for point in asked]
    assert flops[0] > 0
    assert flops[1] == 4 * 32 * 128 * 300  # of all heads: products with keys, and with values
    assert flops[0] + flops[1] == flops[2]
