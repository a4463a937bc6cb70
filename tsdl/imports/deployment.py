"""What a configuration describes, whatever its format, and how that is put into TSDL."""

from collections.abc import Sequence
from os.path import commonprefix
from pathlib import PurePath

from msgspec import Struct, field

from tsdl.imports.library import DEFAULT_LINK, identifier, own_link
from tsdl.writing import Block, Line, Member, render

MOST_WORKERS = 10_000  # of a group
SERVERS, SCHEDULER, TRAFFIC = "servers", "scheduler", "traffic"


class Group(Struct):
    """Workers alike."""

    name: str
    hardware: str
    count: int = 1
    devices: int = 1
    runs: str = "both"
    link: str = ""
    extras: list[Member] = field(default_factory=list)  # further fields
    comment: str = ""
    parallel: str = ""  # how devices share the work, where that is not `tp(devices)`

    @property
    def plain(self) -> bool:
        """Tell whether hardware and devices are all there is to say."""
        return self.runs == "both" and not self.extras and self.usual and not self.parallel

    @property
    def usual(self) -> bool:
        """Tell whether the link goes without saying: NVLink3 does between A100s."""
        return not self.link or self.link == DEFAULT_LINK == own_link(self.hardware)


class Node(Struct):
    """Workers that reach each other without the network; no name for those outside of nodes."""

    name: str
    groups: list[Group] = field(default_factory=list)
    fields: list[Line] = field(default_factory=list)
    comment: str = ""


class Memory(Struct):
    """The KV-cache manager: the one of the library that it is, and what differs."""

    base: str = "paged"
    fields: list[Line] = field(default_factory=list)
    name: str = "paged_attn"


class Scheduler(Struct):
    """A policy: the one of the library that it is, and what differs in its stages."""

    base: str = "continuous"
    also: list[str] = field(default_factory=list)  # policies beside it
    local: list[Member] = field(default_factory=list)
    everywhere: list[Member] = field(default_factory=list)  # the global stage
    notes: list[str] = field(default_factory=list)


class Deployment(Struct):
    """All of a scenario."""

    name: str
    title: list[str]
    model: Line = field(default_factory=lambda: Line("llama2_7b", "", "model"))
    model_members: list[Member] = field(default_factory=list)
    model_notes: list[str] = field(default_factory=list)
    model_name: str = "watched"  # of the one derived, where it has members
    declarations: list[Member] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    network: Line | None = None
    tiers: list[Block] = field(default_factory=list)
    memory: Memory = field(default_factory=Memory)
    scheduler: Scheduler = field(default_factory=Scheduler)
    workload: Line | list[Member] = field(default_factory=list)
    settings: list[Member] = field(default_factory=list)  # of the scenario, the last of its lines

    @property
    def groups(self) -> list[Group]:
        """Return all groups of workers."""
        return [group for node in self.nodes for group in node.groups]

    @property
    def split(self) -> bool:
        """Tell whether some workers leave decoding to others."""
        return any(group.runs == "prefill" for group in self.groups)


def common_name(files: Sequence[str], otherwise: str) -> str:
    """Return what the names of files begin with, as the name of a scenario."""
    stems = [PurePath(file).stem for file in files]
    shared = commonprefix(stems)  # noqa: RUF071 (names, no paths)
    shared = shared.rstrip("_-. ")
    return shared if len(shared) > 2 else (stems or [otherwise])[0]  # noqa: PLR2004


def write(deployment: Deployment) -> str:
    """Return the text of a deployment."""
    blocks: list[Member] = [*deployment.declarations]
    model = _model(deployment, blocks)
    cache = _cache(deployment.memory, blocks)
    policy = _policy(deployment.scheduler, blocks)
    cluster = _cluster(deployment, cache, blocks)
    workload = _workload(deployment.workload, blocks)
    members: list[Member] = [model, cluster, *policy, workload, *deployment.settings]
    heads = [block.head for block in blocks if isinstance(block, Block)]
    taken = [head.split()[1].partition("(")[0] for head in heads]
    name = identifier(deployment.name, taken)
    return render(deployment.title, [*blocks, Block(f"scenario {name}", members)])


def _model(deployment: Deployment, blocks: list[Member]) -> Line:
    members = deployment.model_members
    if not members:
        return deployment.model
    head = f"model {deployment.model_name} from {deployment.model.text}"
    blocks.append(Block(head, members, deployment.model.comment, deployment.model_notes))
    return Line(deployment.model_name, "", "model")


def _cache(memory: Memory, blocks: list[Member]) -> str:
    """Return the name of the KV-cache manager, or nothing for the default one."""
    if not memory.fields:
        return "" if memory.base == "paged" else memory.base
    name = identifier(memory.name)
    blocks.append(Block(f"kvcache {name} from {memory.base}", [*memory.fields]))
    return name


def _policy(scheduler: Scheduler, blocks: list[Member]) -> list[Line]:
    stages = (("local", scheduler.local), ("global", scheduler.everywhere))
    members: list[Member] = [Block(n, sorted(stage, key=_rank)) for n, stage in stages if stage]
    if members or scheduler.also:
        head = f"policy {SCHEDULER} from {', '.join([scheduler.base, *scheduler.also])}"
        blocks.append(Block(head, members, "", scheduler.notes))
        return [Line(SCHEDULER, "", "policy")]
    if scheduler.base == "continuous":  # the default
        return []
    return [Line(scheduler.base, "; ".join(scheduler.notes), "policy")]


def _rank(member: Member) -> int:
    """Return where a member of a stage stands: fields, then clauses, then handlers."""
    return 2 if isinstance(member, Block) else 0 if member.name else 1


def _cluster(deployment: Deployment, cache: str, blocks: list[Member]) -> Line:
    groups = deployment.groups
    simple = not (deployment.network or deployment.tiers or cache)
    if len(groups) == 1 and groups[0].plain and simple and not deployment.nodes[0].fields:
        (group,) = groups
        shared = f", {group.devices}" if group.devices > 1 else ""
        text = f"single({group.hardware}{shared})"
        if group.count > 1:
            text = f"replicas({group.hardware}, {group.count}{shared})"
        return Line(text, group.comment, "cluster")
    members: list[Member] = []
    if deployment.network:
        members.append(deployment.network)
    for node in deployment.nodes:
        workers: list[Member] = [*node.fields]
        workers += [_worker(group, cache, deployment) for group in node.groups]
        named = Block(f"node {node.name}", workers, node.comment)
        # Without a network all workers share one node: there can be no others.
        members += [named] if node.name and deployment.network else workers
    blocks.append(Block(f"cluster {SERVERS}", [*members, *deployment.tiers]))
    return Line(SERVERS, "", "cluster")


def _worker(group: Group, cache: str, deployment: Deployment) -> Block:
    lines: list[Member] = [Line(group.hardware, "", "hardware")]
    if any(not other.usual for other in deployment.groups):  # all, where one differs
        lines.append(Line(group.link or own_link(group.hardware), "", "link"))
    if group.devices > 1 or group.parallel:
        lines.append(Line(group.parallel or f"tp({group.devices})", "", "parallel"))
    if group.runs != "both":
        lines.append(Line(group.runs, "", "runs"))
    if cache:
        lines.append(Line(cache, "", "kv"))
    lines += group.extras
    count = f" * {group.count}" if group.count > 1 else ""
    return Block(f"worker {group.name}{count}", lines, group.comment)


def _workload(workload: Line | list[Member], blocks: list[Member]) -> Line:
    if isinstance(workload, Line):
        return workload
    blocks.append(Block(f"workload {TRAFFIC}", workload))
    return Line(TRAFFIC, "", "workload")
