"""What a policy says that can have no effect in a scenario: it is warned of."""

from collections.abc import Container, Iterator, Mapping

from tsdl import ast
from tsdl.check.events import breakpoints_of, event_of
from tsdl.diagnostics.suggest import nearest
from tsdl.evaluate import Evaluator, Instance
from tsdl.formula import NOW, STATE, every_part, symbol
from tsdl.lower.handingover import does
from tsdl.plan import Global, Local, Workers
from tsdl.program import Part
from tsdl.source import Span
from tsdl.types import Record


def report_idle(
    evaluator: Evaluator,
    policies: list[Instance],
    used: Container[Span],
    breakpoints: list[str],
    known: Mapping[str, list[str]],
    never: Mapping[str, str],
) -> None:
    """Warn of handlers that can never fire in this scenario, and of names that no worker has.

    Of the last policy the global stage counts. `used` are the places of the handlers that may fire,
    `known` the names that there are, by field of a worker, `never` the events that never happen.
    """
    router = policies[-1]
    for policy in policies:
        for stage in ("local", "global"):
            elsewhere = "" if stage == "local" or policy is router else router.name
            members = evaluator.inner(policy, stage).members
            for part in (part for parts in members.parts.values() for part in parts):
                clause = part.item
                if part.owner.module.library or not isinstance(clause, ast.Clause):
                    continue
                told = used, breakpoints, never, elsewhere
                if clause.verb != "on" or not _idle(evaluator, clause, *told):
                    _report_names(evaluator, part, known)


def report_unasked(evaluator: Evaluator, policy: Instance, local: Local, router: Global) -> None:
    """Warn of a condition that holds once time has passed, where an idle worker does not ask."""
    if any(handler.every is not None for handler in (*local.handlers, *router.handlers)):
        return
    parts = evaluator.inner(policy, "local").members.parts
    of_time = {NOW, *(symbol(STATE + s.name) for s in local.states if s.window is not None)}
    for verb, condition in (("admit", local.admit_when), ("resume", local.resume_when)):
        passes = any(part in of_time for part in every_part(condition))
        for part in parts.get((verb, "when"), ()) if passes else ():
            evaluator.sink.warning(
                "W0518",
                f"time alone may change what `{verb} … when` says, and an idle worker does not ask",
                part.item.span,
                help=("write `on every(10 ms) { }` beside it: workers ask when timers have fired",),
            )


def never_happening(workers: list[Workers], router: Global, *, tiers: bool) -> dict[str, str]:
    """Return the events that never happen, and why; `tiers` tells whether there are any."""
    fail = any(kind.failures is not None for kind in workers)
    found: dict[str, str] = {}
    if not fail:
        found |= dict.fromkeys(("fail", "lost"), "no worker has `failures`")
        if all(kind.fewest is None for kind in workers):
            found["ready"] = "no worker is scaled, or fails"
    locals_ = [kind.local for kind in workers]
    if router.extern is not None or any(local.extern is not None for local in locals_):
        return found  # Python may do anything
    every = (*router.handlers, *(h for local in locals_ for h in local.handlers))
    if not fail and not any(does(handler, ("submit",)) for handler in every):  # nor is any lost
        found["submit"] = "no handler submits"
        if not any(does(handler, ("dispatch",)) for handler in every):
            found["transferred"] = "no handler dispatches who has KV to another worker"
    if not tiers:
        found["evict"] = "the cluster has no tier"
    elif not any(does(handler, ("store",), finished=True) for handler in every):
        found["evict"] = "no handler stores"
    return found


def _idle(
    evaluator: Evaluator,
    clause: ast.Clause,
    used: Container[Span],
    breakpoints: list[str],
    never: Mapping[str, str],
    elsewhere: str,
) -> bool:
    """Tell whether a handler can never fire; warn if so.

    `elsewhere` names the policy whose global stage takes the place of that which it stands in.
    """
    event = event_of(clause) or ""
    missing = event in breakpoints_of(evaluator.program) and event not in breakpoints
    if clause.span in used and not missing and event not in never:
        return False
    reason = never.get(event, "its condition holds on no worker")
    if elsewhere:
        reason = f"the global stage is that of `{elsewhere}`"
    if missing:
        reason = f"the model has no breakpoint `{event}`"
    evaluator.sink.warning(
        "W0506", f"this handler of `{event}` can never fire", clause.span, reason,
        help=("remove it, or its reason",),
    )  # fmt: skip
    return True


# What is said of a worker with such a name.
_CALLED = {
    "group": "worker is called",
    "hardware": "worker has the hardware",
    "model": "worker serves the model",
}


def _report_names(evaluator: Evaluator, part: Part, known: Mapping[str, list[str]]) -> None:
    """Warn of a comparison with a name that no worker, or none of their devices, has."""
    for field, text in _comparisons(part.item):
        names = known.get(field.name)
        of_worker = evaluator.program.types.get(field.value) == Record("worker")
        if names is None or not of_worker or text.value in names:
            continue
        near = nearest(text.value, names)
        what = _CALLED[field.name]
        evaluator.sink.warning(
            "W0507", f"no {what} `{text.value}`", text.span,
            help=(f"did you mean `{near}`?" if near else f"there are {', '.join(names)}",),
        )  # fmt: skip


def _comparisons(item: ast.Item) -> Iterator[tuple[ast.Attribute, ast.Text]]:
    """Yield where a field is compared with a text: `w.group == "prefill"`."""
    for node in ast.walk(item):
        match node:
            case ast.Binary("==" | "!=", ast.Attribute() as field, ast.Text() as text):
                yield field, text
            case ast.Binary("==" | "!=", ast.Text() as text, ast.Attribute() as field):
                yield field, text
