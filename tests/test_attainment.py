"""Which requests meet an SLO, and what it may be bounded by."""

import pytest

import tsdl
from tests.told_requests import FIVE, Told, result_of
from tsdl.runtime.request import REJECTED


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
        ("ttft <= max(500 ms, 100 ms/token * prompt)", 2),
        ("ttft <= clamp(100 ms/token * prompt, 500 ms, 1 h)", 2),
        ("max(ttft, e2e / 3) < 500 ms", 0),
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
