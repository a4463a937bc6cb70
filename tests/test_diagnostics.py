"""What a diagnostic looks like, on a terminal and to programs; which names are suggested."""

import json
import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from tsdl.diagnostics import Diagnostic, Edit, Fix, Label, Severity, Sink, codes
from tsdl.diagnostics.codes import CATALOGUE, explanation
from tsdl.diagnostics.export import FORMATS, concise, github, json_text, sarif
from tsdl.diagnostics.suggest import close, nearest
from tsdl.diagnostics.text import render, render_all, visible
from tsdl.source import Source, Span

NODE = Source(
    "node.tsim",
    "hardware A100 {\n  compute = 312 TFLOP/s\n\n  memory { bandwidth = 2.039 TB }\n}\n",
)
LIBRARY = Source("lib/units.tsim", "# units\nunit TB = 1000 GB\n")


def at(source: Source, text: str) -> Span:
    start = source.text.index(text)
    return Span(source, start, start + len(text))


def error(
    span: Span | None,
    label: str = "here",
    *,
    secondary: tuple[Label, ...] = (),
    title: str = "wrong",
) -> Diagnostic:
    return Diagnostic("E0301", Severity.ERROR, title, span, label, secondary)


def shown(source: str, start: int, end: int | None = None, label: str = "here") -> list[str]:
    """Return what is shown below the place: the marked lines and their marks."""
    span = Span(Source("x.tsim", source), start, start if end is None else end)
    return render(error(span, label)).split("\n")[3:]


BANDWIDTH = Diagnostic(
    "E0301",
    Severity.ERROR,
    "`memory.bandwidth` is bytes per second, this is bytes",
    at(NODE, "2.039 TB"),
    "a size (bytes)",
    help=("did you mean `2.039 TB/s`?",),
    fix=Fix("write `2.039 TB/s`", (Edit(at(NODE, "2.039 TB"), "2.039 TB/s"),)),
)
WARNING = Diagnostic(
    "W9901", Severity.WARNING, "this hardware is never used", at(NODE, "A100"), "declared here"
)
PLACELESS = Diagnostic("E0101", Severity.ERROR, "no such file", None, help=("create it",))


def expect(diagnostic: Diagnostic, text: str) -> None:
    assert render(diagnostic) == dedent(text).strip("\n")


# One diagnostic on a terminal.


def test_text_the_example_of_the_language() -> None:
    expect(
        BANDWIDTH,
        """
        error[E0301]: `memory.bandwidth` is bytes per second, this is bytes
          --> node.tsim:4:24
           |
         4 |   memory { bandwidth = 2.039 TB }
           |                        ^^^^^^^^ a size (bytes)
           |
           = help: did you mean `2.039 TB/s`?
        """,
    )


def test_text_without_label_notes_and_help() -> None:
    expect(
        Diagnostic("W9901", Severity.WARNING, "this hardware is never used", at(NODE, "A100")),
        """
        warning[W9901]: this hardware is never used
          --> node.tsim:1:10
           |
         1 | hardware A100 {
           |          ^^^^
        """,
    )


def test_text_without_a_place() -> None:
    expect(
        PLACELESS,
        """
        error[E0101]: no such file
           = help: create it
        """,
    )


def test_text_notes_come_before_help_and_may_have_lines() -> None:
    expect(
        Diagnostic(
            "E0201",
            Severity.NOTE,
            "modules import each other",
            at(NODE, "A100"),
            notes=("a imports b\nb imports a", "another"),
            help=("break the ring",),
        ),
        """
        note[E0201]: modules import each other
          --> node.tsim:1:10
           |
         1 | hardware A100 {
           |          ^^^^
           |
           = note: a imports b
                   b imports a
           = note: another
           = help: break the ring
        """,
    )


