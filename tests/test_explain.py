"""Every code has a page, whose example yields that code and nothing else, and whose remedy works.

A block of a page is a program, `main.tsim`. Where it takes more than one file, a line `# NAME:`
begins the file of that name (`# NAME, in latin-1:` in another encoding), and the rest of the block
up to the next such line is its text. `tsdl check main.tsim` is run, or, where the first line is
`# $ tsdl ARGUMENTS`, what stands there. A block of Python is run.
"""

import re
import shlex
from pathlib import Path

import pytest

from tests.command_line import start
from tsdl.cli import main
from tsdl.diagnostics import Severity
from tsdl.diagnostics.codes import CATALOGUE, explanation
from tsdl.diagnostics.text import visible
from tsdl.errors import TsdlError
from tsdl.session import library

Capture = pytest.CaptureFixture[str]

PYTHON = "# $ python\n"  # what a block of Python begins with here
HEADINGS = ("What is wrong", "Why it matters", "Example", "Instead")
COMMAND = re.compile(r"# \$ tsdl (.+)\n")
FILE = re.compile(r"^# ([\w/]+\.\w+)(?:, in ([\w-]+))?:\n", re.MULTILINE)
TOLD = re.compile(r"^(?:error|warning|note)\[(\w+)\]", re.MULTILINE)

# A data file that cannot be used is told twice: at its rows, and where the program names it.
COMPANIONS = {
    "E0601": {"E0605"},
    "E0608": {"E0605"},
    "E0602": {"E0605"},
    "E0603": {"E0605"},
    "E0605": {"E0603"},
}

# Nobody wants to read an example that is too large: here every one is.
LIMITS = {"E0104": ("tsdl.parse.MAX_CHARACTERS", 20)}


def page(code: str) -> str:
    text = explanation(code)
    assert text is not None, f"tsdl/diagnostics/explain/{code}.md is missing"
    return text


def block(code: str, heading: str) -> str:
    section = page(code).partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = re.search(r"^```(tsdl|python)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert found, f"{code} has no {heading}"
    return f"{PYTHON}{found[2]}" if found[1] == "python" else found[2]


def run(text: str, capsys: Capture) -> tuple[int, str]:
    """Run a block of a page in the working folder; return the exit status and what was told."""
    if text.startswith(PYTHON):
        try:
            exec(compile(text, "main.py", "exec"), {})
        except TsdlError as error:
            return 1, str(error)
        return 0, ""
    command = COMMAND.match(text)
    arguments = shlex.split(command[1]) if command else ["check", "main.tsim"]
    first, *others = FILE.split(text[command.end() :] if command else text)
    files = [("main.tsim", None, first), *zip(*[iter(others)] * 3, strict=True)]
    for name, encoding, content in files:
        if content:
            Path(name).write_bytes(content.encode(encoding or "utf-8"))
    if "--max-memory" in arguments:  # counts what this process holds, with all its tests
        done = start(*arguments)
        return done.returncode, done.stderr.decode()
    status = main(arguments)
    return status, capsys.readouterr().err


@pytest.mark.parametrize("code", CATALOGUE)
def test_a_page_has_its_headings(code: str) -> None:
    outside = re.sub(r"^```.*?^```$", "", page(code), flags=re.MULTILINE | re.DOTALL)
    assert re.findall(r"^#.*$", outside, re.MULTILINE) == [
        f"# {code}: {CATALOGUE[code].title}",
        *(f"## {heading}" for heading in HEADINGS),
    ]
    for line in page(code).splitlines():
        assert line == visible(line.rstrip())
        assert len(line) <= 100 or set("((") <= set(line), line


@pytest.fixture(autouse=True)
def scipy(request: pytest.FixtureRequest) -> None:
    """Skip what calibrates where there is no scipy."""
    if "code" in request.fixturenames and "$ tsdl calibrate" in page(
        request.getfixturevalue("code")
    ):
        pytest.importorskip("scipy", reason="needs scipy: pip install -e '.[calibrate]'")


@pytest.mark.parametrize("code", CATALOGUE)
def test_the_example_yields_the_code_and_no_other(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    if code in LIMITS:
        library()  # which is no smaller
        monkeypatch.setattr(*LIMITS[code])
    status, told = run(block(code, "Example"), capsys)
    assert status == (CATALOGUE[code].severity is Severity.ERROR), told
    assert set(TOLD.findall(told)) == {code} | COMPANIONS.get(code, set()), told


@pytest.mark.parametrize("code", CATALOGUE)
def test_the_remedy_has_no_mistakes(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    status, told = run(block(code, "Instead"), capsys)
    assert (status, told) == (0, "")


def test_no_page_is_about_nothing() -> None:
    folder = Path(__file__).resolve().parents[1] / "tsdl" / "diagnostics" / "explain"
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{c}.md" for c in CATALOGUE)
