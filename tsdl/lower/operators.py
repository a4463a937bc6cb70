"""Operators to kernels: a graph on a device, sharded, as times over the batch's features."""

from dataclasses import dataclass
from typing import Any

from tsdl import ast
from tsdl.diagnostics import Label
from tsdl.evaluate import Evaluator, Instance
from tsdl.evaluate.values import Binding, Place
from tsdl.formula import Value, make, symbol
from tsdl.plan import Efficiency, Kernel, Stage
from tsdl.program import DeclarationName, Part
from tsdl.schema import BATCH_FEATURES


@dataclass(slots=True)
class Device:
    """What kernels run on: a device's peaks, and the link to its peers."""

    evaluator: Evaluator
    hardware: Instance
    link: Instance
    dtype: Instance
    kv_dtype: Instance
    devices: int
    efficiencies: dict[str, Efficiency]
    compute: float
    bandwidth: float

    def efficiency(self, work_class: str) -> Efficiency:
        """Return what a class reaches of the peaks; an unknown one counts as pointwise."""
        known = self.efficiencies.get(work_class)
        if known:
            return known
        block = self.evaluator.block(self.hardware, "efficiency")
        assert block is not None
        chosen = work_class
        if (chosen, "") not in block.members.blocks and chosen not in ("gemm", "attention"):
            chosen = "pointwise"
        inner = self.evaluator.block(block, chosen)
        if inner is None:  # nothing was written: the schema's defaults
            shape = block.members.shape.open_block
            assert shape is not None
            inner = Instance(block.declaration, type(block.members)(shape), block, block.bindings)
        evaluator = self.evaluator
        found = Efficiency(
            work_class,
            evaluator.real(inner, "compute"),
            evaluator.real(inner, "bandwidth"),
            evaluator.real(inner, "overhead"),
            evaluator.optional(inner, "sharpness"),
        )
        self.efficiencies[work_class] = found
        return found


def device_of(evaluator: Evaluator, worker: Instance, model: Instance, devices: int) -> Device:
    """Return the device of a worker, at the peak that it has for the model's number format."""
    hardware, link = evaluator.required(worker, "hardware"), evaluator.required(worker, "link")
    dtype, kv_dtype = evaluator.required(model, "dtype"), evaluator.required(model, "kv_dtype")
    memory = evaluator.inner(hardware, "memory")
    bandwidth = evaluator.real(memory, "bandwidth")
    peaks = evaluator.inner(hardware, "compute")
    wanted: Instance | None = dtype
    seen: list[str] = []
    while wanted is not None and wanted.name not in peaks.members.fields:
        if wanted.name in seen:
            raise evaluator.fail(
                "E0501",
                f"the fallback of dtype `{wanted.name}` is itself",
                evaluator.span(wanted, "fallback"),
                notes=(" → ".join([*seen, wanted.name]),),
            )
        seen.append(wanted.name)
        wanted = evaluator.reference(wanted, "fallback")
    if wanted is None:
        known = ", ".join(peaks.members.fields) or "none"
        raise evaluator.fail(
            "E0510",
            f"`{hardware.name}` gives no peak for {dtype.name}",
            evaluator.place_of(hardware),
            help=(f"write `compute {{ {dtype.name} = … TFLOPS }}`; it has {known}",),
        )
    compute = evaluator.real(peaks, wanted.name)
    return Device(evaluator, hardware, link, dtype, kv_dtype, devices, {}, compute, bandwidth)


@dataclass(slots=True)
class Graph:
    """A model's graph on a device: its stages, and the bytes that it keeps there."""

    stages: list[Stage]
    parameters: int  # of the whole model
    weight_elements: int  # on one device
    kv_elements: int


