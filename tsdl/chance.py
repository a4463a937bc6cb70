"""Whether anything in a run of a plan is drawn at random: else its seed makes no difference."""

from tsdl.formula import every_part
from tsdl.plan import Global, Local, Plan, Workers, of_stage
from tsdl.planworkload import Workload

_CERTAIN_ARRIVALS = ("uniform", "burst")


def is_certain(plan: Plan) -> bool:
    """Tell whether every seed gives the same run, as far as can be told without Python's part."""
    stages: tuple[Global | Local, ...] = (plan.router, *(kind.local for kind in plan.workers))
    in_python = any(stage.extern for stage in stages) or any(k.cost.externs for k in plan.workers)
    if in_python or any(_happens(kind) for kind in plan.workers):
        return False
    return all(map(_is_replayed, plan.workload.kinds)) and not any(map(_chooses, stages))


def _happens(kind: Workers) -> bool:
    """Tell whether workers fail, or drafted tokens are right, by chance."""
    speculation = kind.local.speculation
    by_chance = speculation is not None and speculation.acceptance not in (0, 1)
    return by_chance or not (kind.failures is None or kind.failures.one_value)


def _is_replayed(workload: Workload) -> bool:
    """Tell whether all seeds have the same requests."""
    draws = [workload.turns, workload.think, workload.priority]
    draws += [attribute.draw for attribute in workload.attributes]
    if not (workload.replay and workload.table):
        draws += [workload.prompt, workload.output]
        arrivals = workload.arrivals
        if arrivals is None or arrivals.name not in _CERTAIN_ARRIVALS:
            return False
        if workload.table and len(workload.table.prompt) > 1:
            return False
    one_prefix = workload.prefix is None or (workload.prefixes == 1 and workload.prefix.one_value)
    return one_prefix and all(draw is None or draw.one_value for draw in draws)


def _chooses(stage: Global | Local) -> bool:
    """Tell whether a stage of a policy chooses at random."""
    return any(
        part.operation == "select" and part.arguments[0] == "random"
        for part in every_part(*of_stage(stage))
    )
