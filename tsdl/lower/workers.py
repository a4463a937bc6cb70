"""Workers to the plan: what fits their memory, and what an iteration costs on them."""

from math import ceil

from msgspec.structs import replace

from tsdl.costs import features
from tsdl.diagnostics import Label
from tsdl.evaluate import Evaluator, Instance
from tsdl.formula import Value, flattened, make, symbol
from tsdl.lower.clusters import Standing, channel, check_exchange, count_of, devices_of, fewest_of
from tsdl.lower.devices import Device, device_of, with_peak
from tsdl.lower.files import FileReader
from tsdl.lower.launching import Launching, launched, launching_of
from tsdl.lower.models import lower_model
from tsdl.lower.offloaded import check_offloads, offloaded, room_of
from tsdl.lower.offloading import offloads_of
from tsdl.lower.operators import Graph, graph_of
from tsdl.lower.origins import check_origin
from tsdl.lower.overlapping import marked
from tsdl.lower.owning import owned
from tsdl.lower.pipeline import Share, pipeline_of, shares
from tsdl.lower.reaching import reach_of
from tsdl.lower.setaside import set_aside
from tsdl.lower.speculating import drafted
from tsdl.lower.tables import Tables, check_speed, check_unused
from tsdl.lower.workloads import draw_of
from tsdl.plan import MOST_BYTES, Cost, KVCache, Local, Stage, Workers
from tsdl.schema import OF_PEERS


def tables_of(evaluator: Evaluator, worker: Instance, read: FileReader) -> Tables:
    """Return the times that the `cost` of a worker brings. Raises Failed where it has none."""
    cost = evaluator.reference(worker, "cost")
    if cost is not None:
        whole = {
            "iteration": evaluator.get(cost, "iteration") is not None,
            "extern": evaluator.get(cost, "extern") is not None,
            "part": bool(cost.members.named("part")),
            "operator": bool(cost.members.named("operator")),
        }
        said = [key for key, here in whole.items() if here]
        if not said:
            raise evaluator.fail(
                "E0404",
                f"cost `{cost.name}` says no times",
                evaluator.place_of(cost),
                "needs `iteration`",
                help=(
                    "write `iteration = …`: time of one iteration, over the batch's features, "
                    "a time; or the times of operators: `operator NAME { … }`",
                ),
            )
        if len(said) > 1:
            raise evaluator.fail(
                "E0521",
                f"cost `{cost.name}` has both `{said[0]}` and `{said[1]}`",
                evaluator.place_of(cost),
                help=("leave one of them out",),
            )
    place = evaluator.span(worker, "cost")
    return Tables(evaluator, cost, read, devices_of(evaluator, worker), place)


