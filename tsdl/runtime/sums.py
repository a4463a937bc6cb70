"""Sums that are exact whatever the order: what math.fsum gives, but of arrays and fast."""

import math

import numpy as np
from numpy.typing import NDArray

_FEW = 512  # below, math.fsum is as fast
_CHUNK = 1 << 14
_SMALLEST = 1100  # no float has a lower exponent than its negative
_KINDS = 2200  # of exponents
_BITS = 53  # of a float's fraction, taken as two whole numbers
_LOW = 26


def exact_sum(values: NDArray[np.float64], counts: NDArray[np.integer] | None = None) -> float:
    """Return the sum of values, each multiplied by its count; rounded once, to the nearest float.

    A float is a whole number times a power of two. Whole numbers add up exactly, so those of one
    power are added by numpy, and what there is of each power by Python.
    """
    if len(values) < _FEW:
        return math.fsum((values if counts is None else values * counts).tolist())
    high = np.zeros(_KINDS, dtype=np.int64)
    low = np.zeros(_KINDS, dtype=np.int64)
    for begin in range(0, len(values), _CHUNK):
        part = values[begin : begin + _CHUNK]
        if counts is not None:
            part = np.multiply(part, counts[begin : begin + _CHUNK])
        fraction, power = np.frexp(part)
        if not np.isfinite(fraction).all():
            return math.fsum((values if counts is None else values * counts).tolist())
        fraction *= 2.0 ** (_BITS - _LOW)
        whole = np.trunc(fraction)
        fraction -= whole
        fraction *= 2.0**_LOW
        power += _SMALLEST
        # Sums of so few so small whole numbers are exact as floats, too.
        high += np.bincount(power, whole, _KINDS).astype(np.int64)
        low += np.bincount(power, fraction, _KINDS).astype(np.int64)
    total = 0
    for at in np.flatnonzero(high | low).tolist():
        total += ((int(high[at]) << _LOW) + int(low[at])) << at
    return total / (1 << (_SMALLEST + _BITS))
