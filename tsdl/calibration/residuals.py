"""Simulated against measured, in bins by the order of arrival: what a fit makes small.

A little other constant puts a request into another iteration, and whole queues change: single
requests jump, means over neighbours do not.
"""

from itertools import pairwise

import numpy as np
from msgspec import Struct

from tsdl.calibration.forward import METRICS, Floats, log_ratios
from tsdl.validation import Validation

_SMALLEST = 8  # requests of a bin
_MOST_BINS = 24
_TRIMMED = 0.1  # of a bin, at each end


class Split(Struct, frozen=True):
    """Which requests of a run are fitted, by their place in the arrivals: first to last - 1.

    The first of a run met a cold engine and is in no part; from `last` on, all are held out.
    """

    first: int
    last: int
    count: int

    @property
    def bins(self) -> list[tuple[int, int]]:
        """Return the bins of those that are fitted."""
        many = min(max((self.last - self.first) // _SMALLEST, 1), _MOST_BINS)
        ends = np.linspace(self.first, self.last, many + 1).round().astype(int).tolist()
        return list(pairwise(ends))


def split_of(count: int, holdout: float) -> Split:
    """Return how a run of so many requests is divided; a share of `holdout` is kept back."""
    first = min(1, count - 1)
    last = count - round((count - first) * holdout)
    return Split(first, max(last, first + 1), count)


def residuals(found: list[Validation], splits: list[Split]) -> Floats:
    """Return trimmed means of ln(simulated / measured): by run, metric and bin.

    A bin without any measured value has 0.
    """
    parts = []
    for validation, split in zip(found, splits, strict=True):
        for metric in METRICS:
            ratios = log_ratios(validation, metric)
            parts.append([_trimmed_mean(ratios[low:high]) for low, high in split.bins])
    return np.array([value for part in parts for value in part])


def groups(splits: list[Split]) -> list[slice]:
    """Return which residuals are of one run and metric: they scatter alike."""
    sizes = [len(split.bins) for split in splits for _ in METRICS]
    ends = np.cumsum([0, *sizes]).tolist()
    return [slice(low, high) for low, high in pairwise(ends)]


def _trimmed_mean(values: Floats) -> float:
    known = np.sort(values[~np.isnan(values)])
    cut = int(len(known) * _TRIMMED)
    kept = known[cut : len(known) - cut]
    return float(kept.mean()) if len(kept) else 0.0
