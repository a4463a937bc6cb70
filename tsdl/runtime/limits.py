"""Limits of a run: when it has taken so many seconds or so much memory, it stops between events.

A run with limits goes through simulated time in slices. Between two slices everything that happens
up to one time has happened, and nothing after it: what a run that stops there leaves behind is what
the same plan leaves with that time as its `until`. Handlers that go on for long are interrupted;
since half of what they do is no result, the run is repeated then, up to the end of the last slice.
Where there are no limits, nothing of this runs.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from math import inf
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from tsdl.diagnostics import Diagnostic, Severity
from tsdl.diagnostics.words import several
from tsdl.errors import TsdlError
from tsdl.runtime.clock import OBSERVER

if TYPE_CHECKING:
    import simpy

    from tsdl.planworkload import Workload
    from tsdl.runtime.engine import Engine

SLICE = 0.02  # seconds that a slice should take
_EVENTS = 1000  # that a slice has at most
_NEAR = 1.0  # simulated seconds, in which no worker does much
_MOST_GROWTH = 2.0
_PATIENCE = 1.0  # seconds beyond a limit that what happens at one time may still take
_STEPS = 256  # of handlers, between two looks at the clock
NO_ROOM = "E0905"
# Bytes, measured as the growth of the resident set in runs of 0.5 to 3 million requests: 75 for a
# request that is drawn and has its row in the ledger; 275 more for one that has arrived, while the
# results are summed up; and what the lengths of gaps between tokens take while they are sorted.
_DRAWN, _ARRIVED, _GAP = 80, 300, 40


class Limits(Struct, frozen=True):
    """What a run may take: seconds by the clock on the wall, and bytes of this process's memory."""

    seconds: float | None = None
    memory: float | None = None


def limits(seconds: float | None, memory: float | None) -> Limits | None:
    """Return limits; None where none is given. Raises ValueError for one that is not above 0."""
    if seconds is None and memory is None:
        return None
    for limit in (seconds, memory):
        if limit is not None and not (isinstance(limit, Real) and limit > 0):
            raise ValueError(f"a limit is a number above 0, not {limit!r}")
    return Limits(seconds, memory)


class Stopped(Struct, frozen=True):
    """Where a run was stopped (in simulated seconds), by which limit, and how large that is."""

    at: float
    by: str
    limit: float

    def __str__(self) -> str:
        """Say it in a sentence."""
        if self.by == "memory":
            what = f"{_size(self.limit)} of memory"
        else:
            what = f"{self.limit:,.6g} s of computing"
        return f"stopped at {self.at:.6g} s of simulated time by the limit of {what}"

    @property
    def data(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"at": self.at, "by": self.by, "limit": self.limit}


class Interrupted(Exception):
    """Handlers have gone on for long after a limit was reached."""


class Guard:
    """Limits, the time when they began to count, and up to where a run has come in whole slices."""

    def __init__(self, limits: Limits, *, repeatable: bool = True) -> None:
        """Begin to count now; what is not `repeatable` is not interrupted."""
        self.limits = limits
        self.begun = time.monotonic()
        self.repeatable = repeatable
        self.interrupts = False  # while slices go on
        self.complete: float | None = None  # in simulated seconds; None before the first slice
        self.repeats = False  # whether the run before was interrupted: this one goes so far

    def look(self) -> None:
        """Raise Interrupted where handlers go on for long."""
        most = self.limits.seconds
        if not self.interrupts or most is None:
            return
        if time.monotonic() - self.begun >= most + _PATIENCE:
            raise Interrupted

    def see_room(self, workload: Workload) -> None:
        """See that the requests of a workload can be drawn. Raises TsdlError (E0905)."""
        counts = [0 if k.replay else k.sessions or k.requests or 0 for k in workload.kinds]
        drawn = sum(counts)
        needed = float(_DRAWN * drawn)
        room = _installed() if self.limits.memory is None else self.limits.memory
        if used() + needed > room:
            whose = "this machine has" if self.limits.memory is None else "it may take"
            told = f"{several(drawn, 'request')} would add {_size(needed)} to what is in use"
            raise no_room(f"{told}, and {whose} {_size(room)}")

    def reached(self, requests: int, gaps: int) -> tuple[str, float] | None:
        """Return which limit is reached, and how large it is, with room to sum a result up.

        It is of so many requests, and so many lengths of gaps between tokens.
        """
        limits = self.limits
        if limits.seconds is not None and time.monotonic() - self.begun >= limits.seconds:
            return "time", limits.seconds
        if limits.memory is None:
            return None
        full = used() + _ARRIVED * requests + _GAP * gaps >= limits.memory
        return ("memory", limits.memory) if full else None


