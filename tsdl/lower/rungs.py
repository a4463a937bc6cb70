"""How each group of workers will be simulated, with the line of the program that decides it."""

from collections.abc import Mapping

from tsdl.evaluate import Evaluator, Instance
from tsdl.facts import Reason, reasons_of, rung_of
from tsdl.lower.clusters import standings
from tsdl.plan import Plan
from tsdl.planhandlers import Handler
from tsdl.plantold import Because, Rung
from tsdl.source import Span


def lower_rungs(
    evaluator: Evaluator, plan: Plan, scenario: Instance, handlers: Mapping[Span, Handler]
) -> tuple[Rung, ...]:
    """Return the rung of every group; `handlers` are those of the plan by where they stand."""
    places = {handler: span for span, handler in handlers.items()}
    cluster = evaluator.required(scenario, "cluster")
    policy = evaluator.required(scenario, "policy")
    found = []
    for kind, standing in zip(plan.workers, standings(evaluator, cluster), strict=True):
        reasons = reasons_of(plan, kind)  # what else is known of it only a run asks for
        own = evaluator.reference(standing.worker, "policy") or policy
        because = tuple(
            Because(
                reason.rung,
                reason.part,
                span.place if span is not None else "",
                reason.why,
            )
            for reason in reasons
            for span in [_place(evaluator, reason, places, own, standing.worker, scenario)]
        )
        found.append(Rung(kind.name, rung_of(reasons), because))
    return tuple(found)


def _place(
    evaluator: Evaluator,
    reason: Reason,
    handlers: Mapping[Handler, Span],
    policy: Instance,
    worker: Instance,
    scenario: Instance,
) -> Span | None:
    """Return where that stands which decides."""
    if reason.handler is not None:
        return handlers.get(reason.handler)
    match reason.part.split():
        case [("admit" | "evict" | "resume") as verb, preposition]:
            parts = evaluator.inner(policy, "local").members.parts.get((verb, preposition), ())
            return parts[0].item.span if parts else None
        case ["budget"]:
            return evaluator.inner(policy, "local").members.fields["budget"].value.span
        case ["speculate"]:
            return evaluator.place_of(
                evaluator.inner(evaluator.inner(policy, "local"), "speculate")
            )
        case ["kvcache"]:
            return evaluator.place_of(evaluator.required(worker, "kv"))
        case [("parallel" | "swap" | "cost") as field]:
            return evaluator.span(worker, field)
        case ["mix" | "turns" | "concurrency" as key]:
            return evaluator.span(evaluator.required(scenario, "workload"), key)
    return evaluator.place_of(policy)
