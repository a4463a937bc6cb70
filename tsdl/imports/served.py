"""Which model a measured run is of, where the library has it and the scenario has another."""

from collections.abc import Iterator, Sequence

from tsdl.diagnostics import Diagnostic
from tsdl.imports.engines.checkpoints import checkpoint
from tsdl.imports.library import known
from tsdl.measured import Run, doubt
from tsdl.measured.doubts import doubts
from tsdl.source import Source


def doubts_of(run: Run, served: Sequence[str]) -> tuple[Diagnostic, ...]:
    """Return what in a measured run contradicts itself, or the models that are served."""
    return (*doubts(run, Source(run.name, "")), *of_another_model(run, served))


def of_another_model(run: Run, served: Sequence[str]) -> Iterator[Diagnostic]:
    """Yield the warning of a run that names another model of the library than those served."""
    own = [known("model", name) for name in served]
    measured = checkpoint(run.model).name if all(own) and run.model else ""
    if measured and measured not in own:
        names = " and ".join(f"`{name}`" for name in served)
        yield doubt(
            Source(run.name, ""),
            f"`{run.model}` was measured, and the scenario has {names}",
            f"`{measured}` is that of the run",
        )
