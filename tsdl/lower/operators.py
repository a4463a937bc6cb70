"""Operators to kernels: a graph on a device, sharded, as times over the batch's features."""

from collections.abc import Iterable
from typing import Any

from msgspec import Struct, field

from tsdl import ast
from tsdl.diagnostics import Label
from tsdl.evaluate import Evaluator, Instance
from tsdl.evaluate.values import Binding, Place
from tsdl.formula import Value, make, symbol
from tsdl.lower.collectives import Group, exchanged, norm
from tsdl.lower.devices import Device, Offload, Weights, with_peak
from tsdl.lower.negatives import check_negative, check_rows, is_feature, iterations
from tsdl.lower.offloading import Leg, crossing, joined, keeps_kv, kv_between, offload_of
from tsdl.lower.sharding import divide, sizes_of
from tsdl.lower.tables import Tables
from tsdl.plan import WORK, Kernel, Roof, Stage
from tsdl.program import Declaration, DeclarationName, Part
from tsdl.schema import BATCH_FEATURES

_FAR_FEWER = 3 / 4
_SOME_LAYERS = (
    "dense_layers", "windowed_layers", "recurrent_layers", "ffn_layers", "indexed_layers",
)  # fmt: skip
# What parts say in the place of their operator, with what it is where nothing is said.
_OF_PARTS = {**dict.fromkeys(WORK, 0), "class": "pointwise", "when": None}


class Kept(Struct):
    """What one repeat of a stage keeps on a device; `away` are weights that an offload has."""

    weight_bytes: float = 0
    kv_elements: float = 0
    state_bytes: float = 0  # of each request
    copied_bytes: float = 0  # of it, without those of tokens that are drafted
    windowed_kv_elements: float = 0  # of the KV, what looks back a window only
    kv_after: dict[str, float] = field(default_factory=dict)  # what there is of it, by operator
    away: dict[str, float] = field(default_factory=dict)


