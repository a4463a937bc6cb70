"""Operators to kernels: a graph on a device, sharded, as times over the batch's features."""

from typing import Any

from msgspec import Struct

from tsdl import ast
from tsdl.diagnostics import Label
from tsdl.evaluate import Evaluator, Instance
from tsdl.evaluate.values import Binding, Place
from tsdl.formula import Value, make, symbol
from tsdl.lower.clusters import Parallel, parallel_of
from tsdl.lower.collectives import Group, exchanged, norm
from tsdl.lower.negatives import check_negative, iterations
from tsdl.lower.reaching import Reach
from tsdl.lower.sharding import divide, sizes_of
from tsdl.lower.tables import Tables
from tsdl.plan import WORK, Efficiency, Kernel, Peak, Roof, Stage
from tsdl.program import DeclarationName, Part
from tsdl.schema import BATCH_FEATURES


class Device(Struct):
    """What kernels run on: a device's peaks, and the link to its peers."""

    evaluator: Evaluator
    hardware: Instance
    link: Instance
    formats: dict[str, Instance]  # of the model: `dtype`, `weight_dtype` and so on
    parallel: Parallel
    reach: Reach
    efficiencies: dict[tuple[str, bool], Efficiency]  # by class, and whether weights are widened
    peaks: dict[str, Peak]  # by the formats that were asked for
    bandwidth: float
    extra: dict[str, float]  # seconds that kernels of a class take under the engine, besides
    context: int  # the longest of the model
    decode_tokens: int = 1  # of a request that decodes, in an iteration

    @property
    def devices(self) -> int:
        """Return how many devices of the worker share each operator."""
        return self.parallel.devices

    @property
    def compute(self) -> float:
        """Return the peak for the model's own number format."""
        return self.peak(self.formats["dtype"]).compute

    def peak(self, dtype: Instance) -> Peak:
        """Return the peak for a number format, or for the first of its fallbacks that has one."""
        known = self.peaks.get(dtype.name)
        if known is None:
            known = self.peaks[dtype.name] = _peak(self.evaluator, self.hardware, dtype)
        return known

    def efficiency(self, work_class: str, *, widened: bool) -> Efficiency:
        """Return what a class reaches of the peaks; an unknown one counts as pointwise."""
        known = self.efficiencies.get((work_class, widened))
        if known:
            return known
        evaluator, inner = self.evaluator, self._reached(work_class)

        def share(name: str) -> float:
            of_those = evaluator.real(inner, f"widened_{name}") if widened else 1.0
            return evaluator.real(inner, name) * of_those

        found = Efficiency(
            work_class,
            share("compute"),
            share("bandwidth"),
            evaluator.real(inner, "overhead"),
            evaluator.optional(inner, "sharpness"),
            widened,
        )
        self.efficiencies[work_class, widened] = found
        return found

    def launches(self, work_class: str) -> bool:
        """Tell whether kernels of a class are launched on their own: that takes them some time."""
        return self.evaluator.real(self._reached(work_class), "overhead") > 0

    def _reached(self, work_class: str) -> Instance:
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
        return inner


_FAR_FEWER = 3 / 4
FORMATS = ("dtype", "weight_dtype", "expert_dtype", "compute_dtype", "kv_dtype")


def device_of(
    evaluator: Evaluator,
    worker: Instance,
    model: Instance,
    reach: Reach,
    policy: Instance,
    decode_tokens: int,
) -> Device:
    """Return the device of a worker for the number formats of a model. Raises Failed."""
    hardware, link = evaluator.required(worker, "hardware"), evaluator.required(worker, "link")
    formats = {name: evaluator.required(model, name) for name in FORMATS}
    bandwidth = evaluator.real(evaluator.inner(hardware, "memory"), "bandwidth")
    parallel = parallel_of(evaluator, worker)
    block = evaluator.inner(evaluator.inner(policy, "local"), "extra")
    extra = {name: evaluator.real(block, name) for name in block.members.fields}
    context = evaluator.whole(model, "context")
    return Device(
        evaluator, hardware, link, formats, parallel, reach, {}, {}, bandwidth, extra, context,
        decode_tokens,
    )  # fmt: skip


def _peak(evaluator: Evaluator, hardware: Instance, dtype: Instance) -> Peak:
    found = with_peak(evaluator, hardware, dtype).name
    shares = evaluator.inner(hardware, "attained")
    share = evaluator.real(shares, found) if found in shares.members.fields else 1.0
    return Peak(found, evaluator.real(evaluator.inner(hardware, "compute"), found), share)


def with_peak(evaluator: Evaluator, hardware: Instance, dtype: Instance) -> Instance:
    """Return a number format, or the first of its fallbacks that has a peak. Raises Failed."""
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
    return wanted


class Kept(Struct):
    """What one repeat of a stage keeps on a device."""

    weight_bytes: float = 0
    kv_elements: float = 0