def no_room(why: str) -> TsdlError:
    """Return the error of a run for which there is not enough memory."""
    help_ = "lower `requests`, let other programs end, or give more: --max-memory SIZE"
    title = f"the run needs more memory than there is: {why}"
    return TsdlError([Diagnostic(NO_ROOM, Severity.ERROR, title, None, help=(help_,))])


def _size(amount: float) -> str:
    return f"{amount / 2**20:,.0f} MiB" if amount >= 2**20 else several(round(amount), "byte")


def _installed() -> float:
    """Return the bytes of this machine's memory; inf where the system does not say."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return inf


def used() -> float:
    """Return the bytes of this process's memory; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    except (OSError, ValueError, IndexError):
        return _most_used()
    return pages * float(os.sysconf("SC_PAGE_SIZE"))


def _most_used() -> float:
    """Return the most that it has been so far, which all systems but Windows tell."""
    try:
        import resource
    except ImportError:
        return 0.0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(most if sys.platform == "darwin" else most * 1024)


class Steps:
    """What handlers go through and choose from, counted so that a guard looks now and then."""

    def __init__(self, guard: Guard) -> None:
        """Begin to count."""
        self._guard, self._left = guard, _STEPS

    def _step(self) -> None:
        self._left -= 1
        if not self._left:
            self._left = _STEPS
            self._guard.look()

    def through(self, items: Iterable[Any]) -> Iterator[Any]:
        """Yield items as they are now, and count each."""
        for item in tuple(items):
            self._step()
            yield item

    def counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function of which each call counts."""

        def call(*arguments: object) -> Any:  # noqa: ANN401 (whatever it chooses)
            self._step()
            return function(*arguments)

        return call


def run_within(engine: Engine, end: simpy.Event | None, guard: Guard) -> Stopped | None:
    """Let everything happen up to an event, or all there is; return where a limit has stopped it.

    Where an earlier run was interrupted, this one stops where the last whole slice of that ended.
    """
    clock = engine.clock
    if not guard.repeats:
        guard.complete = None
    elif guard.complete is not None:
        clock.run(until=clock.at(guard.complete, OBSERVER + 1))
        engine.let_pass(guard.complete)
    guard.interrupts = guard.repeatable and not guard.repeats
    try:
        return _in_slices(engine, end, guard)
    finally:
        guard.interrupts = False


def _in_slices(engine: Engine, end: simpy.Event | None, guard: Guard) -> Stopped | None:
    """Let slices pass.

    A slice is as long as one that takes SLICE seconds probably is. It begins with what happens
    next, so that nobody waits for times in which nothing does, and ends soon where much begins
    after such a time.
    """
    clock = engine.clock
    length = 1e-3
    while (following := engine.next_time()) < inf:
        reached = guard.reached(engine.ledger.count, len(engine.gap_length))
        if reached is not None:
            return Stopped(clock.now, *reached)
        first = max(following, clock.now)
        upto = min(first + length, max(first, engine.soon()))
        begun, events = time.monotonic(), 0
        while (coming := clock.peek()) <= upto:
            far = coming > clock.now + _NEAR and engine.soon() < coming
            if far or (events >= _EVENTS and coming > clock.now):
                upto = clock.now
                break
            clock.step()
            events += 1
            if end is not None and end.processed:
                return None
        upto = max(clock.now, min(upto, engine.soon()))
        if upto < inf:
            engine.let_pass(upto)
        guard.complete = clock.now
        took = time.monotonic() - begun
        growth = _MOST_GROWTH if upto == first + length else 1.0  # it was not cut short
        length *= min(max(SLICE / max(took, 1e-9), 1 / 8), growth)
    return None
