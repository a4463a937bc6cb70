"""Whether a run shows how it goes on: its load must be steady, and be counted for long enough."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct

from tsdl.diagnostics import Diagnostic, Severity
from tsdl.runtime.ledger import STATUSES
from tsdl.runtime.request import FINISHED, UNFINISHED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsdl.planworkload import Workload
    from tsdl.runtime.columns import Requests

PARTS = 8  # of the arrivals; the first, in which the system fills, says nothing
FEWEST = 10 * PARTS  # requests, below which nothing is said
# What is too much of a growth, from the first three of these parts to the last two, by how many of
# their 21 pairs rise less those that fall. Of parts that know nothing of each other so many do so
# by chance in one run of seventy, and all in one of five thousand.
_TOO_MUCH = ((15, 1.25), (21, 1.1))
# Parts that are not much longer than a request do know of each other. Growth is also more than so
# many times what requests that come and go alone vary by.
_BEYOND_CHANCE = 3.0
_ALL, _CERTAIN = 21, 2.0  # but where all pairs rise, and growth is such a factor
_STEADY = ("poisson", "uniform", "gamma")  # arrivals whose rate does not change


class Growth(Struct, frozen=True):
    """How many requests were open when others arrived, in the mean: early in a run, and at last."""

    early: float
    late: float
    rises: int  # pairs of parts of which the later has more, less those of which it has fewer
    alone: float  # standard deviation of the growth, did each request come and go alone

    @property
    def steady(self) -> bool:
        """Tell whether they did not pile up."""
        if self.rises == _ALL and self.late >= _CERTAIN * self.early:
            return False
        return self.late - self.early <= _BEYOND_CHANCE * self.alone or not any(
            self.rises >= rises and self.late >= growth * self.early for rises, growth in _TOO_MUCH
        )


def growth_of(workload: Workload, columns: Requests, counted: NDArray[np.bool_]) -> Growth | None:
    """Return how open requests grew among counted arrivals.

    None where they are few, or come at no steady rate of their own: in bursts, conversations,
    closed loops and replays.
    """
    if not _comes_steadily(workload) or int(counted.sum()) < FEWEST:
        return None
    arrived, codes = columns.part("arrived"), columns.codes
    closed = np.where(codes == STATUSES.index(FINISHED), columns.part("last_token"), arrived)
    closed[codes == STATUSES.index(UNFINISHED)] = np.inf
    closed.sort()
    open_ = np.arange(1, len(arrived) + 1) - np.searchsorted(closed, arrived, side="right")
    parts = [float(part.mean()) for part in np.array_split(open_[counted], PARTS)][1:]
    pairs = [(a, b) for place, a in enumerate(parts) for b in parts[place + 1 :]]
    rises = sum((b > a) - (b < a) for a, b in pairs)
    early, late = sum(parts[:3]) / 3, sum(parts[-2:]) / 2
    part = float(np.ptp(arrived[counted])) / PARTS
    served = counted & (codes == STATUSES.index(FINISHED))
    each = columns.part("last_token")[served] - columns.part("started")[served]
    length = float(np.mean(each)) if len(each) else 0.0
    varied = _variance(length, 3 * part) + _variance(length, 2 * part)
    return Growth(early, late, rises, math.sqrt(min(early, late) * varied))


def _variance(length: float, time: float) -> float:
    """Return by how much the mean of open requests over a time varies, for one open request.

    Each comes and goes alone (M/M/∞), and takes so long in the mean: the number of open ones is
    distributed as Poisson says, and is forgotten exponentially.
    """
    if not length or not time:
        return 0.0
    parts = time / length
    return 2 / parts * (1 + math.expm1(-parts) / parts)


def _comes_steadily(workload: Workload) -> bool:
    """Tell whether requests come at a rate of their own, which does not change."""
    kinds = workload.kinds
    if any(kind.arrivals is None or kind.arrivals.name not in _STEADY for kind in kinds):
        return False
    if len({kind.duration for kind in kinds}) > 1 or (workload.parts and not kinds[0].duration):
        return False  # once one of them has ended it is another rate
    # Users who wait come the later the longer it takes.
    return not workload.chained and workload.concurrency is None


def too_short(
    workload: Workload, columns: Requests, counted: NDArray[np.bool_]
) -> Diagnostic | None:
    """Return the warning of a run whose counted requests are over before one of them would be.

    None without a warm-up, unless nobody came, or where requests come at no rate of their own.
    """
    arrived = columns.part("arrived")
    if not len(arrived):
        helps = ("let requests arrive for longer, or at a higher rate",)
        return Diagnostic("W0903", Severity.WARNING, "no request arrives", None, help=helps)
    if not workload.warmup:
        return None
    longer = "let requests arrive for longer than the `warmup`, by more of them; or shorten it"
    if workload.replay:
        longer = "the trace is not longer than that: shorten the `warmup`"
    if not counted.any():
        title = f"no request counts: all {len(arrived):,} arrive within the warm-up"
        return Diagnostic("W0903", Severity.WARNING, title, None, help=(longer,))
    done = counted & (columns.codes == STATUSES.index(FINISHED))
    if not _comes_steadily(workload) or not done.any():
        return None
    span = float(arrived[counted].max()) - workload.warmup
    each = float((columns.part("last_token")[done] - arrived[done]).mean())
    if span >= each:
        return None
    return Diagnostic(
        "W0903",
        Severity.WARNING,
        "few requests count: they arrive for less time than one takes",
        None,
        notes=(
            f"{counted.sum():,} of {len(arrived):,} arrive after the warm-up, for {span:.4g} s; "
            f"each takes {each:.4g} s in the mean",
            "what they meet is left of the warm-up, or is an end at which nobody comes any more",
        ),
        help=(longer,),
    )


def piling_up(growth: Growth) -> Diagnostic:
    """Return the warning of a run that was not steady."""
    return Diagnostic(
        "W0902",
        Severity.WARNING,
        "requests pile up",
        None,
        notes=(
            "the longer it runs the longer are its latencies",
            f"the last quarter of arrivals finds {growth.late:,.4g} requests open in the mean, "
            f"those before the middle {growth.early:,.4g}",
        ),
        help=(
            "more workers or a lower rate, if it goes on like that in a longer run",
            "a longer run, or a `warmup` of what it takes to fill, if it does not",
        ),
    )