def test_text_a_fix_is_told_if_no_help_tells_it() -> None:
    fix = Fix("write `h100`", ())
    told = Diagnostic("E0201", Severity.ERROR, "wrong", None, fix=fix)
    assert render(told) == "error[E0201]: wrong\n   = help: write `h100`"


def test_text_secondary_labels_on_the_same_line_and_on_others() -> None:
    expect(
        error(
            at(NODE, "2.039 TB"),
            "a size",
            secondary=(
                Label(at(NODE, "bandwidth"), "wants a rate"),
                Label(at(NODE, "memory { bandwidth = 2.039 TB }"), "in this block"),
                Label(at(NODE, "A100"), "of this hardware"),
            ),
        ),
        """
        error[E0301]: wrong
          --> node.tsim:4:24
           |
         1 | hardware A100 {
           |          ---- of this hardware
        ...
         4 |   memory { bandwidth = 2.039 TB }
           |                        ^^^^^^^^ a size
           |   ------------------------------- in this block
           |            --------- wants a rate
        """,
    )


def test_text_secondary_labels_in_other_files() -> None:
    expect(
        error(
            at(NODE, "TB"),
            secondary=(
                Label(at(LIBRARY, "TB"), "`TB` is a size"),
                Label(at(NODE, "memory"), "of this memory"),
                Label(at(LIBRARY, "units"), ""),
            ),
        ),
        """
        error[E0301]: wrong
          --> node.tsim:4:30
           |
         4 |   memory { bandwidth = 2.039 TB }
           |                              ^^ here
           |   ------ of this memory
           |
          ::: lib/units.tsim:1:3
           |
         1 | # units
           |   -----
         2 | unit TB = 1000 GB
           |      -- `TB` is a size
        """,
    )


def test_text_a_secondary_label_without_a_main_place() -> None:
    expect(
        error(None, secondary=(Label(at(LIBRARY, "TB"), "there"),)),
        """
        error[E0301]: wrong
          --> lib/units.tsim:2:6
           |
         2 | unit TB = 1000 GB
           |      -- there
        """,
    )


def test_text_several_lines_are_marked_at_both_ends() -> None:
    expect(
        error(at(NODE, "A100 {\n  compute = 312 TFLOP/s\n\n  memory"), "all of this"),
        """
        error[E0301]: wrong
          --> node.tsim:1:10
           |
         1 | hardware A100 {
           |          ^^^^^^
        ...
         4 |   memory { bandwidth = 2.039 TB }
           |   ^^^^^^ all of this
        """,
    )


def test_text_line_numbers_share_one_width() -> None:
    source = Source("x.tsim", "\n" * 8 + "nine\nten\n")
    expect(
        error(at(source, "ten"), secondary=(Label(at(source, "nine"), "before"),)),
        """
        error[E0301]: wrong
           --> x.tsim:10:1
            |
          9 | nine
            | ---- before
         10 | ten
            | ^^^ here
        """,
    )


def test_text_colors() -> None:
    assert render(BANDWIDTH, color=True).split("\n") == [
        "\x1b[1;31merror[E0301]\x1b[0m"
        "\x1b[1m: `memory.bandwidth` is bytes per second, this is bytes\x1b[0m",
        "  \x1b[1;34m-->\x1b[0m node.tsim:4:24",
        "\x1b[1;34m   |\x1b[0m",
        "\x1b[1;34m 4 |\x1b[0m   memory { bandwidth = 2.039 TB }",
        "\x1b[1;34m   |\x1b[0m                        \x1b[1;31m^^^^^^^^ a size (bytes)\x1b[0m",
        "\x1b[1;34m   |\x1b[0m",
        "   \x1b[1;34m=\x1b[0m \x1b[1;36mhelp:\x1b[0m did you mean `2.039 TB/s`?",
    ]


@pytest.mark.parametrize("diagnostic", [BANDWIDTH, WARNING, PLACELESS])
def test_text_colors_change_nothing_else(diagnostic: Diagnostic) -> None:
    painted = render(diagnostic, color=True)
    assert re.sub(r"\x1b\[[0-9;]*m", "", painted) == render(diagnostic)


