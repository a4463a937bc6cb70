"""Whether the workers that policies scale can be scaled, and those that can be are."""

from collections.abc import Iterator, Sequence

from tsdl import ast
from tsdl.diagnostics.suggest import nearest
from tsdl.evaluate import Evaluator, Instance
from tsdl.lower.clusters import Standing, fewest_of, parallel_of
from tsdl.lower.ineffective import report_ineffective
from tsdl.plan import Workers
from tsdl.source import Span


def check_scaled(
    evaluator: Evaluator,
    router: tuple[Instance, Span],
    standings: Sequence[Standing],
    workers: Sequence[Workers],
) -> None:
    """See that what a policy scales has a range, and warn where nobody scales. Raises Failed.

    The policy comes with the place that names it: what the library wrote is told there.
    """
    policy, named = router
    scaled = set()
    for part in evaluator.inner(policy, "global").members.clauses("on"):
        for name in _scaled_in(part.item):
            scaled.add(name.id)
            place = named if part.owner.module.library else name.span
            _check_group(evaluator, name.id, place, workers)
    extern = evaluator.get(policy, "extern") is not None
    for standing in standings:
        worker = standing.worker
        _check_ranks(evaluator, worker)
        _report_ineffective(evaluator, worker)
        if fewest_of(evaluator, worker) is None:
            continue
        if worker.members.name not in scaled and not extern:
            _warn(evaluator, worker, policy)


def _check_ranks(evaluator: Evaluator, worker: Instance) -> None:
    """See that workers in lock-step stay as they are: none could go on without the others."""
    ranks = parallel_of(evaluator, worker).ranks
    for key, what, remedy in (
        ("scale", "are not scaled", f"write `* {ranks}`"),
        ("failures", "do not fail", "leave `failures` out"),
    ):
        if ranks > 1 and evaluator.get(worker, key) is not None:
            raise evaluator.fail(
                "E0528",
                f"{ranks} ranks go in lock-step, and {what}",
                evaluator.span(worker, key),
                f"worker `{worker.members.name}`",
                help=(f"{remedy}, or leave `ranks` out",),
            )


def _report_ineffective(evaluator: Evaluator, worker: Instance) -> None:
    """Warn of times of workers that never fail, and are up from the beginning."""
    if evaluator.get(worker, "failures") is not None:
        return
    why = f"workers `{worker.members.name}` do not fail"
    remedy = "write `failures = exponential(mean = 200 h)`, or leave it out"
    report_ineffective(evaluator, worker, ("repair",), why, remedy)
    if fewest_of(evaluator, worker) is None:
        why = f"workers `{worker.members.name}` neither are scaled nor fail"
        remedy = "write how many there may be, `* 1..8`, or `failures`; or leave it out"
        report_ineffective(evaluator, worker, ("start",), why, remedy)


def _check_group(evaluator: Evaluator, name: str, place: Span, workers: Sequence[Workers]) -> None:
    found = [kind for kind in workers if kind.name == name]
    if any(kind.fewest is not None for kind in found):
        return
    near = nearest(name, [kind.name for kind in workers])
    remedy = f"write how many there may be: `worker {name} * 2..8 {{ … }}`"
    if not found and near:
        remedy = f"did you mean `{near}`?"
    why = f"workers `{name}` have no range" if found else f"no workers are called `{name}`"
    raise evaluator.fail("E0530", f"{why}, so that nothing can be scaled", place, help=(remedy,))


def _warn(evaluator: Evaluator, worker: Instance, policy: Instance) -> None:
    name, fewest = worker.members.name, fewest_of(evaluator, worker)
    evaluator.sink.warning(
        "W0520",
        f"no handler of `{policy.name}` scales `{name}`: {fewest} are up all the time",
        evaluator.span(worker, "scale"),
        help=(f"write `on every(5 s) {{ scale {name} to … }}` in its global stage",),
    )


def _scaled_in(item: object) -> Iterator[ast.Name]:
    for node in ast.walk(item):
        match node:
            case ast.Clause(verb="scale", objects=(ast.Name() as name,)):
                yield name
