"""Lines to text: what stands below each other is aligned. Knows fields, nodes and blocks of a line.

A line is cut into cells, each with a label. Neighbours that are cut at the same labels have what
follows a cell at the same column, unless that takes a line beyond the width which fits without.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

from tsdl.formatting.lines import CLOSING, OPENING, Line
from tsdl.formatting.spacing import spaced
from tsdl.parse.parser import Token

WIDTH = 120
_INDENT = "  "
Cells = list["Cell"]
_OF_TARGETS = {"NAME", "DOT", "LPAR", "RPAR", "LSQB", "RSQB"}


class Cell(NamedTuple):
    """A part of a line that may be padded; cells of one label stand below each other."""

    label: str
    text: str


def written(lines: list[Line]) -> str:
    """Return the text of all lines."""
    texts: list[str] = []
    for run in _runs(lines):
        both = zip(run, _aligned(run), strict=True)
        for _, group in groupby(both, key=lambda line: line[0].level):
            texts += _with_comments(list(group))
    return "".join(f"{text}\n" for text in texts)


def _runs(lines: list[Line]) -> Iterator[list[Line]]:
    """Divide lines into neighbours that may be aligned; what continues one is with it."""
    run: list[Line] = []
    head: Line | None = None
    for line in lines:
        near = head is not None and head.whole and line.whole and head.level == line.level
        if run and not line.continues and (line.gap or not near):
            yield run
            run = []
        run.append(line)
        head = head if line.continues else line
    if run:
        yield run


def _aligned(run: list[Line]) -> list[str]:
    """Return the texts of lines, without their comments."""
    texts = [_indented(line, spaced(line.tokens, line.follows)) for line in run]
    heads = [(place, _cells(line)) for place, line in enumerate(run) if not line.continues]
    for _, group in groupby(heads, key=lambda head: head[1][0].label):
        places, rows = zip(*group, strict=True)
        plain = [texts[place] for place in places]
        for columns in range(max(map(len, rows)) - 1, 0, -1):
            found = [_indented(run[0], text) for text in _padded(rows, columns)]
            both = zip(found, plain, strict=True)
            if all(len(new) <= WIDTH or len(old) > WIDTH for new, old in both):
                for place, text in zip(places, found, strict=True):
                    texts[place] = text
                break
    return texts


def _indented(line: Line, text: str) -> str:
    return _INDENT * line.level + text


def _padded(rows: Sequence[Cells], columns: int) -> list[str]:
    """Return the texts of rows, of which the first so many columns are aligned."""
    widths: dict[tuple[str, ...], int] = {}
    for row in rows:
        for place, cell in enumerate(row[:-1][:columns]):
            labels = tuple(label for label, _ in row[: place + 2])
            widths[labels] = max(widths.get(labels, 0), len(cell.text))
    texts = []
    for row in rows:
        text = ""
        for place, cell in enumerate(row[:-1]):
            labels = tuple(label for label, _ in row[: place + 2])
            padded = cell.text.ljust(widths.get(labels, 0))
            text += f"{padded} " if padded else ""
        texts.append(text + row[-1].text)
    return texts


def _with_comments(found: list[tuple[Line, str]]) -> list[str]:
    """Return the texts of lines with their comments, which stand below each other."""
    column = max((len(text) for line, text in found if line.comment), default=0)
    for line, text in found:
        if len(text) + 2 + len(line.comment) <= WIDTH < column + 2 + len(line.comment):
            column = 0
    texts = []
    for line, text in found:
        behind = bool(line.comment and line.tokens)
        gap = "\n" if line.gap else ""
        texts.append(gap + (f"{text.ljust(column)}  " if behind else text) + line.comment)
    return texts


# -- cells -------------------------------------------------------------------------------------


def _cells(line: Line) -> Cells:
    """Cut a line at what is aligned: the value of a field or node; count and body of a block."""
    tokens, before = line.tokens, line.follows
    outer = list(_outer(tokens))
    marks = [str(tokens[place]) for place in outer]
    if line.whole and ";" not in marks:
        equal = outer[marks.index("=")] if "=" in marks else 0
        if _is_target(tokens[:equal]):
            return _cut(tokens, before, [("field", 0), ("=", equal)])
        if marks[1:2] == [":"]:
            return _cut(tokens, before, [("node", 0), (":", 2)])
        if marks[-1:] == ["}"] and marks.count("{") == 1:
            return _block(tokens, outer)
    return _cut(tokens, before, [("", 0)])


def _block(tokens: list[Token], outer: list[int]) -> Cells:
    """Cut a block on one line: `kind name * count { …; … }`."""
    body = next(place for place in outer if tokens[place] == "{")
    count = next((place for place in outer if tokens[place] == "*" and place < body), body)
    head = tokens[:count]
    verb, *names = head
    if len(names) > 1 or any(token.type != "NAME" for token in head):
        return _cut(tokens, None, [("", 0)])
    cuts = [(f"block {verb}" if names else "block", 0), ("*", count), ("{", body)]
    inner = tokens[body + 1 : -1]
    first = inner[0] if inner else ""
    for place in _outer(inner):
        if inner[place] == ";":
            following = inner[place + 1]
            cuts.append((f"{verb} {first};{following}", body + 1 + place + 1))
            first = following
    return _cut(tokens, None, cuts)


def _cut(tokens: list[Token], before: Token | None, cuts: Sequence[tuple[str, int]]) -> Cells:
    """Return the cells that begin at places, each given with its label; `before` is before all."""
    ends = [place for _, place in cuts[1:]] + [len(tokens)]
    return [
        Cell(label, spaced(tokens[start:end], tokens[start - 1] if start else before))
        for (label, start), end in zip(cuts, ends, strict=True)
    ]


def _is_target(tokens: list[Token]) -> bool:
    """Whether tokens are the target of a field: a name, a path, or a name with parameters."""
    types = [tokens[place].type for place in _outer(tokens)]
    return bool(types) and {*types} <= _OF_TARGETS and ("NAME", "NAME") not in pairwise(types)


def _outer(tokens: list[Token]) -> Iterator[int]:
    """Yield the places of the tokens outside of brackets, and of the outermost brackets."""
    depth = 0
    for place, token in enumerate(tokens):
        depth -= token in CLOSING
        if depth == 0:
            yield place
        depth += token in OPENING
