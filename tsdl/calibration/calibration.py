"""Measured runs to constants: what was fitted, how well it is known, how it does on the rest."""

from __future__ import annotations

import math
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct

from tsdl.calibration.beyond import beyond
from tsdl.calibration.fit import Posterior, fit
from tsdl.calibration.forward import METRICS, Floats, Forward
from tsdl.calibration.misfit import misfit, widened
from tsdl.calibration.priors import USUAL, Factor, factor_of, matching
from tsdl.calibration.residuals import Split, groups, residuals, split_of
from tsdl.calibration.titles import share
from tsdl.constants import Constant, report_unknown
from tsdl.diagnostics import Diagnostic, Sink
from tsdl.diagnostics.words import several
from tsdl.errors import TsdlError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tsdl.measured import Run
    from tsdl.session import Chosen
    from tsdl.validation import Validation
    from tsdl.validation.columns import Columns

STATISTICS = (*METRICS, "throughput")
IDENTIFIED, PARTLY = 0.5, 0.9
_LEAST = 16  # requests of a run that are fitted
_NEAR = 0.02  # widths


class Fitted(Struct, frozen=True):
    """A factor after the fit: its logarithm, and the standard deviation of that."""

    factor: Factor
    logarithm: float
    deviation: float

    @property
    def open(self) -> float:
        """Return how much of the prior's width is left: near 1, the data say nothing of it."""
        return self.deviation / self.factor.width

    @property
    def at_bound(self) -> bool:
        """Tell whether it would go on, if its bounds let it: the scenario lacks something."""
        near = _NEAR * self.factor.width
        return not self.factor.low + near < self.logarithm < self.factor.high - near

    @property
    def identified(self) -> str:
        """Tell whether the data identify it, as far as its bounds let it go: yes, partly or no."""
        return "yes" if self.open < IDENTIFIED else "partly" if self.open < PARTLY else "no"


class Prediction(Struct, frozen=True):
    """A mean (seconds) or throughput (requests/s) of a run, and the relative deviation of it.

    The deviation is what that of the constants makes of it, and no less than the error of a mean
    that the fit leaves far off.
    """

    statistic: str
    value: float
    deviation: float


class Check(Struct, frozen=True):
    """Errors of a part of a run: of its means, and the mean of |error| request by request.

    `before` is the scenario as it was, `after` with the fitted constants.
    """

    part: str
    statistic: str
    before: float
    after: float
    before_each: float
    after_each: float


class OnRun(Struct, frozen=True):
    """What is said of one run: how it was divided, what is predicted, how far it is off."""

    run: Run
    split: Split
    predictions: tuple[Prediction, ...]
    checks: tuple[Check, ...]

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """Return what is wrong with the fit to this run."""
        found = misfit(self)
        return (found,) if found else ()


class Calibration(Struct, frozen=True):
    """Constants that were fitted to measured runs.

    `idle` are the names that were asked for and change nothing in the scenario; `formulas` those
    that would have been fitted, were they numbers. `doubts` tell what in the runs contradicts
    itself or the scenario, where somebody has looked.
    """

    chosen: Chosen
    fitted: tuple[Fitted, ...]
    runs: tuple[OnRun, ...]
    holdout: float
    simulations: int
    idle: tuple[str, ...]
    formulas: tuple[str, ...]
    doubts: tuple[Diagnostic, ...] = ()

    @property
    def warnings(self) -> list[Diagnostic]:
        """Return what is wrong with the runs, with the constants, and with the fit, run by run."""
        of_runs = (warning for on_run in self.runs for warning in on_run.warnings)
        return [*self.doubts, *self.beyond, *of_runs]

    @property
    def beyond(self) -> list[Diagnostic]:
        """Return what is wrong with the constants: those that no device reaches."""
        return list(beyond(self.fitted))

    @property
    def values(self) -> dict[str, float]:
        """Return the fitted constants by name, in base units: what `tsdl.compile` takes."""
        return {constant.name: value for constant, value, _ in self.constants()}

    def constants(self) -> list[tuple[Constant, float, Fitted]]:
        """Return each constant with its value, and what it was fitted by."""
        return [
            (constant, value, found)
            for found in self.fitted
            for constant, value in zip(
                found.factor.constants, found.factor.values(found.logarithm), strict=True
            )
        ]

    def __repr__(self) -> str:
        """Say which factors were found, and how far off the means are, of what was held out."""
        factors = (
            f"{found.factor.name} × {math.exp(found.logarithm):.3g}" for found in self.fitted
        )
        part = "held out" if self.holdout else "fitted"
        checks = [check for on_run in self.runs for check in on_run.checks if check.part == part]
        errors = [abs(check.after) for check in checks if not math.isnan(check.after)]
        told = f"{', '.join(factors)}; {several(len(self.runs), 'run')}"
        if errors:
            told += f", means of what was {part} off by up to {share(max(errors))}"
        return f"<Calibration of {self.chosen.scenario.name}: {told}>"


