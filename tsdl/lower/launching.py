"""What an iteration takes beside its kernels: the scheduler, gaps, a host that launches slowly."""

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from tsdl.evaluate import Evaluator, Instance
from tsdl.formula import Formula, Value, make, substituted, symbol
from tsdl.lower.devices import Device
from tsdl.lower.overlapping import Overlap, divided, overlap_of
from tsdl.plan import Cost, Stage
from tsdl.schema import BATCH_FEATURES, OF_PREFILLS


class Launching(Struct, frozen=True):
    """What a policy says of it: seconds of each iteration, of its host, and from kernel to kernel.

    `gap` is what the device loses from a kernel to the next; `host_time` what the host takes beside
    the devices; `overlap` says which batches are launched in two halves. The formulas of `overhead`
    and `host_time` may read `kernels` and `layers`.
    """

    overhead: Value
    gap: float
    host_time: Value
    overlap: Overlap


def launching_of(evaluator: Evaluator, policy: Instance, devices: int) -> Launching:
    """Return what a policy says of it for a worker whose stages have so many devices."""
    local = evaluator.inner(policy, "local")
    known: dict[Formula, Value] = {symbol("devices"): devices}
    return Launching(
        substituted(evaluator.known(local, "overhead"), known),
        evaluator.real(local, "gap"),
        substituted(evaluator.known(local, "host_time"), known),
        overlap_of(evaluator, policy, known),
    )


def launched(
    cost: Cost,
    device: Device,
    launching: Launching,
    stages: Iterable[Stage],
    layers: Value,
    *,
    first: bool = True,
) -> Cost:
    """Return a cost with what a policy adds to it; launched are the kernels of `stages`.

    All are as they were if no batch was divided in two. Of the stages of a pipeline the scheduler
    belongs to the first.
    """
    count = _count(device, stages)
    known: dict[Formula, Value] = {symbol("kernels"): count, symbol("layers"): layers}
    overhead = substituted(launching.overhead, known) if first else 0
    host_time = substituted(launching.host_time, known)
    beside = make("+", make("*", launching.gap, count), overhead)
    least = make("+", overhead, host_time) if host_time != 0 else 0
    halved = tuple(divided(stage, launching.overlap) for stage in cost.stages)
    return replace(cost, stages=halved, overhead=beside, least=least)


def _count(device: Device, stages: Iterable[Stage]) -> Value:
    """Return how many kernels an iteration of decodes launches; one may be part of another.

    Where a batch is divided in two, those of both halves are.
    """
    features: dict[Formula, Value] = {symbol(name): 1 for name in BATCH_FEATURES}
    features |= {symbol(name): 0 for name in OF_PREFILLS}
    count: Value = 0
    for stage in stages:
        own = (k for k in stage.kernels if not k.on)
        here = (k for k in own if _takes_time(k.time, features))
        launches = stage.repeat * sum(device.launches(k.work_class) for k in here)
        count = make("+", count, make("if", stage.divided, 2 * launches, launches))
    return count


def _takes_time(time: Value, features: dict[Formula, Value]) -> bool:
    try:
        return substituted(time, features) != 0
    except ArithmeticError:  # the run tells where such a time has no value
        return True
