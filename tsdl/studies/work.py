"""One run of a study, as any process on any machine does it: a plan in, plain numbers out."""

from __future__ import annotations

import time
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from tsdl.diagnostics.words import several

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsdl.formula import Formula
    from tsdl.plan import Plan
    from tsdl.runtime.limits import Limits


class Job(Struct, frozen=True):
    """What is to be run: a plan, a seed, and what the run is asked; the Python that plans name."""

    plan: Plan
    seed: int
    measures: tuple[Formula, ...]
    engine: str = "fast"
    limits: Limits | None = None
    externs: Mapping[str, object] = field(default_factory=dict)


class Found(Struct, frozen=True):
    """What came of a run: measures by how they are written (None: undefined), its summary.

    `seconds` is CPU time. `warnings` are what the run was warned of. `failed` says why there is
    nothing, where the run has no result; `limited` that another limit might have let it have one.
    """

    values: dict[str, float | None]
    summary: dict[str, Any]
    seconds: float
    warnings: tuple[str, ...] = ()
    failed: str = ""
    limited: bool = False

    @property
    def stuck(self) -> int:
        """Return how many requests nothing will ever take: the others answer nothing."""
        return 0 if self.failed else len(self.summary["requests"]["stuck"])

    @property
    def empty(self) -> bool:
        """Tell whether it has a result of no request at all: conditions on it are undefined."""
        return not self.failed and not self.summary["requests"]["arrived"]

    @property
    def lacking(self) -> str:
        """Return why the run answers nothing; an empty text where it does."""
        return self.failed or (told_stuck(self.stuck) if self.stuck else "")


def told_stuck(count: int) -> str:
    """Say that requests are stuck."""
    return f"nothing will ever dispatch or admit {several(count, 'request')}"


def do(job: Job) -> Found:
    """Run a plan and ask it. What a formula of the plan may do wrong is part of the answer."""
    from tsdl.errors import TsdlError
    from tsdl.runtime.limits import NO_ROOM
    from tsdl.runtime.run import run

    begin = time.process_time()
    try:
        # Nobody sees the time series of a study's runs.
        result = run(
            job.plan,
            job.seed,
            externs=deepcopy(job.externs),  # what one run has taught them the next must not know
            engine=job.engine,
            limits=job.limits,
            sampled=False,
        )
        if result.partial:
            seconds = time.process_time() - begin
            return Found({}, {}, seconds, failed=str(result.partial), limited=True)
        values = {str(measure): result.measure(measure) for measure in job.measures}
    except TsdlError as error:
        first = error.diagnostics[0]
        seconds = time.process_time() - begin
        told = "; ".join((f"{first.code}: {first.title}", *first.notes))
        return Found({}, {}, seconds, failed=told, limited=first.code == NO_ROOM)
    warned = tuple(f"{warning.code}: {warning.title}" for warning in result.warnings)
    return Found(values, result.summary, time.process_time() - begin, warned)
