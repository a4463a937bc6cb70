"""Tokens of a line to its text: where a blank stands between two of them. Knows no line but one."""

from collections.abc import Sequence

from tsdl.parse.parser import Token

_OPERANDS = {"NAME", "NUMBER", "UNIT", "TEXT", "RPAR", "RSQB"}
_NO_BLANK_BEFORE = {")", "]", ",", ";", ":", ".", ".."}
_NO_BLANK_AFTER = {"(", "[", ".", ".."}
_BEFORE_ARGUMENTS = {"NAME", "RPAR", "RSQB", "EVERY"}  # `on every(5 s)`, as any other event


def spaced(tokens: Sequence[Token], before: Token | None = None) -> str:
    """Return tokens with the blanks between them; `before` is the one that the first follows."""
    written: list[str] = []
    glued = True
    for token in tokens:
        if not (glued or _joined(before, token)):
            written.append(" ")
        written.append(str(token))
        glued = token in _NO_BLANK_AFTER or _is_sign(before, token)
        before = token
    return "".join(written)


def _joined(before: Token | None, token: Token) -> bool:
    if token in ("(", "["):  # a call or an index, where it follows a value
        return before is not None and before.type in _BEFORE_ARGUMENTS
    return token in _NO_BLANK_BEFORE or (token == "}" and before == "{")


def _is_sign(before: Token | None, token: Token) -> bool:
    """Whether a `-` or `+` belongs to the value behind it alone."""
    return token in ("+", "-") and (before is None or before.type not in _OPERANDS)
