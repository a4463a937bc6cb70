"""Two iterations of a worker for people: what each operator takes, and why they may never be."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import isnan

from msgspec import Struct
from msgspec.structs import replace

from tsdl.costs import WAITS, Batch, Share, compiled, compiled_footprint, not_known, shares, waited
from tsdl.diagnostics.words import several
from tsdl.formula import Value, substituted
from tsdl.lower.collectives import norm
from tsdl.plan import Kernel, Local, Model, Roof, Stage, Workers
from tsdl.pythonsource import function, python

_WHOLE = ("longest_context",)  # what half a batch has as all of it has
_WORK = 27  # columns of what a kernel computes and moves, and of what bounds it


class Iterations(Struct, frozen=True):
    """Those whose operators' times are shown: requests that decode, and one that is prefilled."""

    decodes: int = 1
    context: int = 1024  # tokens of each that decodes
    prefill: int = 1024  # tokens of the prompt

    @property
    def titles(self) -> tuple[str, str]:
        """Return the heads of both columns."""
        many = f" {self.decodes:,}" if self.decodes > 1 else ""
        return f"decode{many} at {self.context:,}", f"prefill of {self.prefill:,}"

    def batches(self, local: Local) -> tuple[Batch, Batch]:
        """Return what both are made of; peers, where there are any, have as much to do."""
        decode, prefill = Batch(), Batch()
        decode.add_decodes([self.context] * self.decodes, local.decode_tokens)
        prefill.add_prefill(self.prefill, 0, last=True)
        for batch in (decode, prefill):
            batch.close()
        return decode, prefill


def halves_lines(workers: Workers, iterations: Iterations) -> list[str]:
    """Return where halves of a batch take turns, and whether they do in what is shown."""
    blocks = [stage for stage in workers.cost.stages if stage.divided is not False]
    if not blocks:
        return []
    both = zip(iterations.titles, iterations.batches(workers.local), strict=True)
    here = [title for title, batch in both if _holds(blocks[0].divided, batch)]
    names = " and ".join(f"`{stage.name}`" for stage in blocks)
    told = f"of these the {' and the '.join(here)}" if here else "none of these"
    if blocks[0].divided is True:
        return [f"    halves    take turns in {names}"]
    return [f"    halves    take turns in {names} where {blocks[0].divided}: {told}"]


def _holds(condition: Value, batch: Batch) -> bool:
    try:
        return substituted(condition, batch.known()) is True
    except ArithmeticError:
        return False


def iteration_lines(workers: Workers, model: Model, iterations: Iterations) -> list[str]:
    """Return the time of each operator in a decode and in a prefill, as lines of a table."""
    cost = workers.cost
    batches = iterations.batches(workers.local)
    times = list(zip(*(_shares_of(workers, batch) for batch in batches), strict=True))
    kernels = [(stage, kernel) for stage in cost.stages for kernel in stage.kernels]
    told = bool(cost.tables or cost.externs)
    beside = len(times) - len(kernels)
    names = [
        f"{share.name} × {stage.repeat}" if stage.repeat > 1 else share.name
        for (stage, _), (share, _) in zip(kernels, times[beside:], strict=True)
    ]
    width = max([28, *(len(name) + 1 for name in names)])
    wide = max(18, *(len(title) + 1 for title in iterations.titles))
    titles = "".join(
        f"{title:>{wide}}{'GFLOP':>9}{'MB':>9}  {'bound':<7}" for title in iterations.titles
    )
    head = f"    {'operator':<{width}}{'class':<12}{titles}{'  from' if told else ''}"
    lines = [head.rstrip()]
    lines += [
        f"    {both[0].name:<{width + 12}}{_cells(wide, [share.seconds for share in both])}"
        for both in times[:beside]
        if both[0].name != "overhead" or cost.overhead != 0
    ]
    bounds: tuple[Counter[str], ...] = (Counter(), Counter())  # seconds, by what they are for
    for both in times[:beside]:
        if both[0].name == WAITS:
            for share, bound in zip(both, bounds, strict=True):
                bound["host"] += share.seconds
    for name, (stage, kernel), both in zip(names, kernels, times[beside:], strict=True):
        if kernel.time == 0:
            continue  # no iteration ever has it
        where, cells = f"  {kernel.source}" if told else "", ""
        for share, batch, bound in zip(both, batches, bounds, strict=True):
            work, side = _work(stage, kernel, batch, share.seconds)
            bound[side] += share.seconds
            cells += _cell(wide, share.seconds) + work
        lines.append(f"    {name:<{width}}{kernel.work_class:<12}{cells}{where}".rstrip())
    sums = _sums(workers, batches)
    for name, seconds in sums:
        lines.append(f"    {name:<{width + 12}}{_cells(wide, seconds)}")
    known = not any(isnan(bound.total()) for bound in bounds)
    if known and any(kernel.roof for _, kernel in kernels):
        cells = "".join(f"  {_shares(bound):>{wide + _WORK - 2}}" for bound in bounds)
        lines.append(f"    {'bound by':<{width + 12}}{cells}")
    noted = list(_notes(workers, model, iterations))
    if any(s < 0 for _, seconds in sums for s in seconds):
        noted.append("a run ends where an iteration would take less than no time")
    return [*lines, *(f"    note      {note}" for note in noted)]


