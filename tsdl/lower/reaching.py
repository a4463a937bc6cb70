"""Collectives that cannot go by the link they are reckoned with: it is warned of."""

from tsdl.diagnostics import Label
from tsdl.evaluate import Evaluator, Instance
from tsdl.lower.clusters import Standing
from tsdl.lower.operators import Device


def report_reach(evaluator: Evaluator, standing: Standing, count: int, device: Device) -> None:
    """Warn where a worker has more devices than its link connects, or ranks stand on several nodes.

    `count` is how many workers the block is, on each node that it stands on.
    """
    link, parallel, network = device.link, device.parallel, standing.network
    apart = bool(standing.alone or count % parallel.ranks)
    if parallel.ranks > 1 and apart and network is not None:
        if evaluator.real(link, "bandwidth") <= evaluator.real(network, "bandwidth"):
            return  # nothing is slower on the way than what it is reckoned by
        _warn(
            evaluator,
            standing,
            link,
            f"{parallel.ranks} ranks stand on several nodes",
            f"`link = {network.name}` reckons all that they exchange by the network, and "
            "what devices of a worker exchange as well",
        )
        return
    devices = parallel.devices * parallel.ranks
    most = evaluator.optional(link, "most")
    if most is not None and devices > most:
        _warn(
            evaluator,
            standing,
            link,
            f"{devices} devices are more than the {most:g} that `{link.name}` connects",
            "take fewer, or a link that goes between servers: `link = InfiniBand_NDR`",
        )


def _warn(evaluator: Evaluator, standing: Standing, link: Instance, why: str, remedy: str) -> None:
    worker = standing.worker
    evaluator.sink.warning(
        "W0519",
        f"{why}, and their collectives are reckoned by `{link.name}`",
        evaluator.span(worker, "parallel"),
        f"worker `{worker.members.name}`",
        secondary=(Label(evaluator.place_of(link), "this link"),),
        help=(remedy,),
    )
