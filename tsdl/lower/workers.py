"""Workers to the plan: what fits their memory, and what an iteration costs on them."""

from dataclasses import dataclass

from tsdl.diagnostics import Label
from tsdl.evaluate import Evaluator, Instance
from tsdl.evaluate.values import Constructed
from tsdl.formula import Value, flattened, symbol
from tsdl.lower.operators import Device, device_of, graph_of
from tsdl.plan import Channel, Cost, Efficiency, Kernel, KVCache, Stage, Workers


@dataclass(slots=True)
class Lowered:
    """Workers of the plan, and the elements of weights that the model has on all its devices."""

    workers: Workers
    place: Instance


def lower_workers(
    evaluator: Evaluator, worker: Instance, model: Instance, overhead: Value
) -> Workers:
    """Return the workers that one `worker` block declares. Raises Failed if the model cannot fit."""
    hardware = evaluator.reference(worker, "hardware")
    link = evaluator.reference(worker, "link")
    dtype = evaluator.reference(model, "dtype")
    kv_dtype = evaluator.reference(model, "kv_dtype")
    kv = evaluator.reference(worker, "kv")
    assert hardware is not None
    assert link is not None
    assert dtype is not None
    assert kv_dtype is not None
    assert kv is not None
    devices = _devices(evaluator, worker)
    device = device_of(evaluator, hardware, link, dtype, devices)
    graph = graph_of(evaluator, model, device)
    weights = int(graph.weight_elements * evaluator.real(dtype, "size"))
    per_token = graph.kv_elements * evaluator.real(kv_dtype, "size") * devices
    if per_token == int(per_token):
        per_token = int(per_token)
    memory = evaluator.block(hardware, "memory")
    power = evaluator.block(hardware, "power")
    host = evaluator.reference(hardware, "host")
    assert memory is not None
    assert power is not None
    assert host is not None
    capacity = evaluator.whole(memory, "capacity")
    cache = _kv_cache(evaluator, kv, model, per_token, worker, hardware, weights, capacity, devices)
    runs = evaluator.word(worker, "runs")
    return Workers(
        name=worker.members.name,
        count=evaluator.whole(worker, "count"),
        hardware=hardware.name,
        devices=devices,
        prefills=runs in ("prefill", "both"),
        decodes=runs in ("decode", "both"),
        memory=capacity * devices,
        weights=weights * devices,
        reserve=evaluator.whole(kv, "reserve") * devices,
        kv=cache,
        host=Channel(
            host.name,
            evaluator.real(host, "bandwidth") * devices,
            evaluator.real(host, "latency"),
        ),
        cost=_cost(evaluator, worker, graph.stages, overhead),
        efficiencies=_used(device),
        price=evaluator.real(hardware, "price") * devices,
        idle_power=evaluator.real(power, "idle") * devices,
        peak_power=evaluator.real(power, "peak") * devices,
    )


def _used(device: Device) -> tuple[Efficiency, ...]:
    return tuple(device.efficiencies.values())


def _devices(evaluator: Evaluator, worker: Instance) -> int:
    parallel = evaluator.get(worker, "parallel")
    assert isinstance(parallel, Constructed)
    devices = parallel.parameters["devices"]
    assert isinstance(devices, (int, float))
    return int(devices)


def _cost(
    evaluator: Evaluator, worker: Instance, stages: list[Stage], overhead: Value
) -> Cost:
    formula = evaluator.reference(worker, "cost")
    if formula is None:
        return Cost("operators", tuple(stages), overhead)
    time = evaluator.get(formula, "iteration")
    assert time is not None
    kernel = Kernel("iteration", "formula", 0, 0, 0, time)  # type: ignore[arg-type]
    return Cost(formula.name, (Stage("", 1, (kernel,)),), overhead)


def _kv_cache(
    evaluator: Evaluator,
    kv: Instance,
    model: Instance,
    per_token: float,
    worker: Instance,
    hardware: Instance,
    weights: int,
    capacity: int,
    devices: int,
) -> KVCache:
    kv.symbols = {
        "kv_per_token": per_token,
        "max_context": evaluator.whole(model, "context"),
    }
    block = evaluator.whole(kv, "block")
    footprint = evaluator.function(kv, "footprint", {"r": symbol("r")})
    if footprint is None:
        raise evaluator.fail(
            "E0404",
            f"kvcache `{kv.name}` has no footprint",
            evaluator.place_of(kv),
            help=("derive it from `paged`, or write `footprint(r) = r.context * kv_per_token`",),
        )
    given = evaluator.optional(kv, "blocks")
    block_bytes = block * per_token
    if given is not None:
        room = given * block_bytes
    else:
        usable = capacity * evaluator.real(kv, "utilization")
        room = (usable - weights - evaluator.real(kv, "reserve")) * devices
        if room < block_bytes or room <= 0:
            raise _no_room(evaluator, kv, model, worker, hardware, weights, usable, devices)
    if block_bytes > 0:
        room = room // block_bytes * block_bytes
    return KVCache(
        name=kv.name,
        capacity=int(room),
        block_tokens=block,
        bytes_per_token=per_token,
        footprint=flattened(footprint, "r"),  # type: ignore[arg-type]
        swap_space=evaluator.whole(kv, "swap_space") * devices,
    )


def _no_room(
    evaluator: Evaluator,
    kv: Instance,
    model: Instance,
    worker: Instance,
    hardware: Instance,
    weights: int,
    usable: float,
    devices: int,
) -> Exception:
    reserve = evaluator.real(kv, "reserve")
    whole = weights * devices
    needed = next(
        (n for n in (2, 4, 8, 16, 32, 64) if n > devices and usable - whole / n > reserve), None
    )
    helps = ["take a device with more memory, or a smaller dtype"]
    if needed:
        helps.insert(0, f"share the weights among more devices: `parallel = tp({needed})`")
    return evaluator.fail(
        "E0511",
        f"`{model.name}` does not fit {f'{devices} × ' if devices > 1 else ''}`{hardware.name}`",
        evaluator.span(worker, "hardware"),
        f"worker `{worker.members.name}`",
        secondary=(Label(evaluator.place_of(model), "this model"),),
        notes=(
            f"of each device, weights take {weights / 1e9:.1f} GB and {reserve / 1e9:.1f} GB are "
            f"kept in reserve; {usable / 1e9:.1f} GB may be used, and nothing is left for KV",
        ),
        help=tuple(helps),
    )
