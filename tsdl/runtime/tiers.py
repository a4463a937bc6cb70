"""Tiers: memory beside the devices in which the KV of conversations is kept."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tsdl import formula, pythonsource
from tsdl.parts import of_tier
from tsdl.plan import Tier as TierPlan
from tsdl.runtime.network import Line, line
from tsdl.runtime.request import Request


@dataclass(slots=True, eq=False)
class Entry:
    """KV of one conversation: its first `tokens` tokens. A pinned one is being read or written."""

    key: int
    request: Request  # that stored it last
    tokens: int = 0
    coming: int = 0  # tokens for which there is room; those beyond `tokens` are being copied
    size: int = 0  # bytes
    stored: float = 0.0
    last_used: float = 0.0
    uses: int = 0
    pinned: int = 0
    copies: int = 0  # from other tiers that are on their way
    awaited: list[Callable[[], None]] = field(default_factory=list)  # what is done once they come


@dataclass(slots=True, eq=False)
class Tier:
    """What is kept, what it takes to reach it, and what came of asking."""

    plan: TierPlan
    entries: dict[int, Entry] = field(default_factory=dict)
    used: int = 0
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
        lacking = request.length - 1 - request.computed
        self.fetches += 1
        self.asked += lacking
        self.again += lacking if lacking == request.missed else 0
        request.missed = lacking
        entry = self.entries.get(request.session)
        tokens = min(entry.tokens, request.length - 1) if entry else 0
        return (entry, tokens) if tokens > request.computed else (None, 0)

    def hit(self, entry: Entry, request: Request, tokens: int) -> None:
        """Note that so many tokens of an entry are fetched."""
        self.hits += 1
        request.missed -= tokens
        self.found += tokens
        entry.uses += 1
        entry.pinned += 1

    def awaits(self, request: Request, come: Callable[[], None]) -> bool:
        """Call `come` once what another tier has of a conversation is here, if it is on its way."""
        entry = self.entries.get(request.session)
        if entry is None or not entry.copies:
            return False
        entry.awaited.append(come)
        return True

    def tokens_of(self, request: Request) -> int:
        """Return how many tokens are kept of a conversation, or are just copied."""
        entry = self.entries.get(request.session)
        return entry.coming if entry else 0

    def make_room(
        self, request: Request, tokens: int, growth: int, leave: Callable[["Tier", Entry], None]
    ) -> Entry | None:
        """Return the entry of a conversation, pinned, with room for `growth` more bytes.

        Others are evicted for it, the least by the order first, among equals the oldest; None where
        even that is not enough.
        """
        own = self.entries.get(request.session)
        others = [e for e in self.entries.values() if e is not own and not e.pinned]
        if self.used - sum(e.size for e in others) + growth > self.plan.capacity:
            self.refused += 1
            return None
        if own is None:
            own = self.entries[request.session] = Entry(request.session, request)
        own.pinned += 1
        own.coming = max(own.coming, tokens)
        own.size += growth
        self.used += growth
        gone = []
        if self.used <= self.plan.capacity:
            others.clear()  # there is room: nobody needs an order
        for entry in sorted(others, key=lambda e: tuple(key(e) for key in self._keys)):
            if self.used <= self.plan.capacity:
                break
            del self.entries[entry.key]
            self.used -= entry.size
            self.evictions += 1
            gone.append(entry)
        self.peak = max(self.peak, self.used)
        for entry in gone:  # what handlers do finds everything in its place
            leave(self, entry)
        return own

    def keep(self, entry: Entry, request: Request, tokens: int, now: float) -> None:
        """Note that the KV of so many tokens is there now."""
        self.stores += 1
        if not entry.tokens:
            entry.stored = now
        entry.tokens = max(entry.tokens, tokens)
        entry.request, entry.last_used = request, now
        entry.pinned -= 1
