"""Layers over the stages of a pipeline: what each stage computes, sends on and keeps."""

from collections import Counter
from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from tsdl.diagnostics import Label
from tsdl.evaluate import Evaluator, Instance
from tsdl.formula import Value, make, symbol
from tsdl.lower.devices import Device
from tsdl.lower.launching import Launching, launched
from tsdl.lower.operators import Graph, library_kernels
from tsdl.lower.saying import derives
from tsdl.plan import Breakpoint, Cost, Stage, Workers


class Share(Struct, frozen=True):
    """What a device of one stage of devices keeps, and which stages of the graph it computes.

    `held` is its part of what requests keep: of their KV, or of their states where that is more.
    `layers` are those that keep either.
    """

    stages: tuple[Stage, ...]
    weight_bytes: float
    held: float
    layers: Value


def shares(evaluator: Evaluator, worker: Instance, graph: Graph, stages: int) -> list[Share]:
    """Divide a graph over stages of devices, layer by layer. Raises Failed if there are too few.

    What comes before the layers is on the first, what comes behind them on the last. Layers that
    keep KV and states of another size than others alternate with these; the graph has them first.
    """
    if stages == 1:
        return [Share(tuple(graph.stages), graph.weight_bytes, 1.0, graph.layers())]
    layers = sum(stage.repeat for stage in graph.stages if stage.name)
    if layers < stages:
        raise evaluator.fail(
            "E0514",
            f"{layers} layers cannot be divided over {stages} stages",
            evaluator.span(worker, "parallel"),
            help=(f"take at most {layers} stages" if layers > 1 else "leave `stages` out",),
        )
    order = _alternating(graph)
    found: list[Counter[int]] = []
    for count in _layers(layers, stages):
        found.append(Counter(order[:count]))
        order = order[count:]
    named = [number for number, stage in enumerate(graph.stages) if stage.name]
    for number, stage in enumerate(graph.stages):
        if not stage.name:
            found[0 if number < named[0] else -1][number] = stage.repeat
    return [_share(graph, sorted(parts.items())) for parts in found]


def _alternating(graph: Graph) -> list[int]:
    """Return the numbers of the stages of the graph that layers are of, one layer after another."""
    kinds: dict[tuple[float, float, float], list[int]] = {}
    for number, (stage, kept) in enumerate(zip(graph.stages, graph.kept, strict=False)):
        if stage.name:  # of those that keep as much, the graph has the order
            kind = (kept.kv_elements, kept.state_bytes, kept.windowed_kv_elements)
            kinds.setdefault(kind, []).extend([number] * stage.repeat)
    placed = (
        ((2 * place + 1) / len(layers), number)
        for layers in kinds.values()
        for place, number in enumerate(layers)
    )
    return [number for _, number in sorted(placed, key=lambda one: one[0])]


def _layers(layers: int, stages: int) -> list[int]:
    """Return how many layers each stage has; of those left over the last but one has the first.

    As vLLM's get_pp_indices does (vllm/distributed/utils.py): the last has lm_head besides.
    """
    each, over = divmod(layers, stages)
    last = stages - 1
    return [each + (last - over <= number < last) for number in range(stages)]


def _share(graph: Graph, parts: list[tuple[int, int]]) -> Share:
    kept = [(graph.kept[number], repeat) for number, repeat in parts]
    kv, states = (
        (sum(repeat * one.kv_elements for one, repeat in kept), graph.kv_elements),
        (sum(repeat * one.state_bytes for one, repeat in kept), graph.state_bytes),
    )
    return Share(
        tuple(replace(graph.stages[number], repeat=repeat) for number, repeat in parts),
        sum(repeat * one.weight_bytes for one, repeat in kept),
        max((here / whole for here, whole in (kv, states) if whole), default=1.0),
        graph.layers(parts),
    )


