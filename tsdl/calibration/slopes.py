"""A function as a plane around a place, where it jumps: slopes that see past the jumps.

A simulation jumps where a constant puts a request into another iteration. All variables are moved
at once, by a two-level design that is folded over (Plackett and Burman, Biometrika 33, 1946; Box
and Wilson, J. Roy. Stat. Soc. B 13, 1951), so that every run tells something of every variable, and
more runs than slopes tell how large the jumps are.
"""

from collections.abc import Callable

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

_LEAST = 8  # corners, and as many opposites
_SPREAD = 0.5  # of their distances, around 1
_GOLDEN = (5**0.5 - 1) / 2  # whose multiples are spread evenly
Floats = NDArray[np.float64]
Function = Callable[[Floats], Floats]


class Neighbourhood(Struct, frozen=True):
    """The slopes of a function around a place (a row for each value), and what is left.

    `noise` is by how much values jump beside the plane, a standard deviation for each; `spread` is
    the covariance of slopes for a noise of 1.
    """

    slopes: Floats
    noise: Floats
    spread: Floats

    def information(self, weights: Floats) -> Floats:
        """Return Jᵀ W J (weights are the roots of W), without what jumps alone put there."""
        weighted = weights[:, None] * self.slopes
        pretended = float(((weights * self.noise) ** 2).sum()) * self.spread
        values, vectors = np.linalg.eigh(weighted.T @ weighted - pretended)
        found: Floats = (vectors * np.maximum(values, 0)) @ vectors.T
        return found


def neighbourhood(
    function: Function, at: Floats, reach: Floats, low: Floats, high: Floats
) -> Neighbourhood:
    """Return what a function is like around a place.

    The corners that are looked at lie about `reach` from the place, or at the bounds.
    """
    points = np.clip(at + _design(len(at)) * reach, low, high)
    values = np.array([function(point) for point in points])
    moved = np.column_stack([np.ones(len(points)), points - at])
    found, *_ = np.linalg.lstsq(moved, values, rcond=None)
    left = values - moved @ found
    free = len(points) - moved.shape[1]
    noise = np.sqrt((left**2).sum(axis=0) / free)
    return Neighbourhood(found[1:].T, noise, np.linalg.pinv(moved.T @ moved)[1:, 1:])


def _design(count: int) -> Floats:
    """Return places to look at for so many variables: corners of a cube, each with its opposite.

    Columns of signs are orthogonal, so that variables do not stand in for each other; opposites let
    curvature cancel. No corner is looked at twice from one distance, where a simulation would only
    say the same again.
    """
    signs = np.ones((1, 1))
    while len(signs) < max(count + 1, _LEAST):  # Sylvester's matrices; the first column is 1
        signs = np.block([[signs, signs], [signs, -signs]])
    distances = 1 + _SPREAD * ((np.arange(len(signs)) * _GOLDEN) % 1 - 0.5)
    rows = distances[:, None] * signs[:, 1 : count + 1]
    return np.vstack([rows, -rows])
