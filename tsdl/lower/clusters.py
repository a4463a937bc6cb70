"""Clusters to the plan: which workers stand in which node, what connects them, their tiers."""

from collections.abc import Iterator
from dataclasses import dataclass

from tsdl import ast
from tsdl.diagnostics.suggest import nearest
from tsdl.evaluate import Evaluator, Instance
from tsdl.evaluate.values import Place
from tsdl.formula import Value, symbol
from tsdl.plan import Channel, Tier, Workers
from tsdl.schema import RECORDS


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a `worker` block stands: the node's name, its way to others, whether it is alone."""

    worker: Instance
    node: str
    ports: int | None
    network: Instance | None
    alone: bool


def standings(evaluator: Evaluator, cluster: Instance) -> Iterator[Standing]:
    """Yield the `worker` blocks of a cluster in order, those of a node once for each such node.

    Workers outside any node are nodes of their own where the cluster has a network; else they
    share one. Raises Failed where nodes lack a network.
    """
    network = evaluator.reference(cluster, "network")
    nodes = cluster.members.named("node")
    outside = cluster.members.named("worker")
    for members in outside:
        worker = evaluator.inner(cluster, "worker", members.name)
        yield Standing(worker, "", None, network, network is not None)
    names = [name for members in nodes for name in _copies(evaluator, cluster, members.name)]
    if network is None and len(names) + bool(outside) > 1:
        raise evaluator.fail(
            "E0404",
            f"`network` of cluster `{cluster.name}` is not set, and it has "
            f"{len(names) + bool(outside)} nodes",
            evaluator.place_of(cluster),
            help=("say what connects them: `network = Ethernet_100G`",),
        )
    for members in nodes:
        node = evaluator.inner(cluster, "node", members.name)
        ports = evaluator.optional(node, "ports")
        for name in _copies(evaluator, cluster, members.name):
            for inner in members.named("worker"):
                worker = evaluator.inner(node, "worker", inner.name)
                yield Standing(
                    worker, name, None if ports is None else int(ports), network, alone=False
                )


def _copies(evaluator: Evaluator, cluster: Instance, name: str) -> list[str]:
    """Return the names of the nodes that a `node` block declares."""
    count = evaluator.whole(evaluator.inner(cluster, "node", name), "count")
    return [name] if count == 1 else [f"{name}.{index}" for index in range(count)]


def channel(evaluator: Evaluator, link: Instance, ports: int) -> Channel:
    """Return a link of so many ports that are used at once."""
    return Channel(
        link.name,
        evaluator.real(link, "bandwidth") * ports,
        evaluator.real(link, "latency"),
        evaluator.word(link, "duplex"),
        evaluator.word(link, "sharing"),
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


def check_swap(
    evaluator: Evaluator, worker: Instance, swap: str, tiers: tuple[Tier, ...], groups: list[str]
) -> None:
    """See that `swap` names a tier or other workers of the cluster. Raises Failed."""
    known = list(dict.fromkeys([*(tier.name for tier in tiers), *groups]))
    if swap and swap not in known:
        near = nearest(swap, known)
        raise evaluator.fail(
            "E0515",
            f"there is no tier and no worker `{swap}` to swap to",
            evaluator.span(worker, "swap"),
            help=(f"did you mean `{near}`?" if near else f"there are {', '.join(known)}",),
        )


def check_tiers(
    evaluator: Evaluator, policies: list[Instance], tiers: tuple[Tier, ...], cluster: Instance
) -> None:
    """See that the tiers that policies store in and fetch from are there. Raises Failed."""
    known = list(dict.fromkeys(tier.name for tier in tiers))
    for policy in policies:
        for stage in ("local", "global"):
            for part in evaluator.inner(policy, stage).members.clauses("on"):
                for name in _tiers_in(part.item):
                    if name.id not in known:
                        near = nearest(name.id, known)
                        raise evaluator.fail(
                            "E0515",
                            f"cluster `{cluster.name}` has no tier `{name.id}`",
                            name.span,
                            help=(
                                f"did you mean `{near}`?"
                                if near
                                else f"write `tier {name.id} {{ capacity = 256 GiB }}` there",
                            ),
                        )


def _tiers_in(item: object) -> Iterator[ast.Name]:
    match item:
        case ast.Clause(verb="store", within=ast.Name() as name):
            yield name
        case ast.Clause(
            verb="fetch", prepositions=(ast.Preposition(objects=(ast.Name() as name,)),)
        ):
            yield name
        case ast.Clause(body=ast.Body(items=items)) | ast.For(body=ast.Body(items=items)):
            for inner in items:
                yield from _tiers_in(inner)
        case ast.If(then=then, otherwise=otherwise):
            for inner in (*then.items, *(otherwise.items if otherwise else ())):
                yield from _tiers_in(inner)


def check_hand_over(
    evaluator: Evaluator, cluster: Instance, workers: list[Workers], *, handles_submit: bool
) -> None:
    """See that who is prefilled on a worker that does not decode leaves it. Raises Failed."""
    submits = [_submits(kind) for kind in workers]
    for kind, submitting in zip(workers, submits, strict=True):
        if not kind.decodes and not submitting:
            raise evaluator.fail(
                "E0517",
                f"worker `{kind.name}` does not decode, and policy `{kind.local.policy}` hands "
                "nothing over",
                evaluator.place_of(cluster),
                help=(
                    "derive the policy from `disaggregated`, or write "
                    "`on token(r, w) when not w.decodes { submit r }` in its local stage",
                ),
            )
    if any(submits) and not handles_submit:
        raise evaluator.fail(
            "E0517",
            "requests are submitted, and no handler dispatches them",
            evaluator.place_of(cluster),
            help=(
                "write `on submit(r) { dispatch r to random(w for w in workers if w.decodes) }` in "
                "the global stage",
            ),
        )


def _submits(kind: Workers) -> bool:
    if kind.local.extern:
        return True
    waiting = [s for handler in kind.local.handlers for s in handler.body]
    while waiting:
        statement = waiting.pop()
        if statement.word == "submit":
            return True
        waiting += (*statement.body, *statement.otherwise)
    return False
