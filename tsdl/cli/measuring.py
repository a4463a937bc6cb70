"""What commands that compare with measured runs look at: whether one is of the scenario's model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsdl.cli.shared import tell

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tsdl.measured import Run


def tell_of_another_model(runs: Iterable[Run], served: str) -> None:
    """Warn of runs that name a model of the library, where the scenario has another of it."""
    from tsdl.imports.engines.checkpoints import checkpoint
    from tsdl.imports.library import known
    from tsdl.measured import doubt
    from tsdl.source import Source

    own = known("model", served)
    for run in runs:
        measured = checkpoint(run.model).name if own and run.model else ""
        if own and measured and measured != own:
            title = f"`{run.model}` was measured, and the scenario has `{served}`"
            help_ = f"`{measured}` is that of the run"
            tell([doubt(Source(run.name, ""), title, help_)], "text")
