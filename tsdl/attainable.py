"""The best that a plan could do for one request on an empty system."""

from tsdl.costs import Batch, compiled
from tsdl.formula import Formula
from tsdl.plan import Condition, Plan, Workers
from tsdl.planworkload import Workload

_TIMES = ("ttft", "tpot", "mtpot", "e2e")


Best = tuple[str, float, float]


def best_of_all(plan: Plan) -> list[Best | None]:
    """Return for each bound of the SLO, where it cannot be met: metric, least value and bound.

    Only plain upper bounds (`ttft <= 2 s`) are looked at. A prefill of one prompt, or of its last
    token where others may be found, and a decode at its context are the least that any request
    needs; values are in seconds.
    """
    bounds = [_bound(condition) for condition in plan.slo]
    if not any(bounds):
        return [None] * len(bounds)
    # Copies of a node share a cost, and with it a policy.
    kinds = {id(kind.cost): kind for kind in plan.workers}
    if any(kind.cost.externs for kind in kinds.values()):
        return [None] * len(bounds)  # nothing is known of what Python answers
    try:
        least = [_least(plan, kind) for kind in kinds.values()]
    except (ArithmeticError, TypeError, ValueError):
        return [None] * len(bounds)  # a cost that has no value there: the run will tell
    return [_missed(bound, least) for bound in bounds]


def _bound(condition: Condition) -> tuple[str, float] | None:
    """Return the metric of a plain upper bound, and the bound."""
    formula = condition.formula
    if not (isinstance(formula, Formula) and formula.operation in ("<", "<=")):
        return None
    left, bound = formula.arguments
    if not (isinstance(left, Formula) and left.operation == "symbol"):
        return None
    name = str(left.arguments[0])
    if name not in _TIMES or not isinstance(bound, (int, float)):
        return None
    return name, bound


def bounded_below(condition: Condition) -> str | None:
    """Return the latency that a plain bound lets through only where it is long, if it is such."""
    formula = condition.formula
    if not isinstance(formula, Formula) or formula.operation not in (">", ">="):
        return None
    metric, bound = formula.arguments
    if not (isinstance(metric, Formula) and metric.operation == "symbol"):
        return None
    name = str(metric.arguments[0])
    latency = name in (*_TIMES, "queue", "transfer")
    return name if latency and isinstance(bound, (int, float)) else None


def _missed(bound: tuple[str, float] | None, least: list[dict[str, float]]) -> Best | None:
    if bound is None:
        return None
    name, most = bound
    value = min(times[name] for times in least)
    return (name, value, most) if value > most else None


def _least(plan: Plan, kind: Workers) -> dict[str, float]:
    prompt, output = _shortest(plan)
    time, each = compiled(kind.cost), kind.local.decode_tokens
    prefill, decode = Batch(), Batch()
    chunk = 1 if _may_be_there(plan, kind) else prompt
    prefill.add_prefill(chunk, prompt - chunk, last=True)
    decode.add_decodes([prompt + 1], each)
    prefill.close()
    decode.close()
    first, step = time(prefill), time(decode)
    gap = step if output > 1 else 0.0
    rest = (output - 1) / each * step  # every token that is drafted may be right
    return {"ttft": first, "tpot": gap / each, "mtpot": gap, "e2e": first + rest}


def _may_be_there(plan: Plan, kind: Workers) -> bool:
    """Tell whether KV of a prompt may be found, all but that of its last token."""
    stages = (plan.router, kind.local)
    if kind.kv.shares or any(stage.extern is not None for stage in stages):
        return True
    handlers = [handler for stage in stages for handler in stage.handlers]
    return any(s.word == "fetch" for handler in handlers for s in handler.statements())


def _shortest(plan: Plan) -> tuple[int, int]:
    shortest = [_shortest_of(kind) for kind in plan.workload.kinds]
    return min(prompt for prompt, _ in shortest), min(output for _, output in shortest)


def _shortest_of(workload: Workload) -> tuple[int, int]:
    if workload.table:
        prompt, output = min(workload.table.prompt), min(workload.table.output)
    else:
        assert workload.prompt is not None
        assert workload.output is not None
        prompt, output = int(workload.prompt.ends[0]), int(workload.output.ends[0])
    return workload.within_total(prompt + int(workload.added[0]), output)
