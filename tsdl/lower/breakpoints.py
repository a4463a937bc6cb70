"""Breakpoints of a model to the plan: after which kernel, in which layers, and their handlers."""

from tsdl import ast
from tsdl.check.hooks import nodes_of
from tsdl.diagnostics.suggest import nearest
from tsdl.evaluate import Evaluator, Instance
from tsdl.evaluate.values import Place
from tsdl.evaluate.values import Value as EvaluatedValue
from tsdl.formula import NOW, Value, substituted, symbol
from tsdl.lower.handlers import guard, lower_body
from tsdl.lower.operators import Graph
from tsdl.plan import Breakpoint, Cost
from tsdl.planhandlers import Handler
from tsdl.program import Part

# A closed cost has no kernels: its layers take equal shares, and a breakpoint is at a layer's end.
IN_LAYER, AT_END = -1, -2
_ALL = (1, 0, 1)
LAYER = symbol("layer")


def names_of(model: Instance) -> list[str]:
    """Return the names of the breakpoints of a model."""
    return [key[1] for key in model.members.parts if key[0] == "breakpoint"]


def lower_breakpoints(
    evaluator: Evaluator, model: Instance, cost: Cost, graph: Graph, handled: set[str]
) -> tuple[tuple[Breakpoint, ...], tuple[Handler, ...]]:
    """Return the breakpoints that are handled, and the handlers that the model itself brings.

    `handled` are the events that a policy handles; a breakpoint that nobody handles costs nothing.
    """
    breakpoints: list[Breakpoint] = []
    handlers: list[Handler] = []
    for key, (part, *_) in model.members.parts.items():
        if key[0] == "breakpoint" and key[1] in handled:
            breakpoints.append(_breakpoint(evaluator, model, part, key[1], cost, graph))
        elif key[0] == "after":
            event = f"after {key[1]}"
            found = _breakpoint(evaluator, model, part, event, cost, graph)
            handlers.append(_handler(evaluator, model, part, event))
            breakpoints.append(found)
    alive = [b for b in breakpoints if b.when is not False]
    alive.sort(key=lambda b: (b.stage, b.kernel))
    return tuple(alive), tuple(handlers)


def _breakpoint(
    evaluator: Evaluator, model: Instance, part: Part, event: str, cost: Cost, graph: Graph
) -> Breakpoint:
    clause = part.item
    assert isinstance(clause, ast.Clause)
    after = clause.preposition("after")
    target = after.objects[0] if after else clause.head
    path = ast.path_of(target) if target else None
    nodes = nodes_of(model.members)
    if path is None or path not in nodes:  # the graph was replaced in a derived model
        near = nearest(path or "", nodes)
        raise evaluator.fail(
            "E0421",
            f"the graph of `{model.name}` has no operator `{path}`",
            target.span if target else clause.span,
            help=(f"did you mean `{near}`?" if near else f"it has {', '.join(nodes)}",),
        )
    names: dict[str, EvaluatedValue] = {"layer": LAYER}
    place = Place(part.owner, model, names)
    block, _, name = path.rpartition(".")
    when = guard(evaluator, clause, place)
    closed = cost.source != "operators"
    repeats = sum(stage.repeat for stage in graph.stages if stage.name == block)
    layers = evaluator.whole(model, "layers") if closed else repeats
    if block and when is not False:
        _check_layers(evaluator, when, clause, block, layers)
    end = Breakpoint(event, AT_END, 0, when, _ALL)
    if closed:
        return Breakpoint(event, IN_LAYER, 0, when, (1, 1, layers)) if block else end
    found = end
    for index, stage in enumerate(cost.stages):
        if stage.name != block:
            continue
        own = [i for i, k in enumerate(stage.kernels) if (k.name + ".").startswith(f"{name}.")]
        if own:
            found = Breakpoint(event, index, own[-1], when, _kv(graph, block, name))
    return found


def _check_layers(
    evaluator: Evaluator, when: Value, clause: ast.Clause, block: str, layers: int
) -> None:
    """Warn where a condition holds in no layer of a block, which has so many."""
    try:
        held = any(substituted(when, {LAYER: layer}) is not False for layer in range(layers))
    except ArithmeticError:  # which is told where the plan is checked
        held = True
    if layers and not held:
        evaluator.sink.warning(
            "W0506",
            f"the condition of this breakpoint holds in no layer of `{block}`",
            clause.span,
            help=(f"`layer` goes from 0 to {layers - 1} there",),
        )


def _kv(graph: Graph, block: str, name: str) -> tuple[float, float, float]:
    """Return the KV of a token behind an operator: in the first layer, in each more, in all."""
    if not graph.kv_elements:
        return _ALL
    there = 0.0
    for stage, kept in zip(graph.stages, graph.kept, strict=False):
        if stage.name == block and name in kept.kv_after:
            return there + kept.kv_after[name], kept.kv_elements, graph.kv_elements
        there += stage.repeat * kept.kv_elements
    raise AssertionError(f"the graph has no operator {name}")


def _handler(evaluator: Evaluator, model: Instance, part: Part, event: str) -> Handler:
    clause = part.item
    assert isinstance(clause, ast.Clause)
    variables = ("batch", "layer", "w")
    names: dict[str, EvaluatedValue] = {name: symbol(name) for name in (*variables, "kv")}
    place = Place(part.owner, model, names | {"now": NOW})
    body = lower_body(evaluator, clause.body, place)
    return Handler(event, variables, every=None, when=True, body=body)
