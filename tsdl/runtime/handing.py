"""When users have what an engine has generated: after the front end, and some tokens behind.

How long a token takes is told by a request's gaps, without the longest of them: others' prompts,
a preemption or a hand-over may have come between. Who has no two gaps is told nothing by that.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tsdl.plan import Local
from tsdl.runtime.request import Request

Floats = NDArray[np.float64]


def delay(policy: Local, request: Request) -> float:
    """Return how many seconds later than its engine the user of a request has its tokens."""
    gaps = request.generated - 2
    if not policy.behind or gaps < 1 or request.first is None or request.last is None:
        return policy.front_end
    usual = (request.last - request.first - request.largest_gap) / gaps
    return policy.front_end + policy.behind * usual


def delays(
    policies: Sequence[Local],
    worker: NDArray[np.int64],
    spans: tuple[Floats, Floats, Floats],
    generated: NDArray[np.int64],
) -> Floats:
    """Return the `delay` of requests, by the policies of all workers and the number of each one's.

    `spans` are when each had its first token and its last, and the longest gap between two of those
    that were generated.
    """
    found: Floats = np.array([one.front_end for one in policies], dtype=np.float64)[worker]
    if any(one.behind for one in policies):
        behind = np.array([one.behind for one in policies])[worker]
        first, last, largest_gap = spans
        usual = (last - first - largest_gap) / np.maximum(generated - 2, 1)
        found += np.where((behind > 0) & (generated > 2), behind * usual, 0.0)  # noqa: PLR2004
    return found
