"""Metrics on requests made by hand, percentiles against numpy, bounds and expectations."""

import json
import math
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

import tsdl
from tsdl.runtime.arrivals import Arrivals
from tsdl.runtime.engine import Engine
from tsdl.runtime.files import summary_json
from tsdl.runtime.ledger import Ledger
from tsdl.runtime.metrics import Weighted, greatest, least, mean, percentile
from tsdl.runtime.outcome import Outcome
from tsdl.runtime.request import FINISHED, REJECTED, UNFINISHED, Request
from tsdl.runtime.result import Result
from tsdl.runtime.samples import Samples
from tsdl.runtime.sessions import Sessions
from tsdl.runtime.system import Notes

FILE = """edition "2026"
slo own {{ {slo} }}
cluster one {{ worker gpu {{ hardware = A100_80G; cost = constant_cost(1 s) }} }}
workload some {{
  requests = 1; arrivals = burst(); prompt = constant(8 tokens); output = constant(3 tokens)
  warmup = {warmup} s
}}
scenario told {{ model = llama2_7b; cluster = one; workload = some; slo = own; {more} }}
"""
NOBODY = Arrivals(np.zeros(0), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
PERCENTS = (0, 0.1, 1, 10, 25, 50, 75, 90, 99, 99.9, 100)


@dataclass(frozen=True)
class Told:
    """A request as one tells it: when it arrived, when its tokens came, how many it wanted."""

    arrived: float
    tokens: Sequence[float] = ()
    output: int | None = None
    prompt: int = 8
    status: str | None = None
    started: float | None = None


def request_of(number: int, told: Told, warmup: float) -> Request:
    output = len(told.tokens) if told.output is None else told.output
    request = Request(number, told.arrived, told.prompt, output, told.arrived >= warmup)
    request.generated = len(told.tokens)
    request.status = told.status or (FINISHED if len(told.tokens) == output else UNFINISHED)
    if told.tokens:
        request.started = told.arrived if told.started is None else told.started
        request.first, request.last = told.tokens[0], told.tokens[-1]
        request.largest_gap = max(gaps_of(told), default=0.0)
    return request


def ledger_of(requests: Sequence[Request]) -> Ledger:
    whole = (np.array([getattr(r, name) for r in requests]) for name in ("prompt", "output"))
    arrived = np.array([r.arrived for r in requests], dtype=np.float64)
    ledger = Ledger(Sessions(Arrivals(arrived, *whole), warmup=0))
    for request in requests:
        ledger.open(request)
    ledger.end()
    return ledger


def gaps_of(told: Told) -> list[float]:
    return [b - a for a, b in zip(told.tokens, told.tokens[1:], strict=False)]


def result_of(
    *requests: Told, slo: str = "ttft <= 1 s", more: str = "", warmup: float = 0, end: float = 100
) -> Result:
    """Return the result of a run that went as told."""
    plan = tsdl.compile(FILE.format(slo=slo, more=more, warmup=warmup))
    gaps = Counter(g for told in requests if told.arrived >= warmup for g in gaps_of(told))
    outcome = Outcome(
        requests=ledger_of([request_of(i, told, warmup) for i, told in enumerate(requests)]),
        workers=Engine(plan, NOBODY, 0).workers,
        tiers=[],
        notes=Notes(),
        gap_length=array("d", gaps.keys()),
        gap_count=array("q", gaps.values()),
        samples=Samples(),
        stuck=[],
        end=end,
        events=0,
    )
    return Result(plan, 0, outcome)


# -- percentiles -------------------------------------------------------------------------------


def weighted(values: Sequence[float], counts: Sequence[int]) -> Weighted:
    return Weighted(np.array(values, dtype=np.float64), np.array(counts, dtype=np.int64))


@pytest.mark.parametrize("seed", range(20))
def test_weighted_percentiles_are_those_of_the_expanded_list(seed: int) -> None:
    random = np.random.default_rng(seed)
    size = int(random.integers(1, 12))
    values = np.unique(random.lognormal(0, 2, size))
    counts = random.integers(1, 2 + 10 ** int(random.integers(0, 4)), len(values))
    metric = Weighted(values, counts)
    expanded = np.repeat(values, counts)
    assert len(metric) == len(expanded)
    for percent in PERCENTS:
        expected = np.percentile(expanded, percent)
        assert math.isclose(percentile(metric, percent), expected, rel_tol=1e-12)
    assert mean(metric) == pytest.approx(expanded.mean(), rel=1e-12)
    assert (least(metric), greatest(metric)) == (values[0], values[-1])


@pytest.mark.parametrize("percent", PERCENTS)
def test_percentiles_are_numpys_without_what_has_no_value(percent: float) -> None:
    values = np.random.default_rng(1).exponential(size=1001)
    holed = np.insert(values, [3, 500], math.nan)
    assert percentile(holed, percent) == np.percentile(values, percent)


def test_between_two_ranks_a_percentile_is_linear() -> None:
    assert percentile(weighted([1, 2], [1, 1]), 50) == 1.5
    assert percentile(weighted([1, 3], [3, 1]), 90) == pytest.approx(1 + 2 * 0.7)
    assert percentile(np.array([1.0, 3.0]), 25) == 1.5


def test_one_value_is_all_of_its_percentiles() -> None:
    for metric in (weighted([7], [1]), weighted([7], [9]), np.array([7.0])):
        assert {percentile(metric, percent) for percent in PERCENTS} == {7}
        assert mean(metric) == 7


@pytest.mark.parametrize("metric", [weighted([], []), np.array([]), np.array([math.nan])])
def test_of_nothing_there_is_no_statistic(metric: Weighted) -> None:
    for found in (mean(metric), percentile(metric, 50), least(metric), greatest(metric)):
        assert math.isnan(found)


def test_means_are_exact_whatever_the_order() -> None:
    values = [1e16, 1.0, -1e16, 1.0]
    assert mean(np.array(values)) == mean(np.array(values[::-1])) == 0.5
    assert mean(weighted([-1e16, 1, 1e16], [1, 2, 1])) == 0.5


# -- one value per request ---------------------------------------------------------------------


def test_each_metric_of_a_request_is_by_its_definition() -> None:
    columns = result_of(Told(2, (5, 6, 9, 9.5), started=4)).requests
    found = {name: columns[name][0] for name in ("queue", "ttft", "tpot", "mtpot", "e2e")}
    assert found == {"queue": 2, "ttft": 3, "tpot": 1.5, "mtpot": 3, "e2e": 7.5}


def test_latency_per_output_token_is_the_mean_of_each_requests_own() -> None:
    summary = result_of(Told(0, (4,)), Told(0, (1, 2))).summary
    assert summary["latency"]["e2e_per_output_token"]["mean"] == (4 + 1) / 2


def test_itl_is_over_all_gaps_and_not_over_requests() -> None:
    latency = result_of(Told(0, (1, 2, 3, 4)), Told(0, (1, 6))).summary["latency"]
    assert latency["itl"]["mean"] == (3 * 1 + 5) / 4
    assert latency["itl"]["p50"] == 1
    assert latency["tpot"]["mean"] == (1 + 5) / 2


def test_a_single_token_counts_for_ttft_and_e2e_only() -> None:
    latency = result_of(Told(0, (4,))).summary["latency"]
    assert (latency["ttft"]["mean"], latency["e2e"]["max"]) == (4, 4)
    for name in ("tpot", "mtpot", "itl"):
        assert set(latency[name].values()) == {None}


def test_latencies_are_of_finished_requests() -> None:
    others = Told(0, (50, 51), output=9), Told(0, status=REJECTED)
    summary = result_of(Told(0, (1, 2)), *others).summary
    assert summary["latency"]["ttft"]["max"] == 1
    assert summary["latency"]["e2e"]["max"] == 2
    assert summary["tokens"]["output"]["mean"] == 2


def test_rates_are_over_the_makespan() -> None:
    """From the first counted arrival, 3 s, to the last counted token, 13 s."""
    requests = [Told(0, (20,)), Told(3, (4, 5)), Told(4, (5, 13)), Told(6, (7,), output=2)]
    summary = result_of(*requests, warmup=3).summary
    assert summary["makespan"] == 10
    assert summary["throughput"] == 0.2
    assert summary["token_throughput"] == 0.5
    assert summary["goodput"] == 0.2


def test_the_counts_add_up() -> None:
    requests = [Told(0, (1,)), Told(1, (2,)), Told(1, status=REJECTED), Told(1, output=1)]
    counts = result_of(*requests, warmup=0.5).summary["requests"]
    assert {k: counts[k] for k in ("arrived", "finished", "rejected", "unfinished", "warmup")} == {
        "arrived": 3,
        "finished": 1,
        "rejected": 1,
        "unfinished": 1,
        "warmup": 1,
    }


def test_the_warm_up_counts_in_no_metric() -> None:
    requests = [Told(0, (50, 90)), Told(1, (1.5, 2))]
    summary = result_of(*requests, warmup=1).summary
    assert summary["latency"]["ttft"]["max"] == 0.5
    assert summary["latency"]["itl"]["max"] == 0.5
    assert summary["attainment"] == 1


# -- SLO ---------------------------------------------------------------------------------------

FIVE = (
    Told(0, (0.5, 1.0, 1.5)),  # good
    Told(0, (0.5, 1.0, 9.0)),  # too slow between two tokens
    Told(0, (4.0,)),  # too late
    Told(0, status=REJECTED),
    Told(0, (0.5, 1.0), output=9),
)


def test_rejected_and_unfinished_requests_miss_the_slo() -> None:
    summary = result_of(*FIVE, slo="ttft <= 1 s; mtpot <= 1 s").summary
    assert summary["attainment"] == 1 / 5
    assert summary["goodput"] == 1 / 9


@pytest.mark.parametrize(
    ("slo", "good"),
    [
        ("ttft <= 1 s", 2),
        ("ttft < 500 ms", 0),
        ("ttft <= 500 ms", 2),
        ("mtpot <= 1 s", 2),  # of one token there is no gap: it meets the bound
        ("tpot <= 1 s", 2),
        ("e2e <= 9 s; ttft <= 5 s", 3),
        ("output >= 2 tokens", 2),
        ("ttft <= 100 ms/token * prompt", 2),
        ("e2e <= 3 * ttft", 2),
    ],
)
def test_a_bound_holds_request_by_request(slo: str, good: int) -> None:
    assert result_of(*FIVE, slo=slo).summary["attainment"] == good / 5


def test_gaps_belong_to_no_request_so_that_no_slo_bounds_them() -> None:
    """`itl` has a value per gap: said by the check, or taken as the largest; no traceback."""
    try:
        result = result_of(*FIVE, slo="itl <= 1 s")
    except tsdl.TsdlError:
        return
    assert result.summary["attainment"] == 2 / 5


@pytest.mark.parametrize("slo", ["ttft <= makespan", "e2e <= 10 h * attainment"])
def test_a_bound_by_a_total_of_the_run_is_no_mistake_of_ours(slo: str) -> None:
    """Attainment would depend on itself: said by the check, and not by a KeyError after a run."""
    try:
        result = result_of(*FIVE, slo=slo)
    except tsdl.TsdlError:
        return
    assert result.summary["attainment"] == 3 / 5


def test_a_bound_by_a_statistic_of_nothing_is_no_mistake() -> None:
    try:
        result = result_of(Told(0, status=REJECTED), slo="ttft <= 2 * p50(ttft)")
    except tsdl.TsdlError:
        return
    assert result.summary["attainment"] == 0


def test_without_counted_requests_nothing_is_attained_or_missed() -> None:
    summary = result_of(Told(0, (1,)), warmup=5).summary
    assert summary["attainment"] is None
    assert summary["goodput"] is None


# -- expectations ------------------------------------------------------------------------------


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


# -- files -------------------------------------------------------------------------------------


@pytest.mark.parametrize("requests", [(), (Told(0, status=REJECTED),), (Told(0, (0, 0)),), FIVE])
def test_the_summary_is_json_without_nan(requests: tuple[Told, ...]) -> None:
    text = summary_json(result_of(*requests, more="expect p99(ttft) <= 1 s"))

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    assert json.loads(text, parse_constant=refuse)["scenario"] == "told"


def test_columns_as_a_data_frame() -> None:
    pandas = pytest.importorskip("pandas")
    result = result_of(*FIVE)
    frame = result.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == list(result.requests)
    assert frame["ttft"][:3].tolist() == [0.5, 0.5, 4.0]


HANDED_OUT = """
policy handed_out from {policy} {{ local {{ front_end = {delay} ms }} }}
workload asked from sharegpt {{ requests = 60; {workload} }}
scenario it {{
  model = llama2_7b; cluster = replicas(A100_80G, 2); policy = handed_out; workload = asked
}}
"""


@pytest.mark.parametrize("policy", ["continuous", "vllm", "static"])
def test_users_have_tokens_once_the_front_end_has_handed_them_out(policy: str) -> None:
    """All of a request comes so much later, and nothing between its tokens changes."""
    found = [
        tsdl.compile(HANDED_OUT.format(policy=policy, delay=delay, workload="")).run()
        for delay in (0, 250)
    ]
    at_once, later = (result.requests for result in found)
    for name in ("first_token", "last_token", "ttft", "e2e"):
        assert later[name] - at_once[name] == pytest.approx(0.25)
    for name in ("queue", "tpot", "mtpot", "started"):
        assert np.array_equal(later[name], at_once[name], equal_nan=True)
    assert found[1].summary["end"] - found[0].summary["end"] == pytest.approx(0.25)
    assert found[1].summary["latency"]["itl"] == found[0].summary["latency"]["itl"]


def test_who_waits_for_an_answer_waits_for_the_front_end() -> None:
    workload = "sessions = 1; turns = constant(3); think = constant(1 s)"
    result = tsdl.compile(HANDED_OUT.format(policy="chunked", delay=40, workload=workload)).run()
    arrived, answered = result.requests["arrived"], result.requests["last_token"]
    assert arrived[1:] == pytest.approx(answered[:-1] + 1.0)
    assert result.requests["e2e"] == pytest.approx(answered - arrived)


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_a_run_ends_at_until_whatever_the_front_end_holds(engine: str) -> None:
    """Who has a last token is done then; its user has it after the end."""
    text = HANDED_OUT.format(policy="chunked", delay=300, workload="")
    whole = tsdl.compile(text).run(engine=engine)
    last = float(max(whole.requests["last_token"]))
    plan = tsdl.compile(text.replace("scenario it {", f"scenario it {{ until = {last - 0.1} s;"))
    result = plan.run(engine=engine)
    assert result.summary["end"] == pytest.approx(last - 0.1)
    assert result.summary["requests"]["finished"] == 60
    assert float(max(result.requests["last_token"])) == pytest.approx(last)
