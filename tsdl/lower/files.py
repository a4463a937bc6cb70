"""Files that a program names: read, or a reason why not; and in which unit their times are."""

from collections.abc import Callable

from tsdl.evaluate import Evaluator, Instance
from tsdl.evaluate.values import Path
from tsdl.reading import how_to, why_not
from tsdl.source import Span
from tsdl.tables import other_unit
from tsdl.writing import seconds

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


def check_unit(evaluator: Evaluator, block: Instance, key: str) -> None:
    """Warn of a column of times, named by a field, that says another unit than `unit` beside it."""
    column, size = evaluator.word(block, key), evaluator.real(block, "unit")
    unit = other_unit(column, size)
    if unit:
        evaluator.sink.warning(
            "W0610",
            f"column `{column}` is read in units of {seconds(size)}",
            evaluator.span(block, "unit" if "unit" in block.members.fields else key),
            help=(f"write `unit = 1 {unit}`",),
        )
