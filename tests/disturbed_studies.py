"""Studies to be disturbed: their program, how it is run, and what they answer undisturbed."""

import sys
from functools import cache
from pathlib import Path

import tsdl
from tests.test_studies import PARTS
from tsdl.diagnostics import Sink
from tsdl.session import Session
from tsdl.studies import Points, choose_study
from tsdl.studies.files import answer_json

STUDY = """
study s {
  scenario = one
  vary qps in 1..6 req/s
  vary scheduler in [continuous, static]
  replicate 2
  table throughput, p99(ttft), mean(e2e) / mean(e2e)[scheduler = static]
}
study found {
  scenario = one
  vary gpus in 1..3
  maximize qps in 1..2000 step 1 req/s while attainment >= 90 %
  table qps, throughput
}
"""


def points(name: str = "s", text: str = PARTS + STUDY) -> Points:
    made = choose_study(Session("a.tsim", text), Sink(), {}, name)
    assert made is not None
    return made


def answer(name: str = "s", store: Path | None = None, jobs: int = 1) -> str:
    return answer_json(tsdl.study(PARTS + STUDY, name, jobs=jobs, store=store))


@cache
def undisturbed(name: str) -> str:
    """Return what a study answers in the end, where nothing disturbs it."""
    return answer(name)


@cache
def printed(name: str) -> str:
    """Return the same as the command prints it, with what is warned of."""
    return answer_json(tsdl.study(PARTS + STUDY, name, jobs=1), warned=True)


def program_in(folder: Path) -> Path:
    """Write the program into a folder; return its path."""
    path = folder / "a.tsim"
    path.write_text(PARTS + STUDY)
    return path


def command(path: Path, *more: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "tsdl",
        "run",
        str(path),
        "--study",
        "s",
        "--format",
        "json",
        *more,
    ]
