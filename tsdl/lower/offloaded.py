"""What a graph leaves to the offloads of a worker: their memory, and whether it fits."""

from collections.abc import Sequence

from tsdl.diagnostics import Label
from tsdl.diagnostics.suggest import nearest
from tsdl.evaluate import Evaluator, Instance
from tsdl.lower.clusters import channel
from tsdl.lower.devices import Device, Offload
from tsdl.lower.operators import Graph
from tsdl.plan import Offload as Offloaded
from tsdl.plan import Stage
from tsdl.source import Span


def offloaded(
    evaluator: Evaluator, worker: Instance, device: Device, graph: Graph
) -> tuple[Offloaded, ...]:
    """Return the offloads of a worker as the plan has them."""
    return tuple(
        Offloaded(
            name=offload.name,
            hardware=offload.device.hardware.name,
            count=offload.count,
            link=channel(evaluator, offload.link, 1),
            memory=int(_capacity(offload)),
            weights=int(_weights(offload, graph)),
            keeps_kv=offload.name in graph.homes,
            peak_bandwidth=evaluator.real(
                evaluator.inner(offload.device.hardware, "memory"), "bandwidth"
            ),
            peaks=tuple(dict.fromkeys(offload.device.peaks.values())),
            efficiencies=tuple(offload.device.efficiencies.values()),
        )
        for offload in device.offloads
    )


def room_of(evaluator: Evaluator, worker: Instance, device: Device, graph: Graph) -> float | None:
    """Return the bytes that an offload which keeps the KV has beside weights, if one does."""
    offload = next((o for o in device.offloads if o.name in graph.homes), None)
    if offload is None:
        return None
    usable = _capacity(offload) * evaluator.real(evaluator.required(worker, "kv"), "utilization")
    return usable - _weights(offload, graph)


def check_offloads(
    evaluator: Evaluator,
    worker: Instance,
    model: Instance,
    device: Device,
    graph: Graph,
    stages: Sequence[Stage],
) -> None:
    """See that all of the KV is in one place, and weights fit theirs; warn of idle offloads.

    `stages` are those of the graph, and of its drafter. Raises Failed.
    """
    kernels = [kernel for stage in stages for kernel in stage.kernels]
    _check_names(evaluator, worker, device, {kernel.work_class for kernel in kernels})
    if len(graph.homes) > 1:
        (one, first), (other, second) = list(graph.homes.items())[:2]
        drafted = f", with its drafter `{graph.drafter}`" if graph.drafter else ""
        where = [f"with `{name}`" if name else "on the worker's own" for name in (one, other)]
        raise evaluator.fail(
            "E0531",
            f"KV and states of a worker are in one place: those of `{first}` would be {where[0]}, "
            f"those of `{second}` {where[1]}",
            _place(evaluator, worker, one or other, "operators"),
            secondary=(Label(evaluator.place_of(model), f"this model{drafted}"),),
            help=(f"let one offload compute both: `operators = [{first}, {second}]`",),
        )
    utilization = evaluator.real(evaluator.required(worker, "kv"), "utilization")
    for offload in device.offloads:
        if not any(kernel.on == offload.name for kernel in kernels):
            _warn_of_idle(evaluator, worker, model, offload, graph)
        else:
            _warn_of_left(evaluator, worker, model, offload, graph)
        usable, weights = _capacity(offload) * utilization, _weights(offload, graph)
        keeps = offload.name in graph.homes
        if weights < usable or (weights == usable and not keeps):
            continue
        many = f"{offload.count} × " if offload.count > 1 else ""
        left = ", and nothing is left for KV" if keeps else ""
        raise evaluator.fail(
            "E0511",
            f"what `{offload.name}` computes of `{model.name}` does not fit "
            f"{many}`{offload.device.hardware.name}`",
            _place(evaluator, worker, offload.name, "hardware"),
            f"worker `{worker.members.name}`",
            secondary=(Label(evaluator.place_of(model), "this model"),),
            notes=(
                f"weights take {weights / 1e9:.1f} GB of {usable / 1e9:.1f} GB that may be "
                f"used{left}",
            ),
            help=("take more devices, or ones with more memory",),
        )


def _check_names(evaluator: Evaluator, worker: Instance, device: Device, classes: set[str]) -> None:
    """See that no offload is called as a class of operators. Raises Failed."""
    for offload in device.offloads:
        if offload.name in classes:
            raise evaluator.fail(
                "E0531",
                f"`{offload.name}` is a class of operators, and `hides` would mean both",
                evaluator.place_of(evaluator.inner(worker, "offload", offload.name)),
                help=("give the offload another name",),
            )


def _warn_of_idle(
    evaluator: Evaluator, worker: Instance, model: Instance, offload: Offload, graph: Graph
) -> None:
    """Warn of an offload that computes nothing."""
    named = " or ".join(f"`{kind.name}`" for kind in offload.kinds) or "in `operators`"
    part = "" if offload.runs == "both" else f" with a part `{offload.runs}`"
    near = nearest(offload.kinds[0].name, sorted(graph.kinds)) if offload.kinds else None
    known = ", ".join(sorted(graph.kinds))
    evaluator.sink.warning(
        "W0526",
        f"`{offload.name}` computes nothing: no operator of `{model.name}` is {named}{part}",
        _place(evaluator, worker, offload.name, "operators"),
        f"worker `{worker.members.name}`",
        secondary=(Label(evaluator.place_of(model), "this model"),),
        help=(f"did you mean `{near}`?" if near else f"it has {known}",),
    )


def _warn_of_left(
    evaluator: Evaluator, worker: Instance, model: Instance, offload: Offload, graph: Graph
) -> None:
    """Warn of kinds that the model has, and of which nothing goes to an offload that names them."""
    for kind in offload.kinds:
        named = [each for each in graph.kinds.values() if offload.takes_over(each, kind)]
        if not named or any(offload.computes(each) for each in named):
            continue
        evaluator.sink.warning(
            "W0526",
            f"`{offload.name}` computes nothing of `{kind.name}`: no such operator of "
            f"`{model.name}` has a part `{offload.runs}`",
            _place(evaluator, worker, offload.name, "operators"),
            f"worker `{worker.members.name}`",
            secondary=(Label(_place(evaluator, worker, offload.name, "runs"), "only that part"),),
            help=(f"leave `{kind.name}` out, or `runs`: then all of its operators go there",),
        )


def _capacity(offload: Offload) -> float:
    evaluator = offload.device.evaluator
    memory = evaluator.inner(offload.device.hardware, "memory")
    return evaluator.real(memory, "capacity") * offload.count


def _weights(offload: Offload, graph: Graph) -> float:
    return graph.away.get(offload.name, 0) * offload.device.devices


def _place(evaluator: Evaluator, worker: Instance, name: str, key: str) -> Span:
    return evaluator.span(evaluator.inner(worker, "offload", name), key)
