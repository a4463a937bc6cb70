"""The global stage: where an arrival goes, from the plan's formula."""

from collections.abc import Callable, Sequence

import numpy as np

from tsdl import formula
from tsdl.formula import Value
from tsdl.runtime.request import Request
from tsdl.runtime.worker import Worker

# Where a request goes now; None while no worker qualifies.
Dispatch = Callable[[Request], Worker | None]


def compiled_dispatch(
    target: Value, workers: Sequence[Worker], random: np.random.Generator
) -> Dispatch:
    """Return the function that chooses a worker; ties go to the one declared first."""
    turns: dict[int, int] = {}  # by the place in the policy

    def round_robin(place: int, candidates: list[Worker]) -> Worker | None:
        if not candidates:
            return None
        last = turns.get(place, -1)
        chosen = next((w for w in candidates if w.id > last), candidates[0])
        turns[place] = chosen.id
        return chosen

    def pick(candidates: list[tuple[float, Worker]]) -> Worker | None:
        return min(candidates, key=lambda c: c[0])[1] if candidates else None

    def choose(candidates: list[Worker]) -> Worker | None:
        return candidates[int(random.integers(len(candidates)))] if candidates else None

    names: dict[str, object] = {
        "round_robin": round_robin,
        "pick": pick,
        "random": choose,
        "count": len,
    }
    names |= {"sum": sum, "any": any, "all": all, "workers": workers}
    return formula.function("a policy", "r", formula.python(target), names)  # type: ignore[no-any-return]