class Written(Struct, frozen=True):
    """A node of a graph: its operator, what `tokens` means there, and the kernels it becomes."""

    name: str
    operator: Instance
    rows: Value
    kernels: tuple[Kernel, ...]


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
    state_bytes: float = 0  # of each request on one device, whatever its context
    copied_bytes: float = 0  # of it, without those of tokens that are drafted
    reach: float = 0  # the longest of those that look back a window only; 0 without one
    away: dict[str, float] = field(default_factory=dict)  # bytes of weights that offloads keep
    homes: dict[str, str] = field(default_factory=dict)  # where KV is: a kind of operator of each
    kinds: dict[str, Declaration] = field(default_factory=dict)  # of operators
    written: list[Written] = field(default_factory=list)

    def keep(self, name: str, kept: Kept, repeat: int, offload: str) -> None:
        """Note what a node keeps: weights on the device, or where an offload has them."""
        here = self.kept[-1]
        for part in ("kv_elements", "state_bytes", "copied_bytes", "windowed_kv_elements"):
            own: float = getattr(kept, part)
            setattr(here, part, getattr(here, part) + own)
            setattr(self, part, getattr(self, part) + repeat * own)
        here.kv_after[name] = here.kv_elements
        if offload:
            here.away[offload] = here.away.get(offload, 0) + kept.weight_bytes
            self.away[offload] = self.away.get(offload, 0) + repeat * kept.weight_bytes
        else:
            here.weight_bytes += kept.weight_bytes
            self.weight_bytes += repeat * kept.weight_bytes

    def layers(self, parts: Iterable[tuple[int, int]] | None = None) -> Value:
        """Return how many layers keep KV or states, each of a batch divided in two twice.

        `parts` are the numbers of stages, with how often each repeats; all of them where None.
        """
        if parts is None:
            parts = [(number, stage.repeat) for number, stage in enumerate(self.stages)]
        count: Value = 0
        for number, repeat in parts:
            stage, kept = self.stages[number], self.kept[number]
            if kept.kv_elements or kept.state_bytes:
                count = make("+", count, make("if", stage.divided, 2 * repeat, repeat))
        return count

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
    run: list[Leg] = []
    for item in clause.body.items:
        if isinstance(item, ast.GraphNode):
            run += _node(item, place, device, graph, 1, tables)
            continue
        assert isinstance(item, ast.Clause)
        assert item.body is not None
        if run:
            graph.add("", 1, joined(device, run))
            run = []
        repeat = _repeat(evaluator, item.count, place)
        legs: list[Leg] = []
        for inner in item.body.items:
            assert isinstance(inner, ast.GraphNode)
            legs += _node(inner, place, device, graph, repeat, tables)
        assert isinstance(item.head, ast.Name)
        graph.add(item.head.id, repeat, joined(device, legs))
    if run:
        graph.add("", 1, joined(device, run))
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
    for groups, of in (("kv_heads", "heads"), ("state_groups", "state_heads")):
        whole, part = evaluator.whole(model, of), evaluator.whole(model, groups)
        if whole % part:
            raise evaluator.fail(
                "E0503",
                f"`{groups}` must divide `{of}`, and {part} does not divide {whole}",
                evaluator.span(model, groups),
                secondary=(Label(evaluator.span(model, of), "heads are set here"),),
            )
    layers = evaluator.whole(model, "layers")
    for key in _SOME_LAYERS:
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
    dense, indexed = (evaluator.whole(model, key) for key in ("dense_layers", "indexed_layers"))
    if indexed < dense:
        raise evaluator.fail(
            "E0503",
            f"each of the {dense} dense layers has an indexer, and `indexed_layers` is {indexed}",
            evaluator.span(model, "indexed_layers"),
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
) -> list[Leg]:
    evaluator = device.evaluator
    graph.names.append(item.name)
    call = item.operator
    function, arguments = (
        (call.function, call.arguments) if isinstance(call, ast.Call) else (call, ())
    )
    meaning = evaluator.program.meanings[function]
    assert isinstance(meaning, DeclarationName)
    operator = evaluator.derived(meaning.declaration, arguments, place)
    graph.kinds[operator.name] = operator.declaration
    operator.symbols = _symbols(device)
    rows = evaluator.known(operator, "rows")
    width = _last_size(evaluator, operator)
    stored = bool(evaluator.get(operator, "stored"))
    if stored:
        graph.parameters += repeat * evaluator.whole(operator, "weights")
    shard = divide(evaluator, operator, item, device.parallel)
    ways = evaluator.get(operator, "shards")
    graph.shares_experts |= isinstance(ways, list) and "expert" in ways and shard != "none"
    _set_rows(operator, item.name, rows, device)
    offload = offload_of(device, operator)
    legs = _legs(operator, item.name, device, offload, rows, tables)
    kernels = tuple(kernel for leg in legs for kernel in leg.kernels)
    graph.written.append(Written(item.name, operator, rows, kernels))
    state = evaluator.real(operator, "state")
    kept = Kept(0, evaluator.real(operator, "kv"), state, _copied(evaluator, operator, state))
    reach = evaluator.optional(operator, "reach")
    if reach is not None:
        kept.windowed_kv_elements = kept.kv_elements
        graph.reach = max(graph.reach, reach)
    if stored:
        size = evaluator.real(evaluator.required(operator, "stored_in"), "size")
        kept.weight_bytes = evaluator.whole(operator, "weights") * size
    graph.keep(item.name, kept, repeat, offload.name if offload and offload.runs == "both" else "")
    if kept.kv_elements or kept.state_bytes:
        home = offload.name if offload and keeps_kv(offload) else ""
        graph.homes.setdefault(home, operator.name)
    if shard == "row" and device.devices > 1:
        name = f"{item.name}.all_reduce"
        added = library_kernels(evaluator, ("AllReduce", name), width, rows, device)
        legs.append(Leg(tuple(tables.of_operator(added[0].name, added, rows))))
    return legs


def _set_rows(operator: Instance, name: str, rows: Value, device: Device) -> None:
    """Let an operator know what `tokens` means in it. Raises Failed where that is below zero."""
    operator.symbols["tokens"] = rows
    device.evaluator.forget(operator)  # sizes and rows are others now
    if not is_feature(rows):
        looked_at = iterations(device.decode_tokens, device.context)
        check_rows(device.evaluator, operator, name, rows, looked_at)


def _copied(evaluator: Evaluator, operator: Instance, state: float) -> float:
    """Return the bytes of a copy of an operator's state, in which nothing is drafted."""
    drafted = operator.symbols["decode_tokens"]
    if not state or drafted == 1:
        return state
    operator.symbols["decode_tokens"] = 1
    evaluator.forget(operator)
    copied = evaluator.real(operator, "state")
    operator.symbols["decode_tokens"] = drafted
    evaluator.forget(operator)
    return copied


