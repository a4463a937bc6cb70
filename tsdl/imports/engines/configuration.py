"""What an engine was started with, as a file has it that is no command: flags by their names.

It knows what `--config` of vLLM and SGLang reads, and what a measured run of vLLM keeps of its
server (`meta.json` of casys-kaist/LLMServingSim: `engine_kwargs`, and what became of them).
"""

import json
import re
import shlex
from pathlib import PurePath

from tsdl.diagnostics import Sink
from tsdl.imports.documents import File, read_tables
from tsdl.imports.engines.commandline import Command, Grammar, Measured, value_of
from tsdl.imports.engines.graphs import CONFIG
from tsdl.imports.tables import WRONG, Data, Table, Value
from tsdl.source import Span

# Keys at the left of a manifest of containers, whose command is read as that of a script.
_MANIFEST = re.compile(r"^(?:apiVersion|kind|services|spec|command|args)[ \t]*:", re.MULTILINE)
_GIVEN, REQUESTS = "engine_kwargs", "requests.jsonl"
# What became of a server's flags, and of what it was not told: the table, the key, and the flag.
_KEPT = (
    ("kv_cache", "num_gpu_blocks", "--num-gpu-blocks-override"),
    ("kv_cache", "block_size", "--block-size"),
    ("kv_cache", "gpu_memory_utilization", "--gpu-memory-utilization"),
    ("kv_cache", "enable_prefix_caching", "--enable-prefix-caching"),
    ("scheduler_config", "max_num_seqs", "--max-num-seqs"),
    ("scheduler_config", "max_num_batched_tokens", "--max-num-batched-tokens"),
    ("scheduler_config", "async_scheduling", "--async-scheduling"),
    ("scheduler_config", "policy", "--scheduling-policy"),
    ("model_config", "enforce_eager", "--enforce-eager"),
    ("compilation_config", "cudagraph_mode", f"{CONFIG}.cudagraph_mode"),
    ("compilation_config", "cudagraph_capture_sizes", f"{CONFIG}.cudagraph_capture_sizes"),
)
_MODELS = ("--model", "MODEL")
# Words of a name whose value is nobody's business, and what stands before an `@` in an address.
_SECRET = {"key", "keys", "token", "secret", "password", "passwd", "credential", "credentials"}
_LOGIN = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_MOST = 10_000  # values in what has parts


def is_configuration(file: File) -> bool:
    """Tell whether a file has flags by their names, and is no script."""
    suffix = PurePath(file.name).suffix.lower()
    if suffix == ".json":
        return True
    return suffix in (".yaml", ".yml") and not _MANIFEST.search(file.text.removeprefix("\ufeff"))


def read_configuration(file: File, grammar: Grammar, sink: Sink) -> Command | None:
    """Read such a file; None where it has mistakes."""
    tables = read_tables(file.name, file.text, sink)
    if sink.has_errors:
        return None
    root, *others = tables
    if others:
        help_ = "a scenario is made of one server: import each from a file of its own"
        sink.error(WRONG, "a second document, which would be another server", others[0].span,
                   help=(help_,))  # fmt: skip
        return None
    measured = root.has(_GIVEN)
    if measured and not grammar.measured:
        help_ = "import it as what it is: `tsdl import vllm`"
        sink.error(WRONG, "this is what a measured run of vLLM keeps", root.span, help=(help_,))
        return None
    given = root.table(_GIVEN) if measured else root
    if given is None:
        root.wrong(_GIVEN, "a mapping of keys to values", root.entries[_GIVEN])
        return None
    flags = Table(given.span, sink)
    for key, value in given.entries.items():
        name = f"--{key.removeprefix('--').replace('_', '-')}"
        flag = grammar.aliases.get(name, name)
        if flag in _MODELS and not isinstance(value.data, str):
            given.wrong(key, "a text", value)
        _enter(flags, flag, value, given.keys[key])
    if sink.has_errors:
        return None
    if not measured:
        return Command(flags, "", _command(flags, grammar))
    resolved = root.table("resolved_config") or root
    for part, key, flag in _KEPT:
        table = (root if part == "kv_cache" else resolved).table(part)
        kept = table.value(key) if table else None
        if kept is not None and (flag not in flags.entries or flags.entries[flag].data is None):
            _enter(flags, flag, kept, kept.span)
    hardware = root.table("hardware")
    device = hardware.value("device_name") if hardware and hardware.text("device_name") else None
    offered = (PurePath(file.path).parent / REQUESTS).as_posix()
    about = Measured(device, offered, PurePath(root.text("dataset_path") or "").name)
    return Command(flags, root.text("vllm_version") or "", _command(flags, grammar), about)


def _enter(flags: Table, flag: str, value: Value, key: Span) -> None:
    """Enter a flag; what has parts is a text of JSON, and `--no-flag` is the flag, not true."""
    data = value.data
    if isinstance(data, list | Table):
        budget = [_MOST]
        plain = _plain(data, budget)
        if budget[0] < 0:
            help_ = "give what the engine is told, and no more"
            title = f"more than {_MOST:,} values for a flag"
            flags.sink.error(WRONG, title, value.span, help=(help_,))
            return
        data = json.dumps(plain)
    elif isinstance(data, str):
        data = value_of(data)
    if flag.startswith("--no-") and isinstance(data, bool):
        flag, data = f"--{flag.removeprefix('--no-')}", not data
    flags.keys[flag] = key
    flags.entries[flag] = Value(data, value.span)


def _plain(data: Data, budget: list[int]) -> object:
    """Return what JSON says so, as far as there are not more values than the budget has."""
    budget[0] -= 1
    if budget[0] < 0:
        return None
    if isinstance(data, Table):
        return {key: _plain(value.data, budget) for key, value in data.entries.items()}
    return [_plain(value.data, budget) for value in data] if isinstance(data, list) else data


def _command(flags: Table, grammar: Grammar) -> str:
    """Return the command that would say the same, without what is nobody's business."""
    words = []
    for flag, value in flags.entries.items():
        data, name = value.data, shlex.quote(flag)
        if data is True:
            words.append(name)
        elif data is False:
            words.append(f"--no-{name.removeprefix('--')}")
        elif data is not None:
            words += [name, "…" if _is_secret(flag) else shlex.quote(_shown(data))]
    return " ".join([grammar.program, *words])


def _shown(data: Data) -> str:
    if isinstance(data, float) and data.is_integer():
        return str(int(data))
    text = str(data)
    if text.startswith(("{", "[")):
        text = json.dumps(_masked(json.loads(text)), ensure_ascii=False)
    return _LOGIN.sub("…", text)


def _masked(data: object) -> object:
    """Return what has parts without the values whose names say that they are secret."""
    if isinstance(data, dict):
        return {key: "…" if _is_secret(key) else _masked(value) for key, value in data.items()}
    return [_masked(value) for value in data] if isinstance(data, list) else data


def _is_secret(name: str) -> bool:
    return not _SECRET.isdisjoint(re.split(r"[^a-z]+", name.lower()))
