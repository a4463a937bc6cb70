"""Costs in Python: the functions that a plan names, and what is said of their slips."""

from collections.abc import Mapping
from inspect import signature
from math import inf, nan
from numbers import Real
from typing import Any

from tsdl.costs import Ask
from tsdl.diagnostics import Diagnostic
from tsdl.errors import TsdlError
from tsdl.plan import Extern
from tsdl.runtime.slips import in_short, named, raised_at, slip


def asking(externs: Mapping[str, Any]) -> Ask:
    """Return what asks a function by its name, with what it reads, for seconds.

    Raises TsdlError where the function raises, and where it returns no number that is at least 0.
    """

    def ask(name: str, /, **point: float) -> float:
        try:
            answer = externs[name](**point)
            is_number = isinstance(answer, Real) and not isinstance(answer, bool)
            seconds = float(answer) if is_number else nan
        except Exception as error:
            raise TsdlError([_failed(name, point, error)]) from error
        if 0 <= seconds < inf:
            return seconds
        raise TsdlError([_wrong(name, point, answer)])

    return ask


def cannot_be_called(extern: Extern, function: Any) -> Diagnostic | None:  # noqa: ANN401
    """Return why a function cannot be asked with what the cost reads; None where it can."""
    name, reads = extern.name, extern.reads
    if not callable(function):
        what = f"is {type(function).__name__}, and cannot be called"
        return slip(f"the cost `{name}` in Python {what}", (), "hand in a function")
    try:
        signature(function).bind(**dict.fromkeys(reads, 0))
    except TypeError as error:
        return slip(
            f"the cost `{name}` in Python does not take what it reads: {', '.join(reads) or '–'}",
            (str(error),),
            "name its arguments in `reads`: it is called with them by name",
        )
    except ValueError:  # some functions in C do not tell
        return None
    return None


def _failed(name: str, point: Mapping[str, float], error: Exception) -> Diagnostic:
    return slip(
        f"the cost `{name}` in Python fails: {named(error)}",
        (_asked(point), raised_at(error)),
        "it must have an answer for every batch",
    )


def _wrong(name: str, point: Mapping[str, float], answer: object) -> Diagnostic:
    return slip(
        f"the cost `{name}` in Python returns {in_short(repr(answer))}, which is no time",
        (_asked(point),),
        "return seconds: one number, at least 0",
    )


def _asked(point: Mapping[str, float]) -> str:
    return "asked with " + (", ".join(f"{n} = {x:g}" for n, x in point.items()) or "nothing")
