"""KV that goes from one tier to another: what has to leave one, and what is fetched ahead."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from tsdl.runtime.request import REJECTED

if TYPE_CHECKING:
    from collections.abc import Callable

    from tsdl.runtime.network import Port
    from tsdl.runtime.request import Request
    from tsdl.runtime.system import System
    from tsdl.runtime.tiers import Entry, Tier


class TierMoves:
    """Copies between tiers; `told` tells handlers that KV of a request leaves a tier.

    No request rests for them. What leaves a tier has left it: its bytes are free there at once, and
    it is taken to wait elsewhere until it is copied.
    """

    def __init__(self, system: System) -> None:
        """Begin with nothing on its way."""
        self.system = system
        self.told: Callable[[Request], None] = lambda request: None
        self._leaving: tuple[Tier, Entry] | None = None  # of whom handlers are told just now
        self._moves: deque[Callable[[], None]] = deque()
        self._moving = False

    def leave(self, tier: Tier, entry: Entry) -> None:
        """Tell handlers that an entry leaves a tier, and move it where they want it."""
        outer, self._leaving = self._leaving, (tier, entry)
        self.told(entry.request)
        self._leaving = outer
        self._move()

    def demote(self, name: str) -> None:
        """Have what leaves a tier just now go to another."""
        if self._leaving is not None:
            self._moves.append(partial(self._demote, name, *self._leaving))

    def prefetch(self, name: str, request: Request, into: str) -> None:
        """Copy what a tier has of a conversation to another one."""
        if request.status != REJECTED:
            self._moves.append(partial(self._prefetch, name, request, into))
            self._move()

    def _move(self) -> None:
        """Begin the moves that are asked for, one by one: what comes has others leave in turn."""
        if self._moving or self._leaving is not None:
            return
        self._moving = True
        while self._moves:
            self._moves.popleft()()
        self._moving = False

    def _demote(self, name: str, near: Tier, entry: Entry) -> None:
        far = self.system.tier(name, entry.request.worker, near.plan.node)
        if far is not None and far is not near:
            self._copy(near, entry, far, entry.request)

    def _prefetch(self, name: str, request: Request, into: str) -> None:
        far = self.system.tier(name, request.worker)
        entry = far.entries.get(request.session) if far is not None else None
        if far is None or entry is None or not entry.tokens:
            return
        near = self.system.tier(into, request.worker, far.plan.node)
        if near is None or near is far:
            return
        far.pin(entry)  # no room is made for it by letting it go
        entry.last_used = self.system.clock.now

        done = partial(far.unpin, entry)
        if not self._copy(far, entry, near, request, done):
            done()

    def _copy(
        self,
        source: Tier,
        entry: Entry,
        target: Tier,
        request: Request,
        done: Callable[[], None] = lambda: None,
    ) -> bool:
        """Copy what a tier lacks of an entry; False where it lacks nothing, or has no room."""
        tokens = entry.tokens
        fresh = tokens - target.tokens_of(request)
        if fresh <= 0:
            target.use(request, self.system.clock.now)
            return False
        kept = entry.size - entry.state  # it has room for tokens that are coming, too
        size = kept * fresh // entry.coming
        copy = target.make_room(request, tokens, size, entry.state, self.leave)
        if copy is None:
            return False

        copy.copies += 1

        def come() -> None:
            target.keep(copy, request, tokens, self.system.clock.now)
            done()
            copy.copies -= 1
            if not copy.copies:
                awaited, copy.awaited = copy.awaited, []
                for each in awaited:
                    each()

        extra = source.latency(fresh) + target.latency(fresh)
        about = ("between tiers", request.id)
        ports = _ports(source, target)
        self.system.network.send(size + entry.state, ports, extra, come, about)
        return True


def _ports(source: Tier, target: Tier) -> tuple[Port, ...]:
    """Return the ports between two tiers, as far as they have links: maybe none."""
    out = (source.line.out,) if source.line is not None else ()
    into = (target.line.into,) if target.line is not None else ()
    return (*out, *into)
