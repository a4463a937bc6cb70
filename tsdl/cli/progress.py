"""A line that shows how far a long run is, on a terminal only."""

import sys
import time
from types import TracebackType
from typing import Self

_QUIET = 1.0  # seconds before anything is shown
_EVERY = 0.2


class _Line:
    """A line of the error stream that is written over, once something has taken a while."""

    def __init__(self) -> None:
        """Show nothing yet."""
        self._live = sys.stderr.isatty()
        self._next = time.monotonic() + _QUIET
        self._shown = False

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def _due(self) -> bool:
        """Tell whether the line is to be written anew."""
        now = time.monotonic()
        if not self._live or now < self._next:
            return False
        self._next = now + _EVERY
        self._shown = True
        return True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Clear the line."""
        if self._shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


class Bar(_Line):
    """How far a run is."""

    def show(self, done: int, total: int) -> None:
        """Tell how many requests are done."""
        if self._due():
            sys.stderr.write(f"\r{done:,} of {total:,} requests ({done / total:.0%})")
            sys.stderr.flush()


class StudyBar(_Line):
    """How far a study is, and about how long it will take."""

    def __init__(self) -> None:
        """Show nothing yet."""
        super().__init__()
        self._began = time.monotonic()

    def show(self, done: int, total: int, runs: int) -> None:
        """Tell how many points are done, with each of their seeds, and how many runs that took."""
        if not self._due():
            return
        left = ""
        if done:
            seconds = (time.monotonic() - self._began) / done * (total - done)
            left = f", about {seconds:,.0f} s left"
        sys.stderr.write(f"\r\033[K{done:,} of {total:,} points, {runs:,} runs{left}")
        sys.stderr.flush()
