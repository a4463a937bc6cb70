"""`tsdl fmt`: the style, that it changes no program and no comment, and how the command tells."""

import io
import re
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random

import pytest

from tsdl import ast
from tsdl._resources import library_files
from tsdl.cli import main
from tsdl.diagnostics import Sink
from tsdl.formatting import ChangedError, format_text
from tsdl.parse import parse
from tsdl.parse.parser import tokens_of
from tsdl.source import Source

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = [
    *library_files(),
    *((path.name, path.read_text("utf-8")) for path in sorted(ROOT.glob("examples/*.tsim"))),
]
SPEC = (ROOT / "SPEC.md").read_text("utf-8")
BLOCKS = re.findall(r"^```tsdl[^\n]*\n(.*?)^```$", SPEC, re.MULTILINE | re.DOTALL)
DIAGNOSED = sorted(ROOT.glob("tests/diagnostics/*.tsim"))[::4]
NAMES = [name for name, _ in SHIPPED]
LARGE = 10_000  # characters


@cache
def formatted(text: str) -> str:
    sink = Sink()
    found = format_text(Source("program", text), sink)
    assert found is not None, sink.found
    return found


@cache
def tree(text: str) -> object:
    sink = Sink()
    items = parse(Source("program", text), sink).items
    assert not sink.has_errors, sink.found
    return ast.dump(items)


@cache
def comments(text: str) -> list[str]:
    return [token.rstrip() for token in tokens_of(text) if token.type == "COMMENT"]


def readable(text: str) -> bool:
    sink = Sink()
    parse(Source("program", text), sink)
    return not sink.has_errors


def holds(text: str) -> str:
    """Format a program; see that it stays the same one, and that its text is then left alone."""
    found = formatted(text)
    assert tree(found) == tree(text)
    assert comments(found) == comments(text)
    assert formatted(found) == found
    assert not re.search(r"[ \t\r]$|\n\n\n", found, re.MULTILINE)
    return found


# -- what is shipped ---------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "text"), SHIPPED, ids=NAMES)
def test_what_is_shipped_is_in_the_style(name: str, text: str) -> None:
    assert holds(text) == text, f"run `tsdl fmt` on {name}"


def test_blocks_of_the_specification_stay_the_same_programs() -> None:
    programs = [text for text in BLOCKS if readable(text)]
    assert len(programs) >= 60
    for text in programs:
        holds(text)


def test_programs_with_mistakes_of_meaning_stay_the_same_programs() -> None:
    texts = [path.read_text("utf-8", errors="ignore") for path in DIAGNOSED]
    programs = [text for text in texts if readable(text)]
    assert len(programs) >= 60
    for text in programs:
        holds(text)


# -- damage ------------------------------------------------------------------------------------


def damaged(text: str, random: Random, *, lines: bool) -> str:
    """Return a program with other blanks; if asked, with other lines and more comments, too."""
    written: list[str] = []
    end = depth = 0
    for token in tokens_of(text):
        start, between = token.start_pos or 0, text[end : token.start_pos]
        end = token.end_pos or start
        depth += (token in ("(", "[")) - (token in (")", "]"))
        if token.type == "_NL":  # of many empty lines Lark makes as many tokens
            written.append(random.choice(["", "", " ", " \t"]))
            if lines and random.random() < 0.15:
                written.append(random.choice(["# more", "## and more", ";", "\n", "\n\n# alone"]))
            written.append("\n")
            continue
        written.append(between if "\n" in between else " " * bool(between))
        written.append(" " * random.choice([0, 0, 1, 5]))
        written.append(str(token))
        if lines and depth and random.random() < 0.1:
            written.append(random.choice(["\n", "\n\n", "# within\n"]))
        if lines and token == ";" and random.random() < 0.3:
            written.append(random.choice(["\n", "; ", "# behind\n"]))
    return "".join(written) + text[end:]


@pytest.mark.parametrize(("name", "text"), SHIPPED, ids=NAMES)
def test_blanks_are_the_formatters_own(name: str, text: str) -> None:
    other = damaged(text, Random(name), lines=False)
    assert other != text
    assert formatted(other) == text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param(name, text, id=name, marks=pytest.mark.long if len(text) > LARGE else ())
        for name, text in SHIPPED
    ],
)
def test_other_lines_and_comments_are_kept(name: str, text: str) -> None:
    other = damaged(text, Random(name), lines=True) + "# the end"
    assert len(comments(other)) > len(comments(text))
    holds(other)


# -- the style, rule by rule -------------------------------------------------------------------

