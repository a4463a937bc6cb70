"""What contradicts itself in a measured run: times that cannot all be in the same unit."""

import math
from collections.abc import Iterator
from itertools import pairwise
from statistics import median

from tsdl.diagnostics import Diagnostic, Severity
from tsdl.measured.run import Run
from tsdl.source import Source, Span

CODE = "W0611"
_SLACK = 1.05, 1.0  # what clocks may differ by: a factor, and seconds
_FAR = 100  # times as long as all the rest takes, and
_LEAST = 60.0  # seconds
_SLOWEST, _QUICKEST = 4.0, 1e-4  # seconds for each token of half of the requests: none serves so
_FIRST = 1e-3  # seconds to the first token; no half of the requests has it sooner
_LAST, _PROMPT = 10.0, 0.01  # seconds to it, and for each token of the prompt: some have it sooner
_UNIT = "are its times in another unit? Seconds are read, or what a header ends in: `tpot_ms`"
_FEW = 4  # requests, of which one has met an engine that was idle


def doubts(run: Run, source: Source) -> Iterator[Diagnostic]:
    """Yield warnings of what a run says that cannot be, or is most likely a slip."""
    yield from run.doubts
    factor, seconds = _SLACK
    longest = max((r.e2e for r in run.requests if not math.isnan(r.e2e)), default=0.0)
    if longest > factor * run.duration + seconds:
        yield doubt(
            source,
            f"a request took {longest:,.4g} s, and the whole run {run.duration:,.4g} s",
            "are its times in another unit? Seconds are read",
        )
    yield from _paces(run, source)
    arrivals = [request.arrived for request in run.requests]
    gap = max((b - a for a, b in pairwise(arrivals)), default=0.0)
    rest = arrivals[-1] - arrivals[0] - gap + longest
    if run.timed and gap > max(_LEAST, _FAR * rest):
        yield doubt(
            source,
            f"between two arrivals {gap:,.4g} s pass, and all the rest takes {rest:,.4g} s",
            "is that start of another clock? Leave the request out, or mend it",
        )
    elif run.timed and arrivals[-1] - arrivals[0] > factor * run.duration + seconds:
        yield doubt(
            source,
            f"requests arrive for {arrivals[-1] - arrivals[0]:,.4g} s, and the whole run takes "
            f"{run.duration:,.4g} s",
            "is one of both in another unit? Seconds are read",
        )


def _paces(run: Run, source: Source) -> Iterator[Diagnostic]:
    """Yield the warning of times that no server takes, a thousand times too long or too short."""
    title = _too_slow(run) or _too_fast(run)
    if title:
        yield doubt(source, title, _UNIT)


def _too_slow(run: Run) -> str:
    """Return what takes longer than anywhere; "" where nothing does."""
    tpot, whole = _known(run, "tpot"), _known(run, "e2e")
    tokens = sum(request.output for request in run.requests)
    first = [r for r in run.requests if r.ttft > max(_LAST, _PROMPT * r.prompt)]
    if tpot and median(tpot) > _SLOWEST:
        return f"half of the requests take {median(tpot):,.4g} s and more for each token"
    if len(first) == len(run.requests) >= _FEW:
        return f"no first token came before {min(r.ttft for r in first):,.4g} s"
    if not tpot and len(whole) == len(run.requests) and sum(whole) > _SLOWEST * tokens:
        return f"requests take {sum(whole) / tokens:,.4g} s for each token on average"
    return ""


def _too_fast(run: Run) -> str:
    """Return what is quicker than anywhere; "" where nothing is."""
    tpot, first = _known(run, "tpot"), _known(run, "ttft")
    whole = [r.e2e / r.output for r in run.requests if not math.isnan(r.e2e)]
    for times, quickest, what in (
        (tpot, _QUICKEST, "for each token"),
        (first, _FIRST, "to their first token"),
        (whole, _QUICKEST, "for each token"),
    ):
        if times and median(times) < quickest:
            return f"half of the requests take no more than {median(times) * 1e6:,.4g} us {what}"
    return ""


def _known(run: Run, name: str) -> list[float]:
    return [time for r in run.requests if not math.isnan(time := getattr(r, name))]


def doubt(source: Source, title: str, help_: str, place: Span | None = None) -> Diagnostic:
    """Return the warning of a file that does not go together, or not with the scenario."""
    return Diagnostic(CODE, Severity.WARNING, title, place or Span(source, 0, 0), help=(help_,))
