"""Threads that compile at once make the plans that one alone makes."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import tsdl
from tests.conftest import ROOT

NAMES = ("quickstart", "tokensim", "ranks", "memory", "disaggregated")


@pytest.fixture
def hasty() -> Iterator[None]:
    """Let another thread go on every few microseconds."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def made(path: Path) -> dict[str, object]:
    lines = path.read_text("utf-8").splitlines()
    scenario = next(line.split()[1] for line in lines if line.startswith("scenario "))
    return tsdl.compile(path, scenario=scenario).fields()


@pytest.mark.usefixtures("hasty")
def test_threads_make_the_plans_that_one_makes() -> None:
    paths = [ROOT / "examples" / f"{name}.tsim" for name in NAMES]
    alone = [made(path) for path in paths]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(made, paths * 4)) == alone * 4