# Where the carets go.


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
    expect(
        found,
        """
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
        """,
    )


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


# Many diagnostics, and the line that counts them.


def test_all_nothing() -> None:
    assert render_all([]) == ""


def test_all_the_whole() -> None:
    assert render_all([PLACELESS, WARNING, BANDWIDTH]) == "\n\n".join(
        [
            render(PLACELESS),
            render(WARNING),
            render(BANDWIDTH),
            "error: 2 errors, 1 warning\n  = explain: tsdl explain E0101 (also E0301)",
        ]
    )


def test_all_one_is_not_several() -> None:
    last = "error: 1 error\n  = explain: tsdl explain E0301"
    assert render_all([BANDWIDTH]).endswith(f"\n\n{last}")


def test_all_the_worst_comes_first() -> None:
    assert render_all([WARNING, WARNING]).endswith("\n\nwarning: 2 warnings")
    note = Diagnostic("W9902", Severity.NOTE, "by the way", None)
    assert render_all([note]) == "note[W9902]: by the way\n\nnote: 1 note"
    assert render_all([note, WARNING, PLACELESS]).splitlines()[-2] == (
        "error: 1 error, 1 warning, 1 note"
    )


def test_all_what_is_over_the_limit_is_counted() -> None:
    many = [error(at(NODE, "A100"), title=f"wrong {number}") for number in range(23)]
    text = render_all(many)
    assert text.count("error[E0301]") == 20
    assert "wrong 19" in text
    assert "wrong 20" not in text
    assert text.splitlines()[-2] == "error: 23 errors (3 more not shown)"
    assert "not shown" not in render_all(many, limit=23)


def test_all_an_error_is_never_hidden_behind_warnings() -> None:
    text = render_all([WARNING, WARNING, BANDWIDTH, WARNING], limit=2)
    assert text.split("\n\n")[:2] == [render(WARNING), render(BANDWIDTH)]
    assert "error: 1 error, 3 warnings (2 more not shown)" in text


def test_all_colors() -> None:
    text = render_all([BANDWIDTH], color=True)
    assert text.startswith(render(BANDWIDTH, color=True))
    assert "\x1b[1;31merror:\x1b[0m\x1b[1m 1 error\x1b[0m\n" in text


# One line each.


def test_concise_lines() -> None:
    assert concise([BANDWIDTH, WARNING, PLACELESS]) == (
        "node.tsim:4:24: error[E0301] `memory.bandwidth` is bytes per second, this is bytes\n"
        "node.tsim:1:10: warning[W9901] this hardware is never used\n"
        "error[E0101] no such file"
    )


def test_concise_one_stays_on_one_line() -> None:
    span = Span(Source("a\nb", "x"), 0, 1)
    assert concise([error(span, title="no\n\x1b")]) == "a␊b:1:1: error[E0301] no␊␛"


def test_concise_nothing() -> None:
    assert concise([]) == ""


# The documented shape.


def test_json_the_whole() -> None:
    found = Diagnostic(
        "E0301",
        Severity.ERROR,
        "wrong",
        at(NODE, "2.039 TB"),
        "here",
        (Label(at(LIBRARY, "TB"), "there"),),
        ("because",),
        ("do this",),
        BANDWIDTH.fix,
    )
    place = {"file": "node.tsim", "line": 4, "column": 24, "end_line": 4, "end_column": 32}
    there = {"file": "lib/units.tsim", "line": 2, "column": 6, "end_line": 2, "end_column": 8}
    expected = {
        "code": "E0301",
        "severity": "error",
        "title": "wrong",
        **place,
        "label": "here",
        "secondary": [{**there, "label": "there"}],
        "notes": ["because"],
        "help": ["do this"],
        "fix": {"title": "write `2.039 TB/s`", "edits": [{**place, "text": "2.039 TB/s"}]},
    }
    [result] = json.loads(json_text([found]))
    assert result == expected
    assert list(result) == list(expected)


