"""How the sizes of an operator are divided over the devices that share a model."""

from collections.abc import Iterator

from tsdl import ast
from tsdl.diagnostics import Label
from tsdl.evaluate import Evaluator, Instance
from tsdl.evaluate.values import Binding
from tsdl.lower.clusters import Parallel
from tsdl.program import Declaration

_SHOWN = 6  # degrees, where another is wanted
_MANY = 1024  # devices, up to which degrees are looked at


def divide(
    evaluator: Evaluator, operator: Instance, item: ast.GraphNode, parallel: Parallel
) -> str:
    """Divide the operator's parameters over the devices; return the way, or none. Raises Failed."""
    way = _way(evaluator, operator, item, parallel)
    ways = evaluator.get(operator, "shards")
    assert isinstance(ways, list)
    # Of experts, all ranks share the rows.
    devices = parallel.devices * (parallel.ranks if "expert" in ways else 1)
    names = [parameter.name for parameter in operator.declaration.parameters]
    wholes: dict[str, float] = {}
    for name, over in _divided(way, sizes_of(operator.declaration), devices):
        if name not in names:
            continue
        bound = operator.bindings[id(operator.declaration)][name]
        whole = evaluator.number(bound.expression, bound.place)
        if name == "experts":
            whole += parallel.redundant
        wholes[name] = whole
        share: float = whole / over
        if name == "active" and way == "expert":
            share = min(share * parallel.imbalance, whole)  # of the busiest device: at most all
            if "experts" in names:  # and no token goes to an expert twice
                experts = _number(evaluator, operator, "experts") + parallel.redundant
                share = min(share, experts / over)
        elif name == "kv_heads" and whole and over % whole == 0:
            share = 1  # fewer KV heads than devices: each device keeps a copy of one
        elif share != int(share):
            for other in names:
                wholes.setdefault(other, _number(evaluator, operator, other))
            ranks = devices // parallel.devices
            sizes = sizes_of(operator.declaration)
            fitting = _degrees(way, sizes, wholes, parallel.devices, ranks)
            degrees = f"; `{item.name}` is divided by {fitting}" if fitting else ""
            raise evaluator.fail(
                "E0514",
                f"{over} devices do not divide `{name}` of `{item.name}`, which is {whole:g}",
                item.operator.span,
                help=(
                    f"choose another parallel degree: `parallel = {_written(parallel)}`{degrees}",
                ),
            )
        number = ast.Number(
            int(share) if share == int(share) else share, None, bound.expression.span
        )
        operator.bindings[id(operator.declaration)][name] = Binding(number, bound.place)
    operator.symbols["expert_devices"] = devices if way == "expert" else 1
    return way


def _way(evaluator: Evaluator, operator: Instance, item: ast.GraphNode, parallel: Parallel) -> str:
    """Return how an operator is divided; experts whole, where it has them and they are shared."""
    ways = evaluator.get(operator, "shards")
    written = evaluator.get(operator, "shard")
    assert isinstance(ways, list)
    chosen = written or (ways[0] if len(ways) == 1 else "none")
    assert isinstance(chosen, str)
    if chosen != "none" and chosen not in ways:
        raise evaluator.fail(
            "E0514",
            f"`{operator.name}` cannot be sharded by {chosen}",
            item.operator.span,
            secondary=(Label(operator.declaration.span, "declared here"),),
            help=(f"it can be by {', '.join(map(str, ways))}" if ways else "it cannot be sharded",),
        )
    if parallel.experts and "expert" in ways and written != "none":
        return "expert"
    return "none" if chosen == "expert" else chosen


def sizes_of(operator: Declaration) -> list[str]:
    """Return the parameters that are sizes of an operator: those that each call must give.

    Where that are not even two, all of them are.
    """
    given = [p.name for p in operator.parameters if p.default is None]
    return given if len(given) > 1 else [parameter.name for parameter in operator.parameters]


def _divided(way: str, sizes: list[str], devices: int) -> Iterator[tuple[str, int]]:
    """Yield which parameters a way divides over so many devices, and over how many."""
    found = {
        "column": [(sizes[-1], devices)] if sizes else [],
        "row": [(sizes[0], devices)] if sizes else [],
        "partial": [(sizes[0], devices)] if sizes else [],
        "heads": [("heads", devices), ("kv_heads", devices)],
        "expert": [("active", devices), ("experts", devices)],  # while experts are whole
        "none": [],
    }
    yield from found[way] if devices > 1 or way == "expert" else ()


def _degrees(way: str, sizes: list[str], wholes: dict[str, float], devices: int, ranks: int) -> str:
    """Return the degrees near one that divide an operator's sizes, each over so many ranks."""
    fitting = [
        str(degree)
        for degree in range(1, max(_MANY, 2 * devices) + 1)
        if all(
            _fits(name, wholes[name], over)
            for name, over in _divided(way, sizes, degree * ranks)
            if name in wholes
        )
    ]
    near = [degree for degree in fitting if int(degree) <= 2 * devices][-_SHOWN:]
    return ", ".join(near if near[-1:] == fitting[-1:] else [*near, "…"])


def _fits(name: str, whole: float, over: int) -> bool:
    return name == "active" or whole % over == 0 or (name == "kv_heads" and over % whole == 0)


def _number(evaluator: Evaluator, operator: Instance, name: str) -> float:
    bound = operator.bindings[id(operator.declaration)][name]
    return evaluator.number(bound.expression, bound.place)


def _written(parallel: Parallel) -> str:
    """Return how a worker's parallelism is written, its degree left out."""
    return "ep(…)" if parallel.experts else "tp(…)"
