"""The documents: every block of every page runs; what they show as printed is what is printed."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

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


def test_an_output_that_has_changed_is_renewed() -> None:
    text = '```python\nprint("one\\ntwo\\nthree")\n```\n\n```text output\n{}```\n'
    assert Run("it", text.format("old\n")).renewed() == text.format("one\ntwo\nthree\n")
    kept = text.format("one\n…\n")
    assert Run("it", kept).renewed() == kept
    assert Run("it", text.format("…\ntwo\n")).renewed() == text.format("one\ntwo\nthree\n")


@pytest.mark.parametrize(
    "block",
    [
        "```sh\npip install tsdl\n```",
        "```sh\ntsdl explain E0301  # exit status 3\n```",
        "```sh shown\ntsdl run --no-such-option\n```",
        "```yaml shown\na: [\n```",
        "```text\nwhat is this?\n```",
        "```tsdl\nscenario empty {}\n```",
        "```tsdl error E0301\nparam one = 1\n```",
        "```python\nassert False\n```",
    ],
)
def test_a_block_that_does_not_do_what_it_says_is_found(block: str) -> None:
    with pytest.raises((AssertionError, SystemExit, yaml.YAMLError)):
        Run("it", f"{block}\n").renewed()
