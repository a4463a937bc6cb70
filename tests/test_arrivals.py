"""Drawn requests against their theory, and streams of random numbers against each other.

Seeds are fixed, so that nothing here fails by chance from one day to the next; bounds are five
standard errors of the estimate or more, so that they would hold for nearly any seed.
"""

import csv
import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray

import tsdl
from tsdl.plan import Workload
from tsdl.runtime import arrivals as module
from tsdl.runtime.arrivals import Arrivals, generate
from tsdl.runtime.streams import stream

Numbers = NDArray[np.float64] | NDArray[np.int64]

MANY = 100_000
SIGMAS = 5
STEP = SIGMAS / math.sqrt(MANY)  # of a mean whose deviation is 1

FILE = """edition "2026"
model endless from llama2_7b {{ context = 100_000_000 tokens }}
kvcache ample from token_wise {{ blocks = 100_000_000 }}
cluster one {{ worker gpu {{ hardware = A100_80G; cost = constant_cost(1 ms); kv = ample }} }}
workload own {{ {text} }}
scenario drawn {{ model = endless; cluster = one; workload = {name} }}
"""
ONE = "constant(1 tokens)"
TRIFLE = f"requests = 1; arrivals = burst(); prompt = {ONE}; output = {ONE}"


@cache
def workload(text: str = TRIFLE, name: str = "own") -> Workload:
    return tsdl.compile(FILE.format(text=text, name=name)).workload


def drawn(
    arrivals: str = "burst()",
    prompt: str = ONE,
    output: str = ONE,
    more: str = f"requests = {MANY}",
    seed: str = "0",
) -> Arrivals:
    text = f"arrivals = {arrivals}; prompt = {prompt}; output = {output}; {more}"
    return generate(workload(text), int(seed))


def gaps(arrivals: str) -> NDArray[np.float64]:
    """Return the gaps before all but the first arrival."""
    return np.diff(drawn(arrivals).arrived)


def tokens(prompt: str) -> NDArray[np.int64]:
    return drawn(prompt=prompt).prompt


def close(values: Numbers, mean: float, deviation: float) -> bool:
    """Tell whether the mean of values that deviate so much is as expected."""
    return abs(float(values.mean()) - mean) <= SIGMAS * deviation / math.sqrt(len(values))


def share_of(mask: NDArray[np.bool_], expected: float) -> bool:
    return close(mask.astype(np.float64), expected, math.sqrt(expected * (1 - expected)) + 1e-12)


def farthest(values: Numbers, cumulative: NDArray[np.float64]) -> float:
    """Return Kolmogorov's distance times √n; `cumulative` is the theory's at the sorted values."""
    ranks = np.arange(len(values) + 1) / len(values)
    distance = max(np.abs(cumulative - ranks[1:]).max(), np.abs(cumulative - ranks[:-1]).max())
    return float(distance * math.sqrt(len(values)))


# -- when --------------------------------------------------------------------------------------


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


PROCESSES = (
    "poisson(50 req/s)",
    "uniform(50 req/s)",
    "gamma(50 req/s, cv = 4)",
    "burst(size = 7, every = 0.1 s)",
    "on_off(90 req/s, on = 1 s, off = 1 s, low = 10 req/s)",
)


@pytest.mark.parametrize("arrivals", PROCESSES)
def test_times_never_go_back(arrivals: str) -> None:
    found = drawn(arrivals).arrived
    assert found[0] >= 0
    assert (np.diff(found) >= 0).all()


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


# -- how long ----------------------------------------------------------------------------------


def test_constant() -> None:
    assert set(tokens("constant(512 tokens)").tolist()) == {512}


def test_uniform_has_each_value_of_its_range_as_often() -> None:
    found = tokens("uniform(3..9 tokens)")
    assert sorted(set(found.tolist())) == [3, 4, 5, 6, 7, 8, 9]
    assert all(share_of(found == value, 1 / 7) for value in range(3, 10))


def test_uniform_with_a_step_has_the_multiples_within_its_range() -> None:
    found = tokens("uniform(3..14 step 5 tokens)")
    assert sorted(set(found.tolist())) == [3, 8, 13]
    assert all(share_of(found == value, 1 / 3) for value in (3, 8, 13))


def test_normal() -> None:
    found = tokens("normal(mean = 10_000 tokens, deviation = 1000 tokens)")
    assert close(found, 10_000, 1000)
    assert math.isclose(found.std(), 1000, rel_tol=0.02)
    assert share_of(found < 9000, 0.158655)
    assert share_of(found > 12_000, 0.022750)


