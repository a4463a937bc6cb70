"""The command tabulate: another model of times, asked once, becomes a table and a cost."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tsdl.cli.shared import OK, usage_error

if TYPE_CHECKING:
    import argparse

    from tsdl.sources import Bounds
    from tsdl.sources.aiconfigurator import AIConfigurator
    from tsdl.sources.genz import GenZ


def tabulate(arguments: argparse.Namespace) -> int:
    """Ask a model of times at the points of a grid, and write the table and its cost."""
    from tsdl.imports.library import identifier
    from tsdl.sources import Bounds, NoSource
    from tsdl.sources import tabulate as ask

    path = Path(arguments.output)
    table = path.with_suffix(".csv")
    if path.suffix != ".tsim":
        return usage_error(f"{arguments.output!r} is no name of a .tsim file")
    bounds = Bounds(arguments.tokens, arguments.requests, arguments.context)
    try:
        times = _source(arguments)
    except NoSource as error:
        return usage_error(str(error))
    found = ask(times, bounds)
    if found.silent:
        missing = ", ".join(found.silent)
        return usage_error(f"{times.title} has no times of {missing}: {found.reason}")
    if found.holes:
        print(
            f"tsdl: {found.holes:,} of {found.holes + found.points:,} points have no time; the "
            f"first: {found.reason}",
            file=sys.stderr,
        )
    try:
        table.write_text(found.text, "utf-8")
        path.write_text(_declared(identifier(path.stem), table.name, times.title, bounds), "utf-8")
    except OSError as error:
        return usage_error(f"cannot write {arguments.output!r}: {error.strerror or error}")
    return OK


def _source(arguments: argparse.Namespace) -> AIConfigurator | GenZ:
    """Return what is asked. Raises NoSource."""
    model, system, devices = arguments.model, arguments.system, arguments.tp or 1
    if arguments.source == "genz":
        from tsdl.sources.genz import genz

        return genz(model, system, arguments.efficiency, devices)
    from tsdl.sources.aiconfigurator import aiconfigurator

    experts = arguments.ep
    return aiconfigurator(
        model, system, arguments.backend, experts or devices, whole_experts=experts is not None
    )


def _declared(name: str, table: str, title: str, bounds: Bounds) -> str:
    """Return a file that declares a cost of a table; it says where that is from, and how far."""
    from tsdl import __version__
    from tsdl.writing import Block, render

    notes = (
        f"{title}.",
        f"Asked for up to {bounds.tokens:,} tokens and {bounds.requests:,} requests of an "
        f"iteration, and contexts of {bounds.context:,} tokens.",
    )
    cost = Block(f'cost {name} from tabulated("{table}")', notes=notes)
    return render([f"Written by tsdl {__version__}: `tsdl tabulate`."], [cost])
