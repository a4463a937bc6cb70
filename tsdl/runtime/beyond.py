"""What a run asked measured tables beyond their points: a warning for each file and axis."""

from collections.abc import Iterable

from tsdl.costs import domain_of
from tsdl.diagnostics import Diagnostic, Severity
from tsdl.runtime.worker import Worker


def warnings(workers: Iterable[Worker]) -> list[Diagnostic]:
    """Return the warnings of a run, in the order of workers, files and axes; each but once."""
    asked: dict[tuple[str, str, str], list[float]] = {}
    tables: dict[tuple[str, str, str], dict[str, tuple[float, float]]] = {}
    for worker in workers:
        for table in worker.kind.cost.tables:
            for axis, numbers in sorted(worker.asked[table.name].items()):
                key = (worker.kind.name, table.file, table.axes[axis])
                asked.setdefault(key, []).extend(numbers)
                tables.setdefault(key, {})[table.name] = domain_of(table)[axis][1:]
    return [_warning(*key, numbers, tables[key]) for key, numbers in asked.items()]


def _warning(
    group: str, file: str, axis: str, asked: list[float], tables: dict[str, tuple[float, float]]
) -> Diagnostic:
    low, high = min(asked), max(asked)
    numbers = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    measured = (f"`{name}` has {first:g} to {last:g}" for name, (first, last) in tables.items())
    return Diagnostic(
        "W0901",
        Severity.WARNING,
        f"`{group}` asked `{file}` for times beyond what it has measured: {axis} {numbers}",
        None,
        notes=(", ".join(measured),),
        help=("measure more, or keep iterations smaller: `max_tokens`, `max_requests`",),
    )
