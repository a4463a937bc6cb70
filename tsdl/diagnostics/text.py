"""How a diagnostic looks on a terminal: the place in the source, marked, and what to do.

Sources are hostile until proven otherwise: nothing in them may move the cursor, change colours,
turn the writing direction or flood the screen, so every text passes through `visible` and every
source line through `_cut`. Terminals count cells, not characters: a tab fills up to the next stop,
a CJK character takes two cells, a combining one none, and the carets follow.
"""

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby

from msgspec import Struct

from tsdl.diagnostics import Diagnostic, Severity
from tsdl.diagnostics.codes import CATALOGUE
from tsdl.source import Source, Span

_TAB = 4
_WIDEST = 160
_CODES_NAMED = 5

_BOLD = "1"
_QUIET = "1;34"
_HELP = "1;36"
_STYLES = {Severity.ERROR: "1;31", Severity.WARNING: "1;33", Severity.NOTE: "1;32"}

_Paint = Callable[[str, str], str]


class _Mark(Struct, frozen=True):
    """A part of one line to underline: from a column (from 0) to one behind it."""

    source: Source
    line: int
    start: int
    end: int
    text: str
    primary: bool


def render(
    diagnostic: Diagnostic,
    color: bool = False,  # noqa: FBT001, FBT002 (the one switch there is)
) -> str:
    """Return a diagnostic as people read it, without a line end."""
    paint = _painted if color else _plain
    style = _STYLES[diagnostic.severity]
    head = paint(f"{diagnostic.severity}[{diagnostic.code}]", style)
    marks = _marks(diagnostic)
    digits = max((len(str(mark.line)) for mark in marks), default=1)
    lines = [head + paint(f": {visible(diagnostic.title)}", _BOLD)]
    lines += _snippets(diagnostic, marks, digits, paint)
    remarks = list(_remarks(diagnostic))
    if remarks and marks:
        lines.append(paint(f"{'':{digits}}  |", _QUIET))
    for kind, text in remarks:
        first, *others = text.split("\n")
        bullet = paint("=", _QUIET)
        lines.append(f"{'':{digits}}  {bullet} {paint(f'{kind}:', _HELP)} {visible(first)}")
        lines += [f"{'':{digits + 4}}{'':{len(kind) + 2}}{visible(other)}" for other in others]
    return "\n".join(line.rstrip() for line in lines)


def render_all(
    diagnostics: Sequence[Diagnostic],
    color: bool = False,  # noqa: FBT001, FBT002
    limit: int = 20,
) -> str:
    """Return the first diagnostics as people read them, and a last line that counts them all.

    Where not all fit under the limit, errors go before warnings: what stops the run is never the
    part that is left out. Those that are shown keep their order.
    """
    if not diagnostics:
        return ""
    severities = list(Severity)
    by_weight = sorted(
        range(len(diagnostics)), key=lambda index: severities.index(diagnostics[index].severity)
    )
    shown = [diagnostics[index] for index in sorted(by_weight[: max(limit, 0)])]
    blocks = [render(diagnostic, color) for diagnostic in shown]
    return "\n\n".join([*blocks, _summary(diagnostics, shown, _painted if color else _plain)])


def visible(text: str) -> str:
    """Return a text with a stand-in for each character that a terminal would obey, not show."""
    return text if text.isprintable() else "".join(map(_stand_in, text))


def _stand_in(character: str) -> str:
    if character < " ":
        return chr(0x2400 + ord(character))  # the picture of that control character
    if character == "\x7f":
        return "\u2421"
    # Other controls; invisible and direction-changing format characters; lone surrogates, which
    # no encoding can write; line and paragraph separators.
    hidden = unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
    return "\ufffd" if hidden else character


def _plain(text: str, _style: str) -> str:
    return text


def _painted(text: str, style: str) -> str:
    return f"\x1b[{style}m{text}\x1b[0m"


def _summary(diagnostics: Sequence[Diagnostic], shown: Sequence[Diagnostic], paint: _Paint) -> str:
    counts = [
        (severity, sum(found.severity is severity for found in diagnostics))
        for severity in Severity
    ]
    counts = [(severity, count) for severity, count in counts if count]
    worst = counts[0][0]
    told = ", ".join(f"{count} {severity}{'s' * (count > 1)}" for severity, count in counts)
    hidden = len(diagnostics) - len(shown)
    if hidden:
        told += f" ({hidden} more not shown)"
    summary = paint(f"{worst}:", _STYLES[worst]) + paint(f" {told}", _BOLD)
    by_weight = sorted(shown, key=lambda found: list(Severity).index(found.severity))
    codes = [code for code in dict.fromkeys(f.code for f in by_weight) if code in CATALOGUE]
    if not codes:
        return summary
    also = f" (also {', '.join(codes[1:_CODES_NAMED])})" if len(codes) > 1 else ""
    bullet = f"  {paint('=', _QUIET)} {paint('explain:', _HELP)}"
    return f"{summary}\n{bullet} tsdl explain {codes[0]}{also}"


def _remarks(diagnostic: Diagnostic) -> Iterator[tuple[str, str]]:
    for note in diagnostic.notes:
        yield "note", note
    for text in diagnostic.help:
        yield "help", text
    # A fix that no help line announces would otherwise be known to editors only.
    if diagnostic.fix and not diagnostic.help:
        yield "help", diagnostic.fix.title


