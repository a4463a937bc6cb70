"""Where those parts of a plan stand in the program whose formulas may fail during a run."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from tsdl import parts
from tsdl.evaluate import Evaluator, Instance
from tsdl.formula import Formula
from tsdl.lower.clusters import standings
from tsdl.lower.handlers import statements_at
from tsdl.lower.lacking import fields_at
from tsdl.lower.models import all_served, served
from tsdl.lower.operators import Graph
from tsdl.plan import Global, Local, Plan
from tsdl.planhandlers import Handler
from tsdl.plantold import Place
from tsdl.source import Span

_CLAUSES = ("admit", "evict", "resume")


def lower_parts(
    evaluator: Evaluator,
    plan: Plan,
    scenario: Instance,
    handlers: Mapping[Span, Handler],
    graphs: Sequence[Graph],
) -> tuple[Place, ...]:
    """Return the places of all such parts; `handlers` are those of the plan by where they stand.

    `graphs` are those of the model on each of the plan's workers.
    """
    found = dict.fromkeys(_parts(evaluator, plan, scenario, handlers))
    placed = standings(evaluator, evaluator.required(scenario, "cluster"))
    for standing, kind, graph in zip(placed, plan.workers, graphs, strict=True):
        if kind.cost.source == "operators":
            cost = evaluator.reference(standing.worker, "cost")
            found |= dict.fromkeys(fields_at(evaluator, cost, graph))
    return tuple(Place(part, place) for part, place in found)


def _parts(
    evaluator: Evaluator, plan: Plan, scenario: Instance, handlers: Mapping[Span, Handler]
) -> Iterator[tuple[str, str]]:
    """Yield what such a part is called, and where it stands; one may stand in several places."""
    spans = {handler: span for span, handler in handlers.items()}
    cluster, usual = (evaluator.required(scenario, key) for key in ("cluster", "policy"))
    router = evaluator.reference(scenario, "router") or usual
    yield from _of_stage(evaluator, plan.router, router, spans)
    for part in evaluator.inner(router, "global").members.clauses("queue"):
        for word in ("queue by", "queue in"):
            yield parts.of_clause(plan.router.policy, word), part.item.span.place
    for model in all_served(evaluator, scenario):
        for key, found in model.members.parts.items():
            if key[0] in ("breakpoint", "after"):
                event = f"after {key[1]}" if key[0] == "after" else key[1]
                yield parts.of_breakpoint(event), found[0].item.span.place
    for kind, standing in zip(plan.workers, standings(evaluator, cluster), strict=True):
        worker = standing.worker
        policy = evaluator.reference(worker, "policy") or usual
        yield from _of_stage(evaluator, kind.local, policy, spans)
        for clause, preposition, span in _clauses(evaluator, policy):
            yield parts.of_clause(kind.local.policy, f"{clause} {preposition}"), span.place
        if kind.local.budget is not None:
            said = evaluator.inner(policy, "local").members.fields["budget"].value.span
            yield parts.of_budget(kind.local.policy), said.place
        if kind.local.speculation is not None:
            drafts = evaluator.inner(evaluator.inner(policy, "local"), "speculate")
            said = drafts.members.fields["acceptance"].value.span
            yield parts.of_acceptance(kind.local.policy), said.place
        kv = evaluator.required(worker, "kv")
        yield parts.of_kvcache(kind.kv.name), evaluator.place_of(kv).place
        cost = evaluator.reference(worker, "cost") or served(evaluator, scenario, worker)
        yield parts.of_cost(kind.cost), evaluator.place_of(cost).place
        local = evaluator.inner(policy, "local")
        for field in ("overhead", "eager", "host_time"):
            if isinstance(evaluator.get(local, field), Formula):  # it is part of the same function
                place = evaluator.span(local, field).place
                yield parts.of_cost(kind.cost), f"{place} (the policy's `{field}`)"
        if any(stage.divided is not False for stage in kind.cost.stages):
            overlap = evaluator.inner(evaluator.inner(policy, "local"), "overlap")
            place = evaluator.span(overlap, "when").place
            yield parts.of_cost(kind.cost), f"{place} (the policy's `overlap`)"
    for holder in (cluster.members, *cluster.members.named("node")):
        for tier in holder.named("tier"):
            for part in tier.clauses("evict"):
                yield parts.of_tier(tier.name), part.item.span.place


def _of_stage(
    evaluator: Evaluator, stage: Global | Local, policy: Instance, spans: Mapping[Handler, Span]
) -> Iterator[tuple[str, str]]:
    yield parts.of_policy(stage.policy), evaluator.place_of(policy).place
    of_the_cluster, counts = isinstance(stage, Global), Counter[str]()
    block = evaluator.inner(policy, "global" if of_the_cluster else "local")
    written = {part.item.span: part for part in block.members.clauses("on")}
    for handler in stage.handlers:
        handlers = parts.of_handler(stage.policy, handler.event)
        before = counts[handler.event]
        counts[handler.event] += len(list(handler.statements()))
        if handler not in spans:
            continue
        yield handlers, spans[handler].place
        part = written.get(spans[handler])
        if part is not None and not part.owner.module.library:
            for number, span in enumerate(statements_at(evaluator, block, part), start=before + 1):
                of = parts.of_statement(handlers, number, of_the_cluster=of_the_cluster)
                yield of, span.place


def _clauses(evaluator: Evaluator, policy: Instance) -> Iterator[tuple[str, str, Span]]:
    """Yield the clauses of a policy's local stage, each with its preposition and its place."""
    for (verb, preposition), found in evaluator.inner(policy, "local").members.parts.items():
        if verb in _CLAUSES:
            for part in found:
                yield verb, preposition, part.item.span
