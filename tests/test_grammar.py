"""The grammar: nothing in it is ambiguous, and all that is shipped can be read by it."""

from pathlib import Path

import pytest

from tsdl._resources import grammar_words, library_files
from tsdl.diagnostics import Sink
from tsdl.diagnostics.text import render_all
from tsdl.parse import parse
from tsdl.parse.parser import new_parser
from tsdl.schema import KINDS
from tsdl.source import Source

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
FILES = [
    *library_files(),
    *((path.name, path.read_text("utf-8")) for path in sorted(EXAMPLES.glob("*.tsim"))),
]


def test_nothing_is_ambiguous() -> None:
    new_parser(strict=True)  # raises where two readings are possible


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