RULES = {
    "blanks": (
        "param a=-2**2*(3+x)\nparam b  =  [1,2] s\n"
        "param c = 1 .. 7 step 2 if not a else f( b ) [ 0 ]\n",
        "param a = -2 ** 2 * (3 + x)\nparam b = [1, 2] s\n"
        "param c = 1..7 step 2 if not a else f(b)[0]\n",
    ),
    "units": ("param a = 80GB/s\nparam b = 5%\n", "param a = 80 GB/s\nparam b = 5 %\n"),
    "events": ("a {\non every (5 s) {b}\n}\n", "a {\n  on every(5 s) { b }\n}\n"),
    "levels": ("a {\nb {\nc = f([\n1,\n2\n])\n}\n}\n",
               "a {\n  b {\n    c = f([\n      1,\n      2\n    ])\n  }\n}\n"),
    "empty lines": ("\n\na {\n\nb = 1\n\n\n\nc = 2\n\n}\n\n", "a {\n  b = 1\n\n  c = 2\n}\n"),
    "a block on several lines": ("a { b = 1; c = 2\n d = 3 }", "a {\n  b = 1; c = 2\n  d = 3\n}\n"),
    "an empty block": ("a from b {\n\n}\n", "a from b {}\n"),
    "idle semicolons": ("a { ; b = 1;; c = 2; };\n", "a { b = 1; c = 2 }\n"),
    "fields": ("a {\nb = 1\nccc = 2\n\ndd = 3\ne += 1\n}\n",
               "a {\n  b   = 1\n  ccc = 2\n\n  dd = 3\n  e += 1\n}\n"),
    "long fields": ("a {\nb = 1\nccc = [\n2,\n]\n}\n",
                    "a {\n  b   = 1\n  ccc = [\n    2,\n  ]\n}\n"),
    "nodes": ("a {\nb:X(1)\nccc:Y\n}\n", "a {\n  b:   X(1)\n  ccc: Y\n}\n"),
    "blocks": (
        "w a*2 { b = 1; c = 2 }\nw ccc { b = 10; c = 2 }\nw d { c = 1 }\n",
        "w a   * 2 { b = 1;  c = 2 }\nw ccc     { b = 10; c = 2 }\nw d       { c = 1 }\n",
    ),
    "comments": (
        "a { #b\n  # c\n  x = 1 # d\n  yyyy = 2\n  z = 33#e\n# f\n}\n",
        "a {  #b\n  # c\n  x    = 1   # d\n  yyyy = 2\n  z    = 33  #e\n  # f\n}\n",
    ),
    "params are not aligned": ("param a   = 1\nparam bb  = 2\n", "param a = 1\nparam bb = 2\n"),
}  # fmt: skip


@pytest.mark.parametrize(("before", "after"), RULES.values(), ids=RULES)
def test_a_rule_of_the_style(before: str, after: str) -> None:
    assert holds(before) == after


def test_what_fits_is_not_pushed_beyond_the_width() -> None:
    fields = "a {{\n  b = {}\n  ccccc = 2\n}}\n"
    assert holds(fields.format("9" * 110)) == fields.format("9" * 110).replace("b =", "b     =")
    assert holds(fields.format("9" * 111)) == fields.format("9" * 111)


@pytest.mark.parametrize("text", ["", "\n", " \t", ";", ";;\n;", "\n\n"])
def test_nothing_stays_nothing(text: str) -> None:
    assert holds(text) == ""


def test_what_is_not_documented_stays_so() -> None:
    assert holds("a {\n## of b\n;;b = 1\n}") == "a {\n  ## of b\n  ; b = 1\n}\n"
    assert holds("a {\n;; ## of a\nb = 1\n}") == "a {\n  ;  ## of a\n  b = 1\n}\n"
    assert holds("a {\n## of b\n\n\nb = 1\n}") == "a {\n  ## of b\n\n  b = 1\n}\n"


def test_a_program_that_would_be_another_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ("a {}\n# c\n# d\n", "b {}\n# c\n", "a {\n"):
        monkeypatch.setattr("tsdl.formatting.written", lambda _, wrong=wrong: wrong)
        with pytest.raises(ChangedError):
            format_text(Source("program", "a {}\n# c\n"), Sink())


# -- the command -------------------------------------------------------------------------------

UGLY, FINE = "param  a=1\n", "param a = 1\n"
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, str]]:
    """Write three files to the working folder: an ugly, a fine and a wrong one."""
    monkeypatch.chdir(tmp_path)
    for name, text in {"ugly": UGLY, "fine": FINE, "wrong": "param a = (\n"}.items():
        Path(f"{name}.tsim").write_text(text, encoding="utf-8")
    return lambda: {path.stem: path.read_text("utf-8") for path in tmp_path.iterdir()}


