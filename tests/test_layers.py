"""The house: which module may know which, and what pyproject.toml says twice."""

import re
import tomllib
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).resolve().parents[1]


def settings() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def test_imports_keep_the_contracts(capsys: pytest.CaptureFixture[str]) -> None:
    status = lint_imports(str(ROOT / "pyproject.toml"), no_cache=True)
    assert status == EXIT_STATUS_SUCCESS, capsys.readouterr().out


def test_no_file_has_more_than_500_lines() -> None:
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text("utf-8").splitlines())
        for path in (ROOT / "tsdl").rglob("*.py")
    }
    assert {path: lines for path, lines in lengths.items() if lines > 500} == {}
    assert len(lengths) > 100


def test_extras_and_groups_say_the_same() -> None:
    found = settings()
    extras = found["project"]["optional-dependencies"]
    groups = found["dependency-groups"]
    assert extras["test"] == groups["test"]
    assert extras["dev"][0] == "tsdl[test]"
    assert groups["dev"][0] == {"include-group": "test"}
    assert extras["dev"][1:] == groups["dev"][1:]
    for name in extras.keys() - {
        "test",
        "dev",
        "docs",
        "aiconfigurator",
        "genz",
    }:  # apart, or large
        assert set(extras[name]) <= set(extras["test"]), name


def test_modules_that_are_compiled_are_there() -> None:
    hook = settings()["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]
    assert (ROOT / hook["path"]).is_file()
    assert len(hook["modules"]) == len(set(hook["modules"]))
    for module in hook["modules"]:
        assert (ROOT / module).is_file(), module


def test_every_dependency_has_a_lowest_and_a_highest_version() -> None:
    found = settings()["project"]
    needed = [*found["dependencies"], *chain(*found["optional-dependencies"].values())]
    for requirement in set(needed) - {"tsdl[test]"}:
        assert re.fullmatch(r"[\w-]+(>=[\d.]+,<[\d.]+|==[\d.]+)", requirement), requirement
