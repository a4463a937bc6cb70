"""A measured run whose clients waited for answers, beside a workload whose clients do not."""

from collections.abc import Iterator
from pathlib import PurePath

from tsdl.diagnostics import Diagnostic
from tsdl.measured import Run, doubt
from tsdl.planworkload import Workload
from tsdl.source import Source


def of_closed_loop(run: Run, workload: Workload) -> Iterator[Diagnostic]:
    """Yield the warning of a closed loop that is simulated as an open one.

    Its requests came when others had ended. Replayed at these times, they come to a slower system
    as fast as to the one that was measured.
    """
    most = run.concurrency
    if not most or workload.concurrency or workload.sessions or run.most_open < most:
        return
    name = PurePath(run.name).name
    replayed = f'trace = "{name}"; speed = 1e6; ' if workload.replay else ""
    yield doubt(
        Source(run.name, ""),
        f"no more than {most:,} requests of the run were open at once, here as many as arrive",
        f"to send each when another has ended: `{replayed}concurrency = {most}`",
    )
