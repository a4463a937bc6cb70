"""Text to Lark's tree and back to the place of a mistake. The only file that runs Lark."""

import io
import pickle
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from operator import itemgetter
from threading import Lock
from typing import Any

from lark import Lark, Token
from lark import Tree as LarkTree
from lark import __version__ as lark_version
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken
from lark.grammar import Rule
from lark.lexer import PatternRE, PatternStr, TerminalDef

from tsdl import _cache
from tsdl._resources import grammar_text, parser_code
from tsdl.parse.scan import WORD_END, OneScan


class Tree(LarkTree[Any]):
    """What a rule has found, and its place: from the first of its tokens to the last, if any."""

    children: list[Any]
    start_pos: int | None = None
    end_pos: int | None = None


_Build = Callable[[list[Any]], Tree]

_OPEN = {"LPAR": "(", "LSQB": "[", "LBRACE": "{"}
_OURS = {"postlex", "lexer_callbacks", "edit_terminals"}  # options that are code
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


def _whole_word(terminal: TerminalDef) -> None:
    """Have a word of the grammar end where the word ends: `ifx` is a name, also where none fits."""
    word = terminal.pattern.value
    if isinstance(terminal.pattern, PatternStr) and word.isalpha():
        terminal.pattern = PatternRE(word + WORD_END)
        terminal.priority = 1  # before NAME, which fits as well


@cache
def _unit() -> re.Pattern[str]:
    """Return what the grammar says of units; `*`, `/` and `^` make one of others."""
    found = re.search(r"^UNIT: /(.*)/$", grammar_text(), re.MULTILINE)
    assert found is not None
    return re.compile(found[1])


def is_unit(text: str) -> bool:
    """Tell whether a text can be written as a unit that is no product or power of others."""
    return not set("*/^") & set(text) and _unit().fullmatch(text) is not None


def new_parser(*, strict: bool = False) -> Lark:
    """Build a parser; a strict one refuses any ambiguity (needs the package interegular)."""
    return Lark(
        grammar_text(),
        parser="lalr",
        strict=strict,
        postlex=_LineEnds(),
        edit_terminals=_whole_word,
        maybe_placeholders=False,
    )


class _Same(Rule):
    """A rule that equals only itself. Lark compares rules in Python, at each step of a parse."""

    __slots__ = ()
    __eq__ = object.__eq__
    __hash__ = object.__hash__


def _note_places(parser: Lark) -> None:
    """Have each tree know where it starts and ends (Lark can, with more than that, and slower).

    Half of the rules only pass on their child, since precedence is of rules: nothing is new there.
    """
    for rule in parser.rules:
        build = parser._callbacks.pop(rule)
        rule.__class__ = _Same
        only = rule.expansion[0] if len(rule.expansion) == 1 else None
        passes = rule.options.expand1 and rule.alias is None
        if passes and only is not None and not only.is_term and not only.name.startswith("_"):
            parser._callbacks[rule] = itemgetter(0)
        else:
            parser._callbacks[rule] = _with_place(build)


def _with_place(build: _Build) -> _Build:
    """Return what builds a tree and notes its place: from the first of its children to the last."""

    def placed(children: list[Any]) -> Tree:
        tree = build(children)
        for child in children:
            if child.start_pos is not None:
                tree.start_pos = child.start_pos
                break
        for child in reversed(children):
            if child.end_pos is not None:
                tree.end_pos = child.end_pos
                break
        return tree

    return placed


class _Plain(pickle.Unpickler):
    """Reads plain data: numbers, texts, lists, dictionaries. No byte of it is run."""

    def find_class(self, module: str, name: str) -> object:
        raise pickle.UnpicklingError(f"{module}.{name} is no plain data")


def _with_tables(written: bytes, keep: Callable[[Token], Token]) -> Lark:
    """Return a parser of tables that Lark wrote, as the modules do that Lark writes."""
    tables = _Plain(io.BytesIO(written)).load()
    parser: Lark = Lark._load_from_dict(  # type: ignore[no-untyped-call]
        **tables,
        tree_class=Tree,
        postlex=_LineEnds(),
        lexer_callbacks={"COMMENT": keep},
        _plugins={"ContextualLexer": OneScan},
    )
    _note_places(parser)
    return parser


@cache
def origin() -> str:
    """Return a digest of all that a tree comes from, but for its text."""
    return _cache.digest(lark_version, grammar_text(), *parser_code()).hex()


def _kept_parser(keep: Callable[[Token], Token]) -> Lark:
    """Return a parser, of tables that were computed before if they were."""
    key = _cache.digest(origin())
    kept = _cache.load("grammar", key)
    if kept is not None:
        with suppress(Exception):  # whoever made them, they are as good as none
            return _with_tables(kept, keep)
    written = io.BytesIO()
    new_parser().save(written, exclude_options=_OURS)
    _cache.save("grammar", key, written.getvalue())
    return _with_tables(written.getvalue(), keep)


_PARSING = Lock()  # one thread at a time: they share the parser, and where it puts comments


@cache
def _shared() -> tuple[Lark, list[Token]]:
    comments: list[Token] = []

    def keep(comment: Token) -> Token:
        comments.append(comment)
        return comment

    return _kept_parser(keep), comments


def parse_text(text: str) -> tuple[Tree, list[Token]]:
    """Parse a whole file; return the tree and the comments. Raises Lark's UnexpectedInput."""
    parser, comments = _shared()
    with _PARSING:
        comments.clear()
        tree: Any = parser.parse(text)
        return tree, list(comments)


def tokens_of(text: str) -> list[Token]:
    """Return the tokens of a file without mistakes, comments among them, in their order.

    Which words are names and which are units is known only while the text is parsed.
    """
    parser, comments = _shared()
    with _PARSING:
        comments.clear()
        tokens = list(parser.parse_interactive(text).iter_parse())
        return sorted([*tokens, *comments], key=lambda token: token.start_pos or 0)


__all__ = ["Token", "Tree", "UnexpectedCharacters", "UnexpectedInput", "UnexpectedToken"]
