"""Every kind of block: its fields, defaults, nested blocks and clauses."""

from tsdl.schema.shapes import Block, ClauseShape, Field, Nested, quantity
from tsdl.types import (
    Boolean,
    Bounds,
    Choice,
    Construct,
    Quantity,
    Record,
    Reference,
    Sequence,
    Text,
    Type,
)
from tsdl.units import Dimension

_TIME, _DATA, _TOKENS = quantity("time"), quantity("data"), quantity("tokens")
_BANDWIDTH, _NUMBER = quantity("data/time"), quantity()
_LENGTHS = Construct("distribution", Dimension.of("tokens"))
NAME = Choice(())  # any bare name

# What a cost may depend on: aggregates of one iteration. SPEC.md, section 7.2, defines each.
BATCH_FEATURES: dict[str, str] = {
    "tokens": "tokens computed: of all prefill chunks, and one of each decode",
    "requests": "sequences in the batch",
    "last_tokens": "sequences that yield a token: rows of the language-model head",
    "prefills": "sequences with a prefill chunk",
    "prefill_tokens": "Σ chunk over the prefills",
    "prefill_contexts": "Σ (tokens already cached + chunk) over the prefills",
    "prefill_products": "Σ chunk × tokens already cached",
    "prefill_squares": "Σ chunk²",
    "decodes": "sequences that decode",
    "contexts": "Σ context over the decodes, the new token included",
    "context_blocks": "Σ ⌈context / 16⌉ over the decodes",
    "longest_context": "the longest context among the decodes",
    "peer_tokens": "the most tokens of any rank that steps in lock-step with this one",
}
_FEATURES: dict[str, Type] = dict.fromkeys(BATCH_FEATURES, _NUMBER)

DTYPE = Block(
    "dtype",
    "A number format.",
    {
        "size": Field(_DATA, "bytes of an element", required=True, low=0, above=True),
        "fallback": Field(
            Reference("dtype"), "whose peak counts where a device gives none for this one"
        ),
    },
)

LINK = Block(
    "link",
    "A connection between devices.",
    {
        "bandwidth": Field(
            _BANDWIDTH, "bytes per second in one direction", required=True, low=0, above=True
        ),
        "latency": Field(_TIME, "time until the first byte", "0 s", low=0),
        "duplex": Field(Choice(("full", "half")), "whether both directions go at once", "full"),
    },
    {
        "collective": Nested(
            Block(
                "collective",
                "What a collective operation over this link reaches.",
                {
                    "latency": Field(_TIME, "fixed time of one operation", "20 us", low=0),
                    "bandwidth": Field(
                        _NUMBER, "share of the bandwidth", "70 %", low=0, above=True, high=1
                    ),
                    "sharpness": Field(_NUMBER, "p of the p-norm of both", "1", low=0, above=True),
                },
            )
        )
    },
)

_EFFICIENCY_CLASS = Block(
    "efficiency class",
    "What operators of a class reach of the device's peaks.",
    {
        "compute": Field(_NUMBER, "share of peak compute", "75 %", low=0, above=True, high=1),
        "bandwidth": Field(_NUMBER, "share of memory bandwidth", "80 %", low=0, above=True, high=1),
        "overhead": Field(_TIME, "fixed time of a launch", "0 s", low=0),
        "sharpness": Field(
            _NUMBER,
            "p of the p-norm of compute and memory time; ∞ is their maximum",
            low=0,
            above=True,
        ),
    },
)

HARDWARE = Block(
    "hardware",
    "A device.",
    {
        "price": Field(quantity("money"), "what one device costs", "0 USD", low=0),
        "host": Field(Reference("link"), "link to the host's memory, for swapping", "PCIe4_x16"),
        "multiprocessors": Field(
            _NUMBER, "streaming multiprocessors or cores", "100", low=1, whole=True
        ),
    },
    {
        "compute": Nested(
            Block(
                "compute",
                "Peak operations per second, by number format, without sparsity.",
                open_field=Field(quantity("work/time"), "peak for a dtype", low=0, above=True),
            )
        ),
        "memory": Nested(
            Block(
                "memory",
                "The device's own memory.",
                {
                    "capacity": Field(_DATA, "bytes", required=True, low=0, above=True),
                    "bandwidth": Field(
                        _BANDWIDTH, "bytes per second", required=True, low=0, above=True
                    ),
                },
            )
        ),
        "power": Nested(
            Block(
                "power",
                "Electrical power of a device.",
                {
                    "idle": Field(quantity("energy/time"), "when it waits", "0 W", low=0),
                    "peak": Field(quantity("energy/time"), "at full use", "0 W", low=0),
                },
            )
        ),
        "efficiency": Nested(
            Block(
                "efficiency",
                "What operators reach of the peaks, by operator class.",
                open_block=_EFFICIENCY_CLASS,
            )
        ),
    },
)

