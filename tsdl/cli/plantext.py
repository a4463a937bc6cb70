"""A plan for people: what would run, where it runs, what its times assume."""

from collections.abc import Collection

from msgspec.structs import replace

from tsdl.cli.heldtext import held_text
from tsdl.cli.iterationtext import Iterations, halves_lines, iteration_lines
from tsdl.cli.policytext import stage_lines
from tsdl.cli.rungs import rung_text
from tsdl.costs import domain_of
from tsdl.diagnostics.words import several
from tsdl.formulaerrors import formulas_told
from tsdl.plan import (
    Cost,
    Efficiency,
    Local,
    Model,
    Offload,
    Peak,
    Plan,
    Site,
    Speculation,
    Tier,
    Workers,
)
from tsdl.plantold import Rung
from tsdl.planworkload import Attribute, Draw, Workload

USUAL = Iterations()


def describe(plan: Plan, shown: Iterations = USUAL) -> str:
    """Return the plan as lines of text. Raises TsdlError where a time has no value (E0901)."""
    with formulas_told(plan):
        return "\n".join(_lines(plan, shown))


def _lines(plan: Plan, iterations: Iterations) -> list[str]:
    lines = [
        f"scenario {plan.scenario}   plan {plan.hash[:16]}   seed {plan.seed}",
        *(_model(model) for model in plan.models),
        f"  policy    {plan.policy}",
        f"  workload  {_workload(plan.workload)}",
        *(f"    mixes   {_workload(part)}" for part in plan.workload.parts),
        *stage_lines("global", plan.router, [metric.name for metric in plan.metrics]),
        _cluster(plan),
    ]
    lines += [_tier(tier) for tier in plan.tiers]
    lines += [f"  slo       {condition.text}" for condition in plan.slo]
    lines += [f"  expect    {condition.text}" for condition in plan.expects]
    shown: list[Workers] = []
    for workers in plan.workers:
        alike = replace(workers, node="")
        if alike not in shown:  # nodes alike have workers alike
            shown.append(alike)
            nodes = [w.node for w in plan.workers if replace(w, node="") == alike]
            rung = plan.rungs[plan.workers.index(workers)]
            lines += ["", *_workers(workers, nodes, rung, plan, iterations)]
    for doc in plan.docs:
        first, *rest = doc.text.split("\n")
        lines += ["", f"  {doc.kind} {doc.name}: {first}", *(f"    {line}" for line in rest)]
    return lines


def _model(model: Model) -> str:
    return (
        f"  model     {model.name}: {model.parameters / 1e9:.4g} billion parameters "
        f"in {_formats(model)}, context {several(model.context, 'token')}"
    )


def _formats(model: Model) -> str:
    """Return the number format of a model, and where it has another."""
    others = {
        "weights": (model.weight_dtype, model.dtype),
        "experts": (model.expert_dtype, model.weight_dtype),
        "compute": (model.compute_dtype, model.dtype),
        "KV": (model.kv_dtype, model.dtype),
    }
    told = [f"{what} in {own}" for what, (own, usual) in others.items() if own != usual]
    return f"{model.dtype} ({', '.join(told)})" if told else model.dtype


def _drafts(speculation: Speculation) -> str:
    chance, drafter = speculation.acceptance, speculation.drafter
    shown = f"{chance:.4g}" if isinstance(chance, (int, float)) else str(chance)
    by = f" by {drafter}" if drafter else ""
    return f"drafts {several(speculation.tokens, 'token')}{by}, each right by a chance of {shown}"


