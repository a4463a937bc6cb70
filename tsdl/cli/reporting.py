"""The command report: one page about folders of results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tsdl.cli.shared import OK, usage_error
from tsdl.diagnostics import Diagnostic, Severity
from tsdl.errors import TsdlError
from tsdl.wholefiles import put_bytes

if TYPE_CHECKING:
    import argparse

    from tsdl.plan import Plan

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
    from tsdl.reports import NoReports, page, read
    from tsdl.runtime.parquet import NoPyarrow

    try:
        results = read(arguments.results)
        text = page(results, _described, __version__)
    except NoReports:
        return usage_error(LACKING)
    except NoPyarrow as error:
        return usage_error(str(error))
    except ValueError as error:
        raise not_shown(error) from error
    return write(Path(arguments.output), text.encode())


def _described(plan: Plan) -> str:
    """Put a plan into words. Raises ValueError: it is from outside, whatever its formulas do."""
    from tsdl.cli.plantext import describe

    try:
        return describe(plan)
    except TsdlError as error:
        reason = error.diagnostics[0].title
        raise ValueError(f"the plan cannot be put into words: {reason}") from error
    except Exception as error:
        raise ValueError(f"the plan cannot be put into words: {error}") from error


def not_shown(error: ValueError) -> TsdlError:
    """Return what is told of results that hold what cannot be shown."""
    title = f"these results cannot be shown: {error}"
    remedy = "name folders that `tsdl run FILE --out DIR` of this version wrote"
    return TsdlError([Diagnostic("E0704", Severity.ERROR, title, None, help=(remedy,))])


def write(path: Path, content: bytes) -> int:
    """Write a file; return the exit status."""
    try:
        put_bytes(path, content)
    except OSError as error:
        return usage_error(f"cannot write {str(path)!r}: {error.strerror or error}")
    return OK
