"""`vllm serve …`: what its flags are here, and what versions have as defaults.

Source of the flags and of the defaults: vllm-project/vllm, vllm/engine/arg_utils.py, as of 0.6,
0.8.2 and of summer 2026 (beyond 0.19), and docs.vllm.ai of 0.8.1 to 0.8.5. Asynchronous scheduling
is the default from 0.14 on (vllm-project/vllm#27614).
"""

from collections.abc import Mapping, Sequence

from tsdl.diagnostics import Sink
from tsdl.imports.documents import File, parsed
from tsdl.imports.engines import drafting, zero
from tsdl.imports.engines.commandline import Grammar, Version
from tsdl.imports.engines.effectless import VLLM, VLLM_SWITCHES
from tsdl.imports.engines.graphs import CONFIG, DECODES_WHOLE, LEVEL, OLD, captured
from tsdl.imports.engines.serving import (
    MOST_DEVICES,
    Serving,
    Shape,
    close_command,
    cluster,
    context,
    halves,
    host_memory,
    memory,
    open_command,
)
from tsdl.imports.engines.states import block_of, name_format
from tsdl.imports.library import declares, has_experts
from tsdl.imports.tables import WRONG, Table
from tsdl.writing import Line, number, percent, quantity, tokens

FILE_FLAGS = ()
_MOST = 10_000_000
_NEWEST = (0, 19)  # that the library's `vllm` describes
_ONE = (0, 8)  # from which on the engine is V1, unless VLLM_USE_V1=0 asks for what was before
_LAST_OF_ZERO = (0, 7)
_ALIGNED = (0, 28)  # from which on prefixes of recurrent models are shared unasked (#50991)
_ALL = "as vLLM chooses it for Nemotron: --mamba-cache-mode all"
_OPENAI = (0, 11, 1)  # from which on it has OpenAI's kernels of experts in mxfp4 with it (#27370)
_HYBRID = (0, 10)  # from which on windowed layers keep no more than their window
_LARGE = 70  # GiB from which on devices but the A100 have larger defaults
_UTILIZATION, _BLOCK = 0.9, 16
_BLOCKS = (1, 8, 16, 32, 64, 128, 256)  # that it takes (vllm/config/cache.py)
_CONSENT = "VLLM_ALLOW_LONG_MAX_MODEL_LEN"  # to more context than a model has

_BUDGET = "--max-num-batched-tokens"
_BALANCING = "--eplb-config"
GRAMMAR = Grammar(
    "vllm serve",
    (
        ("vllm", "serve"),
        ("-m", "vllm.entrypoints.openai.api_server"),
        ("-m", "vllm.entrypoints.api_server"),
    ),
    "vllm-openai",
    {
        "-tp": "--tensor-parallel-size",
        "-pp": "--pipeline-parallel-size",
        "-dp": "--data-parallel-size",
        "-q": "--quantization",
        "-ep": "--enable-expert-parallel",
        "--model-tag": "--model",
        "-cc": CONFIG,
        "-O": LEVEL,
        "-n": "--nnodes",
        "-r": "--node-rank",
    },
    frozenset(VLLM_SWITCHES),
    frozenset({CONFIG, LEVEL, drafting.CONFIG, _BALANCING}),
    measured=True,
)
_ALL_GATHER = ("allgather_reducescatter", "naive")  # backends that send all tokens to every rank
_ALL_TO_ALL = ("deepep", "pplx", "flashinfer", "mori", "nixl")  # how others begin, which do not
_COPIES = "num_redundant_experts"
_OFFLOADED = "--kv-offloading-size"  # GiB of all devices of an engine together
_BACKEND = "VLLM_ALL2ALL_BACKEND"
_UNREAD = {
    "--cudagraph-capture-sizes": "the largest of them decides: `eager = tokens > N` in the policy",
    "--num-scheduler-steps": "iterations are scheduled one by one",
    "--cpu-offload-gb": "all weights are in the device's memory",
    "--kv-cache-memory-bytes": "set `blocks` of the kvcache: bytes over those of a block",
    "--kv-transfer-config": "for prefill and decode apart, see `policy disaggregated_chunked`",
    "--enable-lora": "adapters are not modelled",
    "--max-num-partial-prefills": "prompts are prefilled in the order of their admission",
    "--max-long-partial-prefills": "prompts are prefilled in the order of their admission",
    "--long-prefill-token-threshold": "a prompt may have all of the budget",
    "--scheduler-delay-factor": "nothing waits for others: see `window` of a policy",
    "--decode-context-parallel-size": "context parallelism is not modelled",
    "--prefill-context-parallel-size": "context parallelism is not modelled",
    "--enable-eplb": "see `imbalance` of `ep`",
    "--hf-overrides": "put the changed sizes into the model",
    "--rope-scaling": "say the longest context by `--max-model-len`",
    "--limit-mm-per-prompt": "images and sound are not modelled",
    "--config": "the file is not read: import it in the place of the command",
    "--disable-sliding-window": "windows are those of the model",
    "--disable-custom-all-reduce": "the link's rate and latency say what a reduction takes",
}


