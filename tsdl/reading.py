"""Files as text: those that people name, and those that a program names, which are held to more."""

import os
import re
import shlex
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

Reader = Callable[[str], str]

_MOST_OF_PROGRAM = 80_000_000  # bytes
_INSTALLED = ("node_modules", "site-packages")
_GZIP = b"\x1f\x8b"  # how such a file begins
# Pipes that the shell makes of `<(…)`; those below 3 are the standard ones, which may never end.
_OF_SHELL = re.compile(r"/(?:dev|proc/self)/fd/(?:[3-9]|[1-9][0-9]+)")


class OutsideError(OSError):
    """A file is not in the folders that are allowed; `folder` is its own, where that would help."""

    def __init__(self, folder: str | None) -> None:
        """Keep the folder; of a link that leads out there is none."""
        link = " (a link leads there)" if folder is None else ""
        super().__init__(f"it is outside of the folders that are allowed{link}")
        self.folder = folder


def read_program(path: str) -> str:
    """Read a program as UTF-8. Raises OSError, also for one without an end; UnicodeDecodeError."""
    if not path:
        raise OSError("its name is empty")
    with Path(path).open("rb") as opened:
        return program_of(opened).replace("\r\n", "\n").replace("\r", "\n")


def program_of(stream: BinaryIO | None) -> str:
    """Read a program from a stream, as `read_program` does."""
    if stream is None:
        raise OSError("it is closed")
    content = stream.read(_MOST_OF_PROGRAM + 1)
    if len(content) > _MOST_OF_PROGRAM:
        raise OSError(f"it has more than {_MOST_OF_PROGRAM / 1e6:g} MB, and is no program")
    return content.decode("utf-8")


def read_named(path: str) -> str:
    """Read a file that a program names, as UTF-8: no device, and no pipe that may never end.

    Raises OSError, ValueError for a path that cannot be, or UnicodeDecodeError.
    """
    if not path:  # which would stand for the working folder
        raise OSError("its name is empty")
    if _is_device(path) and not _OF_SHELL.fullmatch(path):
        raise OSError("it is a device or a pipe, and no file")
    return Path(path).read_text(encoding="utf-8")


def _is_device(path: str) -> bool:
    mode = Path(path).stat().st_mode
    return any(of(mode) for of in (stat.S_ISFIFO, stat.S_ISCHR, stat.S_ISBLK, stat.S_ISSOCK))


def why_not(error: Exception) -> str:
    """Return why a file could not be read; of one that is not UTF-8, also where that shows."""
    if isinstance(error, UnicodeDecodeError) and error.object.startswith(_GZIP):
        return "it is packed by gzip, and read only as text: unpack it"
    if isinstance(error, UnicodeDecodeError):
        before = error.object[: error.start]
        line = before.count(b"\n") + 1
        byte = f"0x{error.object[error.start]:02X}"
        return f"it is not UTF-8 text (line {line} has the byte {byte}): save it as UTF-8"
    if isinstance(error, IsADirectoryError):
        return "it is a folder: name a file in it"
    return getattr(error, "strerror", None) or str(error)


def how_to(error: Exception, beside: str) -> tuple[str, ...]:
    """Return what to do about a file that cannot be read; paths are relative to `beside`."""
    if not isinstance(error, OutsideError):
        return (f"paths are relative to {beside}",)
    if error.folder is None:
        return ("allow the folder of the file itself with `--allow FOLDER`",)
    return (f"`--allow {shlex.quote(error.folder)}` lets the program read there",)


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
            folder = Path(os.path.normpath(path)).parent
            linked = any(folder.resolve().is_relative_to(within) for within in allowed)
            raise OutsideError(None if linked else str(folder))
        return read_named(str(place))

    return read


class Kept:
    """A reader that reads each file once; what it has read goes with a pickle of it."""

    def __init__(self, read: Reader) -> None:
        """Have read nothing yet."""
        self._read: Reader | None = read
        self._texts: dict[str, str] = {}

    def __call__(self, path: str) -> str:
        """Return a text. Raises what the reader does, and OSError where a pickle has none."""
        if path not in self._texts:
            if self._read is None:
                raise OSError("it was not read where this was made")
            self._texts[path] = self._read(path)
        return self._texts[path]

    def __reduce__(self) -> "tuple[Callable[[dict[str, str]], Kept], tuple[dict[str, str]]]":
        """Leave the reader behind: it may be of folders that are allowed here, or of no file."""
        return _of_texts, (self._texts,)


def _of_texts(texts: dict[str, str]) -> Kept:
    kept = Kept(read_named)
    kept._read, kept._texts = None, texts  # noqa: SLF001 (it is what it leaves behind)
    return kept


def programs_beneath(folder: str) -> Iterator[str]:
    """Yield the programs of a folder, in order; not of hidden folders, nor of installed packages.

    Links to folders are not followed, and pipes and devices are no programs.
    """
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if f[0] not in "._" and f not in _INSTALLED)
        for path in (str(Path(place) / file) for file in sorted(files) if file.endswith(".tsim")):
            if not (Path(path).exists() and _is_device(path)):
                yield path
