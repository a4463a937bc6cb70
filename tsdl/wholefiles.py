"""Files written whole or not at all: under another name first, which then becomes theirs."""

import errno
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_MOST_OF_NAME = 50  # characters: file systems allow 255 bytes, which a name may have itself


Put = Callable[[Path], None]  # writes a file


def put_whole(path: Path, put: Put) -> None:
    """Let `put` write a file under another name beside `path`, which then takes its place.

    A file that was there keeps its mode, a link leads where it led. What is no file (a device, a
    pipe) is written to as it is. Raises OSError, also for a file that may not be written.
    """
    put_together([(path, put)])


def put_together(files: Sequence[tuple[Path, Put]], gone: Iterable[Path] = ()) -> None:
    """Let files be written that belong together, each as by `put_whole`; those that are `gone` go.

    None takes its place before all are written. The last says that the others are there: an earlier
    one goes first, and it takes its place last. Raises OSError.
    """
    written: list[tuple[Path, Path]] = []  # under which name, and where it belongs
    try:
        for path, put in files:
            place = Path(os.path.realpath(path))
            there = place.exists()
            if there and not place.is_file():
                put(place)
                continue
            if there and not os.access(place, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            # A name that nobody knows before: else others who write the same file were in its way,
            # and a link of that name would lead elsewhere.
            part = place.with_name(f".{place.name[:_MOST_OF_NAME]}.{secrets.token_hex(8)}.part")
            written.append((part, place))
            put(part)
            if there:
                shutil.copymode(place, part)
        for path in gone:
            path.unlink(missing_ok=True)
        if len(written) > 1:
            written[-1][1].unlink(missing_ok=True)
        for part, place in written:
            part.replace(place)
    finally:
        for part, _ in written:
            part.unlink(missing_ok=True)


@contextmanager
def made(folder: Path) -> Iterator[None]:
    """Make a folder, and those that it is in, for what is then written there.

    Where that does not go, those that are new go with it. Raises OSError.
    """
    new = _lacking(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        _remove(new)
        raise


def see_made(folder: Path) -> None:
    """See that a folder can be made, and leave none behind. Raises OSError."""
    new = _lacking(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    finally:
        _remove(new)


def _lacking(folder: Path) -> list[Path]:
    """Return which folders have to be made for one, the innermost first."""
    return [place for place in (folder, *folder.parents) if not place.exists()]


def _remove(folders: list[Path]) -> None:
    for folder in folders:
        with suppress(OSError):  # it was not made, or somebody else has put something there
            folder.rmdir()


def text_put(text: str) -> Put:
    """Return how to write a text as UTF-8, with its own ends of lines."""
    return bytes_put(text.encode("utf-8"))


def bytes_put(content: bytes) -> Put:
    """Return how to write bytes."""

    def put(place: Path) -> None:
        place.write_bytes(content)

    return put


def put_bytes(path: Path, content: bytes) -> None:
    """Write bytes, whole or not at all. Raises OSError."""
    put_whole(path, bytes_put(content))


def put_text(path: Path, text: str) -> None:
    """Write a text as UTF-8 with its own ends of lines, whole or not at all. Raises OSError."""
    put_whole(path, text_put(text))
