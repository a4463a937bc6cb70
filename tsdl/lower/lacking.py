"""Formulas of operators that have no value in iterations which every run has: a check tells them.

These are iterations of prompts alone and of decodes alone, whatever their sizes. What has no value
in some of them only, a run may never ask for.
"""

from collections.abc import Iterator

from tsdl.evaluate import Evaluator, Failed, Instance
from tsdl.formula import Formula, Value, substituted, symbol, why_none
from tsdl.lower.negatives import is_feature, iterations
from tsdl.lower.operators import Graph, Written
from tsdl.parts import of_field
from tsdl.plan import WORK, Kernel, Workers
from tsdl.planworkload import Workload

Iterations = list[tuple[str, dict[Formula, Value]]]
_SHORT = 1  # token of context


def check_values(
    evaluator: Evaluator,
    worker: Instance,
    graph: Graph,
    kind: Workers,
    lowered: Workload,
) -> None:
    """See that times of what a program writes itself have a value there. Raises Failed."""
    cost = evaluator.reference(worker, "cost")
    if kind.cost.source != "operators" and not (cost and cost.members.named("operator")):
        return  # of an iteration as a whole
    own_times = cost is not None and not cost.declaration.module.library
    own = [
        node
        for node in graph.written
        if own_times or not (node.operator.declaration.module.library and is_feature(node.rows))
    ]
    for looked_at in _surely(kind, lowered, kind.model.context) if own else ():
        for node, kernel in [(each, kernel) for each in own for kernel in each.kernels]:
            if all(_why(kernel.time, known) for _, known in looked_at):
                raise _lacking(evaluator, cost, node, kernel, looked_at)


def fields_at(
    evaluator: Evaluator, cost: Instance | None, graph: Graph
) -> Iterator[tuple[str, str]]:
    """Yield what formulas of operators are called that a program writes, and where they stand."""
    for node in graph.written:
        for kernel in node.kernels:
            block, keys = _block(evaluator, cost, node, kernel)
            for key in keys:
                said = block.members.fields.get(key)
                if said is not None and not said.owner.module.library:
                    yield of_field(key, kernel.name), evaluator.span(block, key).place


def _surely(kind: Workers, lowered: Workload, longest: int) -> Iterator[Iterations]:
    """Yield iterations of which every run has some, one kind after another."""
    tokens = kind.local.decode_tokens
    every = [*iterations(tokens, longest), *iterations(tokens, _SHORT)]
    if kind.prefills:
        yield [one for one in every if not one[1][symbol("decodes")]]
    if kind.decodes and any(map(_decodes, lowered.kinds)):
        yield [one for one in every if one[1][symbol("decodes")]]


def _decodes(lowered: Workload) -> bool:
    """Tell whether any request of a workload has more than the token that its prompt yields."""
    if lowered.table:
        return max(lowered.table.output, default=0) > 1
    return lowered.output is not None and lowered.output.ends[1] > 1


def _why(value: Value, known: dict[Formula, Value]) -> str:
    """Return why a formula has no value where so much is known; "" where it has one."""
    try:
        substituted(value, known)
    except ArithmeticError as error:
        return why_none(error)
    return ""


def _lacking(
    evaluator: Evaluator, cost: Instance | None, node: Written, kernel: Kernel, there: Iterations
) -> Failed:
    called, known = there[0]
    why = _why(kernel.time, known)
    block, key = _written(evaluator, cost, node, kernel, known)
    said = block.members.fields.get(key)
    inherited = said is not None and said.owner.module.library and key not in block.overrides
    return evaluator.fail(
        "E0504",
        f"`{key}` of `{kernel.name}` has no value in an iteration of {called}: {why}",
        evaluator.place_of(block.root) if inherited else evaluator.span(block, key),
        notes=("every run has such iterations, whatever their sizes",),
        help=("guard it: `x / y if y > 0 else 0`, or say when it is launched at all: `when = …`",),
    )


def _written(
    evaluator: Evaluator,
    cost: Instance | None,
    node: Written,
    kernel: Kernel,
    known: dict[Formula, Value],
) -> tuple[Instance, str]:
    """Return the block and the field whose formula has no value."""
    if _why(node.rows, known):
        return node.operator, "rows"
    block, keys = _block(evaluator, cost, node, kernel)
    return block, next((key for key in keys if _why(getattr(kernel, key), known)), "when")


def _block(
    evaluator: Evaluator, cost: Instance | None, node: Written, kernel: Kernel
) -> tuple[Instance, list[str]]:
    """Return the block that says what a kernel does, or how long it takes, and the fields."""
    block, keys = node.operator, list(WORK)
    if kernel.source != "roofline" and cost is not None:
        block, keys = evaluator.inner(cost, "operator", node.name), ["time"]
    part = kernel.name.removeprefix(f"{node.name}.")
    if ("part", part) in block.members.blocks:
        block = evaluator.inner(block, "part", part)
    return block, keys
