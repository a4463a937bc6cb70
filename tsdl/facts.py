"""What is proved of a plan: how each group of workers may be simulated, and what decides it.

A fact that cannot be proved costs speed, never correctness. The ladder: a *lazy* worker is only
brought up to date when somebody looks at it; of an *eager* one, what others wait for is an event;
of a *stepped* one, every iteration; the *reference* loops over all requests of each iteration.
"""

from collections.abc import Iterator, Set

from msgspec import Struct
from msgspec.structs import replace

from tsdl.formula import NOW, STATE, Formula, Value, every_part, symbol, symbols
from tsdl.plan import KVCache, Local, Plan, Workers
from tsdl.planhandlers import Handler, formulas, statements
from tsdl.rising import never_falls, never_falls_on, never_negative

LADDER = ("lazy", "eager", "stepped", "reference")

# Fields of workers that change during a run.
LIVE = frozenset(
    {"queued", "running", "outstanding", "outstanding_tokens", "load", "kv", "waiting", "active"}
    | {"swapped", "incoming"}
)
# Lists with requests that are decoded: to read them, each has to be brought up to date.
DECODING = frozenset({"active", "decoding"})
# What an admission that memory has refused may read, and still be refused until somebody leaves:
# of these the first grow, and the others shrink, while requests are decoded.
FILLING = frozenset({"fill", "used"})
EMPTYING = frozenset({"free"})
STEADY = frozenset(
    {"running", "id", "arrived", "prompt", "output", "priority", "session", "turn", "history"}
    | {"preemptions", "generated", "context", "computed", "cached", "held"}
)  # of a worker and of a request that waits there, which do not change meanwhile


LARGEST_BLOCK = 65_536  # tokens: members of a cohort are counted by their place in a block


class Reason(Struct, frozen=True):
    """What keeps a group from a better rung: the rung it is kept to, what decides it, and why.

    `part` names what decides: `on token`, `admit when`, `resume when`, `kvcache`, `speculate`,
    `budget`, `parallel`, `swap`, `extern`, `cost`, `turns`, `concurrency`; of a handler
    `handler` is which.
    """

    rung: str
    part: str
    why: str
    handler: Handler | None = None


class Growth(Struct, frozen=True):
    """How a request's KV grows while it is decoded: by so many bytes with every `block` tokens.

    As long as its context is within a window, `near` bytes come to these, and `fixed` ones at any
    context.
    """

    block: int
    size: int
    near: int = 0
    window: int = 0
    fixed: int = 0


class Facts(Struct, frozen=True):
    """What is known of a group of workers; see the module."""

    rung: str
    reasons: tuple[Reason, ...]  # the worst first
    growth: Growth | None
    refusal_stays: bool  # who is not admitted is not before somebody leaves
    return_stays: bool  # the same of who is not swapped back
    monotone: bool  # no iteration takes less time for decoding more, or for prefills besides
    rising: bool  # nor less than the last one, where the same requests decode on
    never_negative: bool  # no iteration takes less than nothing


def facts_of(plan: Plan) -> tuple[Facts, ...]:
    """Return the facts of every group of workers, in their order."""
    return tuple(_facts(plan, kind) for kind in plan.workers)


def reasons_of(plan: Plan, kind: Workers) -> tuple[Reason, ...]:
    """Return what keeps a group of workers from better rungs, the worst first."""
    local, router = kind.local, plan.router
    reasons = [*_of_handlers(plan, kind), *_of_clauses(local), *_of_workload(plan)]
    if kind.decodes and growth_of(kind.kv) is None:
        why = f"the footprint of `{kind.kv.name}` does not grow by whole blocks of the context"
        reasons.append(Reason("reference", "kvcache", why))
    if local.speculation is not None:
        why = "each request gains another number of tokens in each iteration"
        reasons.append(Reason("reference", "speculate", why))
    if kind.ranks > 1:
        why = "its ranks begin their iterations together"
        reasons.append(Reason("stepped", "parallel", why))
    if kind.pipeline:
        reasons.append(Reason("reference", "parallel", "its iterations overlap, stage by stage"))
    if kind.swap:
        reasons.append(Reason("reference", "swap", "victims are moved over the network"))
    elif any(map(victims_may_wait, plan.workers)):
        why = "once all are idle, a victim elsewhere that waits in vain is computed anew"
        reasons.append(Reason("stepped", "swap", why))
    if local.extern is not None or router.extern is not None:
        reasons.append(Reason("reference", "extern", "Python may read and do anything"))
    if kind.cost.externs:
        reasons.append(Reason("reference", "cost", "nothing is known of what Python answers"))
    return tuple(sorted(reasons, key=lambda reason: -LADDER.index(reason.rung)))


