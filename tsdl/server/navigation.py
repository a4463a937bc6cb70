"""From a name to where it is declared, to all places where it stands, and to another name."""

import re
from collections.abc import Iterable
from itertools import groupby

from msgspec.structs import replace

from tsdl.server.documents import Checked, Documents
from tsdl.server.occurrences import Occurrence, Symbol
from tsdl.source import Span

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = frozenset((
    "if", "else", "and", "or", "not", "in", "for", "let", "step", "from", "when", "by", "to",
    "over", "after", "while", "as", "every", "expect", "where", "table", "log", "record", "true",
    "false", "param", "attribute", "metric", "import", "edition", "unit", "dimension",
))  # fmt: skip
RENAMED = ("declaration", "parameter", "local")


class NotRenamed(ValueError):
    """A name that cannot be another one, and why."""


def definition(checked: Checked, offset: int) -> Span | None:
    """Return where what stands at a place is declared or set."""
    found = checked.at(offset)
    return found.target if found else None


def references(
    files: Iterable[Checked], symbol: Symbol, *, declarations: bool = True
) -> list[Occurrence]:
    """Return the places at which a symbol stands, each once, by file and place."""
    found: dict[tuple[str, int], Occurrence] = {}
    for checked in files:
        for occurrence in checked.occurrences:
            if occurrence.symbol == symbol and (declarations or not occurrence.declares):
                span = occurrence.span
                found.setdefault((span.source.name, span.start), occurrence)
    return [found[place] for place in sorted(found)]


def renamed(checked: Checked, offset: int) -> Occurrence:
    """Return the name at a place that can be another one. Raises NotRenamed."""
    found = checked.at(offset)
    if found is None or found.symbol.kind == "word":
        raise NotRenamed("there is no name that this file declares")
    if found.symbol.kind not in RENAMED:
        raise NotRenamed(f"`{found.span.text}` is a name of the language")
    if found.symbol.place.startswith("<"):
        raise NotRenamed(f"`{found.span.text}` is a name of the standard library")
    return found


def rename(
    checked: Checked, offset: int, name: str, documents: Documents, files: Iterable[Checked]
) -> list[Occurrence]:
    """Return the places at which another name is to stand. Raises NotRenamed.

    The files are checked once more with that name: where it stands for something else already, or
    hides it, nothing is renamed.
    """
    found = renamed(checked, offset)
    if not _NAME.fullmatch(name) or name in _RESERVED:
        raise NotRenamed(f"`{name}` is no name")
    files = list(files)
    places = references(files, found.symbol)
    moved, texts = _changed(places, name)
    again = Documents({**documents.open, **texts})
    symbol = replace(found.symbol, start=moved[found.symbol.place, found.symbol.start][1])
    for file in files:
        wanted = {moved[_place(o)] for o in file.occurrences if o.symbol == found.symbol}
        if not wanted:
            continue
        other = again.checked(file.session.path)
        now = {_place(o) for o in other.occurrences if o.symbol == symbol}
        if now != wanted or len(other.sink.found) != len(file.sink.found):
            raise NotRenamed(f"`{name}` means something else already")
    return places


def _changed(
    places: list[Occurrence], name: str
) -> tuple[dict[tuple[str, int], tuple[str, int]], dict[str, str]]:
    """Return where each place is once a name stands at all of them, and the texts by path."""
    moved: dict[tuple[str, int], tuple[str, int]] = {}
    texts: dict[str, str] = {}
    for file, here in groupby(places, key=lambda place: place.span.source.name):
        text, shift = "", 0
        for occurrence in here:
            source, start, end = occurrence.span
            moved[file, start] = (file, start + shift)
            text = (text or source.text)[: start + shift] + name + source.text[end:]
            shift += len(name) - (end - start)
        texts[file] = text
    return moved, texts


def _place(occurrence: Occurrence) -> tuple[str, int]:
    return occurrence.span.source.name, occurrence.span.start
