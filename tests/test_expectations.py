"""What a scenario expects: whether it holds, what was found, and what may be calculated with."""

import pytest

import tsdl
from tests.told_requests import FIVE, Told, result_of
from tsdl.runtime.request import REJECTED
from tsdl.runtime.text import summary


def expected(text: str, *requests: Told) -> tuple[bool, float | None]:
    """Return whether an expectation holds, and what it shows."""
    result = result_of(*requests, more=f"expect {text}")
    [found] = result.expectations
    assert result.passed == found.passed
    return found.passed, found.value


@pytest.mark.parametrize(
    ("text", "passed", "value"),
    [
        ("p50(ttft) <= 500 ms", True, 0.5),
        ("p99(ttft) <= 500 ms", False, 0.5 + 3.5 * 0.98),
        ("p999(ttft) > 3990 ms", True, 0.5 + 3.5 * 0.998),
        ("mean(e2e) == 14.5 s / 3", True, 14.5 / 3),
        ("min(ttft) >= 0.5 s", True, 0.5),
        ("max(mtpot) < 8 s", False, 8),
        ("attainment >= 40 %", True, 0.4),
        ("goodput >= 1 req/s", False, 2 / 9),
        ("rejected == 1 req", True, 1),
        ("finished + rejected + unfinished == arrived", True, 5),
        ("p50(itl) <= 500 ms", True, 0.5),
        ("max(itl) <= 8 s", True, 8),
        ("mean(e2e / output) <= 3 s/token", True, (0.5 + 3 + 4) / 3),
        ("mean(tpot if output > 1 token else ttft) <= 3 s", True, (0.5 + 4.25 + 4) / 3),
        ("token_throughput <= 1 token/s", True, 9 / 9),
        ("token_throughput_per_device <= 1 token/s", True, 9 / 9),
        ("makespan == 9 s", True, 9),
    ],
)
def test_an_expectation_says_what_it_found(text: str, passed: bool, value: float) -> None:
    found = expected(text, *FIVE)
    assert found[0] is passed
    assert found[1] == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    "text", ["mean(itl * 2) <= 10 s", "max(itl / 1 s) <= 8", "p50(-itl) < 0 s"]
)
def test_gaps_may_be_calculated_with(text: str) -> None:
    assert expected(text, *FIVE)[0]


def test_p100_is_not_the_tenth_percentile() -> None:
    """`p999` is 99.9 %, so `p100` would be 10.0 %: whoever writes it means the greatest."""
    try:
        found = expected("p100(ttft) <= 1 h", *FIVE)
    except tsdl.TsdlError:
        return
    assert found[1] == 4.0


def test_gaps_and_requests_do_not_go_together() -> None:
    """There is no gap of a request: the check says so, and no traceback at the end of a run."""
    with pytest.raises(tsdl.TsdlError):
        expected("mean(itl / output) <= 1 s/token", *FIVE)


@pytest.mark.parametrize(
    "text",
    [
        "round_up_to(attainment, [0.1, 0.5, 1]) == 0.5",
        "round_up(attainment, 0.25) == 0.5",
        "floor(attainment) == 0",
        "clamp(attainment, 0.5, 1) == 0.5",
    ],
)
def test_functions_of_numbers_work_on_totals(text: str) -> None:
    assert expected(text, *FIVE)[0]


@pytest.mark.parametrize(
    "text",
    [
        "p99(ttft) <= 1 h",
        "p99(ttft) >= 0 s",
        "p99(ttft) != 5 s",
        "p99(ttft) == 5 s",
        "not p99(ttft) > 2 s",
        "mean(itl) < 1 s",
        "throughput >= 0 req/s",
    ],
)
def test_a_comparison_with_nothing_does_not_hold(text: str) -> None:
    assert not expected(text, Told(0, status=REJECTED))[0]


@pytest.mark.parametrize(
    ("text", "requests", "passed"),
    [
        ("ttft <= 4 s", FIVE, True),
        ("ttft <= 3 s", FIVE, False),
        ("e2e <= 10 * ttft", FIVE, False),
        ("ttft <= 3 s", (Told(0, status=REJECTED),), False),
    ],
)
def test_a_metric_by_itself_must_hold_for_every_finished_request(
    text: str, requests: tuple[Told, ...], passed: bool
) -> None:
    assert expected(text, *requests)[0] is passed


