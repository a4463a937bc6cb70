"""How far the devices that share a model stand from each other: within a link, or beyond it."""

from math import lcm

from msgspec import Struct
from msgspec.structs import replace

from tsdl.diagnostics import Label
from tsdl.evaluate import Evaluator, Instance
from tsdl.lower.clusters import Parallel, Standing, count_of, parallel_of


class Reach(Struct, frozen=True):
    """In how many domains the devices of a worker's stage stand, and ranks that share experts.

    A domain has so many devices, which reach each other by their link. Others they reach by the
    network, of which each device has so many ports.
    """

    size: int
    domains: int
    rank_domains: int
    network: Instance | None
    ports: float

    def between(self, stage: int, devices: int) -> "Reach":
        """Return that of a stage of so many devices and of the next: they share a domain or not."""
        first, next_ = stage * devices, (stage + 1) * devices
        return replace(self, domains=1 if first // self.size == next_ // self.size else 2)


def reach_of(evaluator: Evaluator, standing: Standing) -> Reach:
    """Return how far the devices of a worker stand apart; warn where nothing connects them."""
    worker = standing.worker
    link, parallel = evaluator.required(worker, "link"), parallel_of(evaluator, worker)
    together = parallel.devices * parallel.stages * parallel.ranks
    most = evaluator.optional(link, "most")
    size = together if most is None else int(most)
    network = standing.network
    if parallel.devices * parallel.ranks > 1:
        _see_to_latency(evaluator, link)
    if network is None:
        if together > size:
            _warn(evaluator, worker, link, together)
        return Reach(together, 1, 1, None, 1)
    domains = -(-parallel.devices // size)
    count = 1 if standing.alone else count_of(evaluator, worker)
    apart = _domains_of_ranks(parallel, count, size)
    return Reach(size, domains, apart, network, standing.ports / standing.devices)


def _domains_of_ranks(parallel: Parallel, count: int, size: int) -> int:
    """Return in how many domains the ranks stand that are spread most, with so many on a node."""
    ranks, near = parallel.ranks, max(size // parallel.devices, 1)  # ranks of a domain
    places = [(n // count, n % count // near) for n in range(lcm(count, ranks))]
    return max(len(set(places[n : n + ranks])) for n in range(0, len(places), ranks))


def _warn(evaluator: Evaluator, worker: Instance, link: Instance, devices: int) -> None:
    evaluator.sink.warning(
        "W0519",
        f"{devices} devices are more than the {evaluator.whole(link, 'most')} that `{link.name}` "
        "connects, and all that they send each other is reckoned by it",
        evaluator.span(worker, "parallel"),
        f"worker `{worker.members.name}`",
        secondary=(Label(evaluator.place_of(link), "this link"),),
        help=("say what connects the others in the cluster: `network = InfiniBand_NDR`",),
    )


def _see_to_latency(evaluator: Evaluator, link: Instance) -> None:
    """Warn where a link's latency is written, and collectives over it take the default's."""
    said = link.members.fields.get("latency")
    collective = evaluator.inner(link, "collective")
    if said is None or said.owner.module.library or "latency" in collective.members.fields:
        return
    takes = evaluator.real(collective, "latency") * 1e6
    evaluator.sink.warning(
        "W0524",
        f"what devices of a worker tell each other over `{link.name}` takes {takes:g} us at the "
        "least, whatever its `latency`",
        said.value.span,
        "counts for transfers alone",
        help=("say what an all-reduce takes: `collective { latency = 5 us }`",),
    )
