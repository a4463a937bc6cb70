"""Which commands there are. Only the one that is called is loaded, and its options made."""

from __future__ import annotations

import argparse
import re
from copy import copy
from importlib import import_module
from importlib.machinery import ExtensionFileLoader
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NoReturn

from tsdl.diagnostics.suggest import nearest

if TYPE_CHECKING:
    from collections.abc import Collection

# Name, module of this package with its `add_arguments`, help.
_COMMANDS = (
    ("run", "running", "run a scenario and print its summary"),
    ("check", "checking", "check files and say what is wrong"),
    ("fmt", "formatting", "write programs in the one style"),
    ("plan", "planning", "show what would run, and what it assumes"),
    ("validate", "validating", "simulate a scenario and compare it with a measured run"),
    ("calibrate", "calibrating", "fit constants of a scenario to measured runs"),
    ("report", "reporting", "make one page of results, to be read offline"),
    ("plot", "plotting", "draw charts of results as SVG or PNG"),
    (
        "import", "importing",
        "turn a configuration of another simulator, a model or an engine into TSDL",
    ),
    ("tabulate", "tabulation", "ask another model of times once, and write a table and a cost"),
    ("lsp", "serving", "answer an editor on the standard input and output"),
    ("explain", "explaining", "explain the code of a diagnostic"),
    ("completion", "completing", "print a script that completes commands in a shell"),
)  # fmt: skip
NAMES = tuple(name for name, _, _ in _COMMANDS)
_NO_CHOICE = re.compile(r"invalid choice: '(.*)' \(choose from (.*)\)$")  # as argparse says it

_EPILOG = """\
exit status: 0 well, 1 mistakes were found, 2 wrong usage, 3 an `expect` failed or requests
are stuck, 4 the results are partial, 70 a bug in tsdl, 130 interrupted, 143 terminated"""


def make_parser(called: Collection[str] = NAMES) -> argparse.ArgumentParser:
    """Return the parser, in which the commands that are called have their options."""
    parser = _Parser(
        prog="tsdl",
        description="Explore how large language models are served.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, module, told in _COMMANDS:
        command = commands.add_parser(name, help=told)
        if name in called:
            import_module(f"tsdl.cli.{module}").add_arguments(command)
            command.set_defaults(called=name, parser=command)
    return parser


class _Parser(argparse.ArgumentParser):
    _mixing = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # noqa: ANN401
        """Parse what a command was given: flags may stand between its files."""
        if not self._mixing and self._subparsers is None:
            self._mixing = True  # before Python 3.12 the next line calls this method
            found, unknown = self.parse_known_intermixed_args(args, copy(namespace))
            self._mixing = False
            if not unknown:
                return found, unknown
        # What nobody knows is told with the words that follow it: they may be its value.
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Tell of a wrong usage; of a word that is no choice, also what was likely meant."""
        found = _NO_CHOICE.search(message)
        near = nearest(found[1], re.findall(r"[\w-]+", found[2])) if found else None
        super().error(f"{message}; did you mean `{near}`?" if near else message)


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from tsdl import __version__
        from tsdl.modules import EDITIONS
        from tsdl.plan import FORMAT

        print(
            f"tsdl {__version__} (edition {EDITIONS[-1]}, plan format {FORMAT}, "
            f"engines fast, reference{', compiled' if _compiled() else ''})"
        )
        parser.exit()


def _compiled() -> bool:
    """Tell whether the engines are extension modules (hatch_build.py)."""
    engine = find_spec("tsdl.runtime.engine")
    return engine is not None and isinstance(engine.loader, ExtensionFileLoader)