def calibrate(
    chosen: Chosen, runs: Sequence[Run], wanted: Sequence[str] | None, holdout: float
) -> Calibration:
    """Fit constants of a scenario to measured runs, all together.

    `wanted` are names or short names of constants, with `*` for any part and `+` between several;
    each is one factor. Without them those of USUAL are fitted that change anything. The last
    `holdout` of each run's arrivals are kept back to see how the fit does.

    Raises TsdlError (E0508 for a name that nothing has), ValueError for a run that cannot be
    replayed or a constant that cannot be fitted, NoScipy.
    """
    _check(runs, holdout)
    forward = Forward(chosen, list(runs))
    formulas = _formulas(chosen, wanted)
    forward.factors, idle = _factors(chosen, forward, wanted)
    splits = [split_of(len(run.requests), holdout) for run in runs]

    def apart(logarithms: Floats) -> Floats:
        return residuals(forward.compare(logarithms), splits)

    posterior = fit(forward.factors, apart, groups(splits))
    before, after = forward.unchanged(), forward.compare(posterior.mean)
    deviations = _deviations(forward, posterior).reshape(len(runs), len(STATISTICS))
    on_runs = tuple(
        _on_run(run, split, of_run, theirs, ours)
        for run, split, of_run, theirs, ours in zip(
            runs, splits, deviations, before, after, strict=True
        )
    )
    fitted = tuple(
        Fitted(factor, float(mean), float(deviation))
        for factor, mean, deviation in zip(
            forward.factors, posterior.mean, posterior.deviations, strict=True
        )
    )
    return Calibration(chosen, fitted, on_runs, holdout, forward.simulations, idle, formulas)


def _on_run(
    run: Run, split: Split, deviations: Floats, before: Validation, after: Validation
) -> OnRun:
    checks = tuple(_checks(split, before, after))
    predictions = (
        Prediction(name, _statistic(after.simulated, name), float(deviation))
        for name, deviation in zip(STATISTICS, deviations, strict=True)
    )
    return OnRun(run, split, widened(predictions, checks), checks)


def _check(runs: Sequence[Run], holdout: float) -> None:
    if not runs:
        raise ValueError("there is no measured run to fit to")
    if not 0 <= holdout < 1:
        raise ValueError(f"the share that is held out is from 0 to below 1, not {holdout:g}")
    for run in runs:
        if not run.timed:
            told = f"{run.name} does not say when requests arrived: it has no replay"
            load = f"; `tsdl validate` compares it with a workload of {run.instead}"
            raise ValueError(told + (load if run.instead else ""))
        split = split_of(len(run.requests), holdout)
        fitted = split.last - split.first
        if fitted < _LEAST:
            left = f" and the share of {holdout:g} that is held out" if holdout else ""
            raise ValueError(
                f"{run.name} has {several(fitted, 'request')} to fit, besides the first{left}; "
                f"{_LEAST} are the least"
            )


