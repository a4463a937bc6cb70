"""A calibration for people and for programs: tables, and JSON."""

import json
import math
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from msgspec.structs import asdict

from tsdl.calibration.calibration import Calibration, Check, Fitted, OnRun
from tsdl.calibration.titles import TITLES, share
from tsdl.diagnostics.words import several
from tsdl.measured import Run
from tsdl.runtime.text import duration


def of_run(run: Run) -> str:
    """Return a run's file, format and date."""
    return f"{PurePath(run.name).name} ({run.format}{f', {run.date}' if run.date else ''})"


def divided(on_run: OnRun) -> str:
    """Tell how the requests of a run were used."""
    split = on_run.split
    told = f"{split.last - split.first:,} of {split.count:,} requests fitted"
    if split.last < split.count:
        told += f", the last {split.count - split.last:,} held out"
    return f"{told}; the first met a cold engine"


def deviation(logarithm: float) -> str:
    """Show the standard deviation of a logarithm: a share, or a factor where it is large."""
    few = 0.5
    if logarithm < few:
        return f"± {share(logarithm)}"
    return f"×÷ {float(f'{math.exp(logarithm):.2g}'):,.4g}"


def table(found: Calibration) -> str:
    """Return a calibration as it stands on a terminal."""
    return "\n".join(line.rstrip() for line in _lines(found))


def _lines(found: Calibration) -> Iterator[str]:
    factors, runs = several(len(found.fitted), "factor"), several(len(found.runs), "run")
    yield (
        f"{found.chosen.scenario.name}: {factors} fitted to {runs} "
        f"in {found.simulations:,} simulations"
    )
    yield ""
    yield from (f"  {of_run(on_run.run)}: {divided(on_run)}" for on_run in found.runs)
    for name in found.idle:
        yield f"  `{name}` changes nothing in this scenario and was not fitted"
    for name in found.formulas:
        yield f"  `{name}` is a formula in this scenario and was not fitted"
    yield ""
    constants = [constant for fitted in found.fitted for constant in fitted.factor.constants]
    width = max([52, *(len(constant.name) + 2 for constant in constants)])  # they may be indented
    yield f"  {'':<{width}}{'before':>11}{'fitted':>11}{'sd':>10}{'open':>7}  identified"
    for fitted in found.fitted:
        yield from _factor(found, fitted, width)
    for on_run in found.runs:
        yield ""
        yield from _predictions(on_run)
        yield from _checks(on_run)


def _factor(found: Calibration, fitted: Fitted, width: int) -> Iterator[str]:
    told = "at its bound" if fitted.at_bound else fitted.identified
    known = f"{deviation(fitted.deviation):>10}{fitted.open:>7.2f}  {told}"
    constants = fitted.factor.constants
    if len(constants) > 1:
        times = f"× {math.exp(fitted.logarithm):.3g}"
        yield f"  {fitted.factor.name:<{width}}{'':>11}{times:>11}{known}"
        known = ""
    units = found.chosen.program.units
    values = fitted.factor.values(fitted.logarithm)
    for constant, value in zip(constants, values, strict=True):
        indent = "  " if len(constants) > 1 else ""
        cells = "".join(
            f"{constant.written(float(f'{v:.3g}'), units):>11}" for v in (constant.value, value)
        )
        yield f"  {indent + constant.name:<{width}}{cells}{known}"


def _predictions(on_run: OnRun) -> Iterator[str]:
    yield f"  {'mean of ' + PurePath(on_run.run.name).name:<34}{'predicted':>12}{'sd':>10}"
    for prediction in on_run.predictions:
        name = prediction.statistic
        value = f"{prediction.value:.4g}" if name == "throughput" else duration(prediction.value)
        yield f"  {TITLES[name]:<34}{value:>12}{deviation(prediction.deviation):>10}"


def _checks(on_run: OnRun) -> Iterator[str]:
    yield ""
    heads = ("before", "fitted", "|err| each", "fitted")
    yield f"  {'error':<22}" + "".join(f"{head:>12}" for head in heads)
    part = ""
    for check in on_run.checks:
        title = "" if check.part == part else check.part
        part = check.part
        yield f"  {title:<10}{TITLES[check.statistic]:<12}{''.join(_cells(check))}"


def _cells(check: Check) -> Iterator[str]:
    yield from (f"{share(v, sign=True):>12}" for v in (check.before, check.after))
    yield from (f"{share(v):>12}" for v in (check.before_each, check.after_each))


def as_json(found: Calibration) -> str:
    """Return a calibration as JSON: values in base units, deviations of logarithms."""
    told = {
        "scenario": found.chosen.scenario.name,
        "holdout": found.holdout,
        "simulations": found.simulations,
        "idle": list(found.idle),
        "formulas": list(found.formulas),
        "factors": [
            {
                "name": fitted.factor.name,
                "factor": math.exp(fitted.logarithm),
                "prior_deviation": fitted.factor.width,
                "deviation": fitted.deviation,
                "open": fitted.open,
                "identified": fitted.identified,
                "at_bound": fitted.at_bound,
                "constants": [
                    {"name": constant.name, "before": constant.value, "fitted": value}
                    for constant, value, of in found.constants()
                    if of is fitted
                ],
            }
            for fitted in found.fitted
        ],
        "warnings": [warning.title for warning in found.beyond],
        "runs": [_run(on_run) for on_run in found.runs],
    }
    return json.dumps(told, indent=2, allow_nan=False) + "\n"


def _run(on_run: OnRun) -> dict[str, Any]:
    return {
        "name": PurePath(on_run.run.name).name,
        "format": on_run.run.format,
        "date": on_run.run.date,
        "requests": len(on_run.run.requests),
        "fitted": on_run.split.last - on_run.split.first,
        "held_out": on_run.split.count - on_run.split.last,
        "predictions": [_known(asdict(prediction)) for prediction in on_run.predictions],
        "errors": [_known(asdict(check)) for check in on_run.checks],
        "warnings": [warning.title for warning in on_run.warnings],
    }


def _known(cells: dict[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in cells.items()}
