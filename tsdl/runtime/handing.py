"""When users have what an engine has generated: after the front end, and some tokens behind.

How long a token takes is told by a request's gaps, without the longest of them: others' prompts,
a preemption or a hand-over may have come between. Who has no two gaps is told nothing by that.
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tsdl.plan import Local
from tsdl.runtime.request import Request

Floats = NDArray[np.float64]


class Handing(Struct, frozen=True):
    """From the end of an iteration to its users' tokens: seconds, and gaps of a request."""

    front_end: float
    behind: float

    @classmethod
    def of(cls, local: Local) -> Self:
        """Return what the policy of a worker says."""
        return cls(local.front_end, local.behind)

    def delay(self, request: Request) -> float:
        """Return how many seconds later the user of a request has its tokens."""
        gaps = request.generated - 2
        if not self.behind or gaps < 1 or request.first is None or request.last is None:
            return self.front_end
        usual = (request.last - request.first - request.largest_gap) / gaps
        return self.front_end + self.behind * usual


def delays(
    handing: Sequence[Handing],
    worker: NDArray[np.int64],
    spans: tuple[Floats, Floats, Floats],
    generated: NDArray[np.int64],
) -> Floats:
    """Return `Handing.delay` of requests, of which each has generated so many tokens.

    `spans` are when they had the first and the last of them, and the longest gap between two.
    """
    found: Floats = np.array([one.front_end for one in handing], dtype=np.float64)[worker]
    if any(one.behind for one in handing):
        behind = np.array([one.behind for one in handing])[worker]
        first, last, largest_gap = spans
        usual = (last - first - largest_gap) / np.maximum(generated - 2, 1)
        found += np.where((behind > 0) & (generated > 2), behind * usual, 0.0)  # noqa: PLR2004
    return found
