"""The command line: arguments, streams, exit status. Which commands there are, parsers knows."""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from tsdl.cli.apart import wrong_together
from tsdl.cli.parsers import make_parser
from tsdl.errors import TsdlError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from types import FrameType

OK, MISTAKE, USAGE, BUG, INTERRUPTED, TERMINATED = 0, 1, 2, 70, 130, 143
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)  # of a stream that takes no more


class _Terminated(KeyboardInterrupt):
    """What a batch system asks for: to end as tidily as with Ctrl-C."""


def run() -> int:
    """Run the command line as a process of its own; return the exit status."""

    def terminate(_number: int, _frame: FrameType | None) -> None:
        raise _Terminated

    signal.signal(signal.SIGTERM, terminate)
    try:
        status = main()
    except KeyboardInterrupt:  # another, while the first was told
        status = INTERRUPTED
    if status in (INTERRUPTED, TERMINATED):
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # what is left to do is to exit
    return status


_OTHERS_FLAGS = " (flags about what is imported follow after `--`)"
_UNQUOTED = " (put all of the engine's command in quotes)"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    _open_closed()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that cannot show a sign shows `?`
            stream.reconfigure(errors="replace")
    status = OK
    try:
        given, flags = _divided(sys.argv[1:] if arguments is None else arguments)
        parser = make_parser(given[:1])
        parsed, unknown = parser.parse_known_args(given)
        if unknown:
            hint = _OTHERS_FLAGS if given[0] == "import" else ""
            if hint and parsed.format in ("vllm", "sglang") and len(parsed.files) > 1:
                hint = _UNQUOTED
            parsed.parser.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        if getattr(parsed, "allowed", None):
            from tsdl.cli.limiting import not_there

            if wrong := not_there(parsed.allowed):
                parsed.parser.error(wrong)
        if wrong := wrong_together(parsed):
            print(f"tsdl: {wrong}", file=sys.stderr)
            return USAGE
        if flags:
            parsed.flags = flags
        command: Callable[[argparse.Namespace], int] = parsed.command
        status = command(parsed)
        sys.stdout.flush()  # here, where a closed pipe is caught
    except TsdlError as error:
        print(error, file=sys.stderr)
        return MISTAKE
    except BrokenPipeError:  # whoever reads us has seen enough
        _write_nowhere()
    except KeyboardInterrupt as error:
        return _interrupted(error)
    except Exception as error:
        if isinstance(error.__cause__, KeyboardInterrupt):  # while a class was made: Python < 3.12
            return _interrupted(error.__cause__)
        if isinstance(error, OSError) and error.errno in _FULL:
            _write_nowhere()
            print(f"tsdl: cannot write all of this: {error.strerror}", file=sys.stderr)
            return USAGE
        from tsdl import __version__

        traceback.print_exc()
        print(
            f"\nThis is a bug in tsdl {__version__}, not in your file. Please report it with the "
            "text above and the file.",
            file=sys.stderr,
        )
        return BUG
    return status


def _interrupted(error: KeyboardInterrupt) -> int:
    print("interrupted", file=sys.stderr)
    return TERMINATED if isinstance(error, _Terminated) else INTERRUPTED


def _open_closed() -> None:
    """Let streams that are closed (`>&-`) lead nowhere."""
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 (for all of the process)
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115


def _write_nowhere() -> None:
    """Let what is still to be written out lead nowhere: Python does that once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _divided(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Return what is ours, and behind `--` the flags of another simulator."""
    if arguments[:1] != ["import"] or "--" not in arguments:
        return arguments, []
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]
