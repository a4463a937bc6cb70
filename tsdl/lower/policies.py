"""Policies to the plan: the settings of the local stage, and the handlers of both stages."""

from msgspec.structs import replace

from tsdl import ast
from tsdl.evaluate import Evaluator, Instance
from tsdl.evaluate.values import Place
from tsdl.formula import Formula, Value, make, substituted, symbol, symbols
from tsdl.lower.handlers import formula_here, lower_handlers, lower_states, names_around
from tsdl.lower.ineffective import is_base, report_ineffective, warn
from tsdl.lower.speculating import speculation_of
from tsdl.plan import Extern, Global, Local
from tsdl.planhandlers import Handler
from tsdl.program import ChoiceName
from tsdl.schema import EVENTS
from tsdl.source import Span


def lower_local(
    evaluator: Evaluator, policy: Instance, facts: dict[str, Value], used: dict[Span, Handler]
) -> Local:
    """Return the local stage of a policy on workers of which some facts are known.

    A handler whose guard can never hold on them is left out; the places of the others go to `used`.
    """
    local = evaluator.inner(policy, "local")
    known = {Formula("field", (symbol("w"), name)): value for name, value in facts.items()}
    _report_ineffective(evaluator, local)
    return Local(
        policy=policy.name,
        batching=evaluator.word(local, "batching"),
        max_tokens=evaluator.whole(local, "max_tokens"),
        max_requests=evaluator.whole(local, "max_requests"),
        budget=_budget(evaluator, local, known),
        watermark=evaluator.real(local, "watermark"),
        preempt=evaluator.word(local, "preempt"),
        swapped_first=evaluator.get(local, "swapped_first") is True,
        queue=evaluator.word(local, "queue"),
        asynchronous=evaluator.word(local, "scheduling") == "asynchronous",
        window=evaluator.real(local, "window"),
        front_end=evaluator.real(local, "front_end"),
        behind=evaluator.real(local, "behind"),
        speculation=speculation_of(evaluator, policy),
        admit_when=substituted(_all(_rule(evaluator, local, "admit", "when")), known),
        admit_by=_rule(evaluator, local, "admit", "by"),
        # None said: nobody must go but for room, and who fits may come back.
        evict_when=substituted(_all(_rule(evaluator, local, "evict", "when"), empty=False), known),
        evict_by=_rule(evaluator, local, "evict", "by"),
        resume_when=substituted(_all(_rule(evaluator, local, "resume", "when")), known),
        resume_by=_rule(evaluator, local, "resume", "by"),
        states=lower_states(evaluator, local),
        handlers=_alive(lower_handlers(evaluator, local), facts, used),
        extern=_extern(evaluator, policy),
    )


def _named(local: Instance, *keys: str) -> set[str]:
    """Return the names in formulas of the stage, in its `let`s, and in those of blocks within."""
    said = local.members.fields
    usual = {"launch", "eager"} if "host_time" not in said else set()
    nested = [block.fields for block in local.members.blocks.values()]
    values = [said[key].value for key in keys if key in said]
    values += [definition.value for definition in local.members.lets.values()]
    values += [definition.value for fields in nested for definition in fields.values()]
    names = (node for value in values for node in ast.walk(value) if isinstance(node, ast.Name))
    return usual | {name.id for name in names}


def _report_ineffective(evaluator: Evaluator, local: Instance) -> None:
    """Warn of what is said of launches of no host, and of swapped requests where none is swapped.

    Of these only where a policy swaps nobody whatever params are.
    """
    read = _named(local, "host_time", "overhead")
    for key, remedy in (("launch", "launch * kernels"), ("eager", "… if eager else 0 s")):
        if not read & {key, "base"}:
            why = f"neither `host_time` nor `overhead` reads `{key}`"
            report_ineffective(evaluator, local, (key,), why, f"write `host_time = {remedy}`")
    idle = evaluator.known(local, "host_time") == 0 and evaluator.get(local, "launch") != 0
    if idle and "launch" in read:
        why, remedy = (
            "the host launches no kernel by itself",
            "write `eager = true`, or a condition",
        )
        report_ineffective(evaluator, local, ("launch",), why, remedy)
    said = local.members.fields.get("preempt")
    if said is None or isinstance(evaluator.program.meanings.get(said.value), ChoiceName):
        if evaluator.word(local, "preempt") == "swap":
            return
        why, remedy = "nobody is swapped out", "write `preempt = swap`, or leave it out"
        report_ineffective(evaluator, local, ("swapped_first",), why, remedy)
        for part in local.members.clauses("resume"):
            if part.owner is local.declaration and not is_base(evaluator, local.declaration):
                warn(evaluator, "resume", part.item.span, why, remedy)


