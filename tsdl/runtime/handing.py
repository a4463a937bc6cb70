"""When users have what an engine has generated: after the front end, and some tokens behind."""

from collections.abc import Sequence
from typing import Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tsdl.plan import Local
from tsdl.runtime.request import Request

Floats = NDArray[np.float64]


class Handing(Struct, frozen=True):
    """From the end of an iteration to its users' tokens: seconds, and times a request's TPOT."""

    front_end: float
    behind: float

    @classmethod
    def of(cls, local: Local) -> Self:
        """Return what the policy of a worker says."""
        return cls(local.front_end, local.behind)

    def delay(self, request: Request) -> float:
        """Return how many seconds later the user of a request has its tokens."""
        if not self.behind or request.first is None or request.last is None:
            return self.front_end
        gaps = max(request.generated - 1, 1)
        return self.front_end + self.behind * ((request.last - request.first) / gaps)


def delays(
    handing: Sequence[Handing],
    worker: NDArray[np.int64],
    first: Floats,
    last: Floats,
    generated: NDArray[np.int64],
) -> Floats:
    """Return `Handing.delay` of requests, of which each has generated so many tokens."""
    found: Floats = np.array([one.front_end for one in handing], dtype=np.float64)[worker]
    if any(one.behind for one in handing):
        behind = np.array([one.behind for one in handing])[worker]
        tpot = (last - first) / np.maximum(generated - 1, 1)
        found += np.where(behind > 0, behind * tpot, 0.0)
    return found
