"""The configuration of LLM Inference Simulator: its JSON file, or the flags of its command line."""

from collections.abc import Sequence
from pathlib import PurePath

from msgspec import Struct

from tsdl.diagnostics import Sink
from tsdl.imports import dispatch
from tsdl.imports.deployment import Deployment, Group, Node, write
from tsdl.imports.documents import File, read_flags, read_tables
from tsdl.imports.library import Names, connection
from tsdl.imports.tables import WRONG, Table
from tsdl.source import Source, Span
from tsdl.writing import Block, Line, Member, bandwidth, number, quantity, seconds, tokens

FILE_FLAGS = ("config",)
_SECTIONS = ("model", "workload", "cluster", "parallelism", "scheduler", "disaggregation")
# Flags by the section and the key of the file that they stand for.
_FLAGS = {
    "model": ("", "model"),
    "duration": ("", "simulation_duration_s"),
    "warm_up": ("", "warm_up_duration_s"),
    "seed": ("", "random_seed"),
    "xpu": ("cluster", "xpu"),
    "n_xpus_per_node": ("cluster", "n_xpus_per_node"),
    "n_nodes": ("cluster", "n_nodes"),
    "tp": ("parallelism", "tensor_parallel_size"),
    "pp": ("parallelism", "pipeline_parallel_size"),
    "dp": ("parallelism", "data_parallel_size"),
    "avg_input_length": ("workload", "avg_input_length"),
    "max_input_length": ("workload", "max_input_length"),
    "avg_output_length": ("workload", "avg_output_length"),
    "max_output_length": ("workload", "max_output_length"),
    "arrival_rate": ("workload", "arrival_rate"),
    "batching_strategy": ("scheduler", "batching_strategy"),
    "max_batch_size": ("scheduler", "max_batch_size"),
    "disaggregated": ("disaggregation", "enabled"),
    "prefill_xpu": ("prefill_cluster", "xpu"),
    "prefill_n_xpus": ("prefill_cluster", "n_xpus_per_node"),
    "prefill_tp": ("prefill_parallelism", "tensor_parallel_size"),
    "decode_xpu": ("decode_cluster", "xpu"),
    "decode_n_xpus": ("decode_cluster", "n_xpus_per_node"),
    "decode_tp": ("decode_parallelism", "tensor_parallel_size"),
    "transfer_bandwidth": ("disaggregation", "transfer_bandwidth_gbs"),
    "transfer_latency": ("disaggregation", "transfer_latency_ms"),
}
_EFFECTLESS = ("output", "summary", "init_config", "config")
_PARALLEL = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")
# What its own files and flags leave out: these are its defaults, which differ.
_FILE_DEFAULTS = {"max_input_length": 2048, "max_output_length": 512, "arrival_rate": 1.0}
_FLAG_DEFAULTS = {"max_input_length": 1024, "max_output_length": 256, "arrival_rate": 2.0}
# Its lengths, as fields here, with the mean and the deviation where it says nothing.
_LENGTHS = (("input", "prompt", 512, 100), ("output", "output", 128, 50))
# Both directions of NVLink in GB/s, as data sheets and its catalogue have them.
_NVLINKS = {300: "NVLink2", 600: "NVLink3", 900: "NVLink4", 1800: "NVLink5"}


class _Config(Struct):
    """The sections of a configuration, and the deployment that is made of it."""

    sink: Sink
    names: Names
    deployment: Deployment
    root: Table
    sections: dict[str, Table]
    defaults: dict[str, float]

    def __getitem__(self, name: str) -> Table:
        """Return a section, an empty one where it is left out."""
        return self.sections.setdefault(name, Table(self.root.span, self.sink))


def read(files: Sequence[File], flags: Sequence[str], sink: Sink) -> str | None:
    """Return the TSDL text of a configuration, or None where it has mistakes."""
    given = read_flags(flags, sink)
    tables = [table for file in files for table in read_tables(file.name, file.text, sink)]
    if len(tables) > 1:
        sink.error(WRONG, "a second configuration; one is imported at a time", tables[1].span)
    if tables and not tables[0].has(*_SECTIONS):
        known = ", ".join(f"`{key}`" for key in _SECTIONS)
        title = "not a configuration of LLM Inference Simulator"
        sink.error(WRONG, title, tables[0].span, help=(f"it has some of the keys {known}",))
    if not files and not flags:
        sink.error(WRONG, "neither a file nor a flag is given", Span(Source("<flags>", ""), 0, 0))
    return None if sink.has_errors else _text(_config(files, tables, given, sink), given)


def _text(config: _Config, flags: Table) -> str | None:
    _sections(config)
    _enter(config, flags)
    _read(config)
    return None if config.sink.has_errors else write(config.deployment)


