"""The features of a batch: the aggregates of one iteration that a cost may depend on."""

from tsdl.schema.shapes import quantity
from tsdl.types import Type

_NUMBER = quantity()

# What a cost may depend on: aggregates of one iteration. SPEC.md, section 7.2, defines each.
BATCH_FEATURES: dict[str, str] = {
    "tokens": "tokens computed: of all prefill chunks, and those of each decode",
    "requests": "sequences in the batch",
    "last_tokens": "tokens that the language-model head computes: of each sequence that yields one",
    "prefills": "sequences with a prefill chunk",
    "prefill_tokens": "Σ chunk over the prefills",
    "prefill_contexts": "Σ (tokens already cached + chunk) over the prefills",
    "prefill_products": "Σ chunk × tokens already cached",
    "prefill_squares": "Σ chunk²",
    "decodes": "sequences that decode",
    "contexts": "Σ context over the decodes, the new tokens included",
    "context_blocks": "Σ ⌈context / 16⌉ over the decodes",
    "longest_context": "the longest context among the decodes",
    "peer_tokens": "the most tokens of any rank that steps in lock-step with this one",
    "peer_prefills": "the most prefills of any of these ranks",
    "least_peer_tokens": "the fewest tokens of any of these ranks",
}
FEATURE_TYPES: dict[str, Type] = dict.fromkeys(BATCH_FEATURES, _NUMBER)

# What fields of a policy may read besides: known before the run, of each worker.
OF_A_WORKER: dict[str, str] = {
    "devices": "devices of the worker, or of each of its stages",
    "kernels": "kernels that a step of decodes launches on each of them",
    "layers": "layers of the model, or of a stage of it, that keep KV or states",
}

# Features that are 0 where nobody is prefilled.
OF_PREFILLS = tuple(name for name in BATCH_FEATURES if "prefill" in name)

# Features that are told of all ranks that go in lock-step.
OF_PEERS = tuple(name for name in BATCH_FEATURES if "peer" in name)

# Features that count requests, or their tokens, where all of them decode.
COUNTING = ("tokens", "requests", "last_tokens", "decodes", "peer_tokens", "least_peer_tokens")

# Features that grow while the same requests decode on; all others stay as they are.
GROWING = ("contexts", "context_blocks", "longest_context")
