"""Options that several commands have, and how what is given to them is read."""

from __future__ import annotations

import argparse
from typing import Any

from tsdl.cli.limiting import add_allowed

MOST = 10_000_000  # tokens, requests or devices


def add_scenario(parser: argparse.ArgumentParser) -> None:
    """Add the file, and what says which scenario of it with which numbers."""
    parser.add_argument("file", metavar="FILE", help="a .tsim file")
    add_params(parser)
    parser.add_argument("--scenario", metavar="NAME", help="which, if the file has several")
    add_constants(parser)
    add_allowed(parser)


def add_params(parser: argparse.ArgumentParser) -> None:
    """Add values for params."""
    parser.add_argument(
        "-p", dest="params", action="append", default=[], type=read_pair, metavar="NAME=VALUE",
        help="set a param, for example -p 'qps=8 req/s'",
    )  # fmt: skip


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Add the choice of an engine."""
    parser.add_argument(
        "--engine", choices=("fast", "reference"), default="fast", help="which engine"
    )


def add_constants(parser: argparse.ArgumentParser) -> None:
    """Add other numbers for constants."""
    parser.add_argument(
        "--set", dest="constants", action="append", default=[], type=read_pair,
        metavar="NAME=VALUE",
        help="put another number in, for example 'hardware.efficiency.gemm.compute=60 %%'",
    )  # fmt: skip


def add_study(parser: argparse.ArgumentParser) -> None:
    """Add the choice of a study, and where it keeps its runs."""
    parser.add_argument("--study", metavar="NAME", help="the study of the file that is meant")
    parser.add_argument(
        "--store", metavar="FILE", help="where a study keeps its runs (else NAME.results.sqlite)"
    )


def add_measured(parser: argparse.ArgumentParser) -> None:
    """Add how files of measured requests are read."""
    parser.add_argument(
        "--run-format", choices=("auto", "llmservingsim", "vllm", "csv"), default="auto",
        help="of measured files",
    )  # fmt: skip
    parser.add_argument(
        "--column", dest="columns", action=_Once, default=[], type=_column,
        metavar="NAME=HEADER",
        help="header of a CSV file's column arrived, prompt, output, ttft, e2e or tpot; times are "
        "in seconds, or in the unit that the header ends in: ttft_ms",
    )  # fmt: skip


def read_pair(text: str) -> tuple[str, str]:
    """Read NAME=VALUE. Raises ArgumentTypeError."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip() or not value.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name.strip(), value.strip()


def read_seed(text: str) -> int:
    """Read the seed of random streams. Raises ArgumentTypeError."""
    try:
        seed = int(text)
    except ValueError:
        seed = -1
    if not 0 <= seed < 2**64:
        raise argparse.ArgumentTypeError("a seed is a whole number from 0 to 2^64 - 1")
    return seed


def read_whole(text: str) -> int:
    """Read a whole number of tokens, requests or devices. Raises ArgumentTypeError."""
    if not text.isdecimal() or not 0 < int(text) <= MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 to {MOST:,}")
    return int(text)


def read_share(text: str) -> float:
    """Read a share of one, also in percent. Raises ArgumentTypeError."""
    number = text.replace("%", "").strip()
    try:
        share = float(number) / (100 if number != text.strip() else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share from 0 % to below 100 %")
    return share


class _Once(argparse.Action):
    """Collects pairs, of which no two have one name."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,  # noqa: ANN401 (as the base has it)
        option_string: str | None = None,
    ) -> None:
        """Add a pair. Raises ArgumentError where its name has one."""
        known = getattr(namespace, self.dest)
        if values[0] in dict(known):
            raise argparse.ArgumentError(self, f"`{values[0]}` is given twice")
        setattr(namespace, self.dest, [*known, values])


def _column(text: str) -> tuple[str, str]:
    from tsdl.measured import CSV_COLUMNS

    name, equals, header = text.partition("=")
    if not equals or not header or name not in CSV_COLUMNS:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not NAME=HEADER with a name of {', '.join(CSV_COLUMNS)}"
        )
    return name, header