def lower_workers(
    evaluator: Evaluator,
    standing: Standing,
    model: Instance,
    policy: Instance,
    local: Local,
    tables: Tables,
) -> tuple[Workers, Graph]:
    """Return the workers that a `worker` block declares, and the graph of the model there.

    Raises Failed if the model cannot fit.
    """
    worker = standing.worker
    check_exchange(evaluator, worker)
    reach = reach_of(evaluator, standing)
    device = device_of(evaluator, worker, model, reach, policy, local.decode_tokens)
    device.offloads = offloads_of(evaluator, worker, device)
    check_origin(evaluator, worker, model, device, tables.read)
    devices = devices_of(evaluator, worker)
    hardware = device.hardware
    launching = launching_of(evaluator, policy, device.devices)
    graph = graph_of(evaluator, model, device, tables)
    if tables.of_operators:
        graph.stages = marked(graph.stages, launching.overlap)
    drafts = drafted(evaluator, worker, policy, device, graph, tables)
    check_offloads(evaluator, worker, model, device, graph, (*graph.stages, *drafts))
    parts = shares(evaluator, worker, graph, device.parallel.stages)
    kv = _kv_cache(evaluator, worker, model, device, graph, parts)
    cost = _cost(tables, device, graph, drafts, launching)
    if cost.source == "operators":
        _check_format(evaluator, model, device)
    _check_shared(evaluator, worker, model, device, cost, graph)
    runs = evaluator.word(worker, "runs")
    buffer = evaluator.optional(worker, "buffer")
    swap = evaluator.get(worker, "swap")
    network = standing.network
    # As many of the node's ports as its share of the devices, and one at least.
    rail = max(standing.ports * devices / standing.devices, 1)
    workers = Workers(
        name=worker.members.name,
        node=standing.node,
        alone=standing.alone,
        count=count_of(evaluator, worker),
        model=lower_model(evaluator, model, graph),
        fewest=fewest_of(evaluator, worker),
        start=evaluator.real(worker, "start"),
        failures=draw_of(
            evaluator, worker, "failures", evaluator.get(worker, "failures"), whole=False
        ),
        repair=evaluator.real(worker, "repair"),
        hardware=hardware.name,
        devices=devices,
        ranks=device.parallel.ranks,
        peak_compute=device.compute,
        peak_bandwidth=device.bandwidth,
        peaks=tuple(dict.fromkeys(device.peaks.values())),
        offloads=offloaded(evaluator, worker, device, graph),
        link=channel(evaluator, device.link, 1),
        port=channel(evaluator, device.link, devices),
        network=channel(evaluator, network, standing.ports) if network else None,
        rail=channel(evaluator, network, rail) if network and rail < standing.ports else None,
        prefills=runs in ("prefill", "both"),
        decodes=runs in ("decode", "both"),
        handoff=evaluator.word(worker, "handoff"),
        buffer=None if buffer is None else int(buffer),
        swap=swap if isinstance(swap, str) else "",
        memory=evaluator.whole(evaluator.inner(hardware, "memory"), "capacity") * devices,
        weights=sum(int(share.weight_bytes) for share in parts) * device.devices,
        reserve=evaluator.whole(evaluator.required(worker, "kv"), "reserve") * devices,
        kv=kv,
        host=channel(evaluator, evaluator.required(hardware, "host"), devices),
        cost=cost,
        pipeline=pipeline_of(evaluator, model, device, cost, launching, parts),
        breakpoints=(),
        local=_running(local, kv),
        efficiencies=tuple(device.efficiencies.values()),
        **owned(evaluator, device, devices),
    )
    return workers, graph


def _running(local: Local, kv: KVCache) -> Local:
    """Return a local stage that runs no more requests than have a place for their states."""
    most = local.max_requests if kv.requests is None else min(local.max_requests, kv.requests)
    return replace(local, max_requests=most)


def _cost(
    tables: Tables, device: Device, graph: Graph, drafts: tuple[Stage, ...], launching: Launching
) -> Cost:
    cost, stages = tables.cost, tuple(graph.stages)
    if cost is not None and cost.members.named("operator"):
        check_unused(tables, graph.names)
        check_speed(tables, stages, device.compute, device.bandwidth)
    if tables.of_operators:
        alone = Cost("operators", (*stages, *drafts), 0, tables.measured)
    else:
        assert cost is not None
        kernels = tables.of_parts() if cost.members.named("part") else [tables.of_whole()]
        alone = Cost(cost.name, (Stage("", 1, tuple(kernels)),), 0, tables.measured)
        drafts = ()
    return launched(alone, device, launching, (*stages, *drafts), graph.layers())


def _check_format(evaluator: Evaluator, model: Instance, device: Device) -> None:
    """Warn where a device computes in a larger number format than the model asks for."""
    usual, wanted = device.formats["dtype"], device.formats["compute_dtype"]
    if wanted.name == usual.name:
        return
    found = with_peak(evaluator, device.hardware, wanted)
    if evaluator.real(found, "size") > evaluator.real(wanted, "size"):
        name = wanted.name
        evaluator.sink.warning(
            "W0515",
            f"`{device.hardware.name}` has no peak for {name}: it computes in {found.name} instead",
            evaluator.span(model, "compute_dtype"),
            help=(f"take a device that has one, or write `compute_dtype = {found.name}`",),
        )