def graph_of(evaluator: Evaluator, model: Instance, device: Device) -> Graph:
    """Return the kernels of a model's graph, with sharding and collectives put in."""
    parts: list[Part] = model.members.clauses("graph")
    if not parts:
        raise evaluator.fail(
            "E0404",
            f"model `{model.name}` has no graph",
            evaluator.place_of(model),
            help=("derive it from one that has: `model own from llama { … }`",),
        )
    clause = parts[0].item
    assert isinstance(clause, ast.Clause)
    assert clause.body is not None
    heads, kv_heads = evaluator.whole(model, "heads"), evaluator.whole(model, "kv_heads")
    if heads % kv_heads:
        raise evaluator.fail(
            "E0503",
            f"`kv_heads` must divide `heads`, and {kv_heads} does not divide {heads}",
            evaluator.span(model, "kv_heads"),
            secondary=(Label(evaluator.span(model, "heads"), "heads are set here"),),
        )
    place = Place(parts[0].owner, model)
    graph = Graph([], 0, 0, 0)
    run: list[Kernel] = []
    for item in clause.body.items:
        if isinstance(item, ast.GraphNode):
            run += _node(evaluator, item, place, device, graph, 1)
            continue
        assert isinstance(item, ast.Clause)
        assert item.body is not None
        if run:
            graph.stages.append(Stage("", 1, tuple(run)))
            run = []
        repeat = _repeat(evaluator, item.count, place)
        kernels: list[Kernel] = []
        for inner in item.body.items:
            assert isinstance(inner, ast.GraphNode)
            kernels += _node(evaluator, inner, place, device, graph, repeat)
        assert isinstance(item.head, ast.Name)
        graph.stages.append(Stage(item.head.id, repeat, tuple(kernels)))
    if run:
        graph.stages.append(Stage("", 1, tuple(run)))
    if not graph.stages:
        raise evaluator.fail("E0413", f"the graph of `{model.name}` has no operators", clause.span)
    return graph


def _repeat(evaluator: Evaluator, count: ast.Expr | None, place: Place) -> int:
    if count is None:
        return 1
    value = evaluator.number(count, place)
    if value != int(value) or value < 0:
        raise evaluator.fail(
            "E0503",
            f"a block repeats a whole number of times, not {value:g}",
            evaluator.origin(count, place),
        )
    return int(value)


def _node(
    evaluator: Evaluator,
    item: ast.GraphNode,
    place: Place,
    device: Device,
    graph: Graph,
    repeat: int,
) -> list[Kernel]:
    call = item.operator
    function, arguments = (
        (call.function, call.arguments) if isinstance(call, ast.Call) else (call, ())
    )
    meaning = evaluator.program.meanings[function]
    assert isinstance(meaning, DeclarationName)
    operator = evaluator.derived(meaning.declaration, arguments, place)
    operator.symbols = _symbols(device)
    rows = evaluator.known(operator, "rows")
    width = _last_parameter(evaluator, operator)
    stored = bool(evaluator.get(operator, "stored"))
    if stored:
        graph.parameters += repeat * evaluator.whole(operator, "weights")
    shard = _shard(evaluator, operator, item, device.devices)
    operator.symbols["tokens"] = rows
    evaluator.forget(operator)  # sizes and rows are others now
    kernels = _kernels(evaluator, operator, item.name, device)
    if stored:
        graph.weight_elements += repeat * evaluator.whole(operator, "weights")
    graph.kv_elements += repeat * evaluator.whole(operator, "kv")
    if shard == "row" and device.devices > 1:
        kernels += _all_reduce(evaluator, item, width, rows, place, device)
    return kernels


def _symbols(device: Device) -> dict[str, Any]:
    """Return what an operator's formulas may read besides its own parameters."""
    features = {name: symbol(name) for name in BATCH_FEATURES}
    known = {"devices": device.devices, "dtype": device.dtype, "kv_dtype": device.kv_dtype}
    return {**features, **known}


def _last_parameter(evaluator: Evaluator, operator: Instance) -> float:
    parameters = operator.declaration.parameters
    if not parameters:
        return 0
    bound = operator.bindings[id(operator.declaration)][parameters[-1].name]
    return evaluator.number(bound.expression, bound.place)