def _config(files: Sequence[File], tables: list[Table], flags: Table, sink: Sink) -> _Config:
    name = PurePath(files[0][0]) if files else None
    stem = "disaggregated" if flags.has("disaggregated") else "aggregated"
    origin = name.name if name else "flags"
    title = [f"Made from {origin} by `tsdl import llm-inference-simulator`."]
    deployment = Deployment(name.stem if name else stem, title)
    root = tables[0] if tables else Table(flags.span, sink)
    defaults = _FILE_DEFAULTS if tables else _FLAG_DEFAULTS
    return _Config(sink, Names(sink), deployment, root, {}, defaults)


def _sections(config: _Config) -> None:
    for name in _SECTIONS[1:]:
        table = config.root.table(name)
        if table:
            config.sections[name] = table
    outer = config["disaggregation"]
    for name in ("prefill_cluster", "prefill_parallelism", "decode_cluster", "decode_parallelism"):
        table = outer.table(name)
        if table:
            config.sections[name] = table


def _enter(config: _Config, flags: Table) -> None:
    """Put the flags where the file has what they say; they win."""
    for flag, value in flags.entries.items():
        place = flags.keys[flag]
        if flag in _FLAGS:
            section, key = _FLAGS[flag]
            table = config[section] if section else config.root
            table.entries[key], table.keys[key] = value, place
            flags.ignore(flag)
    flags.ignore(*_EFFECTLESS, *(f for f in _FLAGS if not flags.has(f)))
    flags.finish()


def _read(config: _Config) -> None:
    name = config.root.text("model")
    if name is None:
        title = "no model is named"
        config.sink.error(WRONG, title, config.root.place("model"), help=("name one: `model`",))
    else:
        found = config.names.find("model", name, config.root.place("model"))
        comment = "" if found and "".join(found.split("_")) == name.replace("-", "") else name
        config.deployment.model = Line(found or "", comment and f'model: "{comment}"', "model")
    if config["disaggregation"].flag("enabled") or (
        config["disaggregation"].entries and not config["disaggregation"].has("enabled")
    ):
        _disaggregated(config)
    else:
        _aggregated(config)
    _scheduler(config)
    _workload(config)
    seed = config.root.whole("random_seed", 0)
    if seed:
        config.deployment.settings.append(Line(str(seed), "", "seed"))
    config.root.ignore("output_event_log", *_SECTIONS)
    for table in (config.root, *config.sections.values()):
        table.finish()


def _aggregated(config: _Config) -> None:
    group = _group(config, "gpu", config["cluster"], config["parallelism"])
    if group:
        wires = config["cluster"].table("interconnect")
        if wires:
            _interconnect(config, group, wires)
        config.deployment.nodes.append(Node("", [group]))


def _disaggregated(config: _Config) -> None:
    deployment, section = config.deployment, config["disaggregation"]
    for phase in ("prefill", "decode"):
        cluster, parallel = config[f"{phase}_cluster"], config[f"{phase}_parallelism"]
        group = _group(config, phase, cluster, parallel)
        if group:
            group.runs = phase
            node = Node(phase, [group], [Line("1", "transfers share one way", "ports")])
            deployment.nodes.append(node)
        cluster.ignore("interconnect")
    rate = section.positive("transfer_bandwidth_gbs") or 100.0
    ratio = section.positive("kv_compression_ratio") or 1.0
    delay = section.number("transfer_latency_ms")
    delay = 1.0 if delay is None else delay
    comment = "transfer_bandwidth" + (" times kv_compression_ratio" if ratio != 1 else "")
    ends = [Line(bandwidth(rate * ratio), comment, "bandwidth")]
    ends += [Line(seconds(delay / 1000), "transfer_latency", "latency")] if delay else []
    deployment.declarations.append(Block("link transfer", [*ends]))
    deployment.network = Line("transfer", "", "network")
    deployment.scheduler.local.append(dispatch.hand_over([Line("submit r")]))
    deployment.scheduler.everywhere.append(dispatch.submissions("round_robin", ""))
    for name in ("cluster", "parallelism"):  # of the other way of serving
        config[name].ignore(*config[name].entries)


