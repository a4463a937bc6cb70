"""The hardware configuration of the paper (Figure 2a): nodes, and groups of workers in them."""

from tsdl.imports import dispatch
from tsdl.imports.deployment import MOST_WORKERS, Group, Node
from tsdl.imports.library import identifier
from tsdl.imports.tables import WRONG, Table
from tsdl.imports.tokensim.parts import Parts, function_of_yours, hook, quoted
from tsdl.writing import Block, Line

_KINDS = ("gpu", "cpu", "fpga", "pim", "npu", "tpu")
_RUNS = {(True, True): "both", (True, False): "prefill", (False, True): "decode"}


def read(parts: Parts) -> None:
    """Read all nodes, with what their workers do at the first token and at their start."""
    stored: list[tuple[Group, str]] = []
    fetched: list[tuple[Group, str]] = []
    for part in parts.all("workers"):
        for table in part.tables("workers"):
            node = _node(parts, table)
            for kind in _KINDS:
                for entry in table.tables(kind):
                    group = _group(parts, entry)
                    if group is None:
                        continue
                    node.groups.append(group)
                    _hook(entry, "on_first_fin", "put_kv", group, stored)
                    _hook(entry, "on_st", "get_kv", group, fetched)
                    entry.finish()
            if not node.groups:
                parts.sink.error(WRONG, "a node without workers", table.span)
            table.finish()
    if len(parts.deployment.nodes) > 1 and parts.deployment.network is None:
        reason, help_ = "its nodes have no `network`: taken as one", "write `network: …` in each"
        parts.all("workers")[0].unread("workers", reason, help_)
    _pool(parts, stored, fetched)


def _node(parts: Parts, table: Table) -> Node:
    name = table.text("name")
    taken = [node.name for node in parts.deployment.nodes]
    node = Node(identifier(name or "node", taken), comment="" if name else "without a name")
    parts.deployment.nodes.append(node)
    network = table.text("network")
    if network is None:
        return node
    found = parts.names.find("link", network, table.place("network"))
    before = parts.deployment.network
    if found and before is None:
        parts.deployment.network = Line(found, quoted("network", network), "network")
    elif found and before and before.text != found:
        reason = f"a cluster has one network here, which is {before.text}"
        table.unread("network", reason)
    return node


def _group(parts: Parts, table: Table) -> Group | None:
    name = table.text("name")
    made = identifier(name or "gpu", [group.name for group in parts.deployment.groups])
    text = table.text("hardware")
    if text is None:
        parts.sink.error(WRONG, "workers without `hardware`", table.span)
        return None
    hardware = parts.names.find("hardware", text, table.place("hardware"))
    runs = [key for key in ("run_prefill", "run_decode") if table.flag(key) is False]
    phases = (table.flag("run_prefill") is not False, table.flag("run_decode") is not False)
    if phases not in _RUNS:
        parts.sink.error(WRONG, "workers that run nothing", table.place("run_decode"))
        return None
    group = Group(
        made, hardware or text, table.whole("quantity", high=MOST_WORKERS) or 1, runs=_RUNS[phases]
    )
    group.comment = "; ".join(f"{key}: false" for key in runs)
    connection = table.text("connection")
    if connection and hardware:
        place = table.place("connection")
        group.link = parts.names.link(connection, hardware, place) or ""
        shown = quoted("connection", connection)
        group.comment = "; ".join(filter(None, [shown, group.comment]))
    return group if hardware else None


def _hook(
    table: Table, key: str, function: str, group: Group, found: list[tuple[Group, str]]
) -> None:
    text = table.text(key)
    if text is None:
        return
    if hook(text) == function:
        found.append((group, quoted(key, text)))
    else:
        function_of_yours(table, key, table.place(key))


def _pool(parts: Parts, stored: list[tuple[Group, str]], fetched: list[tuple[Group, str]]) -> None:
    """Write the memory pool of `put_kv()` and `get_kv()`, and the handlers that use it."""
    deployment = parts.deployment
    local = deployment.scheduler.local
    if stored or fetched:
        lines = [Line("512 GiB", "", "capacity"), Line("800 ns/block", "", "latency")]
        comment = "of put_kv(), get_kv(); capacity: assumed; latency: the paper's, IV.E"
        deployment.tiers.append(Block("tier pool", [*lines], comment))
    if fetched:
        groups = [group for group, _ in fetched]
        condition = dispatch.of_groups(deployment, groups, "not w.prefills", "decode")
        local.append(dispatch.fetch(condition, fetched[0][1]))
    if stored:
        groups = [group for group, _ in stored]
        condition = dispatch.of_groups(deployment, groups, "not w.decodes", "prefill")
        parts.stored = (condition, stored[0][1])
