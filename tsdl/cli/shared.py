"""What several commands do: open files, compile a scenario, tell what was found."""

from __future__ import annotations

import gc
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tsdl.diagnostics import Diagnostic, Severity, Sink
from tsdl.diagnostics.export import FORMATS
from tsdl.diagnostics.text import render_all
from tsdl.reading import (
    program_of,
    programs_beneath,
    read_named,
    read_program,
    reader_within,
    why_not,
)
from tsdl.session import Chosen, Session, choose_scenario
from tsdl.source import Source, Span
from tsdl.wholefiles import see_made

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from tsdl.measured import Run
    from tsdl.plan import Plan
    from tsdl.reading import Reader

OK, MISTAKE, USAGE, EXPECTATION, PARTIAL = 0, 1, 2, 3, 4


@contextmanager
def no_collector() -> Iterator[None]:
    """Make trees without looking through them for cycles again and again: they have none.

    They stay out of sight of the collector, in a run and when the process ends.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def usage_error(message: str) -> int:
    """Tell of a wrong usage; return its exit status."""
    print(f"tsdl: {message}", file=sys.stderr)
    return USAGE


def no_folder(folder: str | None) -> str:
    """Return why a folder of results cannot be made, if one is asked for, or nothing.

    It is not left behind: the run may end without results.
    """
    if folder:  # better before a long run than after it
        try:
            see_made(Path(folder))
        except OSError as error:
            return f"cannot write to {folder!r}: {error.strerror or error}"
    return ""


def unwritable(path: Path) -> str | None:
    """Return why a file cannot be written, None where it can; a new one is not left behind."""
    new = not path.exists()
    try:
        path.open("a").close()
    except OSError as error:
        return error.strerror or str(error)
    if new:
        path.unlink()
    return None


def _stdin() -> str:
    return program_of(sys.stdin.buffer if sys.stdin else None)


def open_file(
    path: str,
    found: list[Diagnostic],
    allowed: Sequence[str] = (),
    opened: Reader = read_program,
) -> Session | None:
    """Read a file, `-` the standard input; None, and a finding, where that does not go.

    With `allowed` it may name files in its own folder and in these alone. `opened` is how it is
    read itself: what is no program may have any size.
    """
    try:
        text = _stdin() if path == "-" else opened(path)
        own = str(Path(path).parent)  # of the standard input, the working folder
        read = reader_within([own, *allowed]) if allowed else read_named
        return Session("<stdin>" if path == "-" else path, text, read)
    except (OSError, ValueError) as error:
        code = "E0108" if isinstance(error, UnicodeDecodeError) else "E0109"
        found.append(_unreadable(path, code, why_not(error)))
    return None


def is_read(output: str, inputs: Sequence[str]) -> str:
    """Return what is wrong with an output that is one of the files that are read; "" if none is."""
    for path in inputs:
        with suppress(OSError, ValueError):  # one that is not there is told of elsewhere
            if Path(output).samefile(path):
                return f"cannot write {output!r}: it is read, and would be lost; give another name"
    return ""


def _unreadable(path: str, code: str, reason: str) -> Diagnostic:
    place = Span(Source(path, ""), 0, 0)
    return Diagnostic(code, Severity.ERROR, f"cannot read `{path}`: {reason}", place)


def programs(paths: Sequence[str], found: list[Diagnostic]) -> Iterator[str]:
    """Yield files; of a folder, those beneath it. A finding tells of one that has none."""
    for path in paths:
        if path in ("-", "") or not Path(path).is_dir():
            yield path
            continue
        within = list(programs_beneath(path))
        yield from within
        if not within:
            found.append(_unreadable(path, "E0109", "there is no .tsim file beneath this folder"))


def compile_scenario(arguments: argparse.Namespace) -> Plan | None:
    """Return the plan of the scenario that is asked for; tell what stands in the way of one."""
    with no_collector():
        sink = Sink()
        chosen = _chosen(arguments, sink)
        made = chosen.compiled(sink) if chosen else None
    if made is not None:
        tell(made.warnings, "text")
    else:
        tell([d for d in sink.sorted() if d.severity is Severity.ERROR], "text")
    return made


def chosen_scenario(arguments: argparse.Namespace) -> Chosen | None:
    """Return the scenario that is asked for, without a plan; tell what stands in the way."""
    sink = Sink()
    chosen = _chosen(arguments, sink)
    tell([d for d in sink.sorted() if chosen is None and d.severity is Severity.ERROR], "text")
    return chosen


def _chosen(arguments: argparse.Namespace, sink: Sink) -> Chosen | None:
    session = open_file(arguments.file, sink.found, arguments.allowed)
    if session is None:
        return None
    params, constants = dict(arguments.params), dict(arguments.constants)
    asks = "study" in arguments  # whether the command can do one
    return choose_scenario(session, sink, params, arguments.scenario, constants, studies=asks)


def measured_run(path: str, arguments: argparse.Namespace) -> Run | None:
    """Read a file of measured requests; tell what is wrong with it."""
    from tsdl.measured import read_run

    sink = Sink()
    session = open_file(path, sink.found, opened=read_named)
    found = None
    if session is not None:
        columns = dict(arguments.columns)
        found = read_run(session.path, session.text, arguments.run_format, columns, sink)
    tell(sink.sorted(), "text")
    return found


def tell(found: Sequence[Diagnostic], form: str) -> None:
    """Print diagnostics: for people to the error stream, for machines to the output."""
    if form == "text":
        if found:
            print(render_all(found, color=sys.stderr.isatty()), file=sys.stderr)
        return
    text = FORMATS[form](found)
    if text:
        print(text)