def test_lognormal_has_the_mean_asked_for_and_that_deviation_of_its_logarithm() -> None:
    found = tokens("lognormal(mean = 100_000 tokens, sigma = 0.8)")
    assert close(found, 100_000, 100_000 * math.sqrt(math.exp(0.64) - 1))
    assert math.isclose(np.log(found).std(), 0.8, rel_tol=0.02)
    assert share_of(found < 100_000 * math.exp(-0.32), 0.5)


def test_exponential() -> None:
    found = tokens("exponential(mean = 100_000 tokens)")
    assert close(found, 100_000, 100_000)
    assert farthest(found, 1 - np.exp(-np.sort(found) / 100_000)) < 2


def test_quantiles_are_met_with_straight_lines_between_them() -> None:
    found = tokens("quantiles([1000, 3000, 3000, 10_000] tokens)")
    assert (found.min(), found.max()) == (1000, 10_000)
    assert share_of(found < 2000, 1 / 6)
    assert share_of(found == 3000, 1 / 3)
    assert share_of(found > 6500, 1 / 6)
    assert close(found, (2000 + 3000 + 6500) / 3, 2600)


def test_choice_goes_by_weight() -> None:
    found = tokens("choice(1 tokens: 50 %, uniform(2..7 tokens): 30 %, constant(9 tokens): 20 %)")
    assert share_of(found == 1, 0.5)
    assert all(share_of(found == value, 0.05) for value in range(2, 8))
    assert share_of(found == 9, 0.2)


def test_choice_weighs_in_proportion_and_never_takes_what_weighs_nothing() -> None:
    found = tokens("choice(1 tokens: 3, 2 tokens: 0, 3 tokens: 1)")
    assert set(found.tolist()) == {1, 3}
    assert share_of(found == 1, 0.75)


def test_a_choice_among_choices_is_independent_of_the_outer_one() -> None:
    inner = "choice(1 tokens: 1, 2 tokens: 1)"
    found = tokens(f"choice({inner}: 1, choice(3 tokens: 1, 4 tokens: 1): 1)")
    assert all(share_of(found == value, 0.25) for value in range(1, 5))


@pytest.mark.parametrize(
    "distribution",
    [
        "normal(mean = 100 tokens, deviation = 100 tokens, min = 50 tokens, max = 150 tokens)",
        "lognormal(mean = 100 tokens, sigma = 2, min = 50 tokens, max = 150 tokens)",
        "exponential(mean = 100 tokens, min = 50 tokens, max = 150 tokens)",
    ],
)
def test_what_lies_beyond_a_cut_is_set_to_it(distribution: str) -> None:
    found = tokens(distribution)
    uncut = tokens(distribution.replace(", min = 50 tokens, max = 150 tokens", ""))
    assert found.tolist() == np.clip(uncut, 50, 150).tolist()


def test_a_request_has_a_token_at_least() -> None:
    found = drawn(
        prompt="normal(mean = 0 tokens, deviation = 3 tokens)",
        output="exponential(mean = 0.1 tokens)",
    )
    assert (found.prompt.min(), found.output.min()) == (1, 1)


@pytest.mark.parametrize("total", [2, 40, 1000])
def test_total_bounds_prompt_and_answer_together(total: int) -> None:
    more = f"requests = 5000; total = {total} tokens"
    both = {"prompt": "uniform(1..900 tokens)", "output": "uniform(1..900 tokens)"}
    free, bound = drawn(**both, more="requests = 5000"), drawn(**both, more=more)
    assert (bound.prompt + bound.output <= total).all()
    assert (bound.prompt >= 1).all()
    assert (bound.output >= 1).all()
    fits = free.prompt + free.output <= total
    assert bound.prompt[fits].tolist() == free.prompt[fits].tolist()
    assert bound.output[fits].tolist() == free.output[fits].tolist()
    assert bound.prompt.tolist() == np.minimum(free.prompt, total - 1).tolist()


# -- together ----------------------------------------------------------------------------------

LONG = "lognormal(mean = 1_000_000 tokens, sigma = 1)"


@pytest.mark.parametrize("share", [-0.9, -0.3, 0, 0.5, 0.95])
def test_correlation_is_that_of_the_normal_scores(share: float) -> None:
    both = drawn(prompt=LONG, output=LONG, more=f"requests = {MANY}; correlation = {share}")
    scores = np.log(both.prompt), np.log(both.output)
    assert abs(np.corrcoef(*scores)[0, 1] - share) <= STEP * (1 - share * share) + 1e-6


