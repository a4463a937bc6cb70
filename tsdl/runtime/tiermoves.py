"""KV that goes from one tier to another: what has to leave one, and what is fetched ahead."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

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
        self._demoted: deque[tuple[str, Tier, Entry]] = deque()
        self._going_on = False

    def leave(self, tier: Tier, entry: Entry) -> None:
        """Tell handlers that an entry leaves a tier, and move it where they want it."""
        outer, self._leaving = self._leaving, (tier, entry)
        self.told(entry.request)
        self._leaving = outer
        if self._going_on:
            return  # one by one: what comes to a tier has others leave it
        self._going_on = True
        while self._demoted:
            self._demote(*self._demoted.popleft())
        self._going_on = False

    def demote(self, name: str) -> None:
        """Have what leaves a tier just now go to another."""
        if self._leaving is not None:
            self._demoted.append((name, *self._leaving))

    def _demote(self, name: str, near: Tier, entry: Entry) -> None:
        far = self._tier(name, near, entry.request)
        if far is not None and far is not near:
            self._copy(near, entry, far, entry.request)

    def prefetch(self, name: str, request: Request, into: str) -> None:
        """Copy what a tier has of a conversation to another one."""
        far = self.system.tier(name, request.worker)
        entry = far.entries.get(request.session) if far is not None else None
        if far is None or entry is None or not entry.tokens:
            return
        near = self._tier(into, far, request)
        if near is None or near is far:
            return
        entry.pinned += 1  # no room is made for it by letting it go

        def done() -> None:
            entry.pinned -= 1
            entry.last_used = self.system.clock.now

        if not self._copy(far, entry, near, request, done):
            entry.pinned -= 1

    def _tier(self, name: str, other: Tier, request: Request) -> Tier | None:
        """Return the tier of a name: in the node of another one, else in that of a request."""
        return self.system.tier(name, request.worker, other.plan.node)

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
            return False
        size = entry.size * fresh // tokens
        copy = target.make_room(request, tokens, size, self.leave)
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
        self.system.network.send(size, _ports(source, target), extra, come, about)
        return True


def _ports(source: Tier, target: Tier) -> tuple[Port, ...]:
    """Return the ports between two tiers, as far as they have links: maybe none."""
    out = (source.line.out,) if source.line is not None else ()
    into = (target.line.into,) if target.line is not None else ()
    return (*out, *into)