def lower_global(evaluator: Evaluator, policy: Instance, used: dict[Span, Handler]) -> Global:
    """Return the global stage; one that does not say where arrivals go sends them in turn."""
    stage = evaluator.inner(policy, "global")
    extern = _extern(evaluator, policy)
    handlers = _alive(lower_handlers(evaluator, stage), {}, used)
    if not any(h.event == "arrive" for h in handlers):
        usual = evaluator.instance(evaluator.program.prelude["round_robin"])
        handlers += lower_global(evaluator, usual, {}).handlers
    lane, keys = _queue(evaluator, stage)
    return Global(policy.name, lane, keys, lower_states(evaluator, stage), handlers, extern)


def _queue(evaluator: Evaluator, stage: Instance) -> tuple[Value | None, tuple[Value, ...]]:
    """Return the lanes in which requests wait, None for one, and their order in each."""
    for part in stage.members.clauses("queue"):
        clause = part.item
        assert isinstance(clause, ast.Clause)
        assert isinstance(clause.head, ast.Name)
        place = Place(part.owner, stage, names_around(stage) | {clause.head.id: symbol("r")})
        by = clause.preposition("by")
        within = [] if clause.within is None else [formula_here(evaluator, clause.within, place)]
        keys = tuple(formula_here(evaluator, key, place) for key in (by.objects if by else ()))
        for value in (*within, *keys):
            if not {"workers", "pending"}.isdisjoint(symbols(value)):
                raise evaluator.fail(
                    "E0502", "how requests queue cannot depend on workers, or on who waits",
                    clause.span, help=("which worker takes whom says `on arrive`",),
                )  # fmt: skip
        return (within[0] if within else None), keys
    return None, ()


def _alive(
    handlers: dict[Span, Handler], facts: dict[str, Value], used: dict[Span, Handler]
) -> tuple[Handler, ...]:
    """Return the handlers whose guard may hold, with what is known of the worker put in."""
    found = []
    for span, handler in handlers.items():
        about = EVENTS[handler.event].about if handler.event in EVENTS else ("", "", "worker")
        here = {"w", *(v for v, r in zip(handler.variables, about, strict=True) if r == "worker")}
        here -= {v for v, r in zip(handler.variables, about, strict=True) if r != "worker"}
        known = {
            Formula("field", (symbol(name), fact)): value
            for name in here
            for fact, value in facts.items()
        }
        when = substituted(handler.when, known)
        if when is not False:
            found.append(replace(handler, when=when))
            used[span] = found[-1]
    return tuple(found)


def _extern(evaluator: Evaluator, policy: Instance) -> Extern | None:
    name = evaluator.get(policy, "extern")
    definition = policy.members.fields.get("reads")
    override = policy.overrides.get("reads")
    written = override.expression if override else definition.value if definition else None
    if name is None and written is not None:
        raise evaluator.fail(
            "E0404", f"policy `{policy.name}` reads for Python, and `extern` is not set",
            written.span, "nothing else looks at it",
            help=('name the policy that the program hands in: `extern = "name"`',),
        )  # fmt: skip
    if name is None:
        return None
    assert isinstance(name, str)
    items = written.items if isinstance(written, ast.ListOf) else ()
    return Extern(name, tuple(item.value.span.text for item in items))


def _rule(evaluator: Evaluator, local: Instance, verb: str, word: str) -> tuple[Value, ...]:
    """Return what the clauses of a verb say with a preposition."""
    found: list[Value] = []
    for part in local.members.parts.get((verb, word), ()):
        clause = part.item
        assert isinstance(clause, ast.Clause)
        preposition = clause.preposition(word)
        if preposition is None or not isinstance(clause.head, ast.Name):
            continue
        names = names_around(local)
        names[clause.head.id] = symbol("r")
        place = Place(part.owner, local, names)
        found += [formula_here(evaluator, expression, place) for expression in preposition.objects]
    return tuple(found)


def _budget(evaluator: Evaluator, local: Instance, known: dict[Formula, Value]) -> Value | None:
    """Return the tokens of the next iteration; None where they are always `max_tokens`."""
    definition = local.members.fields.get("budget")
    if definition is None:
        return None
    names = names_around(local)
    (written,) = definition.parameters
    names[written] = symbol("w")
    place = Place(definition.owner, local, names)
    return substituted(formula_here(evaluator, definition.value, place), known)


def _all(conditions: tuple[Value, ...], *, empty: bool = True) -> Value:
    """Return the condition that all of several hold; `empty` where there are none."""
    if not conditions:
        return empty
    result, *others = conditions
    for condition in others:
        result = make("and", result, condition)
    return result