def test_json_without_a_place() -> None:
    [result] = json.loads(json_text([PLACELESS]))
    assert [result[name] for name in ("file", "line", "column", "end_line", "end_column")] == (
        [None] * 5
    )
    assert (result["secondary"], result["notes"], result["fix"]) == ([], [], None)


def test_json_it_is_ascii_and_free_of_lone_surrogates() -> None:
    span = Span(Source("\udc80é.tsim", "x"), 0, 1)
    text = json_text([error(span, "\x1b\ud800x", title="\U0001f600")])
    assert text.isascii()
    assert "\x1b" not in text
    [result] = json.loads(text)
    assert (result["file"], result["label"]) == ("\ufffdé.tsim", "\x1b\ufffdx")
    assert result["title"] == "\U0001f600"


def test_json_nothing() -> None:
    assert json.loads(json_text([])) == []


# Workflow commands.


def test_github_commands() -> None:
    note = Diagnostic("W9902", Severity.NOTE, "by the way", None)
    assert github([BANDWIDTH, WARNING, note]) == (
        "::error title=tsdl (E0301),file=node.tsim,line=4,endLine=4,col=24,endColumn=32::"
        "`memory.bandwidth` is bytes per second, this is bytes%0Aa size (bytes)"
        "%0Ahelp: did you mean `2.039 TB/s`?\n"
        "::warning title=tsdl (W9901),file=node.tsim,line=1,endLine=1,col=10,endColumn=14::"
        "this hardware is never used%0Adeclared here\n"
        "::notice title=tsdl (W9902)::by the way"
    )


def test_github_no_column_where_the_range_spans_lines() -> None:
    assert github([error(at(NODE, "{\n  compute"))]) == (
        "::error title=tsdl (E0301),file=node.tsim,line=1,endLine=2::wrong%0Ahere"
    )


def test_github_escapes() -> None:
    span = Span(Source("a:b,c%d\r\ne\x1b\udc80", "x"), 0, 1)
    assert github([error(span, "", title="50 %: a,\r\nb\x1b%0A")]) == (
        "::error title=tsdl (E0301),file=a%3Ab%2Cc%25d%0D%0Ae␛�,line=1,endLine=1,col=1,"
        "endColumn=2::50 %25: a,%0D%0Ab␛%250A"
    )


# SARIF 2.1.0.


def test_sarif_the_whole() -> None:
    found = Diagnostic(
        "E0301",
        Severity.ERROR,
        "wrong",
        at(NODE, "2.039 TB"),
        "here",
        (Label(at(LIBRARY, "TB"), "there"),),
        ("because",),
        fix=BANDWIDTH.fix,
    )
    region = {"startLine": 4, "startColumn": 24, "endLine": 4, "endColumn": 32}
    there = {"startLine": 2, "startColumn": 6, "endLine": 2, "endColumn": 8}
    log = json.loads(sarif([found, PLACELESS], "1.2.3"))
    [run] = log.pop("runs")
    assert log == {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
    }
    driver = run["tool"]["driver"]
    assert (driver["name"], driver["version"]) == ("tsdl", "1.2.3")
    assert [rule["id"] for rule in driver["rules"]] == ["E0101", "E0301"]
    assert driver["rules"][1]["shortDescription"] == {"text": CATALOGUE["E0301"].title}
    assert driver["rules"][1]["defaultConfiguration"] == {"level": "error"}
    assert run["columnKind"] == "unicodeCodePoints"
    assert run["results"] == [
        {
            "ruleId": "E0301",
            "ruleIndex": 1,
            "level": "error",
            "message": {"text": "wrong\nhere\nnote: because"},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": "node.tsim"},
                        "region": region,
                    },
                    "message": {"text": "here"},
                }
            ],
            "relatedLocations": [
                {
                    "id": 0,
                    "physicalLocation": {
                        "artifactLocation": {"uri": "lib/units.tsim"},
                        "region": there,
                    },
                    "message": {"text": "there"},
                }
            ],
            "fixes": [
                {
                    "description": {"text": "write `2.039 TB/s`"},
                    "artifactChanges": [
                        {
                            "artifactLocation": {"uri": "node.tsim"},
                            "replacements": [
                                {
                                    "deletedRegion": region,
                                    "insertedContent": {"text": "2.039 TB/s"},
                                }
                            ],
                        }
                    ],
                }
            ],
        },
        {
            "ruleId": "E0101",
            "ruleIndex": 0,
            "level": "error",
            "message": {"text": "no such file\nhelp: create it"},
        },
    ]


