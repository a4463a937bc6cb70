"""Models: operator, model, cost."""

from tsdl.schema.features import FEATURE_TYPES
from tsdl.schema.shapes import Block, ClauseShape, Field, Nested, quantity
from tsdl.types import (
    Boolean,
    Choice,
    Record,
    Reference,
    Sequence,
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
    "class": Field(Choice(()), "which efficiency counts", "pointwise"),
    "when": Field(Boolean(), "whether it is launched at all", "tokens > 0", formula=True),
}
_OPERATOR_SYMBOLS = FEATURE_TYPES | {
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
        "breakpoint": ClauseShape("a place in the graph that is an event", ("after", "when")),
        "after": ClauseShape("what is done after an operator", ("when",), body=True),
    },
    symbols=FEATURE_TYPES,
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
    symbols=FEATURE_TYPES,
)
