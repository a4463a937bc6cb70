"""What formulas may raise where they are computed, and what cannot be, as diagnostics."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from math import inf
from types import TracebackType

from tsdl import formula
from tsdl.diagnostics import Diagnostic, Severity
from tsdl.errors import TsdlError
from tsdl.formula import Formula, Value, symbol
from tsdl.parts import of_cost, of_field, of_statement
from tsdl.plan import WORK, Cost, Plan
from tsdl.plantold import Place
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


def see_to_size(value: object, verb: str) -> None:
    """See that a double can hold a number that a handler tells. Raises CannotBe."""
    if not isinstance(value, int):
        return
    try:
        float(value)
    except OverflowError:
        raise CannotBe(
            CALLER,
            f"a handler {verb} a number that no double can hold",
            "what is multiplied by itself again and again has no end: keep it smaller",
        ) from None


# What the functions are called that handlers of both stages become.
OF_A_WORKER, OF_THE_CLUSTER = "handle", "handle_of_cluster"
OF_FORMULAS = {formula.__file__}  # files of functions that formulas call


@contextmanager
def formulas_told(plan: Plan, now: Callable[[], float | None] = lambda: None) -> Iterator[None]:
    """Raise TsdlError where a formula of a plan raises anything; others' errors stay as they are.

    `now` is asked for the simulated time, where that is known.
    """
    places = plan.places
    try:
        yield
    except CannotBe as error:
        first = _first(error)
        part = error.part or (_formulas_of(first) or [error.part])[-1]
        notes = (*filter(None, [error.note, _when(first, now())]), *_where(part, places))
        raise TsdlError(
            [Diagnostic("E0902", Severity.ERROR, error.title, None, "", (), notes, (error.remedy,))]
        ) from error
    except _OF_FORMULAS as error:
        found = _formula_error(error, plan, now())
        if found is None:
            raise
        raise TsdlError([found]) from error


def _formula_error(error: BaseException, plan: Plan, now: float | None) -> Diagnostic | None:
    """Return what went wrong in a formula of the plan; None where it was no formula."""
    error = _first(error)
    divided = isinstance(error, ZeroDivisionError)
    # Functions of formulas fail in the name of who calls them.
    files = [file for file in _files(error) if file not in OF_FORMULAS]
    if not files or not files[-1].startswith(SOURCE_NAME):
        return None
    part, what = _part(files[-1]), f"a formula of {_part(files[-1])}"
    where = _where(_statement_in(error, part) or part, plan.places) or _where(part, plan.places)
    if (found := _field_in(error, part, plan)) is not None:
        what = found
        where = _where(found, plan.places) or where
    return Diagnostic(
        "E0901",
        Severity.ERROR,
        f"{what} has no value: {formula.why_none(error)}",
        None,
        notes=(*filter(None, [_when(error, now)]), *where),
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


def _frames(error: BaseException) -> Iterator[TracebackType]:
    """Yield the calls of formulas that an error came through, the innermost first."""
    found, trace = [], error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.startswith(SOURCE_NAME):
            found.append(trace)
        trace = trace.tb_next
    yield from reversed(found)


def _when(error: BaseException, now: float | None) -> str:
    """Say at what time something failed, and of which request, where these are known."""
    if now is None:
        return ""
    # In a selection who is looked at, in a handler whom it is told of, else who a loop is at.
    about = [v for trace in _frames(error) for v in trace.tb_frame.f_locals.values()]
    numbers = (value.id for value in about if hasattr(value, "prompt") and hasattr(value, "id"))
    number = next(numbers, None)
    of = "" if number is None else f", of request {number}"
    return f"at {now:.6g} s of simulated time{of}"


def _statement_in(error: BaseException, part: str) -> str | None:
    """Return the statement of a handler in which it failed; None before the first."""
    for trace in _frames(error):
        code = trace.tb_frame.f_code
        if _part(code.co_filename) == part and code.co_name in (OF_A_WORKER, OF_THE_CLUSTER):
            number, of_the_cluster = trace.tb_lineno - 1, code.co_name == OF_THE_CLUSTER
            return of_statement(part, number, of_the_cluster=of_the_cluster) if number else None
    return None


def _field_in(error: BaseException, part: str, plan: Plan) -> str | None:
    """Return the field of an operator whose formula failed, looked for one after another."""
    known: dict[Formula, Value] = {}
    for trace in _frames(error):
        known |= {symbol(n): v for n, v in trace.tb_frame.f_locals.items() if type(v) is int}
    for cost in (cost for kind in plan.workers for cost in (kind.cost, *kind.pipeline)):
        if of_cost(cost) == part and (found := _field_of(cost, known)) is not None:
            return found
    return None


def _field_of(cost: Cost, known: Mapping[Formula, Value]) -> str | None:
    for kernel in (kernel for stage in cost.stages for kernel in stage.kernels):
        whole = kernel.name == "iteration" and kernel.work_class == "formula"  # of no operator
        if not whole and _lacks(kernel.time, known):
            fields = WORK if kernel.source == "roofline" else ()
            lacking = (key for key in fields if _lacks(getattr(kernel, key), known))
            return of_field(next(lacking, "time"), kernel.name)
    return None


def _lacks(value: Value, known: Mapping[Formula, Value]) -> bool:
    try:
        formula.substituted(value, known)
    except ArithmeticError:
        return True
    return False


def _part(file: str) -> str:
    return file.removeprefix(SOURCE_NAME).removesuffix(">")


def _where(part: str, places: Iterable[Place]) -> tuple[str, ...]:
    """Return a line for each place where a part stands in the program."""
    return tuple(f"{part}: {place.place}" for place in places if place.part == part)
