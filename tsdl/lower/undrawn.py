"""Attributes that are 0 for all requests of a scenario, though nobody says so."""

from tsdl.evaluate import Evaluator
from tsdl.lower.mixing import parts_of
from tsdl.planworkload import Draw, Workload
from tsdl.program import Declaration

_NOTHING = Draw("constant", (("value", 0.0),))


def undrawn(evaluator: Evaluator, scenario: Declaration, workload: Workload) -> list[str]:
    """Return the attributes that no request has: neither a workload nor a default says a value.

    `workload` is what the scenario's own has become; who writes `constant(0)` has said 0.
    """
    draws = zip(*(kind.attributes for kind in workload.kinds), strict=True)
    names = [each[0].name for each in draws if all(a.draw == _NOTHING for a in each)]
    if not names:
        return []
    declared = evaluator.program.attributes()
    instance = evaluator.required(evaluator.instance(scenario), "workload")
    blocks = [evaluator.inner(part, "attributes") for part in parts_of(evaluator, instance)]
    return [
        name
        for name in names
        if not any(each.clause.value for each in declared[name])
        and not any(evaluator.get(block, name) is not None for block in blocks)
    ]