def _formulas(chosen: Chosen, wanted: Sequence[str] | None) -> tuple[str, ...]:
    """Return the formulas that names mean. Raises ValueError for one that means nothing else."""
    known, numbers = chosen.formulas(), chosen.constants()
    found = []
    for name in wanted or USUAL:
        parts = [part.strip() for part in name.split("+")]
        meant = [short for short in known if any(fnmatchcase(short, part) for part in parts)]
        if meant and wanted and not matching(name, numbers):
            raise ValueError(f"`{meant[0]}` is a formula here, and only numbers can be fitted")
        found += meant
    return tuple(dict.fromkeys(found))


def _lost(name: str, numbers: list[Constant], formulas: Sequence[str]) -> str:
    """Return the first of names joined by `+` that means nothing; "" where all do."""
    for part in map(str.strip, name.split("+")):
        if not matching(part, numbers) and not any(fnmatchcase(f, part) for f in formulas):
            return part
    return ""


def _factors(
    chosen: Chosen, forward: Forward, wanted: Sequence[str] | None
) -> tuple[list[Factor], tuple[str, ...]]:
    """Return the factors to fit, and the names among those wanted that change nothing."""
    known = chosen.constants()
    sink = Sink()
    unchanged = _times(forward.unchanged())
    found: list[Factor] = []
    idle: list[str] = []
    for name in wanted or USUAL:
        constants = matching(name, known)
        lost = _lost(name, known, chosen.formulas())
        if lost or not constants:
            if wanted:
                report_unknown(chosen.program, lost or name, known, sink)
            continue
        if len(constants) > 1:
            constants = forward.read([one for one in constants if one.value]) or constants
        factor = factor_of(name, constants)
        moved = np.clip([factor.width, -factor.width], factor.low, factor.high)
        alone = Forward(chosen, forward.runs, [factor])
        if all(_times(alone.compare(place[None])) == unchanged for place in moved):
            idle.append(name)
        else:
            found.append(factor)
    if sink.has_errors:
        raise TsdlError(sink.sorted())
    if not found:
        raise ValueError("nothing that was to be fitted changes anything in the scenario")
    twice = [c.name for c in known if sum(c in factor.constants for factor in found) > 1]
    if twice:
        raise ValueError(f"`{twice[0]}` is in two of the names that are to be fitted")
    return found, tuple(idle) if wanted else ()


def _times(found: list[Validation]) -> list[bytes]:
    """Return all that was simulated, to tell whether it is the same."""
    return [of.simulated.values[name].tobytes() for of in found for name in METRICS]


def _deviations(forward: Forward, posterior: Posterior) -> Floats:
    """Return the relative deviations of all statistics of all runs."""

    def logarithms(place: Floats) -> Floats:
        return np.array(
            [
                math.log(max(_statistic(found.simulated, name), 1e-12))
                for found in forward.compare(place)
                for name in STATISTICS
            ]
        )

    return posterior.deviations_of(logarithms)


def _statistic(columns: Columns, name: str) -> float:
    if name == "throughput":
        return columns.throughput
    values = columns.of(name)
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else math.nan


def _checks(split: Split, before: Validation, after: Validation) -> list[Check]:
    places = np.arange(split.count)
    parts = {"fitted": (places >= split.first) & (places < split.last)}
    if split.last < split.count:
        parts["held out"] = places >= split.last
    return [
        Check(
            part,
            name,
            *(_error(found, counted, name) for found in (before, after)),
            *(_each(found, counted, name) for found in (before, after)),
        )
        for part, counted in parts.items()
        for name in STATISTICS
    ]


def _error(found: Validation, counted: NDArray[np.bool_], name: str) -> float:
    """Return simulated / measured − 1; NaN where 0 was measured, as in a validation."""
    measured, simulated = found.measured.only(counted), found.simulated.only(counted)
    true = _statistic(measured, name)
    return _statistic(simulated, name) / true - 1 if true else math.nan


def _each(found: Validation, counted: NDArray[np.bool_], name: str) -> float:
    if name == "throughput":
        return math.nan
    measured, simulated = found.measured.only(counted).of(name), found.simulated.only(counted)
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.abs(simulated.of(name) / measured - 1)
    known = apart[np.isfinite(apart)]
    return float(known.mean()) if len(known) else math.nan
