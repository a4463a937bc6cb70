"""Which model each worker serves: its own, or that of the scenario."""

from collections.abc import Iterator, Sequence

from tsdl.diagnostics import Label
from tsdl.evaluate import Evaluator, Instance
from tsdl.lower.clusters import standings
from tsdl.lower.devices import FORMATS
from tsdl.lower.ineffective import warn
from tsdl.lower.operators import Graph
from tsdl.lower.places import named_in
from tsdl.plan import Global, Local, Model, Workers
from tsdl.source import Span

Identity = tuple[int, tuple[tuple[str, str], ...]]


def served(evaluator: Evaluator, scenario: Instance, worker: Instance) -> Instance:
    """Return the model that a worker serves. Raises Failed where nothing says which."""
    own = evaluator.reference(worker, "model")
    return own if own is not None else evaluator.required(scenario, "model")


def all_served(evaluator: Evaluator, scenario: Instance) -> list[Instance]:
    """Return the models that workers serve, each once. Raises Failed where nothing says which."""
    cluster = evaluator.required(scenario, "cluster")
    found = [served(evaluator, scenario, s.worker) for s in standings(evaluator, cluster)]
    return list({identity(model): model for model in found}.values())


def identity(model: Instance) -> Identity:
    """Return what makes a model the same as another: its declaration, and how that is called."""
    given = (model.overrides, *model.bindings.values())
    said = [(name, each.expression.span.text) for named in given for name, each in named.items()]
    return id(model.declaration), tuple(sorted(said))


def lower_model(evaluator: Evaluator, model: Instance, graph: Graph) -> Model:
    """Return what a worker serves, whose graph there has been lowered."""
    return Model(
        model.name,
        **{key: evaluator.required(model, key).name for key in FORMATS},
        parameters=graph.parameters,
        context=evaluator.whole(model, "context"),
        layers=evaluator.whole(model, "layers"),
    )


def check_models(evaluator: Evaluator, scenario: Instance, workers: Sequence[Workers]) -> None:
    """See that each model is prefilled and decoded, and that of the scenario served at all."""
    cluster = evaluator.required(scenario, "cluster")
    blocks = [standing.worker for standing in standings(evaluator, cluster)]
    _check_names(evaluator, scenario, blocks)
    several = len({kind.model for kind in workers}) > 1
    for model in dict.fromkeys(kind.model for kind in workers):
        with_it = [kind for kind in workers if kind.model == model]
        roles = {
            "prefill": any(kind.prefills for kind in with_it),
            "decode": any(kind.decodes for kind in with_it),
        }
        for phase, there in roles.items():
            if not there:
                whose = f" for `{model.name}`" if several else ""
                raise evaluator.fail(
                    "E0513",
                    f"no worker of `{cluster.name}` runs {phase}{whose}, so no request can finish",
                    evaluator.place_of(cluster),
                    help=(f"add a worker with `runs = {phase}`, or leave `runs` out",),
                )
    said = scenario.members.said("model")
    if said and all(evaluator.reference(block, "model") is not None for block in blocks):
        why = f"each worker of `{cluster.name}` has a model of its own"
        warn(evaluator, "model", said.value.span, why, "leave it out")


def _check_names(evaluator: Evaluator, scenario: Instance, blocks: Sequence[Instance]) -> None:
    """See that a name is that of one model: policies and results know no other. Raises Failed."""
    known: dict[str, tuple[Identity, Span]] = {}
    for block in blocks:
        model = served(evaluator, scenario, block)
        own = evaluator.reference(block, "model") is not None
        place = evaluator.span(block if own else scenario, "model")
        first, other = known.setdefault(model.name, (identity(model), place))
        if first != identity(model):
            raise evaluator.fail(
                "E0202",
                f"workers serve two models that are called `{model.name}`",
                place,
                secondary=(Label(other, "the other one"),),
                help=(f"give one of them a name: `model own from {model.name}(…) {{ }}`",),
            )


def check_kept(
    evaluator: Evaluator, cluster: Instance, workers: Sequence[Workers], router: Global
) -> None:
    """See that no tier keeps KV of two models: neither could use the other's. Raises Failed."""
    nodes = [*_nodes(evaluator, cluster)]
    own = {(n.members.name, tier.name) for n in nodes for tier in n.members.named("tier")}
    for holder in (cluster, *nodes):
        for members in holder.members.named("tier"):
            # A tier of a node stands before one of the cluster that is called the same.
            node = "" if holder is cluster else holder.members.name
            using = [
                kind
                for kind in workers
                for there in [kind.node.partition(".")[0]]
                if (there == node if node else (there, members.name) not in own)
                and members.name in _named(kind.local) | _named(router)
            ]
            names = list(dict.fromkeys(kind.model.name for kind in using))
            if len({kind.model for kind in using}) > 1:
                raise evaluator.fail(
                    "E0526",
                    f"tier `{members.name}` would keep KV of {' and '.join(names)}",
                    members.span or evaluator.place_of(cluster),
                    "of no use to each other",
                    secondary=(Label(evaluator.place_of(cluster), "workers serve both"),)
                    if members.span
                    else (),
                    help=(
                        "give each a tier of its own, which a policy of its workers names: "
                        "`worker NAME { policy = … }`",
                    ),
                )


def _nodes(evaluator: Evaluator, cluster: Instance) -> Iterator[Instance]:
    for members in cluster.members.named("node"):
        yield evaluator.inner(cluster, "node", members.name)


def _named(stage: Local | Global) -> set[str]:
    """Return the tiers that handlers of a stage name."""
    return {
        name
        for handler in stage.handlers
        for statement in handler.statements()
        for name in named_in(statement)
    }
