"""The command import: configurations of others become programs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from tsdl.cli.shared import MISTAKE, OK, is_read, open_file, tell, usage_error
from tsdl.diagnostics import Sink
from tsdl.wholefiles import put_text

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        "format", choices=("tokensim", "llm-inference-simulator", "hf", "vllm", "sglang", "trtllm")
    )
    parser.add_argument(
        "files", nargs="*", metavar="FILE",
        help="its files, or an engine's command line in quotes; further flags follow after `--`",
    )  # fmt: skip
    parser.add_argument("-o", dest="output", metavar="FILE", help="where to write it")
    parser.set_defaults(command=import_, flags=[])


def import_(arguments: argparse.Namespace) -> int:
    """Turn a configuration of another simulator, a model or an engine into TSDL."""
    from tsdl.imports import COMMANDS, FORMATS, READ_BESIDE, File, named_files

    if "-o" in arguments.flags:
        return usage_error("`-o` says where to write, and stands before `--`")
    sink = Sink()
    files = []
    paths = [*arguments.files, *named_files(arguments.format, arguments.flags)]
    beside = [str(Path(path).parent / measured) for path in paths for measured in READ_BESIDE]
    if arguments.output and (wrong := is_read(arguments.output, [*paths, *beside])):
        return usage_error(wrong)
    for path in dict.fromkeys(paths):
        # A command, in quotes or not; without, its words come one by one.
        words = (" " in path and not Path(path).exists()) or len(arguments.files) > 1
        if arguments.format in COMMANDS and (words or not path):
            files.append(File("<command>", path))
            continue
        session = open_file(path, sink.found)
        if session is not None:
            files.append(File(session.path, session.text, _beside(path, arguments.output)))
        elif arguments.format == "hf":
            sink.found[-1] = replace(sink.found[-1], help=(_which(path),))
    text = None
    if not sink.has_errors:
        text = FORMATS[arguments.format](files, arguments.flags, sink)
    tell(sink.sorted(), "text")
    if text is None:
        return MISTAKE
    if arguments.output is None:
        sys.stdout.write(text)
        return OK
    try:
        put_text(Path(arguments.output), text)
    except OSError as error:
        return usage_error(f"cannot write to {arguments.output!r}: {error.strerror or error}")
    return OK


def _beside(path: str, output: str | None) -> str:
    """Return what a file is called by a program that stands where it is written, or else here."""
    folder = Path(output).parent if output else Path()
    if Path(path).is_absolute() or folder == Path():
        return path
    try:
        return os.path.relpath(path, folder)
    except ValueError:  # another drive
        return str(Path(path).absolute())


def _which(path: str) -> str:
    """Say which file of a model to name: a folder has one, and a name of the hub is no path."""
    if Path(path).is_dir():
        return f"name the config.json in it: `{Path(path) / 'config.json'}`"
    return "name a config.json on this disk: the hub is not asked, its page `Files` has the file"
