"""Text to lines of named cells: CSV under a header, or one JSON object a line."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from tsdl.diagnostics import Sink
from tsdl.source import Source, Span

Cells = Mapping[str, object]
_NO_CSV = {"unexpected end of data": "a quote is never closed"}  # what Python says of it
# What Python says of JSON in words that a place has to follow.
_NO_JSON = {
    "Unterminated string starting at": "a text is never closed",
    "Invalid control character at": "a control character stands in a text",
}
_SHOWN = 80  # characters of a value
_OTHERS = {";": "`;`", "\t": "tabs", "|": "`|`"}  # separators that others write


class Lines(Struct, frozen=True):
    """A file as lines: number (from 1) and cells, or why there are none.

    `names` are those of the header, or of the first object (none where it is no object); `first`
    is where they stand, `named` tells whether a header gives them. Requests of a file that is one
    document are `counted` in messages: a line may hold several. `empty` is the number of rows whose
    cells are all empty; they are not among `rows`. `instead` is what to write where arrivals lack.
    """

    names: tuple[str, ...]
    first: int
    named: bool
    rows: Iterable[tuple[int, Cells | str]]
    counted: bool = False
    empty: int = 0
    instead: str = ""

    def has(self, names: Iterable[str]) -> bool:
        """Tell whether all these names are there."""
        return set(names) <= set(self.names)


def csv_lines(source: Source, sink: Sink) -> Lines | None:
    """Return the rows under a header; None where there is no such table at all."""
    reader = csv.reader(io.StringIO(source.text), strict=True)
    lines: list[tuple[int, list[str]]] = []
    read = empty = 0  # lines of the text, in whole rows
    try:
        for row in reader:
            read = reader.line_num
            if any(row):
                lines.append((read, row))
            elif row and lines:  # a line without a comma is no row
                empty += 1
    except csv.Error as error:
        reason = _NO_CSV.get(str(error), str(error))
        place = source.line_span(min(read + 1, source.text.count("\n") + 1))
        sink.error("E0601", f"this is not a CSV file: {reason}", place, "in this row")
        return None
    if not lines:
        sink.error("E0601", "the file has no rows", Span(source, 0, 0))
        return None
    header = tuple(cell.strip() for cell in lines[0][1])
    if len(header) == 1 and (found := next((s for s in _OTHERS if s in header[0]), None)):
        title = f"the cells of this file are separated by {_OTHERS[found]}, not by commas"
        help_ = "write it with commas, and numbers with a point: `0.5,128,64`"
        sink.error("E0601", title, source.line_span(lines[0][0]), "in this row", help=(help_,))
        return None
    rows = ((number, _cells(header, row)) for number, row in lines[1:])
    return Lines(header, lines[0][0], named=True, rows=rows, empty=empty)


def _cells(header: Sequence[str], row: Sequence[str]) -> Cells | str:
    """Return the cells of a row, which may be too few; empty ones may stand behind them."""
    if len(row) > len(header) and any(cell.strip() for cell in row[len(header) :]):
        return f"the row has {len(row)} cells, the header {len(header)}"
    return dict(zip(header, row, strict=False))


def has_once(lines: Lines, names: Iterable[str], source: Source, sink: Sink) -> bool:
    """Tell whether none of some columns is there twice; report one that is."""
    twice = next((name for name in names if lines.names.count(name) > 1), None)
    if twice is not None:
        title = f"the file has {lines.names.count(twice)} columns `{twice}`"
        sink.error(
            "E0601", title, source.line_span(lines.first), f"it has {', '.join(lines.names)}",
            help=("give all but the one that is meant another name, or leave them out",),
        )  # fmt: skip
    return twice is None


def json_lines(source: Source, sink: Sink) -> Lines | None:
    """Return one object a line; None where there is not a single line."""
    numbers = [n for n, text in enumerate(source.text.split("\n"), start=1) if text.strip()]
    if not numbers:
        sink.error("E0601", "the file has no requests", Span(source, 0, 0))
        return None
    cells = _object(source.line(numbers[0]))
    if isinstance(cells, str) and first_names(source.text):
        sink.error(
            "E0601", "this file has one JSON object a line, and here one goes over several",
            source.line_span(numbers[0]), "its first line",
            help=("write each request on a line of its own",),
        )  # fmt: skip
        return None
    names = () if isinstance(cells, str) else tuple(cells)
    return Lines(names, numbers[0], named=False, rows=_objects(source, numbers))


def _objects(source: Source, numbers: list[int]) -> Iterator[tuple[int, Cells | str]]:
    for number in numbers:
        yield number, _object(source.line(number))


def _object(text: str) -> Cells | str:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        place = f" (column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        return f"this is not JSON: {why_no_json(error)}{place}"
    return found if isinstance(found, dict) else "a request is a JSON object"


def why_no_json(error: ValueError | RecursionError) -> str:
    """Return why a text is not JSON, as Python's reader of it found out."""
    if isinstance(error, json.JSONDecodeError):
        return _NO_JSON.get(error.msg, error.msg)
    return (
        "nested too deeply" if isinstance(error, RecursionError) else "a number of too many digits"
    )


def shown(value: object) -> str:
    """Return a value as the file has it, `null` and not Python's `None`; not all of a long one."""
    text = repr(value) if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def first_names(text: str) -> tuple[str, ...]:
    """Return the names in the first JSON object of a text; none where there is no object."""
    try:
        found, _ = json.JSONDecoder().raw_decode(text.lstrip())
    except (ValueError, RecursionError):
        return ()
    return tuple(found) if isinstance(found, dict) else ()
