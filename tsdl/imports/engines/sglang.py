"""`python -m sglang.launch_server …`: what its flags are here, and what they are by default.

Source of the flags and of the defaults: sgl-project/sglang, python/sglang/srt/server_args.py, as of
0.5 (chunks and static memory by the device's memory) and of summer 2026 (names of flags). It
schedules while the GPU computes from 0.4 on (lmsys.org/blog/2024-12-04-sglang-v0-4), and late in
0.3 where `--enable-overlap-schedule` asks for it.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from tsdl.diagnostics import Sink
from tsdl.imports.documents import File
from tsdl.imports.engines import drafting
from tsdl.imports.engines.commandline import Grammar, Version
from tsdl.imports.engines.effectless import SGLANG, SGLANG_SWITCHES
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
from tsdl.imports.library import declares, has_experts
from tsdl.imports.tables import WRONG, Table
from tsdl.writing import Line, number, percent, quantity, tokens

FILE_FLAGS = ()
_MOST = 10_000_000
_NEWEST = (0, 5, 16)
_OVERLAPPED = (0, 4)  # from which on the next batch is scheduled while one is computed
_PIECES = (0, 5, 10)  # from which on graphs have prefills, too
_CONSENT = "SGLANG_ALLOW_OVERWRITE_LONGER_CONTEXT_LEN"  # to more context than a model has
_LEAST_REQUESTS = 2048  # that may run if no flag says how many
# Up to so many GiB: tokens of a chunk; GiB kept back, and more for each device.
_BY_MEMORY = (
    (35, 2048, 2.8, 0.1), (60, 4096, 9.5, 0.5), (90, 8192, 9.5, 0.5), (160, 8192, 12.0, 0.5),
    (10_000, 16384, 32.0, 0.0),
)  # fmt: skip
_AT_ONCE = Line("0", "tokens are handed out at once", "behind")
_PLACES = {"extra_buffer": 5}  # for states of a request, as strategies have them; else 3
_ROUTERS = {
    "round_robin": "round_robin", "auto": "round_robin", "shortest_queue": "least_loaded",
    "total_requests": "least_loaded", "total_tokens": "least_outstanding_tokens",
}  # fmt: skip

GRAMMAR = Grammar(
    "python -m sglang.launch_server",
    (("-m", "sglang.launch_server"), ("sglang", "serve")),
    "lmsysorg/sglang",
    {
        "--model-path": "--model",
        "--tp-size": "--tp",
        "--tensor-parallel-size": "--tp",
        "--dp-size": "--dp",
        "--data-parallel-size": "--dp",
        "--pp-size": "--pp",
        "--pipeline-parallel-size": "--pp",
        "--ep": "--ep-size",
        "--expert-parallel-size": "--ep-size",
        "--speculative-algo": "--speculative-algorithm",
    },
    frozenset(SGLANG_SWITCHES),
)
_APART = "for prefill and decode apart, see `policy disaggregated`"
_UNREAD = {
    "--disaggregation-mode": _APART,
    "--disaggregation-transfer-backend": _APART,
    "--schedule-conservativeness": "10 % of the cache are kept for those that run",
    "--num-continuous-decode-steps": "iterations are scheduled one by one",
    "--cpu-offload-gb": "all weights are in the device's memory",
    "--enable-lora": "adapters are not modelled",
    "--lora-paths": "adapters are not modelled",
    "--tbo-token-distribution-threshold": "both halves have as many tokens, requests and contexts",
    "--enable-eplb": "see `imbalance` of `ep`",
    "--cuda-graph-bs": "the largest of them decides: say it by `--cuda-graph-max-bs`",
    "--enable-torch-compile": "kernels are those that the device's efficiency was found with",
    "--prefill-max-requests": "a prefill has as many prompts as its budget allows",
    "--max-mamba-cache-size": "set `states` of the kvcache, a share of its memory",
    "--max-queued-requests": "nobody is turned away: see `reject` in a handler",
    "--attn-cp-size": "context parallelism is not modelled",
    "--json-model-override-args": "put the changed sizes into the model",
    "--disable-custom-all-reduce": "the link's rate and latency say what a reduction takes",
    "--config": "the file is not read: import it in the place of the command",
}


def read(files: Sequence[File], flags: Sequence[str], sink: Sink) -> str | None:
    """Return the TSDL text of a command line, or None where it has mistakes."""
    serving = open_command(files, flags, GRAMMAR, sink)
    if serving is None:
        return None
    version = serving.version(_NEWEST)
    shape, devices = _cluster(serving)
    context(serving, "--context-length", _CONSENT)
    _memory(serving, devices)
    _host_memory(serving, devices, shape.copies)
    _policy(serving, version, shape)
    serving.unread(_UNREAD)
    serving.flags.ignore(*SGLANG)
    return close_command(serving)


def _cluster(serving: Serving) -> tuple[Shape, int]:
    """Put down the workers; return how they share work, and how many devices one engine has."""
    flags = serving.flags
    tensor, stages, copies, spread = (
        flags.whole(flag, 1, MOST_DEVICES) or 1 for flag in ("--tp", "--pp", "--dp", "--ep-size")
    )
    devices = tensor * stages
    routed = (flags.text("--moe-a2a-backend") or "none") != "none"
    routed |= bool(flags.flag("--enable-deepep-moe"))
    whole = spread > 1 or bool(flags.flag("--enable-ep-moe")) or routed
    experts = has_experts(serving.model.name)
    together = bool(flags.flag("--enable-dp-attention")) and copies > 1
    if together and not experts:
        flags.unread("--enable-dp-attention", "the model has no experts: ranks work each alone")
    if together and tensor % copies:
        title = f"`--tp` {tensor} is not divided by `--dp` {copies}"
        dividing = ", ".join(str(n) for n in range(1, tensor + 1) if tensor % n == 0)
        help_ = f"`--tp` counts all devices: choose a `--dp` that divides it ({dividing})"
        serving.sink.error(WRONG, title, flags.place("--tp"), help=(help_,))
    if together:
        tensor = max(tensor // copies, 1)
    if together and experts and stages > 1:
        flags.unread("--pp", "ranks that share experts have no stages: left out")
        stages = 1
    if whole and not experts:
        flags.unread("--ep-size", "the model has no experts")
    redundant = flags.whole("--ep-num-redundant-experts", 0, MOST_DEVICES) or 0
    shape = Shape(tensor, stages, copies, together, whole, routed, redundant)
    cluster(serving, shape)
    balance = flags.text("--load-balance-method") or "auto"
    if balance not in _ROUTERS:
        flags.unread("--load-balance-method", f"`{balance[:60]}` is taken as round_robin")
    if copies > 1:
        router = _ROUTERS.get(balance, "round_robin")
        serving.deployment.settings.append(
            Line(router, f"--load-balance-method {balance}", "router")
        )
    return shape, devices


def _host_memory(serving: Serving, devices: int, copies: int) -> None:
    """Put down HiCache's memory of the host, of which each device has as many GB as are said."""
    flags = serving.flags
    size = flags.number("--hicache-size", 0, 1_000_000)
    if not flags.flag("--enable-hierarchical-cache"):
        return
    flags.ignore("--hicache-write-policy", "--hicache-io-backend", "--hicache-mem-layout")
    flags.ignore("--hicache-ratio")  # a size wins over it
    if size:
        host_memory(serving, quantity(size * devices, "GB"), "--hicache-size", copies)
    else:
        reason = "how much that is depends on the devices' cache: say it by `--hicache-size`"
        flags.unread("--enable-hierarchical-cache", reason)


