"""A plan for people: what would run, where it runs, what its times assume."""

from tsdl.costs import Batch, compiled
from tsdl.formula import Value, function, python
from tsdl.plan import Cost, Draw, Kernel, Plan, Stage, Workers


def describe(plan: Plan) -> str:
    """Return the plan as lines of text."""
    model = plan.model
    lines = [
        f"scenario {plan.scenario}   plan {plan.hash[:16]}   seed {plan.seed}",
        f"  model     {model.name}: {model.parameters / 1e9:.4g} billion parameters "
        f"in {model.dtype}, context {model.context:,} tokens",
        f"  policy    {plan.policy}: {_local(plan)}",
        f"  arrivals  go to {plan.dispatch}",
        f"  workload  {_workload(plan)}",
    ]
    lines += [f"  slo       {condition.text}" for condition in plan.slo]
    lines += [f"  expect    {condition.text}" for condition in plan.expects]
    for workers in plan.workers:
        lines += ["", *_workers(workers)]
    for doc in plan.docs:
        first, *rest = doc.text.split("\n")
        lines += ["", f"  {doc.kind} {doc.name}: {first}", *(f"    {line}" for line in rest)]
    return "\n".join(lines)


def _local(plan: Plan) -> str:
    local = plan.local
    told = [
        f"{local.batching} batching",
        f"at most {local.max_requests:,} requests and {local.max_tokens:,} tokens an iteration",
        f"preemption by {local.preempt}",
    ]
    if local.watermark:
        told.append(f"{local.watermark:.1%} of KV kept free at admission")
    if local.admit_when is not True:
        told.append(f"admits when {local.admit_when}")
    if local.admit_by:
        told.append(f"admits by {', '.join(map(str, local.admit_by))}")
    if local.evict_by:
        told.append(f"evicts by {', '.join(map(str, local.evict_by))}")
    return "; ".join(told)


def _workload(plan: Plan) -> str:
    workload = plan.workload
    told = [workload.name]
    if workload.table and workload.replay:
        told.append(f"replays {len(workload.table.prompt):,} requests")
    if workload.requests is not None:
        told.append(f"{workload.requests:,} requests")
    if workload.duration is not None:
        told.append(f"for {workload.duration:g} s")
    if workload.arrivals:
        told.append(f"arrivals {_draw(workload.arrivals)}")
    if workload.table and not workload.replay:
        told.append(f"lengths drawn from {len(workload.table.prompt):,} pairs")
    for name, draw in (("prompt", workload.prompt), ("output", workload.output)):
        if draw:
            told.append(f"{name} {_draw(draw)}")
    if workload.warmup:
        told.append(f"the first {workload.warmup:g} s not counted")
    return ", ".join(told)


def _draw(draw: Draw) -> str:
    inside = [f"{name} = {value:g}" for name, value in draw.parameters]
    if draw.parts:
        inside += [f"{_draw(p)}: {w:.0%}" for p, w in zip(draw.parts, draw.values, strict=True)]
    elif draw.values:
        inside.append(f"{len(draw.values)} values")
    return f"{draw.name}({', '.join(inside)})"


def _workers(workers: Workers) -> list[str]:
    kv = workers.kv
    gib = 2**30
    tokens = int(kv.capacity / kv.bytes_per_token) if kv.bytes_per_token else 0
    devices = f"{workers.devices} × " if workers.devices > 1 else ""
    lines = [
        f"  worker {workers.name} × {workers.count}: {devices}{workers.hardware}",
        f"    memory    {workers.memory / gib:.2f} GiB: weights {workers.weights / gib:.2f}, "
        f"reserve {workers.reserve / gib:.2f}, KV {kv.capacity / gib:.2f} "
        f"({kv.name}, {kv.bytes_per_token / 1024:g} KiB a token: {tokens:,} tokens)",
    ]
    if workers.cost.source != "operators":
        kernel = workers.cost.stages[0].kernels[0]
        lines.append(f"    iteration {kernel.time} seconds ({workers.cost.source})")
        return lines
    lines += [*_assumptions(workers), *_operators(workers.cost)]
    return lines


def _assumptions(workers: Workers) -> list[str]:
    """Show the peaks, and what each class of operators is assumed to reach of them."""
    lines = [
        f"    peaks     {workers.peak_compute / 1e12:.5g} TFLOPS, "
        f"{workers.peak_bandwidth / 1e12:.4g} TB/s a device"
        + (f", {workers.link.name} between them" if workers.devices > 1 else ""),
        f"    {'assumed of them':<40}{'compute':>18}{'bandwidth':>18}{'launch':>10}{'p-norm':>10}",
    ]
    for reached in workers.efficiencies:
        norm = "max" if reached.sharpness is None else f"{reached.sharpness:g}"
        lines.append(
            f"      {reached.work_class:<38}{reached.compute:>18.1%}{reached.bandwidth:>18.1%}"
            f"{reached.overhead * 1e6:>7.1f} us{norm:>10}"
        )
    return lines


def _operators(cost: Cost) -> list[str]:
    """Show the time of each operator for a prefill of 1,024 tokens and a decode at that context."""
    prefill, decode = Batch(), Batch()
    prefill.add_prefill(1024, 0, last=True)
    decode.add_decodes([1024])
    function = compiled(cost)
    totals = (function(decode), function(prefill))
    lines = [
        f"    {'operator':<28}{'class':<12}{'decode at 1,024':>18}"
        f"{'prefill of 1,024':>18}{'its GFLOP':>11}{'its MB':>10}"
    ]
    for stage in cost.stages:
        lines += [_kernel(stage, kernel, prefill, decode) for kernel in stage.kernels]
    lines.append(f"    {'an iteration':<40}{totals[0] * 1e3:>15.3f} ms{totals[1] * 1e3:>15.3f} ms")
    return lines


def _kernel(stage: Stage, kernel: Kernel, prefill: Batch, decode: Batch) -> str:
    name = f"{stage.name}.{kernel.name}" if stage.name else kernel.name
    times = stage.repeat
    shown = f"{name} × {times}" if times > 1 else name
    cells = [f"{_at(kernel.time, batch) * times * 1e3:>15.3f} ms" for batch in (decode, prefill)]
    flops, moved = _at(kernel.flops, prefill) * times, _at(kernel.bytes, prefill) * times
    work = f"{flops / 1e9:>11.1f}{moved / 1e6:>10.1f}"
    return f"    {shown:<28}{kernel.work_class:<12}{cells[0]}{cells[1]}{work}"


def _at(value: Value, batch: Batch) -> float:
    features = {name: getattr(batch, name) for name in batch.__slots__}
    return float(function("a plan", "", python(value), features)())
