"""Devices that kernels run on: their peaks for a number format, what a class of work reaches."""

from collections.abc import Iterator
from typing import NamedTuple

from msgspec import Struct

from tsdl.evaluate import Evaluator, Instance
from tsdl.lower.clusters import Parallel, parallel_of
from tsdl.lower.reaching import Reach
from tsdl.plan import Efficiency, Peak
from tsdl.program import Declaration
from tsdl.source import Span


class Weights(NamedTuple):
    """The number format of an operator's weights, and whether its kernels widen them first."""

    stored: Instance
    widened: bool


class Device(Struct):
    """What kernels run on: a device's peaks, and the link to its peers."""

    evaluator: Evaluator
    hardware: Instance
    link: Instance
    formats: dict[str, Instance]  # of the model: `dtype`, `weight_dtype` and so on
    parallel: Parallel
    reach: Reach
    # By class, the format of weights for which the device says so, and whether these are widened.
    efficiencies: dict[tuple[str, str, bool], Efficiency]
    peaks: dict[str, Peak]  # by the formats that were asked for
    bandwidth: float
    extra: dict[str, float]  # seconds that kernels of a class take under the engine, besides
    context: int  # the longest of the model
    decode_tokens: int = 1  # of a request that decodes, in an iteration
    share: float = 1  # how many devices of this make stand for each device of the worker
    offloads: tuple["Offload", ...] = ()

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

    def efficiency(self, work_class: str, weights: Weights | None) -> Efficiency:
        """Return what a class reaches of the peaks; an unknown one counts as pointwise."""
        evaluator, inner = self.evaluator, self._reached(work_class)
        own, name = _with_weights(evaluator, inner, weights) if weights else (None, "")
        key = work_class, name, bool(name and weights and weights.widened)
        known = self.efficiencies.get(key)
        if known:
            return known

        def reached(which: str) -> tuple[float, bool]:
            said = evaluator.optional(own, which) if own else None
            return (evaluator.real(inner, which), False) if said is None else (said, True)

        compute, of_peak = reached("compute")
        found = Efficiency(
            work_class,
            compute,
            reached("bandwidth")[0],
            reached("overhead")[0],
            evaluator.optional(inner, "sharpness"),
            *key[1:],
            of_peak,
            self.extra.get(work_class, 0),
        )
        self.efficiencies[key] = found
        return found

    def seen_by_operators(self) -> Instance:
        """Return the hardware that formulas read: several devices count as one with all cores."""
        if self.share == 1:
            return self.hardware
        whole = self.evaluator.again(self.hardware)
        cores = self.evaluator.real(self.hardware, "multiprocessors")
        whole.known["multiprocessors"] = cores * self.share
        return whole

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


class Offload(Struct):
    """Other devices that compute operators of some kinds, all of them or one of their parts."""

    name: str
    count: int
    device: Device
    kinds: tuple[Declaration, ...]
    runs: str  # `both`, or the part's name
    link: Instance
    place: Span  # where its kinds are said

    def takes_over(self, operator: Declaration, kind: Declaration | None = None) -> bool:
        """Tell whether an operator is one of its kinds, or of that kind, or derives from one."""
        kinds, waiting = (self.kinds if kind is None else (kind,)), [operator]
        while waiting:
            declaration = waiting.pop()
            if declaration in kinds:
                return True
            waiting += [base.declaration for base in declaration.bases]
        return False

    def computes(self, operator: Declaration) -> bool:
        """Tell whether it has work of an operator of its kinds: all of it, or the part it runs."""
        assert operator.members is not None
        return self.runs == "both" or ("part", self.runs) in operator.members.blocks


FORMATS = ("dtype", "weight_dtype", "expert_dtype", "compute_dtype", "kv_dtype", "state_dtype")


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


def fallbacks(evaluator: Evaluator, dtype: Instance) -> Iterator[Instance]:
    """Yield a number format, and each that the one before falls back on. Raises Failed."""
    seen: list[str] = []
    found: Instance | None = dtype
    while found is not None:
        if found.name in seen:
            raise evaluator.fail(
                "E0501",
                f"the fallback of dtype `{found.name}` is itself",
                evaluator.span(found, "fallback"),
                notes=(" → ".join([*seen, found.name]),),
            )
        seen.append(found.name)
        yield found
        found = evaluator.reference(found, "fallback")


def with_peak(evaluator: Evaluator, hardware: Instance, dtype: Instance) -> Instance:
    """Return a number format, or the first of its fallbacks that has a peak. Raises Failed."""
    peaks = evaluator.inner(hardware, "compute")
    for wanted in fallbacks(evaluator, dtype):
        if wanted.name in peaks.members.fields:
            return wanted
    known = ", ".join(peaks.members.fields) or "none"
    raise evaluator.fail(
        "E0510",
        f"`{hardware.name}` gives no peak for {dtype.name}",
        evaluator.place_of(hardware),
        help=(f"write `compute {{ {dtype.name} = … TFLOPS }}`; it has {known}",),
    )


def _with_weights(
    evaluator: Evaluator, reached: Instance, weights: Weights
) -> tuple[Instance | None, str]:
    """Return what a class reaches with weights of a format or its fallbacks, and of which it is."""
    block = evaluator.inner(reached, "widened" if weights.widened else "stored_in")
    for dtype in fallbacks(evaluator, weights.stored):
        said = evaluator.block(block, dtype.name)
        if said is not None and said.members.fields:
            return said, dtype.name
    return None, ""
