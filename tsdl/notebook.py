"""`%%tsdl` in notebooks: a cell is a program, and shows what it comes to. Only this knows IPython.

`%load_ext tsdl` calls `load`.
"""

from __future__ import annotations

import argparse
import builtins
import keyword
import re
import shlex
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from IPython.core.error import UsageError

from tsdl import api
from tsdl.cli.apart import IN_CELLS, wrong_together
from tsdl.cli.limiting import not_there
from tsdl.cli.options import add_constants, add_params, read_seed, read_whole
from tsdl.diagnostics import Diagnostic, Severity
from tsdl.diagnostics.text import render_all
from tsdl.errors import TsdlError
from tsdl.runtime.run import extern_names

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from tsdl.runtime.result import Result
    from tsdl.studies import Answer


_PUT_IN = re.compile(r"\{\s*(?P<name>[^\W\d]\w*)[^{}]*\}")


def load(shell: InteractiveShell) -> None:
    """Give a shell the magic."""
    magic = _Magic(shell)

    def tsdl(line: str, cell: str) -> Result | Answer | None:
        return magic.run(line, cell)

    tsdl.__doc__ = magic.parser.format_help()  # what `%%tsdl?` shows
    shell.magics_manager.register_function(tsdl, magic_kind="cell")


class CellError(TsdlError):
    """What is wrong with a cell: shown as diagnostics, without the Python that found it."""

    def __init__(self, diagnostics: list[Diagnostic], *, color: bool) -> None:
        """Keep the diagnostics, and whether they are shown in color."""
        super().__init__(diagnostics)
        self._color = color

    def _render_traceback_(self) -> list[str]:
        """Return the lines that IPython shows in the place of a traceback."""
        return render_all(self.diagnostics, color=self._color).splitlines()


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Tell as IPython tells of a wrong use of a magic."""
        raise UsageError(f"{message}\n{self.format_help()}")


class _Magic:
    """The magic of one shell, and the cells that others import."""

    def __init__(self, shell: InteractiveShell) -> None:
        """Know no cells yet."""
        self._shell = shell
        self._files: dict[str, str] = {}
        self.parser = _make_parser()

    def run(self, line: str, cell: str) -> Result | Answer | None:
        """Run the scenario of a cell, or a study; return the result."""
        self._see_put_in(line)
        try:
            arguments = self.parser.parse_args(shlex.split(line))
        except ValueError as error:  # quotes that do not end
            raise UsageError(str(error)) from None
        if wrong := wrong_together(arguments, IN_CELLS) or not_there(arguments.allowed or []):
            self.parser.error(wrong)
        text = "\n" + cell  # lines count from the one of the magic
        try:
            found = self._found(text, arguments)
        except TsdlError as error:
            raise CellError(error.diagnostics, color=self._color) from None
        if arguments.variable and found is not None:
            self._shell.user_ns[arguments.variable] = found
        return found

    def _see_put_in(self, line: str) -> None:
        """See that all values are put in: IPython leaves the line as it is where one is not there.

        Raises UsageError.
        """
        for left in _PUT_IN.finditer(line):
            name = left["name"]
            if name not in self._shell.user_ns and not hasattr(builtins, name):
                raise UsageError(f"there is no variable `{name}`, which `{left[0]}` puts in")

    def _found(self, text: str, arguments: argparse.Namespace) -> Result | Answer | None:
        outside: dict[str, Any] = {"files": self._files, "allow": arguments.allowed}
        if arguments.file:
            self._keep(text, arguments.file, outside)
            return None
        params, constants = dict(arguments.params), dict(arguments.constants)
        if arguments.study:
            answer = api.study(
                text,
                arguments.study,
                params=params,
                constants=constants,
                seed=arguments.seed,
                jobs=arguments.jobs,
                **outside,
            )
            self._tell(answer.warnings)
            return answer
        plan = api.compile(text, params, arguments.scenario, constants=constants, **outside)
        known = self._shell.user_ns
        python = {name: known[name] for name in extern_names(plan) if name in known}
        result = plan.with_externs(python).run(arguments.seed)
        self._tell(result.warnings)
        return result

    def _keep(self, text: str, name: str, outside: dict[str, Any]) -> None:
        """Check a cell, and keep it for others. Raises TsdlError."""
        found = api.check(text, **outside)
        if any(d.severity is Severity.ERROR for d in found):
            raise TsdlError(found)
        self._tell(found)
        self._files[name] = text

    def _tell(self, found: list[Diagnostic]) -> None:
        if found:
            print(render_all(found, color=self._color), file=sys.stderr)

    @property
    def _color(self) -> bool:
        return str(self._shell.colors).lower() != "nocolor"


def _make_parser() -> _Parser:
    parser = _Parser(
        prog="%%tsdl",
        add_help=False,
        description="Run the scenario of a cell, or a study. Policies and costs that are Python "
        "are variables of the notebook with their names.",
    )
    parser.set_defaults(parser=parser)
    parser.add_argument("variable", type=_variable, nargs="?", help="which keeps what comes of it")
    add_params(parser)
    add_constants(parser)
    parser.add_argument("--scenario", metavar="NAME", help="which, if the cell has several")
    parser.add_argument("--study", metavar="NAME", help="run this study, and no scenario")
    parser.add_argument("--seed", type=read_seed, metavar="N", help="seed of the random streams")
    parser.add_argument("--jobs", type=read_whole, metavar="N", help="processes of a study")
    parser.add_argument(
        "--allow", dest="allowed", action="append", metavar="FOLDER",
        help="let the cell name files in FOLDER alone",
    )  # fmt: skip
    parser.add_argument(
        "--as", dest="file", metavar="FILE",
        help="run nothing: check the cell, and keep it under a name that others import",
    )  # fmt: skip
    return parser


def _variable(text: str) -> str:
    """Read a name that Python takes. Raises ArgumentTypeError."""
    if not text.isidentifier() or keyword.iskeyword(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name of a variable")
    return text
