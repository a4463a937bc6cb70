"""Operators that other devices compute: which ones do, and what goes to them and comes back.

As experts on the host's processors, or attention where the KV cache is (SPEC.md, section 7.10).
"""

from collections.abc import Iterable, Iterator
from itertools import groupby

from msgspec import Struct
from msgspec.structs import replace

from tsdl.diagnostics import Label
from tsdl.evaluate import Evaluator, Instance
from tsdl.formula import Value, make, symbol
from tsdl.lower.devices import Device, Offload
from tsdl.lower.negatives import check_negative, iterations
from tsdl.plan import Kernel

TRANSFER = "transfer"  # the class of what goes there, and comes back


class Leg(Struct, frozen=True):
    """Kernels of a node of the graph that follow one another on the same devices.

    Elsewhere they take activations from where these were, and give others back, so many bytes where
    they are launched `when` that holds.
    """

    kernels: tuple[Kernel, ...]
    offload: Offload | None = None
    takes: Value = 0
    gives: Value = 0
    when: Value = True

    @property
    def where(self) -> str:
        """Return the name of the offload; "" for the worker's own devices."""
        return self.offload.name if self.offload else ""


def offloads_of(evaluator: Evaluator, worker: Instance, device: Device) -> tuple[Offload, ...]:
    """Return the offloads of a worker whose own devices are known. Raises Failed."""
    found = []
    for members in worker.members.named("offload"):
        block = evaluator.inner(worker, "offload", members.name)
        if device.parallel.stages > 1:
            raise evaluator.fail(
                "E0531",
                "devices of a pipeline offload nothing",
                evaluator.place_of(block),
                secondary=(Label(evaluator.span(worker, "parallel"), "its stages"),),
                help=("leave `stages` out, or the offload",),
            )
        found.append(_offload(evaluator, block, device, members.name))
    return tuple(found)


def _offload(evaluator: Evaluator, block: Instance, device: Device, name: str) -> Offload:
    hardware = evaluator.required(block, "hardware")
    kinds = evaluator.get(block, "operators")
    assert isinstance(kinds, list)
    named = [kind for kind in kinds if isinstance(kind, Instance)]
    for kind in named:
        if kind is not evaluator.instance(kind.declaration):
            raise evaluator.fail(
                "E0531",
                f"an offload computes kinds of operators, whatever their sizes: `{kind.name}`",
                evaluator.span(block, "operators"),
                help=(f"write the name alone: `operators = [{kind.name}]`",),
            )
    count = evaluator.whole(block, "count")
    share = count / device.devices
    bandwidth = evaluator.real(evaluator.inner(hardware, "memory"), "bandwidth") * share
    there = replace(
        device, hardware=hardware, efficiencies={}, peaks={}, bandwidth=bandwidth, extra={},
        share=share,
    )  # fmt: skip
    return Offload(
        name,
        count,
        there,
        tuple(kind.declaration for kind in named),
        evaluator.word(block, "runs"),
        _link(evaluator, block, device),
        evaluator.span(block, "operators"),
    )


def _link(evaluator: Evaluator, block: Instance, device: Device) -> Instance:
    """Return the link to an offload: where none is said, that of either side which is slower."""
    link = evaluator.required(block, "link")
    if "link" in block.members.fields:
        return link
    host = evaluator.required(device.hardware, "host")
    return min(link, host, key=lambda one: evaluator.real(one, "bandwidth"))


def offload_of(device: Device, operator: Instance) -> Offload | None:
    """Return the offload that computes an operator, or the part that it runs. Raises Failed."""
    kind = operator.declaration
    found = [o for o in device.offloads if o.takes_over(kind) and o.computes(kind)]
    if len(found) > 1:
        one, other = found[:2]
        raise device.evaluator.fail(
            "E0531",
            f"both `{one.name}` and `{other.name}` are to compute `{operator.name}`",
            other.place,
            secondary=(Label(one.place, f"`{one.name}` does already"),),
            help=("name it, or what it derives from, in the `operators` of one of them",),
        )
    return found[0] if found else None


def keeps_kv(offload: Offload) -> bool:
    """Tell whether the KV of an operator is where an offload computes it: where decodes read it."""
    return offload.runs != "prefill"


