"""What formulas may raise where they are computed, and what cannot be, as diagnostics."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import inf

from tsdl import formula
from tsdl.diagnostics import Diagnostic, Severity
from tsdl.errors import TsdlError
from tsdl.plan import Place
from tsdl.pythonsource import SOURCE_NAME

# A plan from elsewhere may name what is not there.
_OF_FORMULAS = (
    ArithmeticError, AttributeError, LookupError, NameError, TypeError, ValueError,
)  # fmt: skip


CALLER = ""  # in place of a part: that whose formula called


class CannotBe(Exception):
    """A formula of a part of a plan gave what cannot be, as a time below zero."""

    def __init__(self, part: str, title: str, remedy: str, note: str = "") -> None:
        """Keep all of it as arguments: SimPy raises a copy."""
        super().__init__(part, title, remedy, note)
        self.part, self.title, self.remedy, self.note = part, title, remedy, note


def cannot_be(seconds: float) -> bool:
    """Tell whether a time is none: less than nothing, without an end, or no number."""
    return not 0 <= seconds < inf


OF_FORMULAS = {formula.__file__}  # files of functions that formulas call


@contextmanager
def formulas_told(places: Iterable[Place]) -> Iterator[None]:
    """Raise TsdlError where a formula raises anything; what others raise is left as it is.

    `places` are those of the parts of the plan.
    """
    try:
        yield
    except CannotBe as error:
        part = error.part or (_formulas_of(_first(error)) or [error.part])[-1]
        notes = (*filter(None, [error.note]), *_where(part, places))
        raise TsdlError(
            [Diagnostic("E0902", Severity.ERROR, error.title, None, "", (), notes, (error.remedy,))]
        ) from error
    except _OF_FORMULAS as error:
        found = _formula_error(error, places)
        if found is None:
            raise
        raise TsdlError([found]) from error


def _formula_error(error: BaseException, places: Iterable[Place]) -> Diagnostic | None:
    """Return what went wrong in a formula of the plan; None where it was no formula."""
    error = _first(error)
    divided = isinstance(error, ZeroDivisionError)
    # Functions of formulas fail in the name of who calls them.
    files = [file for file in _files(error) if file not in OF_FORMULAS]
    if not files or not files[-1].startswith(SOURCE_NAME):
        return None
    part = _part(files[-1])
    return Diagnostic(
        "E0901",
        Severity.ERROR,
        f"a formula of {part} has no value: {formula.why_none(error)}",
        None,
        notes=_where(part, places),
        help=("guard it: `x / y if y > 0 else 0`",) if divided else (),
    )


def nothing_to_choose(error: BaseException, places: Iterable[Place]) -> Diagnostic:
    """Say that a formula of the plan chose from a list that is empty."""
    part = (_formulas_of(_first(error)) or ["a policy"])[-1]
    return Diagnostic(
        "E0901",
        Severity.ERROR,
        f"a formula of {part} chooses from a list that is empty",
        None,
        notes=_where(part, places),
        help=("guard it: `… if count(x for x in LIST) > 0 else …`",),
    )


def _first(error: BaseException) -> BaseException:
    """Return what was raised first: SimPy raises a copy of what a process raised."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _formulas_of(error: BaseException) -> list[str]:
    """Return the parts whose formulas an error came through, the innermost last."""
    return [_part(file) for file in _files(error) if file.startswith(SOURCE_NAME)]


def _files(error: BaseException) -> list[str]:
    """Return the files of the calls that an error came through, the innermost last."""
    found, trace = [], error.__traceback__
    while trace is not None:
        found.append(trace.tb_frame.f_code.co_filename)
        trace = trace.tb_next
    return found


def _part(file: str) -> str:
    return file.removeprefix(SOURCE_NAME).removesuffix(">")


def _where(part: str, places: Iterable[Place]) -> tuple[str, ...]:
    """Return a line for each place where a part stands in the program."""
    return tuple(f"{part}: {place.place}" for place in places if place.part == part)
