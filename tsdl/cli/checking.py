"""The command check: what is wrong with files, and how their scenarios will be simulated."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tsdl.cli import defaults
from tsdl.cli.limiting import add_allowed
from tsdl.cli.options import add_constants, add_params
from tsdl.cli.rungs import rung_lines
from tsdl.cli.shared import MISTAKE, OK, no_collector, open_file, programs, tell
from tsdl.cli.studying import study_lines
from tsdl.diagnostics import Diagnostic, Severity

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="or a folder: all .tsim beneath")
    add_params(parser)
    add_constants(parser)
    add_allowed(parser)
    parser.add_argument(
        "--format", choices=("text", "concise", "json", "github", "sarif"), default="text"
    )
    parser.add_argument(
        "--explain-defaults", action="store_true", help="show what the scenarios leave to defaults"
    )
    parser.set_defaults(command=check)


def check(arguments: argparse.Namespace) -> int:
    """Check files."""
    found: list[Diagnostic] = []
    for path in programs(arguments.files, found):
        with no_collector():
            found += _check(path, arguments)
    tell(found, arguments.format)
    return MISTAKE if any(d.severity is Severity.ERROR for d in found) else OK


def _check(path: str, arguments: argparse.Namespace) -> list[Diagnostic]:
    found: list[Diagnostic] = []
    session = open_file(path, found, arguments.allowed)
    if session is None:
        return found
    program, sink = session.compile()
    if sink.has_errors:
        return sink.sorted()
    outside = session.outside(program, sink, dict(arguments.params), dict(arguments.constants))
    plans = session.verify(program, sink, outside)
    if sink.has_errors:
        return sink.sorted()
    if arguments.format == "text":
        told = {f"{found.code}: {found.title}" for found in sink.found}
        for plan in plans:
            lines = rung_lines(plan)
            told.update(lines)
            sys.stdout.writelines(f"{plan.scenario}: {line}\n" for line in lines)
        sys.stdout.writelines(f"{line}\n" for line in study_lines(session, outside, told))
    if arguments.explain_defaults:
        sys.stdout.write(defaults.explain(outside))
    return sink.sorted()
