"""`trtllm-serve …`: what its flags and its YAML of further options are here, with their defaults.

Source of both: NVIDIA/TensorRT-LLM, tensorrt_llm/commands/serve.py and llmapi/llm_args.py of 1.x,
with the PyTorch backend, which is the usual one.
"""

import re
from collections.abc import Sequence

from tsdl.diagnostics import Sink
from tsdl.imports.documents import File, read_tables
from tsdl.imports.engines import drafting
from tsdl.imports.engines.commandline import Grammar
from tsdl.imports.engines.configuration import is_configuration
from tsdl.imports.engines.effectless import TENSORRT_LLM, TENSORRT_LLM_OPTIONS
from tsdl.imports.engines.serving import (
    MOST_DEVICES,
    Serving,
    Shape,
    close_command,
    cluster,
    context,
    memory,
    open_command,
)
from tsdl.imports.library import has_experts
from tsdl.imports.tables import WRONG, Table, Value
from tsdl.source import Source, Span
from tsdl.writing import Line, number, percent, tokens

FILE_FLAGS = ("options",)
_MOST = 10_000_000
_SEQUENCES, _BUDGET, _FREE, _BLOCK = 2048, 8192, 0.9, 32
_CAPTURED = 128  # decodes of the largest graph, unless told
_POWERS = tuple(2**power for power in range(8, 24))  # of sizes beyond, up to the largest
_KEEPS, _EVICTS = "GUARANTEED_NO_EVICT", "MAX_UTILIZATION"
_DRAFTS = "speculative_config"
_OF_DRAFTS = ("eagle3_one_model", "max_concurrency", "use_relaxed_acceptance_for_thinking")
_MOST_SIZES = 40  # of batches with a graph, that are told one by one
_OTHER = re.compile(r"(?<=trtllm-serve )\s*(?:disaggregated\w*|mm_embedding_serve)\b")
# What two of its tables have that the scenario is taken not to need.
_OF_CACHE = (
    "onboard_blocks", "enable_partial_reuse", "copy_on_partial_reuse", "event_buffer_max_size",
    "secondary_offload_min_priority", "sink_token_length", "use_uvm", "cross_kv_cache_fraction",
    "attention_dp_events_gather_period_ms", "mamba_ssm_cache_dtype",
)  # fmt: skip
_OF_SCHEDULER = ("context_chunking_policy", "dynamic_batch_config")
_NOT_NAMED = "the file is not read: name it behind `--`: `--options FILE`"
_APART = "for prefill and decode apart, see `policy disaggregated_chunked`"
GRAMMAR = Grammar(
    "trtllm-serve",
    (("trtllm-serve", "serve"), ("trtllm-serve",)),
    "tensorrt-llm/release",
    {
        "--tensor-parallel-size": "--tp-size",
        "--pipeline-parallel-size": "--pp-size",
        "--context-parallel-size": "--cp-size",
        "--moe-expert-parallel-size": "--ep-size",
        "--moe-cluster-parallel-size": "--cluster-size",
        "--free-gpu-memory-fraction": "--kv-cache-free-gpu-memory-fraction",
        "--extra-llm-api-options": "--config",
    },
    frozenset(
        ("--trust-remote-code", "--enable-chunked-prefill",
         "--fail-fast-on-attention-window-too-large")
    ),
    own=("hardware", "link", "model", "network", "options"),
)  # fmt: skip
# Options that flags say, too; in a file they win.
_SAID = {
    "tensor_parallel_size": "--tp-size",
    "pipeline_parallel_size": "--pp-size",
    "context_parallel_size": "--cp-size",
    "moe_expert_parallel_size": "--ep-size",
    "max_batch_size": "--max-batch-size",
    "max_num_tokens": "--max-num-tokens",
    "max_seq_len": "--max-seq-len",
    "backend": "--backend",
    "enable_chunked_prefill": "--enable-chunked-prefill",
}
_UNREAD = {
    "--server-role": _APART,
    "--metadata-server-config-file": _APART,
    "--disagg-cluster-uri": _APART,
    "--cluster-size": "experts are divided among all devices alike",
    "--max-beam-width": "there is one beam",
}
_NOT_HERE = {
    "cache_transceiver_config": _APART,
    "lora_config": "adapters are not modelled",
    "sparse_attention_config": "attention is the model's",
    "quant_config": "formats are those that the checkpoint's name says",
    "build_config": "what a TensorRT engine was built for is not read",
    "max_beam_width": "there is one beam",
    "max_input_len": "prompts may have all of the context",
    "batch_wait_timeout_ms": "nothing waits for others: see `window` of a policy",
    "attention_dp_config": "ranks do not wait for one another's prompts",
}


