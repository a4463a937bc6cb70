"""The command report: one page about folders of results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tsdl.cli.shared import OK, usage_error
from tsdl.wholefiles import put_bytes

if TYPE_CHECKING:
    import argparse

LACKING = "this needs vl-convert-python and Jinja2 (pip install 'tsdl[report]')"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        "results", nargs="+", metavar="RESULT", help="folders that `run --out` wrote"
    )
    parser.add_argument(
        "-o", dest="output", metavar="FILE", default="report.html", help="else report.html"
    )
    parser.set_defaults(command=report)


def report(arguments: argparse.Namespace) -> int:
    """Write one page about results."""
    from tsdl import __version__
    from tsdl.cli.plantext import describe
    from tsdl.reports import NoReports, page, read
    from tsdl.runtime.parquet import NoPyarrow

    try:
        results = read(arguments.results)
        text = page(results, describe, __version__)
    except NoReports:
        return usage_error(LACKING)
    except (NoPyarrow, ValueError) as error:
        return usage_error(str(error))
    return write(Path(arguments.output), text.encode())


def write(path: Path, content: bytes) -> int:
    """Write a file; return the exit status."""
    try:
        put_bytes(path, content)
    except OSError as error:
        return usage_error(f"cannot write {str(path)!r}: {error.strerror or error}")
    return OK
