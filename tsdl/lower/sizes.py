"""Whether a workload's longest requests fit: the model's context, a worker's KV memory."""

import math
from collections.abc import Iterator

from tsdl import ast
from tsdl.costs import Footprint, compiled_footprint, watermark
from tsdl.diagnostics.words import several
from tsdl.evaluate import Evaluator, Failed, Instance
from tsdl.facts import holds_something
from tsdl.formula import why_none
from tsdl.lower.clusters import standings
from tsdl.lower.mixing import parts_of
from tsdl.lower.models import all_served
from tsdl.lower.operators import looks_back
from tsdl.plan import Model, Workers
from tsdl.planworkload import Draw, Table, Workload
from tsdl.schema.scenarios import WORKLOAD

_MORE = "share the model among more devices (`parallel = tp(…)`)"


def check_sizes(
    evaluator: Evaluator,
    scenario: Instance,
    workers: list[Workers],
    lowered: Workload,
) -> None:
    """Report requests that no worker could hold; warn of those beyond the models' context."""
    models = all_served(evaluator, scenario)
    for model in models:
        _check_read(evaluator, model)
    parts = parts_of(evaluator, evaluator.required(scenario, "workload"))
    for workload, part in zip(parts, lowered.kinds, strict=True):
        for model in models:
            _check_window(evaluator, model, part)
        _check_held(evaluator, scenario, workers, part)
        _check_requests(evaluator, scenario, workers, workload, part)


def _check_requests(
    evaluator: Evaluator,
    scenario: Instance,
    workers: list[Workers],
    workload: Instance,
    lowered: Workload,
) -> None:
    """Report requests of a workload that no worker could hold, and those beyond the context."""
    cluster = evaluator.required(scenario, "cluster")
    context = max(kind.model.context for kind in workers)
    if lowered.table:
        held = _room(evaluator, cluster, workers)
        room = context if held is None else held
        _check_table(evaluator, workload, room, lowered, context)
        return
    assert lowered.prompt is not None
    assert lowered.output is not None
    output = lowered.output.ends
    prompt = [end + more for end, more in zip(lowered.prompt.ends, lowered.added, strict=True)]
    longest, bound = _longest(lowered), _bound(context)
    if longest > context and (math.isfinite(longest) or prompt[0] + output[0] > context):
        evaluator.sink.warning(
            "W0503",
            f"requests beyond {several(context, 'token')} are rejected: "
            "the model's context ends there",
            evaluator.place_of(workload),
            f"goes up to {longest:,.0f}" if math.isfinite(longest) else "",
            help=(
                f"write {bound}, or take a model with a longer context"
                if bound
                else "take a model with a longer context",
            ),
        )
    # What no bound of the workload limits, the context does: longer requests are rejected anyway.
    for standing, kind in zip(standings(evaluator, cluster), workers, strict=True):
        most = longest if math.isfinite(longest) else prompt[0] + output[0]
        whole = int(min(most, kind.model.context))
        needed: float = whole
        if not kind.decodes:  # it never holds more than a prompt
            needed = min(whole, prompt[1] if math.isfinite(prompt[1]) else prompt[0])
        room = _longest_held(evaluator, standing.worker, kind, int(needed))
        if room < needed:
            home = next((o.name for o in kind.offloads if o.keeps_kv), None)
            holder = evaluator.inner(standing.worker, "offload", home) if home else standing.worker
            more = f"have more devices in `{home}`" if home else _MORE
            raise evaluator.fail(
                "E0512",
                f"worker `{kind.name}` has no room for a request of {needed:,.0f} tokens",
                evaluator.span(holder, "hardware"),
                f"its KV cache holds {several(room, 'token')} of one request",
                help=(
                    more + (f", or bound the requests: {bound}" if (bound := _bound(room)) else ""),
                ),
                notes=(f"its state takes {kind.kv.state:,} bytes beside them",)
                if kind.kv.state
                else (),
            )