class Graph(Struct):
    """A model's graph on a device: its stages, and the bytes that it keeps there."""

    stages: list[Stage]
    parameters: int  # of the whole model
    weight_bytes: float  # on one device
    kv_elements: float
    windowed_kv_elements: float  # of them, those of operators that look back a window only
    kept: list[Kept]  # of each stage
    names: list[str]  # of its operators
    shares_experts: bool = False  # whether any of them is divided among devices or ranks
    drafter: str = ""  # the model that drafts for it, if one does,
    drafter_bytes: float = 0  # and its part of the weights on one device
    reach: float = 0  # the longest of those that look back a window only; 0 without one

    def add(self, name: str, repeat: int, kernels: list[Kernel]) -> None:
        """Add a stage; what it keeps was noted before."""
        self.stages.append(Stage(name, repeat, tuple(kernels)))
        self.kept.append(Kept())


def graph_of(evaluator: Evaluator, model: Instance, device: Device, tables: Tables) -> Graph:
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
    _check_sizes(evaluator, model)
    place = Place(parts[0].owner, model)
    graph = Graph([], 0, 0, 0, 0, [Kept()], [])
    run: list[Kernel] = []
    for item in clause.body.items:
        if isinstance(item, ast.GraphNode):
            run += _node(item, place, device, graph, 1, tables)
            continue
        assert isinstance(item, ast.Clause)
        assert item.body is not None
        if run:
            graph.add("", 1, run)
            run = []
        repeat = _repeat(evaluator, item.count, place)
        kernels: list[Kernel] = []
        for inner in item.body.items:
            assert isinstance(inner, ast.GraphNode)
            kernels += _node(inner, place, device, graph, repeat, tables)
        assert isinstance(item.head, ast.Name)
        graph.add(item.head.id, repeat, kernels)
    if run:
        graph.add("", 1, run)
    if not graph.stages:
        raise evaluator.fail("E0413", f"the graph of `{model.name}` has no operators", clause.span)
    return graph


def looks_back(evaluator: Evaluator, model: Instance) -> bool:
    """Tell whether the graph has an operator that looks back a window only."""
    clause = model.members.clauses("graph")[0].item
    assert isinstance(clause, ast.Clause)
    assert clause.body is not None
    waiting, found = list(clause.body.items), False
    while waiting and not found:
        item = waiting.pop()
        if isinstance(item, ast.GraphNode):
            call = item.operator
            function = call.function if isinstance(call, ast.Call) else call
            meaning = evaluator.program.meanings[function]
            assert isinstance(meaning, DeclarationName)
            members = meaning.declaration.members
            found = members is not None and "reach" in members.fields
        elif isinstance(item, ast.Clause) and item.body:
            waiting += item.body.items
    return found


def _check_sizes(evaluator: Evaluator, model: Instance) -> None:
    """See that heads and experts of a model go together. Raises Failed."""
    heads, kv_heads = evaluator.whole(model, "heads"), evaluator.whole(model, "kv_heads")
    if heads % kv_heads:
        raise evaluator.fail(
            "E0503",
            f"`kv_heads` must divide `heads`, and {kv_heads} does not divide {heads}",
            evaluator.span(model, "kv_heads"),
            secondary=(Label(evaluator.span(model, "heads"), "heads are set here"),),
        )
    layers = evaluator.whole(model, "layers")
    for key in ("dense_layers", "windowed_layers"):
        if evaluator.whole(model, key) > layers:
            raise evaluator.fail(
                "E0503",
                f"`{key}` must be at most `layers`, which is {layers}",
                evaluator.span(model, key),
            )
    for some, all_, what in (
        ("active_experts", "experts", "experts"),
        ("active_groups", "expert_groups", "groups of experts"),
    ):
        few, many = evaluator.optional(model, some), evaluator.optional(model, all_)
        if few is not None and many is not None and few > many:
            raise evaluator.fail(
                "E0503",
                f"a token cannot go to {few:g} of {many:g} {what}",
                evaluator.span(model, some),
                secondary=(Label(evaluator.span(model, all_), f"`{all_}` are set here"),),
            )


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
    item: ast.GraphNode,
    place: Place,
    device: Device,
    graph: Graph,
    repeat: int,
    tables: Tables,
) -> list[Kernel]:
    evaluator = device.evaluator
    graph.names.append(item.name)
    call = item.operator
    function, arguments = (
        (call.function, call.arguments) if isinstance(call, ast.Call) else (call, ())
    )
    meaning = evaluator.program.meanings[function]
    assert isinstance(meaning, DeclarationName)
    operator = evaluator.derived(meaning.declaration, arguments, place)
    operator.symbols = _symbols(device)
    rows = evaluator.known(operator, "rows")
    width = _last_size(evaluator, operator)
    stored = bool(evaluator.get(operator, "stored"))
    if stored:
        graph.parameters += repeat * evaluator.whole(operator, "weights")
    shard = divide(evaluator, operator, item, device.parallel)
    ways = evaluator.get(operator, "shards")
    graph.shares_experts |= isinstance(ways, list) and "expert" in ways and shard != "none"
    operator.symbols["tokens"] = rows
    evaluator.forget(operator)  # sizes and rows are others now
    kernels = tables.of_operator(item.name, _kernels(evaluator, operator, item.name, device), rows)
    if stored:
        size = evaluator.real(evaluator.required(operator, "stored_in"), "size")
        graph.weight_bytes += repeat * evaluator.whole(operator, "weights") * size
        graph.kept[-1].weight_bytes += evaluator.whole(operator, "weights") * size
    kv = repeat * evaluator.whole(operator, "kv")
    graph.kv_elements += kv
    graph.kept[-1].kv_elements += evaluator.whole(operator, "kv")
    reach = evaluator.optional(operator, "reach")
    if reach is not None:
        graph.windowed_kv_elements += kv
        graph.reach = max(graph.reach, reach)
    if shard == "row" and device.devices > 1:
        name = f"{item.name}.all_reduce"
        added = library_kernels(evaluator, ("AllReduce", name), width, rows, device)
        kernels += tables.of_operator(added[0].name, added, rows)
    return kernels


