"""Files written whole or not at all: under another name first, which then becomes theirs."""

import errno
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

_MOST_OF_NAME = 50  # characters: file systems allow 255 bytes, which a name may have itself


def put_whole(path: Path, put: Callable[[Path], None]) -> None:
    """Let `put` write a file under another name beside `path`, which then takes its place.

    A file that was there keeps its mode, a link leads where it led. What is no file (a device, a
    pipe) is written to as it is. Raises OSError, also for a file that may not be written.
    """
    place = Path(os.path.realpath(path))
    there = place.exists()
    if there and not place.is_file():
        put(place)
        return
    if there and not os.access(place, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    # A name that nobody knows before: else others who write the same file were in its way, and a
    # link of that name would lead elsewhere.
    unfinished = place.with_name(f".{place.name[:_MOST_OF_NAME]}.{secrets.token_hex(8)}.part")
    try:
        put(unfinished)
        if there:
            shutil.copymode(place, unfinished)
        unfinished.replace(place)
    finally:
        unfinished.unlink(missing_ok=True)


def put_bytes(path: Path, content: bytes) -> None:
    """Write bytes, whole or not at all. Raises OSError."""

    def put(place: Path) -> None:
        place.write_bytes(content)

    put_whole(path, put)


def put_text(path: Path, text: str) -> None:
    """Write a text as UTF-8 with its own ends of lines, whole or not at all. Raises OSError."""
    put_bytes(path, text.encode("utf-8"))
