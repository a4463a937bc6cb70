"""Commands about measured runs: validate, calibrate."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tsdl.cli.shared import (
    MISTAKE,
    OK,
    chosen_scenario,
    compile_scenario,
    open_file,
    tell,
    unwritable,
    usage_error,
)
from tsdl.diagnostics import Sink

if TYPE_CHECKING:
    import argparse

    from tsdl.measured import Run
    from tsdl.validation import Validation


def validate(arguments: argparse.Namespace) -> int:
    """Simulate a scenario and compare it with a measured run."""
    measured = _measured(arguments.run, arguments)
    plan = compile_scenario(arguments)
    if plan is None or measured is None:
        return MISTAKE
    if arguments.out:  # better now than after a long run
        try:
            Path(arguments.out).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            return usage_error(f"cannot write to {arguments.out!r}: {error.strerror or error}")
    from tsdl.validation import files, text
    from tsdl.validation import validate as compare

    try:
        found = compare(
            plan,
            measured,
            seed=arguments.seed,
            engine=arguments.engine,
            skip_first=arguments.skip_first,
            after=arguments.after,
        )
    except ValueError as error:
        return usage_error(str(error))
    if arguments.format == "json":
        sys.stdout.write(files.as_json(found))
    else:
        print(text.table(found))
    return _write(found, Path(arguments.out)) if arguments.out else OK


def calibrate(arguments: argparse.Namespace) -> int:
    """Fit constants of a scenario to measured runs."""
    runs = [_measured(path, arguments) for path in arguments.runs]
    chosen = chosen_scenario(arguments)
    if chosen is None or None in runs:
        return MISTAKE
    from tsdl.calibration import NoScipy, text
    from tsdl.calibration import calibrate as fit
    from tsdl.calibration.declarations import declarations

    if arguments.out:  # better now than after a long fit
        reason = unwritable(Path(arguments.out))
        if reason:
            return usage_error(f"cannot write {arguments.out!r}: {reason}")
    known = [run for run in runs if run is not None]
    try:
        found = fit(chosen, known, arguments.fit, arguments.holdout)
    except (NoScipy, ValueError) as error:
        return usage_error(str(error))
    if arguments.format == "json":
        sys.stdout.write(text.as_json(found))
    else:
        print(text.table(found))
    if not arguments.out:
        return OK
    path = Path(arguments.out)
    try:
        path.write_text(declarations(found, str(path.parent), _command(arguments)), "utf-8")
    except OSError as error:
        return usage_error(f"cannot write {arguments.out!r}: {error.strerror or error}")
    return OK


def _command(arguments: argparse.Namespace) -> str:
    """Return the command that was given, as one could give it again."""
    import shlex

    from tsdl import __version__

    given = ["tsdl", "calibrate", arguments.file, *arguments.runs]
    if arguments.scenario:
        given += ["--scenario", arguments.scenario]
    if arguments.run_format != "auto":
        given += ["--run-format", arguments.run_format]
    pairs = {
        "-p": arguments.params,
        "--set": arguments.constants,
        "--column": arguments.columns,
    }
    for option, values in pairs.items():
        given += [part for name, value in values for part in (option, f"{name}={value}")]
    if arguments.fit:
        given += ["--fit", ",".join(arguments.fit)]
    given += ["--holdout", f"{arguments.holdout:g}"]
    return f"tsdl {__version__}: {shlex.join([*given, '-o', arguments.out])}"


def _write(found: Validation, folder: Path) -> int:
    from tsdl.validation import files, pictures

    try:
        files.write(found, folder)
        pictures.write(found, folder)
    except pictures.NoMatplotlib:
        print(
            "tsdl: no pictures: they need matplotlib (pip install 'tsdl[plots]')", file=sys.stderr
        )
    except OSError as error:
        return usage_error(f"cannot write to {str(folder)!r}: {error.strerror or error}")
    return OK


def _measured(path: str, arguments: argparse.Namespace) -> Run | None:
    from tsdl.measured import read_run

    sink = Sink()
    session = open_file(path, sink.found)
    found = None
    if session is not None:
        columns = dict(arguments.columns)
        found = read_run(session.path, session.text, arguments.run_format, columns, sink)
    tell(sink.sorted(), "text")
    return found
