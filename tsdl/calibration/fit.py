"""Bounded least squares with priors, weights that follow the scatter, and what is then known.

Minimized is Σ w (residual / scatter)² + Σ (θ / width)² over logarithms θ of factors, by Gauss and
Newton with slopes of neighbourhoods that shrink; scipy solves each bounded linear problem, and a
move is taken as far as it helps. Scatter and Huber's weights (Huber, Ann. Math. Statist. 35, 1964)
follow from the move before. The posterior is the normal one around the result: its covariance is
(Jᵀ W J + priors)⁻¹.
"""

from collections.abc import Callable

import numpy as np
from msgspec import Struct

from tsdl.calibration.priors import Factor
from tsdl.calibration.slopes import Floats, Function, neighbourhood

_REACHES = (0.5, 0.4, 0.3, 0.25, 0.25)  # of the neighbourhoods, in widths
_MOVES = 3  # with the slopes of one neighbourhood
_FARTHEST = 3.0  # that a move may go, in reaches
_PARTS = (1.0, 0.5, 0.25)  # of a move that are tried
_FIRST_SCATTER = 0.03
_LEAST_SCATTER = 0.005  # the noise of measured means: 0.25 % saturated, 1 to 2 % unsaturated TTFT
_HUBER = 1.345
_INDEPENDENT = 2 / 3  # E2E is TTFT and TPOT once more
_NORMAL = 1.4826  # a standard deviation over a median deviation


# A matrix, what it should yield, the bounds of the answer.
Solver = Callable[[Floats, Floats, Floats, Floats], Floats]


class NoScipy(ImportError):
    """scipy is not installed."""


class Posterior(Struct, frozen=True):
    """Where the logarithms are, how far from there they may be, and how far slopes reached."""

    mean: Floats
    covariance: Floats
    reach: Floats
    low: Floats
    high: Floats

    @property
    def deviations(self) -> Floats:
        """Return the standard deviations of the logarithms."""
        found: Floats = np.sqrt(np.diag(self.covariance))
        return found

    def deviations_of(self, function: Function) -> Floats:
        """Return the standard deviations of a function's values, as far as these are the cause."""
        near = neighbourhood(function, self.mean, self.reach, self.low, self.high)
        variances = np.einsum("ij,jk,ik->i", near.slopes, self.covariance, near.slopes)
        found: Floats = np.sqrt(variances)
        return found


def fit(factors: list[Factor], residuals: Function, alike: list[slice]) -> Posterior:
    """Fit logarithms to residuals, which scatter alike within each slice. Raises NoScipy."""
    solve = _solver()
    widths = np.array([factor.width for factor in factors])
    low, high = np.array([[f.low for f in factors], [f.high for f in factors]])
    at = np.clip(np.zeros(len(factors)), low, high)
    weights = np.full(len(residuals(at)), 1 / _FIRST_SCATTER)
    for share in _REACHES:
        reach = share * widths
        near = neighbourhood(residuals, at, reach, low, high)
        if share != _REACHES[0]:
            weights = _weights(residuals(at), alike, near.noise, around_zero=False)
        room = (np.maximum(low - at, -_FARTHEST * reach), np.minimum(high - at, _FARTHEST * reach))
        at = _moved(at, residuals, near.slopes, (weights, widths, room), solve)
    near = neighbourhood(residuals, at, _REACHES[-1] * widths, low, high)
    weights = _weights(residuals(at), alike, near.noise, around_zero=True)
    precision = near.information(weights) + np.diag(1 / widths**2)
    covariance: Floats = np.linalg.inv(precision).astype(np.float64)
    return Posterior(at, covariance, _REACHES[-1] * widths, low, high)


def _solver() -> Solver:
    try:
        from scipy.optimize import lsq_linear
    except ImportError:
        raise NoScipy("calibration needs scipy: pip install 'tsdl[calibrate]'") from None

    def solve(matrix: Floats, wanted: Floats, low: Floats, high: Floats) -> Floats:
        return np.asarray(lsq_linear(matrix, wanted, bounds=(low, high)).x, dtype=np.float64)

    return solve


def _moved(
    begin: Floats,
    residuals: Function,
    slopes: Floats,
    limits: tuple[Floats, Floats, tuple[Floats, Floats]],
    solve: Solver,
) -> Floats:
    """Return where a few moves by the same slopes lead, none of which makes it worse.

    `limits` are weights, widths of priors, and how far it may go down and up.
    """
    weights, widths, (down, up) = limits

    def parts(place: Floats) -> Floats:
        return np.concatenate([weights * residuals(place), place / widths])

    matrix = np.vstack([weights[:, None] * slopes, np.diag(1 / widths)])
    at = begin
    for _ in range(_MOVES):
        gone = at - begin
        move = solve(matrix, -parts(at), down - gone - 1e-9, up - gone + 1e-9)  # some room
        tried = [np.clip(at + part * move, begin + down, begin + up) for part in _PARTS]
        best = min([at, *tried], key=lambda place: float(parts(place) @ parts(place)))
        if best is at:
            break
        at = best
    return at


def _weights(found: Floats, alike: list[slice], noise: Floats, *, around_zero: bool) -> Floats:
    """Return roots of weights: Huber's, over the scatter of those that are alike and the jumps.

    What all of them are off by is no scatter while it can still be fitted away.
    """
    weights = np.empty_like(found)
    for part in alike:
        values = found[part]
        off = values if around_zero else values - np.median(values)
        scatter = max(_NORMAL * float(np.median(np.abs(off))), _LEAST_SCATTER)
        square = scatter**2 + noise[part] ** 2
        huber = np.minimum(1, _HUBER * np.sqrt(square) / np.maximum(np.abs(off), 1e-12))
        weights[part] = np.sqrt(_INDEPENDENT * huber / (square * _repetition(values)))
    return weights


def _repetition(values: Floats) -> float:
    """Return how many neighbouring bins say the same: (1 + r) / (1 − r), r their correlation."""
    square = float(values @ values)
    if square == 0 or len(values) < 3:  # noqa: PLR2004 (of two there is one pair)
        return 1.0
    alike = min(max(float(values[1:] @ values[:-1]) / square, 0.0), 0.9)
    return (1 + alike) / (1 - alike)
