"""A checked program and a scenario to a plan. What only values can show is reported here."""

from msgspec.structs import replace

from tsdl import ast
from tsdl.diagnostics import Diagnostic, Label, Severity
from tsdl.diagnostics.words import several
from tsdl.evaluate import Evaluator, Failed, Instance
from tsdl.evaluate.values import Place
from tsdl.formula import Value, why_none
from tsdl.lower.breakpoints import lower_breakpoints, names_of
from tsdl.lower.clusters import blocks_of, check_ranks, devices_of, lower_tiers, standings
from tsdl.lower.files import FileReader
from tsdl.lower.formulas import lower_parts
from tsdl.lower.handingover import check_hand_over
from tsdl.lower.idle import never_happening, report_idle, report_unasked
from tsdl.lower.lacking import check_values
from tsdl.lower.mixing import lower_requests, parts_of
from tsdl.lower.models import (
    Identity,
    all_served,
    check_kept,
    check_models,
    identity,
    served,
)
from tsdl.lower.operators import Graph
from tsdl.lower.overlapping import check_overlap
from tsdl.lower.pipeline import check_pipeline
from tsdl.lower.places import (
    check_names,
    check_reach,
    check_stored,
    check_swap,
    check_tiers,
    named_at,
)
from tsdl.lower.policies import lower_global, lower_local
from tsdl.lower.rungs import lower_rungs
from tsdl.lower.scaling import check_scaled
from tsdl.lower.sharing import (
    check_blocks,
    check_shared_tiers,
    check_sharing,
    without_contents,
)
from tsdl.lower.sizes import check_sizes
from tsdl.lower.workers import lower_workers, tables_of
from tsdl.plan import (
    FORMAT,
    Breakpoint,
    Condition,
    Cost,
    Global,
    Local,
    Model,
    Plan,
    Recorded,
    Site,
    Tier,
    Workers,
)
from tsdl.planhandlers import Handler
from tsdl.plantold import Doc
from tsdl.program import Declaration
from tsdl.source import Span
from tsdl.types import Type
from tsdl.units import Dimension

__all__ = ["FileReader", "lower"]


def lower(evaluator: Evaluator, scenario: Declaration, read: FileReader) -> Plan | None:
    """Return the plan of a scenario, or None with the reasons in the evaluator's sink."""
    before = len(evaluator.sink.found)
    plan = None
    try:
        plan = _plan(evaluator, scenario, read)
    except Failed:
        pass  # it is told
    except ArithmeticError as error:
        evaluator.fail(
            "E0504",
            f"the times of this scenario cannot be computed: {why_none(error)}",
            scenario.span,
            help=("look for a size, a rate or an efficiency that is beyond all measure",),
        )
    new = [_placed(diagnostic, scenario) for diagnostic in evaluator.sink.found[before:]]
    evaluator.sink.found[before:] = new
    return None if any(d.severity is Severity.ERROR for d in new) else plan


def _placed(found: Diagnostic, scenario: Declaration) -> Diagnostic:
    """Return a finding of which all places are the library's with one that its reader wrote."""
    places = [found.span, *(label.span for label in found.secondary)]
    if found.span is None or any(p and not p.source.of_library for p in places):
        return found
    there = Label(found.span, found.label or "here")
    return replace(
        found, span=scenario.span, label="in this scenario", secondary=(there, *found.secondary)
    )


