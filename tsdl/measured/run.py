"""A measured run as plain data: one value for each request, and what is said of the whole."""

import math
from itertools import accumulate

from msgspec import Struct, field
from msgspec.structs import replace

from tsdl.diagnostics import Diagnostic, Sink
from tsdl.diagnostics.words import several
from tsdl.source import Source, Span
from tsdl.traces.rows import MOST_MISTAKES, MOST_TOKENS

NOT_KNOWN = math.nan
# How far times of one request may be from one another, as a share and in seconds: they are rounded.
_ROUNDED = 0.05, 1e-3


class Request(Struct, frozen=True):
    """A request that was answered. Times in seconds, NaN where they are not known.

    `arrived` is on any clock. `ttft` and `e2e` count from the arrival, as the user sees it;
    `queued_ttft` from when the engine noticed the request; `tpot` is (last token − first token) /
    (output − 1), and a single token has none; `itls` are the gaps between tokens, in order.
    """

    arrived: float
    prompt: int
    output: int
    ttft: float
    e2e: float
    tpot: float
    queued_ttft: float = NOT_KNOWN
    itls: tuple[float, ...] = ()


class Run(Struct, frozen=True):
    """Requests in the order of their arrival, which counts from the first.

    `duration` is from the first arrival to the last token, in seconds. `left_out` counts those that
    failed. `date` is the day that the file gives, "" where it gives none; so is `model`, what was
    served. `instead` is what a workload can say of a run whose arrivals are not known. `doubts` are
    what contradicts itself in its file, where only that shows it. `concurrency` is how many
    requests could be open at once, 0 where that was not bounded or is not known.
    """

    name: str
    format: str
    requests: tuple[Request, ...]
    duration: float
    left_out: int = 0
    date: str = ""
    model: str = ""
    instead: str = ""
    doubts: tuple[Diagnostic, ...] = ()
    concurrency: int = 0

    def __repr__(self) -> str:
        """Say what was measured."""
        count = several(len(self.requests), "request")
        return f"<Run of {self.name} ({self.format}): {count} in {self.duration:.4g} s>"

    @property
    def timed(self) -> bool:
        """Tell whether it is known when requests arrived."""
        return not any(math.isnan(request.arrived) for request in self.requests)

    @property
    def most_open(self) -> int:
        """Return how many requests were open at once at most; 0 where times are not known."""
        changes = [(r.arrived, 1) for r in self.requests]
        changes += [(r.arrived + r.e2e, -1) for r in self.requests]
        if any(math.isnan(time) for time, _ in changes):
            return 0
        return max(accumulate(step for _, step in sorted(changes)))


class Collector(Struct):
    """Collects the requests of a file, and tells of those that cannot be."""

    source: Source
    sink: Sink
    mistakes: int = 0
    left_out: int = 0
    requests: list[Request] = field(default_factory=list)

    @property
    def full(self) -> bool:
        """Tell whether so much is wrong that the rest need not be looked at."""
        return self.mistakes > MOST_MISTAKES

    def add(self, line: int, request: Request) -> None:
        """Add the request of a line (from 1)."""
        reason = wrong(request)
        if reason:
            self.wrong(line, reason)
        else:
            self.requests.append(request)

    def wrong(self, line: int, reason: str) -> None:
        """Report the request of a line (from 1)."""
        self.wrong_at(self.source.line_span(line), reason)

    def wrong_at(self, place: Span, reason: str) -> None:
        """Report a request; from some number on, only count."""
        self.mistakes += 1
        if self.mistakes > MOST_MISTAKES:
            return
        self.sink.error(
            "E0603", reason, place, "here",
            help=("mend the file or leave the request out",),
        )  # fmt: skip

    def run(
        self,
        form: str,
        *,
        duration: float = NOT_KNOWN,
        date: str = "",
        model: str = "",
        instead: str = "",
    ) -> Run | None:
        """Return the run; None where any request is wrong or none was answered."""
        if self.mistakes:
            return None
        if not self.requests:
            said = f"; {self.left_out} failed" if self.left_out else ""
            self.sink.error(
                "E0601", f"the file has no request that was answered{said}", Span(self.source, 0, 0)
            )
            return None
        # Requests of which no arrival is known keep the order of the file.
        ordered = sorted(self.requests, key=lambda r: 0.0 if math.isnan(r.arrived) else r.arrived)
        first = ordered[0].arrived
        requests = tuple(replace(request, arrived=request.arrived - first) for request in ordered)
        if math.isnan(duration):
            ends = [request.arrived + request.e2e for request in requests]
            duration = max((end for end in ends if not math.isnan(end)), default=NOT_KNOWN)
        return Run(self.source.name, form, requests, duration, self.left_out, date, model, instead)


def wrong(request: Request) -> str:
    """Return why a request cannot be, or "" if it can."""
    for name in ("prompt", "output"):
        if not 1 <= getattr(request, name) <= MOST_TOKENS:
            return f"`{name}` is {getattr(request, name)}: it is from 1 to {MOST_TOKENS:,} tokens"
    for name in ("ttft", "e2e"):
        if _no_time(getattr(request, name)):
            return f"`{name}` is {getattr(request, name):g} s: a time is finite and not negative"
    if request.e2e < request.ttft:
        return f"the last token ({request.e2e:g} s) came before the first ({request.ttft:g} s)"
    for name, time in (("tpot", request.tpot), ("itl", min(request.itls, default=0.0))):
        if _no_time(time):
            return f"`{name}` is {time:g} s: a time is finite and not negative"
    whole = request.ttft + request.tpot * (request.output - 1)
    share, seconds = _ROUNDED
    if abs(whole - request.e2e) > share * request.e2e + seconds:  # where all three are known
        return (
            f"`ttft` and {request.output - 1} times `tpot` come to {whole:g} s, "
            f"and `e2e` is {request.e2e:g} s"
        )
    return ""


def _no_time(value: float) -> bool:
    return value < 0 or math.isinf(value)  # NaN is what is not known
