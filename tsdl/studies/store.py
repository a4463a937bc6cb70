"""What runs came to, in one SQLite file: written when a run ends, read before it would begin.

A run is known by the hash of its plan, its seed and the code that ran it: they determine it.
Nothing in the file depends on the study that asked, so that studies, and several at once, share it.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Self

from tsdl.diagnostics import Diagnostic, Severity
from tsdl.errors import TsdlError
from tsdl.studies.work import Found

SCHEMA = 2  # of the file; another is refused
APPLICATION = 0x7473646C  # "tsdl", in the header of the file
_WAIT = 60.0  # seconds for another process that writes

_TABLE = """
create table run (
  plan text not null, seed text not null, code text not null,
  found text not null, seconds real not null, mark text not null,
  primary key (plan, seed, code)
) without rowid
"""


@cache
def code() -> str:
    """Return a hash of the code that a result depends on: of the runtime, and what it knows."""
    package = Path(__file__).parents[1]
    texts = hashlib.sha256()
    for file in sorted([*package.glob("*.py"), *package.glob("runtime/**/*.py")]):
        texts.update(file.read_bytes())
    return texts.hexdigest()[:16]


def _mark(*row: object) -> str:
    """Return the hash of a row, kept beside it: what was changed since is no result."""
    return hashlib.sha256(repr(row).encode()).hexdigest()


class Store:
    """The file. Raises TsdlError (E07…) for what is wrong with it, without touching it."""

    def __init__(self, path: Path) -> None:
        """Open a file, which is made where there is none."""
        self.path = path
        with self._told("opened"):
            # Each commit is on the disk before the next run's answer is looked at.
            self._base = sqlite3.connect(path, timeout=_WAIT, isolation_level=None)
        try:
            with self._told("opened"):
                self._prepare()
        except TsdlError:
            self._base.close()
            raise

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file; all that was kept is in it."""
        self._base.close()

    def _prepare(self) -> None:
        self._base.execute("pragma synchronous = full")
        if not self._value("select count(*) from sqlite_master"):
            self._base.execute("begin immediate")  # of two that make the file, one does
            try:
                if not self._value("select count(*) from sqlite_master"):
                    self._base.execute(_TABLE)
                    self._base.execute(f"pragma application_id = {APPLICATION}")
                    self._base.execute(f"pragma user_version = {SCHEMA}")
            finally:
                self._base.execute("commit")
        self._check()

    def _check(self) -> None:
        """See that the file is a store, and of this version."""
        version = self._value("pragma user_version")
        if self._value("pragma application_id") != APPLICATION:
            raise self._refused("E0701", f"`{self.path}` is no store of results")
        if version != SCHEMA:
            title = f"`{self.path}` is a store of another version of TSDL ({version})"
            raise self._refused("E0701", title)

    def _value(self, question: str) -> int:
        (value,) = self._base.execute(question).fetchone()
        return int(value)

    def get(self, plan: str, seed: int, measures: Iterable[str]) -> Found | None:
        """Return what a run came to, if it was asked all these measures."""
        key = (plan, str(seed), code())
        with self._told("read"):
            row = self._base.execute(
                "select found, seconds, mark from run where plan = ? and seed = ? and code = ?", key
            ).fetchone()
        if row is None:
            return None
        text, seconds, mark = row
        if mark != _mark(*key, text, seconds):
            raise self._damaged(f"the run of plan {plan[:16]} is not what was kept of it")
        data = json.loads(text)
        found = Found(
            data["values"], data["summary"], seconds, tuple(data["warnings"]), data["failed"]
        )
        complete = found.failed or all(measure in found.values for measure in measures)
        return found if complete else None

    def keep(self, runs: Iterable[tuple[str, int, Found]]) -> None:
        """Keep what runs came to: plan, seed, and that. They are on the disk when this returns."""
        rows = [
            (plan, str(seed), code(), self._text(plan, seed, found), float(found.seconds))
            for plan, seed, found in runs
        ]
        marked = [(*row, _mark(*row)) for row in rows]
        with self._told("written"):
            self._base.execute("begin immediate")
            try:
                self._base.executemany(
                    "insert or replace into run values (?, ?, ?, ?, ?, ?)", marked
                )
                self._base.execute("commit")
            except sqlite3.Error:
                if self._base.in_transaction:  # what is full has ended it
                    self._base.execute("rollback")
                raise

    def _text(self, plan: str, seed: int, found: Found) -> str:
        data = {
            "values": found.values,
            "summary": found.summary,
            "warnings": found.warnings,
            "failed": found.failed,
        }
        earlier = self.get(plan, seed, ())
        if earlier is not None:  # another study asked it other things
            data["values"] = {**earlier.values, **found.values}
        return json.dumps(data, allow_nan=False, separators=(",", ":"))

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Say what is wrong with the file in words."""
        try:
            yield
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            kind = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)  # Python's have none
            if kind == sqlite3.SQLITE_NOTADB:
                raise self._refused("E0701", f"`{self.path}` is no store of results") from None
            # What is not there or no text is SQLITE_ERROR; others are full, locked, read-only …
            if isinstance(error, sqlite3.OperationalError) and kind != sqlite3.SQLITE_ERROR:
                raise self._refused("E0702", f"`{self.path}` cannot be {what}: {error}") from None
            raise self._damaged(str(error)) from None

    def _damaged(self, reason: str) -> TsdlError:
        return self._refused("E0701", f"`{self.path}` is damaged: {reason}")

    def _refused(self, code: str, title: str) -> TsdlError:
        remedies = {
            "E0701": "name another file: --store FILE. This one is left as it is",
            "E0702": "make room or give leave to write, and run again, or name another file: "
            "--store FILE. What was kept before stays",
        }
        return TsdlError([Diagnostic(code, Severity.ERROR, title, None, help=(remedies[code],))])


@contextmanager
def opened(path: str | PathLike[str] | None) -> Iterator[Store | None]:
    """Open a store for as long as it is used; without a path, there is none."""
    if path is None:
        yield None
        return
    with Store(Path(path)) as store:
        yield store
