"""The command fmt: programs written anew in the one style, or told how they differ from it."""

from __future__ import annotations

import sys
from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING

from tsdl.cli.shared import MISTAKE, OK, open_file, programs, tell, usage_error
from tsdl.diagnostics import Diagnostic, Sink
from tsdl.formatting import format_text
from tsdl.source import program_source
from tsdl.wholefiles import put_text

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        "files", nargs="+", metavar="FILE",
        help="or a folder: all .tsim beneath; `-` is standard input to output",
    )  # fmt: skip
    parser.add_argument(
        "--check", action="store_true", help="write nothing, and name the files that would change"
    )
    parser.add_argument(
        "--diff", action="store_true", help="write nothing, and show what would change"
    )
    parser.set_defaults(command=format_)


def format_(arguments: argparse.Namespace) -> int:
    """Format files, each by itself; one with mistakes of syntax stays as it is."""
    found: list[Diagnostic] = []
    status = OK
    for path in programs(arguments.files, found):
        status = max(status, _format(path, arguments))
    tell(found, "text")
    return MISTAKE if found else status


def _format(path: str, arguments: argparse.Namespace) -> int:
    sink = Sink()
    session = open_file(path, sink.found)
    text = format_text(program_source(session.path, session.text), sink) if session else None
    tell(sink.sorted(), "text")
    if session is None or text is None:
        return MISTAKE
    if arguments.check or arguments.diff:
        return _told(session.path, session.text, text, arguments)
    if path == "-":
        sys.stdout.buffer.write(text.encode("utf-8"))  # whatever the terminal can show
    elif text != session.text:
        try:
            put_text(Path(path), text)
        except OSError as error:
            return usage_error(f"cannot write to {path!r}: {error.strerror or error}")
        print(f"{path} is formatted", file=sys.stderr)
    return OK


def _told(name: str, old: str, new: str, arguments: argparse.Namespace) -> int:
    """Tell what would change in a file, if anything."""
    if old == new:
        return OK
    if arguments.diff:
        before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
        for line in unified_diff(before, after, name, f"{name}, formatted"):
            sys.stdout.write(line if line.endswith("\n") else f"{line}\n\\ No newline at end\n")
    if arguments.check:
        print(f"{name} would be formatted", file=sys.stderr)
    return MISTAKE
