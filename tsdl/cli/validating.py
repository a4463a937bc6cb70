"""The command validate: a scenario beside a measured run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from tsdl.cli.options import add_engine, add_measured, add_scenario, read_seed
from tsdl.cli.shared import (
    MISTAKE,
    OK,
    compile_scenario,
    measured_run,
    no_folder,
    tell,
    usage_error,
)

if TYPE_CHECKING:
    from tsdl.validation import Validation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_scenario(parser)
    parser.add_argument("run", metavar="RUN", help="a file of measured requests")
    add_measured(parser)
    parser.add_argument("--seed", type=read_seed, metavar="N", help="seed of the random streams")
    add_engine(parser)
    parser.add_argument(
        "--skip-first", type=_count, default=0, metavar="N", help="leave out the first N requests"
    )
    parser.add_argument(
        "--after", type=_seconds, metavar="SECONDS",
        help="leave out requests that arrive so soon after the first (else: in the warm-up)",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--out", metavar="DIR", help="write validate.json, validate.csv and pictures"
    )
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.set_defaults(command=validate)


def validate(arguments: argparse.Namespace) -> int:
    """Simulate a scenario and compare it with a measured run."""
    measured = measured_run(arguments.run, arguments)
    plan = compile_scenario(arguments)
    if plan is None or measured is None:
        return MISTAKE
    from tsdl.imports.served import doubts_of, of_another_model
    from tsdl.validation import of_closed_loop

    told = [
        *of_another_model(measured, plan.served),
        *of_closed_loop(measured, plan.workload),
    ]
    tell(told, "text")
    problem = no_folder(arguments.out)
    if problem:
        return usage_error(problem)
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
    closed = of_closed_loop(measured, plan.workload)
    found = replace(found, warnings=(*doubts_of(measured, plan.served), *closed))  # all told
    tell([d for d in found.result.warnings if d not in plan.warnings], "text")
    if arguments.format == "json":
        sys.stdout.write(files.as_json(found, warned=True))
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


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of requests")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no time in seconds")
    return seconds
