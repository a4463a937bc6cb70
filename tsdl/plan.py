"""The executable plan: frozen data, every quantity an SI number. Knows formulas, nothing else.

A plan is a value: it prints as JSON, hashes, pickles, and runs in another process or on another
machine as it is. Times are in seconds, sizes in bytes, rates per second.
"""

import hashlib
import json
import math
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Self, get_args, get_origin, get_type_hints

from tsdl import formula
from tsdl.formula import Formula, Value

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Kernel:
    """One launch on a device: its work, and its time, over the features of the batch.

    `flops` and `bytes` are per device, `wire` bytes over the link; `time` is in seconds and already
    holds the device's peaks, efficiencies and the fixed cost of the launch.
    """

    name: str
    work_class: str
    flops: Value
    bytes: Value
    wire: Value
    time: Value


@dataclass(frozen=True, slots=True)
class Stage:
    """Kernels that run one after another, `repeat` times over."""

    name: str
    repeat: int
    kernels: tuple[Kernel, ...]


@dataclass(frozen=True, slots=True)
class Cost:
    """The time of an iteration: the sum of the stages, and `overhead` of the scheduler."""

    source: str
    stages: tuple[Stage, ...]
    overhead: Value


@dataclass(frozen=True, slots=True)
class KVCache:
    """KV memory of one worker. `footprint` is bytes, over the symbols of a request."""

    name: str
    capacity: int
    block_tokens: int
    bytes_per_token: int | float
    footprint: Value
    swap_space: int


@dataclass(frozen=True, slots=True)
class Channel:
    """A link as the runtime needs it."""

    name: str
    bandwidth: float
    latency: float


@dataclass(frozen=True, slots=True)
class Efficiency:
    """An assumption that the times rest on: what an operator class reaches of the peaks."""

    work_class: str
    compute: float
    bandwidth: float
    overhead: float
    sharpness: float | None


@dataclass(frozen=True, slots=True)
class Workers:
    """Workers of one make. Peaks and links are of one device; memory, price and power of all."""

    name: str
    count: int
    hardware: str
    devices: int
    peak_compute: float
    peak_bandwidth: float
    link: Channel
    prefills: bool
    decodes: bool
    memory: int
    weights: int
    reserve: int
    kv: KVCache
    host: Channel
    cost: Cost
    efficiencies: tuple[Efficiency, ...]
    price: float
    idle_power: float
    peak_power: float


@dataclass(frozen=True, slots=True)
class Local:
    """The local stage: how an iteration is put together."""

    batching: str
    max_tokens: int
    max_requests: int
    watermark: float
    preempt: str
    admit_when: Value
    admit_by: tuple[Value, ...]
    evict_by: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Draw:
    """A distribution, or a way to arrive: its name and parameters."""

    name: str
    parameters: tuple[tuple[str, float], ...] = ()
    values: tuple[float, ...] = ()
    parts: tuple["Draw", ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """Requests from a file: arrivals in seconds from the first (empty if it has none), lengths."""

    arrived: tuple[float, ...]
    prompt: tuple[int, ...]
    output: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Workload:
    """What arrives. A table with `replay` is replayed as it is, else its lengths are drawn."""

    name: str
    requests: int | None
    duration: float | None
    warmup: float
    arrivals: Draw | None
    prompt: Draw | None
    output: Draw | None
    correlation: float
    total: int | None
    table: Table | None
    replay: bool


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition as written, and as a formula: of an SLO (per request) or an `expect`."""

    text: str
    formula: Value
    measure: str  # of its left side: `time`, `ratio`, or nothing in particular


@dataclass(frozen=True, slots=True)
class Model:
    """What is served."""

    name: str
    dtype: str
    parameters: int
    context: int


@dataclass(frozen=True, slots=True)
class Doc:
    """What a declaration says of itself, its sources among it."""

    kind: str
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a run needs, and what its parts say of themselves."""

    format: int
    scenario: str
    seed: int
    model: Model
    workers: tuple[Workers, ...]
    policy: str
    local: Local
    dispatch: Value
    workload: Workload
    slo: tuple[Condition, ...]
    expects: tuple[Condition, ...]
    until: float | None
    sample: float | None
    docs: tuple[Doc, ...]

    def to_json(self) -> str:
        """Return the plan as JSON: the same plan gives the same text."""
        return json.dumps(_encode(self), indent=1, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote. Raises ValueError for anything else.

        A plan may come from anywhere, and its formulas become Python source: what is not of their
        closed set of operations and names is refused here.
        """
        try:
            data = json.loads(text, parse_constant=_refuse)
        except RecursionError:
            raise ValueError("this is not a plan: nested too deeply") from None
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise ValueError(f"this is not a plan of format {FORMAT}, which this TSDL reads")
        try:
            plan = _decode(Plan, data)
            _check_ranges(plan)
            return cls(**plan.fields())
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"this is not a plan: {error}") from error

    def fields(self) -> dict[str, Any]:
        """Return the fields by name."""
        return {f.name: getattr(self, f.name) for f in fields(Plan)}

    @property
    def hash(self) -> str:
        """Return the hash of all that a run depends on, in hexadecimal; comments are not in it."""
        content = {key: value for key, value in _encode(self).items() if key != "docs"}
        text = json.dumps(_plain(content), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


def _check_ranges(plan: "Plan") -> None:
    """See that the numbers that a run loops over are what they can be. Raises ValueError."""
    counts = [plan.local.max_requests, plan.local.max_tokens, *(w.count for w in plan.workers)]
    times = [t for t in (plan.sample, plan.until, plan.workload.duration) if t is not None]
    if min(counts) < 1 or any(t <= 0 for t in times) or plan.seed < 0 or not plan.workers:
        raise ValueError("a count, a time or the seed is out of range")
    if plan.local.batching not in ("prefill_first", "chunked", "static"):
        raise ValueError(f"there is no batching {plan.local.batching!r}")


def _refuse(constant: str) -> float:
    raise ValueError(f"this is not a plan: {constant} is not a number")


def _plain(value: Any) -> Any:
    """Write equal numbers alike: 10.0 as 10."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _encode(value: Any) -> Any:
    if isinstance(value, Formula):
        return formula.to_json(value)
    if is_dataclass(value):
        return {f.name: _encode(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple):
        return [_encode(item) for item in value]
    return value


def _decode(type_: Any, data: Any) -> Any:
    """Read JSON as a type of the plan. Raises KeyError, TypeError or ValueError."""
    if type_ == Value:
        return formula.from_json(data)
    if isinstance(type_, type) and is_dataclass(type_):
        hints = get_type_hints(type_)
        return type_(**{f.name: _decode(hints[f.name], data[f.name]) for f in fields(type_)})
    if get_origin(type_) is tuple:
        if not isinstance(data, list):
            raise TypeError(f"{data!r} is not a list")
        first, *rest = get_args(type_)
        kinds = [first] * len(data) if rest == [Ellipsis] else [first, *rest]
        return tuple(_decode(kind, item) for kind, item in zip(kinds, data, strict=True))
    options = get_args(type_) or (type_,)
    if data is None and type(None) in options:
        return None
    for option in options:
        if is_dataclass(option):
            return _decode(option, data)
        numbers = (int, float) if option is float else option
        if isinstance(data, numbers) and isinstance(data, bool) == (option is bool):
            if isinstance(data, float) and not math.isfinite(data):
                raise ValueError(f"{data} is not a number")
            return data
    raise TypeError(f"{data!r} is not of {type_}")
