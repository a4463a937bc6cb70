"""The command line: arguments, streams, exit status. Knows the session and the renderers."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from typing import TYPE_CHECKING

from tsdl.cli.commands import check, explain, import_, plan, run, serve
from tsdl.cli.formatting import format_
from tsdl.cli.limiting import add_allowed, add_limits
from tsdl.cli.measurements import calibrate, validate
from tsdl.cli.reporting import plot, report
from tsdl.cli.tabulation import tabulate
from tsdl.errors import TsdlError

if TYPE_CHECKING:
    from collections.abc import Callable

OK, MISTAKE, BUG = 0, 1, 70
_MOST = 10_000_000  # tokens or requests

_EPILOG = """\
exit status: 0 well, 1 mistakes were found, 2 wrong usage, 3 an `expect` failed or requests
are stuck, 4 the results are partial, 70 a bug in tsdl, 130 interrupted"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that cannot show a sign shows `?`
            stream.reconfigure(errors="replace")
    status = OK
    try:
        given, flags = _divided(sys.argv[1:] if arguments is None else arguments)
        parsed = _parser().parse_args(given)
        if flags:
            parsed.flags = flags
        command: Callable[[argparse.Namespace], int] = parsed.command
        status = command(parsed)
        sys.stdout.flush()  # here, where a closed pipe is caught
    except TsdlError as error:
        print(error, file=sys.stderr)
        return MISTAKE
    except BrokenPipeError:  # whoever reads us has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception:
        from tsdl import __version__

        traceback.print_exc()
        print(
            f"\nThis is a bug in tsdl {__version__}, not in your file. Please report it with the "
            "text above and the file.",
            file=sys.stderr,
        )
        return BUG
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tsdl",
        description="Explore how large language models are served.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    runs = commands.add_parser("run", help="run a scenario and print its summary")
    _scenario_arguments(runs)
    _study_arguments(runs)
    runs.add_argument(
        "--jobs", type=_jobs, metavar="N", help="processes that a study uses (else: all cores)"
    )
    runs.add_argument(
        "--cluster", metavar="ADDRESS", help="a Dask cluster that does a study's runs"
    )
    runs.add_argument("--seed", type=_seed, metavar="N", help="seed of the random streams")
    _engine_argument(runs)
    add_limits(runs)
    runs.add_argument(
        "--out", metavar="DIR", help="write summary.json, requests.csv, timeseries.csv and more"
    )
    runs.add_argument(
        "--table-format", choices=("csv", "parquet"), default="csv",
        help="of the tables that --out writes; parquet needs pyarrow",
    )  # fmt: skip
    runs.add_argument("--format", choices=("text", "json", "vllm"), default="text")
    runs.add_argument(
        "--trace", type=_trace, metavar="FILE",
        help="write what every worker did for Perfetto: FILE.json or FILE.json.gz",
    )  # fmt: skip
    runs.add_argument(
        "--trace-window", type=_window, metavar="FROM..TO",
        help="the seconds that are traced, for example 60..90 or ..30 (else all)",
    )  # fmt: skip
    runs.set_defaults(command=run)

    _add_checks(commands)

    plans = commands.add_parser("plan", help="show what would run, and what it assumes")
    _scenario_arguments(plans)
    _study_arguments(plans)
    plans.add_argument("--format", choices=("text", "json", "yaml"), default="text")
    plans.add_argument(
        "--constants", dest="listed", action="store_true", help="list what --set can set"
    )
    plans.set_defaults(command=plan)

    _add_validate(commands)
    _add_calibrate(commands)
    _add_reports(commands)

    _add_import(commands)
    _add_tabulate(commands)
    _add_lsp(commands)

    explains = commands.add_parser("explain", help="explain the code of a diagnostic")
    explains.add_argument("code", metavar="CODE", help="for example E0301")
    explains.set_defaults(command=explain)
    return parser


