"""What a run asked measured tables that they have not measured: a warning for each file and axis.

What lies beyond all points of an axis and what falls in a hole between them are told apart.
"""

from collections.abc import Iterable

from tsdl.costs import domain_of
from tsdl.diagnostics import Diagnostic, Severity
from tsdl.interpolation import Asked
from tsdl.plan import Measured
from tsdl.runtime.worker import Worker

_Key = tuple[str, str, str]  # the workers' name, the file, the axis
_Asked = list[tuple[Measured, tuple[float, float]]]  # tables, the least and the greatest asked


def warnings(workers: Iterable[Worker]) -> list[Diagnostic]:
    """Return the warnings of a run, in the order of workers, files and axes; each but once."""
    beyond: dict[_Key, _Asked] = {}
    holes: dict[_Key, _Asked] = {}
    for worker in {id(worker.times): worker for worker in workers}.values():  # one of each group
        for table in worker.kind.cost.tables:
            unmeasured = worker.times.asked[table.name]
            for found, asked in ((beyond, unmeasured.beyond), (holes, unmeasured.holes)):
                _add(found, worker.kind.name, table, asked)
    return [
        *(_beyond(*key, asked) for key, asked in beyond.items()),
        *(_in_hole(*key, asked) for key, asked in holes.items()),
    ]


def _add(
    found: dict[_Key, _Asked],
    group: str,
    table: Measured,
    asked: Asked,
) -> None:
    for axis, ends in sorted(asked.items()):
        found.setdefault((group, table.file, table.axes[axis]), []).append((table, ends))


def _beyond(group: str, file: str, axis: str, asked: _Asked) -> Diagnostic:
    return Diagnostic(
        "W0901",
        Severity.WARNING,
        f"`{group}` asked `{file}` for times beyond what it has measured: {axis} {_range(asked)}",
        None,
        notes=(_measured(axis, asked),),
        help=("measure more, or keep iterations smaller: `max_tokens`, `max_requests`",),
    )


def _in_hole(group: str, file: str, axis: str, asked: _Asked) -> Diagnostic:
    others = dict.fromkeys(a for table, _ in asked for a in table.axes if a != axis)
    names = ", ".join(f"`{other}`" for other in others)
    return Diagnostic(
        "W0901",
        Severity.WARNING,
        f"`{group}` asked `{file}` for times in its holes: {axis} {_range(asked)}",
        None,
        notes=(
            f"{_measured(axis, asked)}, but not at each {names} that it has",
            "times there are reckoned from the points that it has with those others",
        ),
        help=(f"measure as many points of `{axis}` at each {names}",),
    )


def _range(asked: _Asked) -> str:
    low, high = min(least for _, (least, _) in asked), max(most for _, (_, most) in asked)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _measured(axis: str, asked: _Asked) -> str:
    found = {}
    for table, _ in asked:
        low, high = next((a, b) for name, a, b in domain_of(table) if name == axis)
        found[table.name] = f"`{table.name}` has {low:g} to {high:g}"
    return ", ".join(found.values())
