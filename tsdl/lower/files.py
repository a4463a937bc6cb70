"""Files that a program names: read, or a reason why not."""

from collections.abc import Callable

from tsdl.evaluate import Evaluator
from tsdl.evaluate.values import Path
from tsdl.reading import how_to, why_not
from tsdl.source import Span

# Reads a file by its path and the file that it is relative to; returns its name and text.
FileReader = Callable[[Path], tuple[str, str]]


def read_named(evaluator: Evaluator, path: Path, place: Span, read: FileReader) -> tuple[str, str]:
    """Return name and text of a file. Raises Failed where it cannot be read."""
    try:
        return read(path)
    except UnicodeDecodeError as error:
        title = f"cannot read `{path.text}`: {why_not(error)}"
        raise evaluator.fail("E0108", title, place) from None
    except (OSError, ValueError) as error:
        beside = "the working folder" if not path.beside else "the file that names it"
        raise evaluator.fail(
            "E0604",
            f"cannot read `{path.text}`: {why_not(error)}",
            place,
            help=how_to(error, beside),
        ) from None
