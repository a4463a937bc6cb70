"""Where those parts of a plan stand in the program whose formulas may fail during a run."""

from collections.abc import Iterator, Mapping

from tsdl import parts
from tsdl.evaluate import Evaluator, Instance
from tsdl.formula import Formula
from tsdl.lower.clusters import standings
from tsdl.plan import Global, Local, Place, Plan
from tsdl.planhandlers import Handler
from tsdl.source import Span

_CLAUSES = ("admit", "evict", "resume")


def lower_parts(
    evaluator: Evaluator, plan: Plan, scenario: Instance, handlers: Mapping[Span, Handler]
) -> tuple[Place, ...]:
    """Return the places of all such parts; `handlers` are those of the plan by where they stand."""
    found = dict.fromkeys(_parts(evaluator, plan, scenario, handlers))
    return tuple(Place(part, place) for part, place in found)


def _parts(
    evaluator: Evaluator, plan: Plan, scenario: Instance, handlers: Mapping[Span, Handler]
) -> Iterator[tuple[str, str]]:
    """Yield what such a part is called, and where it stands; one may stand in several places."""
    spans = {handler: span for span, handler in handlers.items()}
    model, cluster, usual = (
        evaluator.required(scenario, key) for key in ("model", "cluster", "policy")
    )
    router = evaluator.reference(scenario, "router") or usual
    yield from _of_stage(evaluator, plan.router, router, spans)
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
        cost = evaluator.reference(worker, "cost") or model
        yield parts.of_cost(kind.cost), evaluator.place_of(cost).place
        for field, value in (("overhead", kind.cost.overhead), ("eager", kind.cost.eager)):
            if isinstance(value, Formula):  # it is part of the same function
                place = evaluator.span(evaluator.inner(policy, "local"), field).place
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
    for handler in stage.handlers:
        if handler in spans:
            yield parts.of_handler(stage.policy, handler.event), spans[handler].place


def _clauses(evaluator: Evaluator, policy: Instance) -> Iterator[tuple[str, str, Span]]:
    """Yield the clauses of a policy's local stage, each with its preposition and its place."""
    for (verb, preposition), found in evaluator.inner(policy, "local").members.parts.items():
        if verb in _CLAUSES:
            for part in found:
                yield verb, preposition, part.item.span
