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

    from tsdl.calibration import Calibration as Calibration
    from tsdl.measured import Run as Run
    from tsdl.runtime.result import Result as Result
    from tsdl.runtime.tables import Table as Table
    from tsdl.studies import Answer as Answer
    from tsdl.validation import Validation as Validation

__all__ = [
    "Answer", "Calibration", "Diagnostic", "NoTime", "Plan", "Result", "Run", "Severity", "Table",
    "TsdlError", "Validation", "__version__", "calibrate", "check", "compile", "read_run", "study",
    "tabulate", "validate",
]  # fmt: skip
__version__ = "0.1.0"

# What functions return, for annotations: loaded when somebody asks, since numpy comes with it.
_RETURNED = {
    "Answer": "tsdl.studies",
    "Calibration": "tsdl.calibration",
    "Result": "tsdl.runtime.result",
    "Run": "tsdl.measured",
    "Table": "tsdl.runtime.tables",
    "Validation": "tsdl.validation",
}


def __getattr__(name: str) -> object:
    """Return a type by its name. Raises AttributeError for a name that there is not."""
    if name not in _RETURNED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_RETURNED[name]), name)


def __dir__() -> list[str]:
    """Return the names that are for everybody: those that are not loaded yet, and no modules."""
    return __all__


def load_ipython_extension(shell: "InteractiveShell") -> None:
    """Give a notebook the magic `%%tsdl`: `%load_ext tsdl` calls this."""
    from tsdl.notebook import load

    load(shell)
