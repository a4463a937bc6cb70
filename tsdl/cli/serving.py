"""The command lsp: answers an editor."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from tsdl.cli.shared import OK, usage_error

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        "--stdio", action="store_true", help="what editors add; there is no other way"
    )
    parser.set_defaults(command=serve)


def serve(_: argparse.Namespace) -> int:
    """Answer an editor until it says that it is done."""
    try:
        import pygls  # noqa: F401 (whether it is there)
    except ImportError:
        return usage_error("`tsdl lsp` needs pygls: pip install 'tsdl[lsp]'")
    from tsdl import __version__
    from tsdl.server.server import make_server

    # The server closes its output when it is told to end; ours is flushed after that.
    output = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    make_server(__version__).start_io(stdout=output)
    return OK
