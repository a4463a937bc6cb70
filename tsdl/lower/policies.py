"""Policies to the plan: the settings of the local stage, and where arrivals are dispatched to."""

from tsdl import ast
from tsdl.check.policies import dispatch_of
from tsdl.evaluate import Evaluator, Instance
from tsdl.evaluate.values import Place
from tsdl.evaluate.values import Value as EvaluatedValue
from tsdl.formula import Value, make, symbol
from tsdl.plan import Local
from tsdl.program import Part


def lower_local(evaluator: Evaluator, policy: Instance) -> Local:
    """Return the settings and rules of the local stage."""
    local = evaluator.inner(policy, "local")
    return Local(
        batching=evaluator.word(local, "batching"),
        max_tokens=evaluator.whole(local, "max_tokens"),
        max_requests=evaluator.whole(local, "max_requests"),
        watermark=evaluator.real(local, "watermark"),
        preempt=evaluator.word(local, "preempt"),
        admit_when=_all(_rule(evaluator, local, "admit", "when")),
        admit_by=_rule(evaluator, local, "admit", "by"),
        evict_by=_rule(evaluator, local, "evict", "by"),
    )


def _rule(evaluator: Evaluator, local: Instance, verb: str, word: str) -> tuple[Value, ...]:
    """Return what the clauses of a verb say with a preposition."""
    found: list[Value] = []
    for part in local.members.parts.get((verb, word), ()):
        clause = part.item
        assert isinstance(clause, ast.Clause)
        preposition = clause.preposition(word)
        if preposition is None or not isinstance(clause.head, ast.Name):
            continue
        names: dict[str, EvaluatedValue] = {clause.head.id: symbol("r")}
        names |= {"kv": symbol("kv"), "w": symbol("w")}
        place = Place(part.owner, local, names)
        found += [evaluator.formula(expression, place) for expression in preposition.objects]
    return tuple(found)


def _all(conditions: tuple[Value, ...]) -> Value:
    """Return the condition that all of several hold."""
    result: Value = True
    for condition in conditions:
        result = condition if result is True else make("and", result, condition)
    return result


def lower_dispatch(evaluator: Evaluator, policy: Instance) -> Value:
    """Return where arrivals go; a policy that does not say sends them in turn."""
    stage = evaluator.inner(policy, "global")
    handlers = [p for p in stage.members.clauses("on") if _event(p) == "arrive"]
    if not handlers:
        usual = evaluator.instance(evaluator.program.prelude["round_robin"])
        return lower_dispatch(evaluator, usual)
    clause = handlers[-1].item
    assert isinstance(clause, ast.Clause)
    assert isinstance(clause.head, ast.Call)
    target = dispatch_of(clause)
    assert target is not None
    request = clause.head.arguments[0].value
    assert isinstance(request, ast.Name)
    names: dict[str, EvaluatedValue] = {request.id: symbol("r"), "workers": symbol("workers")}
    return evaluator.formula(target, Place(handlers[-1].owner, stage, names))


def _event(part: Part) -> str | None:
    head = part.item.head if isinstance(part.item, ast.Clause) else None
    return ast.path_of(head.function if isinstance(head, ast.Call) else head) if head else None
