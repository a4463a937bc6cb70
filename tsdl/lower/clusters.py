"""Clusters to the plan: which workers stand in which node, what connects them, their tiers."""

from collections.abc import Iterator

from msgspec import Struct

from tsdl import ast
from tsdl.evaluate import Evaluator, Instance
from tsdl.evaluate.values import Constructed, Place, Range
from tsdl.formula import Value, symbol
from tsdl.plan import Channel, Tier
from tsdl.schema import RECORDS

MOST_WORKERS = 100_000  # of a cluster, all nodes together


class Standing(Struct, frozen=True):
    """Where a `worker` block stands: the node's name, its way to others, whether it is alone.

    A node of so many devices has so many ports to the network.
    """

    worker: Instance
    node: str
    devices: int
    ports: int
    network: Instance | None
    alone: bool


class Parallel(Struct, frozen=True):
    """How a worker shares the model: the devices of a stage, the ranks, for `ep` its experts."""

    devices: int
    experts: bool  # whether experts are divided whole
    ranks: int
    imbalance: float
    stages: int  # one after another, over which the layers are divided
    exchange: str  # how ranks send each other tokens; "" where nothing is said
    redundant: int  # copies of experts beyond one of each

    @property
    def all_to_all(self) -> bool:
        """Tell whether ranks send tokens to the devices of their experts only."""
        return self.ranks > 1 and self.exchange == "all_to_all"


def standings(evaluator: Evaluator, cluster: Instance) -> Iterator[Standing]:
    """Yield the `worker` blocks of a cluster in order, those of a node once for each such node.

    Those of which there are none are left out.

    Workers outside any node are nodes of their own where the cluster has a network; else they
    share one. Raises Failed where nodes lack a network.
    """
    network = evaluator.reference(cluster, "network")
    nodes = cluster.members.named("node")
    outside = cluster.members.named("worker")
    for members in outside:
        worker = evaluator.inner(cluster, "worker", members.name)
        if not count_of(evaluator, worker):
            continue
        devices = devices_of(evaluator, worker)
        yield Standing(worker, "", devices, devices, network, network is not None)
    names = [name for members in nodes for name in _copies(evaluator, cluster, members.name)]
    if network is None and len(names) + bool(outside) > 1:
        raise evaluator.fail(
            "E0404",
            f"`network` of cluster `{cluster.name}` is not set, and it has "
            f"{len(names) + bool(outside)} nodes",
            evaluator.place_of(cluster),
            help=("say what connects them: `network = Ethernet_100G`",),
        )
    _check_count(evaluator, cluster)
    for members in nodes:
        node = evaluator.inner(cluster, "node", members.name)
        given = evaluator.optional(node, "ports")
        devices = _devices_in(evaluator, node)
        ports = devices if given is None else int(given)
        for name in _copies(evaluator, cluster, members.name):
            for inner in members.named("worker"):
                worker = evaluator.inner(node, "worker", inner.name)
                if not count_of(evaluator, worker):
                    continue
                yield Standing(worker, name, devices, ports, network, alone=False)


def _check_count(evaluator: Evaluator, cluster: Instance) -> None:
    """See that there are no more workers than can be simulated. Raises Failed."""
    nodes = [evaluator.inner(cluster, "node", m.name) for m in cluster.members.named("node")]
    holders = [(cluster, 1), *((node, evaluator.whole(node, "count")) for node in nodes)]
    total = sum(
        copies * count_of(evaluator, evaluator.inner(holder, "worker", members.name))
        for holder, copies in holders
        for members in holder.members.named("worker")
    )
    if total > MOST_WORKERS:
        raise evaluator.fail(
            "E0503",
            f"a cluster has at most {MOST_WORKERS:,} workers, and `{cluster.name}` has {total:,}",
            evaluator.place_of(cluster),
        )


def blocks_of(evaluator: Evaluator, cluster: Instance) -> list[Instance]:
    """Return the `worker` blocks of a cluster as they are written, also where there are none."""
    nodes = [evaluator.inner(cluster, "node", m.name) for m in cluster.members.named("node")]
    return [
        evaluator.inner(holder, "worker", members.name)
        for holder in (cluster, *nodes)
        for members in holder.members.named("worker")
    ]


def parallel_of(evaluator: Evaluator, worker: Instance) -> Parallel:
    """Return how a worker shares the model among devices."""
    made = evaluator.get(worker, "parallel")
    assert isinstance(made, Constructed)

    def known(key: str, usual: float = 1) -> float:
        value = made.parameters.get(key, usual)
        assert isinstance(value, (int, float))
        return value

    return Parallel(
        int(known("devices")),
        made.name == "ep",
        int(known("ranks")),
        known("imbalance"),
        int(known("stages")),
        str(made.parameters.get("exchange") or ""),
        int(known("redundant", 0)),
    )


def devices_of(evaluator: Evaluator, worker: Instance) -> int:
    """Return how many devices a worker has."""
    parallel = parallel_of(evaluator, worker)
    return parallel.devices * parallel.stages


def count_of(evaluator: Evaluator, worker: Instance) -> int:
    """Return how many workers a block is; the most, where they are scaled. Raises Failed."""
    bounds = _bounds(evaluator, worker)
    return evaluator.whole(worker, "count") if bounds is None else bounds[1]