def _plan(evaluator: Evaluator, declaration: Declaration, read: FileReader) -> Plan:
    scenario = evaluator.instance(declaration)
    cluster, policy, workload = (
        evaluator.required(scenario, key) for key in ("cluster", "policy", "workload")
    )
    slo = evaluator.reference(scenario, "slo")
    router = evaluator.reference(scenario, "router")
    used: dict[Span, Handler] = {}
    stage = lower_global(evaluator, router or policy, used)
    found, policies, devices = _workers(evaluator, scenario, stage, used, read)
    workers = [kind for kind, _ in found]
    check_models(evaluator, scenario, workers)
    check_kept(evaluator, cluster, workers, stage)
    models = all_served(evaluator, scenario)
    tiers = lower_tiers(evaluator, cluster)
    _check_places(evaluator, scenario, cluster, workers, stage, tiers)
    place = named_at(evaluator, scenario, "cluster", cluster)
    check_hand_over(evaluator, place, workers, policies, stage, used)
    for kind in workers:
        check_reach(evaluator, place, kind, tiers)
    routed = named_at(evaluator, scenario, "router" if router else "policy", router or policy)
    placed = list(standings(evaluator, cluster))
    check_scaled(evaluator, (router or policy, routed), placed, workers)
    asked, never = [*policies, router or policy], never_happening(workers, stage, tiers=bool(tiers))
    blocks = blocks_of(evaluator, cluster)
    known = {
        "group": list(dict.fromkeys(block.members.name for block in blocks)),
        "hardware": list(dict.fromkeys(evaluator.required(b, "hardware").name for b in blocks)),
        "model": list(dict.fromkeys(model.name for model in models)),
    }
    breakpoints = [name for model in models for name in names_of(model)]
    report_idle(evaluator, asked, used, breakpoints, known, never)
    _check_series(evaluator, scenario)
    lowered = lower_requests(evaluator, workload, read)
    for standing, kind in zip(placed, workers, strict=True):
        for part in lowered.kinds:
            check_blocks(evaluator, evaluator.required(standing.worker, "kv"), kind, part)
    mixed = parts_of(evaluator, workload)
    sharing = any(tier.shares for tier in tiers) or any(kind.kv.shares for kind in workers)
    if not sharing:
        kinds = [
            without_contents(evaluator, instance, part, cluster.name)
            for instance, part in zip(mixed, lowered.kinds, strict=True)
        ]
        lowered = replace(lowered, parts=tuple(kinds)) if lowered.parts else kinds[0]
    check_sizes(evaluator, scenario, workers, lowered)
    for standing, (kind, graph) in zip(placed, found, strict=True):
        check_values(evaluator, standing.worker, graph, kind, lowered)
    names = [p.name for p in policies]
    plan = Plan(
        format=FORMAT,
        scenario=declaration.name,
        seed=evaluator.whole(scenario, "seed"),
        workers=tuple(workers),
        tiers=tiers,
        site=_site(evaluator, cluster),
        policy=", ".join(dict.fromkeys(names)) + (f" with {router.name}" if router else ""),
        router=stage,
        workload=lowered,
        metrics=_metrics(evaluator),
        slo=_conditions(evaluator, slo, "bound") if slo else (),
        expects=_conditions(evaluator, scenario, "expect"),
        until=evaluator.optional(scenario, "until"),
        timeseries=evaluator.word(scenario, "timeseries"),
        sample=evaluator.optional(scenario, "sample"),
        docs=_docs(scenario, *models, cluster, *policies, router, workload, *mixed, slo, *devices),
        rungs=(),
        places=(),
    )
    check_shared_tiers(evaluator, cluster, plan, [stage, *(kind.local for kind in workers)])
    return replace(
        plan,
        rungs=lower_rungs(evaluator, plan, scenario, used),
        places=lower_parts(evaluator, plan, scenario, used, [graph for _, graph in found]),
    )


