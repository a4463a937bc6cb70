"""What can be said of a study before it runs: whether it has a meaning, and is not in vain."""

from contextlib import suppress

from tsdl.chance import is_certain
from tsdl.diagnostics import Sink
from tsdl.evaluate import Evaluator, Failed
from tsdl.lower import FileReader, lower
from tsdl.lower.questions import Study, evaluator_at
from tsdl.lower.studies import lower_study
from tsdl.lower.undrawn import undrawn
from tsdl.program import Declaration
from tsdl.totals import check_drawn, check_recorded, check_share, check_total


def verify_study(outside: Evaluator, declaration: Declaration, read: FileReader) -> None:
    """Lower a study with what is given from outside, and look at its first point."""
    asked = lower_study(outside, declaration)
    if asked is not None:
        check_study(outside, asked, read)


def check_study(outside: Evaluator, study: Study, read: FileReader) -> None:
    """See that what a study asks has a meaning, and is not in vain, as far as a point tells.

    That is the first.
    """
    with suppress(Failed):  # it is told
        _check_study(outside, study, read)


def _check_study(outside: Evaluator, study: Study, read: FileReader) -> None:
    """Do so. Raises Failed."""
    sink = outside.sink
    first = study.points(outside)[0]
    found = study.search.values[0] if study.search else None
    evaluator = evaluator_at(outside, study, first, found)
    for asked in study.asked:
        asked.formula(evaluator)
    evaluator = evaluator_at(outside.anew(Sink()), study, first, found)
    conditions = [("an `expect`", expected.asked) for expected in study.expects]
    conditions += [("a condition", study.search.condition)] if study.search else []
    plan = lower(evaluator, study.scenario, read)
    if plan is None:  # that point cannot be run, and others may
        for _, asked in conditions:
            check_share(asked.formula(evaluator), asked.expression.span, sink)
        return
    lacking = undrawn(evaluator, study.scenario, plan.workload)
    for what, asked in conditions:
        check_total(asked.formula(evaluator), asked.expression.span, what, plan, lacking, sink)
    for asked in (*study.asked, *study.distributions):
        check_drawn(asked.formula(evaluator), asked.expression.span, plan, lacking, sink)
    given = (v for axis in study.axes for level in axis.levels for v in level.given.values())
    if all(isinstance(value, (int, float)) for value in given):  # else other policies may
        for asked in study.asked:
            check_recorded(asked.formula(evaluator), asked.expression.span, plan, sink)
    if study.seeds is not None and study.replicates > 1 and is_certain(plan):
        sink.warning(
            "W0512",
            f"{study.replicates} seeds give the same run {study.replicates} times",
            study.seeds,
            "nothing is drawn at random",
            notes=("the interval of a mean would be ± 0, which says nothing of how sure it is",),
            help=("leave `replicate` out, or draw something: `arrivals = poisson(…)`",),
        )