def _local(local: Local, metrics: Collection[str]) -> list[str]:
    told = [
        f"{local.batching} batching",
        f"at most {several(local.max_requests, 'request')} and "
        f"{several(local.max_tokens, 'token')} an iteration",
        f"preemption by {local.preempt}",
    ]
    if local.watermark:
        told.append(f"{local.watermark:.1%} of KV kept free at admission")
    if local.asynchronous:
        told.append("scheduled an iteration ahead")
    if local.window:
        told.append(f"waits {local.window:g} s for others")
    late = [f"{1e3 * local.front_end:g} ms"] if local.front_end else []
    late += [f"{local.behind:g} × the usual gap"] if local.behind else []
    if late:
        told.append(f"users have tokens {' and '.join(late)} later")
    if local.speculation:
        told.append(_drafts(local.speculation))
    if local.queue != "arrival":
        told.append(f"queue in the order of a {local.queue}")
    lines = [f"    policy    {local.policy}: {'; '.join(told)}"]
    if local.budget is not None:
        lines.append(f"              budget(w) = {local.budget}")
    for verb in ("admit", "evict", "resume"):
        when, by = getattr(local, f"{verb}_when"), getattr(local, f"{verb}_by")
        if not isinstance(when, bool):
            lines.append(f"              {verb} r when {when}")
        if by:
            lines.append(f"              {verb} r by {', '.join(map(str, by))}")
    return [*lines, *(f"          {line}" for line in stage_lines("local", local, metrics))]


def _cluster(plan: Plan) -> str:
    """Add up devices, price and power."""
    devices = sum(w.count * w.devices for w in plan.workers)
    price = sum(w.count * w.price for w in plan.workers)
    idle = sum(w.count * w.idle_power for w in plan.workers)
    peak = sum(w.count * w.peak_power for w in plan.workers)
    return (
        f"  cluster   {several(devices, 'device')}, {price:,.0f} USD, "
        f"{idle:,.0f} to {peak:,.0f} W, at {_site(plan.site)}"
    )


def _site(site: Site) -> str:
    told = [f"PUE {site.pue:g}"]
    if site.electricity is not None:
        told.append(f"{site.electricity * 3.6e6:g} USD/kWh")
    if site.carbon is not None:
        told.append(f"{site.carbon * 3.6e6:g} gCO2/kWh")
    return f"{site.name} ({', '.join(told)})"


def _tier(tier: Tier) -> str:
    told = [f"{tier.capacity / 2**30:.4g} GiB"]
    if tier.latency:
        told.append(f"{tier.latency * 1e9:g} ns a block of {tier.block_tokens}")
    if tier.link:
        told.append(f"over {tier.link.name}")
    told.append(f"evicts by {', '.join(map(str, tier.evict_by))}")
    where = f" of node {tier.node}" if tier.node else ""
    return f"  tier      {tier.name}{where}: {', '.join(told)}"


_FEW_TEXTS = 8
_DRAWN = ("turns", "think", "prompt", "output", "priority")


def _workload(workload: Workload) -> str:
    told = [workload.name]
    if workload.parts:
        told.append("of those below, together")
    if workload.table and workload.replay:
        sessions = len(workload.table.turns)
        inside = f" in {several(sessions, 'session')}" if sessions else ""
        told.append(f"replays {several(len(workload.table.prompt), 'request')}{inside}")
        if workload.table.content:
            told.append(f"with names of what is in each {workload.table.span} tokens of a prompt")
    if workload.requests is not None:
        told.append(several(workload.requests, "request"))
    if workload.sessions is not None:
        told.append(f"{workload.sessions:,} conversations")
    if workload.duration is not None:
        told.append(f"for {workload.duration:g} s")
    if workload.arrivals:
        told.append(f"arrivals {_draw(workload.arrivals)}")
    if workload.concurrency is not None:
        told.append(f"{workload.concurrency:,} open at most")
    if workload.table and not workload.replay:
        told.append(f"lengths drawn from {len(workload.table.prompt):,} pairs")
    draws = {name: getattr(workload, name) for name in _DRAWN}
    told += [f"{name} {_draw(draw)}" for name, draw in draws.items() if draw]
    told += [f"{own.name} {_draw(own.draw)}{_texts(own)}" for own in workload.attributes]
    if workload.prefix:
        one = "one text" if workload.prefixes == 1 else f"one of {workload.prefixes:,} texts"
        where = "stand behind" if workload.prefix_added else "begin with"
        told.append(f"prompts {where} {one} of {_draw(workload.prefix)} tokens")
    if workload.warmup:
        told.append(f"the first {workload.warmup:g} s not counted")
    return ", ".join(told)