def test_files_are_written_and_named(files: Callable[[], dict[str, str]], capsys: Capture) -> None:
    before = files()
    assert main(["fmt", "ugly.tsim", "fine.tsim"]) == 0
    assert capsys.readouterr() == ("", "ugly.tsim is formatted\n")
    assert files() == before | {"ugly": FINE}


def test_a_mistake_is_told_as_check_tells_it(
    files: Callable[[], dict[str, str]], capsys: Capture
) -> None:
    before = files()
    assert main(["check", "wrong.tsim"]) == 1
    told = capsys.readouterr().err
    assert main(["fmt", "wrong.tsim", "ugly.tsim", "absent.tsim"]) == 1
    found = capsys.readouterr()
    assert found.err.startswith(told)
    assert "E0109" in found.err
    assert not found.out
    assert files() == before | {"ugly": FINE}  # each file is by itself


def test_check_and_diff_write_nothing(files: Callable[[], dict[str, str]], capsys: Capture) -> None:
    before = files()
    assert main(["fmt", "--check", "ugly.tsim", "fine.tsim"]) == 1
    assert capsys.readouterr() == ("", "ugly.tsim would be formatted\n")
    assert main(["fmt", "--diff", "ugly.tsim", "fine.tsim"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "--- ugly.tsim", "+++ ugly.tsim, formatted", "@@ -1 +1 @@", "-param  a=1", "+param a = 1",
    ]  # fmt: skip
    assert main(["fmt", "--check", "--diff", "fine.tsim"]) == 0
    assert files() == before


def test_a_byte_order_mark_is_dropped(files: Callable[[], dict[str, str]]) -> None:
    before = files()
    Path("fine.tsim").write_text(f"\ufeff{FINE}", encoding="utf-8")
    assert main(["check", "fine.tsim"]) == 0
    assert main(["fmt", "fine.tsim"]) == 0
    assert files() == before


def test_a_last_line_without_an_end_is_shown_as_one(
    files: Callable[[], dict[str, str]], capsys: Capture
) -> None:
    Path("fine.tsim").write_text(FINE.rstrip(), encoding="utf-8")
    assert main(["fmt", "--diff", "fine.tsim"]) == 1
    assert "-param a = 1\n\\ No newline" in capsys.readouterr().out
    assert files()["fine"] == FINE.rstrip()


def test_standard_input_goes_to_the_output(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    stream = io.TextIOWrapper(io.BytesIO("param  a=2µs # µ\r\n".encode()))
    monkeypatch.setattr(sys, "stdin", stream)
    assert main(["fmt", "-"]) == 0
    assert capsys.readouterr().out == "param a = 2 µs  # µ\n"


def test_a_folder_is_all_programs_beneath_it(
    files: Callable[[], dict[str, str]], capsys: Capture
) -> None:
    (Path("deep") / "er").mkdir(parents=True)
    Path(".hidden").mkdir()
    Path("deep/site-packages").mkdir()
    for name in (
        "deep/a.tsim",
        "deep/er/b.tsim",
        ".hidden/c.tsim",
        "deep/er/other.txt",
        "deep/site-packages/d.tsim",
    ):
        Path(name).write_text(UGLY, encoding="utf-8")
    assert main(["fmt", "deep", "fine.tsim"]) == 0
    told = [line.split(" ")[0] for line in capsys.readouterr().err.splitlines()]
    assert told == [str(Path("deep/a.tsim")), str(Path("deep/er/b.tsim"))]
    assert Path("deep/er/b.tsim").read_text("utf-8") == FINE
    assert Path("deep/er/other.txt").read_text("utf-8") == UGLY
    assert Path(".hidden/c.tsim").read_text("utf-8") == UGLY
    assert main(["check", "deep"]) == 0
    assert main(["check", "."]) == 1  # wrong.tsim
    assert "wrong.tsim:1:11" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["fmt", "check"])
def test_a_folder_without_programs_is_told(command: str, tmp_path: Path, capsys: Capture) -> None:
    assert main([command, str(tmp_path)]) == 1
    assert "there is no .tsim file beneath this folder" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such modes")
def test_a_file_keeps_its_mode(files: Callable[[], dict[str, str]]) -> None:
    path = Path("ugly.tsim")
    path.chmod(0o600)
    assert main(["fmt", "ugly.tsim"]) == 0
    assert path.stat().st_mode & 0o777 == 0o600
    assert set(files()) == {"ugly", "fine", "wrong"}
