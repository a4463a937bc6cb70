"""Serving: kvcache, policy, cluster."""

from tsdl.schema.features import FEATURE_TYPES, OF_A_WORKER
from tsdl.schema.records import RECORDS
from tsdl.schema.shapes import Block, ClauseShape, Field, Nested, quantity
from tsdl.types import (
    Boolean,
    Bounds,
    Choice,
    Construct,
    Read,
    Reference,
    Sequence,
    Text,
)
from tsdl.units import Dimension

_TIME = quantity("time")
_DATA = quantity("data")
_TOKENS = quantity("tokens")
_NUMBER = quantity()

KVCACHE = Block(
    "kvcache",
    "A manager of KV-cache memory.",
    {
        "block": Field(_TOKENS, "tokens of a block", "16 tokens", low=1, whole=True),
        "utilization": Field(
            _NUMBER, "share of device memory the engine may use", "90 %", low=0, above=True, high=1
        ),
        "reserve": Field(
            _DATA,
            "kept back on each device for activations, captured graphs and the runtime",
            "1 GiB",
            low=0,
        ),
        "free_share": Field(
            _NUMBER,
            "share of what is left beside weights and reserve that is for KV",
            "100 %",
            low=0,
            above=True,
            high=1,
        ),
        "blocks": Field(_NUMBER, "number of blocks of a worker; given, it wins", low=1, whole=True),
        "swap_space": Field(
            _DATA, "host memory for swapped requests, of each device", "4 GiB", low=0
        ),
        "share": Field(
            Choice(("none", "prefix")),
            "whether blocks are kept once for all whose prompts begin alike (section 8.20)",
            "none",
        ),
        "states": Field(
            _NUMBER,
            "share of the memory for KV that is set aside for states of recurrent layers: so many "
            "requests run at most as have places in it (section 8.20)",
            "0 %",
            low=0,
            high=0.99,
        ),
        "state_places": Field(
            _NUMBER, "places for states that each of these requests takes", "1", low=1, whole=True
        ),
        "state_copies": Field(
            Choice(("chunks", "blocks")),
            "behind what copies of states are kept then: a chunk's last full block, or each",
            "chunks",
        ),
    },
    functions={
        "footprint": (("r", "cached request"), _DATA),
        "swap_out": (("r", "cached request"), _TIME),
        "swap_in": (("r", "cached request"), _TIME),
    },
    symbols={
        "kv_per_token": quantity("data/tokens"),
        "windowed_kv_per_token": quantity("data/tokens"),
        "window": _TOKENS,
        "max_context": _TOKENS,
    },
)

SPECULATE = Block(
    "speculate",
    "Tokens that are drafted ahead, and verified together (section 8.21).",
    {
        "tokens": Field(
            _TOKENS,
            "drafted in each iteration for each request that decodes; 0 drafts nothing",
            required=True,
            low=0,
            high=1000,
            whole=True,
        ),
        "drafter": Field(
            Reference("model"), "the model that drafts; left out, drafting takes no time"
        ),
        "shared_ends": Field(
            Boolean(),
            "whether what the drafter has around its repeated blocks (embedding, head) is the "
            "model's own, and takes no memory besides",
            "false",
        ),
    },
    functions={"acceptance": (("r", "request"), _NUMBER)},
)

_EXTRA = Block(
    "extra",
    "What kernels of a class take under this engine beyond what the device says of them.",
    open_field=Field(_TIME, "for each kernel of that class", low=0, unit="us"),
)

_OVERLAP = Block(
    "overlap",
    "Halves of a batch that take turns: one computes while the other is exchanged (section 7.9).",
    {
        "when": Field(
            Boolean(), "whether an iteration is divided in two at all", required=True, formula=True
        ),
        "hides": Field(
            Sequence(Choice(())),
            "classes of operators beside which the other half computes",
            "[exchange]",
        ),
        "occupies": Field(
            _NUMBER,
            "share of their time that the device is busy with them itself",
            "35 %",
            low=0,
            high=1,
            formula=True,
        ),
    },
    symbols=FEATURE_TYPES | {"devices": _NUMBER},
)

