"""Where text comes from: a source, and a span of it. Knows nothing else."""

from bisect import bisect_right
from typing import NamedTuple

from msgspec import Struct, field


class Source(Struct, frozen=True, eq=False):
    """A text under the name that people know it by (a path as given, or `<text>`)."""

    name: str
    text: str
    _starts: list[int] = field(default_factory=list)

    def __repr__(self) -> str:
        """Say which text it is, and not all of it."""
        return f"<Source {self.name}>"

    @property
    def of_library(self) -> bool:
        """Tell whether it came with TSDL: no file of its readers (`_resources` names these)."""
        return self.name.startswith("<stdlib>/")

    def _line_starts(self) -> list[int]:
        if not self._starts:
            self._starts.append(0)
            self._starts.extend(
                index + 1 for index, character in enumerate(self.text) if character == "\n"
            )
        return self._starts

    def position(self, offset: int) -> tuple[int, int]:
        """Return line and column of an offset, both from 1; a column counts characters."""
        starts = self._line_starts()
        line = bisect_right(starts, offset)
        return line, offset - starts[line - 1] + 1

    def line(self, number: int) -> str:
        """Return a line (from 1) without its end."""
        starts = self._line_starts()
        start = starts[number - 1]
        end = starts[number] - 1 if number < len(starts) else len(self.text)
        return self.text[start:end].removesuffix("\r")

    def until(self, offset: int) -> "Source":
        """Return a source that ends with the line of an offset."""
        end = self.text.find("\n", offset)
        return self if end < 0 else Source(self.name, self.text[:end])

    def line_span(self, number: int) -> "Span":
        """Return the span of a line (from 1), without its end."""
        start = self._line_starts()[number - 1]
        return Span(self, start, start + len(self.line(number)))


def program_source(name: str, text: str) -> Source:
    """Return the text of a program as a source, without the byte-order mark that it may have."""
    return Source(name, text.removeprefix("\ufeff"))


class Span(NamedTuple):
    """The half-open range of characters [start, end) of a source."""

    source: Source
    start: int
    end: int

    @property
    def text(self) -> str:
        """Return the text that the span covers."""
        return self.source.text[self.start : self.end]

    @property
    def place(self) -> str:
        """Return where it begins: file, line and column."""
        line, column = self.source.position(self.start)
        return f"{self.source.name}:{line}:{column}"
