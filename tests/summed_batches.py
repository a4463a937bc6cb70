"""The features of a batch, summed up by the definitions of SPEC.md, section 7.2."""

from collections.abc import Sequence
from dataclasses import fields

from tsdl.costs import Batch

BLOCK = 16  # tokens of a block in the feature `context_blocks`, whatever the cache has


def batch_of(
    chunks: Sequence[tuple[int, int, bool]] = (), contexts: Sequence[int] = (), each: int = 1
) -> Batch:
    """Return the features of chunks (tokens, cached before, whether the last) and of decodes.

    Of these `each` has so many tokens.
    """
    tokens = sum(chunk for chunk, _, _ in chunks) + each * len(contexts)
    return Batch(
        tokens=tokens,
        requests=len(chunks) + len(contexts),
        last_tokens=sum(last for _, _, last in chunks) + each * len(contexts),
        prefills=len(chunks),
        prefill_tokens=sum(chunk for chunk, _, _ in chunks),
        prefill_contexts=sum(cached + chunk for chunk, cached, _ in chunks),
        prefill_products=sum(chunk * cached for chunk, cached, _ in chunks),
        prefill_squares=sum(chunk * chunk for chunk, _, _ in chunks),
        decodes=len(contexts),
        contexts=sum(contexts),
        context_blocks=sum(-(-context // BLOCK) for context in contexts),
        longest_context=max(contexts, default=0),
        peer_tokens=tokens,
        peer_prefills=len(chunks),
        least_peer_tokens=tokens,
    )


assert [f.name for f in fields(Batch)][-1] == "least_peer_tokens", "batch_of leaves out a feature"

BATCHES = {
    "a decode": batch_of(contexts=(500,)),
    "many decodes": batch_of(contexts=tuple(range(100, 400))),
    "a prompt": batch_of(((1024, 0, True),)),
    "a chunk that yields nothing": batch_of(((512, 1024, False),)),
    "chunks and decodes": batch_of(((100, 0, True), (412, 88, False)), (17, 900, 33)),
}
