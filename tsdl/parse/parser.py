"""Text to Lark's tree and back to the place of a mistake. The only file that runs Lark."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from tsdl._resources import grammar_text

_OPEN = {"LPAR": "(", "LSQB": "[", "LBRACE": "{"}
_CLOSE = {"RPAR": "(", "RSQB": "[", "RBRACE": "{"}


class _LineEnds:
    """Drops line ends inside ( ) and [ ], where a line break means nothing."""

    always_accept = ("_NL",)

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        """Pass on the tokens that count."""
        open_brackets: list[str] = []
        for token in stream:
            if token.type in _OPEN:
                open_brackets.append(_OPEN[token.type])
            elif token.type in _CLOSE:
                if open_brackets:
                    open_brackets.pop()
            elif token.type == "_NL" and open_brackets and open_brackets[-1] != "{":
                continue
            yield token


def new_parser(*, strict: bool = False, comments: list[Token] | None = None) -> Lark:
    """Build a parser; a strict one refuses any ambiguity (needs the package interegular)."""
    found: list[Token] = [] if comments is None else comments

    def keep(token: Token) -> Token:
        found.append(token)
        return token

    return Lark(
        grammar_text(),
        parser="lalr",
        strict=strict,
        postlex=_LineEnds(),
        propagate_positions=True,
        maybe_placeholders=False,
        lexer_callbacks={"COMMENT": keep},
    )


@cache
def _shared() -> tuple[Lark, list[Token]]:
    comments: list[Token] = []
    return new_parser(comments=comments), comments


def parse_text(text: str) -> tuple[Tree[Any], list[Token]]:
    """Parse a whole file; return the tree and the comments. Raises Lark's UnexpectedInput."""
    parser, comments = _shared()
    comments.clear()
    tree = parser.parse(text)
    return tree, list(comments)


__all__ = ["Token", "Tree", "UnexpectedCharacters", "UnexpectedInput", "UnexpectedToken"]
