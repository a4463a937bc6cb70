"""What a scenario with other constants predicts for measured runs: plan, simulate, compare."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct, field
from msgspec.structs import replace
from numpy.typing import NDArray

from tsdl.constants import plain
from tsdl.diagnostics import Severity, Sink
from tsdl.errors import TsdlError
from tsdl.plan import Plan
from tsdl.planworkload import Attribute, Draw, Table, Workload
from tsdl.runtime.run import run as run_plan
from tsdl.validation import Validation, beside

if TYPE_CHECKING:
    from tsdl.calibration.priors import Factor
    from tsdl.constants import Constant
    from tsdl.measured import Run
    from tsdl.session import Chosen

METRICS = ("tpot", "e2e", "ttft")
Floats = NDArray[np.float64]
_FARTHEST = 2.0  # a logarithm of a ratio; what never came counts as this far
_MOST_KEPT = 128
_NEARBY = 1.01


class Forward(Struct):
    """A scenario that replays measured runs, its constants multiplied by factors."""

    chosen: Chosen
    runs: list[Run]
    factors: list[Factor] = field(default_factory=list)
    simulations: int = 0
    _kept: dict[bytes, list[Validation]] = field(default_factory=dict)

    def compare(self, logarithms: Floats) -> list[Validation]:
        """Return each measured run beside its simulation; the first request does not count.

        Raises TsdlError where the scenario cannot be simulated with these values.
        """
        key = logarithms.tobytes()
        if key not in self._kept:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            plan = self.plan(logarithms)
            self._kept[key] = [self._beside(plan, run) for run in self.runs]
        return self._kept[key]

    def unchanged(self) -> list[Validation]:
        """Return each measured run beside what the scenario says as it is."""
        plan = self._plan({})
        return [self._beside(plan, run) for run in self.runs]

    def read(self, constants: list[Constant]) -> list[Constant]:
        """Return those of some constants of which another value makes another plan."""
        as_it_is = self._plan({}).hash
        return [
            constant
            for constant in constants
            if self._plan({constant: _nearby(constant)}).hash != as_it_is
        ]

    def plan(self, logarithms: Floats) -> Plan:
        """Return the plan at these factors. Raises TsdlError where there is none."""
        return self._plan(
            {
                constant: value
                for factor, logarithm in zip(self.factors, logarithms.tolist(), strict=True)
                for constant, value in zip(factor.constants, factor.values(logarithm), strict=True)
            }
        )

    def _plan(self, values: dict[Constant, float]) -> Plan:
        sink = Sink()
        given = {constant.key: plain(constant, value) for constant, value in values.items()}
        plan = self.chosen.plan(sink, given)
        if plan is None:
            raise TsdlError([d for d in sink.sorted() if d.severity is Severity.ERROR])
        return plan

    def _beside(self, plan: Plan, run: Run) -> Validation:
        self.simulations += 1
        workload = replayed(plan.workload, run)
        # The measured run went on to its end.
        plan = replace(plan, workload=workload, until=None, slo=(), expects=())
        result = run_plan(plan, sampled=False)
        return beside(run, result, skip_first=1)  # which met a cold engine


def _nearby(constant: Constant) -> float:
    most, value = constant.field.high, constant.value
    return value / _NEARBY if most is not None and value * _NEARBY > most else value * _NEARBY


def replayed(workload: Workload, run: Run) -> Workload:
    """Return a workload that replays a measured run.

    Where the scenario's own trace has requests of the same lengths, what it knows of them besides
    their arrivals stays: it may be more than the run does. Else nothing of the workload counts.
    """
    arrived = tuple(request.arrived for request in run.requests)
    prompt = tuple(request.prompt for request in run.requests)
    output = tuple(request.output for request in run.requests)
    own = workload.table if workload.replay else None
    same = own is not None and (own.prompt, own.output) == (prompt, output)
    known = workload.known_attributes
    # Every field is named, so that none can be forgotten.
    return Workload(
        name=workload.name,
        requests=None,
        duration=None,
        warmup=0.0,
        arrivals=None,
        prompt=None,
        output=None,
        correlation=0.0,
        total=None,
        table=replace(own, arrived=arrived) if own and same else Table(arrived, prompt, output),
        replay=True,
        sessions=None,
        turns=None,
        think=None,
        priority=workload.priority if same else None,
        prefixes=None,
        prefix=None,
        prefix_added=False,
        concurrency=workload.concurrency if same else None,
        attributes=known if same else tuple(map(_without_rows, known)),
        parts=(),
    )


def _without_rows(attribute: Attribute) -> Attribute:
    """Return an attribute that no row of a file brings."""
    constant = Draw("constant", (("value", 0.0),))
    return replace(attribute, draw=constant) if attribute.draw.name == "rows" else attribute


def log_ratios(found: Validation, metric: str) -> Floats:
    """Return ln(simulated / measured) of each request; NaN where it was not measured."""
    measured, simulated = found.measured.values[metric], found.simulated.values[metric]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios: Floats = np.log(simulated / measured)
    ratios = np.where(np.isnan(simulated), _FARTHEST, ratios)
    ratios = np.clip(ratios, -_FARTHEST, _FARTHEST)
    return np.where(np.isnan(measured) | (measured <= 0), np.nan, ratios)
