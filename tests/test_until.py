"""Runs that are cut at `until`, worked out by hand: what still counts, and who is unfinished."""

from math import isnan

from tests.by_hand import run


def test_until_leaves_unfinished_requests() -> None:
    two = run([(0, 8, 9), (0, 8, 2)], more="until = 2.5 s")
    assert two.status == ["unfinished", "finished"]
    assert two.column("generated") == [2, 2]
    assert two.result.summary["requests"]["unfinished"] == 1
    assert two.result.summary["end"] == 2.5


def test_what_happens_at_until_counts() -> None:
    assert run([(0, 8, 2)], more="until = 2 s").status == ["finished"]
    assert run([(0, 8, 3)], more="until = 2 s").status == ["unfinished"]


def test_an_unfinished_request_has_no_latencies_to_its_end() -> None:
    """It has a first token, and so a TTFT; where its last would be, nobody knows."""
    cut = run([(0, 8, 9)], more="until = 2.5 s")
    assert cut.column("ttft") == [1]
    assert all(isnan(cut.column(name)[0]) for name in ("tpot", "mtpot", "e2e"))


def test_who_would_arrive_after_until_has_not_arrived() -> None:
    cut = run([(0, 8, 1), (10, 8, 1), (20, 8, 1)], more="until = 10 s")
    assert cut.result.summary["requests"]["arrived"] == 2
    assert cut.result.summary["attainment"] == 0.5


def test_a_run_that_is_done_before_until_ends_when_it_is_done() -> None:
    one = run([(0, 8, 4)], more="until = 1 h").result.summary
    assert one["end"] == 4
    assert one["utilization"] == 1


def test_nobody_is_busy_beyond_until() -> None:
    cut = run([(0, 8, 4)], more="until = 2.5 s").result.summary
    assert cut["workers"][0]["busy"] == 2.5
    assert cut["utilization"] == 1


def test_changes_end_where_the_run_is_cut_off() -> None:
    cut = run([(0, 8, 9)], more="timeseries = changes; until = 2 s")
    assert cut.result.timeseries["time"].tolist() == [0, 1, 2]