def test_sarif_a_code_out_of_the_catalogue_is_still_a_rule() -> None:
    unknown = Diagnostic("E9999", Severity.ERROR, "wrong", None)
    [run] = json.loads(sarif([unknown]))["runs"]
    assert run["tool"]["driver"]["rules"] == [{"id": "E9999"}]


def test_sarif_a_page_becomes_the_help_of_its_rule(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "explain").mkdir()
    (tmp_path / "explain" / "E0301.md").write_text("# E0301: é\n", encoding="utf-8")
    monkeypatch.setattr(codes, "PAGES", tmp_path / "explain")
    [run] = json.loads(sarif([BANDWIDTH]))["runs"]
    page = "# E0301: é\n"
    assert run["tool"]["driver"]["rules"][0]["help"] == {"text": page, "markdown": page}


def test_sarif_columns_count_code_points() -> None:
    source = Source("x", "\U0001f600x")
    [run] = json.loads(sarif([error(at(source, "x"))]))["runs"]
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert place["region"]["startColumn"] == 2


@pytest.mark.parametrize(
    ("name", "uri"),
    [
        ("a/b.tsim", "a/b.tsim"),
        ("./a.tsim", "a.tsim"),
        ("../a.tsim", "../a.tsim"),
        ("a b#c?d%e.tsim", "a%20b%23c%3Fd%25e.tsim"),
        ("é.tsim", "%C3%A9.tsim"),
        ("c:d.tsim", "c%3Ad.tsim"),
        ("<text>", "%3Ctext%3E"),
        ("\udcff.tsim", "%FF.tsim"),
        ("\ud800.tsim", "%EF%BF%BD.tsim"),
    ],
)
def test_sarif_names_become_uris(name: str, uri: str) -> None:
    [run] = json.loads(sarif([error(Span(Source(name, "x"), 0, 1))]))["runs"]
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": uri}


def test_sarif_an_absolute_name_becomes_a_file_uri(tmp_path: Path) -> None:
    path = tmp_path / "a b.tsim"
    [run] = json.loads(sarif([error(Span(Source(str(path), "x"), 0, 1))]))["runs"]
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": path.as_uri()}


def test_sarif_nothing() -> None:
    [run] = json.loads(sarif([]))["runs"]
    assert (run["results"], run["tool"]["driver"]["rules"]) == ([], [])


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_takes_every_diagnostic(name: str) -> None:
    text = FORMATS[name]([BANDWIDTH, WARNING, PLACELESS])
    assert all(code in text for code in ("E0301", "W9901", "E0101"))
    assert not text.endswith("\n")


# Which names are close.


