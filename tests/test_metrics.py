"""Metrics of requests made by hand: each by its definition, over whom, and in which form."""

import json

import pytest

from tests.told_requests import FIVE, Told, result_of
from tsdl.runtime.files import summary_json
from tsdl.runtime.request import REJECTED

# -- by their definitions ----------------------------------------------------------------------


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


# -- over whom ---------------------------------------------------------------------------------


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


# -- in which form -----------------------------------------------------------------------------


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
