"""What was computed before: bytes in a folder of the user's, and a digest of what they come from.

Nothing depends on it: whatever goes wrong here, there is nothing kept. `TSDL_CACHE` is another
folder, or `off`.
"""

import hashlib
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path

_MOST = 1 << 26  # bytes; ours are far smaller


def digest(*parts: str) -> bytes:
    """Return a digest of texts, and of the Python that runs: what is kept is of this one alone."""
    found = hashlib.sha256(sys.version.encode())
    for part in parts:
        text = part.encode("utf-8", "surrogatepass")
        found.update(b"%d:" % len(text))
        found.update(text)
    return found.digest()


def load(name: str, key: bytes) -> bytes | None:
    """Return what was saved under a name, if it was made of what the key is a digest of."""
    folder = _folder()
    if folder is None:
        return None
    try:
        if not _only_ours(folder.stat()):
            return None
        path = _file(folder, name)
        if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe may take for ever
            return None
        with path.open("rb") as file:
            if not _only_ours(os.fstat(file.fileno())):
                return None
            content = file.read(_MOST)
    except OSError:
        return None
    seal, data = content[:32], content[32:]
    # The seal is over all of it, so that a damaged or truncated file is none.
    return data if seal == _seal(key, data) else None


def save(name: str, key: bytes, data: bytes) -> None:
    """Keep bytes under a name, in place of what was there."""
    folder = _folder()
    if folder is None:
        return
    # Written beside it and moved: whoever reads at the same time sees the old file or the new one.
    file_ = _file(folder, name)
    beside = file_.with_suffix(f".{os.getpid()}")
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _only_ours(folder.stat()):
            return
        try:
            binary = getattr(os, "O_BINARY", 0)  # on Windows
            made = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | binary, 0o600)
            with os.fdopen(made, "wb") as file:
                file.write(_seal(key, data) + data)
            beside.replace(file_)
        except OSError:  # no room: half a file is of no use
            beside.unlink(missing_ok=True)


def _folder() -> Path | None:
    chosen = os.environ.get("TSDL_CACHE", "")
    if chosen.lower() in ("off", "0", "no"):
        return None
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not Path(base).is_absolute():  # as the XDG specification has it, "" included
        try:
            base = str(Path.home() / ".cache")
        except RuntimeError:  # nobody's home
            return None
    return Path(base, "tsdl") if Path(base).is_absolute() else None


def _file(folder: Path, name: str) -> Path:
    """Return one file for each installation, so that none takes the place of another's."""
    installation = hashlib.sha256(f"{__file__} {sys.version}".encode()).hexdigest()
    return folder / f"{name}-{installation[:8]}"


def _only_ours(found: os.stat_result) -> bool:
    """Tell whether nobody but the user could have written it (as far as the system can tell)."""
    if not hasattr(os, "getuid"):
        return True
    return found.st_uid == os.getuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _seal(key: bytes, data: bytes) -> bytes:
    return hashlib.sha256(key + data).digest()