def read(files: Sequence[File], flags: Sequence[str], sink: Sink) -> str | None:
    """Return the TSDL text of a command line and its options, or None where they have mistakes."""
    if files and not _is_command(files[0], sink):
        return None
    serving = open_command(files[:1], flags, GRAMMAR, sink)
    tables = [table for file in files[1:] for table in read_tables(file.name, file.text, sink)]
    for other in tables[1:]:
        help_ = "put all options into one file, and one document"
        sink.error(WRONG, "more options, which would not be read", other.span, help=(help_,))
    if serving is None or sink.has_errors:
        return None
    options = tables[0] if tables else Table(serving.own.span, sink)
    _take(serving, options)
    shape = _cluster(serving, options)
    context(serving, "--max-seq-len", None)
    _memory(serving, options)
    _policy(serving, options, shape)
    for key, reason in _NOT_HERE.items():
        if options.value(key) is not None:
            options.unread(key, reason)
    serving.unread(_UNREAD if tables else {**_UNREAD, "--config": _NOT_NAMED})
    serving.flags.ignore("--config", *TENSORRT_LLM)
    options.ignore(*TENSORRT_LLM_OPTIONS)
    options.finish()
    return close_command(serving)


def _is_command(file: File, sink: Sink) -> bool:
    """Tell whether a file is a command that serves a model; report another."""
    title = help_ = ""
    other = _OTHER.search(file.text)
    if is_configuration(file):
        title = "this is a file of options, and no command"
        help_ = f"name the command, and the file behind `--`: `--options {file.name}`"
    elif other:
        title, help_ = f"`{other[0]}` serves no model itself", _APART
    if title:
        source = Source(file.name, file.text)
        place = Span(source, *(other.span() if other else (0, 0)))
        sink.error(WRONG, title, place, help=(help_,))
    return not title


