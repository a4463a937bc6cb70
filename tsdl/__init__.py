"""TSDL: a declarative language for exploring how large language models are served."""

from typing import TYPE_CHECKING

from tsdl.api import Plan as Plan
from tsdl.api import calibrate as calibrate
from tsdl.api import check as check
from tsdl.api import compile as compile  # noqa: A004
from tsdl.api import read_run as read_run
from tsdl.api import study as study
from tsdl.api import tabulate as tabulate
from tsdl.api import validate as validate
from tsdl.diagnostics import Diagnostic as Diagnostic
from tsdl.diagnostics import Severity as Severity
from tsdl.errors import TsdlError as TsdlError
from tsdl.sources.times import NoTime as NoTime

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__version__ = "0.1.0"


def load_ipython_extension(shell: "InteractiveShell") -> None:
    """Give a notebook the magic `%%tsdl`: `%load_ext tsdl` calls this."""
    from tsdl.notebook import load

    load(shell)
