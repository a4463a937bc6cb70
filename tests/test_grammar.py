"""The grammar: nothing in it is ambiguous, and all that is shipped can be read by it."""

import random
from pathlib import Path
from typing import Any

import pytest
from lark import Lark
from lark.lexer import ContextualLexer

from tsdl._resources import grammar_words, library_files
from tsdl.diagnostics import Sink
from tsdl.diagnostics.text import render_all
from tsdl.parse import parse
from tsdl.parse.parser import UnexpectedInput, _kept_parser, new_parser
from tsdl.schema import KINDS
from tsdl.source import Source

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
FILES = [
    *library_files(),
    *((path.name, path.read_text("utf-8")) for path in sorted(EXAMPLES.glob("*.tsim"))),
]


def test_nothing_is_ambiguous() -> None:
    new_parser(strict=True)  # raises where two readings are possible


PARTS = (
    *("if ", "from", "to", "in", "for", "step", "where", "let x", "not", "%", "µs", "req/s", "m^2"),
    *("*", "**", "/", "//", "=", "==", "<=", "..", ".", ",", ":", ";", "(", ")", "{", "}", "["),
    *("1", "2.5e3", "x", '"', '"t"', "#", "## doc", "\n", "\r\n", "\r", " ", "\t", "é", "$"),
)  # fmt: skip


def tokens(parser: Lark, text: str) -> list[Any]:
    """Return all that is known of the tokens of a text, up to the first mistake, and of that."""
    found: list[Any] = []
    try:
        for token in parser.parse_interactive(text).iter_parse():
            place = (token.start_pos, token.end_pos, token.line, token.column)
            found.append((token.type, str(token), *place, token.end_line, token.end_column))
    except UnexpectedInput as error:
        found += [type(error), sorted(str(error).splitlines())]
    return found


def test_one_scan_finds_what_the_lexer_of_lark_finds() -> None:
    ours, theirs = _kept_parser(lambda comment: comment), new_parser()
    assert isinstance(theirs.parser.lexer.lexer, ContextualLexer)
    assert not isinstance(ours.parser.lexer.lexer, ContextualLexer)
    chance = random.Random(5)
    for _, text in FILES:
        assert tokens(ours, text) == tokens(theirs, text)
        for _ in range(8):
            start = chance.randrange(len(text))
            piece = text[start : start + 300]
            for _ in range(chance.randrange(3)):
                place = chance.randrange(len(piece) + 1)
                piece = piece[:place] + chance.choice(PARTS) + piece[place + chance.randrange(2) :]
            assert tokens(ours, piece) == tokens(theirs, piece)


def test_no_state_takes_names_and_units() -> None:
    """One scan takes for a name what Lark would have to choose for."""
    states = new_parser().parser.parser._parse_table.states.values()
    assert any("UNIT" in accepted for accepted in states)
    assert not any({"UNIT", "NAME"} <= set(accepted) for accepted in states)


def test_no_kind_of_block_is_a_word_of_the_grammar() -> None:
    words = set(grammar_words())
    assert "where" in words  # so that an empty set of words does not pass
    assert not words & set(KINDS)


@pytest.mark.parametrize(("name", "text"), FILES, ids=[name for name, _ in FILES])
def test_what_is_shipped_can_be_read(name: str, text: str) -> None:
    sink = Sink()
    file = parse(Source(name, text), sink)
    assert not sink.found, render_all(sink.sorted())
    assert file.items


def test_doc_comments_above_an_item_are_its_own() -> None:
    text = "## one\n## two\na {}  ## behind\nb {}\n## three\n\nc {}\n## four\n; d {}\n"
    items = parse(Source("docs", text), Sink()).items
    assert [getattr(item, "doc", None) for item in items] == ["one\ntwo", "", "", ""]