def read(files: Sequence[File], flags: Sequence[str], sink: Sink) -> str | None:
    """Return the TSDL text of a command line, or None where it has mistakes."""
    serving = open_command(files, flags, GRAMMAR, sink)
    if serving is None:
        return None
    version = serving.version(_NEWEST)
    environment = _environment(serving.command.text)
    if version >= _ONE and environment.get("VLLM_USE_V1") == "0":
        version = _LAST_OF_ZERO
    shape = _cluster(serving, environment.get(_BACKEND, ""))
    longest = context(serving, "--max-model-len", _CONSENT)
    name_format(serving.model)
    _experts(serving, version)
    drafted = _policy(serving, version, longest, shape)
    _memory(serving, version, block_of(serving.model, shape.tensor, drafted))
    size = serving.flags.number(_OFFLOADED, 0, 1_000_000)
    if size:
        serving.flags.ignore("--kv-offloading-backend")
        host_memory(serving, quantity(size, "GiB"), _OFFLOADED, shape.copies)
    serving.unread(_UNREAD)
    serving.flags.ignore(*VLLM)
    if version >= _ONE:
        serving.flags.ignore("--swap-space")
    return close_command(serving)


def _environment(text: str) -> dict[str, str]:
    """Return the variables that a script sets."""
    words = (word.partition("=") for word in text.split())
    return {name: value.strip("\"';") for name, _, value in words}


def _cluster(serving: Serving, backend: str) -> Shape:
    flags = serving.flags
    tensor, stages, copies = (
        flags.whole(f"--{kind}-parallel-size", 1, MOST_DEVICES) or 1
        for kind in ("tensor", "pipeline", "data")
    )
    whole = bool(flags.flag("--enable-expert-parallel"))
    experts = has_experts(serving.model.name)
    if whole and not experts:
        flags.unread("--enable-expert-parallel", "the model has no experts")
    together = experts and copies > 1
    if together and stages > 1:
        flags.unread(
            "--pipeline-parallel-size", "ranks that share experts have no stages: left out"
        )
        stages = 1
    backend = flags.text("--all2all-backend") or backend or _ALL_GATHER[0]
    routed = backend.startswith(_ALL_TO_ALL)
    if not routed and backend not in _ALL_GATHER:
        flags.unread("--all2all-backend", f"`{backend[:60]}` is taken as an all-gather")
    shape = Shape(tensor, stages, copies, together, whole, routed, _redundant(flags))
    cluster(serving, shape)
    if copies > 1:
        serving.deployment.settings.append(Line("reported_load", "vLLM's front end", "router"))
    return shape


def _experts(serving: Serving, version: Version) -> None:
    """Put down whose kernels compute experts in mxfp4, where these are not OpenAI's."""
    model = serving.model
    quantized = any(line.name in ("weight_dtype", "expert_dtype") for line in model.members)
    if version < _OPENAI and model.has("mxfp4") and not quantized:
        model.members.append(Line("mxfp4_marlin", "before 0.11.1", "expert_dtype"))


def _redundant(flags: Table) -> int:
    """Return how many copies of experts there are, by a flag or by `--eplb-config`."""
    found = flags.whole("--num-redundant-experts", 0, MOST_DEVICES) or 0
    for key in [key for key in flags.entries if key.partition(".")[0] == _BALANCING]:
        text, part = flags.text(key) or "", key.partition(".")[2]
        given = parsed(text)
        if not part and isinstance(given, Mapping):
            part, given = _COPIES, given.get(_COPIES)
        if part == _COPIES and type(given) is int and 0 <= given <= MOST_DEVICES:
            found = given
    return found


def _memory(serving: Serving, version: Version, least: int) -> None:
    """Put down the KV cache; its blocks have the tokens of `--block-size`, or at least so many."""
    flags = serving.flags
    sharing = flags.flag("--enable-prefix-caching")
    shared = version >= _ONE if sharing is None else sharing
    base = "vllm_blocks" if version >= _ONE else "paged"
    fields = []
    together = flags.flag("--disable-hybrid-kv-cache-manager")
    if version >= _HYBRID and declares(serving.model.name, "window") and not together:
        base = "vllm_hybrid"
        if shared:
            what = "vLLM shares prefixes beside windows, too: left out"
            fields.append(Line("none", what, "share"))
    elif declares(serving.model.name, "recurrent_layers"):
        copies = _copies(serving, version)
        if version >= _ALIGNED if sharing is None else sharing:
            base = "vllm_shared"
            fields += copies
    elif shared and version >= _ONE:
        base = "vllm_shared"
    elif shared:
        fields.append(Line("prefix", "--enable-prefix-caching", "share"))
    used = flags.number("--gpu-memory-utilization", 0.01, 1)
    if used and used != _UTILIZATION:
        fields.append(Line(percent(used), "--gpu-memory-utilization", "utilization"))
    block = flags.whole("--block-size", 1, 4096)
    if least > (block or 0):
        fields.append(Line(tokens(least), "as large as the state of a layer", "block"))
    elif block and block != _BLOCK:
        fields.append(Line(tokens(block), "--block-size", "block"))
    if block and block not in _BLOCKS and not serving.command.measured:
        known = ", ".join(map(str, _BLOCKS))
        flags.unread("--block-size", f"vLLM takes {known}, and not {block}: choose one of them")
    fields += _blocks(flags, base)
    if version < _ONE:
        space = flags.number("--swap-space", 0, 100_000)
        fields += [Line(quantity(space, "GiB"), "--swap-space", "swap_space")] if space else []
    memory(serving, base, fields)


