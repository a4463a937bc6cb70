"""Commands about measured runs: validate."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tsdl.cli.shared import MISTAKE, OK, compile_scenario, open_file, tell, usage_error
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
    from tsdl.validation import files, text
    from tsdl.validation import validate as compare

    try:
        found = compare(
            plan,
            measured,
            seed=arguments.seed,
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
