"""Models: operator, model, cost."""

from tsdl.schema.features import FEATURE_TYPES
from tsdl.schema.shapes import Block, ClauseShape, Field, Nested, quantity
from tsdl.types import (
    Boolean,
    Choice,
    Reference,
    Sequence,
    Text,
)

_TIME = quantity("time")
_TOKENS = quantity("tokens")
_NUMBER = quantity()

_WORK: dict[str, Field] = {
    "flops": Field(_NUMBER, "operations on one device", "0", low=0, formula=True),
    "bytes": Field(
        _NUMBER, "bytes moved from and to the device's memory", "0", low=0, formula=True
    ),
    "wire": Field(_NUMBER, "bytes that one device sends over the link", "0", low=0, formula=True),
    "remote": Field(
        _NUMBER, "bytes that one device sends over the network to others", "0", low=0, formula=True
    ),
    "takes": Field(
        _NUMBER, "bytes of activations that it reads, where others have them", low=0, formula=True
    ),
    "gives": Field(
        _NUMBER, "bytes of activations that it writes, where others want them", low=0, formula=True
    ),
    "class": Field(Choice(()), "which efficiency counts", "pointwise"),
    "when": Field(Boolean(), "whether it is launched at all", "tokens > 0", formula=True),
}
_OPERATOR_SYMBOLS = FEATURE_TYPES | {
    **dict.fromkeys(
        ("dtype", "weight_dtype", "expert_dtype", "compute_dtype", "kv_dtype", "state_dtype"),
        Reference("dtype"),
    ),
    "hardware": Reference("hardware"),
    "devices": _NUMBER,
    "ranks": _NUMBER,
    "domains": _NUMBER,
    "rank_domains": _NUMBER,
    "expert_devices": _NUMBER,
    "all_to_all": Boolean(),
    "decode_tokens": _NUMBER,
}
_WAYS = ("column", "row", "partial", "heads", "expert")

OPERATOR = Block(
    "operator",
    "A closed-form cost over what a batch is made of.",
    {
        "weights": Field(_NUMBER, "elements of weights on one device", "0", low=0),
        "stored": Field(Boolean(), "whether its weights take memory of their own", "true"),
        "stored_in": Field(Reference("dtype"), "number format of its weights", "dtype"),
        "computed_in": Field(
            Reference("dtype"), "number format that it computes in: whose peak counts", "dtype"
        ),
        "kv": Field(_NUMBER, "elements of KV cache a token holds on one device", "0", low=0),
        "state": Field(
            _NUMBER,
            "bytes that a request keeps on one device whatever its context: the state of a "
            "recurrence",
            "0",
            low=0,
        ),
        "reach": Field(
            _NUMBER, "tokens of a request's KV that it looks back, where that is bounded", low=1
        ),
        **_WORK,
        "rows": Field(_NUMBER, "what `tokens` means here", "tokens", formula=True),
        "shards": Field(
            Sequence(Choice(_WAYS)),
            "how it may be divided: `column` its last size, `row` its first (an all-reduce "
            "follows), `partial` its first size (none follows), `heads` its parameters heads and "
            "kv_heads, `expert` experts and active",
            "[]",
        ),
        "shard": Field(Choice((*_WAYS, "none")), "how it is divided; with one way, that way"),
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
        "dtype": Field(Reference("dtype"), "of activations, and of all that has no other", "fp16"),
        "weight_dtype": Field(
            Reference("dtype"), "of matrices but embedding, router and lm_head", "dtype"
        ),
        "expert_dtype": Field(Reference("dtype"), "of the experts' matrices", "weight_dtype"),
        "compute_dtype": Field(
            Reference("dtype"), "that these matrices are multiplied in", "dtype"
        ),
        "kv_dtype": Field(Reference("dtype"), "of the KV cache", "dtype"),
        "state_dtype": Field(Reference("dtype"), "of what recurrent layers keep", "fp32"),
        "tied": Field(Boolean(), "whether lm_head shares the embedding's weights", "false"),
        "positions": Field(_NUMBER, "learned positions", "0", low=0, whole=True),
        "window": Field(_TOKENS, "attention looks back this far", low=1, whole=True),
        "windowed_layers": Field(
            quantity("layers"),
            "layers whose attention looks back `window`, where others look back to the start",
            "0",
            low=0,
            whole=True,
            plain=True,
        ),
        "recurrent_layers": Field(
            quantity("layers"),
            "layers that keep a state in place of a KV cache: linear attention, state spaces",
            "0",
            low=0,
            whole=True,
            plain=True,
        ),
        "ffn_layers": Field(
            quantity("layers"),
            "layers that are a feed-forward network and nothing else, where others have none",
            "0",
            low=0,
            whole=True,
            plain=True,
        ),
        "state_heads": Field(_NUMBER, "heads of a recurrent layer", "heads", low=1, whole=True),
        "state_groups": Field(
            _NUMBER, "heads of its queries and keys", "state_heads", low=1, whole=True
        ),
        "key_dim": Field(_NUMBER, "width of these", low=1, whole=True),
        "value_dim": Field(
            _NUMBER,
            "width of its values, and of those of sparse attention",
            "head_dim",
            low=1,
            whole=True,
        ),
        "convolution": Field(
            _NUMBER, "tokens that its convolution sees at a time", "4", low=1, whole=True
        ),
        "experts": Field(_NUMBER, "experts of a layer", low=1, whole=True),
        "active_experts": Field(_NUMBER, "experts that a token goes to", low=1, whole=True),
        "expert_ffn": Field(_NUMBER, "width of an expert", "ffn", low=1, whole=True),
        "expert_hidden": Field(
            _NUMBER, "width of the stream that experts see", "hidden", low=1, whole=True
        ),
        "shared_experts": Field(
            _NUMBER, "experts that every token goes to besides", "0", low=0, whole=True
        ),
        "expert_groups": Field(_NUMBER, "groups that experts are in", "1", low=1, whole=True),
        "active_groups": Field(
            _NUMBER, "groups that the experts of a token are in", "expert_groups", low=1, whole=True
        ),
        "dense_layers": Field(
            quantity("layers"),
            "first layers that have no experts",
            "0",
            low=0,
            whole=True,
            plain=True,
        ),
        "query_rank": Field(_NUMBER, "width of compressed queries", low=1, whole=True),
        "kv_rank": Field(_NUMBER, "width of compressed keys and values", low=1, whole=True),
        "rope_dim": Field(
            _NUMBER, "width of the part of a head that has positions", low=1, whole=True
        ),
        "chosen": Field(_TOKENS, "of those before, that sparse attention sees", low=1, whole=True),
        "dense_context": Field(
            _TOKENS,
            "up to which prompts attend to all before them, without an indexer",
            "0",
            low=0,
            whole=True,
        ),
        "indexed_layers": Field(
            quantity("layers"),
            "layers that have an indexer, the first ones among them; others see what it chose",
            "layers",
            low=0,
            whole=True,
            plain=True,
        ),
        "index_heads": Field(_NUMBER, "queries of its indexer", low=1, whole=True),
        "index_dim": Field(_NUMBER, "width of these", low=1, whole=True),
    },
    clauses={
        "breakpoint": ClauseShape("a place in the graph that is an event", ("after", "when")),
        "after": ClauseShape("what is done after an operator", ("when",), body=True),
    },
    symbols=FEATURE_TYPES,
    graph=True,
    plain=True,
)

