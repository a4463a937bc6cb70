"""The command completion: a script with which a shell completes tsdl's commands and options."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from tsdl.cli.shared import OK, usage_error

if TYPE_CHECKING:
    from collections.abc import Iterator

_FILES = ("FILE", "RUN")
_FOLDERS = ("DIR", "FOLDER", "RESULT")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))
    parser.set_defaults(command=complete)


def complete(arguments: argparse.Namespace) -> int:
    """Print the script of a shell."""
    try:
        import shtab
    except ImportError:
        return usage_error(
            "`tsdl completion` needs shtab: pip install 'tsdl[completion]'; "
            "the script that it prints needs nothing"
        )
    from tsdl.cli.parsers import make_parser
    from tsdl.diagnostics.codes import CATALOGUE

    parser = make_parser()
    for action in _actions(parser):
        if action.metavar in _FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif action.metavar in _FOLDERS:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        elif action.metavar == "CODE":
            action.choices = sorted(CATALOGUE)
    print(shtab.complete(parser, shell=arguments.shell))
    return OK


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the arguments of a parser, and those of the commands beneath it."""
    for action in parser._actions:  # noqa: SLF001 (argparse has no other way to see them)
        yield action
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for command in dict.fromkeys(action.choices.values()):
                yield from _actions(command)
