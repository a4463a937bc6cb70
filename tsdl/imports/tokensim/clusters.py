"""TokenSim's cluster files: groups of workers, networks, parallelism, transfer of KV."""

import re

from tsdl.imports import dispatch
from tsdl.imports.deployment import MOST_WORKERS, Group, Node
from tsdl.imports.dispatch import CHOICES
from tsdl.imports.library import folded, identifier
from tsdl.imports.tables import UNREAD, WRONG, Table
from tsdl.imports.tokensim.parts import Parts, quoted
from tsdl.writing import Block, Line, bandwidth, number, quantity, seconds

_ROLES = {"hybrid": "both", "prefill": "prefill", "decode": "decode"}
_CARDS = re.compile(r"-TP([1-9][0-9]{0,2})$", re.IGNORECASE)  # `A100-TP8`: eight of them
_STORES = ("MooncakeStoreConnector",)
_DIRECT = ("P2PConnector", "MooncakeConnector", "NoopConnector")
_EFFECTLESS = (
    "mode", "kv_role", "kv_rank", "kv_parallel_size", "kv_buffer_device", "engine_id",
    "experiment_label", "target_hardware", "group_id", "pcp_rank", "dcp_rank", "load_async",
    "protocol", "num_nics", "parallel_paths", "replica_num",
)  # fmt: skip


def read(parts: Parts) -> None:
    """Read the cluster."""
    table = parts.first("cluster")
    if table is None:
        return
    for other in parts.all("cluster")[1:]:
        parts.sink.error(WRONG, "a second cluster; one is imported at a time", other.span)
    table.ignore("num_workers", "operator_backend")
    devices = _parallel(parts, table)
    for entry in table.tables("worker_groups"):
        _group(parts, entry, devices)
        entry.finish()
    if not parts.deployment.groups and not parts.sink.has_errors:
        parts.sink.error(WRONG, "a cluster without workers", table.span)
    _networks(parts, table)
    own = table.table("kv_transfer")
    transfers = parts.all("kv_transfer") or ([own] if own else [])  # a file of its own wins
    for given in transfers[:1]:
        _transfer(parts, given)
    for other in transfers[1:]:
        parts.sink.error(WRONG, "a second transfer of KV; one is imported at a time", other.span)
    _topology(parts, table)
    table.finish()


def _parallel(parts: Parts, cluster: Table) -> int:
    """Return how many devices share the work of one worker."""
    own = cluster.table("parallel_config")
    others = [t.table("parallel_config") for t in parts.all("workload")]
    tables = [parts.flags, *(t for t in (own, *others) if t)]
    tensor = next((n for t in tables if (n := t.whole("tensor_parallel_size"))), 1)
    stages = next((n for t in tables if (n := t.whole("pipeline_parallel_size"))), 1)
    for table in tables:
        table.ignore("data_parallel_size", "data_parallel_size_local", "data_parallel_rank")
        if stages > 1 and table.has("pipeline_parallel_size"):
            reason = f"{stages} stages are taken as tensor parallelism of {tensor * stages}"
            table.unread("pipeline_parallel_size", reason)
        if table.flag("enable_expert_parallel"):
            table.unread("enable_expert_parallel", "there are no experts here")
        else:
            table.ignore("expert_placement_strategy", "all2all_backend")
        if table is not parts.flags:
            table.finish()
    return tensor * stages


