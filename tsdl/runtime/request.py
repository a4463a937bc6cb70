"""A request as the engine knows it, and those that run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tsdl.runtime.contents import UNKNOWN, Content, keys

if TYPE_CHECKING:
    from tsdl.runtime.worker import Worker

FINISHED, REJECTED, UNFINISHED = "finished", "rejected", "unfinished"


class Copy:
    """KV of a request that was sent ahead of it to a worker, where it holds memory already."""

    __slots__ = ("held", "sent", "worker")

    def __init__(self, worker: Worker, held: int, sent: int) -> None:
        """Hold so many bytes there, of which some are there already."""
        self.worker, self.held, self.sent = worker, held, sent


@dataclass(slots=True, eq=False)
class Request:
    """A request on its way; times in seconds, NaN-free: None until it happened."""

    id: int
    arrived: float
    prompt: int
    output: int
    counted: bool = True  # arrived after the warm-up
    session: int = 0  # number of its conversation
    turn: int = 0
    history: int = 0  # tokens of the prompt that earlier turns brought
    think: float = 0.0  # from its answer to the next turn
    priority: float = 0.0
    content: Content = UNKNOWN  # what its prompt begins with
    attributes: dict[str, float] | None = None  # by name; None where there are none
    generated: int = 0
    computed: int = 0  # tokens whose KV is held
    under_way: int = 0  # tokens that are in the stages of a pipeline
    furthest: int = 0  # the most tokens that were ever computed
    cached: int = 0  # tokens that were fetched
    missed: int = -1  # tokens that it lacks still, of those that it last asked caches or tiers for
    prefilled: bool = False  # has computed all that it had when it was admitted
    active: bool = False  # among those that run on a worker
    held: int = 0  # bytes of KV on the device, or in swap space
    preemptions: int = 0
    worker: int = -1
    node: int = -1
    source: Worker | None = None  # where its KV stands while it is between workers
    copy: Copy | None = None
    begun_on: int = -1  # the worker that took it up last
    started: float | None = None
    first: float | None = None
    last: float | None = None
    largest_gap: float = 0.0
    moved: int = 0  # bytes of KV that were handed over
    moving: float = 0.0  # seconds from a dispatch with KV until it was there
    status: str = UNFINISHED
    loose: bool = False  # is to be dispatched
    busy: bool = False  # an action on it takes its time
    swapped_to: Any = None  # what holds its KV, where that is not the host
    # Its place in a cohort of the fast engine (tsdl.runtime.fast.cohort), if it is in one.
    number: int = -1  # of its admission to the worker
    distance: int = 0
    ends: int = 0
    joined: int = 0
    ahead: bool = False
    # What is in its full blocks of so many tokens, once a memory has asked.
    keyed: int = 0
    keys: list[int] | None = field(default=None, repr=False)
    # Actions to come: whether they are copies, which may begin while it is computed on, and what.
    chain: deque[tuple[bool, Callable[[], None]]] | None = field(default=None, repr=False)

    @property
    def resting(self) -> bool:
        """Tell whether actions on it are under way, so that it is not computed on."""
        return self.busy or self.chain is not None

    def lose(self) -> None:
        """Have none of its KV, and all to compute anew."""
        self.computed = 0
        self.prefilled = False
        self.missed = -1

    def blocks(self, block: int) -> list[int]:
        """Return what is in each of its full blocks of so many tokens, and in all before it."""
        if self.keys is None or self.keyed != block:
            self.keyed = block
            self.keys = keys(self.content, self.session, block, self.prompt + self.output)
        return self.keys

    @property
    def length(self) -> int:
        """Return the tokens that exist: the prompt and what was generated."""
        return self.prompt + self.generated

    @property
    def context(self) -> int:
        """Return the tokens whose KV it holds or is about to hold."""
        return self.prompt + self.generated

    @property
    def done(self) -> bool:
        """Tell whether it has generated all of its output."""
        return self.generated >= self.output

    @property
    def target(self) -> int:
        """Return the number of the worker that its KV was sent ahead to; -1 for none."""
        return self.copy.worker.id if self.copy is not None else -1

    @property
    def left(self) -> int:
        """Return the tokens still to be computed (its prompt) or generated."""
        return (self.prompt if self.first is None else 0) + self.output - self.generated


class Running(dict[Request, None]):
    """The requests that run, in order of admission."""

    def append(self, request: Request) -> None:
        """Put a request behind all others."""
        self[request] = None

    def remove(self, request: Request) -> None:
        """Take a request out."""
        del self[request]