def _group(config: _Config, name: str, cluster: Table, parallel: Table) -> Group | None:
    xpu = cluster.text("xpu")
    if xpu is None:
        whose = f"`{name}_cluster`" if name != "gpu" else "`cluster`"
        config.sink.error(WRONG, f"no `xpu` is named in {whose}", cluster.span)
        return None
    hardware = config.names.find("hardware", xpu, cluster.place("xpu"))
    there = (cluster.whole("n_xpus_per_node") or 1) * (cluster.whole("n_nodes") or 1)
    tensor, stages, copies = (parallel.whole(key) or 1 for key in _PARALLEL)
    if stages > 1:
        reason = f"{stages} stages are taken as tensor parallelism of {tensor * stages}"
        parallel.unread("pipeline_parallel_size", reason)
    used = tensor * stages * copies
    if there > used:
        reason = f"{there - used} of {there} would stay idle, and are left out"
        help_ = "more of them work with `count` workers, or a greater `tp`"
        cluster.unread("n_xpus_per_node", reason, help_)
    if not hardware:
        return None
    return Group(name, hardware, copies, tensor * stages)


def _interconnect(config: _Config, group: Group, wires: Table) -> None:
    """Read the link within a node; what is between nodes carries nothing when all share work."""
    kind = wires.text("intra_node_type") or "NVLink"
    rate, delay = wires.positive("intra_node_bandwidth_gbs"), wires.number("intra_node_latency_us")
    base = connection(kind, group.hardware)
    if kind.lower() == "nvlink" and rate in _NVLINKS:
        base = _NVLINKS[int(rate)]
    group.link = base or ""
    usual = rate is None or base == _NVLINKS.get(int(rate))
    if not usual or delay is not None or base is None:
        ends = []
        if rate and not usual:
            ends.append(Line(bandwidth(rate / 2), "half of it in each direction", "bandwidth"))
        if delay:
            ends.append(Line(seconds(delay / 1e6), "intra_node_latency_us", "latency"))
        head = f"link intra_node from {base}" if base else "link intra_node"
        config.deployment.declarations.append(Block(head, [*ends]))
        group.link = "intra_node"
    for key in ("inter_node_type", "inter_node_bandwidth_gbs", "inter_node_latency_us"):
        if wires.has(key):
            wires.unread(key, "nothing goes from node to node here")
    wires.finish()


def _scheduler(config: _Config) -> None:
    table, scheduler = config["scheduler"], config.deployment.scheduler
    kind = table.text("batching_type") or "continuous"
    strategy = table.text("batching_strategy") or "greedy"
    for key, word, words in (
        ("batching_type", kind, ("continuous", "static", "dynamic")),
        ("batching_strategy", strategy, ("greedy", "windowed")),
    ):
        if word not in words:
            title = f"`{key}` is {' or '.join(words)}, this is `{word[:60]}`"
            config.sink.error(WRONG, title, table.place(key))
    scheduler.base = "static" if kind == "static" else "continuous"
    window = table.number("batching_window_ms")
    if strategy == "windowed":
        window = 10.0 if window is None else window
        line = Line(seconds(window / 1000), 'batching_strategy: "windowed"', "window")
        scheduler.local.append(line)
    most = table.whole("max_batch_size")
    if most:
        scheduler.local.append(Line(number(most), "max_batch_size", "max_requests"))
    least = table.whole("min_batch_size")
    if least and least > 1:
        table.unread("min_batch_size", "an iteration waits for no number of requests")
    if table.flag("token_level_scheduling") is False:
        table.unread("token_level_scheduling", "decodes are always scheduled token by token")


def _workload(config: _Config) -> None:
    table, root = config["workload"], config.root
    warm = root.number("warm_up_duration_s") or 0.0
    length = root.positive("simulation_duration_s") or 60.0
    comment = "warm-up and duration" if warm else ""
    members: list[Member] = []
    most = root.whole("max_requests")
    members += [Line(number(most), "max_requests", "requests")] if most else []
    members.append(Line(seconds(warm + length), comment, "duration"))
    members += [Line(seconds(warm), "", "warmup")] if warm else []
    process = table.text("arrival_process") or "poisson"
    kinds = {"poisson": "poisson", "deterministic": "uniform", "uniform": "uniform"}
    if process not in kinds:
        title = f"`arrival_process` is poisson or deterministic, this is `{process[:60]}`"
        config.sink.error(WRONG, title, table.place("arrival_process"))
    rate = table.positive("arrival_rate") or config.defaults["arrival_rate"]
    kind = kinds.get(process, "poisson")
    members.append(Line(f"{kind}({quantity(rate, 'req/s')})", "", "arrivals"))
    for side, field, usual, spread in _LENGTHS:
        mean = table.positive(f"avg_{side}_length") or usual
        deviation = table.number(f"{side}_length_std")
        deviation = spread if deviation is None else deviation
        most = table.whole(f"max_{side}_length") or int(config.defaults[f"max_{side}_length"])
        text = f"normal({tokens(mean)}, {tokens(deviation)}, max = {tokens(most)})"
        members.append(
            Line(text if deviation else f"constant({tokens(min(mean, most))})", "", field)
        )
    table.ignore("batch_size")
    config.deployment.workload = members