def crossing(device: Device, block: Instance, offload: Offload, kernels: list[Kernel]) -> Leg:
    """Return what an offload computes of an operator, or of its part. Raises Failed."""
    evaluator = device.evaluator
    moved: dict[str, Value] = {}
    for key, verb in (("takes", "reads"), ("gives", "writes")):
        value = evaluator.get(block, key)
        if value is None:
            raise evaluator.fail(
                "E0404",
                f"`{block.path}{key}` of operator `{block.root.name}` is not set, and `"
                f"{offload.name}` computes it",
                evaluator.place_of(block),
                f"needs `{key}`",
                help=(f"write `{key} = …`: bytes of activations that it {verb}",),
            )
        moved[key] = evaluator.known(block, key)
    when = evaluator.known(block, "when")
    looked_at = iterations(device.decode_tokens, device.context)
    check_negative(evaluator, block, kernels[0].name, moved, when, looked_at)
    named = tuple(replace(kernel, on=offload.name) for kernel in kernels)
    return Leg(named, offload, moved["takes"], moved["gives"], when)


def joined(device: Device, legs: Iterable[Leg]) -> list[Kernel]:
    """Return the kernels of legs in their order, with what goes to offloads and comes back."""
    found: list[Kernel] = []
    for _, run in groupby(_placed(legs), lambda placed: placed[0]):
        all_of_them = [leg for _, leg in run]
        kernels = [kernel for leg in all_of_them for kernel in leg.kernels]
        there = [leg for leg in all_of_them if leg.offload]
        offload = there[0].offload if there else None
        if offload is None:
            found += kernels
            continue
        names = [kernel.name for kernel in (there[0].kernels[0], there[-1].kernels[-1])]
        found += transfer(device, offload, f"{names[0]}.to", *_edge(there, "takes"))
        found += kernels
        found += transfer(device, offload, f"{names[1]}.from", *_edge(there[::-1], "gives"))
    return found


def _placed(legs: Iterable[Leg]) -> Iterator[tuple[str, Leg]]:
    """Yield legs with where they are; what never takes any time is where the one before it is."""
    place = ""
    for leg in legs:
        idle = leg.offload is None and all(kernel.time == 0 for kernel in leg.kernels)
        place = place if idle else leg.where
        yield place, leg


def _edge(legs: list[Leg], key: str) -> tuple[Value, Value]:
    """Return what the first of legs that is launched takes, or gives, and when any of them is."""
    seen: list[Leg] = []
    for leg in legs:
        if leg.when not in [other.when for other in seen]:
            seen.append(leg)
    size: Value = 0
    for leg in reversed(seen):
        size = (
            getattr(leg, key) if len(seen) == 1 else make("if", leg.when, getattr(leg, key), size)
        )
    when = seen[0].when
    for leg in seen[1:]:
        when = make("or", when, leg.when)
    return size, when


def kv_between(device: Device, offload: Offload, operator: Instance, name: str) -> list[Kernel]:
    """Return what goes between both where an offload keeps the KV of what is prefilled here.

    What is new goes there, and what was computed before comes back: all of their contexts, or what
    an operator that looks back a window sees of them; and a state of each, once. The other way
    round it is a part of what the prefill takes, and gives.
    """
    if not keeps_kv(offload):
        return []
    evaluator = device.evaluator
    contexts: Value = symbol("prefill_contexts")
    reach = evaluator.optional(operator, "reach")
    if reach is not None:
        seen = make("*", reach, symbol("prefills"))
        contexts = make("min", contexts, make("+", symbol("prefill_tokens"), seen))
    size = evaluator.real(operator, "kv") * evaluator.real(device.formats["kv_dtype"], "size")
    when = make(">", symbol("prefills"), 0)
    states = make("*", evaluator.real(operator, "state"), symbol("prefills"))
    moved = make("+", make("*", size, contexts), states)
    return transfer(device, offload, f"{name}.kv", moved, when)


def transfer(device: Device, offload: Offload, name: str, size: Value, when: Value) -> list[Kernel]:
    """Return the kernel in which each device sends so many bytes, or gets them; none for none."""
    if size == 0:
        return []
    evaluator, link = device.evaluator, offload.link
    latency, rate = (evaluator.real(link, key) for key in ("latency", "bandwidth"))
    time = make("if", when, make("+", latency, make("/", size, rate)), 0)
    named = f"{name}_{offload.name}"
    return [Kernel(named, TRANSFER, 0, 0, size, 0, time, on=offload.name)]
