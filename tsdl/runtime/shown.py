"""What policies read of a worker: what it is, and how much there is to do."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tsdl.plan import Local, Workers
    from tsdl.runtime.request import Request, Running


class Shown:
    """The properties of a worker under the names that policies have for them."""

    __slots__ = ()

    kind: Workers
    local: Local
    active: Running
    ended: int
    over: int
    waiting: deque[Request]
    unseen: deque[Request]
    swapped: deque[Request]
    ready: deque[Request]
    incoming: deque[Request]

    @property
    def running(self) -> int:
        """Return how many slots are taken."""
        return len(self.active) + self.ended

    @property
    def queued(self) -> int:
        """Return how many requests wait here."""
        waiting = len(self.waiting) + len(self.unseen)
        return waiting + len(self.swapped) + len(self.ready) + len(self.incoming)

    @property
    def outstanding(self) -> int:
        """Return how many requests here are not finished."""
        return self.queued + len(self.active) - self.over

    @property
    def load(self) -> float:
        """Return outstanding requests over the most that may run."""
        return self.outstanding / self.local.max_requests

    @property
    def group(self) -> str:
        """Return the name of its `worker` block."""
        return self.kind.name

    @property
    def model(self) -> str:
        """Return the name of the model that it serves."""
        return self.kind.model.name

    @property
    def hardware(self) -> str:
        """Return the name of its hardware."""
        return self.kind.hardware

    @property
    def devices(self) -> int:
        """Return how many devices it has."""
        return self.kind.devices

    @property
    def compute(self) -> float:
        """Return the peak of all its devices, in FLOP per second."""
        return self.kind.peak_compute * self.kind.devices

    @property
    def bandwidth(self) -> float:
        """Return the memory bandwidth of all its devices, in bytes per second."""
        return self.kind.peak_bandwidth * self.kind.devices

    @property
    def price(self) -> float:
        """Return what all its devices cost."""
        return self.kind.price
