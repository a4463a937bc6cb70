"""Files of requests to tables: CSV with named columns, and the Azure format. Knows no program."""

import csv
import io
import math
from dataclasses import dataclass
from datetime import datetime

from tsdl.diagnostics import Sink
from tsdl.plan import Table
from tsdl.source import Source, Span

MOST_TOKENS = 100_000_000
MOST_MISTAKES = 10


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns, and the seconds that one unit of the arrival column has."""

    arrived: str
    prompt: str
    output: str
    unit: float = 1.0


AZURE = Columns("TIMESTAMP", "ContextTokens", "GeneratedTokens")


def read_table(
    name: str, text: str, columns: Columns, sink: Sink, *, arrivals: bool, stamps: bool = False
) -> Table | None:
    """Read a CSV file; None where nothing of it can be used, with the reasons in the sink.

    With `arrivals` the times count from the first row; `stamps` says that they are dates.
    """
    source = Source(name, text)
    lines = text.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff")))
    try:
        rows = [(reader.line_num, row) for row in reader if row and any(row)]
    except csv.Error as error:
        sink.error("E0601", f"this is not a CSV file: {error}", Span(source, 0, 0))
        return None
    if not rows:
        sink.error("E0601", "the file has no rows", Span(source, 0, 0))
        return None
    header = [cell.strip() for cell in rows[0][1]]
    wanted = [*([columns.arrived] if arrivals else []), columns.prompt, columns.output]
    missing = [column for column in wanted if column not in header]
    if missing:
        sink.error(
            "E0602",
            f"the file has no column {' and no column '.join(f'`{m}`' for m in missing)}",
            Span(source, 0, len(lines[0].rstrip("\r"))),
            f"it has {', '.join(header)}",
            help=('name its columns: `columns { prompt = "…"; output = "…" }`',),
        )
        return None
    places = {column: header.index(column) for column in wanted}
    table = _Rows(source, starts, columns, places, sink, stamps=stamps)
    for number, row in rows[1:]:
        table.add(number, row)
        if table.mistakes > MOST_MISTAKES:
            break
    if table.mistakes:
        return None
    if not table.prompt:
        sink.error("E0601", "the file has a header and no rows", Span(source, 0, 0))
        return None
    first = table.arrived[0] if table.arrived else 0.0
    return Table(
        tuple(a - first for a in table.arrived), tuple(table.prompt), tuple(table.output)
    )


class _Rows:
    """Collects the rows of a file, and tells of those that are wrong."""

    def __init__(
        self,
        source: Source,
        starts: list[int],
        columns: Columns,
        places: dict[str, int],
        sink: Sink,
        *,
        stamps: bool,
    ) -> None:
        self.source = source
        self.starts = starts
        self.columns = columns
        self.places = places
        self.sink = sink
        self.stamps = stamps
        self.mistakes = 0
        self.arrived: list[float] = []
        self.prompt: list[int] = []
        self.output: list[int] = []

    def add(self, line: int, row: list[str]) -> None:
        """Add a row that ends on a line (from 1)."""
        found: dict[str, float] = {}
        for column, place in self.places.items():
            cell = row[place].strip() if place < len(row) else ""
            try:
                found[column] = self._cell(column, cell)
            except ValueError as error:
                self._wrong(line, f"`{column}` is {cell!r}: {error}")
                return
        if self.columns.arrived in found:
            time = found[self.columns.arrived]
            if self.arrived and time < self.arrived[-1]:
                self._wrong(line, f"`{self.columns.arrived}` goes back in time")
                return
            self.arrived.append(time)
        self.prompt.append(int(found[self.columns.prompt]))
        self.output.append(int(found[self.columns.output]))

    def _cell(self, column: str, cell: str) -> float:
        if column == self.columns.arrived:
            return _stamp(cell) if self.stamps else _time(cell) * self.columns.unit
        value = float(cell)
        if not 1 <= value <= MOST_TOKENS:  # also refuses NaN
            raise ValueError("a length is at least 1 token")
        if value != int(value):
            raise ValueError("a length is a whole number of tokens")
        return value

    def _wrong(self, line: int, reason: str) -> None:
        self.mistakes += 1
        if self.mistakes > MOST_MISTAKES:
            return
        start, end = self.starts[line - 1], self.starts[line] - 1
        text = self.source.text[start:end]
        self.sink.error(
            "E0603",
            reason,
            Span(self.source, start, start + len(text.rstrip("\r"))),
            "in this row",
            help=("mend the file or leave the row out",),
        )


def _time(cell: str) -> float:
    value = float(cell)
    if not math.isfinite(value):
        raise ValueError("a time is finite")
    return value


def _stamp(cell: str) -> float:
    """Read `2023-11-16 18:17:03.9799600`, whose seven digits Python would not take."""
    whole, _, fraction = cell.partition(".")
    moment = datetime.fromisoformat(whole)  # noqa: DTZ007 (local times, used as differences)
    days = moment.toordinal()
    seconds = days * 86400 + moment.hour * 3600 + moment.minute * 60 + moment.second
    if fraction and not fraction.isdigit():
        raise ValueError("a time is written 2023-11-16 18:17:03.9799600")
    # Seconds of the day first keep all seven digits within a double.
    return seconds + (int(fraction) / 10 ** len(fraction) if fraction else 0.0)
