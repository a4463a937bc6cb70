"""Transfers over ports that they share: each goes at the greatest rate that all its ports allow.

A port that shares fairly gives all transfers on it the same, but for those that another port slows
more (max-min fairness); one that serves first come, first served gives all to the oldest.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import inf

from tsdl.plan import Channel
from tsdl.runtime.clock import TRANSFER, Clock

NOBODY = ("", -1)


@dataclass(slots=True, eq=False)
class Port:
    """One direction of a link, or both where it is half duplex; bandwidth in bytes per second."""

    name: str
    bandwidth: float
    latency: float
    fifo: bool
    moved: int = 0  # bytes
    flows: list["Flow"] = field(default_factory=list)  # that are on it now


@dataclass(slots=True, eq=False)
class Line:
    """Both directions of a link: two ports, or one and the same where it is half duplex."""

    out: Port
    into: Port


def line(name: str, channel: Channel) -> Line:
    """Return the ports of a link."""
    fifo = channel.sharing == "fifo"
    out = Port(name, channel.bandwidth, channel.latency, fifo)
    if channel.duplex == "half":
        return Line(out, out)
    return Line(out, Port(name, channel.bandwidth, channel.latency, fifo))


@dataclass(slots=True, eq=False)
class Flow:
    """A transfer on its way: what was left of it when its rate was set last, and when it ends."""

    ports: tuple[Port, ...]
    done: Callable[[], None]
    left: float
    since: float
    rate: float = 0.0
    end: float = inf


@dataclass(slots=True)
class Network:
    """All transfers that are on their way, in the order in which they began to flow."""

    clock: Clock
    flows: list[Flow] = field(default_factory=list)
    waiting: int = 0  # transfers within their latency
    # Who was sent last, all to start at one time: with one event, as no other comes in between.
    _starters: list[Flow] = field(default_factory=list)
    _starting: float = -1.0  # when; no time where there are none
    _next: float = inf
    _moved: bool = False  # whether transfers have begun or ended since rates were given
    _changed: bool = False  # whether they share ports with others

    @property
    def quiet(self) -> bool:
        """Tell whether nothing is on its way."""
        return not self.flows and not self.waiting

    def send(
        self,
        size: int,
        ports: tuple[Port, ...],
        extra: float,
        done: Callable[[], None],
        about: tuple[str, int] = NOBODY,
    ) -> None:
        """Send so many bytes over ports; call `done` when the last is there.

        The first byte takes the greatest latency of the ports, and `extra` seconds. `about` is what
        the transfer is for and the number of the request, for those who look on.
        """
        latency = 0.0
        for port in ports:
            port.moved += size
            if port.latency > latency:  # noqa: PLR1730 (often: `max` is slower)
                latency = port.latency
        self.waiting += 1
        time = self.clock.now + (latency + extra)
        if time != self._starting:
            self._starting, self._starters = time, []
            self.clock.call(time, TRANSFER, partial(self._start, self._starters))
        self._starters.append(Flow(tuple(dict.fromkeys(ports)), done, float(size), time))

    def _start(self, flows: list[Flow]) -> None:
        """Let transfers flow that were sent one after another, and whose latency is over."""
        self._starting = -1.0
        for flow in flows:
            self.waiting -= 1
            if flow.left and flow.ports:
                self._begin(flow)
            else:
                flow.done()
        self._settle()

    def _begin(self, flow: Flow) -> None:
        """Let a transfer flow; one that shares no port concerns no other."""
        self.flows.append(flow)
        alone = True
        for port in flow.ports:
            if port.flows:
                alone = False
            port.flows.append(flow)
        if alone:
            flow.rate = min([port.bandwidth for port in flow.ports])
            flow.end = flow.since + flow.left / flow.rate
        else:
            self._changed = True
        self._moved = True

    def _finish(self) -> None:
        now = self.clock.now
        if now != self._next:  # another transfer has changed the rates since
            self._settle()
            return
        self._next = inf
        self._moved = True
        ended = [flow for flow in self.flows if flow.end <= now]
        for flow in ended:
            self.flows.remove(flow)
            for port in flow.ports:
                port.flows.remove(flow)
                if port.flows:
                    self._changed = True
        self._settle()
        for flow in ended:
            flow.done()

    def _settle(self) -> None:
        """Give rates anew where they change, and see to the transfer that ends next."""
        if not self._moved or self.clock.follows(TRANSFER):
            return  # another begins or ends at this very time
        self._moved = False
        if self._changed:
            self._changed = False
            self._share()
        first = inf
        for flow in self.flows:
            if flow.end < first:  # noqa: PLR1730 (often: `min` is slower)
                first = flow.end
        if first < inf and first != self._next:
            self._next = first
            self._starting = -1.0  # whoever starts then, too, comes after it
            self.clock.call(first, TRANSFER, self._finish)

    def _share(self) -> None:
        now = self.clock.now
        for flow, rate in zip(self.flows, rates(self.flows), strict=True):
            if rate != flow.rate:
                flow.left -= flow.rate * (now - flow.since)
                flow.since, flow.rate = now, rate
                flow.end = now + max(flow.left, 0.0) / rate if rate > 0 else inf


def rates(flows: list[Flow]) -> list[float]:
    """Return the max-min fair rates of transfers, in their order (Bertsekas and Gallager, 6.5)."""
    if len(flows) < 2:  # noqa: PLR2004 (nothing to share)
        return [min([port.bandwidth for port in flow.ports]) for flow in flows]
    moving = _moving(flows)
    users: dict[Port, list[Flow]] = {}
    for flow in moving:
        for port in flow.ports:
            if port in users:
                users[port].append(flow)
            else:
                users[port] = [flow]
    # Of each port what is left, and for how many: until all have what their narrowest gives them.
    left = {port: port.bandwidth for port in users}
    open_ = {port: len(flows) for port, flows in users.items()}
    found: dict[Flow, float] = {}
    while True:
        narrow, share = _narrowest(left, open_)
        fixed = [flow for flow in users[narrow] if flow not in found]
        for flow in fixed:
            found[flow] = share
        if len(found) == len(moving):
            return [found.get(flow, 0.0) for flow in flows]
        del left[narrow]
        _take(share, fixed, left, open_)


def _moving(flows: list[Flow]) -> list[Flow]:
    """Return the transfers that no older one keeps waiting at a port."""
    oldest: dict[Port, Flow] = {}
    for flow in flows:
        for port in flow.ports:
            if port.fifo and port not in oldest:
                oldest[port] = flow
    if not oldest:
        return flows
    return [f for f in flows if all(not p.fifo or oldest[p] is f for p in f.ports)]


def _take(share: float, fixed: list[Flow], left: dict[Port, float], open_: dict[Port, int]) -> None:
    """Take from the other ports of transfers what these have got; ports without others go."""
    counts: dict[Port, int] = {}
    for flow in fixed:
        for port in flow.ports:
            if port in left:
                counts[port] = counts.get(port, 0) + 1
    for port, count in counts.items():
        if count == open_[port]:
            del left[port]
        else:
            left[port] = max(left[port] - share * count, 0.0)
            open_[port] -= count


def _narrowest(left: dict[Port, float], open_: dict[Port, int]) -> tuple[Port, float]:
    """Return the port that gives each of those on it the least, the first of such, and how much."""
    narrow, least = None, inf
    for port, bandwidth in left.items():
        share = bandwidth / open_[port]
        if share < least or narrow is None:
            narrow, least = port, share
    assert narrow is not None
    return narrow, least