def fewest_of(evaluator: Evaluator, worker: Instance) -> int | None:
    """Return how many workers of a block are up at least; None where they are not scaled."""
    bounds = _bounds(evaluator, worker)
    return None if bounds is None else bounds[0]


def _bounds(evaluator: Evaluator, worker: Instance) -> tuple[int, int] | None:
    scale = evaluator.get(worker, "scale")
    if scale is None:
        return None
    assert isinstance(scale, Range)
    low, high = scale.low, scale.high
    most = worker.members.shape.fields["count"].high
    assert most is not None
    if low != int(low) or high != int(high) or not 0 <= low <= high or not 1 <= high <= most:
        raise evaluator.fail(
            "E0503",
            f"workers are scaled between whole numbers, the most from 1 to {most:,}, not "
            f"{low:g}..{high:g}",
            evaluator.span(worker, "scale"),
            help=(f"write `worker {worker.members.name} * 2..8`",),
        )
    return int(low), int(high)


def check_ranks(evaluator: Evaluator, cluster: Instance) -> None:
    """See that there are workers enough for the ranks that share experts. Raises Failed."""
    counts: dict[int, int] = {}
    workers = [standing.worker for standing in standings(evaluator, cluster)]
    for worker in workers:
        counts[id(worker)] = counts.get(id(worker), 0) + count_of(evaluator, worker)
    for worker in workers:
        ranks, count = parallel_of(evaluator, worker).ranks, counts[id(worker)]
        if count % ranks:
            raise evaluator.fail(
                "E0514",
                f"{ranks} ranks share the experts, and there {'is' if count == 1 else 'are'} "
                f"{count} of worker `{worker.members.name}`",
                evaluator.span(worker, "parallel"),
                help=(f"write `worker {worker.members.name} * {ranks} {{ … }}`",),
            )


def check_exchange(evaluator: Evaluator, worker: Instance) -> None:
    """Warn where it is said how ranks exchange tokens, and there is one."""
    parallel = parallel_of(evaluator, worker)
    if not parallel.exchange or parallel.ranks > 1:
        return
    evaluator.sink.warning(
        "W0522",
        "`exchange` says how ranks send each other tokens, and a worker alone has them on all of "
        "its devices",
        evaluator.span(worker, "parallel"),
        f"worker `{worker.members.name}`",
        help=(
            "leave it out, or have ranks of their own: `worker rank * 8 { parallel = ep(1, "
            "ranks = 8, exchange = all_to_all) }`",
        ),
    )


def _devices_in(evaluator: Evaluator, node: Instance) -> int:
    """Return how many devices stand in a node."""
    workers = [evaluator.inner(node, "worker", m.name) for m in node.members.named("worker")]
    return sum(count_of(evaluator, w) * devices_of(evaluator, w) for w in workers)


def _copies(evaluator: Evaluator, cluster: Instance, name: str) -> list[str]:
    """Return the names of the nodes that a `node` block declares."""
    count = evaluator.whole(evaluator.inner(cluster, "node", name), "count")
    return [name] if count == 1 else [f"{name}.{index}" for index in range(count)]


def channel(evaluator: Evaluator, link: Instance, ports: float) -> Channel:
    """Return a link of so many ports that are used at once, as KV on its way finds it."""
    share, pair = evaluator.real(link, "transfer"), evaluator.optional(link, "pair")
    return Channel(
        link.name,
        evaluator.real(link, "bandwidth") * share * ports,
        evaluator.real(link, "latency"),
        evaluator.word(link, "duplex"),
        evaluator.word(link, "sharing"),
        pair * share if pair is not None else None,
    )


def lower_tiers(evaluator: Evaluator, cluster: Instance) -> tuple[Tier, ...]:
    """Return the tiers that all workers share, then those of each node."""
    found = [_tier(evaluator, cluster, m.name, "") for m in cluster.members.named("tier")]
    for members in cluster.members.named("node"):
        node = evaluator.inner(cluster, "node", members.name)
        for name in _copies(evaluator, cluster, members.name):
            found += [_tier(evaluator, node, m.name, name) for m in members.named("tier")]
    return tuple(found)


def _tier(evaluator: Evaluator, holder: Instance, name: str, node: str) -> Tier:
    tier = evaluator.inner(holder, "tier", name)
    link = evaluator.reference(tier, "link")
    return Tier(
        name,
        node,
        evaluator.whole(tier, "capacity"),
        evaluator.whole(tier, "block"),
        evaluator.real(tier, "latency"),
        channel(evaluator, link, 1) if link else None,
        evaluator.word(tier, "share") == "prefix",
        _order(evaluator, tier),
    )


def _order(evaluator: Evaluator, tier: Instance) -> tuple[Value, ...]:
    """Return the keys by which a tier evicts; the one used longest ago goes where none is set."""
    found: list[Value] = []
    for part in tier.members.clauses("evict"):
        clause = part.item
        assert isinstance(clause, ast.Clause)
        by = clause.preposition("by")
        place = Place(part.owner, tier, {name: symbol(name) for name in RECORDS["entry"]})
        found += [evaluator.formula(e, place) for e in (by.objects if by else ())]
    return tuple(found) or (symbol("last_used"),)
