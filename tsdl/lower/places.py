"""What policies and workers count on in a cluster: tiers, and places to swap to."""

from collections.abc import Iterator
from operator import itemgetter

from tsdl import ast
from tsdl.diagnostics import Label
from tsdl.diagnostics.suggest import nearest
from tsdl.evaluate import Evaluator, Instance
from tsdl.lower.clusters import Standing
from tsdl.plan import Tier, Workers
from tsdl.planhandlers import Handler, Statement
from tsdl.source import Span

# What statements of a plan about tiers are called in programs.
_SAID = {"store": "store", "demote": "store", "fetch": "fetch", "prefetch": "fetch"}


def named_at(evaluator: Evaluator, user: Instance, key: str, used: Instance) -> Span:
    """Return where something that is used is declared: for the library's, where it is named."""
    if used.declaration.module.library:
        return evaluator.span(user, key)
    return evaluator.place_of(used)


# -- tiers ---------------------------------------------------------------------------------------


def check_names(
    evaluator: Evaluator, cluster: Instance, tiers: tuple[Tier, ...], workers: list[Workers]
) -> None:
    """See that no tier has the name of workers: `swap` could mean both. Raises Failed."""
    names = [kind.name for kind in workers]
    taken = next((tier for tier in tiers if tier.name in names), None)
    if taken is None:
        return
    holders = [cluster.members, *cluster.members.named("node")]
    blocks = [block for members in holders for block in members.named("tier")]
    others = [block for members in holders for block in members.named("worker")]
    place = next(block.span for block in blocks if block.name == taken.name)
    other = next(block.span for block in others if block.name == taken.name)
    raise evaluator.fail(
        "E0202", f"`{taken.name}` is both a tier and a worker", place,
        secondary=(Label(other, "the worker"),) if other else (),
        help=("give one of them another name",),
    )  # fmt: skip


def check_swap(
    evaluator: Evaluator, standing: Standing, swap: str, tiers: tuple[Tier, ...],
    workers: list[Workers],
) -> None:  # fmt: skip
    """See that `swap` names a tier within reach, or other workers. Raises Failed."""
    own = standing.worker.members.name
    alone = sum(kind.count for kind in workers if kind.name == own) == 1
    reached = [tier.name for tier in tiers if tier.node in ("", standing.node)]
    groups = [kind.name for kind in workers if kind.name != own or not alone]
    known = list(dict.fromkeys([*reached, *groups]))
    if not swap or swap in known:
        return
    far = next((tier.node for tier in tiers if tier.name == swap), None)
    near = nearest(swap, known)
    title = f"there is no tier and no worker `{swap}` to swap to"
    remedy = (
        f"there are {', '.join(known)}" if known else "write `tier NAME { capacity = 256 GiB }`"
    )
    if swap == own:
        title = f"worker `{own}` cannot swap to itself"
    elif far is not None:
        title = f"tier `{swap}` stands in node `{far}`, out of reach of worker `{own}`"
    raise evaluator.fail(
        "E0515", title, evaluator.span(standing.worker, "swap"),
        help=(f"did you mean `{near}`?" if near else remedy,),
    )  # fmt: skip


def check_tiers(
    evaluator: Evaluator,
    policies: list[tuple[Instance, Span]],
    tiers: tuple[Tier, ...],
    cluster: Instance,
) -> None:
    """See that the tiers that policies store in and fetch from are there. Raises Failed.

    Each policy comes with the place that names it: what the library wrote is told there.
    """
    known = list(dict.fromkeys(tier.name for tier in tiers))
    for policy, named in policies:
        for stage in ("local", "global"):
            for part in evaluator.inner(policy, stage).members.clauses("on"):
                for name in tiers_in(part.item):
                    if name.id not in known:
                        place = named if part.owner.module.library else name.span
                        raise _missing(evaluator, cluster, name.id, known, place)