def _blocks(flags: Table, base: str) -> list[Line]:
    """Return how many blocks the engine was given, or found room for."""
    flag = "--num-gpu-blocks-override"
    blocks = flags.whole(flag, 2, _MOST)
    if blocks and base == "vllm_hybrid":
        reason = "they are of layers with and without windows apart: memory is what weights leave"
        flags.unread(flag, reason)
    elif blocks:
        return [Line(number(blocks - 1), f"{flag}, less the empty one", "blocks")]
    return []


def _copies(serving: Serving, version: Version) -> list[Line]:
    """Return where copies of states are kept, if that is not at the end of a chunk."""
    mode = serving.flags.text("--mamba-cache-mode")
    if mode not in {None, "none", "align", "all"}:
        serving.flags.unread("--mamba-cache-mode", "it is `align`, `all` or `none`: left out")
        mode = None
    every = declares(serving.model.name, "ffn_layers") and version < _ALIGNED
    if mode == "all" or (mode in {None, "none"} and every):
        return [Line("blocks", "--mamba-cache-mode all" if mode == "all" else _ALL, "state_copies")]
    return []


def _policy(serving: Serving, version: Version, longest: int | None, shape: Shape) -> int:
    """Put down the policy; return how many tokens are drafted for each that is decoded."""
    flags, scheduler = serving.flags, serving.deployment.scheduler
    old = version < _ONE
    large = version >= (0, 9) and serving.memory >= _LARGE and "A100" not in serving.hardware
    hopper = serving.hardware.startswith(("H100", "H200"))
    sequences = flags.whole("--max-num-seqs", 1, _MOST) or (1024 if large else 256)
    chunked = flags.flag("--enable-chunked-prefill")
    usual = 8192 if large or (hopper and not old) else 2048
    if old:
        usual, chunked = zero.put_down(serving, version, longest or 0, chunked=chunked)
    elif chunked is False:
        usual = _whole(serving, usual, longest or 0)
    budget = flags.whole(_BUDGET, 1, _MOST) or usual
    ahead, flag = drafting.of_config(serving, stages=shape.stages)
    if sequences > budget and flags.has("--max-num-seqs") and flags.has(_BUDGET):
        reason = f"vLLM takes no more than `{_BUDGET}`, {budget}: so many are taken"
        flags.unread("--max-num-seqs", reason)
    sequences = min(sequences, budget)
    if chunked or not old:
        sequences = drafting.fitting(serving, flag, sequences, budget, ahead)
    name = "vllm_0_6" if old else "vllm"
    graphs = captured(flags, sequences, version)
    asked = flags.flag("--async-scheduling")
    early = version >= (0, 14) if asked is None else asked
    if not old and shape.stages > 1:
        scheduler.local.append(Line("synchronous", "a pipeline", "scheduling"))
    elif not old and not early:
        name = OLD if graphs.pieces and version < DECODES_WHOLE else "vllm_synchronous"
        why = "--no-async-scheduling" if asked is False else "asynchronous by default from 0.14 on"
        scheduler.notes.append(why)
    scheduler.base = f"{name}(budget = {tokens(budget)}, sequences = {sequences})"
    scheduler.local += graphs.lines(name)
    prefill, decode = (
        flags.whole(f"--dbo-{kind}-token-threshold", 1, _MOST) or usual
        for kind, usual in (("prefill", 512), ("decode", 32))
    )
    enough = f"({prefill} if peer_prefills > 0 else {decode})"
    halves(serving, shape, "--enable-dbo", f"least_peer_tokens >= {enough}")
    _order(serving)
    return ahead


def _whole(serving: Serving, usual: int, longest: int) -> int:
    """Have prompts that are not cut; return the budget that is usual for them."""
    serving.deployment.scheduler.local.append(
        Line("mixed", "--no-enable-chunked-prefill", "batching")
    )
    told = serving.flags.whole(_BUDGET, 1, _MOST)
    if told and told < longest:
        reason = f"vLLM does not start with less than the context, {longest}, and whole prompts"
        serving.flags.unread(_BUDGET, reason)
    return max(longest, usual)


def _order(serving: Serving) -> None:
    flags, local = serving.flags, serving.deployment.scheduler.local
    order = flags.text("--scheduling-policy") or "fcfs"
    if order == "priority":
        local.append(Line("admit r by r.priority, r.arrived", "--scheduling-policy priority"))
        local.append(Line("evict r by -r.priority, -r.arrived"))
    elif order != "fcfs":
        title = f"`--scheduling-policy` is fcfs or priority, this is `{order[:60]}`"
        help_ = "vLLM has no other order: choose one of them"
        serving.sink.error(WRONG, title, flags.place("--scheduling-policy"), help=(help_,))
