"""Transfers over ports that they share: each goes at the greatest rate that all its ports allow.

A port that shares fairly gives all transfers on it the same, but for those that another port slows
more (max-min fairness); one that serves first come, first served gives all to the oldest.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from tsdl.plan import Channel
from tsdl.runtime.clock import TRANSFER, Clock


@dataclass(slots=True, eq=False)
class Port:
    """One direction of a link, or both where it is half duplex; bandwidth in bytes per second."""

    name: str
    bandwidth: float
    latency: float
    fifo: bool
    moved: int = 0  # bytes


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
    _next: float = inf

    @property
    def quiet(self) -> bool:
        """Tell whether nothing is on its way."""
        return not self.flows and not self.waiting

    def send(
        self, size: int, ports: tuple[Port, ...], extra: float, done: Callable[[], None]
    ) -> None:
        """Send so many bytes over ports; call `done` when the last is there.

        The first byte takes the greatest latency of the ports, and `extra` seconds.
        """
        for port in ports:
            port.moved += size
        latency = max((port.latency for port in ports), default=0.0) + extra
        self.waiting += 1

        def begin() -> None:
            self.waiting -= 1
            if not size or not ports:
                done()
                return
            self.flows.append(Flow(ports, done, float(size), self.clock.now))
            self._share()

        self.clock.call(self.clock.now + latency, TRANSFER, begin)

    def _share(self) -> None:
        """Give each transfer its rate anew, and see to the one that ends next."""
        now = self.clock.now
        for flow, rate in zip(self.flows, rates(self.flows), strict=True):
            if rate != flow.rate:
                flow.left -= flow.rate * (now - flow.since)
                flow.since, flow.rate = now, rate
                flow.end = now + max(flow.left, 0.0) / rate if rate > 0 else inf
        first = min((flow.end for flow in self.flows), default=inf)
        if first < inf and first != self._next:
            self._next = first
            self.clock.call(first, TRANSFER, self._finish)

    def _finish(self) -> None:
        now = self.clock.now
        if now != self._next:
            return  # another transfer has changed the rates since
        self._next = inf
        ended = [flow for flow in self.flows if flow.end <= now]
        self.flows = [flow for flow in self.flows if flow.end > now]
        self._share()
        for flow in ended:
            flow.done()


def rates(flows: list[Flow]) -> list[float]:
    """Return the max-min fair rates of transfers, in their order (Bertsekas and Gallager, 6.5)."""
    oldest: dict[int, Flow] = {}
    for flow in flows:
        for port in flow.ports:
            if port.fifo:
                oldest.setdefault(id(port), flow)
    moving = [f for f in flows if all(not p.fifo or oldest[id(p)] is f for p in f.ports)]
    found: dict[int, float] = {}
    left: dict[int, float] = {}
    users: dict[int, list[Flow]] = {}
    for flow in moving:
        for port in dict.fromkeys(flow.ports):
            left[id(port)] = port.bandwidth
            users.setdefault(id(port), []).append(flow)
    while users:
        narrow = min(users, key=lambda port: left[port] / len(users[port]))
        share = left[narrow] / len(users[narrow])
        for flow in users[narrow]:
            found[id(flow)] = share
        fixed = {id(flow) for flow in users[narrow]}
        for key in list(users):
            still = [flow for flow in users[key] if id(flow) not in fixed]
            left[key] = max(left[key] - share * (len(users[key]) - len(still)), 0.0)
            if still:
                users[key] = still
            else:
                del users[key]
    return [found.get(id(flow), 0.0) for flow in flows]
