"""Pygments colours TSDL: nothing is left uncoloured, and the words are those of the language."""

from collections.abc import Iterator
from importlib.metadata import entry_points
from itertools import chain
from pathlib import Path

import pytest

from tsdl._resources import library_files
from tsdl.schema import ACTIONS, KINDS

pygments = pytest.importorskip("pygments", reason="Pygments is not installed")

from pygments.token import Error, Keyword, Name, String  # noqa: E402

from tsdl.lexer import TsdlLexer  # noqa: E402

EXAMPLES = sorted((Path(__file__).resolve().parents[1] / "examples").glob("*.tsim"))
FILES = [text for _, text in library_files()] + [path.read_text("utf-8") for path in EXAMPLES]


def coloured(text: str) -> Iterator[tuple[object, str]]:
    return ((kind, value) for kind, value in TsdlLexer(stripnl=False).get_tokens(text))


def of(text: str, kind: object) -> list[str]:
    return [value for found, value in coloured(text) if found is kind]


def test_nothing_that_is_shipped_is_an_error() -> None:
    for text in FILES:
        assert "".join(value for _, value in coloured(text)) == text
        assert of(text, Error) == []


def test_every_kind_and_action_is_a_keyword_where_an_item_begins() -> None:
    for word in (*KINDS, *ACTIONS, "param"):
        assert of(f"{word} x\n", Keyword.Declaration) == [word]
        assert of(f"{word} = x\n", Name.Attribute) == [word]


def test_units_are_those_of_the_library() -> None:
    text = "param a = 80 GiB + 2 req/s * [1, 2] ms / 3 wishes - 50 % + 1 B/s^2\n"
    assert of(text, Keyword.Type) == ["GiB", "req/s", "ms", "%", "B/s^2"]
    every = set(chain.from_iterable(of(text, Keyword.Type) for text in FILES))
    assert {"TFLOPS", "USD", "tokens", "us"} <= every


def test_words_are_told_apart() -> None:
    text = "## d\non arrive(r) { let w = pick(v by v.id for v in workers if true) }\n"
    text += 'expect p99(ttft) > "x"\n'
    assert of(text, Keyword) == ["let", "by", "for", "in", "if"]
    assert of(text, Keyword.Declaration) == ["on", "expect"]
    assert of(text, Keyword.Constant) == ["true"]
    assert of(text, Name.Builtin) == ["pick"]
    assert of(text, Name.Builtin.Pseudo) == ["ttft"]
    assert of(text, String.Doc) == ["## d"]
    assert of(text, String.Double) == ['"x"']


def test_a_word_may_be_a_name_elsewhere() -> None:
    text = "param step = 3\nparam table = step\n"
    assert of(text, Keyword) == []
    assert of(text, Name) == ["step", "table", "step"]


def test_pygments_finds_it_by_name() -> None:
    found = [point for point in entry_points(group="pygments.lexers") if point.name == "tsdl"]
    if not found:
        pytest.skip("the package is not installed, or was before it had this lexer")
    assert found[0].load() is TsdlLexer