_WORK: dict[str, Field] = {
    "flops": Field(_NUMBER, "operations on one device", "0", low=0, formula=True),
    "bytes": Field(
        _NUMBER, "bytes moved from and to the device's memory", "0", low=0, formula=True
    ),
    "wire": Field(_NUMBER, "bytes that one device sends over the link", "0", low=0, formula=True),
    "class": Field(NAME, "which efficiency counts", "pointwise"),
    "when": Field(Boolean(), "whether it is launched at all", "tokens > 0", formula=True),
}
_OPERATOR_SYMBOLS = _FEATURES | {
    "dtype": Record("dtype"),
    "kv_dtype": Record("dtype"),
    "devices": _NUMBER,
}

OPERATOR = Block(
    "operator",
    "A closed-form cost over what a batch is made of.",
    {
        "weights": Field(_NUMBER, "elements of weights on one device", "0", low=0),
        "stored": Field(Boolean(), "whether its weights take memory of their own", "true"),
        "kv": Field(_NUMBER, "elements of KV cache a token holds on one device", "0", low=0),
        **_WORK,
        "rows": Field(_NUMBER, "what `tokens` means here", "tokens", formula=True),
        "shards": Field(
            Sequence(Choice(("column", "row", "heads"))),
            "how tensor parallelism may divide it: `column` its last parameter, `row` its first "
            "(an all-reduce follows), `heads` its parameters heads and kv_heads",
            "[]",
        ),
        "shard": Field(
            Choice(("column", "row", "heads", "none")), "how it is divided; with one way, that way"
        ),
    },
    {"part": Nested(Block("part", "A kernel of an operator of several.", _WORK), named=True)},
    symbols=_OPERATOR_SYMBOLS,
    plain=True,
    parameter_type=_NUMBER,
)

_DIMENSIONS = {
    "layers": "transformer layers",
    "hidden": "width of the residual stream",
    "heads": "query heads",
    "ffn": "width of the feed-forward network",
    "vocabulary": "entries of the vocabulary",
}
MODEL = Block(
    "model",
    "Parameters and a graph of operators.",
    {
        **{
            name: Field(
                quantity("layers") if name == "layers" else _NUMBER,
                doc,
                required=True,
                low=1,
                whole=True,
                plain=True,
            )
            for name, doc in _DIMENSIONS.items()
        },
        "kv_heads": Field(_NUMBER, "heads of keys and values", "heads", low=1, whole=True),
        "head_dim": Field(_NUMBER, "width of a head", "hidden // heads", low=1, whole=True),
        "context": Field(
            _TOKENS, "longest context, prompt and output together", "4096 tokens", low=1, whole=True
        ),
        "dtype": Field(Reference("dtype"), "of weights and activations", "fp16"),
        "kv_dtype": Field(Reference("dtype"), "of the KV cache", "dtype"),
        "tied": Field(Boolean(), "whether lm_head shares the embedding's weights", "false"),
        "positions": Field(_NUMBER, "learned positions", "0", low=0, whole=True),
        "window": Field(_TOKENS, "attention looks back this far", low=1, whole=True),
    },
    clauses={
        "breakpoint": ClauseShape(
            "a place in the graph that is an event",
            ("after", "when"),
            simulated=False,
            checked=False,
        )
    },
    symbols=_FEATURES,
    graph=True,
    plain=True,
)