def _workers(
    evaluator: Evaluator,
    scenario: Instance,
    stage: Global,
    used: dict[Span, Handler],
    read: FileReader,
) -> tuple[list[tuple[Workers, Graph]], list[Instance], list[Instance]]:
    """Return the workers with the graph there, the policies that run on them, their devices."""
    cluster, policy = (evaluator.required(scenario, k) for k in ("cluster", "policy"))
    found: list[tuple[Workers, Graph]] = []
    policies: list[Instance] = []
    devices: list[Instance] = []
    check_ranks(evaluator, cluster)
    # The workers of each policy, with what they serve.
    placed: dict[int, list[tuple[Instance, Instance, Cost]]] = {}
    # As they are on the first workers: weights may go by devices.
    models: dict[Identity, Model] = {}
    known: dict[int, tuple[Workers, Graph]] = {}  # of a node that stands more than once, its first
    for standing in standings(evaluator, cluster):
        worker = standing.worker
        if id(worker) in known:
            first, graph = known[id(worker)]
            found.append((replace(first, node=standing.node), graph))
            continue
        model = served(evaluator, scenario, worker)
        own = evaluator.reference(worker, "policy") or policy
        new = own not in policies
        policies += [own] if new else []
        others = worker.members.named("offload")
        blocks = [worker, *(evaluator.inner(worker, "offload", other.name) for other in others)]
        devices += [evaluator.required(block, "hardware") for block in blocks]
        local = lower_local(evaluator, own, _facts(evaluator, worker, model), used)
        _check_budget(evaluator, own, local)
        _check_ahead(evaluator, own, local)
        if new:
            report_unasked(evaluator, own, local, stage)
        check_sharing(evaluator, evaluator.required(worker, "kv"), own)
        tables = tables_of(evaluator, worker, read)
        lowered, graph = lower_workers(evaluator, standing, model, own, local, tables)
        handled = {h.event for h in (*local.handlers, *stage.handlers)}
        breakpoints, handlers = lower_breakpoints(evaluator, model, lowered.cost, graph, handled)
        check_pipeline(evaluator, worker, own, lowered, breakpoints)
        _check_lock_step(evaluator, model, worker, lowered.ranks, breakpoints)
        local = replace(lowered.local, handlers=local.handlers + handlers)
        known[id(worker)] = (
            replace(
                lowered,
                model=models.setdefault(identity(model), lowered.model),
                breakpoints=breakpoints,
                local=local,
            ),
            graph,
        )
        found.append(known[id(worker)])
        placed.setdefault(id(own), []).append((worker, model, lowered.cost))
    if not found:
        raise evaluator.fail(
            "E0513",
            f"cluster `{cluster.name}` has no workers",
            evaluator.place_of(cluster),
            help=("write `worker gpu { hardware = A100_80G }`",),
        )
    for each in policies:
        check_overlap(evaluator, each, placed[id(each)])
    return found, policies, devices


def _site(evaluator: Evaluator, cluster: Instance) -> Site:
    site = evaluator.required(cluster, "site")
    return Site(
        site.name,
        evaluator.optional(site, "electricity"),
        evaluator.optional(site, "carbon"),
        evaluator.real(site, "pue"),
    )


def _check_series(evaluator: Evaluator, scenario: Instance) -> None:
    """See that an interval is given only where the time series is sampled. Raises Failed."""
    sampled = evaluator.optional(scenario, "sample") is not None
    if sampled and evaluator.word(scenario, "timeseries") == "changes":
        raise evaluator.fail(
            "E0521",
            f"scenario `{scenario.name}` has both `timeseries = changes` and `sample`",
            evaluator.span(scenario, "sample"),
            "changes come at no interval",
            secondary=(Label(evaluator.span(scenario, "timeseries"), "set here"),),
            help=("leave `sample` out, or write `timeseries = sampled`",),
        )


def _check_places(
    evaluator: Evaluator,
    scenario: Instance,
    cluster: Instance,
    workers: list[Workers],
    stage: Global,
    tiers: tuple[Tier, ...],
) -> None:
    """See that tiers and workers that are named are there, and mean one thing. Raises Failed."""
    check_names(evaluator, cluster, tiers, workers)
    users = [(scenario, "policy"), (scenario, "router")]
    for standing, kind in zip(standings(evaluator, cluster), workers, strict=True):
        check_swap(evaluator, standing, kind.swap, tiers, workers)
        users.append((standing.worker, "policy"))
    policies = [
        (policy, named_at(evaluator, user, key, policy))
        for user, key in users
        if (policy := evaluator.reference(user, key)) is not None
    ]
    check_tiers(evaluator, policies, tiers, cluster)
    handlers = [*stage.handlers, *(h for kind in workers for h in kind.local.handlers)]
    check_stored(evaluator, policies, handlers)


def _facts(evaluator: Evaluator, worker: Instance, model: Instance) -> dict[str, Value]:
    """Return what is known of a worker before the run, so that guards can be decided."""
    runs = evaluator.word(worker, "runs")
    return {
        "prefills": runs in ("prefill", "both"),
        "decodes": runs in ("decode", "both"),
        "group": worker.members.name,
        "devices": devices_of(evaluator, worker),
        "hardware": evaluator.required(worker, "hardware").name,
        "model": model.name,
    }


