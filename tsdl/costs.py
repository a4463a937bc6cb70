"""The plan's formulas as Python functions: the cost of an iteration, the footprint of a request.

Source is generated once, from formulas of a closed set of operations, never from a user's text.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache
from typing import Protocol

from tsdl import formula
from tsdl.formula import Value
from tsdl.plan import Cost, KVCache, Stage
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


class Moved(Protocol):
    """What a formula of a move reads of a request: tokens, and the bytes that are moved."""

    @property
    def length(self) -> int: ...  # noqa: D102
    @property
    def prompt(self) -> int: ...  # noqa: D102
    @property
    def output(self) -> int: ...  # noqa: D102
    @property
    def held(self) -> int: ...  # noqa: D102


def compiled_move(kv: KVCache, time: Value | None) -> Callable[[Moved], float] | None:
    """Return the seconds of a move to or from swap space; None where the manager does not say."""
    if time is None:
        return None
    names = "context, prompt, output, held"
    inner = formula.function(f"kvcache {kv.name}", names, formula.python(time), {})
    return lambda r: inner(r.length, r.prompt, r.output, r.held)


@cache
def compiled_prefix(cost: Cost, stage: int | None, kernel: int | None) -> Callable[[Batch], float]:
    """Return the seconds of a part of an iteration, without the overhead of the scheduler.

    Without a stage, of all stages. With one: of those before it (`kernel` -1), of one repeat of it
    (None), or of one repeat up to a kernel and with it.
    """
    if stage is None:
        part = Cost(cost.source, cost.stages, 0)
    elif kernel == -1:
        part = Cost(cost.source, cost.stages[:stage], 0)
    else:
        last = None if kernel is None else kernel + 1
        one = Stage("", 1, cost.stages[stage].kernels[:last])
        part = Cost(cost.source, (one,), 0)
    return compiled(part)
