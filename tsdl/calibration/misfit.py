"""What a fit could not reach: means that stay far from the measured ones, and what that says."""

from __future__ import annotations

import math
from pathlib import PurePath
from typing import TYPE_CHECKING

from msgspec.structs import replace

from tsdl.calibration.titles import TITLES, share
from tsdl.diagnostics import Diagnostic, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tsdl.calibration.calibration import Check, OnRun, Prediction

FAR = 0.3  # of a mean: no constant of the library is that wrong
_THOUSAND = 300, 3000  # times too long: about 1000


def far_off(checks: Sequence[Check]) -> list[Check]:
    """Return the checks of the last part of a run whose means stay far off: of what is held out."""
    return [c for c in checks if c.part == checks[-1].part and abs(c.after) > FAR]


def widened(predictions: Iterable[Prediction], checks: Sequence[Check]) -> tuple[Prediction, ...]:
    """Return predictions that are no surer than the fit is good, where that is far off."""
    off = {check.statistic: _logarithm(check) for check in far_off(checks)}
    return tuple(
        replace(p, deviation=max(p.deviation, off.get(p.statistic, 0.0))) for p in predictions
    )


def _logarithm(check: Check) -> float:
    return abs(math.log(max(1 + check.after, 1e-12)))


def misfit(on_run: OnRun) -> Diagnostic | None:
    """Return the warning of a run that the fitted constants do not explain; None where they do."""
    off = far_off(on_run.checks)
    if not off:
        return None
    told = ", ".join(f"{TITLES[c.statistic]} {share(c.after, sign=True)}" for c in off)
    name, part = PurePath(on_run.run.name).name, off[0].part
    return Diagnostic(
        "W0904",
        Severity.WARNING,
        f"the fitted constants do not explain `{name}`: {part}, {told}",
        None,
        notes=(
            "what the scenario lacks is not among the constants, and none of them can stand for it",
            "the standard deviations of these predictions are no less than that error",
        ),
        help=_causes(off),
    )


def _causes(off: list[Check]) -> tuple[str, ...]:
    few, many = _THOUSAND
    times = [1 + check.after for check in off if check.statistic != "throughput"]
    unit = "are times of the file in seconds?"
    if any(few < 1 / ratio < many for ratio in times if ratio > 0):
        unit = "times of the file are about 1000 times as long: are they in ms? Seconds are read"
    return (
        unit,
        "are device, model, number format and parallel degree those that were measured?",
        "is the load: are requests, arrivals and the limits of the engine's batch the same?",
    )
