"""What a diagnostic repeats of a source is short, and nothing in it may steer the terminal."""

import random
from textwrap import dedent

import pytest

from tests.sample_diagnostics import error, shown
from tsdl.diagnostics import Diagnostic, Fix, Label, Severity
from tsdl.diagnostics.export import FORMATS
from tsdl.diagnostics.text import render, render_all, visible
from tsdl.source import Source, Span

# What a text repeats of a source is short.


def test_long_words_are_cut_wherever_they_are_told() -> None:
    word = "a" * 5_000_000
    short = f"`{'a' * 159}…{'a' * 39}`"
    told = f"no `{word}`"
    place = Span(Source("x.tsim", ""), 0, 0)
    found = Diagnostic(
        "E0401", Severity.ERROR, told, place, told,
        secondary=(Label(place, told),), notes=(told,), help=(told,), fix=Fix(told, ()),
    )  # fmt: skip
    texts = [found.title, found.label, *found.notes, *found.help, found.secondary[0].text]
    assert [*texts, found.fix.title if found.fix else ""] == [f"no {short}"] * 6


def test_long_texts_are_cut() -> None:
    assert error(None, title="a " * 5_000).title == "a " * 2_000 + "…"


def test_texts_as_long_as_people_write_them_are_not_cut() -> None:
    usual = "`" + "a" * 238 + "` " + "word " * 700
    assert error(None, title=usual).title == usual


# Nothing in a source may steer the terminal.


def test_hostile_controls_get_pictures() -> None:
    assert shown("a\x1b[2Jb\x00\x7f\rc", 5, 6) == [" 1 | a␛[2Jb␀␡␍c", "   |      ^ here"]


def test_hostile_what_is_invisible_gets_a_stand_in() -> None:
    # C1 control, right-to-left override, zero width space, byte order mark, line separator
    hidden = "\x9b\u202e\u200b\ufeff\u2028"
    assert shown(hidden + "x", 5, 6) == [" 1 | �����x", "   |      ^ here"]


def test_hostile_a_lone_surrogate_can_be_written() -> None:
    assert visible("a\udc80b") == "a�b"


def test_hostile_harmless_text_stays() -> None:
    assert visible("naïve “日本” e\u0301 \u00a0…") == "naïve “日本” e\u0301 \u00a0…"


def test_hostile_titles_labels_remarks_and_names_are_replaced_too() -> None:
    source = Source("a\x1b]0;b\x07.tsim", "x")
    span = Span(source, 0, 1)
    found = Diagnostic(
        "E0101",
        Severity.ERROR,
        "no `\x1b[31m\n`",
        span,
        "\x1b",
        (Label(span, "\x1b"),),
        ("\x1b",),
        ("\x1b\n\x1b",),
    )
    expected = """
        error[E0101]: no `␛[31m␊`
          --> a␛]0;b␇.tsim:1:1
           |
         1 | x
           | ^ ␛
           | - ␛
           |
           = note: ␛
           = help: ␛
                   ␛
        """
    assert render(found) == dedent(expected).strip("\n")


@pytest.mark.parametrize("seed", range(40))
def test_hostile_any_text_and_any_spans(seed: int) -> None:
    chance = random.Random(seed)
    letters = "ab \t\n\r\x1b\x00\x9b\u202e\u0301\u200b日\udc80é{}…\U0001f600\u1161"
    for _ in range(25):
        size = chance.choice((0, 1, 5, 40, 700))
        sources = [
            Source(
                chance.choice(("a", "日\n", "%\udc80")),
                "".join(chance.choices(letters, k=size)),
            )
            for _ in range(2)
        ]

        def span(sources: list[Source] = sources, size: int = size) -> Span:
            start = chance.randint(-1, size + 1)
            return Span(chance.choice(sources), start, start + chance.choice((0, 1, 3, 300)))

        text = "".join(chance.choices(letters, k=5))
        label = Label(span(), text)
        found = Diagnostic("E0101", Severity.ERROR, text, span(), text, (label,) * 2, (text,))
        lines = render_all([found]).split("\n")
        assert all(visible(line) == line for line in lines)
        assert max(map(len, lines)) < 700
        "\n".join(lines).encode("utf-8")
        for name, export in FORMATS.items():
            exported = export([found])
            assert name in ("json", "sarif") or visible(exported) == exported
            assert name not in ("json", "sarif") or exported.isascii()