def _check_shared(
    evaluator: Evaluator,
    worker: Instance,
    model: Instance,
    device: Device,
    cost: Cost,
    graph: Graph,
) -> None:
    """Warn of ranks or devices that are to share experts, where there are none, nor padding."""
    parallel = device.parallel
    if graph.shares_experts:
        return
    if parallel.ranks > 1:
        who = f"{parallel.ranks} ranks go in lock-step"
        note = "each has all weights, as workers without `ranks` do, and waits for the slowest"
        remedy = "leave `ranks` out"
    elif parallel.experts and parallel.devices > 1:
        who = f"{parallel.devices} devices are to divide experts"
        note = "they share every operator, as they do with `tp`"
        remedy = "write `tp` in its place"
    else:
        return
    if not features(cost).isdisjoint(OF_PEERS):
        return
    evaluator.sink.warning(
        "W0509",
        f"{who}, and `{model.name}` has no experts for them to share",
        evaluator.span(worker, "parallel"),
        f"worker `{worker.members.name}`",
        secondary=(Label(evaluator.place_of(model), "this model"),),
        notes=(note,),
        help=(remedy,),
    )


def _kv_cache(
    evaluator: Evaluator,
    worker: Instance,
    model: Instance,
    device: Device,
    graph: Graph,
    divided: list[Share],
) -> KVCache:
    """Return the KV memory of a worker: what its devices have left, in whole blocks."""
    kv = evaluator.required(worker, "kv")
    size = evaluator.real(device.formats["kv_dtype"], "size") * device.devices
    per_token, windowed = (
        _whole(elements * size) for elements in (graph.kv_elements, graph.windowed_kv_elements)
    )
    shares = evaluator.word(kv, "share") == "prefix"
    block = evaluator.whole(kv, "block")
    state, copied = (
        ceil(each * device.devices) for each in (graph.state_bytes, graph.copied_bytes)
    )
    if shares and per_token > 0:  # states are made of blocks, and so are copies
        unit = block * per_token
        state, copied = (int(ceil(each / unit) * unit) for each in (state, copied))
    context = evaluator.whole(model, "context")
    # The same manager may serve workers on which a token takes other amounts of memory.
    fresh = evaluator.again(kv)
    fresh.symbols = {
        "kv_per_token": per_token,
        "windowed_kv_per_token": windowed,
        "window": int(evaluator.optional(model, "window") or graph.reach or context),
        "max_context": context,
    }
    footprint = evaluator.function(fresh, "footprint", {"r": symbol("r")})
    if footprint is None:
        raise evaluator.fail(
            "E0404",
            f"kvcache `{kv.name}` has no footprint",
            evaluator.place_of(kv),
            help=("derive it from `paged`, or write `footprint(r) = r.context * kv_per_token`",),
        )
    given, share_of_free = evaluator.optional(kv, "blocks"), evaluator.real(kv, "free_share")
    away = room_of(evaluator, worker, device, graph)
    if given is not None:
        room = given * block * per_token
        if room:
            _see_to_blocks(evaluator, worker, device, graph, divided, room, away)
    elif away is not None:
        _see_to_weights(evaluator, worker, model, device, graph)
        room = share_of_free * away
    else:
        room = share_of_free * min(
            _free_memory(evaluator, worker, model, device, graph, int(share.weight_bytes))
            * device.devices
            / share.held
            for share in divided
            if share.held
        )
    room, requests = set_aside(evaluator, worker, kv, room, state)
    room = min(room, MOST_BYTES)
    if per_token > 0:
        room = room // (block * per_token) * (block * per_token)
    return KVCache(
        name=kv.name,
        capacity=int(room),
        block_tokens=block,
        bytes_per_token=per_token,
        state=state,
        footprint=make("+", flattened(footprint, "r"), state),
        shares=shares,
        copies=evaluator.word(kv, "state_copies"),
        copied=copied,
        requests=requests,
        swap_space=evaluator.whole(kv, "swap_space") * devices_of(evaluator, worker),
        swap_out=_move(evaluator, fresh, "swap_out"),
        swap_in=_move(evaluator, fresh, "swap_in"),
    )


_MORE = 1.1  # of the memory there is: beyond it no count of blocks is taken to be right