def _take(serving: Serving, options: Table) -> None:
    """Let options that flags say, too, stand in the place of these."""
    flags = serving.flags
    for key, flag in _SAID.items():
        found = options.value(key)
        if found is not None:
            flags.entries[flag] = found
            flags.keys[flag] = options.keys[key]
    drafts = options.keys.get(_DRAFTS)
    if drafts is not None:
        flags.keys[_DRAFTS] = drafts  # where what is left out of it is told
        flags.ignore(_DRAFTS)
    devices = 1
    for flag in ("--tp-size", "--pp-size"):
        devices *= flags.whole(flag, 1, MOST_DEVICES) or 1
    each = flags.whole("--gpus-per-node", 1, MOST_DEVICES)
    if each and devices > each:
        flags.entries["--nnodes"] = Value(-(-devices // each), flags.place("--gpus-per-node"))


def _within(options: Table, key: str, *others: str) -> Table:
    """Return a table of the options, empty where it is not there; `others` of it say nothing."""
    found = options.table(key) or Table(options.span, options.sink)
    found.ignore(*others)
    return found


def _cluster(serving: Serving, options: Table) -> Shape:
    """Put down the workers; return how they share work."""
    flags = serving.flags
    tensor, stages, among, spread = (
        flags.whole(f"--{kind}-size", 1, MOST_DEVICES) or 1 for kind in ("tp", "pp", "cp", "ep")
    )
    if among > 1:
        flags.unread("--cp-size", "context parallelism is not modelled")
    experts = has_experts(serving.model.name)
    together = bool(options.flag("enable_attention_dp"))
    if experts and tensor % spread:
        title = f"`--tp-size` {tensor} is not divided by `--ep-size` {spread}"
        help_ = "experts are divided among the devices of `--tp-size`: choose a divisor of it"
        serving.sink.error(WRONG, title, flags.place("--ep-size"), help=(help_,))
    elif experts and 1 < spread < tensor:
        flags.unread("--ep-size", f"experts are divided whole among all {tensor} devices")
    if together and not experts:
        options.unread("enable_attention_dp", "the model has no experts: ranks work each alone")
    if spread > 1 and not experts:
        flags.unread("--ep-size", "the model has no experts")
    if together and experts and stages > 1:
        flags.unread("--pp-size", "ranks that share experts have no stages: left out")
        stages = 1
    copies = tensor if together else 1
    shape = Shape(tensor // copies, stages, copies, together, spread > 1, all_to_all=together)
    cluster(serving, shape)
    if copies > 1:
        serving.deployment.settings.append(Line("least_loaded", "among ranks", "router"))
    return shape


def _memory(serving: Serving, options: Table) -> None:
    kv = _within(options, "kv_cache_config", *_OF_CACHE)
    scheduler = _within(options, "scheduler_config", *_OF_SCHEDULER)
    capacity = scheduler.text("capacity_scheduler_policy") or _KEEPS
    if capacity not in (_KEEPS, _EVICTS):
        scheduler.unread("capacity_scheduler_policy", f"`{capacity[:60]}` is taken as {_KEEPS}")
    evicts = capacity == _EVICTS
    flag = "--kv-cache-free-gpu-memory-fraction"
    free = serving.flags.number(flag, 0.01, 1)
    told = kv.number("free_gpu_memory_fraction", 0.01, 1)
    share, source = (told, "free_gpu_memory_fraction") if told else (free or _FREE, flag)
    block = kv.whole("tokens_per_block", 1, 4096) or _BLOCK
    fields = []
    if evicts:
        fields.append(Line("100 %", capacity, "utilization"))
    if evicts or block != _BLOCK:
        fields.append(Line(tokens(block), "tokens_per_block", "block"))
    if evicts or share != _FREE:
        fields.append(Line(percent(share), source, "free_share"))
    if kv.flag("enable_block_reuse") is not False:
        kept = Line("prefix", "enable_block_reuse", "share")
        what = "prefixes are shared, too: left out, since answers' memory is taken with prompts'"
        fields.append(kept if evicts else Line("none", what, "share"))
    most = kv.whole("max_tokens", 1, 10**12)
    if most:
        fields.append(Line(number(max(most // block, 1)), "max_tokens", "blocks"))
    if kv.number("host_cache_size"):
        kv.unread("host_cache_size", "see `tier host` and `policy offloading`")
    dtype = kv.text("dtype") or "auto"
    if dtype in ("fp8", "nvfp4"):
        serving.model.members[:] = [m for m in serving.model.members if m.name != "kv_dtype"]
        serving.model.members.append(Line(dtype, "kv_cache_config", "kv_dtype"))
    elif dtype != "auto":
        kv.unread("dtype", f"`{dtype[:60]}` is not known: that of the model is taken")
    kv.finish()
    scheduler.finish()
    memory(serving, "paged" if evicts else "no_evict", fields)


def _policy(serving: Serving, options: Table, shape: Shape) -> None:
    flags, scheduler = serving.flags, serving.deployment.scheduler
    sequences = flags.whole("--max-batch-size", 1, _MOST) or _SEQUENCES
    budget = flags.whole("--max-num-tokens", 1, _MOST) or _BUDGET
    ahead = _drafts(serving, options, shape)
    told = "--max-batch-size" if flags.has("--max-batch-size") else "--max-num-tokens"
    flag = _DRAFTS if ahead else told
    sequences = drafting.fitting(serving, flag, sequences, budget, ahead)
    scheduler.base = f"tensorrt_llm(budget = {tokens(budget)}, sequences = {sequences})"
    if flags.flag("--enable-chunked-prefill"):
        scheduler.local.append(Line("chunked", "--enable-chunked-prefill", "batching"))
    backend = flags.text("--backend") or "pytorch"
    if backend != "pytorch":
        flags.unread("--backend", "graphs are taken to be those of the PyTorch backend")
    scheduler.local.append(Line(*_eager(options, sequences), "eager"))
    if shape.stages > 1 or options.flag("disable_overlap_scheduler"):
        why = "a pipeline" if shape.stages > 1 else "disable_overlap_scheduler"
        scheduler.local.append(Line("synchronous", why, "scheduling"))


def _eager(options: Table, sequences: int) -> tuple[str, str]:
    """Return which steps no graph has, and what says so.

    Graphs have decodes alone: as many as they were captured with, or padded to the next number of
    these. Of more than may run at once none is captured.
    """
    name = "cuda_graph_config"
    if name in options.entries and options.value(name) is None:
        return "true", f"{name}: no graphs"
    graphs = _within(options, name)
    padded = bool(graphs.flag("enable_padding"))
    most = graphs.whole("max_batch_size", 0, _MOST) or _CAPTURED
    usual = (*(size for size in (*range(1, 33), 64, 128, *_POWERS) if size < most), most)
    sizes = [size for size in _sizes(graphs) or usual if size <= sequences]
    largest = max(sizes, default=sequences)
    if len(sizes) > _MOST_SIZES and not padded:
        graphs.unread("batch_sizes", f"more than {_MOST_SIZES}: all up to the largest have graphs")
        padded = True
    graphs.finish()
    if padded or not sizes:
        return f"prefills > 0 or decodes > {largest}", name
    first = next(size for size in range(1, largest + 2) if size not in sizes) - 1
    others = [f"decodes != {size}" for size in sizes if size > first]
    alone = " and ".join([f"decodes > {first}", *others])
    told = f"{name}: without enable_padding no others have graphs"
    return f"prefills > 0 or ({alone})" if others else f"prefills > 0 or {alone}", told


def _sizes(graphs: Table) -> list[int]:
    """Return the sizes of batches that are told, in their order."""
    given = graphs.value("batch_sizes")
    if given is None:
        return []
    listed = given.data if isinstance(given.data, list) else []
    whole = {size.data for size in listed if isinstance(size.data, int)}
    if not whole or len(whole) < len(listed) or any(not 0 < size <= _MOST for size in whole):
        graphs.unread("batch_sizes", "it is a list of whole numbers: the usual sizes are taken")
        return []
    return sorted(whole)


def _drafts(serving: Serving, options: Table, shape: Shape) -> int:
    """Put down what drafts; return how many tokens it does for each that is decoded."""
    said = _within(options, _DRAFTS, *_OF_DRAFTS)
    method = said.text("decoding_type") or ""
    ahead = said.whole("num_nextn_predict_layers", 1, 1000) or said.whole("max_draft_len", 1, 1000)
    drafter = said.text("speculative_model_dir") or said.text("speculative_model") or ""
    said.finish()
    if not ahead and method.upper() == "MTP":
        ahead = 1
    if ahead and shape.stages > 1:
        options.unread(_DRAFTS, drafting.STAGES)
    elif ahead:
        return drafting.speculate(serving, _DRAFTS, ahead, method, drafter)
    elif said.entries:
        options.unread(_DRAFTS, "it does not say how many tokens are drafted: nothing is")
    return 0