def _marks(diagnostic: Diagnostic) -> list[_Mark]:
    """Return what is to be marked: the main source first, by line, the main mark before others."""
    marks: list[_Mark] = []
    if diagnostic.span:
        marks += _marks_of(diagnostic.span, diagnostic.label, primary=True)
    for label in diagnostic.secondary:
        marks += _marks_of(label.span, label.text, primary=False)
    order: dict[int, int] = {}
    for mark in marks:
        order.setdefault(id(mark.source), len(order))
    return sorted(
        marks, key=lambda mark: (order[id(mark.source)], mark.line, not mark.primary, mark.start)
    )


def _marks_of(span: Span, text: str, *, primary: bool) -> Iterator[_Mark]:
    """Yield one mark for a span within a line, two (first and last line) for a longer one."""
    source, size = span.source, len(span.source.text)
    start = min(max(span.start, 0), size)
    first, left = source.position(start)
    # The place of the last character, not behind it: a span that ends with a line's end does not
    # reach into the next line.
    last, right = source.position(max(start, min(span.end, size) - 1))
    content = source.line(first)
    left = min(left - 1, len(content))  # less only between the two characters of a `\r\n`
    if first == last:
        end = min(right, len(content)) if span.end > span.start else left
        yield _Mark(source, first, left, max(end, left + 1), text, primary)
        return
    yield _Mark(source, first, left, max(len(content), left + 1), "", primary)
    content = source.line(last)
    end = min(right, len(content))
    indent = min(len(content) - len(content.lstrip()), max(end - 1, 0))
    yield _Mark(source, last, indent, max(end, indent + 1), text, primary)


def _snippets(
    diagnostic: Diagnostic, marks: Iterable[_Mark], digits: int, paint: _Paint
) -> Iterator[str]:
    """Yield the marked lines, source by source, each under its name and place."""
    arrow, gutter = "-->", paint(f"{'':{digits}}  |", _QUIET)
    for _, group in groupby(marks, key=lambda mark: id(mark.source)):
        here = list(group)
        source = here[0].source
        line, column = _place(diagnostic, here)
        if arrow == ":::":
            yield gutter
        name = f"{'':{digits + 1}}{paint(arrow, _QUIET)} {visible(source.name)}"
        if diagnostic.span and here[0].primary and diagnostic.span.end == 0:
            yield name  # the start of a file stands for all of it
            continue
        yield f"{name}:{line}:{column}"
        yield gutter
        before = 0
        for number, on_line in groupby(here, key=lambda mark: mark.line):
            if before and number > before + 1:
                yield paint("...", _QUIET)
            before = number
            margin = paint(f" {number:>{digits}} |", _QUIET)
            yield from _marked(list(on_line), margin, gutter, _STYLES[diagnostic.severity], paint)
        arrow = ":::"


def _place(diagnostic: Diagnostic, marks: Sequence[_Mark]) -> tuple[int, int]:
    """Return line and column that stand for a source: of the main span, else of the first mark."""
    span = diagnostic.span
    if span and span.source is marks[0].source:
        return span.source.position(min(max(span.start, 0), len(span.source.text)))
    return marks[0].line, marks[0].start + 1


def _marked(
    marks: Sequence[_Mark], margin: str, gutter: str, style: str, paint: _Paint
) -> Iterator[str]:
    """Yield a line and under it its marks; again for the marks that the cut line does not show."""
    line = marks[0].source.line(marks[0].line)
    while marks:
        left, right = _cut(line, marks[0])
        shown, cells = _cells(line, left, right)
        yield f"{margin} {shown}"
        later: list[_Mark] = []
        for mark in marks:
            if mark.start < left or mark.start > right or mark.start == right < len(line):
                later.append(mark)
                continue
            begin = cells[mark.start - left][0]
            end = cells[min(mark.end, right + (right == len(line))) - left - 1][1]
            sign, paint_style = ("^", style) if mark.primary else ("-", _QUIET)
            text = sign * max(1, end - begin)
            if mark.text:
                text += f" {visible(mark.text)}"
            yield f"{gutter} {'':{begin}}{paint(text, paint_style)}"
        marks = later


def _cut(line: str, mark: _Mark) -> tuple[int, int]:
    """Return which part of a line to show: all of it, or a window in which a mark begins."""
    if len(line) <= _WIDEST:
        return 0, len(line)
    lead = max(_WIDEST // 4, (_WIDEST - (mark.end - mark.start)) // 2)
    left = min(max(0, mark.start - lead), len(line) - _WIDEST)
    return left, left + _WIDEST


def _cells(line: str, left: int, right: int) -> tuple[str, list[tuple[int, int]]]:
    """Return part of a line as shown, and from where to where each of its characters goes.

    After the last character comes one more place: that of a mark behind the end of the line.
    """
    shown = ["…"] if left else []
    begin = end = len(shown)
    places: list[tuple[int, int]] = []
    for character in line[left:right]:
        stop = _TAB - end % _TAB
        piece = " " * stop if character == "\t" else visible(character)
        width = stop if character == "\t" else _width(piece)
        if width:  # else it sits on the character before it, and is marked there
            begin, end = end, end + width
        places.append((begin, end))
        shown.append(piece)
    places.append((end, end + 1))
    if right < len(line):
        shown.append("…")
    return "".join(shown), places


def _width(character: str) -> int:
    if character.isascii():
        return 1
    joining = "\u1160" <= character <= "\u11ff"  # Hangul vowels and finals join the letter before
    if joining or unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