def _see_to_blocks(  # noqa: PLR0913, PLR0917 (what takes memory, and where)
    evaluator: Evaluator,
    worker: Instance,
    device: Device,
    graph: Graph,
    divided: list[Share],
    room: float,
    away: float | None,
) -> None:
    """Warn of blocks for which no device has the memory, whatever part of it may be used.

    A tenth more is let pass: people and drivers may differ by that in what a device has.
    """
    capacity = evaluator.real(evaluator.inner(device.hardware, "memory"), "capacity")
    there = (
        away
        if away is not None
        else min(
            (capacity - share.weight_bytes) * device.devices / share.held
            for share in divided
            if share.held
        )
    )
    if room > _MORE * there:
        kv = evaluator.required(worker, "kv")
        evaluator.sink.warning(
            "W0528",
            f"the blocks of `{kv.name}` are more than its memory holds",
            evaluator.span(kv, "blocks"),
            f"{room / 2**30:,.4g} GiB of KV",
            secondary=(Label(evaluator.place_of(worker), "on this worker"),),
            notes=("`blocks` is taken as it stands: the run is one that no such worker can do",),
            help=(f"there is room for {max(there, 0) / 2**30:,.4g} GiB beside the weights",),
        )


def _whole(number: float) -> float:
    return int(number) if number == int(number) else number


def _move(evaluator: Evaluator, kv: Instance, key: str) -> Value | None:
    """Return the seconds of a move to or from swap space, where the manager says them itself.

    Raises Failed.
    """
    time = evaluator.function(kv, key, {"r": symbol("r")})
    if isinstance(time, (int, float)) and time < 0:
        place = kv.members.fields[key].value.span
        raise evaluator.fail("E0503", f"`{key}` must be at least 0 s, and is {time:g} s", place)
    return None if time is None else flattened(time, "r")


def _see_to_weights(
    evaluator: Evaluator, worker: Instance, model: Instance, device: Device, graph: Graph
) -> None:
    """See that weights fit devices whose KV is elsewhere. Raises Failed."""
    kv = evaluator.required(worker, "kv")
    capacity = evaluator.real(evaluator.inner(device.hardware, "memory"), "capacity")
    usable = capacity * evaluator.real(kv, "utilization") - evaluator.real(kv, "reserve")
    if graph.weight_bytes > usable:  # it tells how much that is
        _free_memory(evaluator, worker, model, device, graph, int(graph.weight_bytes))


def _free_memory(
    evaluator: Evaluator,
    worker: Instance,
    model: Instance,
    device: Device,
    graph: Graph,
    weights: int,
) -> float:
    """Return the bytes of a device that are left for KV. Raises Failed where there are none."""
    kv = evaluator.required(worker, "kv")
    capacity = evaluator.real(evaluator.inner(device.hardware, "memory"), "capacity")
    usable = capacity * evaluator.real(kv, "utilization")
    reserve = evaluator.real(kv, "reserve")
    room = usable - weights - reserve
    if room > 0:
        return room
    devices = device.devices
    enough = (n for n in (2, 4, 8, 16, 32, 64) if n > devices)
    needed = next((n for n in enough if usable - weights * devices / n > reserve), None)
    helps = ["take a device with more memory, or a smaller dtype"]
    if needed:
        ranks = device.parallel.ranks
        divided = f"ep({needed}, ranks = {ranks})" if ranks > 1 else f"tp({needed})"
        helps.insert(0, f"share the weights among more devices: `parallel = {divided}`")
    many = f"{devices} × " if devices > 1 else ""
    drafted = ""
    if graph.drafter:
        drafted = f" (of these {graph.drafter_bytes / 1e9:.1f} GB are those of its drafter "
        drafted += f"`{graph.drafter}`)"
    raise evaluator.fail(
        "E0511",
        f"`{model.name}` does not fit {many}`{device.hardware.name}`",
        evaluator.span(worker, "hardware"),
        f"worker `{worker.members.name}`",
        secondary=(Label(evaluator.place_of(model), "this model"),),
        notes=(
            f"of each device, weights take {weights / 1e9:.1f} GB{drafted} and "
            f"{reserve / 1e9:.1f} GB are kept in reserve; {usable / 1e9:.1f} GB may be used, and "
            "nothing is left for KV",
        ),
        help=tuple(helps),
    )
