"""Declared state of a stage: plain values and aggregates, one for each key."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from tsdl.formulaerrors import OF_FORMULAS
from tsdl.planhandlers import State as StatePlan
from tsdl.runtime.clock import Clock

Number = Any  # a number or a truth value, as the plan declares it


# What an aggregate of everything that is in its window comes to; 0 where there is nothing.
_EXTREMES: dict[str, Callable[..., float]] = {"min": min, "max": max}


class Values:
    """Plain values by key; `initial` until something is assigned."""

    passes = False  # whether it changes as time passes
    changes = 0  # how often something was assigned

    def __init__(self, initial: Number, key_of: Callable[[Any], int]) -> None:
        """Begin with nothing assigned."""
        self.initial = initial
        self.key_of = key_of
        self.values: dict[int, Number] = {}

    def get(self, key: object = None) -> Number:
        """Return the value at a key."""
        return self.values.get(self.key_of(key), self.initial)

    def put(self, value: Number, key: object = None) -> None:
        """Assign a value. Raises OverflowError for one that no double holds.

        A whole number that is multiplied by itself would grow until the memory is full.
        """
        float(value)
        self.changes += 1
        self.values[self.key_of(key)] = value

    def add(self, value: Number, key: object = None) -> None:
        """Add to the value."""
        self.put(self.get(key) + value, key)


@dataclass(slots=True)
class _Window:
    """What was noted at one key, and its exact sum as long as all of it is whole."""

    noted: deque[tuple[float, float]] = field(default_factory=deque)
    total: float | None = 0


class Aggregates:
    """Aggregates by key, over a sliding window of time.

    What was noted at *t* counts from then on and before *t* + window.
    """

    passes = True
    changes = 0

    def __init__(
        self, kind: str, window: float, clock: Clock, key_of: Callable[[Any], int]
    ) -> None:
        """Begin with nothing noted."""
        self.kind = kind
        self.window = window
        self.clock = clock
        self.key_of = key_of
        self.windows: dict[int, _Window] = {}

    def get(self, key: object = None) -> float:
        """Return the aggregate at a key."""
        found = self.windows.get(self.key_of(key))
        if found is None:
            return 0
        noted = found.noted
        while noted and noted[0][0] + self.window <= self.clock.now:
            _, value = noted.popleft()
            if found.total is not None:
                found.total -= value
        if not noted:
            found.total = 0
            return 0
        if self.kind in _EXTREMES:
            return _EXTREMES[self.kind](value for _, value in noted)
        # Sums of fractions would drift if they were kept: they are added up anew, in their order.
        total = sum(value for _, value in noted) if found.total is None else found.total
        return total / len(noted) if self.kind == "mean" else total

    def put(self, value: float, key: object = None) -> None:
        """Note a value."""
        self.changes += 1
        found = self.windows.setdefault(self.key_of(key), _Window())
        found.noted.append((self.clock.now, value))
        whole = isinstance(value, int) and found.total is not None
        found.total = found.total + value if whole else None  # type: ignore[operator]

    add = put


class Totals:
    """Aggregates over everything: how much, of how many, the least, the greatest."""

    passes = False
    changes = 0

    def __init__(self, kind: str, key_of: Callable[[Any], int]) -> None:
        """Begin with nothing noted."""
        self.kind = kind
        self.key_of = key_of
        self.totals: dict[int, tuple[float, int]] = {}

    def get(self, key: object = None) -> float:
        """Return the aggregate at a key."""
        total, count = self.totals.get(self.key_of(key), (0, 0))
        return total / count if self.kind == "mean" and count else total

    def put(self, value: float, key: object = None) -> None:
        """Note a value."""
        self.changes += 1
        at = self.key_of(key)
        total, count = self.totals.get(at, (value if self.kind in ("min", "max") else 0, 0))
        kept = {"min": min(total, value), "max": max(total, value)}.get(self.kind, total + value)
        self.totals[at] = (kept, count + 1)

    add = put


State = Values | Aggregates | Totals
OF_FORMULAS.add(__file__)


def is_state(value: object) -> TypeGuard[State]:
    """Tell whether something is the declared state of a stage."""
    return isinstance(value, State)


def _identity(key: Any) -> int:  # noqa: ANN401 (None, or a plain number)
    return 0 if key is None else int(key)


def _number_of(key: Any) -> int:  # noqa: ANN401 (a worker or a request)
    return int(key.id)


def state_of(plan: StatePlan, clock: Clock) -> State:
    """Return a declared state, as it begins."""
    key_of = _number_of if plan.key in ("worker", "request") else _identity
    if not plan.kind:
        return Values(plan.initial, key_of)
    if plan.window is None:
        return Totals(plan.kind, key_of)
    return Aggregates(plan.kind, plan.window, clock, key_of)
