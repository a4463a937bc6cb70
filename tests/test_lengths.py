"""How long prompts and answers are: each distribution against its theory, bounds, correlation."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

import tsdl
from tests.drawn_requests import MANY, STEP, close, drawn, farthest, share_of


def tokens(prompt: str) -> NDArray[np.int64]:
    return drawn(prompt=prompt).prompt


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


def test_a_range_of_times_has_all_that_lie_in_it_and_with_a_step_its_multiples() -> None:
    thinks = "sessions = 20_000; turns = constant(5); think = uniform({})"
    found = drawn(more=thinks.format("900 ms..1200 ms")).think
    assert len(found) == MANY
    assert 0.9 <= found.min() <= found.max() <= 1.2
    assert farthest(found, (np.sort(found) - 0.9) / 0.3) < 2
    stepped = drawn(more=thinks.format("900 ms..1200 ms step 100 ms")).think
    assert sorted(set(np.round(stepped, 9).tolist())) == [0.9, 1.0, 1.1, 1.2]
    assert share_of(stepped > 1.15, 1 / 4)


def test_no_time_is_beyond_its_range() -> None:
    thinks = "sessions = 200; turns = constant(2); think = uniform(0 s..0.3 s step 0.1 s)"
    assert set(drawn(more=thinks).think.tolist()) == {0.0, 0.1, 0.2, 0.3}


HUGE = "(1e99 / 1e-99)"


@pytest.mark.parametrize(
    "steps", ["0 s..1e9 s step 1e-9 s", f"0 s..1 s * {HUGE} step 1 s / {HUGE}"]
)
def test_a_range_of_too_many_steps_is_refused(steps: str) -> None:
    with pytest.raises(tsdl.TsdlError) as error:
        drawn(more=f"sessions = 20; turns = constant(2); think = uniform({steps})")
    [found] = error.value.diagnostics
    assert (found.code, found.title) == ("E0503", "the range of `think` has more than 2^53 steps")


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


# -- bounds ------------------------------------------------------------------------------------


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
