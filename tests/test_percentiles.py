"""Percentiles, means and extremes against numpy, of values and of values with counts."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from tsdl.runtime.metrics import Weighted, greatest, least, mean, percentile

PERCENTS = (0, 0.1, 1, 10, 25, 50, 75, 90, 99, 99.9, 100)


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
