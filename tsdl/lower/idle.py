"""What a policy says that can have no effect in a scenario: it is warned of."""

from collections.abc import Container, Iterator

from tsdl import ast
from tsdl.check.events import breakpoints_of, event_of
from tsdl.diagnostics.suggest import nearest
from tsdl.evaluate import Evaluator, Instance
from tsdl.formula import NOW, STATE, every_part, symbol
from tsdl.plan import Global, Local, Workers
from tsdl.program import Part
from tsdl.source import Span
from tsdl.types import Record


def report_idle(
    evaluator: Evaluator,
    policies: list[Instance],
    used: Container[Span],
    breakpoints: list[str],
    workers: list[Workers],
) -> None:
    """Warn of handlers that can never fire in this scenario, and of names that no worker has.

    `used` are the places of the handlers that may fire.
    """
    never = _never(workers)
    for policy in policies:
        for stage in ("local", "global"):
            members = evaluator.inner(policy, stage).members
            for part in (part for parts in members.parts.values() for part in parts):
                clause = part.item
                if part.owner.module.library or not isinstance(clause, ast.Clause):
                    continue
                if clause.verb != "on" or not _idle(evaluator, clause, used, breakpoints, never):
                    _report_names(evaluator, part, workers)


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


def _never(workers: list[Workers]) -> dict[str, str]:
    """Return why events never happen that are of workers which come and go."""
    fail = any(kind.failures is not None for kind in workers)
    scaled = any(kind.fewest is not None for kind in workers)
    found = {} if fail else dict.fromkeys(("fail", "lost"), "no worker has `failures`")
    return found if fail or scaled else found | {"ready": "no worker is scaled, or fails"}


def _idle(
    evaluator: Evaluator,
    clause: ast.Clause,
    used: Container[Span],
    breakpoints: list[str],
    never: dict[str, str],
) -> bool:
    """Tell whether a handler can never fire; warn if so."""
    event = event_of(clause) or ""
    missing = event in breakpoints_of(evaluator.program) and event not in breakpoints
    if clause.span in used and not missing and event not in never:
        return False
    reason = never.get(event, "its condition holds on no worker")
    if missing:
        reason = f"the model has no breakpoint `{event}`"
    evaluator.sink.warning(
        "W0506", f"this handler of `{event}` can never fire", clause.span, reason,
        help=("remove it, or its reason",),
    )  # fmt: skip
    return True


def _report_names(evaluator: Evaluator, part: Part, workers: list[Workers]) -> None:
    """Warn of a comparison with a name that no worker, or none of their devices, has."""
    known = {
        "group": list(dict.fromkeys(kind.name for kind in workers)),
        "hardware": list(dict.fromkeys(kind.hardware for kind in workers)),
    }
    for field, text in _comparisons(part.item):
        names = known.get(field.name)
        of_worker = evaluator.program.types.get(field.value) == Record("worker")
        if names is None or not of_worker or text.value in names:
            continue
        near = nearest(text.value, names)
        what = "worker is called" if field.name == "group" else "worker has the hardware"
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
