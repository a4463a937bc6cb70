"""What formulas may raise where they are computed, told as a diagnostic (E0901)."""

from collections.abc import Iterator
from contextlib import contextmanager

from tsdl import formula
from tsdl.diagnostics import Diagnostic, Severity
from tsdl.errors import TsdlError
from tsdl.pythonsource import SOURCE_NAME

# A plan from elsewhere may name what is not there.
_OF_FORMULAS = (
    ArithmeticError, AttributeError, LookupError, NameError, TypeError, ValueError,
)  # fmt: skip


@contextmanager
def formulas_told() -> Iterator[None]:
    """Raise TsdlError where a formula raises anything; what others raise is left as it is."""
    try:
        yield
    except _OF_FORMULAS as error:
        found = _formula_error(error)
        if found is None:
            raise
        raise TsdlError([found]) from error


def _formula_error(error: BaseException) -> Diagnostic | None:
    """Return what went wrong in a formula of the plan; None where it was no formula."""
    divided = isinstance(error, ZeroDivisionError)
    while error.__cause__ is not None:  # SimPy raises a copy of what a process raised
        error = error.__cause__
    trace, name = error.__traceback__, ""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file != formula.__file__:  # its functions fail in the name of who calls them
            name = file
        trace = trace.tb_next
    if not name.startswith(SOURCE_NAME):
        return None
    return Diagnostic(
        "E0901",
        Severity.ERROR,
        f"a formula of {name.removeprefix(SOURCE_NAME).rstrip('>')} has no value: {error}",
        None,
        help=("guard it: `x / y if y > 0 else 0`",) if divided else (),
    )
