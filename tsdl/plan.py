"""The executable plan: frozen data, every quantity an SI number. Knows formulas, nothing else.

A plan is a value: it prints as JSON, hashes, pickles, and runs in another process or on another
machine as it is. Times are in seconds, sizes in bytes, rates per second.
"""

import hashlib
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from msgspec import Struct

from tsdl import formula
from tsdl.formula import Value
from tsdl.interpolation import Grid
from tsdl.planhandlers import Handler, State, formulas
from tsdl.planjson import canonical, encoded, unsaid, written
from tsdl.plantold import Doc, Place, Rung
from tsdl.planworkload import Draw, Workload

if TYPE_CHECKING:  # a plan is made of other things
    from tsdl.diagnostics import Diagnostic

FORMAT = 24
MOST_BYTES = 2**53  # of KV, 9 PB: beyond them not every whole number is a double
WORK = ("flops", "bytes", "wire", "remote")  # what a kernel does, of one device


class Roof(Struct, frozen=True):
    """What a kernel's time rests on: FLOP/s and bytes/s that it reaches, seconds for its launch.

    With a sharpness its computing and its moving take the norm of both, else the longer of them.
    """

    compute: float
    bandwidth: float
    launch: float
    sharpness: float | None


class Kernel(Struct, frozen=True):
    """One launch on a device: its work, and its time, over the features of the batch.

    `flops` and `bytes` are per device, `wire` bytes over the link, `remote` those over the network
    between domains; `time` is in seconds and already holds the device's peaks, efficiencies and the
    fixed cost of the launch. `source` says where the time is from: `roofline`, `formula`, or the
    table and the file. `roof` is that of a roofline. `on` names the offload that computes it, or
    to and from which it sends; empty where the worker's own devices do.
    """

    name: str
    work_class: str
    flops: Value
    bytes: Value
    wire: Value
    remote: Value
    time: Value
    source: str = "roofline"
    roof: Roof | None = None
    on: str = ""


class Stage(Struct, frozen=True):
    """Kernels that run one after another, `repeat` times over.

    Where it is `divided` they are those of both halves of a batch, which take turns.
    """

    name: str
    repeat: int
    kernels: tuple[Kernel, ...]
    divided: Value = False


class Measured(Struct, frozen=True):
    """A table of measured seconds: formulas ask it by its name, with a number for each axis.

    `file` is its path as written, and `rows` says which of its rows these are, for people to read.
    """

    name: str
    file: str
    rows: str
    axes: tuple[str, ...]
    grid: Grid


class Cost(Struct, frozen=True):
    """The time of an iteration: the sum of the stages, and `overhead` beside them.

    An iteration takes no less than `least`: the time of its host, with the policy's overhead.
    """

    source: str
    stages: tuple[Stage, ...]
    overhead: Value
    tables: tuple[Measured, ...] = ()
    least: Value = 0

    @property
    def beside(self) -> tuple[Value, ...]:
        """Return what it has of formulas besides the times of kernels."""
        return self.overhead, self.least

    @property
    def externs(self) -> "tuple[Extern, ...]":
        """Return the Python that it asks: the names, each with what it reads there."""
        times = [kernel.time for stage in self.stages for kernel in stage.kernels]
        every = formula.every_part(*times, *self.beside)
        asked = [part.arguments for part in every if part.operation == "extern"]
        found = sorted({(str(name), tuple(map(str, point[::2]))) for name, *point in asked})
        return tuple(Extern(name, reads) for name, reads in found)


class KVCache(Struct, frozen=True):
    """KV memory of one worker; `shares` says that blocks of equal content are kept once.

    `copies` says where copies of states are kept then, behind `chunks` or `blocks`; each has
    `copied` bytes. There are places for states of so many `requests` (None: of any). `footprint` is
    bytes, over the symbols of a request: its `state`, which its context does not change, is a part
    of it. `swap_out` and `swap_in` are the seconds that a move takes where the host's link does not
    say it.
    """

    name: str
    capacity: int
    block_tokens: int
    bytes_per_token: int | float
    state: int
    footprint: Value
    shares: bool
    copies: str
    copied: int
    requests: int | None
    swap_space: int
    swap_out: Value | None
    swap_in: Value | None


class Channel(Struct, frozen=True):
    """A link as the runtime needs it: bytes per second in one direction, seconds.

    `pair` is what two devices have of it between them, where that is less.
    """

    name: str
    bandwidth: float
    latency: float
    duplex: str = "full"
    sharing: str = "fair"
    pair: float | None = None


class Peak(Struct, frozen=True):
    """An assumption that the times rest on: what a device computes in a number format at most.

    Of `compute`, its peak, kernels attain a share before that of their class.
    """

    dtype: str
    compute: float
    attained: float


