"""What memory that keeps equal blocks once cannot do, or do without."""

from msgspec.structs import replace

from tsdl.diagnostics import Diagnostic, Label, Severity
from tsdl.evaluate import Evaluator, Instance
from tsdl.facts import growth_of
from tsdl.lower.workloads import texts_of
from tsdl.plan import Global, Local, Plan, Workers
from tsdl.planworkload import Workload


def check_sharing(evaluator: Evaluator, kv: Instance, policy: Instance) -> None:
    """See that nobody is swapped out of blocks that others hold as well. Raises Failed."""
    local = evaluator.inner(policy, "local")
    if evaluator.word(kv, "share") == "prefix" and evaluator.word(local, "preempt") == "swap":
        raise evaluator.fail(
            "E0526",
            "victims are not swapped out of a KV cache that shares blocks",
            evaluator.span(local, "preempt"),
            secondary=(Label(evaluator.span(kv, "share"), "shared here"),),
            help=("write `preempt = recompute`: a victim finds its own blocks again",),
        )


def check_blocks(evaluator: Evaluator, kv: Instance, lowered: Workers, workload: Workload) -> None:
    """See that blocks are what the footprint is made of, and fit those that a file names."""
    if not lowered.kv.shares:
        return
    growth = growth_of(lowered.kv)
    block = lowered.kv.block_tokens
    if (
        growth is None
        or growth.block != block
        or not growth.size
        or growth.near
        or growth.fixed != lowered.kv.state
    ):
        raise evaluator.fail(
            "E0526",
            f"`{kv.name}` shares blocks, and its footprint is not by whole blocks of the context",
            evaluator.span(kv, "share"),
            help=("use the footprint of `paged`, or write `share = none`",),
        )
    span = workload.table.span if workload.table and workload.table.content else 0
    if span and max(span, block) % min(span, block):
        raise evaluator.fail(
            "E0526",
            f"blocks of {block} tokens do not fit the {span} that the file has a name for",
            evaluator.span(kv, "block"),
            help=(f"take a block that divides {span}, or that it divides",),
        )


def check_shared_tiers(
    evaluator: Evaluator, cluster: Instance, plan: Plan, stages: list[Global | Local]
) -> None:
    """See that tiers that keep blocks are asked for no more than that. Raises Failed."""
    nodes = [evaluator.inner(cluster, "node", m.name) for m in cluster.members.named("node")]
    tiers = [
        evaluator.inner(holder, "tier", members.name)
        for holder in (cluster, *nodes)
        for members in holder.members.named("tier")
    ]
    moved = {
        name
        for stage in stages
        for handler in stage.handlers
        for said in handler.statements()
        if said.word in ("demote", "prefetch")
        for name in (said.name, *said.values)
    }
    spans = {each.table.span for each in plan.workload.kinds if each.table and each.table.content}
    for tier in tiers:
        if evaluator.word(tier, "share") != "prefix":
            continue
        name, block = tier.members.name, evaluator.whole(tier, "block")
        odd = [s for s in spans if max(s, block) % min(s, block)]
        why = {
            "what was of use longest ago leaves it, whatever `evict by` says": bool(
                tier.members.clauses("evict")
            ),
            "conversations go from tier to tier, and no blocks": name in moved,
            "victims are swapped as a whole": any(k.swap == name for k in plan.workers),
            "states of recurrent layers are in none": any(k.kv.state for k in plan.workers),
            f"the file has names for {odd[0] if odd else 0} tokens each, which no whole number of "
            f"blocks of {block} makes up": bool(odd),
        }
        for reason, wrong in why.items():
            if wrong:
                raise evaluator.fail(
                    "E0526",
                    f"tier `{name}` keeps blocks: {reason}",
                    evaluator.span(tier, "share"),
                    help=("leave that out, or write `share = none`: a tier of conversations",),
                )


_WITHOUT = {
    "trace": "it says what is in each prompt",
    "prefix": "of no effect on this run",
    "system_prompt": "computed anew each time",
}


def without_contents(
    evaluator: Evaluator, workload: Instance, lowered: Workload, cluster: str
) -> Workload:
    """Return a workload for a cluster whose KV caches share nothing; note what then has no effect.

    What a file says of prompts is long, and nobody asks.
    """
    table = lowered.table
    named = bool(table and table.content and lowered.replay)
    if named or lowered.prefix is not None:
        key = "trace" if named else texts_of(workload)
        evaluator.sink.add(
            Diagnostic(
                "N0510",
                Severity.NOTE,
                f"prompts of `{workload.name}` begin alike, and no KV cache of `{cluster}` "
                "shares blocks",
                evaluator.span(workload, key),
                _WITHOUT[key],
                help=(
                    "write `share = prefix` in a `kvcache`, or take the library's `vllm_shared`",
                ),
            )
        )
    if table is None:
        return lowered
    return replace(lowered, table=replace(table, content=(), span=0))
