"""The files that an editor has open, checked as they stand there, not as they lie on the disk."""

import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from msgspec import Struct, field
from pygls.uris import from_fs_path, to_fs_path

from tsdl._resources import library_path
from tsdl.diagnostics import Diagnostic, Sink
from tsdl.program import Program
from tsdl.reading import programs_beneath, read_named
from tsdl.server.occurrences import Occurrence, occurrences
from tsdl.session import Session
from tsdl.source import Source

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:")  # of a document without a file: `untitled:Untitled-1`


class Checked(Struct, dict=True):
    """A file with all that it imports, as the compiler sees it."""

    session: Session
    program: Program
    sink: Sink

    @property
    def source(self) -> Source:
        """Return the text of the file itself."""
        return self.program.root.file.source

    @cached_property
    def occurrences(self) -> list[Occurrence]:
        """Return what stands for what, in the file and all that it imports."""
        return occurrences(self.program)

    @cached_property
    def diagnostics(self) -> list[Diagnostic]:
        """Return what is wrong; where nothing is, also what only values show."""
        if not self.sink.has_errors:
            self.session.verify(self.program, self.sink)
        return self.sink.sorted()

    def at(self, offset: int) -> Occurrence | None:
        """Return what stands at a place of the file, or ends there."""
        here = (o for o in self.occurrences if o.span.source is self.source)
        found = [o for o in here if o.span.start <= offset <= o.span.end]
        return min(
            found, key=lambda o: (o.span.end - o.span.start, o.span.end == offset), default=None
        )


class Documents(Struct):
    """Texts by path, open ones before those of the disk; what was checked is kept."""

    open: dict[str, str] = field(default_factory=dict)
    _checked: dict[str, Checked] = field(default_factory=dict)

    def read(self, path: str) -> str:
        """Return the text of a file. Raises OSError or UnicodeDecodeError."""
        return self.open[path] if path in self.open else read_named(path)

    def changed(self, path: str, text: str | None) -> list[str]:
        """Note another text of a file, or that it was closed; return the open files it concerns."""
        if text is None:
            self.open.pop(path, None)
        else:
            # A blank means nothing, and keeps the place of a byte-order mark that an editor counts.
            self.open[path] = f" {text[1:]}" if text.startswith("\ufeff") else text
        concerned = [p for p, found in self._checked.items() if _is_stale(found, path, text)]
        for stale in concerned:
            self._checked.pop(stale, None)
        return [p for p in self.open if p == path or p in concerned]

    def forget(self) -> None:
        """Check everything anew: files changed on the disk."""
        self._checked.clear()

    def checked(self, path: str) -> Checked:
        """Return a file, checked. Raises OSError or UnicodeDecodeError where it is not open."""
        if path not in self._checked:
            self._checked[path] = self.check(path, self.read(path))
        return self._checked[path]

    def check(self, path: str, text: str) -> Checked:
        """Check a text as if it stood in a file."""
        session = Session(path, text, self.read)
        return Checked(session, *session.compile())

    def all(self, folders: list[str], word: str) -> Iterator[Checked]:
        """Yield the open files, and those below some folders in which a word stands."""
        closed = [path for folder in folders for path in programs_beneath(folder)]
        for path in dict.fromkeys([*self.open, *closed]):
            try:
                if word in self.read(path):
                    yield self.checked(path)
            except (OSError, UnicodeDecodeError):
                continue


def _is_stale(found: Checked, path: str, text: str | None) -> bool:
    """Tell whether a file was checked with another text of a file than it has now."""
    modules = [module for module in found.program.modules if not module.library]
    if any(module.incomplete for module in modules):
        return True  # a file that could not be read may be there now
    return any(m.path == path and m.file.source.text != text for m in modules)


def path_of(uri: str) -> str:
    """Return the path of a document; that of one without a file is its URI."""
    return to_fs_path(uri) or uri


def is_library(path: str) -> bool:
    """Tell whether a file is one of the library: opened, it declares everything a second time."""
    return library_path(f"<stdlib>/{Path(path).name}") == Path(path)


def uri_of(name: str) -> str | None:
    """Return the URI of a source; None for what stands in no file."""
    if name.startswith("<") and library_path(name) is None:
        return None
    if _SCHEME.match(name):
        return name
    path = library_path(name) or Path(name).absolute()
    return str(from_fs_path(str(path)))