class Efficiency(Struct, frozen=True):
    """An assumption that the times rest on: what an operator class reaches of the peaks.

    `stored_in` is the format of weights for which the device says so, and `widened` whether kernels
    widen these; it is empty where a class reaches the same with any. `of_peak` tells whether
    `compute` is a share of the peak itself, and not of what is `attained` of it. `extra` are
    seconds that a launch takes under the policy's engine, beside the device's `overhead`.
    """

    work_class: str
    compute: float
    bandwidth: float
    overhead: float
    sharpness: float | None
    stored_in: str
    widened: bool
    of_peak: bool
    extra: float


class Speculation(Struct, frozen=True):
    """How many tokens are drafted for each decode of an iteration, which verifies them.

    `acceptance` is the chance of each, if those before it were right, over the fields of a request
    `r`; `drafter` is the model that drafts, or empty.
    """

    tokens: int
    acceptance: Value
    drafter: str


class Local(Struct, frozen=True):
    """The local stage: how an iteration is put together, and what else is done on a worker."""

    policy: str
    batching: str
    max_tokens: int
    max_requests: int
    budget: Value | None  # tokens of the next iteration, over what the stage knows
    watermark: float
    preempt: str
    swapped_first: bool  # whether nobody is admitted while anyone is swapped out
    queue: str
    asynchronous: bool
    window: float
    front_end: float
    behind: float  # of its usual gaps between tokens that a request's come later besides
    speculation: Speculation | None
    admit_when: Value
    admit_by: tuple[Value, ...]
    evict_when: Value
    evict_by: tuple[Value, ...]
    resume_when: Value
    resume_by: tuple[Value, ...]
    states: tuple[State, ...]
    handlers: tuple[Handler, ...]
    extern: "Extern | None"

    @property
    def prefills_beside(self) -> bool:
        """Tell whether prompts are prefilled in the iterations of those that decode."""
        return self.batching in ("chunked", "mixed")

    @property
    def decode_tokens(self) -> int:
        """Return the tokens that a request which decodes has in an iteration."""
        return 1 + (self.speculation.tokens if self.speculation else 0)


class Global(Struct, frozen=True):
    """The global stage: where requests go, and what else is done for the cluster.

    Those that no worker takes wait in lanes, each in the order of `queue_by`; None: in one.
    """

    policy: str
    lane: Value | None
    queue_by: tuple[Value, ...]
    states: tuple[State, ...]
    handlers: tuple[Handler, ...]
    extern: "Extern | None"


class Extern(Struct, frozen=True):
    """A policy or a cost in Python: the name under which it is handed in, and what it reads."""

    name: str
    reads: tuple[str, ...]


class Breakpoint(Struct, frozen=True):
    """A place in an iteration: after a kernel of a stage, in the layers for which `when` holds.

    Of the KV of a token, which is `kv[2]`, there is then `kv[0]` in the first of these layers, and
    `kv[1]` more in each that follows.
    """

    event: str
    stage: int
    kernel: int
    when: Value
    kv: tuple[float, float, float]


class Offload(Struct, frozen=True):
    """Devices beside those of a worker that compute some of its operators, `count` in all.

    `link` is that from each device of the worker; `memory` and `weights` are those of all of them,
    `keeps_kv` says whether the KV cache is there. Peaks and efficiencies are of one of them.
    """

    name: str
    hardware: str
    count: int
    link: Channel
    memory: int
    weights: int
    keeps_kv: bool
    peak_bandwidth: float
    peaks: tuple[Peak, ...]
    efficiencies: tuple[Efficiency, ...]


class Model(Struct, frozen=True):
    """What workers serve; its formats: of activations, weights, experts, products, KV, states."""

    name: str
    dtype: str
    weight_dtype: str
    expert_dtype: str
    compute_dtype: str
    kv_dtype: str
    state_dtype: str
    parameters: int
    context: int
    layers: int


class Workers(Struct, frozen=True):
    """Workers of one make. Peaks and links are of one device; memory, price and power of all.

    `port` is what its devices reach within the node, `network` what the node reaches beyond,
    `rail` what they have of that by their own ports to it, where that is less; `alone` says
    that each worker is a node of its own; so many `ranks` go in lock-step. `swap` names the
    tier or the workers that take victims, "" for the host. `pipeline` are the parts of the cost
    by stages of devices, what each sends on included; empty where there is one stage. Where
    `fewest` is set, so many are up at first, and a policy may start others, which takes `start`
    seconds. They fail a time drawn from `failures` after they are up, if that is set, and start
    again `repair` seconds later. `peaks` are those of the number formats that operators are
    computed in, `peak_compute` that of the model's own. Memory and weights are those of its own
    devices; price, rent, upkeep and power count those of its `offloads`, too. `rent` is USD/s
    while it is on, `upkeep` USD/s of what is bought, prices over lifetimes, as long as the run
    lasts: where that is not known, `unpriced` is the hardware that has neither, as `unpowered`
    that whose power is not known. In what is `rented` electricity is paid.
    """

    name: str
    node: str
    alone: bool
    count: int
    model: Model
    fewest: int | None
    start: float
    failures: Draw | None
    repair: float
    hardware: str
    devices: int
    ranks: int
    peak_compute: float
    peak_bandwidth: float
    peaks: tuple[Peak, ...]
    offloads: tuple[Offload, ...]
    link: Channel
    port: Channel
    network: Channel | None
    rail: Channel | None
    prefills: bool
    decodes: bool
    handoff: str
    buffer: int | None
    swap: str
    memory: int
    weights: int
    reserve: int
    kv: KVCache
    host: Channel
    cost: Cost
    pipeline: tuple[Cost, ...]
    breakpoints: tuple[Breakpoint, ...]
    local: Local
    efficiencies: tuple[Efficiency, ...]
    price: float
    rent: float
    upkeep: float | None
    rented: bool
    unpriced: tuple[str, ...]
    idle_power: float
    decode_power: float
    peak_power: float
    unpowered: tuple[str, ...]