def check_reach(evaluator: Evaluator, place: Span, kind: Workers, tiers: tuple[Tier, ...]) -> None:
    """See that a worker reaches the tiers that its own handlers name. Raises Failed."""
    reached = {tier.name for tier in tiers if tier.node in ("", kind.node)}
    for statement in (s for handler in kind.local.handlers for s in handler.statements()):
        missing = [name for name in named_in(statement) if name not in reached]
        if missing:
            where = f" of node `{kind.node}`" if kind.node else ""
            near = nearest(missing[0], sorted(reached))
            raise evaluator.fail(
                "E0515", f"worker `{kind.name}`{where} reaches no tier `{missing[0]}`", place,
                f"a handler has it {_SAID[statement.word]} KV there",
                help=(
                    f"did you mean `{near}`?"
                    if near
                    else f"write `tier {missing[0]} {{ … }}` in the cluster, or in its node",
                ),
            )  # fmt: skip


def named_in(statement: Statement) -> list[str]:
    """Return the tiers that a statement names."""
    if statement.word not in _SAID:
        return []
    into = [str(statement.values[1])] if statement.word == "prefetch" else []
    return [statement.name, *into]


def check_stored(
    evaluator: Evaluator, policies: list[tuple[Instance, Span]], handlers: list[Handler]
) -> None:
    """Warn of tiers that are asked for KV, or that pass it on, and into which none ever comes."""
    statements = [s for handler in handlers for s in handler.statements() if s.word in _SAID]
    stored = {s.name for s in statements if s.word == "store"}
    while (
        more := {
            named_in(s)[-1]
            for s in statements
            if (s.word == "demote" and stored - {s.name})
            or (s.word == "prefetch" and s.name in stored)
        }
        - stored
    ):
        stored |= more
    asked = {s.name for s in statements if s.word in ("fetch", "prefetch")}
    alone = {s.name for s in statements if s.word == "demote" and not stored - {s.name}}
    for name in sorted((asked - stored) | alone):
        found = [  # what the library wrote is told where it is named, and only if nothing else is
            (part.owner.module.library, named if part.owner.module.library else written.span)
            for policy, named in policies
            for stage in ("local", "global")
            for part in evaluator.inner(policy, stage).members.clauses("on")
            for written in tiers_in(part.item)
            if written.id == name
        ]
        places = [span for _, span in sorted(found, key=itemgetter(0))]
        title = f"nothing is ever stored in `{name}`"
        remedy = f"store there what is to be found: `on finish(r, w) {{ store r in {name} }}`"
        if name in stored:
            title = f"KV leaves no tier but `{name}`, and does not go back there"
            remedy = "name another tier, or leave the statement out"
        evaluator.sink.warning("W0527", title, places[0] if places else None, help=(remedy,))


def _missing(
    evaluator: Evaluator, cluster: Instance, name: str, known: list[str], place: Span
) -> Exception:
    near = nearest(name, known)
    block = f"tier {name} {{ capacity = 256 GiB }}"
    remedy = f"write `{block}` there"
    holders = (cluster.members, *cluster.members.named("node"))
    if any(worker.name == name for holder in holders for worker in holder.named("worker")):
        near = None
        remedy = f"`{name}` is a worker: name a tier, `tier pool {{ capacity = 256 GiB }}`"
    elif cluster.declaration.module.library:
        remedy = f"derive one that has: `cluster own from {cluster.name}(…) {{ {block} }}`"
    return evaluator.fail(
        "E0515", f"cluster `{cluster.name}` has no tier `{name}`", place,
        help=(f"did you mean `{near}`?" if near else remedy,),
    )  # fmt: skip


def tiers_in(item: object) -> Iterator[ast.Name]:
    """Yield the tiers that handlers store in and fetch from, where they name them."""
    for node in ast.walk(item):
        match node:
            case ast.Clause(verb="store", within=ast.Name() as name):
                yield name
            case ast.Clause(verb="fetch", prepositions=prepositions):
                named = (preposition.objects[0] for preposition in prepositions)
                yield from (name for name in named if isinstance(name, ast.Name))