def pipeline_of(
    evaluator: Evaluator,
    model: Instance,
    device: Device,
    whole: Cost,
    launching: Launching,
    parts: list[Share],
) -> tuple[Cost, ...]:
    """Return the cost of each stage, with the overhead on the first; empty where there is one.

    Each launches its own kernels. All but the last send what they computed on. A closed cost is
    shared alike.
    """
    if len(parts) == 1:
        return ()
    found: list[Cost] = []
    width = evaluator.whole(model, "hidden")
    for number, share in enumerate(parts):
        stages = share.stages if whole.source == "operators" else _alike(whole, len(parts))
        sent: tuple[Stage, ...] = ()
        if number < len(parts) - 1:
            here = replace(device, reach=device.reach.between(number, device.devices))
            send = library_kernels(evaluator, ("Send", "send"), width, symbol("tokens"), here)
            sent = (Stage("", 1, tuple(send)),)
        cost = Cost(whole.source, (*stages, *sent), 0, whole.tables)
        first = not number
        found.append(launched(cost, device, launching, share.stages, share.layers, first=first))
    return tuple(found)


def _alike(whole: Cost, stages: int) -> tuple[Stage, ...]:
    (stage,) = whole.stages
    shared = tuple(replace(k, time=make("/", k.time, stages)) for k in stage.kernels)
    return (replace(stage, kernels=shared),)


def check_pipeline(
    evaluator: Evaluator,
    worker: Instance,
    policy: Instance,
    workers: Workers,
    breakpoints: tuple[Breakpoint, ...],
) -> None:
    """See that a worker of several stages does nothing that one with one alone can. Raises Failed.

    Iterations that overlap have no one boundary at which it could wait, or be ahead of itself.
    """
    if not workers.pipeline:
        return
    for what, holder, key in _refused(evaluator, worker, policy, workers, breakpoints):
        place = evaluator.span(holder, key) if key else None
        raise evaluator.fail(
            "E0527",
            f"a pipeline of {len(workers.pipeline)} stages does not go with {what}",
            evaluator.span(worker, "parallel"),
            f"worker `{worker.members.name}`",
            secondary=(Label(place, "set here"),) if place else (),
            help=(_in_turn(evaluator, policy) if key == "scheduling" else "leave one of both out",),
        )


def _in_turn(evaluator: Evaluator, policy: Instance) -> str:
    """Return what to take in place of a policy that is ahead of its results, or what to write."""
    own, name = policy.declaration, policy.declaration.name
    for other in evaluator.program.prelude.values():
        local = other.members.blocks.get(("local", "")) if other.members else None
        said = local.said("scheduling") if local and derives(other, own) else None
        if said is not None and said.value.span.text == "synchronous":
            return f"take the library's `{other.name}`, which is not scheduled ahead"
    if own.module.library:
        written = f"policy own from {name} {{ local {{ scheduling = synchronous }} }}"
        return f"declare one without it, `{written}`, and take that"
    return f"write `local {{ scheduling = synchronous }}` in `{name}`"


def _refused(
    evaluator: Evaluator,
    worker: Instance,
    policy: Instance,
    workers: Workers,
    breakpoints: tuple[Breakpoint, ...],
) -> Iterator[tuple[str, Instance, str]]:
    """Yield what does not go with a pipeline, and the field that says it, if there is one."""
    if workers.local.asynchronous:
        yield "`scheduling = asynchronous`", evaluator.inner(policy, "local"), "scheduling"
    if workers.local.speculation is not None:
        yield (
            "`speculate`",
            evaluator.inner(evaluator.inner(policy, "local"), "speculate"),
            "tokens",
        )
    if workers.handoff == "sequential":
        yield "`handoff = sequential`", worker, "handoff"
    if workers.swap:
        yield "victims in other memory than the host's", worker, "swap"
    if workers.ranks > 1:
        yield "ranks in lock-step", worker, ""
    if breakpoints:
        yield f"the breakpoint `{breakpoints[0].event}`", worker, ""
