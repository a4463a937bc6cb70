"""What a program may read and a run may take: `--allow data --max-time 60 --max-memory "4 GiB"`."""

from __future__ import annotations

import argparse
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tsdl.runtime.limits import Limits

_SIZE = re.compile(r"([0-9.]+(?:e[0-9]+)?) ?([kKMGT]?)(i?)B?")
_POWERS = ("", "k", "m", "g", "t")


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Add the options of limits to a command that runs."""
    parser.add_argument(
        "--max-time", type=_duration, metavar="SECONDS",
        help="stop a run that takes longer, and keep what it has; of a study, each run",
    )  # fmt: skip
    parser.add_argument(
        "--max-memory", type=_size, metavar="SIZE",
        help="stop a run whose process takes more, for example '4 GiB', and keep what it has",
    )  # fmt: skip


def add_allowed(parser: argparse.ArgumentParser) -> None:
    """Add the option of folders to a command that reads a program."""
    parser.add_argument(
        "--allow", dest="allowed", action="append", default=[], metavar="FOLDER",
        help="let the program name files in its own folder and in FOLDER alone",
    )  # fmt: skip


def not_there(folders: Iterable[str]) -> str | None:
    """Return what is wrong with the folders that are allowed; None where all of them are there."""
    missing = next((folder for folder in folders if not Path(folder).is_dir()), None)
    return f"argument --allow: there is no folder {missing!r}" if missing is not None else None


def limits_of(arguments: argparse.Namespace) -> Limits | None:
    """Return the limits that are given; None where there are none."""
    from tsdl.runtime.limits import limits

    return limits(arguments.max_time, arguments.max_memory)


def _duration(text: str) -> float:
    try:
        seconds = float(text.removesuffix("s"))
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no time in seconds")
    return seconds


def _size(text: str) -> float:
    found = _SIZE.fullmatch(text.strip())
    try:
        number = float(found[1]) if found else 0.0
    except ValueError:
        number = 0.0
    if not found or not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no size, such as 500MB or '4 GiB'")
    power = _POWERS.index(found[2].lower())
    return number * math.pow(1024 if found[3] else 1000, power)
