"""The command run: a scenario to its summary and its files, or a study (studying has that)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tsdl.cli.limiting import add_limits, limits_of
from tsdl.cli.options import add_engine, add_scenario, add_study, read_seed
from tsdl.cli.shared import (
    EXPECTATION,
    MISTAKE,
    OK,
    PARTIAL,
    compile_scenario,
    no_folder,
    tell,
    usage_error,
)

if TYPE_CHECKING:
    from tsdl.runtime.result import Result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_scenario(parser)
    add_study(parser)
    parser.add_argument(
        "--jobs", type=_jobs, metavar="N", help="processes that a study uses (else: all cores)"
    )
    parser.add_argument(
        "--cluster", metavar="ADDRESS", help="a Dask cluster that does a study's runs"
    )
    parser.add_argument("--seed", type=read_seed, metavar="N", help="seed of the random streams")
    add_engine(parser)
    add_limits(parser)
    parser.add_argument(
        "--out", metavar="DIR", help="write summary.json, requests.csv, timeseries.csv and more"
    )
    parser.add_argument(
        "--table-format", choices=("csv", "parquet"), default="csv",
        help="of the tables that --out writes; parquet needs pyarrow",
    )  # fmt: skip
    parser.add_argument("--format", choices=("text", "json", "vllm"), default="text")
    parser.add_argument(
        "--trace", type=_trace, metavar="FILE",
        help="write what every worker did for Perfetto: FILE.json or FILE.json.gz",
    )  # fmt: skip
    parser.add_argument(
        "--trace-window", type=_window, metavar="FROM..TO",
        help="the seconds that are traced, for example 60..90 or ..30 (else all)",
    )  # fmt: skip
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Run a scenario."""
    if arguments.study is not None:
        from tsdl.cli.studying import run_study

        return run_study(arguments)
    plan = compile_scenario(arguments)
    if plan is None:
        return MISTAKE
    from tsdl.cli.progress import Bar
    from tsdl.runtime import files, text
    from tsdl.runtime.run import run as run_plan
    from tsdl.runtime.vllm import vllm_json
    from tsdl.runtime.watched import watch

    problem = _no_place_for(arguments)
    if problem:
        return usage_error(problem)
    window = arguments.trace_window or True
    watched = watch(trace=bool(arguments.trace) and window, tokens=arguments.format == "vllm")
    with Bar() as bar:
        result = run_plan(
            plan,
            arguments.seed,
            bar.show,
            engine=arguments.engine,
            watch=watched,
            limits=limits_of(arguments),
        )
    tell([d for d in result.warnings if d not in plan.warnings], "text")  # which are told
    unwritten = _write(result, arguments)  # before it is shown: whoever reads it may stop reading
    if arguments.format == "json":
        sys.stdout.write(files.summary_json(result, warned=True))
    elif arguments.format == "vllm":
        sys.stdout.write(vllm_json(result))
    else:
        print(text.summary(result))
    if unwritten:
        return usage_error(unwritten)
    if result.partial:
        return PARTIAL
    return OK if result.passed else EXPECTATION


def _no_place_for(arguments: argparse.Namespace) -> str:
    """Return why results could not be written; nothing where they can."""
    problem = no_folder(arguments.out)
    if problem:
        return problem
    if arguments.table_format == "parquet":
        from tsdl.runtime.parquet import NoPyarrow, pyarrow

        try:
            pyarrow()
        except NoPyarrow as error:
            return str(error)
    if arguments.trace and not _will_be_there(Path(arguments.trace).parent, arguments.out):
        return f"cannot write {arguments.trace!r}: there is no such folder"
    return ""


def _will_be_there(folder: Path, out: str | None) -> bool:
    """Tell whether a folder is there once results are written, perhaps into it."""
    return folder.is_dir() or bool(out and Path(out).absolute().is_relative_to(folder.absolute()))


def _write(result: Result, arguments: argparse.Namespace) -> str:
    """Write the files that are asked for; return why one could not be written, if so."""
    from tsdl.runtime import files

    place = arguments.out
    try:
        if arguments.out:
            files.write(result, Path(arguments.out), arguments.table_format)
        if arguments.trace:
            place = arguments.trace
            files.write_trace(result, Path(place))
    except OSError as error:
        return f"cannot write to {place!r}: {error.strerror or error}"
    timeline = result.timeline
    if timeline is not None and timeline.cut:
        print(
            f"tsdl: the trace ends at {timeline.end:g} s, where it has {len(timeline):,} events; "
            f"--trace-window {timeline.end:g}.. shows what follows",
            file=sys.stderr,
        )
    return ""


def _jobs(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of processes")
    return int(text)


def _trace(text: str) -> str:
    if not text.endswith((".json", ".json.gz")):
        raise argparse.ArgumentTypeError(f"{text!r} does not end in .json or .json.gz")
    return text


def _window(text: str) -> tuple[float, float]:
    begin, dots, end = text.partition("..")
    try:
        window = float(begin or 0), float(end or "inf")
    except ValueError:
        window = (0.0, 0.0)
    if not dots or not 0 <= window[0] < window[1]:
        raise argparse.ArgumentTypeError(f"{text!r} is no FROM..TO in seconds, such as 60..90")
    return window