def _memory(serving: Serving, devices: int) -> None:
    flags = serving.flags
    if declares(serving.model.name, "chosen"):
        short = "prompts no longer attend to all before them"
        serving.model.members.append(Line("chosen", short, "dense_context"))
    fields = []
    used = flags.number("--mem-fraction-static", 0.01, 1)
    comment = "--mem-fraction-static"
    if used is None:
        kept, each = next((k, e) for most, _, k, e in _BY_MEMORY if serving.memory < most)
        used = round(1 - (kept + each * devices) / serving.memory, 2)
        comment = "as SGLang chooses it for this much memory"
    fields.append(Line(percent(max(used, 0.01)), comment, "utilization"))
    page = flags.whole("--page-size", 1, 4096) or 1
    if page > 1:
        fields.append(Line(tokens(page), "--page-size", "block"))
    if flags.flag("--disable-radix-cache"):
        fields.append(Line("none", "--disable-radix-cache", "share"))
    fields += _states(serving)
    most = flags.whole("--max-total-tokens", 1, 10**12)
    if most:
        fields.append(Line(number(max(most // page, 1)), "--max-total-tokens", "blocks"))
    memory(serving, "radix", fields)


def _states(serving: Serving) -> list[Line]:
    """Return what is set aside for states of recurrent layers, where that is not as usual."""
    flags = serving.flags
    ratio = flags.number("--mamba-full-memory-ratio", 0.01, 50)
    strategy = flags.text("--mamba-scheduler-strategy")
    if strategy not in {None, "auto", "no_buffer", *_PLACES}:
        flags.unread("--mamba-scheduler-strategy", "three places for states are taken for each")
    places = _PLACES.get(strategy or "")
    if flags.flag("--disable-radix-cache"):
        places, strategy = 1, "no copies without the radix cache"
    if not declares(serving.model.name, "recurrent_layers"):
        return []
    found = []
    if ratio is not None:
        share = percent(round(ratio / (1 + ratio), 3))
        found.append(Line(share, "--mamba-full-memory-ratio", "states"))
    if places:
        found.append(Line(str(places), strategy or "", "state_places"))
    return found


def _policy(serving: Serving, version: Version, shape: Shape) -> None:
    flags, scheduler = serving.flags, serving.deployment.scheduler
    local = scheduler.local
    among = shape.copies if shape.together else 1  # ranks share what these two flags allow
    most = flags.whole("--max-running-requests", 1, _MOST)
    sequences = max(most // among, 1) if most else _LEAST_REQUESTS
    chunk = flags.number("--chunked-prefill-size", -1, _MOST)
    whole = flags.whole("--max-prefill-tokens", 1, _MOST) or 16384
    if chunk is None:
        chunk = next(c for most, c, _, _ in _BY_MEMORY if serving.memory < most)
    budget = max(int(chunk) // among, 1) if chunk > 0 else whole
    ahead, flag = drafting.of_steps(serving, stages=shape.stages)
    mixed = flags.flag("--enable-mixed-chunk")
    if mixed:
        sequences = drafting.fitting(serving, flag, sequences, budget, ahead)
    name, eager = _graphs(flags, version)
    scheduler.base = f"{name}(budget = {tokens(budget)}, sequences = {sequences})"
    if mixed:
        local.append(Line("chunked", "--enable-mixed-chunk", "batching"))
    local += _one_by_one(flags, version, stages=shape.stages) or _drafts(ahead)
    local += [eager] if eager else []
    halves(serving, shape, "--enable-two-batch-overlap", "peer_tokens > 1")
    order = flags.text("--schedule-policy") or "fcfs"
    if flags.flag("--enable-priority-scheduling"):
        low = flags.flag("--schedule-low-priority-values-first")
        sign = "" if low else "-"
        local.append(
            Line(f"admit r by {sign}r.priority, r.arrived", "--enable-priority-scheduling")
        )
    elif order != "fcfs":
        flags.unread("--schedule-policy", f"`{order[:60]}` is taken as fcfs")
    flags.ignore("--schedule-policy", "--schedule-low-priority-values-first")


def _graphs(flags: Table, version: Version) -> tuple[str, Line | None]:
    """Return the profile by whether graphs have prefills; and which steps none has, if it is told.

    Prefills have them from 0.5.10 on, and a little before where a flag asks for them.
    """
    asked = version >= _PIECES or bool(flags.flag("--enable-piecewise-cuda-graph"))
    refused = [flags.flag(f"--disable-{which}-cuda-graph") for which in ("piecewise", "prefill")]
    decodes = flags.whole("--cuda-graph-max-bs", 1, _MOST)
    prefills = flags.whole("--piecewise-cuda-graph-max-tokens", 1, _MOST)
    if flags.flag("--disable-cuda-graph"):
        return "sglang", Line("true", "--disable-cuda-graph", "eager")
    if any(refused) or not asked:
        beyond = f"prefills > 0 or tokens > {decodes}"
        return "sglang_0_4", Line(beyond, "--cuda-graph-max-bs", "eager") if decodes else None
    said = {
        "--cuda-graph-max-bs": decodes and f"prefills == 0 and tokens > {decodes}",
        "--piecewise-cuda-graph-max-tokens": prefills and f"prefills > 0 and tokens > {prefills}",
    }
    told = {flag: beyond for flag, beyond in said.items() if beyond}
    return "sglang", Line(" or ".join(told.values()), ", ".join(told), "eager") if told else None


def _drafts(ahead: int) -> list[Line]:
    """Return that tokens which come several at a time are handed out at once."""
    return [replace(_AT_ONCE, comment="drafted tokens come several at a time")] if ahead else []


def _one_by_one(flags: Table, version: Version, *, stages: int) -> list[Line]:
    """Return what has batches scheduled one by one, nothing where that overlaps with computing."""
    off, on = (flags.flag(f"--{word}-overlap-schedule") for word in ("disable", "enable"))
    if stages > 1:
        return [Line("synchronous", "a pipeline", "scheduling"), _AT_ONCE]
    if not off and (on or version >= _OVERLAPPED):
        return []
    why = "--disable-overlap-schedule" if off else "before 0.4"
    return [
        Line("synchronous", why, "scheduling"),
        Line("48 us * requests", f"{why}: as vLLM", "overhead"),
        _AT_ONCE,
    ]
