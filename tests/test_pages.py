"""The documents: every block of every page runs; what they show as printed is what is printed."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pages import Run, fences
from tsdl.studies import pool

ROOT = Path(__file__).resolve().parents[1]
# SPEC.md has its own tests, and so have the pages about codes (test_explain.py).
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    ROOT / "SECURITY.md",
    ROOT / "benchmarks" / "README.md",
    ROOT / "editors" / "vscode" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_blocks_of_a_page_run(
    page: Path,
    golden: Callable[[Path, str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The folder has the examples, as the checkout has."""
    text = page.read_text("utf-8")
    if not fences(text):
        return
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pool, "cores", lambda: 1)  # the same bytes, without other processes
    golden(page, Run(page.name, text).renewed())