def _group(parts: Parts, table: Table, devices: int) -> None:
    deployment = parts.deployment
    role = table.text("role") or "hybrid"
    text = table.text("hardware")
    if role not in _ROLES:
        title = f"`role` is hybrid, prefill or decode, this is `{role[:60]}`"
        parts.sink.error(WRONG, title, table.place("role"))
    elif text is None:
        parts.sink.error(WRONG, "workers without `hardware`", table.span)
    else:
        count = table.whole("num_workers", high=MOST_WORKERS) or 1
        if count % devices:
            title = f"{count} workers cannot be divided into groups of {devices} that share work"
            parts.sink.error(WRONG, title, table.place("num_workers"))
        cards = _CARDS.search(text)
        named = text[: cards.start()] if cards else text
        found = parts.names.find("hardware", named, table.place("hardware")) or text
        name = "gpu" if role == "hybrid" else role
        name = identifier(name, [group.name for group in deployment.groups])
        group = Group(name, found, max(count // devices, 1), devices, _ROLES[role])
        group.devices *= int(cards[1]) if cards else 1
        group.comment = "" if folded(found) == folded(text) else quoted("hardware", text)
        _node(parts, table.text("network") or "net1").groups.append(group)
    table.ignore("num_workers", "network", "device_indices", "operator_backend")


def _node(parts: Parts, network: str) -> Node:
    """Return the node of a network, which its workers share."""
    name, nodes = identifier(network), parts.deployment.nodes
    node = next((node for node in nodes if node.name == name), None)
    if node is None:
        node = Node(name)
        nodes.append(node)
    return node


def _networks(parts: Parts, table: Table) -> None:
    """Read what is between nodes; where there is one node, nothing is."""
    networks = table.table("networks")
    if networks is not None and len(parts.deployment.nodes) > 1:
        for key in networks.entries:
            _network(parts, networks, key)
        networks.finish()


def _network(parts: Parts, networks: Table, key: str) -> None:
    deployment = parts.deployment
    text = networks.text(key)
    found = parts.names.find("link", text, networks.place(key)) if text else None
    if found and deployment.network is None:
        deployment.network = Line(found, quoted(key, text), "network")
    elif found and deployment.network and found != deployment.network.text:
        networks.unread(key, f"a cluster has one network, here {deployment.network.text}")


def _topology(parts: Parts, table: Table) -> None:
    name = table.text("topology")
    if name is None:
        return
    known = {t.text("topology_id"): t for t in parts.all("topology")}
    if name not in known:
        reason = f"import `{name[:60]}.yaml` too, for its links"
        table.unread("topology", reason)
        return
    levels = known[name].tables("levels")
    links = [(level, level.text("link")) for level in levels]
    for (level, text), outer in zip(links, (False, True), strict=False):
        found = parts.names.find("link", text, level.place("link")) if text else None
        if found and not outer:
            for group in parts.deployment.groups:
                group.link = found
        elif found and parts.deployment.network:
            parts.deployment.network = Line(found, quoted("topology", name), "network")
    known[name].ignore("levels")


def _transfer(parts: Parts, table: Table) -> None:
    """Read how KV goes from worker to worker, or to a store that they share."""
    table.ignore(*_EFFECTLESS)
    connector = table.text("kv_connector") or "NoopConnector"
    extra = table.table("kv_connector_extra_config") or Table(table.span, table.sink)
    if connector in _STORES:
        _store(parts, extra)
    elif connector not in _DIRECT:
        table.unread("kv_connector", f"`{connector[:60]}` is not read")
    for group in parts.deployment.groups:
        size = extra.positive("local_buffer_size_gb")
        if group.runs != "prefill" and size and connector in ("MooncakeConnector", *_STORES):
            group.extras.append(Line(quantity(size, "GiB"), "", "buffer"))
        if group.runs != "prefill" and extra.flag("transfer_overlap") is False:
            group.extras.append(Line("sequential", "", "handoff"))
    extra.ignore(
        *_EFFECTLESS, "load_async", "protocol", "num_nics", "parallel_paths", "replica_num"
    )
    extra.ignore("global_segment_size_gb", "eviction_policy")
    extra.finish()
    table.finish()


def _store(parts: Parts, extra: Table) -> None:
    """Write the store as a tier, from which a request takes what it finds."""
    deployment = parts.deployment
    size = extra.positive("global_segment_size_gb") or 8.0
    lines = [Line(quantity(size, "GiB"), "global_segment_size_gb", "capacity")]
    rate, delay = extra.positive("bandwidth_gbps"), extra.number("fixed_latency_us")
    if rate:
        members = [Line(bandwidth(rate), "", "bandwidth")]
        members += [Line(seconds(delay / 1e6), "", "latency")] if delay else []
        deployment.declarations.append(Block("link store", [*members], "kv_transfer"))
        lines.append(Line("store", "", "link"))
    if (extra.text("eviction_policy") or "lru") == "lru":
        lines.append(Line("evict by last_used", "eviction_policy: lru"))
    deployment.tiers.append(Block("tier pool", [*lines]))
    deployment.scheduler.local += [
        dispatch.fetch("", "MooncakeStoreConnector"),
        Block("on finish(r, w)", [Line("store r in pool", "")]),
    ]
    if extra.flag("enable_offload"):
        extra.unread("enable_offload", "a second tier behind the store is not written; add one")


def read_pools(parts: Parts) -> None:
    """Read how workers are chosen, from the command line: for arrivals, and to go on decoding."""
    if not parts.first("cluster"):
        return
    flags, everywhere = parts.flags, parts.deployment.scheduler.everywhere
    arrivals, comment = _choice(parts, ("prefill_worker_pool_type", "pworker_pool_type"))
    if arrivals and arrivals != "round_robin":
        everywhere.append(dispatch.arrivals(arrivals, comment))
    later, comment = _choice(parts, ("decode_worker_pool_type", "gworker_pool_type"))
    if parts.deployment.split:
        default = "kv.fill"  # its own, least_gpu_memory
        parts.deployment.scheduler.local.append(
            dispatch.hand_over([Line("submit r", "decoding is left to others")])
        )
        comment = comment or "decode_worker_pool_type: its default, least_gpu_memory"
        everywhere.append(dispatch.submissions(later or default, comment))
    ratio = flags.positive("max_occupy_ratio", 1)
    if ratio and ratio < 1:
        shown = number(ratio * 100)
        line = Line(f"admit r when kv.fill < {shown} %", "max_occupy_ratio")
        parts.deployment.scheduler.local.append(line)


def _choice(parts: Parts, keys: tuple[str, ...]) -> tuple[str, str]:
    for key in keys:
        text = parts.flags.text(key)
        if text is None:
            continue
        found = CHOICES.get(folded(text))
        if found:
            return found, quoted(key, text)
        title = f"`{key}` names no way to choose that is known: `{text[:60]}`"
        parts.sink.warning(UNREAD, title, parts.flags.place(key), "left out")
    return "", ""
