"""Threads that compile and run at once get what one alone does."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import tsdl
from tests.conftest import ROOT
from tests.engines import files_of
from tests.good_programs import first_scenario

NAMES = ("quickstart", "tokensim", "ranks", "memory", "disaggregated")


@pytest.fixture
def hasty() -> Iterator[None]:
    """Let another thread go on every few microseconds."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def plan_of(name: str) -> tsdl.Plan:
    path = ROOT / "examples" / f"{name}.tsim"
    return tsdl.compile(path, scenario=first_scenario(path.read_text("utf-8")))


@pytest.mark.usefixtures("hasty")
def test_threads_run_as_one_does() -> None:
    plans = [plan_of(name) for name in ("memory", "disaggregated")]
    alone = [files_of(plan.run()) for plan in plans]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda plan: files_of(plan.run()), plans * 3))
    assert found == alone * 3


@pytest.mark.usefixtures("hasty")
def test_threads_make_the_plans_that_one_makes() -> None:
    alone = [plan_of(name).fields() for name in NAMES]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda name: plan_of(name).fields(), NAMES * 4))
    assert found == alone * 4
