"""TokenSim's configuration: the YAML of its paper's Figure 2, and the files of its repository."""

from collections.abc import Sequence
from pathlib import PurePath

from tsdl.diagnostics import Sink
from tsdl.imports.deployment import Deployment, common_name, write
from tsdl.imports.documents import File, read_flags, read_tables
from tsdl.imports.library import Names
from tsdl.imports.tables import WRONG, Table
from tsdl.imports.tokensim import catalogues, clusters, schedulers, transformer, workers, workloads
from tsdl.imports.tokensim.parts import KEYS, PAPER, Parts
from tsdl.source import Source, Span

FILE_FLAGS = ("cluster", "hardware", "model", "psla", "kv_transfer_config")


def read(files: Sequence[File], flags: Sequence[str], sink: Sink) -> str | None:
    """Return the TSDL text of a configuration, or None where it has mistakes."""
    given = read_flags(flags, sink)
    given.ignore(*FILE_FLAGS)
    names = [PurePath(file.name).name for file in files]
    title = ["Made by `tsdl import tokensim`; comments name the keys of:", ", ".join(names)]
    name = common_name(names, "tokensim")
    parts = Parts(sink, Names(sink), Deployment(name, title), given)
    for file in files:
        for table in read_tables(file.name, file.text, sink):
            _sort(parts, table)
    if not sink.has_errors:
        _read(parts, files)
    return None if sink.has_errors else write(parts.deployment)


def _sort(parts: Parts, table: Table) -> None:
    """Enter a table under each part that it has."""
    paper = [key for key in PAPER if table.has(key)]
    for key in paper:
        parts.found.setdefault(key, []).append(table)
    if paper:
        table.ignore(*paper)
        table.finish()
        return
    part = next((part for key, part in KEYS.items() if table.has(key)), None)
    if part is not None:
        parts.found.setdefault(part, []).append(table)
        return
    known = ", ".join(f"`{key}`" for key in KEYS)
    help_ = f"it is told by one of the keys {known}"
    parts.sink.error(WRONG, "not a configuration of TokenSim", table.span, help=(help_,))


def _read(parts: Parts, files: Sequence[File]) -> None:
    catalogues.offer(parts)
    workers.read(parts)
    clusters.read(parts)
    schedulers.read_local(parts)
    workloads.read(parts)
    if parts.first("cluster"):
        clusters.read_pools(parts)
    else:
        schedulers.read_global(parts)
    transformer.read(parts)
    parts.flags.finish()
    if not parts.deployment.groups and not parts.sink.has_errors:
        name, text, _ = files[0] if files else File("<flags>", "")
        title = "no workers: TokenSim's `workers` or `worker_groups` are missing"
        help_ = "import the file that has them too"
        parts.sink.error(WRONG, title, Span(Source(name, text), 0, 0), help=(help_,))
