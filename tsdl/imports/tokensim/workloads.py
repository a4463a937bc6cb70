"""TokenSim's workloads: its files of lengths and latencies, and the flags of its benchmark."""

from tsdl.imports.tables import WRONG, Table
from tsdl.imports.tokensim.parts import Parts, quoted
from tsdl.writing import Line, Member, number, quantity, quoted_path, seconds, tokens

_RUNNING = 256  # requests at once, where nothing is said
_METRICS = {"first_token_latency": "ttft", "decode_token_latency": "tpot"}
_UNBOUNDED = 100_000  # seconds; its own `no bound` is 999999
_EFFECTLESS = (
    "cluster", "hardware", "psla", "kv_transfer_config", "verbose", "debug_print", "program_id",
    "results_path", "latency_backend", "latency_fallback", "operator_backend", "data_root",
    "decode_context_bucket", "llm_compass", "name",
)  # fmt: skip
_MIXTURE = (
    "num_experts", "num_experts_per_tok", "moe_intermediate_size", "num_shared_experts",
    "num_moe_layers", "first_k_dense_replace", "moe_layer_freq", "interleave_moe_layer_step",
    "moe_routing", "hidden_size", "intermediate_size", "num_attention_heads",
    "num_key_value_heads",
)  # fmt: skip
_OF_LENGTHS = tuple(
    f"{phase}_{what}"
    for phase in ("prefill", "decode")
    for what in ("mean_len", "range_len", "len_distribution")
)
# The names that flags had before.
_FORMER = {
    "prompt_count": "request_count", "prompt_lens_mean": "prefill_mean_len",
    "prompt_lens_range": "prefill_range_len", "generation_lens_mean": "decode_mean_len",
    "generation_lens_range": "decode_range_len", "dataset_json_path": "dataset_path",
    "generation_lens_distribution": "decode_len_distribution",
}  # fmt: skip


def read(parts: Parts) -> None:
    """Read the workload, the model's name and the goals."""
    flags, deployment = parts.flags, parts.deployment
    for former, key in _FORMER.items():
        if flags.has(former):
            flags.entries[key] = flags.entries.pop(former)
            flags.keys[key] = flags.keys.pop(former)
    flags.ignore(*_EFFECTLESS)
    table = parts.first("workload")
    for other in parts.all("workload")[1:]:
        parts.sink.error(WRONG, "a second workload; one is imported at a time", other.span)
    _scheduling(parts, flags)
    _settings(parts, flags)
    if table is None and not flags.has("qps", "request_count", "dataset_path"):
        comment = "the files say nothing of requests: assumed, as in TokenSim's paper"
        deployment.workload = Line("sharegpt", comment, "workload")
    else:
        deployment.workload = _traffic(parts)
    if table is not None:
        _model(parts, table)
        _goals(parts, table)
        table.ignore("name", "parallel_config")
        if table.flag("is_moe_model"):
            table.unread("is_moe_model", "mixtures of experts are not imported: taken as dense")
        table.ignore(*_MIXTURE)
        table.finish()


def _scheduling(parts: Parts, flags: Table) -> None:
    deployment = parts.deployment
    scheduler = deployment.scheduler
    batching = flags.text("batching")
    budget = flags.whole("max_num_batched_tokens")
    if batching == "static":
        scheduler.base = "static"
    elif flags.flag("chunked_prefill") or budget:
        scheduler.base = "chunked"
    if batching:
        scheduler.notes.append(quoted("batching", batching))
    if budget:
        scheduler.local.append(Line(tokens(budget), "max_num_batched_tokens", "max_tokens"))
    running = flags.whole("max_parallem_sum")
    if budget and (running or _RUNNING) > budget:  # each that runs needs a token of it
        scheduler.local.append(Line(number(budget), "as max_num_batched_tokens", "max_requests"))
    elif running:
        scheduler.local.append(Line(number(running), "max_parallem_sum", "max_requests"))
    block = flags.whole("block_size")
    if block and block != 16:  # noqa: PLR2004 (the default)
        deployment.memory.fields.append(Line(tokens(block), "block_size", "block"))
    swap = flags.text("swap_policy")
    if swap and swap not in ("none", "recompute"):
        scheduler.local.append(Line("swap", quoted("swap_policy", swap), "preempt"))


def _settings(parts: Parts, flags: Table) -> None:
    settings = parts.deployment.settings
    for key in ("sim_time", "duration"):
        end = flags.positive(key)
        if end:
            settings.append(Line(seconds(end), key, "until"))
    seed = flags.whole("random_seed", 0)
    if seed:
        settings.append(Line(str(seed), "random_seed", "seed"))