def victims_may_wait(kind: Workers) -> bool:
    """Tell whether those who are swapped out may not come back though all is idle."""
    return bool(kind.swap) or (kind.local.preempt == "swap" and kind.local.resume_when is not True)


def rung_of(reasons: tuple[Reason, ...]) -> str:
    """Return the best rung that reasons allow; the worst of them comes first."""
    return reasons[0].rung if reasons else LADDER[0]


def _facts(plan: Plan, kind: Workers) -> Facts:
    local, reasons = kind.local, reasons_of(plan, kind)
    return Facts(
        rung_of(reasons),
        reasons,
        growth_of(kind.kv),
        # Others may bring the blocks of whoever waits, while they are prefilled.
        # Nor is it where there is more budget than there was: of whole prompts, before it is known
        # who has ended, or where one that decodes rests.
        refusal_stays=not kind.kv.shares
        and local.budget is None
        and not (local.batching == "mixed" and (local.asynchronous or local.handlers))
        and is_falling(local.admit_when)
        and _stay_first(local.admit_by),
        return_stays=local.resume_when is True and _stay_first(local.resume_by),
        monotone=never_falls(kind.cost),
        rising=never_falls_on(kind.cost, local.max_requests),
        never_negative=never_negative(kind.cost),
    )


def _stay_first(order: tuple[Value, ...]) -> bool:
    """Tell whether who is first by an order stays so while others are decoded."""
    return all(_moves(key) == 0 for key in order)


# -- memory and cost ---------------------------------------------------------------------------


def growth_of(kv: KVCache) -> Growth | None:
    """Return how a footprint grows with the context; None where it is not by whole blocks.

    It is all of a context by blocks, or what a window has of it, or both; and a constant.
    """
    *parts, fixed = _addends(kv.footprint)
    if type(fixed) is not int or fixed < 0 or len(parts) > 2:  # noqa: PLR2004
        return None
    found = [_growth_of(part) for part in parts] or [Growth(1, 0)]
    one, other = found[0], found[-1]
    if one is None or other is None or one.block != other.block:
        return None
    if len(found) == 1:
        growth = one
    elif not (one.size and other.near) or one.near or other.size:
        return None
    else:
        growth = Growth(one.block, one.size, other.near, other.window)
    return replace(growth, fixed=fixed) if growth.size or growth.near else growth


def holds_something(kv: KVCache) -> bool:
    """Tell whether a footprint is proved to be at least 0, whatever the request."""
    return growth_of(kv) is not None and symbols(kv.footprint) <= {"context"}


def _addends(value: Value) -> tuple[Value, ...]:
    """Return what a sum is of, and last its numbers, added up."""
    match value:
        case Formula("+", (one, other)):
            *left, first = _addends(one)
            *right, second = _addends(other)
            assert isinstance(first, (int, float))
            assert isinstance(second, (int, float))
            return (*left, *right, first + second)
        case int() | float() if not isinstance(value, bool):
            return (int(value) if value == int(value) else value,)
        case _:
            return value, 0


def _growth_of(value: Value) -> Growth | None:
    context = symbol("context")
    match value:
        case _ if context not in every_part(value):
            return Growth(1, 0)
        case Formula("*", (int() | float() as size, Formula("round_up", (inner, int(block))))) if (
            0 < block <= LARGEST_BLOCK and size >= 0 and size == int(size)
        ):
            return _within(inner, block, int(size) * block)
        case Formula("round_up", (inner, int(block))) if 0 < block <= LARGEST_BLOCK:
            return _within(inner, block, block)
        case Formula("*", (int() | float() as size, inner)) if size >= 0 and size == int(size):
            return _within(inner, 1, int(size))
    return _within(value, 1, 1)


