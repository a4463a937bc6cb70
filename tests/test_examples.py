"""The examples run, and print what stands beside them; README shows the first of them truly."""

import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tsdl.cli import main

Golden = Callable[[Path, str], None]
Capture = pytest.CaptureFixture[str]

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.tsim"))
# These take minutes: `.ci/run` compares what they print; here they are only checked.
PAPER = sorted((ROOT / "examples" / "paper").glob("*.tsim"))
# A file that has studies is run with each of them; what it prints stands in `FILE.STUDY.out`.
STUDY = re.compile(r"^study (\w+)", re.MULTILINE)
RUNS = [
    (path, study) for path in EXAMPLES for study in STUDY.findall(path.read_text("utf-8")) or [""]
]
SLOW = (
    "servers-ways_to_compute",
    "servers-ways_to_stand",
    "studies-ratio",
    "tokensim_figure2-",
)  # `.ci/run` runs them among the examples
PROGRAMS = sorted((ROOT / "examples").glob("*.py"))
SMALLEST = min(EXAMPLES, key=lambda path: (path.stat().st_size, path.name))
QUICKSTART = ROOT / "examples" / "quickstart.tsim"
README = ROOT / "README.md"


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of README in a language."""
    fenced = rf"^```{language}\b[^\n]*\n(.*?)^```$"
    return re.findall(fenced, README.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def python(code: str, *arguments: str, seed: str = "random") -> str:
    """Run Python in a process of its own, and return what it prints."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        capture_output=True,
        check=True,
        encoding="utf-8",
    ).stdout


@pytest.mark.parametrize("path", EXAMPLES + PAPER, ids=lambda path: path.stem)
def test_an_example_has_no_mistakes(path: Path, capsys: Capture) -> None:
    assert main(["check", str(path)]) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("path", "study"),
    [
        pytest.param(path, study, id=name, marks=[pytest.mark.long] * (name in SLOW))
        for path, study in RUNS
        for name in [f"{path.stem}-{study}"]
    ],
)
def test_an_example_prints_what_it_did(
    path: Path, study: str, golden: Golden, capsys: Capture, tmp_path: Path
) -> None:
    store = ["--study", study, "--store", str(tmp_path / "runs.sqlite")] if study else []
    status = main(["run", str(path), *store])
    said = capsys.readouterr()
    # Where more come than can be served, an example says that it is meant to be so.
    codes = set(re.findall(r"^warning\[(\w+)\]", said.err, re.MULTILINE))
    assert codes == set(re.findall(r"W\d{4}", path.read_text(encoding="utf-8"))), said.err
    assert status == (3 if "\n  FAIL  expect " in said.out else 0)
    golden(path.with_suffix(f".{study}.out" if study else ".out"), said.out)


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_an_example_in_python_prints_what_it_did(
    path: Path, golden: Golden, capsys: Capture
) -> None:
    runpy.run_path(str(path), run_name="__main__")
    golden(path.with_suffix(".out"), capsys.readouterr().out)


@pytest.mark.parametrize("path", PAPER, ids=lambda path: path.stem)
def test_what_an_evaluation_of_the_paper_prints_stands_beside_it(path: Path) -> None:
    printed = {
        path.with_suffix(f".{study}.out") for study in STUDY.findall(path.read_text("utf-8"))
    }
    assert printed
    assert set(path.parent.glob(f"{path.stem}.*.out")) == printed


def test_the_page_about_the_paper_shows_every_program_and_every_picture() -> None:
    page = (ROOT / "docs" / "paper.md").read_text("utf-8")
    assert set(re.findall(r"\]\(\.\./examples/paper/(\w+)\.tsim\)", page)) == {
        p.stem for p in PAPER
    }
    drawn = runpy.run_path(str(ROOT / "docs" / "make_paper.py"))["DRAWN"]
    assert set(re.findall(r"\]\(paper/(\w+)\.svg\)", page)) == set(drawn)
    assert {p.stem for p in (ROOT / "docs" / "paper").iterdir()} == set(drawn)


def test_pictures_of_the_paper_are_drawn_alike(tmp_path: Path) -> None:
    drawing = runpy.run_path(str(ROOT / "docs" / "make_paper.py"))
    found = []
    for number in range(2):
        drawing["draw"]("figure8", drawing["Asked"](None), tmp_path / f"{number}.svg")
        found.append((tmp_path / f"{number}.svg").read_bytes())
    assert found[0] == found[1]
    assert b"static batching" in found[0]


def test_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    code = "import sys; from tsdl.cli import main; main(['run', *sys.argv[1:]])"
    found = []
    for number, seed in enumerate(("1", "2", "2")):
        folder = tmp_path / str(number)
        said = python(code, str(SMALLEST), "--out", str(folder), seed=seed)
        files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
        assert sorted(files) == [
            "plan.json",
            "requests.csv",
            "summary.json",
            "summary.vllm.json",
            "timeseries.csv",
        ]
        found.append((said, files))
    assert found[0] == found[1], "another PYTHONHASHSEED, other results"
    assert found[1] == found[2], "another process, other results"


def test_a_check_loads_no_engine() -> None:
    code = """
import sys
from tsdl.cli import main
assert main(["check", sys.argv[1]]) == 0
print(sorted({"numpy", "simpy", "pandas", "yaml"} & set(sys.modules)))
"""
    assert python(code, str(SMALLEST)).splitlines()[-1] == "[]"


# README and its picture.


def test_the_picture_shows_what_is_printed(golden: Golden) -> None:
    picture = runpy.run_path(str(ROOT / "docs" / "make_picture.py"))["picture"]
    said = QUICKSTART.with_suffix(".out").read_text("utf-8")
    golden(ROOT / "docs" / "quickstart.svg", picture(said))


def test_readme_shows_the_first_example(golden: Golden) -> None:
    shown = blocks("tsim")[0]
    readme = README.read_text("utf-8")
    golden(README, readme.replace(shown, QUICKSTART.read_text("utf-8"), 1))


def test_readme_shows_a_mistake_as_it_is_told(
    golden: Golden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    wrong = "workload chat from sharegpt(rate = 8 s) { requests = 2000 }\n"
    Path("chat.tsim").write_text(wrong, encoding="utf-8")
    assert main(["check", "chat.tsim"]) == 1
    told, _, _ = capsys.readouterr().err.partition("\n\nerror: ")
    (shown,) = blocks("text")
    golden(README, README.read_text("utf-8").replace(shown, f"{told}\n"))


def test_the_programs_of_readme_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    (trace,) = blocks("csv")
    Path("requests.csv").write_text(trace, encoding="utf-8")
    for text in blocks("tsim")[1:]:
        Path("mine.tsim").write_text(text, encoding="utf-8")
        assert main(["run", "mine.tsim"]) in {0, 3}, capsys.readouterr().err
