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
_SLOWEST = 4.0  # seconds for each token after the first, of half of the requests: none serves so


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
    each = [r.tpot for r in run.requests if not math.isnan(r.tpot)]
    if each and median(each) > _SLOWEST:
        yield doubt(
            source,
            f"half of the requests take {median(each):,.4g} s and more for each token",
            "are its times in another unit? Seconds are read, or what a header ends in: `tpot_ms`",
        )
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


def doubt(source: Source, title: str, help_: str, place: Span | None = None) -> Diagnostic:
    """Return the warning of a file that does not go together, or not with the scenario."""
    return Diagnostic(CODE, Severity.WARNING, title, place or Span(source, 0, 0), help=(help_,))
