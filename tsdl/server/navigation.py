"""From a name to where it is declared, to all places where it stands, and to another name."""

import re
from collections.abc import Iterable

from tsdl.schema import KINDS
from tsdl.server.documents import Checked
from tsdl.server.occurrences import Occurrence, Symbol
from tsdl.source import Span

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = frozenset((
    "if", "else", "and", "or", "not", "in", "for", "let", "step", "from", "when", "by", "to",
    "over", "after", "while", "as", "every", "expect", "where", "table", "log", "record", "true",
    "false", "param", "import", "edition", "unit", "dimension",
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


def rename(checked: Checked, files: Iterable[Checked], offset: int, name: str) -> list[Occurrence]:
    """Return the places at which another name is to stand. Raises NotRenamed."""
    found = renamed(checked, offset)
    if not _NAME.fullmatch(name) or name in _RESERVED:
        raise NotRenamed(f"`{name}` is no name")
    places = references(files, found.symbol)
    taken = _taken(checked, found, name)
    if taken is not None:
        raise NotRenamed(taken)
    return places


def _taken(checked: Checked, found: Occurrence, name: str) -> str | None:
    """Return why a name would mean something else where it is to stand; None if it would not."""
    program = checked.program
    if found.symbol.kind == "declaration":
        scopes = [program.scopes[id(m)] for m in program.modules if not m.library]
        if any(name in scope for scope in scopes) or name in program.prelude:
            return f"`{name}` is declared already"
    else:
        here = [o for o in checked.occurrences if o.span.text == name]
        owner = _around(checked, found.span)
        if any(_around(checked, o.span) == owner for o in here):
            return f"`{name}` stands for something else here already"
    if found.symbol.kind == "parameter" and found.declaration:
        shape = KINDS.get(found.declaration.kind)
        if shape is not None and name in shape.fields:
            return f"`{name}` is a field of a {shape.kind}"
    return None


def _around(checked: Checked, span: Span) -> Span | None:
    """Return the declaration in which a place is."""
    for declaration in checked.program.declarations:
        around = declaration.clause.span
        if around.source is span.source and around.start <= span.start < around.end:
            return around
    return None
