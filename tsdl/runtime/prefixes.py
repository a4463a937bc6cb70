"""KV memory whose full blocks are kept by what is in them, for others that begin alike.

A block is live while anyone holds it. After that it is free, and stays findable until it is taken
for something else: those that were free longest are taken first. Of a request that ends its last
blocks are taken before its first. Where requests have states, a newcomer begins behind a block of
which a copy of the state is here. Nobody holds a copy: it takes blocks that are free.
"""

from collections import OrderedDict
from collections.abc import Hashable
from itertools import islice, takewhile

from tsdl.plan import Channel, KVCache
from tsdl.runtime.memory import Memory
from tsdl.runtime.request import Request


class PrefixMemory(Memory):
    """Memory in blocks, equal ones kept once: `used` counts those that are live."""

    __slots__ = (
        "_chains", "_copies", "_copy", "_copy_each", "_free", "_holders", "_matched", "_retired",
        "_seen", "_unit", "_untouched", "asked", "found",
    )  # fmt: skip

    shares = True

    def __init__(self, kv: KVCache, share: float, host: Channel) -> None:
        """Begin with blocks in which there is nothing."""
        super().__init__(kv, share, host)
        self.asked = self.found = 0
        self._unit = int(self.block)  # bytes
        self._copy = kv.copied // self._unit  # the blocks of a copy of a state
        self._copy_each = kv.copies == "blocks"
        self._holders: dict[Hashable, int] = {}  # of each block to be found: how many hold it
        # Free blocks, the next to be taken first; those with nothing to be found in them have keys
        # of their own. The untouched come before all others. A copy has a tuple of its block's key.
        self._free: OrderedDict[Hashable, None] = OrderedDict()
        self._untouched = self.capacity // self._unit
        self._seen = 0  # the bytes in use for which blocks have been let go
        self._copies = 0  # of states, among the free
        self._chains: dict[Request, list[Hashable]] = {}  # keys of the blocks that they hold
        self._matched: list[Hashable] = []  # what the last newcomer begins with
        self._retired: list[Request] = []

    # -- what is in blocks -----------------------------------------------------------------------

    def _take_free(self) -> None:
        """Let those free blocks go that others have taken since somebody looked.

        Those that were given back in the meantime have nothing in them.
        """
        if self.used != self._seen:
            self._seen = self.used
            free = max(self.capacity - self.used, 0) // self._unit
            self._let_go(self._untouched + self._freed() - free)

    def _freed(self) -> int:
        """Return how many blocks are free that were used before."""
        return len(self._free) + self._copies * (self._copy - 1)

    def _let_go(self, taken: int) -> None:
        """Take so many free blocks, or give them back where they are below 0.

        Of a copy, which goes as a whole, the others are empty then.
        """
        holders, next_free = self._holders, self._free.popitem
        taken -= self._untouched
        while taken > 0:
            key, _ = next_free(last=False)
            holders.pop(key, None)
            if type(key) is tuple:
                self._copies -= 1
                taken -= self._copy
            else:
                taken -= 1
        self._untouched = -taken

    def _keep_copy(self, named: Hashable) -> None:
        """Keep a copy of the state behind a block, if there are as many free blocks."""
        key = (named,)
        if key in self._holders:
            self._free.move_to_end(key)
        elif self._copy <= self._untouched + self._freed():
            self._let_go(self._copy)
            self._add_copy(key)

    def _add_copy(self, key: Hashable) -> None:
        self._holders[key] = 0
        self._free[key] = None
        self._copies += 1

    def _found(self, request: Request) -> list[Hashable]:
        """Return the blocks with which a request may begin: its last token is computed anyway."""
        self._take_free()
        block = self.block_tokens
        first = islice(request.blocks(block), (request.length - 1) // block)
        found: list[Hashable] = list(takewhile(self._holders.__contains__, first))
        if self._copy:
            while found and (found[-1],) not in self._holders:
                found.pop()
        return found

    def _live(self, found: list[Hashable]) -> int:
        """Return how many of some blocks, which are there, somebody holds."""
        return len(found) - [*map(self._holders.__getitem__, found)].count(0)

    def holders(self) -> list[Request]:
        """Return who holds blocks that others may find, or will until that is known to end."""
        return [*self._chains]

    def chain(self, request: Request) -> list[Hashable]:
        """Return what is in the blocks of a request that others may find, in their order."""
        return self._chains.get(request, [])

    def cached(self, request: Request) -> int:
        """Return the tokens of a request whose KV is here already."""
        return len(self._found(request)) * self.block_tokens

    # -- admission -------------------------------------------------------------------------------

    def match(self, request: Request) -> int:
        """Let a newcomer begin with what is here; return the bytes that it takes besides."""
        found = self._matched = self._found(request)
        request.computed = len(found) * self.block_tokens
        return self.needed(request) - self._live(found) * self._unit

    def unmatch(self, request: Request) -> None:
        """Let it wait on, with nothing."""
        request.computed = 0

    def fill_with(self, request: Request) -> float:
        """Return what `fill` would be with a request admitted."""
        if not self.capacity:
            return 0.0
        more = self.needed(request) - self._live(self._found(request)) * self._unit
        return (self.used + more) / self.capacity

    def begin(self, request: Request, size: int) -> None:
        """Let a newcomer hold `size` bytes in all, those that `match` has found among them."""
        chain, holders = self._matched[: request.computed // self.block_tokens], self._holders
        if self._copy and chain:
            self._free.move_to_end((chain[-1],))
        for key in chain:
            count = holders[key]
            holders[key] = count + 1
            if not count:
                del self._free[key]
                self.used += self._unit
        self._chains[request] = chain
        request.cached += request.computed
        self.asked += request.length
        self.found += request.computed
        request.missed = request.length - 1 - request.computed
        request.held = len(chain) * self._unit
        self.grow(request, size)

    def register(self, request: Request, tokens: int) -> None:
        """Let others find the full blocks of the first tokens of a request."""
        filled = self._fill(request, tokens)
        if self._copy:
            for named in filled if self._copy_each else filled[-1:]:
                self._keep_copy(named)

    def _fill(self, request: Request, tokens: int) -> list[int]:
        """Let others find these blocks; return what is in those that they did not find before."""
        chain = self._chains.get(request)
        if chain is None:
            return []
        self._take_free()
        holders, block = self._holders, self.block_tokens
        more = request.blocks(block)[len(chain) : tokens // block]
        for named in more:
            # Where the same is here already, nobody will find this one.
            key = object() if named in holders else named
            holders[key] = 1
            chain.append(key)
        return more

    def reserve(self, size: int) -> None:
        """Take so many bytes for what is on its way here, or give them back: blocks go at once.

        Else it would matter whether somebody looks between what is taken and what is given back.
        """
        self._take_free()
        super().reserve(size)
        self._take_free()

    # -- the end ---------------------------------------------------------------------------------

    def release(self, request: Request) -> None:
        """Take back all that a request holds; its state is a copy for others from then on."""
        filled = self._fill(request, request.computed)
        self._take_free()
        chain = self._chains.pop(request, [])
        holders, free = self._holders, self._free
        gone = own = request.held // self._unit - len(chain)
        if self._copy and filled:
            last = (filled[-1],)
            if last in holders:
                free.move_to_end(last)
            else:
                self._add_copy(last)
                own -= self._copy
        for _ in range(own):
            free[object()] = None
        for key in reversed(chain):
            count = holders[key] - 1
            holders[key] = count
            if not count:
                free[key] = None
                gone += 1
        self.used -= gone * self._unit
        self._seen = self.used
        request.held = 0

    def retire(self, request: Request) -> None:
        """Take back what a request holds once `free_retired` is called."""
        self._retired.append(request)

    def free_retired(self) -> None:
        """Take back what those hold that have been retired."""
        for request in self._retired:
            self.release(request)
        self._retired.clear()

    def forget(self) -> None:
        """Let there be nothing in any block; nobody holds one."""
        self._holders.clear()
        self._free.clear()
        self._copies = 0
        self._untouched, self._seen = self.capacity // self._unit, 0


def memory_of(kv: KVCache, share: float, host: Channel) -> Memory:
    """Return the memory that a manager asks for."""
    return (PrefixMemory if kv.shares else Memory)(kv, share, host)