def _texts(attribute: Attribute) -> str:
    """Tell which numbers stand for which texts, of the first of them."""
    if not attribute.names:
        return ""
    shown = [f"{at} {text}" for at, text in enumerate(attribute.names[:_FEW_TEXTS])]
    more = len(attribute.names) - len(shown)
    return f" ({', '.join(shown)}{f' and {more:,} more' if more else ''})"


def _draw(draw: Draw) -> str:
    if draw.name == "rows":
        return "of its row in the file"
    inside = [f"{name} = {value:g}" for name, value in draw.parameters]
    if draw.parts:
        inside += [f"{_draw(p)}: {w:.0%}" for p, w in zip(draw.parts, draw.values, strict=True)]
    elif draw.values:
        inside.append(f"{len(draw.values)} values")
    name = {"between": "uniform"}.get(draw.name, draw.name)  # as people write it
    return f"{name}({', '.join(inside)})"


def _workers(
    workers: Workers, nodes: list[str], rung: Rung, plan: Plan, iterations: Iterations
) -> list[str]:
    kv, metrics = workers.kv, [metric.name for metric in plan.metrics]
    gib = 2**30
    devices = f"{workers.devices} × " if workers.devices > 1 else ""
    together = f", {workers.ranks} in lock-step" if workers.ranks > 1 else ""
    together += f", in {len(workers.pipeline)} stages" if workers.pipeline else ""
    many = f" in each of {len(nodes)} nodes" if len(nodes) > 1 else ""
    where = f" in node {workers.node}" if workers.node and not many else many
    held = f", KV {kv.capacity / gib:.2f} ({kv.name}, {held_text(workers, workers.model)})"
    away = any(offload.keeps_kv for offload in workers.offloads)
    lines = [
        f"  worker {workers.name} × {workers.count}{where}: {devices}{workers.hardware}{together}",
        f"    memory    {workers.memory / gib:.2f} GiB: weights {workers.weights / gib:.2f}, "
        f"reserve {workers.reserve / gib:.2f}{'' if away else held}",
    ]
    for offload in workers.offloads:
        many = f"{offload.count} × " if offload.count > 1 else ""
        lines.append(
            f"    offload   {offload.name}: {many}{offload.hardware} over {offload.link.name}, "
            f"{offload.memory / gib:.2f} GiB: weights {offload.weights / gib:.2f}"
            f"{held if offload.keeps_kv else ''}"
        )
    if len(plan.models) > 1:
        lines.insert(1, f"    model     {workers.model.name}")
    lines += [*_connection(workers), *_local(workers.local, metrics)]
    lines.append(f"    engine    {rung_text(rung)}")
    lines += halves_lines(workers, iterations)
    cost = workers.cost
    if cost.source == "operators":
        timed = iteration_lines(workers, workers.model, iterations)
        return [*lines, *_assumptions(workers, workers.model), *timed, *_tables(cost)]
    for kernel in cost.stages[0].kernels:
        lines.append(f"    {kernel.name or 'iteration':<9} {kernel.time} seconds ({cost.source})")
    if cost.overhead != 0:
        lines.append(f"    {'overhead':<9} {cost.overhead} seconds (policy)")
    if cost.least != 0:
        lines.append(f"    {'host':<9} at least {cost.least} seconds (policy)")
    return [*lines, *_tables(cost)]