def _within(inner: Value, block: int, size: int) -> Growth | None:
    """Return how what is kept of a context grows by blocks: of all of it, or within a window."""
    context = symbol("context")
    if inner == context:
        return Growth(block, size)
    match inner:
        case Formula("min", (one, other)) if context in (one, other):
            window = other if one == context else one
            return Growth(block, 0, size, window) if type(window) is int else None
    return None


# -- clauses -----------------------------------------------------------------------------------


def _of_clauses(local: Local) -> Iterator[Reason]:
    if local.evict_when is not False:
        why = "it is asked for every request of every iteration"
        yield Reason("reference", "evict when", why)
    if local.preempt == "swap" and local.resume_when is not True:
        why = "whoever is swapped out may wait for ever, and is then computed anew"
        yield Reason("reference", "resume when", why)
    clauses = {
        "admit when": (local.admit_when,),
        "admit by": local.admit_by,
        "evict by": local.evict_by,
        "resume when": (local.resume_when,),
        "resume by": local.resume_by,
        "budget": () if local.budget is None else (local.budget,),
    }
    for part, values in clauses.items():
        for value in values:
            if not _fields_of(value).isdisjoint(DECODING):
                yield Reason("reference", part, "it looks at each request that runs")
            elif reads := _reads_others(value):
                yield Reason("stepped", part, f"it depends on {reads}")
            elif not _is_pure(value):
                # A budget is asked for whenever a worker looks: a fast one may do that more often.
                rung = "reference" if part == "budget" else "stepped"
                yield Reason(rung, part, "it draws at random, or in turn")


def is_falling(value: Value) -> bool:
    """Tell whether a condition that does not hold keeps from holding while requests are decoded."""
    match value:
        case bool():
            return True
        case Formula("and" | "or", parts):
            return all(is_falling(part) for part in parts)
        case Formula("<" | "<=", (left, right)):
            return _moves(left) in (0, 1) and _moves(right) in (0, -1)
        case Formula(">" | ">=", (left, right)):
            return _moves(left) in (0, -1) and _moves(right) in (0, 1)
        case Formula("==" | "!=", (left, right)):
            return _moves(left) == 0 and _moves(right) == 0
        case Formula("not", (Formula(operation, parts),)) if operation in _OPPOSITES:
            return is_falling(Formula(_OPPOSITES[operation], parts))
    return False


_OPPOSITES = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}


_HERE = (symbol("r"), symbol("w"))  # who is to be admitted, and where
_KV = (symbol("kv"), Formula("field", (symbol("w"), "kv")))


def _moves(value: Value) -> int | None:
    """Return whether a number rises (1), falls (-1) or stays while requests are decoded."""
    if not isinstance(value, Formula):
        return 0
    match value.operation, value.arguments:
        case "field", (record, name) if record in _KV:
            return 1 if name in FILLING else -1 if name in EMPTYING else 0
        case "field", (record, name) if record in _HERE:
            return 0 if name in STEADY else None
        case "attribute", (record, _) if record in _HERE:
            return 0
        case "call", (record, "fill_with", request) if record in _KV and request == _HERE[0]:
            return 1
        case "call", (record, "needed" | "final", request) if record in _KV and request == _HERE[0]:
            return 0
        case "+" | "min" | "max", parts:
            return _same([_moves(part) for part in parts])
        case "-", (left, right):
            other = _moves(right)
            return _same([_moves(left), None if other is None else -other])
        case "*" | "/", (left, int() | float() as right):
            return _moves(left) if right > 0 else None
        case "*", (int() | float() as left, right):
            return _moves(right) if left > 0 else None
    return 0 if all(_moves(part) == 0 for part in value.arguments) and _is_plain(value) else None


def _is_plain(value: Formula) -> bool:
    return value.operation not in ("select", "symbol", "call", "field")


def _same(moves: list[int | None]) -> int | None:
    directions = {move for move in moves if move != 0}
    if not directions:
        return 0
    return directions.pop() if len(directions) == 1 else None


# -- handlers ----------------------------------------------------------------------------------


_OF_ANY = {
    "iteration": "it is told of every iteration",
    "preempt": "any iteration may have to make room",
}


