"""Every mistake is told as stands beside it: wrong programs, and what people see of them.

A case is a program `NAME.tsim`, whose name says its mistake, or `NAME/main.tsim` where it takes
more files. Beside it, `NAME.out` or `NAME/main.out` holds the exit status and what `tsdl check`
prints, run in the folder of the case. Where its first line is `# run: OPTIONS`, `tsdl plan FILE
OPTIONS` is run; where that begins with the name of a command, that command, as it stands.

`messages_to_improve/` holds cases that are told badly or not at all; one that has become good moves
to `diagnostics/`. `pytest --accept` writes what is printed now: read it before you keep it.
"""

import csv
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from tsdl.cli import main
from tsdl.diagnostics import Severity
from tsdl.diagnostics.codes import CATALOGUE
from tsdl.schema import UNITS_KINDS
from tsdl.session import library

Golden = Callable[[Path, str], None]
Capture = pytest.CaptureFixture[str]

HERE = Path(__file__).resolve().parent
GOOD, POOR = HERE / "diagnostics", HERE / "messages_to_improve"
COMMANDS = ("calibrate", "check", "import", "plan", "report", "run", "validate")
TOLD = re.compile(r"^(error|warning|note)\[(\w+)\]: (.+)$", re.MULTILINE)


def cases(folder: Path) -> list[Path]:
    return sorted([*folder.glob("*.tsim"), *folder.glob("*/main.tsim")])


def name(path: Path) -> str:
    return path.parent.name if path.name == "main.tsim" else path.stem


CASES = cases(GOOD)


def arguments(path: Path) -> list[str]:
    first = path.read_bytes().partition(b"\n")[0].decode("utf-8", "replace")
    if not first.startswith("# run: "):
        return ["check", path.name]
    given = shlex.split(first.removeprefix("# run: "))
    return given if given[0] in COMMANDS else ["plan", path.name, *given]


# Cases of files that are too large to keep: the limits are lowered.


def _few_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    library()
    monkeypatch.setattr("tsdl.parse.MAX_CHARACTERS", 20)


def _few_declarations(monkeypatch: pytest.MonkeyPatch) -> None:
    known = [clause for module in library() for clause in module.clauses]
    count = sum(clause.verb not in UNITS_KINDS for clause in known)
    monkeypatch.setattr("tsdl.resolve.MAX_DECLARATIONS", count + 2)


def _short_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = csv.reader

    class Reader:
        line_num = 0

        def __init__(self, lines: Iterable[str], *, strict: bool) -> None:
            self.rows = usual(lines, strict=strict)

        def __iter__(self) -> Iterator[list[str]]:
            csv.field_size_limit(7)
            try:
                yield from self.rows
            finally:
                csv.field_size_limit(131_072)

    monkeypatch.setattr("tsdl.traces.lines.csv.reader", Reader)


LIMITS = {
    "too_large": _few_characters,
    "too_many_declarations": _few_declarations,
    "trace_with_a_cell_that_is_too_long": _short_cells,
}


# Only programs that hand Python in meet these: tests/test_python_costs.py.
OF_PYTHON = {"E0904"}


# The cases.


@pytest.fixture(autouse=True)
def usual_depth() -> Iterator[None]:
    """Let calls go as deep as usual: what notebooks load lets them go deeper (jedi)."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.parametrize("path", CASES, ids=name)
def test_a_mistake_is_told(
    path: Path, golden: Golden, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    if name(path) in LIMITS:
        LIMITS[name(path)](monkeypatch)
    if arguments(path)[0] == "calibrate":
        pytest.importorskip("scipy", reason="needs scipy: pip install -e '.[calibrate]'")
    monkeypatch.chdir(path.parent)
    status = main(arguments(path))
    told = capsys.readouterr().err
    assert "Traceback" not in told, told
    found = TOLD.findall(told)
    assert found, "nothing was told"
    assert status == any(severity == Severity.ERROR for severity, _, _ in found)
    golden(path.with_suffix(".out"), f"[exit {status}]\n{told}")


@pytest.mark.parametrize("path", cases(POOR), ids=name)
def test_a_mistake_that_is_told_badly(
    path: Path, golden: Golden, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(path.parent)
    status = main(arguments(path))
    golden(path.with_suffix(".out"), f"[exit {status}]\n{capsys.readouterr().err}")


# The corpus as a whole.


def test_every_code_is_told_in_some_case() -> None:
    text = "".join(path.with_suffix(".out").read_text("utf-8") for path in CASES)
    told = {code: severity for severity, code, _ in TOLD.findall(text)}
    assert told == {c: row.severity for c, row in CATALOGUE.items() if c not in OF_PYTHON}


def test_every_golden_file_belongs_to_a_case() -> None:
    for folder in (GOOD, POOR):
        goldens = {*folder.glob("*.out"), *folder.glob("*/main.out")}
        assert goldens == {path.with_suffix(".out") for path in cases(folder)}


def test_titles_stand_alone() -> None:
    """See that a title says something without its snippet, and that no text is one of Python's."""
    for path in CASES:
        told = path.with_suffix(".out").read_text("utf-8")
        for _, _, title in TOLD.findall(told):
            assert not title.endswith((".", ":")), (path.name, title)
            assert not re.search(r"\ba (?:a|an|the|slo)\b|\ba [aeio]\w+\b", title), (
                path.name,
                title,
            )
