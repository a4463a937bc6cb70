"""Serving: kvcache, policy, cluster."""

from tsdl.schema.features import FEATURE_TYPES
from tsdl.schema.shapes import Block, ClauseShape, Field, Nested, quantity
from tsdl.types import (
    Bounds,
    Choice,
    Construct,
    Reference,
    Sequence,
    Text,
)

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
        "blocks": Field(_NUMBER, "number of blocks of a worker; given, it wins", low=1, whole=True),
        "swap_space": Field(_DATA, "host memory for swapped requests", "4 GiB", low=0),
        "share": Field(
            Choice(("none", "prefix")),
            "whether equal prefixes share blocks",
            "none",
            simulated=False,
        ),
    },
    functions={"footprint": (("r", "cached request"), _DATA)},
    symbols={
        "kv_per_token": quantity("data/tokens"),
        "max_context": _TOKENS,
    },
)

_RULE = ClauseShape("", ("when", "by"))
LOCAL = Block(
    "local",
    "The stage that runs on each worker, between iterations.",
    {
        "batching": Field(
            Choice(("prefill_first", "chunked", "static")),
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
        "overhead": Field(
            _TIME, "time of the scheduler itself, per iteration", "0 s", low=0, formula=True
        ),
    },
    clauses={
        "admit": ClauseShape("who may start: a condition, an order", ("when", "by")),
        "evict": ClauseShape("who is the victim: the least key", ("by",)),
        "on": ClauseShape(
            "a handler of an event", ("when",), body=True, simulated=False, checked=False
        ),
        "state": ClauseShape("declared state", ("over",), simulated=False, checked=False),
    },
    symbols=FEATURE_TYPES,
)
GLOBAL = Block(
    "global",
    "The stage that the cluster has one of.",
    clauses={
        "on": ClauseShape("a handler of an event", ("when", "every"), body=True),
        "state": ClauseShape("declared state", ("over",), simulated=False, checked=False),
    },
)
POLICY = Block(
    "policy",
    "A scheduler of two stages.",
    {
        "extern": Field(
            Text(), "name of a policy that the embedding program brings", simulated=False
        ),
        "reads": Field(Sequence(Choice(())), "what the extern policy reads", simulated=False),
    },
    {"local": Nested(LOCAL), "global": Nested(GLOBAL)},
)

WORKER = Block(
    "worker",
    "Workers of one make.",
    {
        "hardware": Field(Reference("hardware"), "the device", required=True),
        "link": Field(Reference("link"), "between the devices of a worker", "NVLink3"),
        "runs": Field(Choice(("prefill", "decode", "both")), "which phases", "both"),
        "kv": Field(Reference("kvcache"), "the KV-cache manager", "paged"),
        "parallel": Field(Construct("parallel"), "devices of a worker", "tp(1)"),
        "cost": Field(Reference("cost"), "a closed formula in place of the model's operators"),
        "count": Field(_NUMBER, "how many workers", "1", low=1, high=10_000, whole=True),
        "scale": Field(
            Bounds(_NUMBER),
            "fewest and most workers, written `worker name * 2..8`",
            simulated=False,
        ),
        "start": Field(_TIME, "time to start a worker", low=0, simulated=False),
    },
)
_TIER = Block(
    "tier",
    "Memory beside the devices.",
    {
        "capacity": Field(_DATA, "bytes", required=True, low=0),
        "latency": Field(quantity("time/blocks"), "per block", "0 ns/block", low=0),
        "link": Field(Reference("link"), "how it is reached"),
    },
    clauses={"evict": ClauseShape("order of eviction", ("by",), checked=False)},
)
_NODE = Block(
    "node",
    "Workers that share links.",
    blocks={"worker": Nested(WORKER, named=True, counted=True)},
    fields={"network": Field(Reference("link"), "between the workers")},
)
CLUSTER = Block(
    "cluster",
    "Workers and what connects them.",
    {
        "network": Field(Reference("link"), "between workers"),
    },
    {
        "worker": Nested(WORKER, named=True, counted=True),
        "node": Nested(_NODE, named=True, simulated=False),
        "tier": Nested(_TIER, named=True, simulated=False),
    },
)
