"""Tiers: memory beside the devices in which the KV of conversations is kept."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import count

from tsdl import formula, pythonsource
from tsdl.parts import of_tier
from tsdl.plan import Tier as TierPlan
from tsdl.runtime.network import Line, line
from tsdl.runtime.request import Request

_MANY = 4  # places of an entry that no longer hold, until all are found anew


@dataclass(slots=True, eq=False)
class Entry:
    """KV of one conversation: its first `tokens` tokens. A pinned one is being read or written."""

    key: int
    request: Request  # that stored it last
    number: int  # of all entries that there were
    tokens: int = 0
    coming: int = 0  # tokens for which there is room; those beyond `tokens` are being copied
    size: int = 0  # bytes,
    state: int = 0  # and those of them that it takes whatever its length
    stored: float = 0.0
    last_used: float = 0.0
    uses: int = 0
    pinned: int = 0
    copies: int = 0  # from other tiers that are on their way
    awaited: list[Callable[[], None]] = field(default_factory=list)  # what is done once they come
    version: int = 0  # of what decides when it has to leave


@dataclass(slots=True, eq=False)
class Tier:
    """What is kept, what it takes to reach it, and what came of asking."""

    plan: TierPlan
    entries: dict[int, Entry] = field(default_factory=dict)
    used: int = 0
    loose: int = 0  # bytes of those entries that are not pinned
    peak: int = 0
    fetches: int = 0
    hits: int = 0
    asked: int = 0  # tokens
    again: int = 0  # those of them that a KV cache or another tier had been asked for just before
    found: int = 0  # tokens
    stores: int = 0
    refused: int = 0  # stores for which there was no room
    evictions: int = 0
    line: Line | None = None
    _keys: list[Callable[[Entry], float]] = field(default_factory=list)
    # The entries that are not pinned, as a heap: who has to leave first, and its version then, by
    # which it is known whether that still holds. None until somebody has to leave.
    _order: list[tuple[tuple[float, ...], int, int, Entry]] | None = None
    _numbers: Iterator[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        """Compile the order of eviction."""
        if self.plan.link is not None:
            self.line = line(self.plan.name, self.plan.link)
        for value in self.plan.evict_by:
            text = pythonsource.python(formula.fields_of(value, "entry"))
            self._keys.append(pythonsource.function(of_tier(self.plan.name), "entry", text, {}))

    def blocks(self, tokens: int) -> int:
        """Return how many blocks so many tokens take."""
        return -(-tokens // self.plan.block_tokens)

    def latency(self, tokens: int) -> float:
        """Return the seconds that moving the blocks of so many tokens takes, without the link."""
        return self.blocks(tokens) * self.plan.latency

    def look_up(self, request: Request) -> tuple[Entry | None, int]:
        """Return what is kept of a conversation, and up to which token it is of use.

        Asked for is what the request lacks; its last token is always computed.
        """
        self._ask(request)
        entry = self.entries.get(request.session)
        tokens = min(entry.tokens, request.length - 1) if entry else 0
        return (entry, tokens) if tokens > request.computed else (None, 0)

    def _ask(self, request: Request) -> None:
        """Note that a request asks for what it lacks."""
        lacking = request.length - 1 - request.computed
        self.fetches += 1
        self.asked += lacking
        self.again += lacking if lacking == request.missed else 0
        request.missed = lacking

    def whole(self, tokens: int) -> int:
        """Return how many of so many tokens are kept."""
        return tokens

    def hit(self, entry: Entry, request: Request, tokens: int) -> None:
        """Note that so many tokens of an entry are fetched."""
        self.hits += 1
        request.missed -= tokens
        self.found += tokens
        entry.uses += 1
        self.pin(entry)

    def awaits(self, request: Request, come: Callable[[], None]) -> bool:
        """Call `come` once what another tier has of a conversation is here, if it is on its way."""
        entry = self.entries.get(request.session)
        if entry is None or not entry.copies:
            return False
        entry.awaited.append(come)
        return True

    def use(self, request: Request, now: float) -> None:
        """Note that what is kept of a conversation is of use now."""
        entry = self.entries.get(request.session)
        if entry is not None:
            self.pin(entry)
            entry.last_used = now
            self.unpin(entry)

    def tokens_of(self, request: Request) -> int:
        """Return how many tokens are kept of a conversation, or are just copied."""
        entry = self.entries.get(request.session)
        return entry.coming if entry else 0

    def make_room(
        self,
        request: Request,
        tokens: int,
        size: int,
        state: int,
        leave: Callable[["Tier", Entry], None],
    ) -> Entry | None:
        """Return the entry of a conversation, pinned, with room for `size` more bytes of KV.

        A state takes the place of the one before it. Others are evicted for it, the least by the
        order first, among equals the oldest; None where even that is not enough.
        """
        own = self.entries.get(request.session)
        growth = size + state - (own.state if own is not None else 0)
        if own is not None:
            self.pin(own)
        if self.used - self.loose + growth > self.plan.capacity:
            self.refused += 1
            if own is not None:
                self.unpin(own)
            return None
        if own is None:
            number = next(self._numbers)
            own = self.entries[request.session] = Entry(request.session, request, number, pinned=1)
        own.coming = max(own.coming, tokens)
        own.size += growth
        own.state = state
        self.used += growth
        gone = []
        while self.used > self.plan.capacity:
            entry = self._first()
            del self.entries[entry.key]
            self.used -= entry.size
            self.loose -= entry.size
            self.evictions += 1
            gone.append(entry)
        self.peak = max(self.peak, self.used)
        for entry in gone:  # what handlers do finds everything in its place
            leave(self, entry)
        return own

    def pin(self, entry: Entry) -> None:
        """Keep an entry from having to leave: it is being read or written."""
        if not entry.pinned:
            self.loose -= entry.size
        entry.pinned += 1

    def unpin(self, entry: Entry) -> None:
        """Let an entry leave if it has to, once nobody else reads or writes it."""
        entry.pinned -= 1
        if not entry.pinned:
            self.loose += entry.size
            entry.version += 1
            if self._order is not None:
                heappush(self._order, self._place(entry))

    def _place(self, entry: Entry) -> tuple[tuple[float, ...], int, int, Entry]:
        return tuple([key(entry) for key in self._keys]), entry.number, entry.version, entry

    def _first(self) -> Entry:
        """Return who has to leave: the least by the order, among equals the oldest."""
        if self._order is None or len(self._order) > _MANY * len(self.entries):
            self._order = [self._place(e) for e in self.entries.values() if not e.pinned]
            heapify(self._order)
        while True:
            *_, version, entry = heappop(self._order)
            if version == entry.version and not entry.pinned:
                return entry

    def keep(self, entry: Entry, request: Request, tokens: int, now: float) -> None:
        """Note that the KV of so many tokens is there now."""
        self.stores += 1
        if not entry.tokens:
            entry.stored = now
        entry.tokens = max(entry.tokens, tokens)
        entry.request, entry.last_used = request, now
        self.unpin(entry)