def test_expectations_are_in_the_summary() -> None:
    summary = result_of(*FIVE, more="expect p50(ttft) <= 1 s; expect p99(ttft) <= 1 s").summary
    assert [entry["passed"] for entry in summary["expect"]] == [True, False]
    assert summary["expect"][0]["text"] == "p50(ttft) <= 1 s"


@pytest.mark.parametrize(
    ("text", "passed", "value"),
    [
        ("10 ** (finished * 5 // 1 req) == 10 ** 15", True, 1e15),
        ("10 ** (finished * 7 // 1 req) > 1e20", True, 1e21),  # beyond 64 bits
        ("throughput / ((arrived - 5 req) / 1 s) >= 0", False, None),  # by zero
        ("not (log2(preemptions) >= 0)", True, None),  # that comparison does not hold
        ("preemptions == 0 or makespan / preemptions > 1 s", True, None),
        ("preemptions == 0 or p99(ttft, where = prompt > 1_000_000 tokens) < 1 s", False, None),
        ("ttft / ((prompt - prompt) / 1 token) != 0 s", False, None),
        ("finished(where = ttft / ((prompt - prompt) / 1 token) != 1 s) == 0 req", True, 0),
        ("(p99(ttft) / 1 ns) ** 1e9 >= 3", False, None),
        ("(throughput / ((arrived - 5 req) / 1 s) if arrived > 5 req else 2) == 2", True, 2),
        ("mean(ttft / (output - output)) >= 0 s/token", False, None),  # of nobody
        ("max(itl / (itl - itl)) >= 0", False, None),
    ],
)
def test_what_has_no_value_does_not_hold(text: str, passed: bool, value: float | None) -> None:
    found = expected(text, *FIVE)
    assert found[0] is passed
    if value is not None:
        assert found[1] == value


def test_what_fails_is_told_part_by_part() -> None:
    """Of 4 requests 2 come with the first, and wait; nobody has a TPOT."""
    text = """
cluster one { worker gpu { hardware = A100_80G; cost = constant_cost(1 s) } }
workload w {
  requests = 4; arrivals = uniform(1 req/s); prompt = constant(10 tokens)
  output = constant(1 tokens)
}
policy in_turn from continuous { local { max_requests = 1 } }
scenario s {
  model = llama2_7b; cluster = one; policy = in_turn; workload = w
  expect e2e <= 1.5 s and (makespan <= 1 s and arrived == 4)
  expect prompt > 20 tokens
  expect p99(tpot) <= 1 s
  expect p99(ttft, where = prompt > 20 tokens) <= 1 s and e2e > 0 s
  expect e2e > 0 s
}
"""
    result = tsdl.compile(text).run()
    first, *_ = result.expectations
    assert [(part.passed, part.met) for part in first.parts] == [
        (True, (4, 4)), (False, None), (True, None),
    ]  # fmt: skip
    told = summary(result)
    assert told[told.index("  FAIL") :].splitlines() == [
        "  FAIL  expect e2e <= 1.5 s and (makespan <= 1 s and arrived == 4)",
        "        not makespan <= 1 s   (it is 4 s)",
        "  FAIL  expect prompt > 20 tokens   (it is so of 0 of 4 requests)",
        "  FAIL  expect p99(tpot) <= 1 s   (it has no value)",
        "  FAIL  expect p99(ttft, where = prompt > 20 tokens) <= 1 s and e2e > 0 s",
        "        not p99(ttft, where = prompt > 20 tokens) <= 1 s   (no such request has finished)",
        "  pass  expect e2e > 0 s",
    ]
    assert [c.text for c in tsdl.Plan.from_json(result.plan.to_json()).expects[0].parts] == [
        "e2e <= 1.5 s", "makespan <= 1 s", "arrived == 4",
    ]  # fmt: skip


def test_a_param_of_the_name_of_a_function_hides_it_from_no_call() -> None:
    program = """
    param min = 3
    param p99 = 3 s
    link a { bandwidth = min(1 GB/s, 2 GB/s) * min }
    cluster one { worker gpu { hardware = A100_80G; link = a } }
    scenario s {
      model = llama2_7b; cluster = one; workload = sharegpt(requests = 5)
      expect p99(ttft) <= p99 and min(ttft) > 0 s
    }
    """
    assert not tsdl.check(program)
    result = tsdl.compile(program).run()
    assert result.passed