def _symbols(device: Device) -> dict[str, Any]:
    """Return what an operator's formulas may read besides its own parameters."""
    features = {name: symbol(name) for name in BATCH_FEATURES}
    known: dict[str, Any] = {"devices": device.devices, "ranks": device.parallel.ranks}
    known |= {"domains": device.reach.domains, "rank_domains": device.reach.rank_domains}
    known |= {"all_to_all": device.parallel.all_to_all, "decode_tokens": device.decode_tokens}
    known["hardware"] = device.hardware
    return {**features, **known, **device.formats}


def _last_size(evaluator: Evaluator, operator: Instance) -> float:
    sizes = sizes_of(operator.declaration)
    if not sizes:
        return 0
    bound = operator.bindings[id(operator.declaration)][sizes[-1]]
    return evaluator.number(bound.expression, bound.place)


def library_kernels(
    evaluator: Evaluator, named: tuple[str, str], width: float, rows: Value, device: Device
) -> list[Kernel]:
    """Return the kernels of an operator of the library that no graph names.

    `named` are its name and that of its kernels; `width` is its parameter.
    """
    declaration = evaluator.program.prelude[named[0]]
    instance = evaluator.instance(declaration)
    fresh = Instance(declaration, instance.members, None, {})
    number = ast.Number(int(width), None, declaration.span)
    bound = Binding(number, Place(declaration, fresh))
    fresh.bindings[id(declaration)] = {declaration.parameters[0].name: bound}
    fresh.symbols = {**_symbols(device), "tokens": rows}
    return _kernels(evaluator, fresh, named[1], device)


def _kernels(evaluator: Evaluator, operator: Instance, name: str, device: Device) -> list[Kernel]:
    format_ = evaluator.required(operator, "computed_in")
    widened = _widens(evaluator, operator, device, format_)
    parts = operator.members.named("part")
    if not parts:
        return [_kernel(evaluator, operator, name, device, format_, widened=widened)]
    found = []
    for part in parts:
        block = evaluator.inner(operator, "part", part.name)
        named = f"{name}.{part.name}"
        found.append(_kernel(evaluator, block, named, device, format_, widened=widened))
    return found


def _widens(evaluator: Evaluator, operator: Instance, device: Device, format_: Instance) -> bool:
    """Tell whether weights are stored in far fewer bytes than those with which a device computes.

    Formats of as many bits differ by their scales alone.
    """
    if not evaluator.whole(operator, "weights"):
        return False
    stored = evaluator.required(operator, "stored_in")
    computed = with_peak(evaluator, device.hardware, format_)
    return evaluator.real(stored, "size") < _FAR_FEWER * evaluator.real(computed, "size")


def _kernel(
    evaluator: Evaluator,
    work: Instance,
    name: str,
    device: Device,
    format_: Instance,
    *,
    widened: bool,
) -> Kernel:
    work_class = evaluator.word(work, "class")
    done = {key: evaluator.known(work, key) for key in WORK}
    flops, moved, wire, remote = done.values()
    when = evaluator.known(work, "when")
    looked_at = iterations(device.decode_tokens, device.context)
    check_negative(evaluator, work, name, done, when, looked_at)
    reached, most = device.efficiency(work_class, widened=widened), device.peak(format_)
    compute = most.compute * most.attained * reached.compute
    bandwidth = device.bandwidth * reached.bandwidth
    launch = reached.overhead + device.extra.get(work_class, 0)
    time = norm(make("/", flops, compute), make("/", moved, bandwidth), reached.sharpness)
    group = Group(device.parallel, device.reach, work_class)
    sent = exchanged(evaluator, device.link, group, wire, remote)
    if sent != 0:
        time = make("+", time, sent)
    time = make("+", time, launch)
    if all(each == 0 for each in done.values()):
        time = 0
    roof = Roof(float(compute), float(bandwidth), float(launch), reached.sharpness)
    time = make("if", when, time, 0)
    return Kernel(name, work_class, flops, moved, wire, remote, time, roof=roof)
