"""What can be said before any run: scenarios that cannot work, names that nothing uses."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from tsdl import ast
from tsdl.attainable import best_of_all
from tsdl.chance import is_certain
from tsdl.diagnostics import Severity, Sink
from tsdl.evaluate import Evaluator, Failed
from tsdl.evaluate.values import Binding
from tsdl.formula import Value
from tsdl.lower import FileReader, lower
from tsdl.lower.questions import Study, evaluator_at
from tsdl.lower.studies import lower_study
from tsdl.operatorclasses import report_classes
from tsdl.plan import Plan
from tsdl.program import Declaration, Program
from tsdl.resolve import find
from tsdl.shares import beyond
from tsdl.source import Span
from tsdl.spending import unknown
from tsdl.types import Reference

# Found by lowering, but no reason to fail a check: a value that only the command line gives, and
# what is declared rightly but runs only in a later version.
_SILENT, _LATER = "E0505", "E0590"


def verify(
    program: Program, read: FileReader, sink: Sink, constants: Mapping[tuple[int, str], Binding]
) -> list[Plan]:
    """Lower every scenario and study with the params' defaults, and look for what nothing uses.

    `constants` stand in the place of numbers that declarations hold. Returns the plans of those
    that have one.
    """
    plans: list[Plan] = []
    for scenario in program.own("scenario"):
        found = Sink()
        evaluator = Evaluator(program, {}, found, constants)
        plan = lower(evaluator, scenario, read)
        for diagnostic in found.found:
            if diagnostic.code == _LATER:
                sink.add(replace(diagnostic, code="W0590", severity=Severity.WARNING))
            elif diagnostic.code != _SILENT:
                sink.add(diagnostic)
        if plan is not None:
            plans.append(plan)
            _check_bounds(evaluator, scenario, plan, sink)
            _check_totals(evaluator, scenario, plan, sink)
    for study in program.own("study"):
        found = Sink()
        asked = lower_study(Evaluator(program, {}, found), study)
        if asked is not None:
            with suppress(Failed):  # it is told
                _check_study(program, asked, read, found)
        sink.found += [d for d in found.found if d.code != _SILENT]
    _report_unused(program, sink)
    report_classes(program, sink)
    return plans


def _check_bounds(evaluator: Evaluator, scenario: Declaration, plan: Plan, sink: Sink) -> None:
    """Warn of a bound that not even a single request on an empty system meets."""
    slo = evaluator.reference(evaluator.instance(scenario), "slo")
    parts = slo.members.clauses("bound") if slo else []
    for condition, part, best in zip(plan.slo, parts, best_of_all(plan), strict=True):
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


def _check_totals(evaluator: Evaluator, scenario: Declaration, plan: Plan, sink: Sink) -> None:
    """Warn of an `expect` that asks for a total of which the cluster does not say enough."""
    parts = evaluator.instance(scenario).members.clauses("expect")
    asked = [e for part in parts if isinstance(part.item, ast.Clause) for e in part.item.objects]
    for condition, expression in zip(plan.expects, asked, strict=True):
        _check_total(condition.formula, expression.span, "an `expect`", plan, sink)


def _check_total(condition: Value, place: Span, what: str, plan: Plan, sink: Sink) -> None:
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


def _check_study(program: Program, study: Study, read: FileReader, sink: Sink) -> None:
    """See that what a study asks has a meaning, and is not in vain, as far as a point tells.

    That is the first. Raises Failed.
    """
    first = study.points(program, {}, sink)[0]
    found = study.search.values[0] if study.search else None
    evaluator = evaluator_at(program, {}, study, first, found, sink)
    for asked in study.asked:
        asked.formula(evaluator)
    evaluator = evaluator_at(program, {}, study, first, found, Sink())
    plan = lower(evaluator, study.scenario, read)
    if plan is None:  # that point cannot be run, and others may
        return
    conditions = [("an `expect`", expected.asked) for expected in study.expects]
    conditions += [("a condition", study.search.condition)] if study.search else []
    for what, asked in conditions:
        _check_total(asked.formula(evaluator), asked.expression.span, what, plan, sink)
    if study.seeds is not None and study.replicates > 1 and is_certain(plan):
        sink.warning(
            "W0512",
            f"{study.replicates} seeds give the same run {study.replicates} times",
            study.seeds,
            "nothing is drawn at random",
            notes=("the interval of a mean would be ± 0, which says nothing of how sure it is",),
            help=("leave `replicate` out, or draw something: `arrivals = poisson(…)`",),
        )


# -- what nothing uses -------------------------------------------------------------------------


def _report_unused(program: Program, sink: Sink) -> None:
    roots = [*program.own("scenario"), *program.own("study")]
    if not roots:
        return  # a file of declarations, for others to import
    reached: set[int] = set()
    open_kinds: set[str] = set()  # of which the command line may choose any
    waiting = list(roots)
    while waiting:
        declaration = waiting.pop()
        if id(declaration) not in reached:
            reached.add(id(declaration))
            if not declaration.module.library:  # which knows nothing of the file
                waiting += _mentioned(program, declaration)
            open_kinds |= _kind_of_param(program, declaration)
    for declaration in program.declarations:
        unused = id(declaration) not in reached and declaration.kind not in open_kinds
        if declaration.module is program.root and unused:
            sink.warning(
                "W0201",
                f"{declaration.kind} `{declaration.name}` is used by no scenario",
                declaration.span,
                "never used",
                help=("remove it, or use it",),
            )


def _kind_of_param(program: Program, declaration: Declaration) -> set[str]:
    """Return the kind of block that a param stands for, if it does."""
    head = declaration.clause.head
    type_ = program.types.get(head) if declaration.kind == "param" and head else None
    return {type_.kind} if isinstance(type_, Reference) else set()


def _mentioned(program: Program, declaration: Declaration) -> list[Declaration]:
    """Return the declarations that the text of one names, wherever in it."""
    found = []
    for node in ast.walk(declaration.clause):
        if not isinstance(node, (ast.Name, ast.Attribute)):
            continue
        named = find(program, declaration.module, node)
        if named is not None and named is not declaration:
            found.append(named)
    return found
