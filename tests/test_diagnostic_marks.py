"""Where the carets of a diagnostic go: below what they mark, in a line or in a window of it."""

import time

from tests.sample_diagnostics import at, error, shown
from tsdl.diagnostics import Label
from tsdl.diagnostics.text import render
from tsdl.source import Source


def test_mark_an_empty_span_gets_one_caret() -> None:
    assert shown("abc", 1) == [" 1 | abc", "   |  ^ here"]


def test_mark_the_end_of_a_line() -> None:
    assert shown("abc\nd", 3) == [" 1 | abc", "   |    ^ here"]


def test_mark_a_span_with_its_line_end_stays_on_its_line() -> None:
    assert shown("abc\nd\n", 0, 4) == [" 1 | abc", "   | ^^^ here"]


def test_mark_a_span_of_only_a_line_end() -> None:
    assert shown("abc\nd\n", 3, 4) == [" 1 | abc", "   |    ^ here"]


def test_mark_windows_line_ends() -> None:
    assert shown("abc\r\nd\r\n", 0, 5) == [" 1 | abc", "   | ^^^ here"]
    assert shown("abc\r\nd\r\n", 4, 5) == [" 1 | abc", "   |    ^ here"]


def test_mark_the_end_of_the_file() -> None:
    assert shown("abc", 3) == [" 1 | abc", "   |    ^ here"]
    assert shown("abc\n", 4) == [" 2 |", "   | ^ here"]
    assert shown("", 0) == []  # a whole file: its name says all


def test_mark_a_span_that_reaches_too_far_ends_with_the_file() -> None:
    assert shown("abc", 1, 99) == [" 1 | abc", "   |  ^^ here"]
    assert shown("abc", 50, 99) == [" 1 | abc", "   |    ^ here"]


def test_mark_the_indent_of_the_last_line_is_not_marked() -> None:
    assert shown("a {\n    b\n  }\n", 0, 13) == [
        " 1 | a {",
        "   | ^^^",
        "...",
        " 3 |   }",
        "   |   ^ here",
    ]


def test_mark_adjacent_lines_have_no_gap() -> None:
    assert shown("a {\n}\n", 2, 5) == [" 1 | a {", "   |   ^", " 2 | }", "   | ^ here"]


def test_mark_a_span_that_ends_in_a_blank_line() -> None:
    assert shown("a\n  \nb", 0, 5) == [" 1 | a", "   | ^", " 2 |", "   |  ^ here"]


def test_mark_tabs_go_to_the_next_stop() -> None:
    assert shown("\ta\tbc = 1", 3, 5) == [" 1 |     a   bc = 1", "   |         ^^ here"]
    assert shown("a\tb", 1, 2) == [" 1 | a   b", "   |  ^^^ here"]


def test_mark_wide_characters_take_two_cells() -> None:
    assert shown('"日本" = x', 1, 3) == [' 1 | "日本" = x', "   |  ^^^^ here"]
    assert shown('"日本" = x', 7, 8) == [' 1 | "日本" = x', "   |          ^ here"]


def test_mark_combining_characters_take_none() -> None:
    text = "e\u0301e\u0301 x"
    assert shown(text, 5, 6) == [f" 1 | {text}", "   |    ^ here"]
    assert shown(text, 0, 2) == [f" 1 | {text}", "   | ^ here"]
    assert shown(text, 2, 3) == [f" 1 | {text}", "   |  ^ here"]


def test_mark_a_combining_character_is_marked_under_its_base() -> None:
    assert shown("日\u0301x", 1, 2) == [" 1 | 日\u0301x", "   | ^^ here"]
    assert shown("\u0301x", 0, 1) == [" 1 | \u0301x", "   | ^ here"]


def test_mark_hangul_parts_take_the_cells_of_their_syllable() -> None:
    text = "\u1112\u1161\u11ab x"
    assert shown(text, 4, 5) == [f" 1 | {text}", "   |    ^ here"]


# A line that does not fit is cut to a window around the mark.


def test_long_line_in_the_middle() -> None:
    line, marks = shown("a" * 300 + "XYZ" + "b" * 300, 300, 303)
    assert line == " 1 | …" + "a" * 78 + "XYZ" + "b" * 79 + "…"
    assert marks == "   |  " + " " * 78 + "^^^ here"


def test_long_line_at_the_begin() -> None:
    assert shown("X" + "b" * 300, 0, 1) == [" 1 | X" + "b" * 159 + "…", "   | ^ here"]


def test_long_line_at_the_end() -> None:
    line, marks = shown("a" * 300 + "X", 301)
    assert line == " 1 | …" + "a" * 159 + "X"
    assert marks == "   |  " + " " * 160 + "^ here"


def test_long_line_a_mark_longer_than_the_window() -> None:
    line, marks = shown("a" * 300 + "X" * 300 + "b", 300, 600)
    assert line == " 1 | …" + "a" * 40 + "X" * 120 + "…"
    assert marks == "   |  " + " " * 40 + "^" * 120 + " here"


def test_long_line_a_mark_out_of_the_window_gets_its_own() -> None:
    source = Source("x.tsim", "X" + "a" * 400 + "Y" + "a" * 400)
    far = Label(at(source, "Y"), "there")
    assert render(error(at(source, "X"), secondary=(far,))).split("\n")[3:] == [
        " 1 | X" + "a" * 159 + "…",
        "   | ^ here",
        " 1 | …" + "a" * 79 + "Y" + "a" * 80 + "…",
        "   |  " + " " * 79 + "- there",
    ]


def test_long_line_as_long_as_fits_is_not_cut() -> None:
    assert shown("a" * 160, 160) == [" 1 | " + "a" * 160, "   | " + " " * 160 + "^ here"]


def test_long_line_a_pile_of_combining_characters_is_cut_too() -> None:
    line, _ = shown("e" + "\u0301" * 100_000, 0, 1)
    assert len(line) < 200


def test_long_line_a_huge_line_is_no_work() -> None:
    begin = time.perf_counter()
    shown("x" * 5_000_000, 2_500_000, 2_500_001)
    assert time.perf_counter() - begin < 5
