"""When requests arrive: each process against its theory, what ends it, and times nobody meant."""

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import tsdl
from tests.drawn_requests import (
    MANY,
    SIGMAS,
    STEP,
    TRIFLE,
    close,
    drawn,
    farthest,
    share_of,
    workload,
)
from tsdl.runtime import arrivals as module
from tsdl.runtime.arrivals import generate


def gaps(arrivals: str) -> NDArray[np.float64]:
    """Return the gaps before all but the first arrival."""
    return np.diff(drawn(arrivals).arrived)


def test_poisson_arrivals_have_exponential_independent_gaps() -> None:
    found = gaps("poisson(50 req/s)")
    assert close(found, 0.02, 0.02)
    assert farthest(found, 1 - np.exp(-np.sort(found) * 50)) < 2
    assert abs(np.corrcoef(found[1:], found[:-1])[0, 1]) < STEP


def test_the_first_poisson_arrival_comes_after_a_gap_of_its_own() -> None:
    text = TRIFLE.replace("burst()", "poisson(50 req/s)")
    firsts = np.array([generate(workload(text), seed).arrived[0] for seed in range(2000)])
    assert close(firsts, 0.02, 0.02)


def test_uniform_arrivals_come_one_every_so_often_from_zero() -> None:
    assert drawn("uniform(8 req/s)").arrived.tolist() == [i / 8 for i in range(MANY)]


@pytest.mark.parametrize("cv", [0.2, 1, 3])
def test_gamma_arrivals_have_the_rate_and_the_variation_asked_for(cv: float) -> None:
    found = gaps(f"gamma(50 req/s, cv = {cv})")
    assert close(found, 0.02, cv * 0.02)
    assert math.isclose(found.std() / found.mean(), cv, rel_tol=0.03)
    assert abs(np.corrcoef(found[1:], found[:-1])[0, 1]) < STEP


def test_gamma_arrivals_of_variation_one_are_poisson() -> None:
    found = gaps("gamma(50 req/s)")
    assert farthest(found, 1 - np.exp(-np.sort(found) * 50)) < 2


def test_a_burst_is_all_at_once() -> None:
    assert not drawn("burst()").arrived.any()


def test_bursts_come_in_their_size_and_time() -> None:
    found = drawn("burst(size = 3, every = 0.5 s)", more="requests = 8").arrived
    assert found.tolist() == [0, 0, 0, 0.5, 0.5, 0.5, 1, 1]


def test_on_off_without_a_rate_for_off_arrives_in_on_only() -> None:
    found = drawn("on_off(100 req/s, on = 2 s, off = 3 s)").arrived
    phase = np.mod(found, 5)
    assert (phase <= 2 + 1e-9).all()
    assert farthest(phase, np.sort(phase) / 2) < 2


def test_on_off_has_both_rates() -> None:
    found = drawn("on_off(100 req/s, on = 2 s, off = 3 s, low = 20 req/s)").arrived
    phase = np.mod(found, 5)
    assert share_of(phase < 2, 200 / 260)
    assert farthest(phase[phase < 2], np.sort(phase[phase < 2]) / 2) < 2
    assert farthest(phase[phase >= 2] - 2, np.sort(phase[phase >= 2] - 2) / 3) < 2


