"""How long devices take to tell each other something: by their link, and by a network."""

from math import inf, nan

from msgspec import Struct

from tsdl.evaluate import Evaluator, Instance
from tsdl.formula import Formula, Value, make, substituted, symbol
from tsdl.lower.clusters import Parallel
from tsdl.lower.reaching import Reach


class Group(Struct, frozen=True):
    """Who takes part: the devices of a stage, of so many ranks, how far apart; and in what."""

    parallel: Parallel
    reach: Reach
    work_class: str

    def known(self) -> dict[Formula, Value]:
        """Return what a link's formulas may read."""
        return {
            symbol("devices"): self.parallel.devices,
            symbol("ranks"): self.parallel.ranks,
            symbol("domains"): self.reach.domains,
            symbol("rank_domains"): self.reach.rank_domains,
        }


def exchanged(
    evaluator: Evaluator, link: Instance, group: Group, wire: Value, remote: Value
) -> Value:
    """Return how long each device sends: so many bytes by the link, so many by the network at once.

    Raises Failed.
    """
    network = group.reach.network
    within = _sent(evaluator, link, group, wire, 1)
    if network is None:
        return within
    between = _sent(evaluator, network, group, remote, group.reach.ports)
    if within == 0 or between == 0:
        return between if within == 0 else within
    return make("max", within, between)


def _sent(evaluator: Evaluator, link: Instance, group: Group, sent: Value, ports: float) -> Value:
    if sent == 0:
        return 0
    blocks = {
        key: _block(evaluator, link, group.work_class, key)
        for key in ("latency", "bandwidth", "sharpness", "latency_factor", "bandwidth_factor")
    }
    latency, share, sharpness = (
        evaluator.real(blocks[key], key) for key in ("latency", "bandwidth", "sharpness")
    )
    latency *= _among(evaluator, blocks["latency_factor"], "latency_factor", group)
    rate = _reached(evaluator, link, group) * ports * share
    rate *= _among(evaluator, blocks["bandwidth_factor"], "bandwidth_factor", group)
    return norm(latency, make("/", sent, rate), sharpness)


def _reached(evaluator: Evaluator, link: Instance, group: Group) -> float:
    """Return the bandwidth of a link among those that take part: one way to each other, or all."""
    bandwidth, pair = evaluator.real(link, "bandwidth"), evaluator.optional(link, "pair")
    if pair is None:
        return bandwidth
    near = min(group.parallel.devices * group.parallel.ranks, group.reach.size)
    return min(bandwidth, pair * max(near - 1, 1))


def _block(evaluator: Evaluator, link: Instance, work_class: str, key: str) -> Instance:
    """Return the block of a link that says what a class of operations reaches."""
    if work_class == "exchange":
        own = evaluator.inner(link, "exchange")
        if evaluator.get(own, key) is not None:
            return own
    return evaluator.inner(link, "collective")


def _among(evaluator: Evaluator, block: Instance, key: str, group: Group) -> float:
    """Return a factor for those that take part. Raises Failed."""
    try:
        factor = substituted(evaluator.known(block, key), group.known())
    except ArithmeticError:
        factor = nan
    if not isinstance(factor, (int, float)) or not 0 < factor < inf:
        among = f"{group.parallel.devices} devices"
        if group.parallel.ranks > 1:
            among += f" of each of {group.parallel.ranks} ranks"
        raise evaluator.fail(
            "E0503",
            f"`{block.path}{key}` must be above 0, and is {factor} among {among}",
            evaluator.span(block, key),
        )
    return factor


def norm(one: Value, other: Value, sharpness: float | None) -> Value:
    """Return the p-norm of two times; without p, the greater."""
    if one == 0:
        return other
    if other == 0:
        return one
    if sharpness is None:
        return make("max", one, other)
    if sharpness == 1:
        return make("+", one, other)
    total = make("+", make("**", one, sharpness), make("**", other, sharpness))
    return make("**", total, 1 / sharpness)
