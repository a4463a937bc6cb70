"""Tiers that keep blocks by what is in them, for all requests that begin alike."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING

from tsdl.runtime.tiers import Entry, Tier

if TYPE_CHECKING:
    from collections.abc import Callable

    from tsdl.runtime.request import Request


@dataclass(slots=True, eq=False)
class Block:
    """A block that is kept, or for which there is room while it is copied."""

    size: int  # bytes
    pinned: int = 0  # by how many copies it is read or written
    there: bool = False


@dataclass(slots=True, eq=False)
class Chain(Entry):
    """Blocks of one request that are read or written together, in their order."""

    blocks: list[int] = field(default_factory=list)  # by what is in them,
    fresh: list[int] = field(default_factory=list)  # and those of them that are copied here


@dataclass(slots=True, eq=False)
class SharedTier(Tier):
    """Full blocks, equal ones kept once; who has been of use longest ago has to leave first.

    Of blocks that were of use at once the last has to leave before the first: without those before
    it a block is of no use.
    """

    _blocks: OrderedDict[int, Block] = field(default_factory=OrderedDict)

    def whole(self, tokens: int) -> int:
        """Return how many of so many tokens are kept: those in full blocks."""
        return tokens // self.plan.block_tokens * self.plan.block_tokens

    def look_up(self, request: Request) -> tuple[Entry | None, int]:
        """Return the blocks that a request lacks and are here, and up to which token that is.

        They follow without a gap on what it has computed; its last token is always computed. All
        of its blocks that are here are of use, those that it has already, too. Source: vLLM, whose
        offloading touches all before it looks any up (kv_connector/v1/offloading/scheduler.py).
        """
        self._ask(request)
        block, end = self.plan.block_tokens, request.length - 1
        first = request.computed // block
        wanted = request.blocks(block)[: end // block]
        for name in reversed(wanted):
            if name in self._blocks:
                self._blocks.move_to_end(name)
        found = [*takewhile(self._is_there, wanted[first:])]
        tokens = (first + len(found)) * block
        if not found or tokens <= request.computed:
            return None, 0
        return self._chain(request, found), tokens

    def _is_there(self, name: int) -> bool:
        kept = self._blocks.get(name)
        return kept is not None and kept.there

    def _chain(self, request: Request, blocks: list[int]) -> Chain:
        return Chain(request.session, request, next(self._numbers), blocks=blocks)

    def awaits(self, request: Request, come: Callable[[], None]) -> bool:
        """Tell that no other tier sends anything here."""
        return False

    def tokens_of(self, request: Request) -> int:
        """Return how many of the tokens that are computed are kept, or are just copied."""
        block = self.plan.block_tokens
        computed = request.blocks(block)[: request.computed // block]
        return sum(name in self._blocks for name in computed) * block

    def make_room(
        self,
        request: Request,
        tokens: int,
        size: int,
        state: int,
        leave: Callable[[Tier, Entry], None],
    ) -> Entry | None:
        """Return the blocks of the first tokens of a request, pinned, with room for all of them.

        So many bytes are those of the blocks that are not here. Others go for them; None where even
        that is not enough. Nobody is told who goes: blocks belong to no request.
        """
        block = self.plan.block_tokens
        chain = self._chain(request, request.blocks(block)[: tokens // block])
        self.pin(chain)  # nothing that it has goes for the rest
        fresh = chain.fresh = [name for name in chain.blocks if name not in self._blocks]
        if self.used - self.loose + size > self.plan.capacity:
            self.refused += 1
            self._let_go_of(chain)
            return None
        each = size // len(fresh) if fresh else 0
        for name in fresh:
            self._blocks[name] = Block(each, pinned=1)
        self.used += each * len(fresh)
        while self.used > self.plan.capacity:
            self._evict()
        self.peak = max(self.peak, self.used)
        return chain

    def _evict(self) -> None:
        """Let the block go that was of use longest ago, of those that nobody reads or writes."""
        name = next(name for name, kept in self._blocks.items() if not kept.pinned)
        size = self._blocks.pop(name).size
        self.used -= size
        self.loose -= size
        self.evictions += 1

    def pin(self, entry: Entry) -> None:
        """Keep blocks from having to leave: they are read or written."""
        assert isinstance(entry, Chain)
        for name in entry.blocks:
            kept = self._blocks.get(name)
            if kept is not None:
                if not kept.pinned and kept.there:
                    self.loose -= kept.size
                kept.pinned += 1

    def unpin(self, entry: Entry) -> None:
        """Let blocks leave if they have to, once nobody reads or writes them; they were of use."""
        assert isinstance(entry, Chain)
        self._let_go_of(entry)
        for name in reversed(entry.blocks):
            self._blocks.move_to_end(name)

    def _let_go_of(self, chain: Chain) -> None:
        for name in chain.blocks:
            kept = self._blocks.get(name)
            if kept is not None:
                kept.pinned -= 1
                if not kept.pinned and kept.there:
                    self.loose += kept.size

    def keep(self, entry: Entry, request: Request, tokens: int, now: float) -> None:
        """Note that what was copied of these blocks is there now."""
        assert isinstance(entry, Chain)
        self.stores += 1
        for name in entry.fresh:
            self._blocks[name].there = True
        self.unpin(entry)
