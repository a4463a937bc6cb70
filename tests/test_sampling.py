"""Nobody looks at the time series of a study's runs: without it, a run is the same to the bit."""

import pytest

import tsdl
from tests import random_systems, tame_systems
from tests.engines import LONGEST, cut_off, files_of
from tests.event_limits import TooLongError
from tests.limits import within
from tests.python_costs import EXTERNS
from tsdl.errors import TsdlError
from tsdl.runtime.run import run

SYSTEMS = [
    *((tame_systems.a_tame_system(seed), seed) for seed in range(16)),
    *((random_systems.a_system(seed), seed) for seed in range(11)),
]


def ends(plan: tsdl.Plan, engine: str, *, sampled: bool) -> dict[str, str]:
    """Return the texts of a run's files but the time series, or how it failed."""
    try:
        with cut_off(random_systems.MOST_EVENTS), within(LONGEST, TooLongError):
            result = run(plan, engine=engine, externs=EXTERNS, sampled=sampled)
    except TsdlError as error:
        return {"failed": str(error)}
    files = files_of(result)
    series = files.pop("timeseries.csv")
    assert sampled or len(series.splitlines()) <= 1
    return files


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_a_run_is_the_same_where_nothing_is_sampled(engine: str) -> None:
    seen = 0
    for text, seed in SYSTEMS:
        try:
            plan = tsdl.compile(text, externs=EXTERNS)
            wanted = ends(plan, engine, sampled=True)
            assert ends(plan, engine, sampled=False) == wanted, f"seed {seed}:\n{text}"
        except (TsdlError, TooLongError):
            continue
        seen += "summary.json" in wanted
    assert seen > len(SYSTEMS) / 2
