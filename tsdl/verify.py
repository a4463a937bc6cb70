"""What can be said before any run: scenarios that cannot work, questions asked in vain."""

from tsdl import ast
from tsdl.attainable import best_of_all, bounded_below
from tsdl.diagnostics import Sink
from tsdl.evaluate import Evaluator
from tsdl.formula import every_part
from tsdl.lower import FileReader, lower
from tsdl.lower.undrawn import undrawn
from tsdl.operatorclasses import report_classes
from tsdl.plan import Global, Local, Plan, of_stage
from tsdl.program import Declaration, followed
from tsdl.totals import check_drawn, check_recorded, check_total, tell_undrawn
from tsdl.unused import report_unused

# Found by lowering, but no reason to fail a check: a value that only the command line gives.
_SILENT = "E0505"


def verify(outside: Evaluator, read: FileReader, sink: Sink) -> list[Plan]:
    """Lower every scenario and study, and look for what nothing uses.

    `outside` knows which params and constants are given; other params have their defaults. Returns
    the plans of those scenarios that have one.
    """
    program = outside.program
    plans: list[Plan] = []
    for scenario in program.own("scenario"):
        found = Sink()
        evaluator = outside.anew(found)
        with followed(scenario):
            plan = lower(evaluator, scenario, read)
        # What two scenarios have in common is told once.
        sink.found += [d for d in found.found if d.code != _SILENT and d not in sink.found]
        if plan is not None:
            plans.append(plan)
            verify_scenario(evaluator, scenario, plan, sink)
    for study in program.own("study"):
        from tsdl.lower.studies import outside_of  # only where there is a study
        from tsdl.verifystudies import verify_study

        found = Sink()
        with followed(study):
            verify_study(outside_of(outside.anew(found), study), study, read)
        sink.found += [d for d in found.found if d.code != _SILENT]
    report_unused(program, sink)
    report_classes(program, sink)
    return plans


def verify_scenario(evaluator: Evaluator, scenario: Declaration, plan: Plan, sink: Sink) -> None:
    """Warn of what a scenario asks in vain, once it has a plan."""
    lacking = undrawn(evaluator, scenario, plan.workload)
    _check_bounds(evaluator, scenario, plan, lacking, sink)
    _check_totals(evaluator, scenario, plan, lacking, sink)
    _check_read(evaluator, scenario, plan, lacking, sink)


def _check_bounds(
    evaluator: Evaluator, scenario: Declaration, plan: Plan, lacking: list[str], sink: Sink
) -> None:
    """Warn of a bound that not even a single request on an empty system meets."""
    slo = evaluator.reference(evaluator.instance(scenario), "slo")
    parts = slo.members.clauses("bound") if slo else []
    for condition, part in zip(plan.slo, parts, strict=True):
        metric = bounded_below(condition)
        if metric is not None:
            sink.warning(
                "W0525",
                f"only slow answers meet `{condition.text}`",
                part.item.span,
                f"bounds {metric} from below",
                help=("turn it round: `<=` asks for at most so much time",),
            )
    for condition, part, best in zip(plan.slo, parts, best_of_all(plan), strict=True):
        check_drawn(condition.formula, part.item.span, plan, lacking, sink)
        if best is not None:
            name, value, bound = best
            sink.warning(
                "W0502",
                f"no request can meet `{condition.text}`",
                part.item.span,
                f"{name} is {value * 1e3:.4g} ms at best",
                notes=(
                    f"on an empty system, the shortest request of `{plan.workload.name}` has a "
                    f"{name} of {value * 1e3:.4g} ms, and the bound is {bound * 1e3:.4g} ms",
                ),
                help=("take faster hardware, a smaller model or a looser bound",),
            )


def _check_totals(
    evaluator: Evaluator, scenario: Declaration, plan: Plan, lacking: list[str], sink: Sink
) -> None:
    """Warn of an `expect` that asks for a total of which the cluster does not say enough."""
    parts = evaluator.instance(scenario).members.clauses("expect")
    asked = [e for part in parts if isinstance(part.item, ast.Clause) for e in part.item.objects]
    for condition, expression in zip(plan.expects, asked, strict=True):
        check_total(condition.formula, expression.span, "an `expect`", plan, lacking, sink)
        check_recorded(condition.formula, expression.span, plan, sink)


def _check_read(
    evaluator: Evaluator, scenario: Declaration, plan: Plan, lacking: list[str], sink: Sink
) -> None:
    """Warn of attributes that a policy reads, and that no request has (`lacking`)."""
    stages: tuple[Global | Local, ...] = (plan.router, *(kind.local for kind in plan.workers))
    parts = (part for stage in stages for part in every_part(*of_stage(stage)))
    read = {str(part.arguments[1]) for part in parts if part.operation == "attribute"}
    shown = [name for stage in stages if stage.extern for name in stage.extern.reads]
    read |= {name.removeprefix("r.") for name in shown}  # by what Python is shown
    for name in lacking:
        if name in read:
            place = evaluator.span(evaluator.instance(scenario), "workload")
            tell_undrawn(name, plan.workload, place, sink)
