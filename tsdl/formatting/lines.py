"""Tokens to lines: which stand together, how deep, and after an empty one. Knows no blanks in them.

Lines begin where they were begun. Only a block that is not written on one line gets lines of its
own for its braces, and a semicolon goes that separates nothing.
"""

from collections.abc import Sequence
from itertools import zip_longest

from msgspec import Struct

from tsdl.parse.parser import Token

OPENING = ("{", "(", "[")
CLOSING = ("}", ")", "]")


class Line(Struct):
    """A line: its tokens, the comment behind them, its level, and whether an empty one is before.

    `follows` is the last token before it. `continues` says that it begins inside ( ) or [ ],
    `whole` that it begins with an item and ends outside of any block that it opens.
    """

    tokens: list[Token]
    comment: str
    level: int
    gap: bool
    follows: Token | None
    continues: bool
    whole: bool


def lines_of(tokens: Sequence[Token]) -> list[Line]:
    """Divide the tokens of a file, its comments among them, into lines."""
    kept = _without_idle_marks([token for token in tokens if token.type != "_NL"])
    breaks, joins = _around_blocks(kept)
    lines: list[Line] = []
    opened: list[tuple[Token, int]] = []  # brackets, and the level of what each belongs to
    last: Token | None = None
    level = 0
    for place, token in enumerate(kept):
        rows = _row(token) - _row(kept[place - 1]) if place else 0
        closing = token in CLOSING
        if not lines or place in breaks or (rows and place not in joins):
            level = opened[-1][1] + (not closing) if opened else 0
            just_opened = last is not None and last in OPENING and not lines[-1].comment
            gap = rows > 1 and not closing and not just_opened
            continues = bool(opened) and opened[-1][0] != "{"
            whole = not (closing or continues or _is_comment(token))
            lines.append(Line([], "", level, gap, last, continues, whole))
        line = lines[-1]
        if _is_comment(token):
            line.comment = token.rstrip()
            continue
        line.tokens.append(token)
        last = token
        if token in OPENING:
            opened.append((token, level))
        elif closing:
            level = opened.pop()[1]
    for line in lines:
        marks = [str(token) for token in line.tokens]
        line.whole = line.whole and marks.count("{") == marks.count("}")
    return lines


def _without_idle_marks(tokens: list[Token]) -> list[Token]:
    """Leave out semicolons that separate nothing: beside a line end, a brace or another one.

    At the start of a line one stays beside a doc comment: it keeps that from what follows.
    """
    kept: list[Token] = []
    for token, following in zip_longest(tokens, tokens[1:]):
        if token == ";":
            before = kept[-1] if kept else None
            first = before is None or _row(before) < _row(token)
            last = following is None or _row(following) > _row(token) or following in ("}", ";")
            parts = first and following != ";" and (_documents(before) or _documents(following))
            if not parts and (first or last or before == "{" or _is_comment(following)):
                continue
        kept.append(token)
    return kept


def _is_comment(token: Token | None) -> bool:
    return token is not None and token.type == "COMMENT"


def _documents(token: Token | None) -> bool:
    return token is not None and token.startswith("##")


def _around_blocks(tokens: list[Token]) -> tuple[set[int], set[int]]:
    """Return the places at which a line begins because of a brace, and those at which none does."""
    breaks: set[int] = set()
    joins: set[int] = set()
    opened: list[int] = []
    for place, token in enumerate(tokens):
        if token == "{":
            opened.append(place)
        elif token == "}":
            start = opened.pop()
            if place == start + 1:
                joins.add(place)
            elif _row(tokens[start]) < _row(token):
                breaks.add(place)
                if tokens[start + 1].type != "COMMENT":
                    breaks.add(start + 1)
    return breaks, joins


def _row(token: Token) -> int:
    assert token.line is not None
    return token.line