def _model(parts: Parts, table: Table) -> None:
    name = table.text("model")
    if name is None:
        parts.sink.error(WRONG, "no `model` is named", table.span)
        return
    # The code's LLaMa-7B has a context of 4096 tokens, as Llama 2 has.
    wanted = "llama2_7b" if name.lower() == "llama-7b" else name
    found = parts.names.find("model", wanted, table.place("model"))
    if found:
        parts.deployment.model = Line(found, quoted("model", name), "model")


def _goals(parts: Parts, table: Table) -> None:
    """Write bounds of latencies as expectations."""
    for key, metric in _METRICS.items():
        bounds = table.table(key)
        if bounds is None:
            continue
        comment = key
        for statistic in ("p50", "p99", "max"):
            bound = bounds.positive(statistic)
            if bound and bound < _UNBOUNDED:
                text = f"expect {statistic}({metric}) <= {seconds(bound)}"
                parts.deployment.settings.append(Line(text, comment))
                comment = ""
        bounds.finish()


def _traffic(parts: Parts) -> Line | list[Member]:
    count = parts.flags.whole("request_count") or 100
    members: list[Member] = [Line(number(count), "", "requests")]
    path = parts.flags.text("dataset_path")
    if path:
        for table in (parts.flags, *parts.all("workload")):
            table.ignore(*_OF_LENGTHS)  # the file has them, and wins
    if path and parts.flags.text("workload_type") == "qwen_jsonl":
        return [*members, *_trace(parts, path)]
    members += _arrivals(parts, count)
    if path:
        return [*members, Line(quoted_path(path), "dataset_path; drawn, not in order", "lengths")]
    return [*members, *_lengths(parts)]


def _arrivals(parts: Parts, count: int) -> list[Member]:
    said = parts.either("distribution", "workload")
    word = said[0].text("distribution") if said else "uniform"
    if word == "burst":
        parts.flags.ignore("qps")
        return [Line(f"burst(size = {count})", "distribution: burst", "arrivals")]
    given = parts.either("qps", "workload")
    rate = given[0].positive("qps") if given else None
    kind = "poisson" if word == "poisson" else "uniform"
    if said and word not in ("poisson", "uniform"):
        title = f"`distribution` is uniform, poisson or burst, this is `{str(word)[:60]}`"
        parts.sink.error(WRONG, title, said[0].place("distribution"))
    comment = f"qps; distribution: {word}"
    return [Line(f"{kind}({quantity(rate or 1, 'req/s')})", comment, "arrivals")]


def _lengths(parts: Parts) -> list[Member]:
    found: list[Member] = []
    for phase, field in (("prefill", "prompt"), ("decode", "output")):
        mean = _number(parts, f"{phase}_mean_len", 1)
        if mean is None:
            parts.sink.error(WRONG, f"no `{phase}_mean_len` is given", parts.flags.span)
            continue
        width = _number(parts, f"{phase}_range_len", -1)
        said = parts.either("decode_len_distribution", "workload") if phase == "decode" else None
        word = said[0].text("decode_len_distribution") if said else "uniform"
        comment = f"{phase}_mean_len"
        if width is not None and width > 0:
            comment += f", {phase}_range_len"
        found.append(Line(_distribution(mean, int(width or -1), word), comment, field))
    return found


def _number(parts: Parts, key: str, low: int) -> int | None:
    said = parts.either(key, "workload")
    return said[0].whole(key, low) if said else None


def _distribution(mean: int, width: int, word: str | None) -> str:
    if width <= 0 or word == "burst":
        return f"constant({tokens(mean)})"
    if word in ("exponential", "capped_exponential"):
        least = "min = 2 tokens, " if word == "capped_exponential" else ""
        return f"exponential(mean = {tokens(mean)}, {least}max = {tokens(max(width, 2))})"
    low, high = max(mean - width // 2, 1), mean + width // 2
    return f"uniform({number(low)}..{tokens(high)})"


def _trace(parts: Parts, path: str) -> list[Member]:
    """Write a replay of requests with their times."""
    scale = parts.flags.positive("trace_timestamp_scale") or 1.0
    if parts.flags.has("trace_target_qps"):
        reason = "it takes the trace's own rate; set `speed` to their ratio"
        parts.flags.unread("trace_target_qps", reason)
    return [
        Line(quoted_path(path), "dataset_path", "trace"),
        Line("mooncake", "qwen_jsonl has the same members", "format"),
        Line(number(0.001 / scale), "its times are seconds, not milliseconds", "speed"),
    ]
