"""The command explain: the page about a code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsdl.cli.shared import OK, usage_error
from tsdl.diagnostics.codes import CATALOGUE, explanation
from tsdl.diagnostics.suggest import nearest

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("code", metavar="CODE", help="for example E0301")
    parser.set_defaults(command=explain)


def explain(arguments: argparse.Namespace) -> int:
    """Explain a code."""
    code = arguments.code.upper()
    page = explanation(code)
    if page is None:
        near = nearest(code, CATALOGUE)
        hint = f"; did you mean {near}?" if near else ""
        return usage_error(f"there is no code {arguments.code}{hint}")
    print(page.rstrip())
    return OK