def _legs(
    operator: Instance,
    name: str,
    device: Device,
    offload: Offload | None,
    rows: Value,
    tables: Tables,
) -> list[Leg]:
    """Return the kernels of an operator, by where they are computed. Raises Failed."""
    evaluator = device.evaluator
    # Where an offload computes all of its parts, its own `when` says when activations go there.
    kept = ("when",) if offload and offload.runs == "both" else ()
    _check_parts(evaluator, operator, kept)
    if offload is None:
        here = _kernels(evaluator, operator, name, device)
        return [Leg(tuple(tables.of_operator(name, here, rows)))]
    there = evaluator.again(operator)
    there.symbols["hardware"] = offload.device.seen_by_operators()
    kernels = _kernels(evaluator, there, name, offload.device)
    if offload.runs == "both":
        return [crossing(device, there, offload, tables.of_operator(name, kernels, rows))]
    tables.refuse_parts(name, offload)
    legs = []
    for own, other in zip(_kernels(evaluator, operator, name, device), kernels, strict=True):
        if own.name == f"{name}.{offload.runs}":
            part = evaluator.inner(there, "part", offload.runs)
            legs.append(crossing(device, part, offload, [other]))
        else:
            legs.append(Leg((own,)))
    return [*legs, Leg(tuple(kv_between(device, offload, operator, name)))]


def _symbols(device: Device) -> dict[str, Any]:
    """Return what an operator's formulas may read besides its own parameters."""
    features = {name: symbol(name) for name in BATCH_FEATURES}
    known: dict[str, Any] = {"devices": device.devices, "ranks": device.parallel.ranks}
    known |= {"domains": device.reach.domains, "rank_domains": device.reach.rank_domains}
    known |= {
        "expert_devices": 1,
        "all_to_all": device.parallel.all_to_all,
        "decode_tokens": device.decode_tokens,
    }
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
    weights = _weights(evaluator, operator, device, format_)
    parts = operator.members.named("part")
    if not parts:
        return [_kernel(evaluator, operator, name, device, format_, weights)]
    found = []
    for part in parts:
        block = evaluator.inner(operator, "part", part.name)
        named = f"{name}.{part.name}"
        found.append(_kernel(evaluator, block, named, device, format_, weights))
    return found


def _check_parts(evaluator: Evaluator, operator: Instance, kept: tuple[str, ...]) -> None:
    """See that an operator of parts says no work of its own: theirs is all it does. Raises Failed.

    What it derives from may: parts are written in its place. So may what another name reads.
    """
    parts, fields = operator.members.named("part"), operator.members.fields
    if not parts:
        return
    of_parts = (said for part in parts for said in part.fields.values())
    others = (*fields.values(), *operator.members.lets.values(), *of_parts)
    read = {
        node.id for other in others for node in ast.walk(other.value) if isinstance(node, ast.Name)
    }
    for key, usual in _OF_PARTS.items():
        said = fields.get(key)
        owner = said.owner.members if said else None
        beside = key in operator.overrides or (owner is not None and bool(owner.named("part")))
        if not beside or key in kept or key in read or evaluator.get(operator, key) == usual:
            continue
        raise evaluator.fail(
            "E0521",
            f"operator `{operator.name}` has both `part {parts[0].name}` and `{key}`",
            evaluator.span(operator, key),
            "its parts are all that it does",
            secondary=(Label(parts[0].span, "a part"),) if parts[0].span else (),
            help=(f"write `{key}` in a part, or leave it out",),
        )


def _weights(
    evaluator: Evaluator, operator: Instance, device: Device, format_: Instance
) -> Weights | None:
    """Return what an operator's weights are stored in; None of one that has none.

    They are widened where they have far fewer bytes than those with which a device computes:
    formats of as many bits differ by their scales alone.
    """
    if not evaluator.whole(operator, "weights"):
        return None
    stored = evaluator.required(operator, "stored_in")
    computed = with_peak(evaluator, device.hardware, format_)
    few, many = (evaluator.real(dtype, "size") for dtype in (stored, computed))
    return Weights(stored, few < _FAR_FEWER * many)


def _kernel(
    evaluator: Evaluator,
    work: Instance,
    name: str,
    device: Device,
    format_: Instance,
    weights: Weights | None,
) -> Kernel:
    work_class = evaluator.word(work, "class")
    done = {key: evaluator.known(work, key) for key in WORK}
    flops, moved, wire, remote = done.values()
    when = evaluator.known(work, "when")
    looked_at = iterations(device.decode_tokens, device.context)
    check_negative(evaluator, work, name, done, when, looked_at)
    most = device.peak(format_)
    reached = device.efficiency(work_class, weights)
    attained = 1.0 if reached.of_peak else most.attained
    compute = most.compute * attained * reached.compute * device.share
    bandwidth = device.bandwidth * reached.bandwidth
    launch = reached.overhead + reached.extra
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