def _connection(workers: Workers) -> list[str]:
    """Show what a worker runs, and how KV reaches it, where that is not the usual."""
    told = []
    if not (workers.prefills and workers.decodes):
        told.append("runs prefill" if workers.prefills else "runs decode")
        told.append(f"KV over {workers.port.name}, {workers.port.bandwidth / 1e9:.4g} GB/s")
        if workers.network:
            bandwidth = workers.network.bandwidth / 1e9
            own = f", {workers.rail.bandwidth / 1e9:.4g} of them its own" if workers.rail else ""
            told.append(f"{workers.network.name} beyond its node, {bandwidth:.4g} GB/s{own}")
        told.append(f"taken in {workers.handoff}")
    if workers.buffer is not None:
        told.append(f"at most {workers.buffer / 2**20:.4g} MiB on their way")
    if workers.swap:
        told.append(f"victims swapped to {workers.swap}")
    told += [f"stops at {point.event}" for point in workers.breakpoints]
    return [f"    transfer  {', '.join(told)}"] if told else []


def _peaks(peaks: tuple[Peak, ...], plain: Peak | None) -> str:
    """Show the peak of each number format that is computed in, and what is attained of it."""
    return ", ".join(
        f"{peak.compute / 1e12:.5g} TFLOPS"
        + (f" in {peak.dtype} ({100 * peak.attained:.3g} % attained)" if peaks != (plain,) else "")
        for peak in peaks
    )


def _assumptions(workers: Workers, model: Model) -> list[str]:
    """Show the peaks, and what each class of operators is assumed to reach of them."""
    plain = Peak(model.dtype, workers.peak_compute, 1.0)
    return [
        f"    peaks     {_peaks(workers.peaks, plain)}, {workers.peak_bandwidth / 1e12:.4g} TB/s a "
        "device" + (f", {workers.link.name} between them" if workers.devices > 1 else ""),
        *_reached("assumed of them", workers.efficiencies, _sending(workers)),
        *(line for offload in workers.offloads for line in _of_offload(offload, _sending(workers))),
    ]


def _sending(workers: Workers) -> set[str]:
    """Return the classes that only send: their times are those of links, and of launches."""
    kernels = [kernel for stage in workers.cost.stages for kernel in stage.kernels]
    working = {kernel.work_class for kernel in kernels if kernel.flops != 0 or kernel.bytes != 0}
    return {kernel.work_class for kernel in kernels} - working


def _of_offload(offload: Offload, sending: set[str]) -> list[str]:
    peaks = _peaks(offload.peaks, None)
    bandwidth = offload.peak_bandwidth / 1e12
    return [
        f"    peaks     of {offload.name}: {peaks}, {bandwidth:.4g} TB/s a device",
        *_reached(f"assumed of {offload.name}", offload.efficiencies, sending),
    ]


def _reached(title: str, efficiencies: tuple[Efficiency, ...], sending: set[str]) -> list[str]:
    lines = [f"    {title:<40}{'compute':>18}{'bandwidth':>18}{'launch':>10}{'p-norm':>10}"]
    for reached in efficiencies:
        norm = "max" if reached.sharpness is None else f"{reached.sharpness:g}"
        shares = [f"{share:.1%}" for share in (reached.compute, reached.bandwidth)]
        if reached.work_class in sending:
            norm, shares = "–", ["–", "–"]
        how = "widened" if reached.widened else "weights in"
        weights = f", {how} {reached.stored_in}" if reached.stored_in else ""
        named = reached.work_class + weights
        lines.append(
            f"      {named:<38}{shares[0]:>18}{shares[1]:>18}"
            f"{reached.overhead * 1e6:>7.1f} us{norm:>10}"
            + (f", and {reached.extra * 1e6:g} us by the policy" if reached.extra else "")
        )
    return lines


def _tables(cost: Cost) -> list[str]:
    """Show the tables, and what they have measured."""
    lines = []
    for table in cost.tables:
        axes = (f"{axis} {low:g} to {high:g}" for axis, low, high in domain_of(table))
        which = f", {table.rows}" if table.rows else ""
        lines.append(f"    table     {table.name}: {', '.join(axes)}; {table.file}{which}")
    return lines