_ON = "a handler of an event (section 8.10)"
_STATE = "declared state, which handlers change (section 8.11)"
LOCAL = Block(
    "local",
    "The stage that runs on each worker, between iterations.",
    {
        "batching": Field(
            Choice(("prefill_first", "chunked", "mixed", "static")),
            "how an iteration is put together",
            "prefill_first",
        ),
        "max_tokens": Field(_TOKENS, "tokens of one iteration", "8192 tokens", low=1, whole=True),
        "max_requests": Field(
            quantity("requests"), "requests that run at once", "256", low=1, whole=True
        ),
        "watermark": Field(
            _NUMBER, "share of the KV cache that admission leaves free", "1 %", low=0, high=0.9
        ),
        "preempt": Field(Choice(("recompute", "swap")), "what becomes of a victim", "recompute"),
        "swapped_first": Field(
            Boolean(), "whether nobody is admitted while anyone is swapped out", "true"
        ),
        "queue": Field(
            Choice(("arrival", "heap")),
            "how those wait that came in one iteration: `heap` is TokenSim's order (section 8.5)",
            "arrival",
        ),
        "scheduling": Field(
            Choice(("synchronous", "asynchronous")),
            "whether an iteration is put together before it is known who has come during the last "
            "one, and what that has freed (section 8.3)",
            "synchronous",
        ),
        "window": Field(
            _TIME,
            "how long an idle worker waits for others before it begins",
            "0 s",
            low=0,
            unit="ms",
        ),
        "overhead": Field(
            _TIME,
            "time of the scheduler itself, per iteration",
            "0 s",
            low=0,
            formula=True,
            unit="ms",
        ),
        "gap": Field(
            _TIME, "from the end of a kernel to the next one's begin", "0 s", low=0, unit="us"
        ),
        "eager": Field(
            Boolean(),
            "whether the host launches each kernel of an iteration, as no graph has captured it",
            "false",
            formula=True,
        ),
        "launch": Field(_TIME, "the host's time for a launch", "28 us", low=0, unit="us"),
        "host_time": Field(
            _TIME,
            "what the host takes beside the devices: an iteration takes no less (section 7.1)",
            "launch * kernels if eager else 0 s",
            low=0,
            formula=True,
            unit="ms",
        ),
        "front_end": Field(
            _TIME,
            "from the end of an iteration until users have its tokens (section 9.1)",
            "0 s",
            low=0,
            unit="ms",
        ),
        "behind": Field(
            _NUMBER,
            "by how many of its usual gaps later a request's user has its tokens (section 9.1)",
            "0",
            low=0,
        ),
    },
    {"extra": Nested(_EXTRA), "overlap": Nested(_OVERLAP), "speculate": Nested(SPECULATE)},
    {
        "admit": ClauseShape("who may start: a condition, an order", ("when", "by")),
        "evict": ClauseShape(
            "who is the victim: the least key; and when somebody must go", ("when", "by")
        ),
        "resume": ClauseShape(
            "who comes back from swap space: a condition, an order", ("when", "by")
        ),
        "on": ClauseShape(_ON, ("when", "every"), body=True),
        "state": ClauseShape(_STATE, ("over",)),
    },
    functions={"budget": (("w", "worker"), _TOKENS)},
    symbols=FEATURE_TYPES | dict.fromkeys(OF_A_WORKER, _NUMBER),
)
GLOBAL = Block(
    "global",
    "The stage that the cluster has one of.",
    clauses={
        "queue": ClauseShape(
            "how requests wait that no worker takes: order and lanes",
            ("by",),
            within=True,
        ),
        "on": ClauseShape(_ON, ("when", "every"), body=True),
        "state": ClauseShape(_STATE, ("over",)),
    },
)
POLICY = Block(
    "policy",
    "A scheduler of two stages.",
    {
        "extern": Field(Text(), "name of a policy that the embedding program brings"),
        "reads": Field(
            Sequence(Read()), "what the extern policy reads: `[w.queued, r.prompt]`", "[]"
        ),
    },
    {"local": Nested(LOCAL), "global": Nested(GLOBAL)},
)

SITE = Block(
    "site",
    "What energy costs where a cluster stands, in money and in carbon.",
    {
        "electricity": Field(quantity("money/energy"), "price of electricity", low=0),
        "carbon": Field(quantity("carbon/energy"), "carbon intensity of electricity", low=0),
        "pue": Field(
            _NUMBER, "power usage effectiveness: energy of the site over the devices'", "1", low=1
        ),
    },
)

