"""Places in a text as editors count them: lines from 0, columns in units of an encoding."""

import re
from bisect import bisect_right
from functools import lru_cache

from lsprotocol.types import Position, PositionEncodingKind, Range
from msgspec import Struct

from tsdl.source import Span

_LINE_END = re.compile(r"\r\n|\n|\r")  # a line ends so for an editor; the language knows no lone \r


class Positions(Struct, frozen=True):
    """The lines of a text; `encoding` says in which units client and server count columns."""

    text: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    encoding: str

    def position(self, offset: int) -> Position:
        """Return where a character of the text stands, or its end."""
        offset = min(max(offset, 0), len(self.text))
        line = bisect_right(self.starts, offset) - 1
        before = self.text[self.starts[line] : min(offset, self.ends[line])]
        return Position(line, _width(before, self.encoding))

    def offset(self, position: Position) -> int:
        """Return the character at a place; beyond the end of a line stands its end."""
        if position.line >= len(self.starts):
            return len(self.text)
        start, end = self.starts[position.line], self.ends[position.line]
        column = 0
        for offset in range(start, end):
            column += _width(self.text[offset], self.encoding)
            if column > position.character:
                return offset
        return end

    def range(self, start: int, end: int) -> Range:
        """Return the range of the characters [start, end)."""
        return Range(self.position(start), self.position(end))


@lru_cache(maxsize=64)
def positions(text: str, encoding: str = PositionEncodingKind.Utf16) -> Positions:
    """Return the lines of a text."""
    found = list(_LINE_END.finditer(text))
    starts = (0, *(line.end() for line in found))
    ends = (*(line.start() for line in found), len(text))
    return Positions(text, starts, ends, encoding)


def range_of(span: Span, encoding: str) -> Range:
    """Return the range of a span."""
    return positions(span.source.text, encoding).range(span.start, span.end)


def _width(text: str, encoding: str) -> int:
    if encoding == PositionEncodingKind.Utf32:
        return len(text)
    if encoding == PositionEncodingKind.Utf8:
        return len(text.encode("utf-8", "surrogatepass"))
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