@pytest.mark.parametrize("share", [-1, 1])
def test_full_correlation_makes_one_length_the_others(share: int) -> None:
    both = drawn(prompt=LONG, output=LONG, more=f"requests = 1000; correlation = {share}")
    product = np.log(both.output / 1e6 * math.exp(0.5)) * np.log(both.prompt / 1e6 * math.exp(0.5))
    assert (share * product >= -1e-3).all()
    order = np.lexsort((both.output * share, both.prompt))
    assert (np.diff(both.output[order]) * share >= 0).all()


def test_correlation_changes_neither_distribution() -> None:
    free = drawn(prompt=LONG, output=LONG)
    tied = drawn(prompt=LONG, output=LONG, more=f"requests = {MANY}; correlation = 0.8")
    assert tied.prompt.tolist() == free.prompt.tolist()
    for share in (0.1, 0.5, 0.9):
        bound = float(np.quantile(free.output, share))
        assert share_of(tied.output < bound, share)


# -- randomness --------------------------------------------------------------------------------

USUAL = {
    "arrivals": "poisson(50 req/s)",
    "prompt": "lognormal(mean = 300 tokens, sigma = 1)",
    "output": "choice(1 tokens: 1, exponential(mean = 90 tokens): 3)",
    "more": "requests = 3000; correlation = 0.4",
}
OTHERS = {
    "arrivals": "gamma(9 req/s, cv = 2)",
    "prompt": "choice(uniform(1..9 tokens): 1, 5 tokens: 1)",
    "output": "quantiles([1, 5, 900] tokens)",
}
COLUMNS = {"arrivals": "arrived", "prompt": "prompt", "output": "output"}


def columns(found: Arrivals) -> dict[str, list[float]]:
    return {name: getattr(found, name).tolist() for name in COLUMNS.values()}


@pytest.mark.parametrize("changed", OTHERS)
def test_changing_one_purpose_leaves_the_others_alone(changed: str) -> None:
    before = columns(drawn(**USUAL))
    after = columns(drawn(**(USUAL | {changed: OTHERS[changed]})))
    same = {name for name in before if before[name] == after[name]}
    assert same == set(COLUMNS.values()) - {COLUMNS[changed]}


def test_changing_the_policy_leaves_the_workload_alone() -> None:
    text = FILE.format(
        text="requests = 50; arrivals = poisson(900 req/s); prompt = uniform(1..99 tokens);"
        " output = uniform(1..9 tokens)",
        name="own",
    ).replace("worker gpu {", "worker gpu * 3 {")
    kept = ("arrived", "prompt", "output")
    runs = [
        tsdl.compile(text.replace("model = endless", f"model = endless; policy = {policy}")).run(4)
        for policy in ("round_robin", "random", "chunked")
    ]
    for name in kept:
        assert len({run.requests[name].tobytes() for run in runs}) == 1
    assert runs[0].requests["worker"].tolist() != runs[1].requests["worker"].tolist()


def test_a_longer_run_begins_with_the_same_requests() -> None:
    short = columns(drawn(**USUAL))
    long = columns(drawn(**(USUAL | {"more": "requests = 7000; correlation = 0.4"})))
    assert all(long[name][:3000] == short[name] for name in short)


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others() -> None:
    assert columns(drawn(**USUAL, seed="5")) == columns(drawn(**USUAL, seed="5"))
    one, other = columns(drawn(**USUAL, seed="5")), columns(drawn(**USUAL, seed="6"))
    assert all(one[name] != other[name] for name in one)


def test_streams_are_independent_across_purposes_and_seeds() -> None:
    names = ("arrivals", "prompt", "output", "lengths", "dispatch", "prompt.choice")
    rows = [stream(seed, name).standard_normal(MANY) for seed in (0, 1) for name in names]
    matrix = np.corrcoef(rows) - np.eye(len(rows))
    assert np.abs(matrix).max() < STEP


def test_the_numbers_of_a_stream_are_kept_from_version_to_version() -> None:
    """Raw numbers: numpy promises them for ever, other than what it makes of them."""
    raw = stream(0, "arrivals").bit_generator.random_raw(2)
    assert [int(number) for number in raw] == RAW


RAW = [8051068133138486332, 132461034152668935]


# -- published workloads -----------------------------------------------------------------------