_OFFLOAD = Block(
    "offload",
    "Other devices that compute some of a worker's operators (section 7.10).",
    {
        "hardware": Field(Reference("hardware"), "the device", required=True),
        "operators": Field(
            Sequence(Reference("operator")),
            "which operators they compute: these, and those that derive from them",
            required=True,
        ),
        "runs": Field(
            Choice(("prefill", "decode", "both")),
            "of operators with parts of these names: only that part",
            "both",
        ),
        "link": Field(
            Reference("link"),
            "to them, from each device of the worker (or that device's `host`, if it is slower)",
            "hardware.link",
        ),
        "count": Field(_NUMBER, "how many devices", "1", low=1, high=10_000, whole=True),
    },
)
WORKER = Block(
    "worker",
    "Workers of one make.",
    {
        "hardware": Field(Reference("hardware"), "the device", required=True),
        "link": Field(
            Reference("link"),
            "of each device: to the worker's others, and to workers",
            "hardware.link",
        ),
        "runs": Field(Choice(("prefill", "decode", "both")), "which phases", "both"),
        "model": Field(Reference("model"), "what it serves, in place of the scenario's model"),
        "kv": Field(Reference("kvcache"), "the KV-cache manager", "paged"),
        "policy": Field(
            Reference("policy"), "whose local stage counts here, in place of the scenario's"
        ),
        "parallel": Field(Construct("parallel"), "devices of a worker", "tp(1)"),
        "cost": Field(Reference("cost"), "a closed formula in place of the model's operators"),
        "handoff": Field(
            Choice(("overlapped", "sequential")),
            "whether KV that is handed over comes in beside iterations or between them",
            "overlapped",
        ),
        "buffer": Field(
            _DATA, "most bytes on their way to a worker at once, where that is bounded", low=0
        ),
        "swap": Field(
            Choice(()), "tier, or workers, whose memory takes victims in place of the host's"
        ),
        "count": Field(_NUMBER, "how many workers", "1", low=0, high=10_000, whole=True),
        "scale": Field(
            Bounds(_NUMBER),
            "fewest and most workers, written `worker name * 2..8`; see `scale`",
        ),
        "start": Field(
            _TIME, "time to start a worker that is scaled, or was repaired", "0 s", low=0
        ),
        "failures": Field(
            Construct("distribution", Dimension.of("time")),
            "from when a worker is up until it fails",
        ),
        "repair": Field(_TIME, "from a failure until the worker may start again", "0 s", low=0),
    },
    {"offload": Nested(_OFFLOAD, named=True, counted=True)},
)
_TIER = Block(
    "tier",
    "Memory beside the devices, for KV that is kept.",
    {
        "capacity": Field(_DATA, "bytes", required=True, low=0),
        "latency": Field(
            quantity("time/blocks"), "for each block that is moved", "0 s/block", low=0
        ),
        "block": Field(_TOKENS, "tokens of a block", "16 tokens", low=1, whole=True),
        "link": Field(Reference("link"), "beyond the devices' own `host` link, shared by all"),
        "share": Field(
            Choice(("none", "prefix")),
            "whether it keeps blocks, for all whose prompts begin alike, or conversations",
            "none",
        ),
    },
    clauses={"evict": ClauseShape("who has to leave: the least key", ("by",))},
    symbols={name: type_ for name, (type_, _) in RECORDS["entry"].items()},
)
_NODE = Block(
    "node",
    "Workers that reach each other by their links.",
    {
        "ports": Field(
            _NUMBER, "ports to the network; left out, one for each device", low=1, whole=True
        ),
        "count": Field(_NUMBER, "how many nodes alike", "1", low=1, high=10_000, whole=True),
    },
    {
        "worker": Nested(WORKER, named=True, counted=True),
        "tier": Nested(_TIER, named=True),
    },
)
CLUSTER = Block(
    "cluster",
    "Workers and what connects them.",
    {
        "network": Field(Reference("link"), "between nodes: one port of it for each device"),
        "site": Field(Reference("site"), "where it stands", "average_site"),
    },
    {
        "worker": Nested(WORKER, named=True, counted=True),
        "node": Nested(_NODE, named=True, counted=True),
        "tier": Nested(_TIER, named=True),
    },
)