def _check_held(
    evaluator: Evaluator, scenario: Instance, workers: list[Workers], lowered: Workload
) -> None:
    """See that neither short nor long requests hold less than nothing. Raises Failed."""
    cluster = evaluator.required(scenario, "cluster")
    for standing, kind in zip(standings(evaluator, cluster), workers, strict=True):
        if not holds_something(kind.kv):
            held = _held(evaluator, standing.worker, kind)
            for prompt, output in _ends(lowered):
                if prompt + output <= kind.model.context:  # longer ones are rejected
                    held(prompt, prompt, output)
                    if kind.decodes:
                        held(prompt + output - 1, prompt, output)


def _ends(lowered: Workload) -> Iterator[tuple[int, int]]:
    """Yield the prompt and the output of the shortest and of the longest request, where known."""
    if lowered.table:
        requests = list(_lengths(lowered, lowered.table))
        yield from (min(requests, key=sum), max(requests, key=sum))
        return
    least, greatest = lowered.added
    assert lowered.prompt is not None
    assert lowered.output is not None
    (shortest, most), (few, _) = lowered.prompt.ends, lowered.output.ends
    if _is_bounded(lowered.prompt) and _is_bounded(lowered.output):
        yield lowered.within_total(int(shortest + least), int(few))
    longest = _longest(lowered)
    if math.isfinite(longest):
        prompt = int(min(most + greatest, longest - few))
        yield prompt, int(longest) - prompt


def _is_bounded(draw: Draw) -> bool:
    """Tell whether the least that a distribution yields is one that it is given."""
    if draw.parts:
        return all(map(_is_bounded, draw.parts))
    return bool(draw.values or {"value", "low", "min", "n"} & dict(draw.parameters).keys())


def _longest(lowered: Workload) -> float:
    """Return the greatest context of what is drawn; inf where nothing bounds it."""
    if lowered.turns is not None:
        return math.inf  # the context accumulates
    assert lowered.prompt is not None
    assert lowered.output is not None
    both = lowered.prompt.ends[1] + lowered.output.ends[1] + lowered.added[1]
    return min(both, math.inf if lowered.total is None else lowered.total)


def _bound(most: int) -> str:
    """Return how a workload bounds its requests; "" where none is so short."""
    least = WORKLOAD.fields["total"].low
    return f"`total = {most} tokens`" if least is None or most >= least else ""


def _check_window(evaluator: Evaluator, model: Instance, lowered: Workload) -> None:
    window = evaluator.optional(model, "window")
    if window is None or looks_back(evaluator, model):
        return
    if lowered.table:
        longest = max(map(sum, _lengths(lowered, lowered.table)))
    else:
        longest = int(min(_longest(lowered), evaluator.real(model, "context")))
    if longest > window:
        free = lowered.table is None and lowered.turns is None  # no trace, no history keeps to it
        bound = _bound(int(window)) if free else ""
        evaluator.sink.warning(
            "W0504",
            f"the attention window of {window:,.0f} tokens is not modelled: longer requests cost "
            "and hold what full attention would",
            evaluator.place_of(model),
            f"requests go up to {longest:,} tokens",
            help=(
                "take a graph with `WindowedAttention`"
                + (f", or bound the requests: {bound}" if bound else ""),
            ),
        )


# Sizes of a model that nothing but its graph reads.
_OF_THE_GRAPH = (
    "experts", "active_experts", "expert_ffn", "shared_experts", "expert_groups", "active_groups",
    "dense_layers", "query_rank", "kv_rank", "rope_dim", "windowed_layers", "recurrent_layers",
    "ffn_layers", "state_heads", "state_groups", "key_dim", "value_dim", "convolution",
    "expert_hidden", "chosen", "dense_context", "indexed_layers", "index_heads", "index_dim",
)  # fmt: skip


