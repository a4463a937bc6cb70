"""KV memory whose full blocks are kept by what is in them, for others that begin alike.

A block is live while anyone holds it. After that it is free, and stays findable until it is taken
for something else: those that were free longest are taken first. Of a request that ends its last
blocks are taken before its first.
"""

from collections import OrderedDict
from collections.abc import Hashable

from tsdl.plan import Channel, KVCache
from tsdl.runtime.memory import Memory
from tsdl.runtime.request import Request


class PrefixMemory(Memory):
    """Memory in blocks, equal ones kept once: `used` counts those that are live."""

    __slots__ = ("_chains", "_free", "_keys", "_live", "_retired", "_untouched", "asked", "found")

    shares = True

    def __init__(self, kv: KVCache, share: float, host: Channel) -> None:
        """Begin with blocks in which there is nothing."""
        super().__init__(kv, share, host)
        self.asked = self.found = 0
        self._live: dict[Hashable, int] = {}  # how many hold a block, by what is in it
        # Free blocks, the next to be taken first; those with nothing to be found in them have keys
        # of their own. The untouched come before all others.
        self._free: OrderedDict[Hashable, None] = OrderedDict()
        self._untouched = self.capacity // int(self.block)
        self._chains: dict[Request, list[Hashable]] = {}  # keys of the blocks that they hold
        self._keys: dict[Request, list[Hashable]] = {}  # of the prompts of those that wait or run
        self._retired: list[Request] = []

    # -- what is in blocks -----------------------------------------------------------------------

    def _key(self, request: Request, place: int) -> Hashable:
        """Return what is in a request's block at a place, and in all blocks before it."""
        keys = self._keys.get(request)
        if keys is None:
            keys = self._keys[request] = request.content.keys(self.block_tokens)
        return keys[place] if place < len(keys) else (request.session, place)

    def _take_free(self) -> None:
        """Let those free blocks go that others have taken since somebody looked."""
        unit = int(self.block)
        free = max(self.capacity - self.used, 0) // unit
        taken = self._untouched + len(self._free) - free
        if taken > 0:
            first = min(taken, self._untouched)
            self._untouched -= first
            for _ in range(taken - first):
                self._free.popitem(last=False)

    def _found(self, request: Request) -> list[Hashable]:
        """Return the blocks with which a request may begin: its last token is computed anyway."""
        self._take_free()
        live, free = self._live, self._free
        found: list[Hashable] = []
        for place in range((request.length - 1) // self.block_tokens):
            key = self._key(request, place)
            if key not in live and key not in free:
                break
            found.append(key)
        return found

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
        found = self._found(request)
        request.computed = len(found) * self.block_tokens
        live = sum(1 for key in found if key in self._live)
        return self.needed(request) - live * int(self.block)

    def unmatch(self, request: Request) -> None:
        """Let it wait on, with nothing."""
        request.computed = 0

    def fill_with(self, request: Request) -> float:
        """Return what `fill` would be with a request admitted."""
        if not self.capacity:
            return 0.0
        live = sum(1 for key in self._found(request) if key in self._live)
        return (self.used + self.needed(request) - live * int(self.block)) / self.capacity

    def begin(self, request: Request, size: int) -> None:
        """Let a newcomer hold `size` bytes in all, what it begins with among them."""
        unit = int(self.block)
        chain = self._found(request)[: request.computed // self.block_tokens]
        for key in chain:
            if key in self._live:
                self._live[key] += 1
            else:
                del self._free[key]
                self._live[key] = 1
                self.used += unit
        self._chains[request] = chain
        request.cached += request.computed
        self.asked += request.length
        self.found += request.computed
        request.held = len(chain) * unit
        self.grow(request, size)

    def register(self, request: Request, tokens: int) -> None:
        """Let others find the full blocks of the first tokens of a request."""
        chain = self._chains.get(request)
        if chain is None:
            return
        self._take_free()
        for place in range(len(chain), tokens // self.block_tokens):
            key = self._key(request, place)
            if key in self._live or key in self._free:  # the same is here already
                key = object()
            self._live[key] = 1
            chain.append(key)

    # -- the end ---------------------------------------------------------------------------------

    def release(self, request: Request) -> None:
        """Take back all that a request holds."""
        self.register(request, request.computed)
        self._take_free()
        unit = int(self.block)
        chain = self._chains.pop(request, [])
        self._keys.pop(request, None)
        own = request.held // unit - len(chain)
        for _ in range(own):
            self._free[object()] = None
        self.used -= own * unit
        for key in reversed(chain):
            holders = self._live[key] - 1
            if holders:
                self._live[key] = holders
            else:
                del self._live[key]
                self._free[key] = None
                self.used -= unit
        request.held = 0

    def retire(self, request: Request) -> None:
        """Take back what a request holds once `free_retired` is called."""
        self._retired.append(request)

    def free_retired(self) -> None:
        """Take back what those hold that have been retired."""
        for request in self._retired:
            self.release(request)
        self._retired.clear()


def memory_of(kv: KVCache, share: float, host: Channel) -> Memory:
    """Return the memory that a manager asks for."""
    return (PrefixMemory if kv.shares else Memory)(kv, share, host)