def _add_checks(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    checks = commands.add_parser("check", help="check files and say what is wrong")
    checks.add_argument("files", nargs="+", metavar="FILE")
    _constants_argument(checks)
    add_allowed(checks)
    checks.add_argument(
        "--format", choices=("text", "concise", "json", "github", "sarif"), default="text"
    )
    checks.add_argument(
        "--explain-defaults", action="store_true", help="show what the scenarios leave to defaults"
    )
    checks.set_defaults(command=check)

    formats = commands.add_parser("fmt", help="write programs in the one style")
    formats.add_argument("files", nargs="+", metavar="FILE", help="`-` is standard input to output")
    formats.add_argument(
        "--check", action="store_true", help="write nothing, and name the files that would change"
    )
    formats.add_argument(
        "--diff", action="store_true", help="write nothing, and show what would change"
    )
    formats.set_defaults(command=format_)


def _add_validate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    validates = commands.add_parser(
        "validate", help="simulate a scenario and compare it with a measured run"
    )
    _scenario_arguments(validates)
    validates.add_argument("run", metavar="RUN", help="a file of measured requests")
    _measured_arguments(validates)
    validates.add_argument("--seed", type=_seed, metavar="N", help="seed of the random streams")
    _engine_argument(validates)
    validates.add_argument(
        "--skip-first", type=_count, default=0, metavar="N", help="leave out the first N requests"
    )
    validates.add_argument(
        "--after", type=_seconds, metavar="SECONDS",
        help="leave out requests that arrive before (else: before the workload's warm-up)",
    )  # fmt: skip
    validates.add_argument(
        "-o", "--out", metavar="DIR", help="write validate.json, validate.csv and pictures"
    )
    validates.add_argument("--format", choices=("text", "json"), default="text")
    validates.set_defaults(command=validate)


def _add_import(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    imports = commands.add_parser(
        "import",
        help="turn a configuration of another simulator, a model or an engine into TSDL",
    )
    imports.add_argument(
        "format", choices=("tokensim", "llm-inference-simulator", "hf", "vllm", "sglang")
    )
    imports.add_argument(
        "files", nargs="*", metavar="FILE",
        help="its files, or an engine's command line in quotes; further flags follow after `--`",
    )  # fmt: skip
    imports.add_argument("-o", dest="output", metavar="FILE", help="where to write it")
    imports.set_defaults(command=import_, flags=[])


def _add_lsp(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    serves = commands.add_parser("lsp", help="answer an editor on the standard input and output")
    serves.add_argument(
        "--stdio", action="store_true", help="what editors add; there is no other way"
    )
    serves.set_defaults(command=serve)


def _add_tabulate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    tabulates = commands.add_parser(
        "tabulate", help="ask another model of times once, and write a table and a cost"
    )
    sources = tabulates.add_subparsers(metavar="SOURCE", required=True, dest="source")
    for name in ("aiconfigurator", "genz"):
        source = sources.add_parser(name)
        source.add_argument("--model", required=True, metavar="NAME", help="by its own name there")
        source.add_argument("--system", required=True, metavar="NAME", help="the device, as there")
        devices = source.add_mutually_exclusive_group()
        devices.add_argument("--tp", type=_whole, metavar="N", help="devices of a worker (else 1)")
        if name == "aiconfigurator":
            devices.add_argument(
                "--ep", type=_whole, metavar="N", help="devices that divide the experts whole"
            )
            source.add_argument("--backend", default="vllm", help="vllm, trtllm or sglang")
        else:
            source.add_argument(
                "--efficiency", type=_share_reached, default=1.0, metavar="SHARE",
                help="what is reached of the peaks (else 100 %%)",
            )  # fmt: skip
        for bound, usual in (("tokens", 8192), ("requests", 256), ("context", 8192)):
            source.add_argument(
                f"--max-{bound}", dest=bound, type=_whole, default=usual, metavar="N",
                help=f"how far the table goes (else {usual})",
            )  # fmt: skip
        source.add_argument(
            "-o", dest="output", required=True, metavar="FILE", help="the .tsim file; a .csv beside"
        )
        source.set_defaults(command=tabulate)


def _add_calibrate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    calibrates = commands.add_parser(
        "calibrate", help="fit constants of a scenario to measured runs"
    )
    _scenario_arguments(calibrates)
    calibrates.add_argument("runs", nargs="+", metavar="RUN", help="files of measured requests")
    _measured_arguments(calibrates)
    calibrates.add_argument(
        "--fit", type=_names, metavar="NAME,…",
        help="what is fitted: names as `tsdl plan --constants` lists them, with `*` for any part; "
        "constants of one name, or of several joined by `+`, move together",
    )  # fmt: skip
    calibrates.add_argument(
        "--holdout", type=_share, default=0.3, metavar="SHARE",
        help="of each run's arrivals, the last of which are kept back to check (else 30 %%)",
    )  # fmt: skip
    calibrates.add_argument(
        "-o", "--out", metavar="FILE", help="write declarations with the fitted constants"
    )
    calibrates.add_argument("--format", choices=("text", "json"), default="text")
    calibrates.set_defaults(command=calibrate)


def _add_reports(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    reports = commands.add_parser("report", help="make one page of results, to be read offline")
    reports.add_argument(
        "results", nargs="+", metavar="RESULT", help="folders that `run --out` wrote"
    )
    reports.add_argument(
        "-o", dest="output", metavar="FILE", default="report.html", help="else report.html"
    )
    reports.set_defaults(command=report)

    plots = commands.add_parser("plot", help="draw charts of results as SVG or PNG")
    plots.add_argument(
        "results", nargs="+", metavar="RESULT", help="folders that `run --out` wrote"
    )
    plots.add_argument(
        "--name", dest="names", action="append", default=[], metavar="NAME",
        help="which chart; may be given several times (else: all of them)",
    )  # fmt: skip
    plots.add_argument(
        "-o", dest="output", metavar="FILE", required=True, help="FILE.svg or FILE.png"
    )
    plots.set_defaults(command=plot)


def _measured_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--run-format", choices=("auto", "llmservingsim", "vllm", "csv"), default="auto",
        help="of measured files",
    )  # fmt: skip
    parser.add_argument(
        "--column", dest="columns", action="append", default=[], type=_column,
        metavar="NAME=HEADER",
        help="header of a CSV file's column arrived, prompt, output, ttft, e2e or tpot; times are "
        "in seconds, or in the unit that the header ends in: ttft_ms",
    )  # fmt: skip


def _divided(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Return what is ours, and behind `--` the flags of another simulator."""
    if arguments[:1] != ["import"] or "--" not in arguments:
        return arguments, []
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]


def _scenario_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a .tsim file")
    parser.add_argument(
        "-p", dest="params", action="append", default=[], type=_param, metavar="NAME=VALUE",
        help="set a param, for example -p 'qps=8 req/s'",
    )  # fmt: skip
    parser.add_argument("--scenario", metavar="NAME", help="which, if the file has several")
    _constants_argument(parser)
    add_allowed(parser)


def _engine_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--engine", choices=("fast", "reference"), default="fast", help="which engine"
    )


def _constants_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set", dest="constants", action="append", default=[], type=_param, metavar="NAME=VALUE",
        help="put another number in, for example 'hardware.efficiency.gemm.compute=60 %%'",
    )  # fmt: skip


def _study_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--study", metavar="NAME", help="the study of the file that is meant")
    parser.add_argument(
        "--store", metavar="FILE", help="where a study keeps its runs (else NAME.results.sqlite)"
    )


def _param(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip() or not value.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name.strip(), value.strip()


def _seed(text: str) -> int:
    try:
        seed = int(text)
    except ValueError:
        seed = -1
    if not 0 <= seed < 2**64:
        raise argparse.ArgumentTypeError("a seed is a whole number from 0 to 2^64 - 1")
    return seed


def _whole(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= _MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 to {_MOST:,}")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of requests")
    return int(text)


def _jobs(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of processes")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no time in seconds")
    return seconds


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


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError("this names nothing")
    return names


def _share(text: str) -> float:
    number = text.replace("%", "").strip()
    try:
        share = float(number) / (100 if number != text.strip() else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share from 0 % to below 100 %")
    return share


def _share_reached(text: str) -> float:
    share = 1.0 if text.replace(" ", "") in ("100%", "1", "1.0") else _share(text)
    if share == 0:
        raise argparse.ArgumentTypeError("nothing is reached then")
    return share


def _column(text: str) -> tuple[str, str]:
    from tsdl.measured import CSV_COLUMNS

    name, equals, header = text.partition("=")
    if not equals or not header or name not in CSV_COLUMNS:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not NAME=HEADER with a name of {', '.join(CSV_COLUMNS)}"
        )
    return name, header


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from tsdl import __version__
        from tsdl.modules import EDITIONS

        print(f"tsdl {__version__} (edition {EDITIONS[-1]}, engines fast, reference)")
        parser.exit()
