"""A line that shows how far a long run is, on a terminal only."""

import sys
import time
from types import TracebackType
from typing import Self

_QUIET = 1.0  # seconds before anything is shown
_EVERY = 0.2


class Bar:
    """Shows progress on the error stream once a run has taken a while."""

    def __init__(self) -> None:
        """Show nothing yet."""
        self._live = sys.stderr.isatty()
        self._next = time.monotonic() + _QUIET
        self._shown = False

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def show(self, done: int, total: int) -> None:
        """Tell how many requests are done."""
        now = time.monotonic()
        if not self._live or now < self._next:
            return
        self._next = now + _EVERY
        self._shown = True
        sys.stderr.write(f"\r{done:,} of {total:,} requests ({done / total:.0%})")
        sys.stderr.flush()

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
