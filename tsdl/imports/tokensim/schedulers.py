"""The scheduler configuration of the paper (Figure 2b), and the handlers that follow from roles."""

from tsdl.imports import dispatch
from tsdl.imports.dispatch import CHOICES
from tsdl.imports.library import folded
from tsdl.imports.tables import UNREAD, WRONG, Table
from tsdl.imports.tokensim.parts import Parts, function_of_yours, hook, quoted
from tsdl.writing import Block, Line, Member, percent, tokens

_POLICIES = {
    "continuous": "continuous", "dynamic": "continuous", "greedy": "continuous",
    "static": "static", "chunked": "chunked", "sarathi": "chunked", "chunkedprefill": "chunked",
}  # fmt: skip
_MANAGERS = {
    "pagedattn": "paged", "pagedattention": "paged", "paged": "paged", "block": "paged",
    "contiguous": "contiguous", "reserved": "contiguous", "static": "contiguous",
    "token": "token_wise", "tokenwise": "token_wise",
}  # fmt: skip
_MODES = {"swap": "swap", "recompute": "recompute"}
_CHUNKED_LEAST = 256  # requests that run at once, each of which needs a token of a chunked budget


def read_local(parts: Parts) -> None:
    """Read the local schedulers: policy, memory, hooks."""
    for part in parts.all("local_scheduler"):
        table = part.table("local_scheduler")
        if table is None:
            continue
        policy = table.text("policy")
        if policy:
            base = _one_of(_POLICIES, table, "policy", policy)
            parts.deployment.scheduler.base = base or "continuous"
            parts.deployment.scheduler.notes.append(quoted("policy", policy))
        params = table.table("policy_params") or Table(table.span, table.sink)
        share = _params(parts, params)
        hooks = table.table("hooks")
        if hooks:
            _hooks(parts, hooks, share)
            hooks.finish()
        params.finish()
        table.finish()


def _params(parts: Parts, params: Table) -> float | None:
    """Read the parameters of the policy; return `gpu_utilization`."""
    deployment = parts.deployment
    memory = params.text("memory")
    if memory:
        deployment.memory.base = _one_of(_MANAGERS, params, "memory", memory) or "paged"
        deployment.memory.name = "paged_attn" if deployment.memory.base == "paged" else "cache"
    budget = params.whole("max_batched_tokens")
    if budget:
        lines = deployment.scheduler.local
        lines.append(Line(tokens(budget), "max_batched_tokens", "max_tokens"))
        if deployment.scheduler.base == "chunked" and budget < _CHUNKED_LEAST:
            lines.append(Line(str(budget), "no more than max_batched_tokens", "max_requests"))
    running = params.whole("max_num_seqs")
    if running:
        deployment.scheduler.local.append(Line(str(running), "max_num_seqs", "max_requests"))
    block = params.whole("block_size")
    if block and block != 16:  # noqa: PLR2004 (the default)
        deployment.memory.fields.append(Line(tokens(block), "block_size", "block"))
    mode = params.text("preemption_mode")
    if mode and _one_of(_MODES, params, "preemption_mode", mode) == "swap":
        lines = deployment.scheduler.local
        lines.append(Line("swap", quoted("preemption_mode", mode), "preempt"))
    share = params.positive("gpu_utilization", 1)
    if share and share != 0.9:  # noqa: PLR2004 (the default)
        deployment.memory.fields.append(Line(percent(share), "gpu_utilization", "utilization"))
    return share


def _hooks(parts: Parts, hooks: Table, share: float | None) -> None:
    text = hooks.text("before_sched")
    if text is None:
        return
    if hook(text) != "ratio":
        function_of_yours(hooks, "before_sched", hooks.place("before_sched"))
    elif share is None:
        title = "`ratio()` needs `gpu_utilization`, the share of memory up to which it admits"
        parts.sink.warning(UNREAD, title, hooks.place("before_sched"), "left out")
    else:
        comment = f"{quoted('before_sched', text)} of gpu_utilization"
        line = Line(f"admit r when kv.fill_with(r) <= {percent(share)}", comment)
        parts.deployment.scheduler.local.append(line)


def read_global(parts: Parts) -> None:
    """Read the global scheduler, and hand requests over where roles are split."""
    told = parts.first("global_scheduler")
    table = told.table("global_scheduler") if told else None
    table = table or Table(parts.flags.span, parts.sink)
    everywhere = parts.deployment.scheduler.everywhere
    scatter = _choice(table, "scatter")
    record = _function(table, "on_arrive", "record")
    comment = _cited(table, "scatter")
    if record:
        everywhere.append(dispatch.record_book(f"{record}; 10 s: assumed"))
    if record or scatter != "round_robin":  # the default
        everywhere.append(dispatch.arrivals(scatter, comment, recorded=record))
    submit = _function(table, "on_finish", "submit")
    transmit = _choice(table, "transmit")
    near = table.flag("intra_first")
    _first_token(parts, submit)
    if parts.deployment.split:
        near_comment = "intra_first" if near else ""
        handler = dispatch.submissions(transmit, _cited(table, "transmit"), near=near_comment)
        everywhere.append(handler)
    elif submit:
        table.unread("on_finish", "every worker decodes, so that nothing is handed over")
    table.finish()


def _first_token(parts: Parts, submit: str) -> None:
    """Write what happens at the first token: one handler for storing and for handing over."""
    scheduler, split = parts.deployment.scheduler, parts.deployment.split
    over = Line("submit r", submit or "decoding is left to others")
    if parts.stored is None:
        scheduler.local += [dispatch.hand_over([over])] if split else []
        return
    condition, comment = parts.stored
    store = Line("store r in pool", comment)
    if split and condition == "not w.decodes":
        scheduler.local.append(dispatch.hand_over([store, Line("drop r", ""), over]))
        return
    members: list[Member] = [Block(f"if {condition}", [store]) if condition else store]
    members += [Block("if not w.decodes", [over])] if split else []
    scheduler.local.append(Block("on token(r, w) when r.generated == 1", members))


def _cited(table: Table, key: str) -> str:
    return quoted(key, table.text(key)) if table.has(key) else ""


def _choice(table: Table, key: str) -> str:
    text = table.text(key)
    return (text and _one_of(CHOICES, table, key, text)) or "round_robin"


def _function(table: Table, key: str, function: str) -> str:
    """Return how a hook is cited that names a function which is known."""
    text = table.text(key)
    if text is None:
        return ""
    if hook(text) == function:
        return quoted(key, text)
    function_of_yours(table, key, table.place(key))
    return ""


def _one_of(known: dict[str, str], table: Table, key: str, text: str) -> str | None:
    """Return what one of several words means; report one that is none of them."""
    found = known.get(folded(hook(text)))
    if found is None:
        words = ", ".join(dict.fromkeys(known.values()))
        title = f"`{key}` names nothing that is known: `{text[:60]}`"
        table.sink.error(WRONG, title, table.place(key), help=(f"there are {words}",))
    return found
