"""The command line as a process of its own, or called; and small programs to give it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tsdl
from tsdl.cli import main

Capture = pytest.CaptureFixture[str]

SMALL = """\
edition "2026"
param qps = 4 req/s
workload few from constant_lengths { requests = 20; arrivals = poisson(qps) }
scenario small {
  model = llama2_7b; cluster = single(A100_80G); workload = few
  expect finished == 20
}
"""
STRICT = "scenario strict from small { expect p99(ttft) <= 1 us }\n"
WRONG = SMALL.replace("4 req/s", "4 s")


def small_in(folder: Path) -> str:
    """Return the path of a scenario that runs in no time."""
    return _written(folder / "small.tsim", SMALL)


def wrong_in(folder: Path) -> str:
    """Return the path of a file with a mistake."""
    return _written(folder / "wrong.tsim", WRONG)


def several_in(folder: Path) -> str:
    """Return the path of a file with two scenarios, one of which expects too much."""
    return _written(folder / "several.tsim", SMALL + STRICT)


def _written(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def start(
    *arguments: str, stdin: bytes = b"", environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "tsdl", *arguments],
        input=stdin,
        capture_output=True,
        check=False,
        env=process_environment() | (environment or {}),
    )


def process_environment() -> dict[str, str]:
    """Return ours, where output is buffered and the checkout can be imported."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    return kept | {"PYTHONPATH": str(Path(tsdl.__file__).parents[1])}


def usage_error(capsys: Capture, *arguments: str) -> str:
    """Return what is said of a wrong usage that the arguments alone show."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("usage: tsdl")
    return said.err