def _shard(evaluator: Evaluator, operator: Instance, item: ast.GraphNode, devices: int) -> str:
    """Divide the operator's sizes over the devices; return how."""
    ways = evaluator.get(operator, "shards")
    chosen = evaluator.get(operator, "shard")
    assert isinstance(ways, list)
    if chosen is None:
        chosen = ways[0] if len(ways) == 1 else "none"
    assert isinstance(chosen, str)
    if chosen != "none" and chosen not in ways:
        raise evaluator.fail(
            "E0514",
            f"`{operator.name}` cannot be sharded by {chosen}",
            item.operator.span,
            secondary=(Label(operator.declaration.span, "declared here"),),
            help=(f"it can be by {', '.join(map(str, ways))}" if ways else "it cannot be sharded",),
        )
    if devices == 1 or chosen == "none":
        return chosen
    names = [p.name for p in operator.declaration.parameters]
    divided = {"column": names[-1:], "row": names[:1], "heads": ["heads", "kv_heads"]}[chosen]
    for name in divided:
        if name not in names:
            continue
        bound = operator.bindings[id(operator.declaration)][name]
        whole = evaluator.number(bound.expression, bound.place)
        # Fewer KV heads than devices: each device keeps a copy of one.
        copied = name == "kv_heads" and whole and devices % whole == 0
        share = 1 if copied else whole / devices
        if share != int(share):
            raise evaluator.fail(
                "E0514",
                f"{devices} devices do not divide `{name}` of `{item.name}`, which is {whole:g}",
                item.operator.span,
                help=("choose another parallel degree: `parallel = tp(…)`",),
            )
        number = ast.Number(int(share), None, bound.expression.span)
        operator.bindings[id(operator.declaration)][name] = Binding(number, bound.place)
    return chosen


def _all_reduce(
    evaluator: Evaluator,
    item: ast.GraphNode,
    width: float,
    rows: Value,
    place: Place,
    device: Device,
) -> list[Kernel]:
    declaration = evaluator.program.prelude["AllReduce"]
    instance = evaluator.instance(declaration)
    fresh = Instance(declaration, instance.members, None, {})
    number = ast.Number(int(width), None, item.span)
    fresh.bindings[id(declaration)] = {declaration.parameters[0].name: Binding(number, place)}
    fresh.symbols = {**_symbols(device), "tokens": rows}
    return _kernels(evaluator, fresh, f"{item.name}.all_reduce", device)


def _kernels(evaluator: Evaluator, operator: Instance, name: str, device: Device) -> list[Kernel]:
    parts = operator.members.named("part")
    if not parts:
        return [_kernel(evaluator, operator, name, device)]
    found = []
    for part in parts:
        block = evaluator.inner(operator, "part", part.name)
        found.append(_kernel(evaluator, block, f"{name}.{part.name}", device))
    return found


def _kernel(evaluator: Evaluator, work: Instance, name: str, device: Device) -> Kernel:
    work_class = evaluator.word(work, "class")
    keys = ("flops", "bytes", "wire", "when")
    flops, moved, wire, when = (evaluator.known(work, key) for key in keys)
    reached = device.efficiency(work_class)
    compute_time = make("/", flops, device.compute * reached.compute)
    memory_time = make("/", moved, device.bandwidth * reached.bandwidth)
    time = _norm(compute_time, memory_time, reached.sharpness)
    if wire != 0:
        time = make("+", time, _collective(evaluator, device, wire))
    time = make("+", time, reached.overhead)
    if flops == 0 and moved == 0 and wire == 0:
        time = 0
    return Kernel(name, work_class, flops, moved, wire, make("if", when, time, 0))


def _collective(evaluator: Evaluator, device: Device, wire: Value) -> Value:
    block = evaluator.inner(device.link, "collective")
    rate = evaluator.real(device.link, "bandwidth") * evaluator.real(block, "bandwidth")
    latency = evaluator.real(block, "latency")
    return _norm(latency, make("/", wire, rate), evaluator.real(block, "sharpness"))


def _norm(one: Value, other: Value, sharpness: float | None) -> Value:
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