def _check_read(evaluator: Evaluator, model: Instance) -> None:
    """Warn of a size that the program gives, and that the graph does not read."""
    fields = model.members.fields
    waiting: list[object] = [model.members.clauses("graph")[0].item]
    read: set[str] = set()
    while waiting:
        names = {node.id for node in ast.walk(waiting.pop()) if isinstance(node, ast.Name)}
        waiting += [fields[name].value for name in names - read if name in fields]
        read |= names
    for name in _OF_THE_GRAPH:
        definition = fields.get(name)
        own = definition is not None and definition.owner.module is evaluator.program.root
        if definition is not None and own and name not in read:
            evaluator.sink.warning(
                "W0514",
                f"`{name}` changes nothing: the graph of `{model.name}` does not read it",
                definition.value.span,
                "set here",
                help=("derive the model from one whose graph has what it is a size of",),
            )


def _room(evaluator: Evaluator, cluster: Instance, workers: list[Workers]) -> int | None:
    """Return the longest request that all workers of a model can hold which decode it.

    Of several models the one counts for which that is most; None where nobody decodes.
    """
    rooms: dict[Model, int] = {}
    for standing, kind in zip(standings(evaluator, cluster), workers, strict=True):
        if kind.decodes:
            context = kind.model.context
            room = _longest_held(evaluator, standing.worker, kind, context)
            rooms[kind.model] = min(room, rooms.get(kind.model, context))
    return max(rooms.values(), default=None)


def _check_table(
    evaluator: Evaluator, workload: Instance, room: int, lowered: Workload, context: int
) -> None:
    table = lowered.table
    assert table is not None
    beyond = sum(prompt + output > room for prompt, output in _lengths(lowered, table))
    rows = lowered.rows
    if beyond:
        why = "the model's context" if room == context else "what a worker's KV cache can hold"
        evaluator.sink.warning(
            "W0503",
            f"{beyond:,} of {rows:,} requests are rejected: they have more than "
            f"{several(room, 'token')}, {why}",
            evaluator.place_of(workload),
        )


def _lengths(lowered: Workload, table: Table) -> Iterator[tuple[int, int]]:
    """Yield prompt and output of the rows of a table that count, as short as they may be."""
    before, rows = int(lowered.added[0]), lowered.rows
    for prompt, output in zip(table.prompt[:rows], table.output[:rows], strict=True):
        yield lowered.within_total(prompt + before, output)


def _longest_held(evaluator: Evaluator, worker: Instance, kind: Workers, most: int) -> int:
    """Return the longest request, up to `most` tokens, that an empty worker admits and can hold.

    The last token of a request is never cached: nothing comes after it. Raises Failed.
    """
    held = _held(evaluator, worker, kind)
    room = kind.kv.capacity - watermark(kind.kv, kind.local.watermark)
    low, high = 0, most + 1
    while high - low > 1:  # footprints grow with the context
        middle = (low + high) // 2
        fits = held(max(middle - 1, 1), middle, 1) <= room
        low, high = (middle, high) if fits else (low, middle)
    return low


def _held(evaluator: Evaluator, worker: Instance, kind: Workers) -> Footprint:
    """Return what a request holds. It raises Failed where that has no value, or one below zero."""
    footprint = compiled_footprint(kind.kv)

    def refused(code: str, what: str, *remedy: str) -> Failed:
        kv = evaluator.required(worker, "kv")
        place = kv.members.fields["footprint"].value.span
        return evaluator.fail(code, f"the footprint of `{kv.name}` {what}", place, help=remedy)

    def held(context: int, prompt: int, output: int) -> int:
        try:
            size = footprint(context, prompt, output)
        except NameError:
            moved = "`r.held` is known of what is moved alone (`swap_out`, `swap_in`)"
            raise refused("E0504", f"cannot be computed: {moved}") from None
        except (ArithmeticError, TypeError, ValueError) as error:
            raise refused("E0504", f"cannot be computed: {why_none(error)}") from None
        if size < 0:
            at = f"a context of {several(context, 'token')} (prompt {prompt:,}, output {output:,})"
            what = f"must be at least 0, and is {several(size, 'byte')} at {at}"
            raise refused("E0503", what, "write `max(0 B, …)`")
        return size

    return held
