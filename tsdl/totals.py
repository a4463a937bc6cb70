"""Totals of a run that somebody asks for: shares beyond 1, and what a plan does not say."""

from tsdl.diagnostics import Sink
from tsdl.formula import Value
from tsdl.plan import Plan
from tsdl.shares import beyond
from tsdl.source import Span
from tsdl.spending import unknown


def check_total(condition: Value, place: Span, what: str, plan: Plan, sink: Sink) -> None:
    """Warn of a condition on a total that never holds, or whose total is not known.

    `what` it is a condition of stands at `place`.
    """
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
