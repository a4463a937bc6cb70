"""Two halves of a batch that take turns: one computes while tokens of the other are on their way.

As vLLM's dual batch overlap and SGLang's two-batch overlap do it (SPEC.md, section 7.9).
"""

from collections.abc import Mapping
from functools import reduce
from itertools import groupby

from msgspec import Struct
from msgspec.structs import replace

from tsdl.diagnostics import Label
from tsdl.evaluate import Evaluator, Instance
from tsdl.formula import Formula, Value, make, substituted, symbol
from tsdl.plan import Cost, Kernel, Stage
from tsdl.schema import BATCH_FEATURES

# The features of a half: of all that a batch has the half, but the longest context of the whole.
_HALF: dict[Formula, Value] = {
    symbol(name): make("/", symbol(name), 2) for name in BATCH_FEATURES if name != "longest_context"
}


class Overlap(Struct, frozen=True):
    """What a policy says of it: when a batch is divided, beside which classes of kernels.

    `occupies` is the share of their time that the device is busy with them itself.
    """

    when: Value
    hides: tuple[str, ...]
    occupies: Value

    def divides(self, stage: Stage) -> bool:
        """Tell whether halves take turns in a stage: it repeats, computes and waits for others."""
        waits = {self.hidden(kernel) for kernel in stage.kernels if kernel.time != 0}
        return self.when is not False and stage.repeat > 1 and waits == {True, False}

    def hidden(self, kernel: Kernel) -> bool:
        """Tell whether the other half computes beside a kernel."""
        return kernel.work_class in self.hides


def overlap_of(evaluator: Evaluator, policy: Instance, known: Mapping[Formula, Value]) -> Overlap:
    """Return what a policy says of it for a worker of which so much is known."""
    block = evaluator.inner(evaluator.inner(policy, "local"), "overlap")
    hides = evaluator.get(block, "hides")
    assert isinstance(hides, list)
    when, occupies = (
        substituted(evaluator.known(block, key), known) for key in ("when", "occupies")
    )
    return Overlap(when, tuple(map(str, hides)), occupies)


def check_overlap(
    evaluator: Evaluator,
    worker: Instance,
    model: Instance,
    policy: Instance,
    cost: Cost,
    overlap: Overlap,
) -> None:
    """Warn where batches are to be divided, and no stage has anything that could be hidden."""
    if overlap.when is False or any(map(overlap.divides, cost.stages)):
        return
    classes = " or ".join(f"`{name}`" for name in overlap.hides)
    nothing = f"no layer of `{model.name}` on `{worker.members.name}` has a kernel of {classes}"
    evaluator.sink.warning(
        "W0523",
        f"`overlap` hides nothing: {nothing if classes else '`hides` is an empty list'}",
        evaluator.span(evaluator.inner(evaluator.inner(policy, "local"), "overlap"), "when"),
        f"policy `{policy.name}`",
        secondary=(Label(evaluator.place_of(worker), "this worker"),),
        notes=(
            "ranks exchange tokens, of class `exchange`; all-reduces are of class `collective`",
        ),
        help=("leave it out, or say what else is to be hidden: `hides = [collective]`",),
    )


def divided(stage: Stage, overlap: Overlap) -> Stage:
    """Return a stage whose kernels take what they do where its batch may be divided in two.

    What computes runs twice. Of an exchange there is left, for each half, what takes longer than
    the other half's computing beside it, or at least what it occupies the device for.
    """
    if not overlap.divides(stage):
        return stage
    kernels = [kernel for kernel in stage.kernels if kernel.time != 0]
    halves = {kernel.name: substituted(kernel.time, _HALF) for kernel in kernels}
    times = {name: make("*", 2, half) for name, half in halves.items()}
    rounds = _rounds(kernels, overlap)
    computing = [_sum([halves[name] for name in before]) for before, _ in rounds]
    for number, (_, exchange) in enumerate(rounds):
        sent = _sum([halves[name] for name in exchange])
        occupied = make("*", overlap.occupies, sent)
        beside = (computing[number], computing[(number + 1) % len(rounds)])
        left = _sum([make("max", occupied, make("-", sent, time)) for time in beside])
        for name in exchange if len(exchange) > 1 else ():
            share = make("/", make("*", left, halves[name]), sent)
            times[name] = make("if", make(">", halves[name], 0), share, 0)
        if len(exchange) == 1:
            times[exchange[0]] = left
    found = [
        replace(k, time=make("if", overlap.when, times[k.name], k.time)) if k.name in times else k
        for k in stage.kernels
    ]
    return replace(stage, kernels=tuple(found))


def _rounds(kernels: list[Kernel], overlap: Overlap) -> list[tuple[list[str], list[str]]]:
    """Return the names of what computes, and of what is exchanged behind it, round by round.

    Since the stage repeats, its end goes on at its begin.
    """
    first = next(
        number
        for number, kernel in enumerate(kernels)
        if overlap.hidden(kernels[number - 1]) and not overlap.hidden(kernel)
    )
    runs = [
        [kernel.name for kernel in run]
        for _, run in groupby(kernels[first:] + kernels[:first], overlap.hidden)
    ]
    return list(zip(runs[::2], runs[1::2], strict=True))


def _sum(times: list[Value]) -> Value:
    return reduce(lambda one, other: make("+", one, other), times)