@pytest.mark.parametrize(
    ("name", "candidates", "expected"),
    [
        ("bandwith", ["bandwidth", "latency"], "bandwidth"),
        ("Band_Width", ["bandwidth"], "bandwidth"),
        ("BANDWIDTH", ["band_width"], "band_width"),
        ("latecny", ["latency"], "latency"),  # a swap is one edit
        ("units", ["until"], None),  # two edits, where one is allowed
        ("mss", ["ms", "us"], "ms"),
        ("x", ["y", "z"], None),  # nothing in common
        ("x", ["X"], "X"),
        ("x", ["xs"], "xs"),
        ("ab", ["ba"], "ba"),
        ("worker", [], None),
        ("worker", ["worker"], None),  # it is no suggestion
        ("RTX_6000_PRO", ["RTX_4090", "RTX_PRO_6000"], "RTX_PRO_6000"),
        ("RTX6000pro", ["RTX_4090", "RTX_PRO_6000"], "RTX_PRO_6000"),
        ("qwen3_30b", ["qwen3_32b", "qwen3_30b_a3b"], "qwen3_30b_a3b"),
        ("H100", ["A100_80G", "H100_SXM"], "H100_SXM"),
        ("h100_sxm", ["H100_SXM_x", "H100_SXM"], "H100_SXM"),  # spelled alike comes first
        ("a", ["a_long_name"], None),
        ("3_1", ["1_3_b"], None),  # other words
        ("worker", ["worker", "workers"], "workers"),
        ("cat", ["car", "bat"], "bat"),  # equally close: by alphabet
        ("", ["a"], None),
        ("_", ["a", "__"], "__"),
        ("straße", ["STRASSE"], "STRASSE"),
    ],
)
def test_suggest_nearest(name: str, candidates: list[str], expected: str | None) -> None:
    assert nearest(name, candidates) == expected


def test_suggest_the_closest_come_first_and_not_too_many() -> None:
    names = ["decodeur", "decoder", "decode_", "recorder", "prefill", "decodes", "encode"]
    assert close("decode", names) == ["decode_", "decoder", "decodes", "decodeur"]
    assert close("decode", names, at_most=2) == ["decode_", "decoder"]
    assert close("decode", names, at_most=9) == [
        "decode_",
        "decoder",
        "decodes",
        "decodeur",
        "encode",
    ]
    assert close("decode", names, at_most=0) == []


def test_suggest_the_order_of_candidates_and_repeats_do_not_matter() -> None:
    names = ["aab", "aac", "aad", "aae", "aaf", "aag"]
    assert close("aaa", names) == close("aaa", names[::-1] * 2) == names[:4]


@pytest.mark.parametrize("seed", range(20))
def test_suggest_against_the_whole_table(seed: int) -> None:
    chance = random.Random(seed)

    def word() -> str:
        return "".join(chance.choices("abC_", k=chance.randint(0, 11)))

    for _ in range(20):
        name, candidates = word(), [word() for _ in range(40)]
        assert close(name, candidates, at_most=50) == by_the_whole_table(name, candidates)


def test_suggest_ten_thousand_candidates() -> None:
    names = [f"bandwidth_{number}" for number in range(10_000)]
    begin = time.perf_counter()
    assert nearest("bandwidht_1234", names) == "bandwidth_1234"
    assert time.perf_counter() - begin < 5


def test_suggest_very_long_names_are_compared_but_not_measured() -> None:
    long = "a" * 1_000_000
    begin = time.perf_counter()
    assert close(long, [long + "b", long[:-1] + "b", long.upper()]) == [long.upper()]
    assert close("ab", [long]) == []
    assert time.perf_counter() - begin < 5


