"""Speculative decoding to the plan: what is drafted, and what a drafter computes and keeps."""

from collections.abc import Iterator

from msgspec.structs import replace

from tsdl.evaluate import Evaluator, Instance
from tsdl.formula import Formula, Value, make, substituted, symbol, symbols
from tsdl.lower.devices import Device, device_of
from tsdl.lower.offloading import offloads_of
from tsdl.lower.operators import Graph, graph_of
from tsdl.lower.tables import Tables
from tsdl.plan import WORK, Kernel, Speculation, Stage
from tsdl.schema import COUNTING, OF_PREFILLS

_REQUESTS, _BLOCK = symbol("requests"), 16
# A drafter reads all tokens of an iteration first, and says one of each sequence then.
_FIRST: dict[Formula, Value] = {symbol("last_tokens"): _REQUESTS}
# After that it decodes: a token of each sequence, whose context is now that of its prompt, too.
_NEXT: dict[Formula, Value] = {
    **dict.fromkeys(map(symbol, OF_PREFILLS), 0),
    **dict.fromkeys(map(symbol, COUNTING), _REQUESTS),
    symbol("contexts"): make("+", symbol("contexts"), symbol("prefill_contexts")),
    symbol("context_blocks"): make(
        "+", symbol("context_blocks"), make("/", symbol("prefill_contexts"), _BLOCK)
    ),
}


def _block(evaluator: Evaluator, policy: Instance) -> Instance | None:
    """Return what a policy says of it; None where it drafts nothing. Raises Failed."""
    local = evaluator.inner(policy, "local")
    if ("speculate", "") not in local.members.blocks:
        return None
    block = evaluator.inner(local, "speculate")
    return block if evaluator.whole(block, "tokens") else None


def speculation_of(evaluator: Evaluator, policy: Instance) -> Speculation | None:
    """Return what a policy drafts. Raises Failed."""
    block = _block(evaluator, policy)
    if block is None:
        return None
    acceptance = evaluator.function(block, "acceptance", {"r": symbol("r")})
    if acceptance is None:
        raise evaluator.fail(
            "E0404",
            f"`{block.path}acceptance` of policy `{block.root.name}` is not set",
            evaluator.place_of(block),
            "needs `acceptance(r)`",
            help=(
                "write `acceptance(r) = …`: the chance of a drafted token, if those before it "
                "were right; engines report it as their acceptance rate by position",
            ),
        )
    said = block.members.fields["acceptance"].value.span
    others = sorted(symbols(acceptance) - {"r"})
    if others:
        raise evaluator.fail(
            "E0502",
            f"`acceptance` is known of a request alone, and reads `{others[0]}`",
            said,
            help=("it may read fields of the request: `r.prompt`, `r.priority`",),
        )
    if isinstance(acceptance, (int, float)) and not 0 <= acceptance <= 1:
        raise evaluator.fail(
            "E0503",
            f"`acceptance` is a share, and must be from 0 to 100 %, not {acceptance:.6g}",
            said,
        )
    drafter = evaluator.reference(block, "drafter")
    if drafter is None and evaluator.get(block, "shared_ends"):
        raise evaluator.fail(
            "E0404",
            f"`{block.path}shared_ends` is of a drafter, and `{block.path}drafter` is not set",
            evaluator.span(block, "shared_ends"),
            help=("name the model that drafts, or leave `shared_ends` out",),
        )
    tokens = evaluator.whole(block, "tokens")
    return Speculation(tokens, acceptance, drafter.name if drafter else "")


def drafted(
    evaluator: Evaluator, worker: Instance, policy: Instance, device: Device, graph: Graph,
    tables: Tables,
) -> tuple[Stage, ...]:  # fmt: skip
    """Return what the drafter of a policy computes in an iteration; what it keeps goes to `graph`.

    Its KV is counted there in elements of the model's own format. Raises Failed.
    """
    block = _block(evaluator, policy)
    drafter = evaluator.reference(block, "drafter") if block is not None else None
    if block is None or drafter is None:
        return ()
    none = Tables(evaluator, None, tables.read, tables.devices, tables.place)
    own = device_of(evaluator, worker, drafter, device.reach, policy, device.decode_tokens)
    own.offloads = offloads_of(evaluator, worker, own)
    mine = [own, *(offload.device for offload in own.offloads)]
    others = [device, *(offload.device for offload in device.offloads)]
    for one, other in zip(mine, others, strict=True):  # they are the same devices
        one.efficiencies, one.peaks = other.efficiencies, other.peaks
    first = graph_of(evaluator, drafter, own, none)
    kept, away = first.weight_bytes, first.away
    if evaluator.get(block, "shared_ends"):  # what stands around repeats is the model's own
        stages = zip(first.stages, first.kept, strict=False)  # one more is open
        ends = [part for stage, part in stages if not stage.name]
        kept -= sum(part.weight_bytes for part in ends)
        away = {n: size - sum(part.away.get(n, 0) for part in ends) for n, size in away.items()}
    for name, size in away.items():
        graph.away[name] = graph.away.get(name, 0) + size
    for name, kind in first.homes.items():
        graph.homes.setdefault(name, kind)
    graph.kinds |= first.kinds
    graph.weight_bytes += kept
    graph.drafter, graph.drafter_bytes = drafter.name, kept
    graph.shares_experts |= first.shares_experts
    graph.reach = max(graph.reach, first.reach)
    graph.state_bytes += first.state_bytes
    graph.copied_bytes += first.copied_bytes
    sizes = [evaluator.real(d.formats["kv_dtype"], "size") for d in (own, device)]
    graph.kv_elements += first.kv_elements * sizes[0] / sizes[1]
    graph.windowed_kv_elements += first.windowed_kv_elements * sizes[0] / sizes[1]
    own.decode_tokens = 1
    more = evaluator.whole(block, "tokens") - 1
    further = graph_of(evaluator, drafter, own, none).stages if more else []
    return (*_named("draft", first.stages, _FIRST), *_named("redraft", further, _NEXT, more))


def _named(
    name: str, stages: list[Stage], known: dict[Formula, Value], times: int = 1
) -> tuple[Stage, ...]:
    """Return stages under a name of their own, of a batch with other features, so many times."""
    return tuple(
        Stage(
            f"{name}.{stage.name}" if stage.name else name,
            stage.repeat * times,
            tuple(kernel for each in stage.kernels for kernel in _of_others(each, known)),
        )
        for stage in stages
    )


def _of_others(kernel: Kernel, known: dict[Formula, Value]) -> Iterator[Kernel]:
    """Yield a kernel as a batch with other features has it, if that launches it."""
    time = substituted(kernel.time, known)
    if time != 0:  # the work of one that is not may have no value
        work = {name: substituted(getattr(kernel, name), known) for name in WORK}
        yield replace(kernel, **work, time=time)
