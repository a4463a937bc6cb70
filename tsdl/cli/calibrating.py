"""The command calibrate: constants of a scenario, fitted to measured runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tsdl.cli.options import add_measured, add_scenario, read_share
from tsdl.cli.shared import (
    MISTAKE,
    OK,
    chosen_scenario,
    is_read,
    measured_run,
    tell,
    unwritable,
    usage_error,
)
from tsdl.diagnostics import Sink
from tsdl.wholefiles import put_text

if TYPE_CHECKING:
    from tsdl.session import Chosen


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_scenario(parser)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="files of measured requests")
    add_measured(parser)
    parser.add_argument(
        "--fit", type=_names, metavar="NAME,…",
        help="what is fitted: names as `tsdl plan --constants` lists them, with `*` for any part; "
        "constants of one name, or of several joined by `+`, move together",
    )  # fmt: skip
    parser.add_argument(
        "--holdout", type=read_share, default=0.3, metavar="SHARE",
        help="of each run's arrivals, the last of which are kept back to check (else 30 %%)",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--out", metavar="FILE", help="write declarations with the fitted constants"
    )
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.set_defaults(command=calibrate)


def calibrate(arguments: argparse.Namespace) -> int:
    """Fit constants of a scenario to measured runs."""
    if arguments.out and (wrong := is_read(arguments.out, [arguments.file, *arguments.runs])):
        return usage_error(wrong)
    runs = [measured_run(path, arguments) for path in arguments.runs]
    chosen = chosen_scenario(arguments)
    if chosen is None or None in runs:
        return MISTAKE
    from tsdl.calibration import NoScipy, text
    from tsdl.calibration import calibrate as fit
    from tsdl.calibration.declarations import declarations
    from tsdl.imports.served import of_another_model

    if arguments.out and (wrong := _no_place_for(arguments, chosen)):
        return usage_error(wrong)  # better now than after a long fit
    known = [run for run in runs if run is not None]
    plan = chosen.plan(Sink())
    if plan is not None:
        tell(
            [w for run in known for w in of_another_model(run, plan.served)],
            "text",
        )
    try:
        found = fit(chosen, known, arguments.fit, arguments.holdout)
    except (NoScipy, ValueError) as error:
        return usage_error(str(error))
    tell(found.warnings, "text")
    if arguments.format == "json":
        sys.stdout.write(text.as_json(found))
    else:
        print(text.table(found))
    if not arguments.out:
        return OK
    path = Path(arguments.out)
    try:
        put_text(path, declarations(found, str(path.parent), _command(arguments)))
    except OSError as error:
        return usage_error(f"cannot write {arguments.out!r}: {error.strerror or error}")
    return OK


def _no_place_for(arguments: argparse.Namespace, chosen: Chosen) -> str:
    """Return why declarations cannot be written; nothing where they can."""
    reason = unwritable(Path(arguments.out))
    if reason:
        return f"cannot write {arguments.out!r}: {reason}"
    if arguments.file != "-":
        return ""
    from tsdl.calibration.priors import USUAL, matching

    known = [c for c in chosen.constants() if c.declaration.module is chosen.program.root]
    own = [constant for name in arguments.fit or USUAL for constant in matching(name, known)]
    if not own:
        return ""
    declared = f"{own[0].declaration.kind} `{own[0].declaration.name}`"
    return (
        f"what -o writes imports {declared} from the program, and the standard input has no name: "
        "give a file, or leave -o out"
    )


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
    given += [part for folder in arguments.allowed for part in ("--allow", folder)]
    if arguments.fit:
        given += ["--fit", ",".join(arguments.fit)]
    given += ["--holdout", f"{arguments.holdout:g}"]
    return f"tsdl {__version__}: {shlex.join([*given, '-o', arguments.out])}"


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError("this names nothing")
    return names
