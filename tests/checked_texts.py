"""Texts checked as `tsdl check` does it: every stage, and every scenario lowered to a plan.

A text may be told any number of mistakes, at places that exist. It may not raise, nor take long.
"""

import traceback
from collections.abc import Callable

import pytest

from tests.limits import within
from tsdl.diagnostics import Diagnostic
from tsdl.diagnostics.codes import CATALOGUE
from tsdl.diagnostics.text import render_all
from tsdl.plan import Plan
from tsdl.session import Session

SECONDS, SECONDS_OF_LARGE = 2.0, 6.0


class TooSlow(BaseException):
    """The compiler has used up its time. No `except Exception` may catch it."""


def no_file(path: str) -> str:
    raise FileNotFoundError(2, "No such file or directory", path)


def diagnose(text: str, read: Callable[[str], str] = no_file) -> list[Diagnostic]:
    """Return all that is found in a text; see that it can be shown."""
    return examine(text, read)[0]


def examine(text: str, read: Callable[[str], str] = no_file) -> tuple[list[Diagnostic], list[Plan]]:
    """Return all that is found in a text, and its plans; see that what was found can be shown."""
    session = Session("it.tsim", text, read)
    program, sink = session.compile()
    plans = [] if sink.has_errors else session.verify(program, sink)
    found = sink.sorted()
    for diagnostic in found:
        assert diagnostic.code in CATALOGUE, diagnostic.code
        for span in (diagnostic.span, *(label.span for label in diagnostic.secondary)):
            assert span is None or 0 <= span.start <= span.end <= len(span.source.text), span
    render_all(found)
    return found, plans


def codes(text: str, seconds: float = SECONDS, read: Callable[[str], str] = no_file) -> list[str]:
    """Return the codes of all that is found in a text. Fails where that raises, or takes long."""
    try:
        with within(seconds, TooSlow):
            return [diagnostic.code for diagnostic in diagnose(text, read)]
    except (Exception, TooSlow) as error:  # pytest would take minutes over a deep recursion
        place = traceback.extract_tb(error.__traceback__)[-1]
        shown = text if len(text) < 3_000 else f"{text[:1_000]} … {text[-1_000:]}"
        reason = f"{type(error).__name__}: {str(error)[:200]}\n{place.filename}:{place.lineno}"
    pytest.fail(f"{reason}\n{shown!r}", pytrace=False)
