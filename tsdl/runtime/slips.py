"""What is said of slips in the Python that a plan names, costs and policies alike (E0904)."""

from pathlib import PurePath
from traceback import extract_tb

from tsdl.diagnostics import Diagnostic, Severity

_OWN = PurePath(__file__).parents[1]  # the package
_LONGEST = 100  # of what is shown of an answer or an error


def slip(title: str, notes: tuple[str, ...], remedy: str) -> Diagnostic:
    """Return what is told of a slip."""
    return Diagnostic(
        "E0904", Severity.ERROR, title, None, notes=tuple(filter(None, notes)), help=(remedy,)
    )


def in_short(text: str) -> str:
    """Return a text in one line that is not too long."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def named(error: Exception) -> str:
    """Return what was raised, and what it says."""
    said = in_short(str(error))
    return f"{type(error).__name__}{said and ': '}{said}"


def raised_at(error: Exception) -> str:
    """Say where something was raised: the last place that is the program's, or "" without one."""
    frames = extract_tb(error.__traceback__)
    frame = next((f for f in reversed(frames) if _OWN not in PurePath(f.filename).parents), None)
    return f"raised at {PurePath(frame.filename).name}:{frame.lineno}" if frame else ""
