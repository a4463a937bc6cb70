"""The command plot: charts of results as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tsdl.cli.reporting import LACKING, not_shown, write
from tsdl.cli.shared import usage_error

if TYPE_CHECKING:
    import argparse

_FORMATS = (".svg", ".png")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        "results", nargs="+", metavar="RESULT", help="folders that `run --out` wrote"
    )
    parser.add_argument(
        "--name", dest="names", action="append", default=[], metavar="NAME",
        help="which chart; may be given several times (else: all of them)",
    )  # fmt: skip
    parser.add_argument(
        "-o", dest="output", metavar="FILE", required=True, help="FILE.svg or FILE.png"
    )
    parser.set_defaults(command=plot)


def plot(arguments: argparse.Namespace) -> int:
    """Write charts of results as a picture."""
    from tsdl.reports import NoReports, charts_of, png, read, svg
    from tsdl.runtime.parquet import NoPyarrow

    path = Path(arguments.output)
    if path.suffix.lower() not in _FORMATS:
        return usage_error(f"a picture is one of {', '.join(_FORMATS)}, not {path.name!r}")
    try:
        results = read(arguments.results)
        charts = {chart.name: chart for chart in charts_of(results)}
        unknown = [name for name in arguments.names if name not in charts]
        if unknown:
            return usage_error(f"there is no chart {unknown[0]!r}; there are {', '.join(charts)}")
        chosen = [charts[name] for name in arguments.names or charts]
        if not chosen:
            return usage_error("these results have no chart")
        drawn = svg(chosen).encode() if path.suffix.lower() == ".svg" else png(chosen)
    except NoReports:
        return usage_error(LACKING)
    except NoPyarrow as error:
        return usage_error(str(error))
    except ValueError as error:
        raise not_shown(error) from error
    return write(path, drawn)
