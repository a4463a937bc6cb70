"""The command tabulate: another model of times, asked once, becomes a table and a cost."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tsdl.cli.options import read_share, read_whole
from tsdl.cli.shared import OK, usage_error
from tsdl.wholefiles import put_together, text_put

if TYPE_CHECKING:
    from tsdl.sources import Bounds
    from tsdl.sources.aiconfigurator import AIConfigurator
    from tsdl.sources.genz import GenZ


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    sources = parser.add_subparsers(metavar="SOURCE", required=True, dest="source")
    for name in ("aiconfigurator", "genz"):
        source = sources.add_parser(name)
        source.add_argument("--model", required=True, metavar="NAME", help="by its own name there")
        source.add_argument("--system", required=True, metavar="NAME", help="the device, as there")
        devices = source.add_mutually_exclusive_group()
        devices.add_argument(
            "--tp", type=read_whole, metavar="N", help="devices of a worker (else 1)"
        )
        if name == "aiconfigurator":
            devices.add_argument(
                "--ep", type=read_whole, metavar="N", help="devices that divide the experts whole"
            )
            source.add_argument("--backend", default="vllm", help="vllm, trtllm or sglang")
        else:
            source.add_argument(
                "--efficiency", type=_share_reached, default=1.0, metavar="SHARE",
                help="what is reached of the peaks (else 100 %%)",
            )  # fmt: skip
        for bound, usual in (("tokens", 8192), ("requests", 256), ("context", 8192)):
            source.add_argument(
                f"--max-{bound}", dest=bound, type=read_whole, default=usual, metavar="N",
                help=f"how far the table goes (else {usual})",
            )  # fmt: skip
        source.add_argument(
            "-o", dest="output", required=True, metavar="FILE", help="the .tsim file; a .csv beside"
        )
    parser.set_defaults(command=tabulate)


def _share_reached(text: str) -> float:
    share = 1.0 if text.replace(" ", "") in ("100%", "1", "1.0") else read_share(text)
    if share == 0:
        raise argparse.ArgumentTypeError("nothing is reached then")
    return share


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
        declared = _declared(identifier(path.stem), table.name, times.title, bounds)
        put_together([(table, text_put(found.text)), (path, text_put(declared))])
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