# What the doc comments of stdlib/workloads.tsim state: mean, p50, p90, p99 of the data, to 0.1 %.
FITS = {
    ("sharegpt", "prompt"): (245.8, 35, 761, 2862),
    ("sharegpt", "output"): (325.6, 286, 681, 1000),
    ("azure_conversation", "prompt"): (1155, 1020, 2735, 4142),
    ("azure_conversation", "output"): (211.1, 129, 424, 601),
    ("azure_code", "prompt"): (2048, 1469, 5188, 7436),
    ("azure_code", "output"): (27.9, 13, 55, 251),
}
ROUNDED = {"azure_code": 0.0025}  # the doc comment: mean -0.1 %, p99 -0.2 %


def quantile_function(name: str, length: str) -> NDArray[np.float64]:
    """Return the whole tokens at 400,000 evenly spaced probabilities: no luck in it."""
    draw = getattr(workload(name=f"{name}()"), length)
    assert draw.name == "quantiles"
    places = (np.arange(400_000) + 0.5) / 400_000
    found = np.interp(places, np.linspace(0, 1, len(draw.values)), draw.values)
    rounded: NDArray[np.float64] = np.maximum(np.rint(found), 1)
    return rounded


@pytest.mark.parametrize(("name", "length"), FITS)
def test_a_fit_has_the_mean_and_the_percentiles_that_its_comment_states(
    name: str, length: str
) -> None:
    found = quantile_function(name, length)
    mean, *percentiles = FITS[name, length]
    bound = ROUNDED.get(name, 0.001)
    assert math.isclose(found.mean(), mean, rel_tol=bound + 0.5 / 10 / mean)  # data to a tenth
    for percent, expected in zip((50, 90, 99), percentiles, strict=True):
        assert math.isclose(np.percentile(found, percent), expected, rel_tol=bound)


@pytest.mark.parametrize(("name", "length"), FITS)
def test_what_is_drawn_has_the_fitted_distribution(name: str, length: str) -> None:
    many = generate(replace(workload(name=f"{name}()"), requests=MANY), seed=11)
    theory = quantile_function(name, length)
    found: NDArray[np.int64] = getattr(many, length)
    assert close(found, float(theory.mean()), float(theory.std()))
    for share in (0.1, 0.5, 0.9, 0.99):
        bound = float(np.quantile(theory, share))
        expected = float((theory <= bound).mean())
        assert share_of(found <= bound, expected)


# The doc comments again: of the sum of both lengths, the error of p50, p90 and p99, and of the mean
# of their product. Last, how far 300,000 pairs may stray from them: five standard errors.
FILES = {
    "sharegpt": ("sharegpt-10k-llama2-lengths.csv", (0.010, -0.021, 0.009), 0.002, 0.02),
    "azure_conversation": ("azure-2023-conversation.csv", (-0.19, 0.076, 0.09), 0.10, 0.02),
    "azure_code": ("AzureLLMInferenceTrace_code.csv", (0.0, 0.0, 0.0), -0.016, 0.03),
}


@pytest.mark.parametrize("name", FILES)
def test_lengths_together_err_as_the_comment_states(name: str, data: Path) -> None:
    file, errors, product, bound = FILES[name]
    prompt, output = lengths_of(data / "traces" / file)
    many = generate(replace(workload(name=f"{name}()"), requests=300_000), seed=2)
    sums, theirs = many.prompt + many.output, prompt + output
    for percent, error in zip((50, 90, 99), errors, strict=True):
        ratio = np.percentile(sums, percent) / np.percentile(theirs, percent)
        assert abs(ratio - 1 - error) <= bound
    ratio = (many.prompt * many.output).mean() / (prompt * output).mean()
    assert abs(ratio - 1 - product) <= bound


@pytest.mark.parametrize(("name", "length"), FITS)
def test_the_comment_tells_the_datas_own_figures(name: str, length: str, data: Path) -> None:
    both = lengths_of(data / "traces" / FILES[name][0])
    values = both[length == "output"]
    mean, *percentiles = FITS[name, length]
    assert abs(values.mean() - mean) <= (0.5 if mean > 1000 else 0.05)
    for percent, stated in zip((50, 90, 99), percentiles, strict=True):
        assert abs(np.percentile(values, percent) - stated) <= 0.5


@cache
def lengths_of(path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the columns of both lengths, which the files call by two pairs of names."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    known = (("num_prefill_tokens", "num_decode_tokens"), ("ContextTokens", "GeneratedTokens"))
    names = next(pair for pair in known if pair[0] in rows[0])
    prompt, output = (np.array([int(row[name]) for row in rows]) for name in names)
    return prompt, output


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