_POINT = Block(
    "at",
    "Where in the table: for each of its axes, a column, the point.",
    open_field=Field(_NUMBER, "the point on an axis", low=0, formula=True),
)
_EXTERN = Field(Text(), "name of a function in Python that says the time")
_READS = "what that function is called with, by name: `[tokens, contexts]`"
_TIMES: dict[str, Field] = {
    "time": Field(
        _TIME, "a formula for the time, where there is no table", low=0, formula=True, unit="us"
    ),
    "extern": _EXTERN,
    "file": Field(Text(path=True), "CSV file of measured times, with a header"),
    "value": Field(Text(), "its column of times", '"time_us"'),
    "unit": Field(_TIME, "of that column", "1 us", low=0, above=True),
    "times": Field(_NUMBER, "how often it is counted", "1", low=0, formula=True),
    "when": Field(Boolean(), "whether it is launched at all", "tokens > 0", formula=True),
}
_KNOWN = (*FEATURE_TYPES, "devices")
_WORK_DONE = ("flops", "bytes", "wire", "remote")


def _times(*read: str) -> dict[str, Field]:
    """Return the fields of a time, by a function that may read what these names mean."""
    return _TIMES | {"reads": Field(Sequence(Choice(read)), _READS, "[]")}


_POINTS = {
    "rows": Nested(
        Block(
            "rows",
            "Which rows of the file: the texts in some of its columns.",
            open_field=Field(Text(), "the text in a column"),
        )
    ),
    "at": Nested(_POINT),
    "above": Nested(
        Block(
            "above",
            "A point whose time is taken off; below that it is nothing.",
            open_field=_POINT.open_field,
        )
    ),
    "least": Nested(
        Block(
            "least",
            "Rows whose axes are below these are left out: they are something else.",
            open_field=Field(_NUMBER, "the least point on an axis", low=0),
        )
    ),
}


def _part(*read: str) -> Block:
    return Block("part", "A summand of a time.", _times(*read), _POINTS)


_MEASURED_SYMBOLS = FEATURE_TYPES | {"devices": _NUMBER}
COST = Block(
    "cost",
    "Times in place of those of the model's operators: a formula, measured tables, or Python.",
    {
        "iteration": Field(
            _TIME,
            "time of one iteration, over the batch's features",
            low=0,
            formula=True,
            unit="ms",
        ),
        "extern": _EXTERN,
        "reads": Field(Sequence(Choice(_KNOWN)), _READS, "[]"),
        "folder": Field(Text(path=True), "where the files are"),
    },
    {
        "operator": Nested(
            Block(
                "operator",
                "The time of an operator of the graph, by its name there; `all_reduce` is each "
                "that sharding adds.",
                _times(*_KNOWN, *_WORK_DONE),
                {"part": Nested(_part(*_KNOWN, *_WORK_DONE), named=True), **_POINTS},
                symbols=dict.fromkeys(_WORK_DONE, _NUMBER),
            ),
            named=True,
        ),
        "part": Nested(_part(*_KNOWN), named=True),
        "about": Nested(
            Block(
                "about",
                "Where tables are from: a file and its keys that say so, or the names themselves.",
                {
                    "file": Field(Text(), "a YAML file, in `folder` or the folder above it"),
                    "hardware": Field(
                        Text(), "its key for the name of the device; without `file`, that name"
                    ),
                    "model": Field(Text(), "for that of the model"),
                    "dtype": Field(Text(), "for that of the number format"),
                    "devices": Field(Text(), "for a list: how many devices share the model"),
                },
            )
        ),
    },
    symbols=_MEASURED_SYMBOLS,
)