COST = Block(
    "cost",
    "A closed formula for the time of an iteration, in place of the model's operators.",
    {
        "iteration": Field(
            _TIME,
            "time of one iteration, over the batch's features",
            required=True,
            low=0,
            formula=True,
        )
    },
    symbols=_FEATURES,
)

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
        "share": Field(Choice(("none", "prefix")), "whether equal prefixes share blocks", "none"),
    },
    functions={"footprint": (("r", "request"), _DATA)},
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
            _NUMBER, "share of the KV cache that admission leaves free", "1 %", low=0, high=1
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
    symbols=_FEATURES,
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
        "reads": Field(Sequence(NAME), "what the extern policy reads", simulated=False),
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
        "count": Field(_NUMBER, "how many workers", "1", low=1, whole=True),
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

WORKLOAD = Block(
    "workload",
    "What arrives, and when.",
    {
        "requests": Field(quantity("requests"), "how many requests", low=1, whole=True),
        "duration": Field(_TIME, "how long requests arrive", low=0, above=True),
        "warmup": Field(_TIME, "arrivals before this are not counted in metrics", "0 s", low=0),
        "arrivals": Field(Construct("arrivals"), "when requests arrive"),
        "prompt": Field(_LENGTHS, "tokens of a prompt"),
        "output": Field(_LENGTHS, "tokens of an answer"),
        "correlation": Field(
            _NUMBER, "of the normal scores of prompt and output", "0", low=-1, high=1
        ),
        "total": Field(_TOKENS, "prompt and output together are at most this", low=2, whole=True),
        "lengths": Field(Text(path=True), "file of pairs of lengths, drawn with replacement"),
        "trace": Field(Text(path=True), "file of requests to replay"),
        "format": Field(
            Choice(("auto", "csv", "azure", "mooncake")),
            "of the trace or lengths; `auto` looks at the file",
            "auto",
        ),
        "speed": Field(_NUMBER, "a trace's times are divided by it", "1", low=0, above=True),
        "sessions": Field(
            quantity("sessions"), "how many conversations", low=1, whole=True, simulated=False
        ),
        "turns": Field(Construct("distribution"), "rounds of a conversation", simulated=False),
        "think": Field(
            Construct("distribution", Dimension.of("time")),
            "from an answer to the next question",
            simulated=False,
        ),
    },
    {
        "columns": Nested(
            Block(
                "columns",
                "Names of the columns of a CSV file.",
                {
                    "arrived": Field(Text(), "arrival", '"arrived_at"'),
                    "prompt": Field(Text(), "prompt tokens", '"num_prefill_tokens"'),
                    "output": Field(Text(), "output tokens", '"num_decode_tokens"'),
                    "unit": Field(_TIME, "of the arrival column", "1 s", low=0, above=True),
                },
            )
        )
    },
)

SLO = Block("slo", "Bounds that a request must meet.", bounds=True)

SCENARIO = Block(
    "scenario",
    "What is run.",
    {
        "model": Field(Reference("model"), "the model served", required=True),
        "cluster": Field(Reference("cluster"), "what it is served on", required=True),
        "workload": Field(Reference("workload"), "what arrives", required=True),
        "policy": Field(Reference("policy"), "how it is scheduled", "continuous"),
        "slo": Field(Reference("slo"), "what counts as good"),
        "seed": Field(_NUMBER, "of the random streams; --seed wins", "0", low=0, whole=True),
        "until": Field(_TIME, "the run ends here at the latest", low=0, above=True),
        "sample": Field(
            _TIME, "interval of timeseries.csv; left out, a 200th of the run", low=0, above=True
        ),
    },
    clauses={"expect": ClauseShape("a condition on the result")},
)

STUDY = Block("study", "A question: scenarios, varied.", unchecked=True)

KINDS: dict[str, Block] = {
    block.kind: block
    for block in (
        DTYPE, LINK, HARDWARE, OPERATOR, MODEL, COST, KVCACHE, POLICY, CLUSTER, WORKLOAD, SLO,
        SCENARIO, STUDY,
    )
}  # fmt: skip

# Kinds whose members are fixed by the language rather than by fields.
UNITS_KINDS = {
    "dimension": "A kind of quantity: a base one, or a formula over others.",
    "unit": "A unit of a dimension: a base one, or so many of another.",
}

PREFIXES = Choice(("none", "small", "large", "decimal", "binary"))
UNIT_FIELDS: dict[str, Type] = {"prefixes": PREFIXES, "symbol": Text()}
ANY_NUMBER = Quantity()
