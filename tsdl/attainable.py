"""The best that a plan could do for one request on an empty system."""

from tsdl.costs import Batch, compiled
from tsdl.formula import Formula
from tsdl.plan import Condition, Draw, Plan

_TIMES = ("ttft", "tpot", "mtpot", "e2e")


def best_of(condition: Condition, plan: Plan) -> tuple[str, float, float] | None:
    """Return metric, least possible value and bound of a condition that cannot be met, else None.

    Only plain upper bounds (`ttft <= 2 s`) are looked at. A prefill of one prompt and a decode at
    its context are the least that any request needs; values are in seconds.
    """
    formula = condition.formula
    if not (isinstance(formula, Formula) and formula.operation in ("<", "<=")):
        return None
    left, bound = formula.arguments
    if not (isinstance(left, Formula) and left.operation == "symbol"):
        return None
    name = str(left.arguments[0])
    if name not in _TIMES or not isinstance(bound, (int, float)):
        return None
    try:
        value = min(_least(plan, index)[name] for index in range(len(plan.workers)))
    except (ArithmeticError, TypeError, ValueError):
        return None  # a cost that has no value there: the run will tell
    return (name, value, bound) if value > bound else None


def _least(plan: Plan, index: int) -> dict[str, float]:
    prompt, output = _shortest(plan)
    time = compiled(plan.workers[index].cost)
    prefill, decode = Batch(), Batch()
    prefill.add_prefill(prompt, 0, last=True)
    decode.add_decodes([prompt + 1])
    first, step = time(prefill), time(decode)
    gap = step if output > 1 else 0.0
    return {"ttft": first, "tpot": gap, "mtpot": gap, "e2e": first + (output - 1) * step}


def _shortest(plan: Plan) -> tuple[int, int]:
    workload = plan.workload
    if workload.table:
        return min(workload.table.prompt), min(workload.table.output)
    assert workload.prompt is not None
    assert workload.output is not None
    return _lower_end(workload.prompt), _lower_end(workload.output)


def _lower_end(draw: Draw) -> int:
    known = dict(draw.parameters)
    if draw.parts:
        return min(_lower_end(part) for part in draw.parts)
    if draw.values:
        return max(1, round(draw.values[0]))
    return max(1, round(known.get("value", known.get("low", known.get("min", 1.0)))))
