"""The plan's formulas as Python functions: the cost of an iteration, the footprint of a request.

Source is generated once, from formulas of a closed set of operations, never from a user's text.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from math import inf, nan
from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import replace

from tsdl import formula, pythonsource
from tsdl.formula import Formula, Value, symbol
from tsdl.inlined import Inlined
from tsdl.interpolation import Unmeasured, ends_of, interpolation
from tsdl.parts import of_cost, of_kvcache
from tsdl.plan import Cost, Kernel, KVCache, Measured, Stage
from tsdl.pythonsource import EXTERN, TABLE
from tsdl.schema import BATCH_FEATURES, COUNTING, GROWING, OF_PREFILLS


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
    peer_prefills: int = 0
    least_peer_tokens: int = 0

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

    def add_decodes(self, contexts: list[int], each: int = 1) -> None:
        """Add decodes whose contexts, the new tokens included, are so long: `each` has so many."""
        count = len(contexts)
        self.tokens += count * each
        self.requests += count
        self.last_tokens += count * each
        self.decodes += count
        self.contexts += sum(contexts)
        self.context_blocks += sum([-(-context // 16) for context in contexts])
        self.longest_context = max(contexts, default=0)

    def close(self) -> None:
        """Note that all is in it; and of its peers, as long as nobody says more, that none are."""
        self.peer_tokens = self.least_peer_tokens = self.tokens
        self.peer_prefills = self.prefills

    def known(self) -> dict[Formula, Value]:
        """Return what formulas know of it: each feature by its symbol."""
        return {symbol(name): getattr(self, name) for name in BATCH_FEATURES}


assert [f.name for f in fields(Batch)] == list(BATCH_FEATURES)


def features(cost: Cost) -> set[str]:
    """Return the features of the batch that a cost depends on."""
    found = set[str]().union(*map(formula.symbols, cost.beside))
    for stage in cost.stages:
        for kernel in stage.kernels:
            found |= formula.symbols(kernel.time)
    return found


def growing_features(cost: Cost) -> set[str]:
    """Return those features that grow while requests decode, and that a cost depends on."""
    return features(cost) & set(GROWING)


class Part(Struct, frozen=True):
    """The terms of a cost that depend on the same features: of stages, each with its repeats."""

    features: frozenset[str]
    stages: tuple[tuple[tuple[Value, ...], int], ...]

    @property
    def grows(self) -> bool:
        """Tell whether it changes while the same requests decode on."""
        return not self.features.isdisjoint(GROWING)

    def python(self, inlined: Inlined) -> str:
        """Return it as a Python expression over its features."""
        return " + ".join(
            f"({' + '.join(map(inlined.python, times))})" + (f" * {repeat}" if repeat != 1 else "")
            for times, repeat in self.stages
        )


def parts(cost: Cost) -> list[Part]:
    """Return a cost as parts over different features, whose sum it is.

    Those that grow while the same requests decode on are last; else they are in the order of the
    graph. All engines add them in this order, so that they agree to the last bit.
    """
    terms: dict[frozenset[str], list[tuple[tuple[Value, ...], int]]] = {}
    for stage in (Stage("", 1, (Kernel("", "", 0, 0, 0, 0, cost.overhead),)), *cost.stages):
        here: dict[frozenset[str], list[Value]] = {}
        for kernel in stage.kernels:
            if kernel.time != 0:
                used = frozenset(formula.symbols(kernel.time))
                here.setdefault(used, []).append(kernel.time)
        for used, times in here.items():
            terms.setdefault(used, []).append((tuple(times), stage.repeat))
    found = [Part(used, tuple(stages)) for used, stages in terms.items()]
    return sorted(found, key=lambda part: part.grows)


def source(cost: Cost) -> str:
    """Return a cost as one Python expression over the features."""
    inlined = Inlined()
    return _bounded(cost, _sum([part.python(inlined) for part in parts(cost)]), inlined)


def _sum(texts: list[str]) -> str:
    return " + ".join(f"({text})" for text in texts) or "0"


def _bounded(cost: Cost, seconds: str, inlined: Inlined) -> str:
    """Return seconds, or the least that an iteration takes, as a Python expression."""
    if cost.least == 0:
        return seconds
    least = inlined.python(cost.least)
    return f"(_least if (_seconds := {seconds}) < (_least := {least}) else _seconds)"


# What the tables of a cost were asked and have not measured, by the name of the table.
Asked = dict[str, Unmeasured]


# Python from outside: from its name, and by name what it reads, to seconds.
Ask = Callable[..., float]


def nobody(name: str, /, **_: float) -> float:
    """Stand for Python where none is at hand. Raises LookupError."""
    raise LookupError(f"{name!r} is Python, and is not here")


def not_known(_: str, /, **__: float) -> float:
    """Stand for Python where a sum is told without it: what it is part of is no number."""
    return nan


def table_names(cost: Cost, asked: Asked) -> dict[str, object]:
    """Return the tables of a cost as generated source calls them; they note what they are asked."""
    return {
        TABLE + table.name: interpolation(table.grid, asked.setdefault(table.name, Unmeasured()))
        for table in cost.tables
    }


def compiled(cost: Cost, asked: Asked | None = None, ask: Ask = nobody) -> Callable[[Batch], float]:
    """Return the function from a batch to the seconds that its iteration takes.

    In `asked` it notes what it has asked the tables of the cost that they have not measured; `ask`
    is asked for the times that Python says.
    """
    needed = sorted(features(cost))
    tables = table_names(cost, {} if asked is None else asked) | {EXTERN: ask}
    text = source(cost)
    inner: Callable[..., float] = pythonsource.function(
        of_cost(cost), ", ".join(needed), text, tables
    )
    if not needed:
        return lambda _: inner()
    arguments = ", ".join(f"batch.{name}" for name in needed)
    return pythonsource.function(of_cost(cost), "batch", f"inner({arguments})", {"inner": inner})  # type: ignore[no-any-return]


class _Known(dict[int, float]):
    """The values of a part that depends on one feature, each computed once."""

    def __init__(self, what: str, part: Part, names: dict[str, object]) -> None:
        super().__init__()
        (name,) = part.features
        self._value = pythonsource.function(what, name, part.python(Inlined()), names)

    def __missing__(self, feature: int) -> float:
        value: float = self._value(feature)
        self[feature] = value
        return value


def compiled_features(cost: Cost, asked: Asked) -> Callable[..., float]:
    """Return the same as a function of all features of a batch, in their order.

    What depends on one number is looked up once it is known: launches are computed but once.
    """
    tables = table_names(cost, asked)
    names, inlined = dict(tables), Inlined()
    found = []
    for number, part in enumerate(parts(cost)):
        if len(part.features) == 1 and not part.grows:
            names[f"known{number}"] = _Known(of_cost(cost), part, tables)
            found.append(f"known{number}[{''.join(part.features)}]")
        else:
            found.append(part.python(inlined))
    every = ", ".join(f.name for f in fields(Batch))
    text = _bounded(cost, _sum(found), inlined)
    return pythonsource.function(of_cost(cost), every, text, names)  # type: ignore[no-any-return]


WAITS = "waits for its host"  # the share of that


class Share(Struct, frozen=True):
    """What an operator takes of an iteration: seconds, where they are from, what that knows.

    `domain` has for each axis of a table what it measured first and last, where that is one thing.
    """

    name: str
    seconds: float
    source: str
    domain: tuple[tuple[str, float, float], ...] = ()


def waited(cost: Cost, batch: Batch, ask: Ask = nobody) -> float:
    """Return the seconds of an iteration in which its devices wait for their host."""
    unbounded = replace(cost, least=0)
    return compiled(cost, ask=ask)(batch) - compiled(unbounded, ask=ask)(batch)


def shares(cost: Cost, batch: Batch, ask: Ask = nobody) -> Iterator[Share]:
    """Yield what each operator takes of an iteration, all its repeats together.

    Operators are named `STAGE.OPERATOR` where their stage has a name; before them come `overhead`
    and, where it may take longer than its devices, what one waits for it (`WAITS`). They add up to
    what `compiled` returns, but for rounding.
    """
    known = {table.name: table for table in cost.tables}
    unbounded = replace(cost, least=0)
    yield Share("overhead", compiled(replace(unbounded, stages=()), ask=ask)(batch), "formula")
    if cost.least != 0:
        yield Share(WAITS, waited(cost, batch, ask), "formula")
    for stage in cost.stages:
        for kernel in stage.kernels:
            one = replace(unbounded, overhead=0, stages=(Stage("", 1, (kernel,)),))
            asked = [p for p in formula.every_part(kernel.time) if p.operation == "table"]
            domain = domain_of(known[str(asked[0].arguments[0])]) if asked else ()
            name = f"{stage.name}.{kernel.name}" if stage.name else kernel.name
            yield Share(name, compiled(one, ask=ask)(batch) * stage.repeat, kernel.source, domain)


def domain_of(table: Measured) -> tuple[tuple[str, float, float], ...]:
    """Return the axes of a table, with the least and the greatest of their points."""
    ends = zip(table.axes, ends_of(table.grid), strict=True)
    return tuple((axis, low, high) for axis, (low, high) in ends)


# Seconds from the sum of contexts, of blocks of 16 tokens in them, and the longest context.
GrowingTime = Callable[[int, int, int], float]

SECONDS = "SECONDS"  # stands for them in source


class DecodeTime:
    """The seconds of an iteration in which all requests decode.

    It is the sum of a part that stays as it is while they decode on, and of others that grow; what
    is added to what is kept: `fixed + first + second`, and not `fixed + (first + second)`.
    """

    def __init__(self, cost: Cost, asked: Asked) -> None:
        """Compile it for iterations without prefills."""
        every, tables = parts(cost), table_names(cost, asked)
        self._what = of_cost(cost)
        growing = [part for part in every if part.grows]
        counting = ", ".join(COUNTING)
        none = ", ".join(f"{name}=0" for name in OF_PREFILLS)
        counts, inlined = f"{counting}, {none}", Inlined()
        self._grows = bool(growing_features(cost))
        fixed = _sum([part.python(inlined) for part in every if not part.grows])
        if not self._grows:
            fixed = _bounded(cost, fixed, inlined)
        self._fixed = pythonsource.function(self._what, counts, fixed, tables)
        grows = not formula.symbols(cost.least).isdisjoint(GROWING)
        # Of one that grows it is not known before the run: so many may wait.
        least = "inf" if grows else inlined.python(cost.least)
        self._least = pythonsource.function(self._what, counts, least, tables | {"inf": inf})
        inlined = Inlined(frozenset(BATCH_FEATURES) - set(GROWING))
        # What the counts alone decide is computed once for each count, by a function around it.
        seconds = _sum(["fixed", *(part.python(inlined) for part in growing)])
        self._seconds = seconds, _bounded(cost, seconds, inlined)
        self._early = inlined.found
        self._counts, self._names = f"fixed, {counts}", tables
        self._growing = self.made(f"def made({', '.join(GROWING)}): return {SECONDS}", {})
        self.known: dict[int, tuple[float, GrowingTime | None]] = {}

    def made(self, source: str, names: Mapping[str, object]) -> Callable[[float, int], Any]:
        """Return what makes functions of the source of one: each for a count, and what is `fixed`.

        The source defines `made`, and reads the seconds of an iteration as SECONDS, an expression
        over its variables `contexts`, `context_blocks` and `longest_context`.
        """
        early = [f"{name} = {text}" for text, name in self._early.items()]

        @cache
        def around(seconds: str) -> Callable[..., Any]:
            lines = [*early, *source.replace(SECONDS, seconds).splitlines(), "return made"]
            text = "\n    ".join([f"def around({self._counts}):", *lines])
            names_ = {**self._names, **names}
            found: Callable[..., Any] = pythonsource.statements(self._what, text, names_)["around"]
            return found

        free, bounded = self._seconds
        return lambda fixed, count: around(bounded if self._may_wait(count) else free)(
            fixed, *[count] * len(COUNTING)
        )

    def _may_wait(self, count: int) -> bool:
        """Tell whether so many may wait for their host: for others nothing is compared."""
        return bool(self._least(*[count] * len(COUNTING)) > 0)

    def of(self, count: int) -> tuple[float, GrowingTime | None]:
        """Return the seconds while so many requests decode on: a number, or a function."""
        found = self.known.get(count)
        if found is None:
            fixed = self._fixed(*[count] * len(COUNTING))
            growing = self._growing(fixed, count) if self._grows else None
            found = self.known[count] = fixed, growing
        return found


def watermark(kv: KVCache, share: float) -> int:
    """Return the bytes that admission leaves free: so many whole blocks of the capacity."""
    block = kv.block_tokens * kv.bytes_per_token
    return int(share * kv.capacity // block * block) if block > 0 else 0


# Bytes that a request holds, from its context, prompt and output in tokens.
Footprint = Callable[[int, int, int], int]


def compiled_footprint(kv: KVCache, below: Callable[..., int] | None = None) -> Footprint:
    """Return the footprint of a request as a function, in whole bytes.

    Where `below` is given, it is called for a size below zero, with that and what it is of.
    """
    text, names = pythonsource.python(kv.footprint), "context, prompt, output"
    if not formula.is_whole(kv.footprint):
        text = f"ceil({text})"
    if below is not None:
        text = f"_size if (_size := {text}) >= 0 else below(_size, {names})"
    return pythonsource.function(of_kvcache(kv.name), names, text, {"below": below})  # type: ignore[no-any-return]


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
    inner = pythonsource.function(of_kvcache(kv.name), names, pythonsource.python(time), {})
    return lambda r: inner(r.length, r.prompt, r.output, r.held)


@cache
def compiled_prefix(
    cost: Cost, stage: int | None, kernel: int | None, ask: Ask = nobody
) -> Callable[[Batch], float]:
    """Return the seconds of a part of an iteration, without what is beside its kernels.

    Without a stage, of all stages. With one: of those before it (`kernel` -1), of one repeat of it
    (None), or of one repeat up to a kernel and with it.
    """
    stages = cost.stages
    if kernel == -1:
        stages = stages[:stage]
    elif stage is not None:
        last = None if kernel is None else kernel + 1
        stages = (Stage("", 1, stages[stage].kernels[:last]),)
    part = replace(cost, stages=stages, overhead=0, least=0)
    return compiled(part, ask=ask)