def _shares_of(workers: Workers, batch: Batch) -> Iterator[Share]:
    """Yield what each operator takes; each stage of a pipeline waits for its own host."""
    for share in shares(workers.cost, batch, not_known):
        if share.name == WAITS and workers.pipeline:
            seconds = sum(waited(stage, batch, not_known) for stage in workers.pipeline)
            yield replace(share, seconds=seconds)
        else:
            yield share


def _sums(workers: Workers, batches: tuple[Batch, Batch]) -> list[tuple[str, tuple[float, ...]]]:
    """Return what each stage of a pipeline takes, and then what all of an iteration does."""
    stages = workers.pipeline or (workers.cost,)
    times = [tuple(compiled(s, ask=not_known)(batch) for batch in batches) for s in stages]
    names = [f"stage {number + 1} of {len(stages)}" for number in range(len(workers.pipeline))]
    names[:-1] = [f"{name}, send included" for name in names[:-1]]
    whole = tuple(map(sum, zip(*times, strict=True)))
    return [*zip(names, times, strict=False), ("an iteration", whole)]


def _notes(workers: Workers, model: Model, iterations: Iterations) -> Iterator[str]:
    """Yield why no run has iterations like these."""
    local, kv = workers.local, workers.kv
    decodes, context, prefill = iterations.decodes, iterations.context, iterations.prefill
    if decodes > local.max_requests:
        most = several(local.max_requests, "request")
        yield f"no iteration has so many decodes: at most {most} run at once"
    held = decodes * compiled_footprint(kv)(context, max(context - 1, 1), 1)
    if held > kv.capacity and not kv.shares:
        needed, room = (f"{size / 2**30:,.1f}" for size in (held, kv.capacity))
        yield f"the decodes hold {needed} GiB of KV together, and there is room for {room}"
    longest = max(context, prefill)
    if longest > model.context:
        yield (
            f"no request has {several(longest, 'token')}: "
            f"the model's context ends at {model.context:,}"
        )
    if local.batching == "chunked" and prefill > local.max_tokens:
        yield f"the prompt is prefilled in chunks of at most {several(local.max_tokens, 'token')}"


def _work(stage: Stage, kernel: Kernel, batch: Batch, seconds: float) -> tuple[str, str]:
    """Return what a kernel computes and moves, and its bound; nothing where it is not launched.

    Where halves of the batch take turns it is launched for each of them.
    """
    halves = _holds(stage.divided, batch)
    launches = stage.repeat * (2 if halves else 1)
    features: dict[str, float] = {name: getattr(batch, name) for name in batch.__slots__}
    if halves:
        features = {f: v if f in _WHOLE else v / 2 for f, v in features.items()}
    both = (kernel.flops, kernel.bytes) if seconds else (0, 0)
    flops, moved = (_at(work, features) for work in both)
    sends = kernel.wire != 0 or kernel.remote != 0
    if not seconds or (kernel.roof is None and not (kernel.on and sends)):
        bound = ""
    elif kernel.roof is None or (halves and sends):
        bound = "link"  # what is left of it, behind the other half's computing
    else:
        bound = _bound(kernel.roof, flops, moved, seconds / launches, sends=sends)
    return f"{launches * flops / 1e9:>9.1f}{launches * moved / 1e6:>9.1f}  {bound:<7}", bound


def _bound(roof: Roof, flops: float, moved: float, seconds: float, *, sends: bool) -> str:
    """Return what most of the time of a launch is for."""
    computing, moving = flops / roof.compute, moved / roof.bandwidth
    sides = {"compute": computing, "memory": moving, "launch": roof.launch}
    if sends:
        both = norm(computing, moving, roof.sharpness)
        assert isinstance(both, (int, float))
        sides["link"] = seconds - roof.launch - both
    return max(sides, key=sides.__getitem__)


def _shares(bound: Counter[str]) -> str:
    """Return what kernels' time is for, by the bound of each."""
    whole = bound.total() or 1.0
    told = [f"{side or 'others'} {seconds / whole:.0%}" for side, seconds in bound.most_common()]
    return ", ".join(share for share in told if not share.endswith(" 0%"))


def _cells(wide: int, both: Sequence[float]) -> str:
    """Return times beside which no work is told."""
    return f"{' ' * _WORK}".join(_cell(wide, seconds) for seconds in both)


def _cell(wide: int, seconds: float) -> str:
    text = "not known" if isnan(seconds) else f"{seconds * 1e3:.3f} ms"
    return f"{text:>{wide}}"


def _at(value: Value, features: Mapping[str, float]) -> float:
    return float(function("a plan", "", python(value), dict(features))())
