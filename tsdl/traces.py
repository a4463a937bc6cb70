"""Files of requests to tables: CSV with named columns, Azure's and Mooncake's. Knows no program."""

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

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


MOONCAKE = Columns("timestamp", "input_length", "output_length", unit=1e-3)
FORMATS = ("auto", "csv", "azure", "mooncake")


def read_requests(
    name: str, text: str, form: str, columns: Columns, sink: Sink, *, arrivals: bool
) -> Table | None:
    """Read a file of requests; None where it cannot be used, with the reasons in the sink.

    `auto` knows Mooncake's lines by their `{` and Azure's file by its header; else it is a CSV file
    with the given columns. With `arrivals`, times count from the first row.
    """
    text = text.removeprefix("\ufeff")
    header = {cell.strip() for cell in text.partition("\n")[0].split(",")}
    if form == "auto":
        azure = header.issuperset((AZURE.arrived, AZURE.prompt, AZURE.output))
        form = "mooncake" if text[:1] == "{" else "azure" if azure else "csv"
    source = Source(name, text)
    if form == "mooncake":
        rows = _Rows(source, MOONCAKE, sink, arrivals=arrivals)
        _read_lines(rows)
    else:
        used = AZURE if form == "azure" else columns
        rows = _Rows(source, used, sink, arrivals=arrivals, stamps=form == "azure")
        if not _read_csv(rows):
            return None
    if rows.mistakes:
        return None
    if not rows.prompt:
        sink.error("E0601", "the file has no requests", Span(source, 0, 0))
        return None
    first = rows.arrived[0] if rows.arrived else 0.0
    return Table(tuple(a - first for a in rows.arrived), tuple(rows.prompt), tuple(rows.output))


class _Rows:
    """Collects the rows of a file, and tells of those that are wrong."""

    def __init__(
        self, source: Source, columns: Columns, sink: Sink, *, arrivals: bool, stamps: bool = False
    ) -> None:
        self.source = source
        self.columns = columns
        self.sink = sink
        self.stamps = stamps
        self.wanted = [columns.arrived] if arrivals else []
        self.wanted += [columns.prompt, columns.output]
        self.mistakes = 0
        self.arrived: list[float] = []
        self.prompt: list[int] = []
        self.output: list[int] = []

    def add(self, line: int, cells: Mapping[str, object]) -> None:
        """Add the row of a line (from 1)."""
        found: dict[str, float] = {}
        for column in self.wanted:
            cell = cells.get(column, "")
            try:
                found[column] = self._cell(column, str(cell).strip())
            except (ValueError, OverflowError) as error:
                reason = str(error) if "could not convert" not in str(error) else "not a number"
                self.wrong(line, f"`{column}` is {cell!r}: {reason}")
                return
        if self.columns.arrived in found:
            time = found[self.columns.arrived]
            if self.arrived and time < self.arrived[-1]:
                self.wrong(line, f"`{self.columns.arrived}` goes back in time")
                return
            self.arrived.append(time)
        self.prompt.append(int(found[self.columns.prompt]))
        self.output.append(int(found[self.columns.output]))

    def _cell(self, column: str, cell: str) -> float:
        if column == self.columns.arrived:
            return _stamp(cell) if self.stamps else _time(cell) * self.columns.unit
        value = float(cell)
        if not 1 <= value <= MOST_TOKENS:  # also refuses NaN
            raise ValueError(f"a length is from 1 to {MOST_TOKENS:,} tokens")
        if value != int(value):
            raise ValueError("a length is a whole number of tokens")
        return value

    def wrong(self, line: int, reason: str) -> None:
        """Report a row; from some number on, only count."""
        self.mistakes += 1
        if self.mistakes > MOST_MISTAKES:
            return
        self.sink.error(
            "E0603", reason, self.source.line_span(line), "in this row",
            help=("mend the file or leave the row out",),
        )  # fmt: skip


def _read_csv(rows: _Rows) -> bool:
    """Read rows under a header; False where there is no such table at all."""
    source, sink = rows.source, rows.sink
    reader = csv.reader(io.StringIO(source.text))
    try:
        lines = [(reader.line_num, row) for row in reader if any(row)]
    except csv.Error as error:
        sink.error("E0601", f"this is not a CSV file: {error}", Span(source, 0, 0))
        return False
    if not lines:
        sink.error("E0601", "the file has no rows", Span(source, 0, 0))
        return False
    header = [cell.strip() for cell in lines[0][1]]
    missing = [column for column in rows.wanted if column not in header]
    if missing:
        sink.error(
            "E0602",
            f"the file has no column {' and no column '.join(f'`{m}`' for m in missing)}",
            source.line_span(lines[0][0]),
            f"it has {', '.join(header)}",
            help=('name its columns: `columns { prompt = "…"; output = "…" }`',),
        )
        return False
    for number, row in lines[1:]:
        rows.add(number, dict(zip(header, row, strict=False)))
        if rows.mistakes > MOST_MISTAKES:
            break
    return True


def _read_lines(rows: _Rows) -> None:
    """Read one JSON object a line."""
    for number, text in enumerate(rows.source.text.split("\n"), start=1):
        if not text.strip():
            continue
        try:
            cells = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            rows.wrong(number, f"this is not JSON: {getattr(error, 'msg', 'nested too deeply')}")
            continue
        if not isinstance(cells, dict):
            rows.wrong(number, "a request is a JSON object")
            continue
        rows.add(number, cells)
        if rows.mistakes > MOST_MISTAKES:
            break


# Days are counted from 2020-01-01, so that a double keeps 100 ns of a stamp.
_EPOCH = 737425


def _time(cell: str) -> float:
    value = float(cell)
    if not math.isfinite(value):
        raise ValueError("a time is finite")
    return value


def _stamp(cell: str) -> float:
    """Read `2023-11-16 18:17:03.9799600`, whose seven digits Python would not take."""
    from datetime import datetime

    whole, _, fraction = cell.partition(".")
    moment = datetime.fromisoformat(whole)
    if fraction and not fraction.isdigit():
        raise ValueError("a time is written 2023-11-16 18:17:03.9799600")
    days = moment.toordinal() - _EPOCH
    seconds = days * 86400 + moment.hour * 3600 + moment.minute * 60 + moment.second
    return seconds + (int(fraction) / 10 ** len(fraction) if fraction else 0.0)