def test_counts_in_on_and_off_periods_are_poissonian() -> None:
    """Their variance is their mean, to 10 %: 400 periods say no more."""
    found = drawn("on_off(100 req/s, on = 2 s, off = 3 s, low = 20 req/s)").arrived
    periods = int(found[-1] // 5)
    edges = np.arange(periods + 1) * 5.0
    for begin, end, expected in ((0.0, 2.0, 200), (2.0, 5.0, 60)):
        starts, ends = (np.searchsorted(found, edges[:-1] + at) for at in (begin, end))
        counts = ends - starts
        assert close(counts, expected, math.sqrt(expected))
        assert math.isclose(counts.var(), expected, rel_tol=SIGMAS * math.sqrt(2 / periods))


def test_on_off_with_no_time_off_is_poisson() -> None:
    found = gaps("on_off(50 req/s, on = 2 s, off = 0 s)")
    assert close(found, 0.02, 0.02)
    assert farthest(found, 1 - np.exp(-np.sort(found) * 50)) < 2


def test_piecewise_has_each_rate_in_its_time_and_begins_anew() -> None:
    found = drawn("piecewise(rates = [100, 0, 20, 60] req/s, every = 2 s)").arrived
    phase = np.mod(found, 8)
    assert not ((phase > 2) & (phase < 4)).any()
    for begin, rate in ((0, 100), (4, 20), (6, 60)):
        here = phase[(phase >= begin) & (phase < begin + 2)] - begin
        assert farthest(here, np.sort(here) / 2) < 2
        assert share_of((phase >= begin) & (phase < begin + 2), rate / 180)


def test_piecewise_of_two_rates_is_on_off() -> None:
    pieces = drawn("piecewise([100, 20] req/s, every = 3 s)").arrived
    turns = drawn("on_off(100 req/s, on = 3 s, off = 3 s, low = 20 req/s)").arrived
    assert np.allclose(pieces, turns, rtol=1e-12)


PROCESSES = (
    "poisson(50 req/s)",
    "uniform(50 req/s)",
    "gamma(50 req/s, cv = 4)",
    "burst(size = 7, every = 0.1 s)",
    "on_off(90 req/s, on = 1 s, off = 1 s, low = 10 req/s)",
    "piecewise([10, 90, 0, 100] req/s, every = 1 s)",
)


@pytest.mark.parametrize("arrivals", PROCESSES)
def test_times_never_go_back(arrivals: str) -> None:
    found = drawn(arrivals).arrived
    assert found[0] >= 0
    assert (np.diff(found) >= 0).all()


# -- what ends them ----------------------------------------------------------------------------


@pytest.mark.parametrize("arrivals", PROCESSES)
def test_a_duration_ends_what_a_number_of_requests_would_go_on_with(arrivals: str) -> None:
    cut = drawn(arrivals, more="duration = 60 s").arrived
    whole = drawn(arrivals, more="requests = 8000").arrived
    assert whole[-1] > 60
    assert cut.tolist() == whole[whole <= 60].tolist()


def test_an_arrival_at_the_end_of_the_duration_is_the_last() -> None:
    assert len(drawn("uniform(10 req/s)", more="duration = 1 s").arrived) == 11


def test_of_requests_and_duration_the_first_ends_it() -> None:
    assert len(drawn("uniform(10 req/s)", more="requests = 5; duration = 1 s").arrived) == 5
    assert len(drawn("uniform(10 req/s)", more="requests = 50; duration = 1 s").arrived) == 11


def test_a_duration_without_an_arrival_has_no_requests() -> None:
    none = drawn("poisson(1 req/s)", more="duration = 1 us")
    assert [len(none.arrived), len(none.prompt), len(none.output)] == [0, 0, 0]


@pytest.mark.parametrize("arrivals", ["burst()", "burst(size = 10)", "burst(every = 1 s)"])
def test_a_burst_that_time_does_not_end_is_refused(
    arrivals: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a duration and no number, a burst at time zero would go on for ever."""
    first = module._first

    def limited(*given: object) -> object:
        assert isinstance(given[1], int)
        assert given[1] <= 2**16, "it goes on and on"
        return first(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_first", limited)
    with pytest.raises(tsdl.TsdlError):
        drawn(arrivals, more="duration = 10 s")


# -- times nobody meant ------------------------------------------------------------------------


def test_times_of_a_trace_in_another_unit_are_told_of(tmp_path: Path) -> None:
    """Nanoseconds that are read as seconds leave no digits for latencies."""
    head = "arrived_at,num_prefill_tokens,num_decode_tokens\n"
    (tmp_path / "trace.csv").write_text(f"{head}0,100,20\n90000000000,101,20\n")
    program = """
workload told {{ trace = "{}"{} }}
scenario s {{ model = llama2_7b; cluster = single(A100_80G); workload = told }}
"""
    trace = (tmp_path / "trace.csv").as_posix()
    with pytest.raises(tsdl.TsdlError, match="unit = 1 ms"):
        tsdl.compile(program.format(trace, "")).run()
    result = tsdl.compile(program.format(trace, "; columns { unit = 1 ns }")).run()
    assert 90 < result.summary["makespan"] < 91


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("rate", ["1e-200", "1e-307", "5e-324"])
@pytest.mark.parametrize(
    "arrivals",
    ["poisson({})", "uniform({})", "gamma(rate = {}, cv = 3)", "on_off({}, on = 1 s, off = 9 s)"],
)  # fmt: skip
def test_requests_that_hardly_ever_arrive_are_told_of(arrivals: str, rate: str) -> None:
    program = """
workload rare {{ {} = {}; arrivals = {}; prompt = constant(4 tokens); output = constant(4 tokens) }}
scenario s {{ model = llama2_7b; cluster = single(A100_80G); workload = rare }}
"""
    drawn = arrivals.format(f"{rate} req/s")
    with pytest.raises(tsdl.TsdlError, match="32 years"):
        tsdl.compile(program.format("requests", 20, drawn)).run()
    assert tsdl.compile(program.format("duration", "1 h", drawn)).run().summary["requests"][
        "arrived"
    ] in (0, 1)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("bound", "until"), [("duration = 2 s; ", ""), ("", "; until = 2 s")])
@pytest.mark.parametrize("arrivals", [
    "burst(2, every = 40 year)", "burst(2, every = 1e99 year)",
])  # fmt: skip
@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_who_would_arrive_too_late_to_be_counted_never_arrives(
    bound: str, until: str, arrivals: str, engine: str
) -> None:
    program = f"""
workload w {{
  requests = 50; {bound}arrivals = {arrivals}
  prompt = constant(4 tokens); output = constant(4 tokens)
}}
scenario s {{ model = llama2_7b; cluster = single(A100_80G); workload = w{until} }}
"""
    result = tsdl.compile(program).run(engine=engine)
    assert result.summary["requests"]["arrived"] == 2
    assert max(result.requests["arrived"]) == 0
