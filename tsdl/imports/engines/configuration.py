"""What an engine was started with, as a file has it that is no command: flags by their names.

It knows what `--config` of both engines reads, and what a measured run of vLLM keeps of its server
(`meta.json` of casys-kaist/LLMServingSim: `engine_kwargs`, and what became of them).
"""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import PurePath

from tsdl.diagnostics import Sink
from tsdl.imports.documents import File, read_tables
from tsdl.imports.engines.commandline import Command, Grammar, value_of
from tsdl.imports.engines.graphs import CONFIG, MOST
from tsdl.imports.tables import Data, Table, Value
from tsdl.source import Span

# A file of YAML that has one of these is no manifest of containers.
_MODEL = re.compile(r"""^["']?model(?:[-_](?:tag|path))?["']?[ \t]*:""", re.MULTILINE)
_GIVEN, _VERSION, _REQUESTS = "engine_kwargs", "vllm_version", "requests.jsonl"
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
    ("compilation_config", "cudagraph_capture_sizes", MOST),
)
# vLLM's numbers of modes of graphs: of decodes alone, and of others where they have two.
_MODES = {
    "0": "NONE", "1": "PIECEWISE", "2": "FULL", "[2, 0]": "FULL_DECODE_ONLY",
    "[2, 1]": "FULL_AND_PIECEWISE",
}  # fmt: skip


def is_configuration(file: File) -> bool:
    """Tell whether a file has flags by their names, and is no script."""
    suffix = PurePath(file.name).suffix
    return suffix == ".json" or (suffix in (".yaml", ".yml") and bool(_MODEL.search(file.text)))


def read_configuration(file: File, grammar: Grammar, sink: Sink) -> Command | None:
    """Read such a file; None where it has mistakes."""
    tables = read_tables(file.name, file.text, sink)
    if sink.has_errors:
        return None
    root = tables[0]
    given = root.table(_GIVEN) if root.has(_GIVEN) else root
    if given is None:
        return None
    flags = Table(given.span, sink)
    for key, value in given.entries.items():
        name = f"--{key.removeprefix('--').replace('_', '-')}"
        _enter(flags, grammar.aliases.get(name, name), value.data, value.span, given.keys[key])
    if given is root:
        return Command(flags, "", _command(flags, grammar))
    for flag, data, place in _kept(root):
        if flags.value(flag) is None:
            _enter(flags, flag, data, place, place)
    hardware = root.table("hardware")
    device = hardware.value("device_name") if hardware else None
    offered = (PurePath(file.path).parent / _REQUESTS).as_posix()
    dataset = PurePath(root.text("dataset_path") or "").name
    version = root.text(_VERSION) or ""
    return Command(flags, version, _command(flags, grammar), device, offered, dataset)


def _kept(root: Table) -> Iterator[tuple[str, Data, Span]]:
    """Yield the flags that would have said what a server came to."""
    resolved = root.table("resolved_config") or root
    for part, key, flag in _KEPT:
        table = (root if part == "kv_cache" else resolved).table(part)
        value = table.value(key) if table else None
        if value is None:
            continue
        data, known = value.data, json.dumps(_plain(value.data))
        if flag == MOST:
            sizes = data if isinstance(data, list) else []
            data = max((size.data for size in sizes if isinstance(size.data, int)), default=None)
        elif key == "cudagraph_mode":
            data = _MODES.get(known)
        yield flag, data, value.span


def _enter(flags: Table, flag: str, data: Data, place: Span, key: Span) -> None:
    """Enter a flag; what has parts is a text of JSON, and `--no-flag` is the flag, not true."""
    if isinstance(data, list | Table):
        data = json.dumps(_plain(data))
    elif isinstance(data, str):
        data = value_of(data)
    if flag.startswith("--no-") and isinstance(data, bool):
        flag, data = f"--{flag.removeprefix('--no-')}", not data
    flags.keys[flag] = key
    flags.entries[flag] = Value(data, place)


def _plain(data: Data) -> object:
    """Return what JSON says so."""
    if isinstance(data, Table):
        return {key: _plain(value.data) for key, value in data.entries.items()}
    return [_plain(value.data) for value in data] if isinstance(data, list) else data


def _command(flags: Table, grammar: Grammar) -> str:
    """Return the command that would say the same."""
    words = []
    for flag, value in flags.entries.items():
        if value.data is True:
            words.append(flag)
        elif value.data is False and flags.keys[flag].text.strip("\"'").startswith("no"):
            words.append(f"--no-{flag.removeprefix('--')}")
        elif value.data not in (None, False):
            words += [flag, shlex.quote(str(value.data))]
    return " ".join([grammar.program, *words])