class Tier(Struct, frozen=True):
    """Memory beside the devices; `node` is "" for one that all share. `latency` is for a block.

    One that `shares` keeps equal blocks once, whosever they are; others keep conversations.
    """

    name: str
    node: str
    capacity: int
    block_tokens: int
    latency: float
    link: Channel | None
    shares: bool
    evict_by: tuple[Value, ...]


class Site(Struct, frozen=True):
    """Where a cluster stands: USD and grams of CO2 for a joule, where known; its PUE."""

    name: str
    electricity: float | None
    carbon: float | None
    pue: float


class Condition(Struct, frozen=True):
    """A condition as written, and as a formula: of an SLO (per request) or an `expect`.

    Where `and` joins several, these are its `parts`.
    """

    text: str
    formula: Value
    measure: str  # of its left side: `time`, `data`, `energy`, or nothing in particular
    parts: "tuple[Condition, ...]" = ()


class Recorded(Struct, frozen=True):
    """A metric that handlers record, and what it measures, as a condition says it."""

    name: str
    measure: str


class Plan(Struct, frozen=True, dict=True):  # where it keeps its hash
    """Everything that a run needs, and what its parts say of themselves."""

    format: int
    scenario: str
    seed: int
    workers: tuple[Workers, ...]
    tiers: tuple[Tier, ...]
    site: Site
    policy: str
    router: Global
    workload: Workload
    metrics: tuple[Recorded, ...]
    slo: tuple[Condition, ...]
    expects: tuple[Condition, ...]
    until: float | None
    timeseries: str
    sample: float | None
    docs: tuple[Doc, ...]
    rungs: tuple[Rung, ...]
    places: tuple[Place, ...]

    @property
    def models(self) -> tuple[Model, ...]:
        """Return what is served, each once, in the order of the workers."""
        return tuple(dict.fromkeys(kind.model for kind in self.workers))

    @property
    def served(self) -> tuple[str, ...]:
        """Return the names of the models."""
        return tuple(model.name for model in self.models)

    def to_json(self) -> str:
        """Return the plan as JSON: the same plan gives the same text."""
        return written(encoded(self))

    @property
    def warnings(self) -> "tuple[Diagnostic, ...]":
        """What compiling told of what its numbers rest on; no part of its data and its hash."""
        found: tuple[Diagnostic, ...] = self.__dict__.get("_warnings", ())
        return found

    def warned(self, warnings: "Iterable[Diagnostic]") -> Self:
        """Return the plan itself, which from now on has these warnings."""
        self.__dict__["_warnings"] = tuple(warning.alone for warning in warnings)
        return self

    def fields(self) -> dict[str, Any]:
        """Return the fields by name."""
        return {name: getattr(self, name) for name in self.__struct_fields__}

    @cached_property
    def hash(self) -> str:
        """Return the hash of all that a run depends on, in hexadecimal; what is said is not in it.

        Neither comments nor how conditions are written change what a run comes to.
        """
        said = ("docs", "rungs", "places")
        content = {key: value for key, value in encoded(self).items() if key not in said}
        for asked in ("slo", "expects"):
            content[asked] = [unsaid(condition) for condition in content[asked]]
        return hashlib.sha256(canonical(content).encode()).hexdigest()


def of_stage(stage: Local | Global) -> Iterator[Value]:
    """Yield all formulas of a stage: of its handlers, and of its clauses."""
    for handler in stage.handlers:
        yield from formulas(handler)
    if isinstance(stage, Global):
        yield from (*stage.queue_by, *(() if stage.lane is None else (stage.lane,)))
    else:
        yield from (stage.admit_when, stage.evict_when, stage.resume_when)
        yield from (*stage.admit_by, *stage.evict_by, *stage.resume_by)
        if stage.budget is not None:
            yield stage.budget
        if stage.speculation is not None:
            yield stage.speculation.acceptance