def _check_budget(evaluator: Evaluator, policy: Instance, local: Local) -> None:
    """See that an iteration that prefills and decodes holds a token of each that decodes."""
    each = local.decode_tokens
    if local.prefills_beside and local.max_tokens < local.max_requests * each:
        block = evaluator.inner(policy, "local")
        place, of_each, fewer = evaluator.span(block, "max_tokens"), "", ""
        if each > 1:
            place = evaluator.span(evaluator.inner(block, "speculate"), "tokens")
            of_each, fewer = f" of {each} tokens", ", or draft fewer `tokens`"
        raise evaluator.fail(
            "E0516",
            f"an iteration of {several(local.max_tokens, 'token')} is too small for "
            f"{several(local.max_requests, 'request')}{of_each}",
            place,
            secondary=(Label(evaluator.span(block, "max_requests"), "so many may decode at once"),),
            help=(f"raise `max_tokens` or lower `max_requests`{fewer}",),
        )


def _check_ahead(evaluator: Evaluator, policy: Instance, local: Local) -> None:
    """See that what is scheduled ahead of results does not wait for them."""
    if local.asynchronous and local.batching == "static":
        block = evaluator.inner(policy, "local")
        raise evaluator.fail(
            "E0525",
            "static batches are not scheduled ahead",
            evaluator.span(block, "scheduling"),
            secondary=(Label(evaluator.span(block, "batching"), "the next begins when one ends"),),
            help=(
                "use `batching = chunked`, `mixed` or `prefill_first`, or leave `scheduling` out",
            ),
        )


def _check_lock_step(
    evaluator: Evaluator,
    model: Instance,
    worker: Instance,
    ranks: int,
    breakpoints: tuple[Breakpoint, ...],
) -> None:
    """See that ranks that end their iterations together do not stop in them. Raises Failed."""
    if ranks > 1 and breakpoints:
        event = breakpoints[0].event
        key = ("after", event[6:]) if event.startswith("after ") else ("breakpoint", event)
        raise evaluator.fail(
            "E0528",
            f"{ranks} ranks go in lock-step, and their iterations are stopped at a breakpoint",
            evaluator.span(worker, "parallel"),
            f"worker `{worker.members.name}`",
            secondary=(Label(model.members.parts[key][0].item.span, "stopped here"),),
            help=("leave `ranks` out, or the breakpoint and its handlers",),
        )


def _conditions(evaluator: Evaluator, holder: Instance, verb: str) -> tuple[Condition, ...]:
    found = []
    for part in holder.members.clauses(verb):
        match part.item:
            case ast.Bound(comparison=comparison):
                expressions: tuple[ast.Expr, ...] = (comparison,)
            case ast.Clause(objects=expressions):
                pass
            case _:
                continue
        place = Place(part.owner, holder)
        found += [_condition(evaluator, expression, place) for expression in expressions]
    return tuple(found)


def _condition(evaluator: Evaluator, expression: ast.Expr, place: Place) -> Condition:
    text = " ".join(expression.span.text.split())
    parts: tuple[Condition, ...] = ()
    if isinstance(expression, ast.Binary) and expression.operator == "and":
        both = [_condition(evaluator, side, place) for side in (expression.left, expression.right)]
        parts = tuple(each for one in both for each in one.parts or (one,))
    value = evaluator.formula(expression, place)
    left = expression.left if isinstance(expression, ast.Binary) else expression
    return Condition(text, value, _measure(evaluator.program.types.get(left)), parts)


def _metrics(evaluator: Evaluator) -> tuple[Recorded, ...]:
    """Return the metrics that the program declares, in the order of their names."""
    declared = sorted(evaluator.program.shared("metric").items())
    types = evaluator.program.types
    return tuple(
        Recorded(name, _measure(types.get(first.clause.head) if first.clause.head else None))
        for name, (first, *_) in declared
    )


def _measure(type_: Type | None) -> str:
    """Return what a value of a type measures, for people to read it by."""
    dimension = getattr(getattr(type_, "of", type_), "dimension", None)
    if dimension in (Dimension.of("time"), Dimension.of("time/tokens")):
        return "time"
    return next((m for m in ("data", "energy") if dimension == Dimension.of(m)), "")


def _docs(*instances: Instance | None) -> tuple[Doc, ...]:
    found = {}
    for instance in filter(None, instances):
        declaration = instance.declaration
        if declaration.clause.doc:
            found[(declaration.kind, declaration.name)] = declaration.clause.doc
    return tuple(Doc(kind, name, text) for (kind, name), text in found.items())
