"""The command explain: the page about a code."""

from __future__ import annotations

import re
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
    code = _in_full(arguments.code.upper())
    page = explanation(code)
    if page is None:
        near = nearest(code, CATALOGUE)
        hint = f"; did you mean {near}?" if near else ""
        return usage_error(f"there is no code {arguments.code}{hint}")
    print(page.rstrip())
    return OK


def _in_full(code: str) -> str:
    """Return a code with the zeros that people leave out: `E529` is E0529."""
    found = re.fullmatch(r"([A-Z])(\d+)", code)
    return f"{found[1]}{found[2]:0>4}" if found else code