def _of_handlers(plan: Plan, kind: Workers) -> Iterator[Reason]:
    """Yield what handlers need to be told of a group, and when."""
    everything = (*kind.local.handlers, *plan.router.handlers)
    points = {point.event for point in kind.breakpoints}
    for handler in everything:
        part = f"on {handler.event}"
        if not fields(handler).isdisjoint(DECODING):
            yield Reason("reference", part, "it looks at each request that runs", handler)
        elif kind.local.preempt == "swap" and _sends_on(handler):
            why = "whoever is handed over and whoever is swapped out may wait for each other"
            yield Reason("reference", part, why, handler)
        elif handler.event in points:
            yield Reason("reference", part, "it stops iterations at a breakpoint", handler)
        elif handler.event == "token" and kind.decodes and not _first_token_only(handler):
            yield Reason("reference", part, "it looks at every token", handler)
        elif handler.event in ("iteration", "preempt"):
            yield Reason("stepped", part, _OF_ANY[handler.event], handler)
        elif _does(handler, {"transfer"}):
            why = "an end or a preemption gives back what it has sent ahead, wherever that is"
            yield Reason("stepped", part, why, handler)
        elif handler.event in ("token", "start", "admit", "finish"):
            yield Reason("eager", part, "it is told when that happens", handler)


def _sends_on(handler: Handler) -> bool:
    """Tell whether a handler may have KV handed over, now or ahead of its request.

    Who arrives or is submitted is at no worker, and is dispatched for the first time.
    """
    words = {"submit", "transfer"}
    if handler.event not in ("arrive", "submit"):
        words.add("dispatch")
    return _does(handler, words)


def _does(handler: Handler, words: Set[str]) -> bool:
    """Tell whether a handler has an action among its statements."""
    return any(statement.word in words for statement in handler.statements())


def _of_workload(plan: Plan) -> Iterator[Reason]:
    if plan.workload.talks:
        part = "mix" if plan.workload.parts else "turns"
        yield Reason("eager", part, "the next question waits for the answer")
    elif plan.workload.concurrency is not None:
        yield Reason("eager", "concurrency", "the next request waits until another one has ended")


def _first_token_only(handler: Handler) -> bool:
    """Tell whether a handler of tokens does nothing but at the first of a request."""
    request = handler.variables[0] if handler.variables else ""
    if _is_first(handler.when, request):
        return True
    # A condition before that may draw, or fail, at every token.
    return (
        handler.when is True
        and bool(handler.body)
        and all(
            s.word == "if" and not s.otherwise and _is_first(s.values[0], request)
            for s in handler.body
        )
    )


def _is_first(condition: Value, request: str) -> bool:
    generated = Formula("field", (symbol(request), "generated"))
    match condition:
        case Formula("==", (left, 1)) | Formula("<", (left, 2)) | Formula("<=", (left, 1)):
            return left == generated
        case Formula("and", (first, *_)):  # what comes after it is then not computed for others
            return _is_first(first, request)
    return False


# -- what formulas read ------------------------------------------------------------------------


def fields(handler: Handler) -> set[str]:
    """Return the names of all fields that a handler reads."""
    return {name for value in formulas(handler) for name in _fields_of(value)}


def reads_on(handler: Handler) -> bool:
    """Tell whether a handler may read what a dispatch of its own has changed."""
    dispatched = False
    for statement in handler.statements():
        # What a loop reads may come after what it did the time before.
        dispatched |= statement.word == "for" and any(
            inner.word == "dispatch" for inner in statements(statement.body)
        )
        read = {name for value in statement.values for name in _fields_of(value)}
        if dispatched and not read.isdisjoint(LIVE):
            return True
        dispatched |= statement.word == "dispatch"
    return False


def _fields_of(value: Value) -> set[str]:
    found = (part for part in every_part(value) if part.operation in ("field", "call"))
    return {str(part.arguments[1]) for part in found}


def _reads_others(value: Value) -> str:
    """Return what a formula reads that changes of itself: the time, or state; "" for neither."""
    parts = list(every_part(value))
    if NOW in parts:
        return "the time"
    names = (str(part.arguments[0]) for part in parts if part.operation == "symbol")
    return "state" if any(name.startswith(STATE) for name in names) else ""


def _is_pure(value: Value) -> bool:
    """Tell whether a formula may be left out where its value is known."""
    chosen = (part.arguments[0] for part in every_part(value) if part.operation == "select")
    return all(function not in ("random", "round_robin") for function in chosen)
