"""What can be said before any run: scenarios that cannot work, names that nothing uses."""

from collections.abc import Container

from tsdl import ast
from tsdl.attainable import best_of_all, bounded_below
from tsdl.diagnostics import Sink
from tsdl.evaluate import Evaluator
from tsdl.formula import every_part
from tsdl.lower import FileReader, lower
from tsdl.lower.undrawn import undrawn
from tsdl.operatorclasses import report_classes
from tsdl.plan import Global, Local, Plan, of_stage
from tsdl.program import Declaration, Program
from tsdl.resolve import find
from tsdl.totals import check_drawn, check_total, tell_undrawn
from tsdl.types import Reference

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
        plan = lower(evaluator, scenario, read)
        # What two scenarios have in common is told once.
        sink.found += [d for d in found.found if d.code != _SILENT and d not in sink.found]
        if plan is not None:
            plans.append(plan)
            lacking = undrawn(evaluator, scenario, plan.workload)
            _check_bounds(evaluator, scenario, plan, lacking, sink)
            _check_totals(evaluator, scenario, plan, lacking, sink)
            _check_read(evaluator, scenario, plan, lacking, sink)
    for study in program.own("study"):
        from tsdl.lower.studies import outside_of  # only where there is a study
        from tsdl.verifystudies import verify_study

        found = Sink()
        verify_study(outside_of(outside.anew(found), study), study, read)
        sink.found += [d for d in found.found if d.code != _SILENT]
    _report_unused(program, sink)
    report_classes(program, sink)
    return plans


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


# -- what nothing uses -------------------------------------------------------------------------


def _report_unused(program: Program, sink: Sink) -> None:
    roots = [*program.own("scenario"), *program.own("study")]
    if not roots:
        return  # a file of declarations, for others to import
    attributes = program.attributes()
    reached: set[int] = set()
    open_kinds: set[str] = set()
    waiting = list(roots)
    while waiting:
        declaration = waiting.pop()
        if id(declaration) not in reached:
            reached.add(id(declaration))
            if not declaration.module.library:  # which knows nothing of the file
                waiting += _mentioned(program, declaration, attributes)
            kinds = _kind_of_param(program, declaration) - open_kinds
            open_kinds |= kinds  # of which the command line may choose any
            waiting += [d for d in program.declarations if d.kind in kinds] if kinds else []
    for declaration in program.declarations:
        if declaration.module is program.root and id(declaration) not in reached:
            sink.warning(
                "W0201",
                f"{declaration.kind} `{declaration.name}` is used by no scenario",
                declaration.span,
                "never used",
                help=("remove it, or use it",),
            )


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


def _kind_of_param(program: Program, declaration: Declaration) -> set[str]:
    """Return the kind of block that a param stands for, if it does."""
    head = declaration.clause.head
    type_ = program.types.get(head) if declaration.kind == "param" and head else None
    return {type_.kind} if isinstance(type_, Reference) else set()


def _mentioned(
    program: Program, declaration: Declaration, attributes: Container[str]
) -> list[Declaration]:
    """Return the declarations that the text of one names, wherever in it.

    `attributes` of requests have names that all files know, one that does not import them, too.
    """
    found = []
    for node in ast.walk(declaration.clause):
        if not isinstance(node, (ast.Name, ast.Attribute)):
            continue
        named = find(program, declaration.module, node)
        name = node.id if isinstance(node, ast.Name) else node.name  # `tenant`, `r.tenant`
        if named is None and name in attributes:
            named = program.attribute(declaration.module, name)
        if named is not None and named is not declaration:
            found.append(named)
    return found
