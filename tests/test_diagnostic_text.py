"""What a diagnostic looks like on a terminal: its title, place, labels, notes, help and colors."""

import re
from textwrap import dedent

import pytest

from tests.sample_diagnostics import BANDWIDTH, LIBRARY, NODE, PLACELESS, WARNING, at, error
from tsdl.diagnostics import Diagnostic, Fix, Label, Severity
from tsdl.diagnostics.text import render
from tsdl.source import Source


def expect(diagnostic: Diagnostic, text: str) -> None:
    assert render(diagnostic) == dedent(text).strip("\n")


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