def by_the_whole_table(name: str, candidates: list[str]) -> list[str]:
    """Return what `close` must: the textbook's table, nothing left out."""

    def fold(text: str) -> str:
        return text.casefold().replace("_", "")

    wanted = fold(name)
    found = []
    for candidate in set(candidates) - {name}:
        known = fold(candidate)
        limit = min(max(1, len(wanted) // 3), max(0, max(len(wanted), len(known)) - 1))
        edits = whole_table(wanted, known)
        words = [sorted(re.findall("[a-z]+", text.casefold())) for text in (name, candidate)]
        goes_on = len(name) > 2 and candidate.casefold().startswith(name.casefold() + "_")
        if wanted == known:
            found.append((-1, candidate))
        elif goes_on or (len(words[0]) > 1 and words[0] == words[1]):
            found.append((0, candidate))
        elif edits <= limit:
            found.append((edits, candidate))
    return [candidate for _, candidate in sorted(found)]


def whole_table(one: str, other: str) -> int:
    table = [
        [row + column if not (row and column) else 0 for column in range(len(other) + 1)]
        for row in range(len(one) + 1)
    ]
    for row in range(1, len(one) + 1):
        for column in range(1, len(other) + 1):
            differs = one[row - 1] != other[column - 1]
            ways = [
                table[row - 1][column] + 1,
                table[row][column - 1] + 1,
                table[row - 1][column - 1] + differs,
            ]
            if one[row - 2 : row] == other[column - 2 : column][::-1] and row > 1 and column > 1:
                ways.append(table[row - 2][column - 2] + 1)
            table[row][column] = min(ways)
    return table[-1][-1]


# The catalogue and its pages.


def test_codes_rows() -> None:
    for code, row in CATALOGUE.items():
        assert row.code == code
        assert re.fullmatch(r"[EWN]\d{4}", code)
        assert (code[0] == "E") == (row.severity is Severity.ERROR)
        assert row.title == visible(row.title.strip())
        assert row.title


def test_codes_the_first_rows() -> None:
    assert CATALOGUE["E0101"].title == "syntax error"
    assert CATALOGUE["E0301"].title == "wrong dimension"


@pytest.mark.parametrize("code", ["E9999", "", "../codes", "../../../etc/passwd", "e0301"])
def test_codes_no_page_for_what_is_no_code(code: str) -> None:
    assert explanation(code) is None


def test_codes_a_page_is_read_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "explain").mkdir()
    (tmp_path / "explain" / "E0301.md").write_text("# E0301: …\n", encoding="utf-8")
    monkeypatch.setattr(codes, "PAGES", tmp_path / "explain")
    assert explanation("E0301") == "# E0301: …\n"
    assert explanation("E0101") is None


def test_codes_pages_have_the_fixed_headings() -> None:
    pages = {code: explanation(code) for code in CATALOGUE}
    for code, page in pages.items():
        if page is None:
            continue
        outside = re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL)
        assert re.findall(r"^#.*$", outside, flags=re.MULTILINE) == [
            f"# {code}: {CATALOGUE[code].title}",
            "## What is wrong",
            "## Why it matters",
            "## Example",
            "## Instead",
        ]
        for heading in ("## Example", "## Instead"):
            section = page.split(f"{heading}\n", 1)[1].split("\n## ", 1)[0]
            assert len(re.findall(r"^```(?:tsdl|python)\n", section, re.MULTILINE)) == 1


# The collector keeps each finding once and sorts by place.


def test_sink_the_same_at_the_same_place_is_kept_once() -> None:
    sink = Sink()
    report: list[Callable[[], None]] = [
        lambda: sink.error("E0301", "wrong", at(NODE, "A100")),
        lambda: sink.error("E0301", "wrong", at(NODE, "memory")),
        lambda: sink.error("E0301", "other", at(NODE, "A100")),
        lambda: sink.error("E0301", "wrong", None),
    ]
    for add in report * 2:
        add()
    assert len(sink.found) == len(report)


def test_sink_only_errors_are_errors() -> None:
    sink = Sink()
    sink.warning("W9901", "odd", None)
    sink.note("W9902", "by the way", None)
    assert not sink.has_errors
    sink.error("E0301", "wrong", None)
    assert sink.has_errors


def test_sink_they_are_sorted_by_source_and_place() -> None:
    sink = Sink()
    for title, span in (
        ("d", None),
        ("b", at(NODE, "memory")),
        ("c", at(LIBRARY, "TB")),
        ("a", at(NODE, "A100")),
    ):
        sink.error("E0301", title, span)
    assert [found.title for found in sink.sorted()] == ["a", "b", "c", "d"]
