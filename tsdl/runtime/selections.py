"""What formulas of policies may call: choosing from a list, and summing it up."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tsdl.runtime.limits import Steps


class NoCandidate(LookupError):
    """A selection had nothing to choose from."""


class Selections:
    """The selections of one stage: round robins keep their turns, draws share a stream."""

    def __init__(self, random: np.random.Generator, steps: Steps | None = None) -> None:
        """Begin with the first of every turn; `steps` counts them, where there is a limit."""
        self.random_stream, self._steps = random, steps
        self.turns: dict[int, int] = {}  # by the place in the policy

    def names(self) -> dict[str, object]:
        """Return what generated source calls, by name."""
        found: dict[str, Callable[..., Any]] = {
            "pick": pick,
            "best": best,
            "random": self.random,
            "round_robin": self.round_robin,
            "least": least,
            "greatest": greatest,
            "sum": sum,
            "count": len,
            "any": any,
            "all": all,
        }
        count = self._steps.counted if self._steps is not None else None
        return {name: count(function) if count else function for name, function in found.items()}

    def random(self, candidates: Sequence[Any]) -> Any:  # noqa: ANN401 (requests, workers)
        """Return one of them, each as likely as the other. Raises NoCandidate."""
        if not candidates:
            raise NoCandidate
        return candidates[int(self.random_stream.integers(len(candidates)))]

    def round_robin(self, place: int, candidates: Sequence[Any]) -> Any:  # noqa: ANN401
        """Return the next in turn by number. Raises NoCandidate."""
        if not candidates:
            raise NoCandidate
        last = self.turns.get(place, -1)
        chosen = candidates[0]
        for candidate in candidates:
            if candidate.id > last:
                chosen = candidate
                break
        self.turns[place] = chosen.id
        return chosen


def pick(candidates: Sequence[tuple[float, Any]]) -> Any:  # noqa: ANN401
    """Return the one with the least key, among equals the first. Raises NoCandidate."""
    if not candidates:
        raise NoCandidate
    return min(candidates, key=lambda c: c[0])[1]


def best(candidates: Sequence[Any], key: Callable[[Any], Any]) -> Any:  # noqa: ANN401
    """Return the one with the least key, among equals the first. Raises NoCandidate."""
    if not candidates:
        raise NoCandidate
    return min(candidates, key=key)


def least(values: Sequence[float]) -> float:
    """Return the least. Raises NoCandidate."""
    if not values:
        raise NoCandidate
    return min(values)


def greatest(values: Sequence[float]) -> float:
    """Return the greatest. Raises NoCandidate."""
    if not values:
        raise NoCandidate
    return max(values)
