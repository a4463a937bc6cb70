"""Files as text: those that people name, and those that a program names, which are held to more."""

import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

Reader = Callable[[str], str]

_INSTALLED = ("node_modules", "site-packages")
_GZIP = b"\x1f\x8b"  # how such a file begins
# Pipes that the shell makes of `<(…)`; those below 3 are the standard ones, which may never end.
_OF_SHELL = re.compile(r"/(?:dev|proc/self)/fd/(?:[3-9]|[1-9][0-9]+)")


def read_file(path: str) -> str:
    """Read a file as UTF-8. Raises OSError or UnicodeDecodeError."""
    return Path(path).read_text(encoding="utf-8")


def read_named(path: str) -> str:
    """Read a file that a program names, as UTF-8: no device, and no pipe that may never end.

    Raises OSError, ValueError for a path that cannot be, or UnicodeDecodeError.
    """
    mode = Path(path).stat().st_mode
    pipe = stat.S_ISFIFO(mode) and not _OF_SHELL.fullmatch(path)
    if pipe or stat.S_ISCHR(mode) or stat.S_ISBLK(mode) or stat.S_ISSOCK(mode):
        raise OSError("it is a device or a pipe, and no file")
    return read_file(path)


def why_not(error: Exception) -> str:
    """Return why a file could not be read; of one that is not UTF-8, also where that shows."""
    if isinstance(error, UnicodeDecodeError) and error.object.startswith(_GZIP):
        return "it is packed by gzip, and read only as text: unpack it"
    if isinstance(error, UnicodeDecodeError):
        before = error.object[: error.start]
        line = before.count(b"\n") + 1
        byte = f"0x{error.object[error.start]:02X}"
        return f"it is not UTF-8 text (line {line} has the byte {byte})"
    return getattr(error, "strerror", None) or str(error)


def reader_within(folders: Sequence[str]) -> Reader:
    """Return a reader of files in some folders, or beneath them, wherever links lead.

    It raises OSError for what is elsewhere, whether it is there or not.
    """
    allowed = [Path(folder).resolve() for folder in folders]

    def read(path: str) -> str:
        try:
            place = Path(path).resolve()
        except RuntimeError:  # links in a ring, before Python 3.13
            raise OSError("its links lead round and round") from None
        if not any(place.is_relative_to(folder) for folder in allowed):
            raise OSError("it is outside of the folders that are allowed")
        return read_named(str(place))

    return read


def programs_beneath(folder: str) -> Iterator[str]:
    """Yield the programs of a folder, in order; not of hidden folders, nor of installed packages.

    Links to folders are not followed.
    """
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if f[0] not in "._" and f not in _INSTALLED)
        yield from (str(Path(place) / file) for file in sorted(files) if file.endswith(".tsim"))
