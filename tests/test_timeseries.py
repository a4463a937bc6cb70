"""The time series of a run, worked out by hand: samples at regular times, or every change.

The notation is that of by_hand.py.
"""

from collections.abc import Mapping

import pytest

from tests.by_hand import run
from tsdl.runtime.columns import Column

SERIES = ("time", "worker", "queued", "running", "kv_used")
PER_TOKEN = 524_288  # bytes of Llama 2 7B's KV: 2 of 32 layers, 4096 elements and 2 bytes


def rows(series: Mapping[str, Column]) -> list[tuple[float, ...]]:
    return list(zip(*(series[name].tolist() for name in SERIES), strict=True))


# -- samples -----------------------------------------------------------------------------------


@pytest.mark.parametrize("sample", ["", "sample = 1 h", "sample = 300 ms", "timeseries = changes"])
def test_sampling_does_not_change_the_end_or_the_utilization(sample: str) -> None:
    summary = run([(0, 8, 2), (5, 8, 2)], more=sample).result.summary
    assert summary["end"] == 7
    assert summary["utilization"] == 4 / 7


def test_requests_a_moment_apart_do_not_make_a_million_samples() -> None:
    series = run([(0, 8, 2), (1e-9, 8, 300)]).result.timeseries
    assert len(series["time"]) <= 1000


def test_samples_show_the_state_after_all_that_happens_at_their_time() -> None:
    series = run([(0, 8, 2), (0.5, 8, 1)], more="sample = 0.5 s").result.timeseries
    assert series["time"].tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3]
    assert series["queued"].tolist() == [0, 1, 0, 0, 0, 0, 0]
    assert series["running"].tolist() == [1, 1, 2, 2, 1, 1, 0]


# -- changes -----------------------------------------------------------------------------------


def test_changes_show_every_boundary_that_changes_something() -> None:
    """B comes between boundaries and is queued from the next on: A takes all slots."""
    local = "max_requests = 1"
    two = run([(0, 8, 3), (0.5, 8, 1)], more="timeseries = changes", local=local)
    assert two.iterations[0] == ["0 A+8", "1 A", "2 A", "3 B+8"]
    assert two.result.plan.workers[0].kv.bytes_per_token == PER_TOKEN
    assert rows(two.result.timeseries) == [
        (0, 0, 0, 1, 8 * PER_TOKEN),
        (1, 0, 1, 1, 9 * PER_TOKEN),
        (2, 0, 1, 1, 10 * PER_TOKEN),
        (3, 0, 0, 1, 8 * PER_TOKEN),
        (4, 0, 0, 0, 0),
    ]


def test_what_stays_the_same_has_no_row() -> None:
    """A block of 16 tokens holds A to its end; B comes to an idle worker, 6 s later."""
    given: dict[str, object] = {"kv": "paged", "block": 16, "blocks": 100}
    two = run([(0, 8, 5), (11, 8, 2)], more="timeseries = changes", **given)
    assert rows(two.result.timeseries) == [
        (0, 0, 0, 1, 16 * PER_TOKEN),
        (5, 0, 0, 0, 0),
        (11, 0, 0, 1, 16 * PER_TOKEN),
        (13, 0, 0, 0, 0),
    ]


def test_rows_of_changes_are_in_order_of_time_then_worker() -> None:
    """B comes to worker 1 at the time at which A is decoded on worker 0; nobody to worker 2."""
    two = run([(0, 8, 2), (1, 8, 2)], more="timeseries = changes", workers=3)
    assert rows(two.result.timeseries) == [
        (0, 0, 0, 1, 8 * PER_TOKEN),
        (0, 1, 0, 0, 0),
        (0, 2, 0, 0, 0),
        (1, 0, 0, 1, 9 * PER_TOKEN),
        (1, 1, 0, 1, 8 * PER_TOKEN),
        (2, 0, 0, 0, 0),
        (2, 1, 0, 1, 9 * PER_TOKEN),
        (3, 1, 0, 0, 0),
    ]


def test_of_changes_at_one_time_the_last_counts() -> None:
    """Where iterations take no time, all that is left of a request is that it has gone."""
    two = run([(0, 8, 3), (2, 8, 3)], more="timeseries = changes", cost="constant_cost(0 s)")
    assert two.iterations[0] == ["0 A+8", "0 A", "0 A", "2 B+8", "2 B", "2 B"]
    assert rows(two.result.timeseries) == [(0, 0, 0, 0, 0)]
