"""The plan's formulas as Python functions: the cost of an iteration, the footprint of a request.

Source is generated once, from formulas of a closed set of operations, never from a user's text.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

from tsdl import formula
from tsdl.plan import Cost, KVCache
from tsdl.schema import BATCH_FEATURES


@dataclass(slots=True)
class Batch:
    """The aggregates of one iteration that a cost may depend on (SPEC.md, section 7.2)."""

    tokens: int = 0
    requests: int = 0
    last_tokens: int = 0
    prefills: int = 0
    prefill_tokens: int = 0
    prefill_contexts: int = 0
    prefill_products: int = 0
    prefill_squares: int = 0
    decodes: int = 0
    contexts: int = 0
    context_blocks: int = 0
    longest_context: int = 0
    peer_tokens: int = 0

    def add_prefill(self, chunk: int, cached: int, *, last: bool) -> None:
        """Add a prefill chunk after `cached` tokens; the last one of a prompt yields a token."""
        self.tokens += chunk
        self.requests += 1
        self.last_tokens += last
        self.prefills += 1
        self.prefill_tokens += chunk
        self.prefill_contexts += cached + chunk
        self.prefill_products += chunk * cached
        self.prefill_squares += chunk * chunk

    def add_decodes(self, contexts: list[int]) -> None:
        """Add decodes whose contexts, the new token included, are so long."""
        count = len(contexts)
        self.tokens += count
        self.requests += count
        self.last_tokens += count
        self.decodes += count
        self.contexts += sum(contexts)
        self.context_blocks += sum([-(-context // 16) for context in contexts])
        self.longest_context = max(contexts, default=0)


assert [f.name for f in fields(Batch)] == list(BATCH_FEATURES)


def features(cost: Cost) -> set[str]:
    """Return the features of the batch that a cost depends on."""
    found = formula.symbols(cost.overhead)
    for stage in cost.stages:
        for kernel in stage.kernels:
            found |= formula.symbols(kernel.time)
    return found


def source(cost: Cost) -> str:
    """Return a cost as a Python expression over the features: the sum of the stages, in order."""
    terms = [formula.python(cost.overhead)]
    for stage in cost.stages:
        times = [formula.python(kernel.time) for kernel in stage.kernels if kernel.time != 0]
        total = f"({' + '.join(times)})"
        if times:
            terms.append(f"{total} * {stage.repeat}" if stage.repeat != 1 else total)
    return " + ".join(terms)


def compiled(cost: Cost) -> Callable[[Batch], float]:
    """Return the function from a batch to the seconds that its iteration takes."""
    needed = sorted(features(cost))
    inner: Callable[..., float] = formula.function("a cost", ", ".join(needed), source(cost), {})
    if not needed:
        return lambda _: inner()
    arguments = ", ".join(f"batch.{name}" for name in needed)
    return formula.function("a cost", "batch", f"inner({arguments})", {"inner": inner})  # type: ignore[no-any-return]


def watermark(kv: KVCache, share: float) -> int:
    """Return the bytes that admission leaves free: so many whole blocks of the capacity."""
    block = kv.block_tokens * kv.bytes_per_token
    return int(share * kv.capacity // block * block) if block > 0 else 0


# Bytes that a request holds, from its context, prompt and output in tokens.
Footprint = Callable[[int, int, int], int]


def compiled_footprint(kv: KVCache) -> Footprint:
    """Return the footprint of a request as a function, in whole bytes."""
    text = formula.python(kv.footprint)
    if not formula.is_whole(kv.footprint):
        text = f"ceil({text})"
    return formula.function(f"kvcache {kv.name}", "context, prompt, output", text, {})  # type: ignore[no-any-return]
