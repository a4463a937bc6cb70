"""A comparison for people: tables of measured, simulated and error."""

import math
from collections.abc import Iterator
from pathlib import PurePath

from tsdl.runtime.text import duration
from tsdl.validation.columns import Columns
from tsdl.validation.comparison import Agreement, Row, Validation

_TITLES = {
    "ttft": "TTFT",
    "tpot": "TPOT",
    "e2e": "E2E",
    "queued_ttft": "TTFT, engine's view",
    "throughput": "requests/s",
    "token_throughput": "output tokens/s",
}
_HUGE = 1e4  # shares from here on are told by powers of ten
_FEW = 1e-3  # seconds by which arrivals may differ without a word
_FAR = 0.05  # the share of the last arrival's time by which they do not differ in the same run


def percent(value: float) -> str:
    """Show a share with its sign."""
    return "–" if math.isnan(value) else _share(value, "+")


def _share(value: float, sign: str = "") -> str:
    shown = f"{value:{sign}.1%}" if abs(value) < _HUGE else f"{value * 100:{sign}.3g}%"
    return shown.replace("%", " %")


def table(validation: Validation) -> str:
    """Return the comparison as it stands on a terminal."""
    return "\n".join(line.rstrip() for line in _lines(validation))


def _lines(validation: Validation) -> Iterator[str]:
    run, columns = validation.run, (validation.measured, validation.simulated)
    dated = f", {run.date}" if run.date else ""
    name = PurePath(run.name).name
    yield f"{validation.result.plan.scenario} against {name} ({run.format}{dated})"
    yield ""
    yield from (f"  {line}" for line in _remarks(validation))
    yield ""
    yield f"  {'':<20}{'':<6}{'measured':>12}{'simulated':>12}{'error':>10}"
    before = ""
    for row in validation.rows:
        title = "" if row.metric == before else _TITLES[row.metric]
        before = row.metric
        cells = "".join(f"{_shown(row, value):>12}" for value in (row.measured, row.simulated))
        yield f"  {title:<20}{row.statistic:<6}{cells} {percent(row.error):>9}"
    yield f"  {'over':<26}{''.join(f'{duration(c.span):>12}' for c in columns)}"
    if validation.agreements:
        yield ""
        yield f"  {'request by request':<26}{'mean |err|':>12}{'median |err|':>14}{'corr.':>8}"
    for found in validation.agreements:
        shares = map(_share, _errors(found))
        one, other = ("–" if share.startswith("nan") else share for share in shares)
        like = "–" if math.isnan(found.correlation) else f"{found.correlation:.3f}"
        yield f"  {_TITLES[found.metric]:<26}{one:>12}{other:>14}{like:>8}"


def _errors(found: Agreement) -> tuple[float, float]:
    return found.mean_error, found.median_error


def _remarks(validation: Validation) -> Iterator[str]:
    run = validation.run
    measured = validation.measured.counted
    if validation.same:
        yield f"{measured.sum():,} of {len(measured):,} requests count, the same in both"
    else:
        yield "these are not the same requests, so that only distributions are compared:"
        yield f"  measured   {_described(validation.measured)}"
        yield f"  simulated  {_described(validation.simulated)}"
        if _has_failed_ones(validation):
            yield "the trace has those that failed, too: leave their rows out of the file"
        elif run.timed:
            yield f'to compare one by one, replay them: `trace = "{PurePath(run.name).name}"`'
    if validation.latest > _FEW:
        far = validation.latest > _FAR * validation.simulated.values["arrived"].max()
        asked = "; is it the run of this workload, at its `speed`?" if far else ""
        yield f"arrivals differ by up to {duration(validation.latest)}{asked}"
    elif validation.same and math.isnan(validation.latest):
        yield "when the measured ones arrived is not known"
    if run.left_out:
        yield f"{run.left_out:,} that failed in the measurement are left out"
    summary = validation.result.summary["requests"]
    for status in ("rejected", "unfinished"):
        if summary[status]:
            yield f"{summary[status]:,} are {status} in the simulation"


def _has_failed_ones(validation: Validation) -> bool:
    """Tell whether a trace has the requests that failed: under headers that only a run knows."""
    count = len(validation.measured.counted) + validation.run.left_out
    replayed = validation.result.plan.workload.replay
    return replayed and validation.run.left_out > 0 and len(validation.simulated.counted) == count


def _described(columns: Columns) -> str:
    """Say how many requests there are, how long they are, and how many come in a second."""
    counted = columns.counted.sum()
    told = [f"{counted:,} of {len(columns.counted):,} requests count"]
    if counted:
        prompt, output = (columns.of(name).mean() for name in ("prompt", "output"))
        told.append(f"of {prompt:,.4g} + {output:,.4g} tokens on average")
    rate = columns.arrival_rate
    if not math.isnan(rate):
        told.append(f"{rate:,.3g} a second")
    elif any(map(math.isnan, columns.of("arrived"))):
        told.append("arrivals unknown")
    elif counted > 1:
        told.append("all at once")
    return ", ".join(told)


def _shown(row: Row, value: float) -> str:
    if "throughput" not in row.metric:
        return duration(value)
    return "–" if math.isnan(value) else f"{value:,.4g}"
