"""What somebody asks of a run in vain: shares beyond 1, and what a plan does not say."""

from collections.abc import Sequence

from tsdl.diagnostics import Sink
from tsdl.formula import ATTRIBUTE, RECORDED, Value, symbols
from tsdl.plan import Global, Local, Plan
from tsdl.planworkload import Workload
from tsdl.shares import beyond
from tsdl.source import Span
from tsdl.spending import unknown


def check_total(
    condition: Value, place: Span, what: str, plan: Plan, lacking: Sequence[str], sink: Sink
) -> None:
    """Warn of a condition on a total that never holds, or whose total is not known.

    `what` it is a condition of stands at `place`; requests have none of the attributes `lacking`.
    """
    check_share(condition, place, sink)
    check_drawn(condition, place, plan, lacking, sink)
    found = unknown(condition, plan)
    if found is not None:
        name, why, remedy = found
        sink.warning(
            "W0511",
            f"`{name}` cannot be known",
            place,
            why,
            notes=(f"{what} of a total that is not known does not hold",),
            help=(remedy,),
        )


def check_share(condition: Value, place: Span, sink: Sink) -> None:
    """Warn of a condition that compares a share with more than the whole, whatever the plan."""
    share = beyond(condition)
    if share is not None:
        name, number = share
        sink.warning(
            "W0513",
            f"`{name}` is a share, and never more than 1",
            place,
            f"compared with {number:g}",
            help=(f"write `{number:g} %`",) if 10 <= number <= 100 else (),  # noqa: PLR2004
        )


def check_drawn(asked: Value, place: Span, plan: Plan, lacking: Sequence[str], sink: Sink) -> None:
    """Warn of what reads priorities or attributes of requests that have none."""
    read = symbols(asked)
    for name in lacking:
        if f"{ATTRIBUTE}{name}" in read:
            tell_undrawn(name, plan.workload, place, sink)
    if not plan.workload.has_priorities and "priority" in read:
        sink.warning(
            "W0521",
            f"the requests of `{plan.workload.name}` have no priorities",
            place,
            "`priority` is 0 for all of them",
            help=(
                "draw them: `priority = choice(0: 30 %, 1: 70 %)`",
                'or name a column of the trace: `columns { priority = "tier" }`',
            ),
        )


def check_recorded(asked: Value, place: Span, plan: Plan, sink: Sink) -> None:
    """Warn of what asks for a metric that no handler of a plan records."""
    read = symbols(asked)
    for metric in plan.metrics:
        if f"{RECORDED}{metric.name}" in read and not _records(plan, metric.name):
            sink.warning(
                "W0530",
                f"no policy of the scenario records `{metric.name}`",
                place,
                f"`{metric.name}` has no value",
                help=(f"write `record {metric.name}, …` in a handler of `{plan.policy}`",),
            )


def _records(plan: Plan, name: str) -> bool:
    """Tell whether a handler records a metric."""
    stages: tuple[Global | Local, ...] = (plan.router, *(kind.local for kind in plan.workers))
    return any(
        said.word == "record" and said.name == name
        for stage in stages
        for handler in stage.handlers
        for said in handler.statements()
    )


def tell_undrawn(name: str, workload: Workload, place: Span, sink: Sink) -> None:
    """Warn of an attribute that is read, and that no request has."""
    sink.warning(
        "W0521",
        f"the requests of `{workload.name}` have no `{name}`",
        place,
        f"`{name}` is 0 for all of them",
        help=(
            f"draw it in the workload: `attributes {{ {name} = … }}`",
            f"or say what it is without: `attribute {name}: … = …`",
        ),
    )
