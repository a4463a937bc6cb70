"""Two halves of a batch that take turns: one computes while tokens of the other are on their way.

As vLLM's dual batch overlap and SGLang's two-batch overlap do it (SPEC.md, section 7.9).
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from itertools import groupby

from msgspec import Struct
from msgspec.structs import replace

from tsdl.diagnostics import Label
from tsdl.diagnostics.suggest import nearest
from tsdl.evaluate import Evaluator, Instance
from tsdl.formula import Formula, Value, make, substituted, symbol, symbols
from tsdl.lower.negatives import check_share
from tsdl.plan import Cost, Kernel, Stage
from tsdl.schema import BATCH_FEATURES, OF_A_WORKER

# The features of a half: of all that a batch has the half, but the longest context of the whole.
_HALF: dict[Formula, Value] = {
    symbol(name): make("/", symbol(name), 2) for name in BATCH_FEATURES if name != "longest_context"
}

_EXCHANGED = ("collective", "exchange")  # classes of what devices tell one another


class Overlap(Struct, frozen=True):
    """What a policy says of it: when a batch is divided, beside which classes of kernels.

    `occupies` is the share of their time that the device is busy with them itself.
    """

    when: Value = False
    hides: tuple[str, ...] = ()
    occupies: Value = 0

    def hidden(self, kernel: Kernel) -> bool:
        """Tell whether the other half computes beside a kernel: by its class, or by where it is."""
        return kernel.work_class in self.hides or (kernel.on != "" and kernel.on in self.hides)

    def takes_turns(self, stage: Stage) -> bool:
        """Tell whether a stage repeats, and has what computes and what is hidden beside it."""
        return stage.repeat > 1 and len({self.hidden(k) for k in _launched(stage)}) > 1


def overlap_of(evaluator: Evaluator, policy: Instance, known: Mapping[Formula, Value]) -> Overlap:
    """Return what a policy says of it for a worker of which so much is known. Raises Failed."""
    block = _block(evaluator, policy)
    if block is None:
        return Overlap()
    hides = evaluator.get(block, "hides")
    assert isinstance(hides, list)
    when, occupies = (_known(evaluator, block, key, known) for key in ("when", "occupies"))
    check_share(evaluator, block, "occupies", occupies)
    return Overlap(when, tuple(map(str, hides)), occupies)


def _known(
    evaluator: Evaluator, block: Instance, key: str, known: Mapping[Formula, Value]
) -> Value:
    """Return a formula of the block, for what is known. Raises Failed where it reads more.

    How many kernels are launched is not known before it is known which batches are divided.
    """
    found = substituted(evaluator.known(block, key), known)
    if unknown := sorted(symbols(found) & (OF_A_WORKER.keys() - {"devices"})):
        raise evaluator.fail(
            "E0502",
            f"`{key}` depends on the `{unknown[0]}` of a worker, and says itself what runs twice",
            evaluator.span(block, key),
            help=("`overlap` reads the features of the batch and `devices`",),
        )
    return found


def _block(evaluator: Evaluator, policy: Instance) -> Instance | None:
    """Return the block of a policy that says so; None where it divides nothing."""
    local = evaluator.inner(policy, "local")
    written = ("overlap", "") in local.members.blocks
    return evaluator.inner(local, "overlap") if written else None


def marked(stages: Iterable[Stage], overlap: Overlap) -> list[Stage]:
    """Return the stages of a graph; those in which halves take turns know when they do."""
    return [
        replace(stage, divided=overlap.when) if overlap.takes_turns(stage) else stage
        for stage in stages
    ]


def _launched(stage: Stage) -> list[Kernel]:
    return [kernel for kernel in stage.kernels if kernel.time != 0]


def divided(stage: Stage, overlap: Overlap) -> Stage:
    """Return a stage whose kernels take what they do where its batch may be divided in two.

    What computes runs twice. Of an exchange there is left, for each half, what takes longer than
    the other half's computing beside it, or at least what it occupies the device for.
    """
    if stage.divided is False:
        return stage
    kernels = _launched(stage)
    halves = [substituted(kernel.time, _HALF) for kernel in kernels]
    times = [make("*", 2, half) for half in halves]
    rounds = _rounds([overlap.hidden(kernel) for kernel in kernels])
    computing = [_sum([halves[number] for number in before]) for before, _ in rounds]
    for number, (_, exchange) in enumerate(rounds):
        sent = _sum([halves[n] for n in exchange])
        occupied = make("*", overlap.occupies, sent)
        beside = (computing[number], computing[(number + 1) % len(rounds)])
        left = _sum([make("max", occupied, make("-", sent, time)) for time in beside])
        if len(exchange) == 1:
            times[exchange[0]] = left
        else:
            for n in exchange:
                share = make("/", make("*", left, halves[n]), sent)
                times[n] = make("if", make(">", halves[n], 0), share, 0)
    found = iter(times)
    return replace(
        stage,
        kernels=tuple(
            replace(k, time=make("if", stage.divided, next(found), k.time)) if k.time != 0 else k
            for k in stage.kernels
        ),
    )


def _rounds(hidden: list[bool]) -> list[tuple[list[int], list[int]]]:
    """Return the numbers of what computes, and of what is exchanged behind it, round by round.

    Since the stage repeats, its end goes on at its begin.
    """
    numbers = range(len(hidden))
    first = next(n for n in numbers if hidden[n - 1] and not hidden[n])
    turned = [*numbers[first:], *numbers[:first]]
    runs = [list(run) for _, run in groupby(turned, hidden.__getitem__)]
    return list(zip(runs[::2], runs[1::2], strict=True))


def _sum(times: list[Value]) -> Value:
    return reduce(lambda one, other: make("+", one, other), times)


# -- what is told of it ------------------------------------------------------------------------


def check_overlap(
    evaluator: Evaluator,
    policy: Instance,
    placed: Sequence[tuple[Instance, Instance, Cost]],
) -> None:
    """Warn where a policy is to divide batches, and no worker of it does.

    They are given with the model that they serve, and their costs.
    """
    block, overlap = _block(evaluator, policy), overlap_of(evaluator, policy, {})
    if block is None or overlap.when is False:
        return
    stages = [stage for *_, cost in placed for stage in cost.stages]
    blocks = [stage for stage in stages if stage.repeat > 1]
    classes = {kernel.work_class for stage in blocks for kernel in _launched(stage)}
    names = {kernel.on for stage in blocks for kernel in stage.kernels} - {""}
    place = evaluator.span(block, "hides" if "hides" in block.members.fields else "when")
    if not any(map(overlap.takes_turns, stages)):
        worker, model, _ = placed[0]
        evaluator.sink.warning(
            "W0523",
            f"`overlap` hides nothing: {_why(overlap, model, [cost for *_, cost in placed])}",
            place,
            f"policy `{policy.name}`",
            secondary=(Label(evaluator.place_of(worker), "for this worker"),),
            notes=(
                "ranks exchange tokens, of class `exchange`; all-reduces are of class `collective`",
            ),
            help=(_remedy(overlap, classes, names),),
        )
        return
    every = {name for stage in stages for k in stage.kernels for name in (k.work_class, k.on)}
    every = (every | set(_EXCHANGED)) - {""}
    for name in overlap.hides:
        near = nearest(name, sorted(every)) if name not in every else None
        if near:
            evaluator.sink.warning(
                "W0523",
                f"`overlap` hides no `{name}`: no kernel is of this class",
                place,
                f"policy `{policy.name}`",
                help=(f"did you mean `{near}`?",),
            )


def _why(overlap: Overlap, model: Instance, costs: list[Cost]) -> str:
    """Return why halves of a batch do not take turns anywhere."""
    if not overlap.hides:
        return "`hides` is an empty list"
    if all(cost.source != "operators" for cost in costs):
        return f"`{costs[0].source}` has the times of whole iterations"
    named = " or ".join(f"`{name}`" for name in overlap.hides)
    having = [s for c in costs for s in c.stages if any(map(overlap.hidden, _launched(s)))]
    if not having:
        return f"no kernel of `{model.name}` is of class {named}"
    if all(stage.repeat <= 1 for stage in having):
        return f"what is of class {named} is in no block of `{model.name}` that repeats"
    return f"no kernel is left that could be computed beside those of class {named}"


def _remedy(overlap: Overlap, classes: set[str], names: set[str]) -> str:
    near = [nearest(name, sorted(names)) for name in overlap.hides]
    if near and near[0]:
        return f"did you mean `{near[0]}`?"
    others = [name for name in _EXCHANGED if name in classes and name not in overlap.hides]
    return f"hide what there is: `hides = [{', '.join(others)}]`" if others else "leave it out"
