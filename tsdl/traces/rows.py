"""Rows of requests, whatever file they are of: cells to numbers, and what is wrong with them."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tsdl.diagnostics import Sink
from tsdl.plan import Table
from tsdl.source import Source, Span

MOST_TOKENS = 100_000_000
MOST_MISTAKES = 10
TOKENS = 16  # that have one name, where a file has every token

# Days are counted from 2020-01-01, so that a double keeps 100 ns of a stamp.
_EPOCH = 737425


def number(cell: str) -> float:
    """Read a finite number. Raises ValueError."""
    try:
        value = float(cell)
    except ValueError:
        raise ValueError("not a number") from None
    if not math.isfinite(value):
        raise ValueError("a time is finite")
    return value


def length(cell: str) -> int:
    """Read a length in tokens. Raises ValueError."""
    try:
        value = float(cell)
    except ValueError:
        raise ValueError("not a number") from None
    if not 1 <= value <= MOST_TOKENS:  # also refuses NaN
        raise ValueError(f"a length is from 1 to {MOST_TOKENS:,} tokens")
    if value != int(value):
        raise ValueError("a length is a whole number of tokens")
    return int(value)


def time_of_day(cell: str) -> float:
    """Read `2023-11-16 18:17:03.9799600`, whose seven digits Python would not take, in seconds."""
    from datetime import datetime

    whole, _, fraction = cell.partition(".")
    moment = datetime.fromisoformat(whole)
    if fraction and not fraction.isdigit():
        raise ValueError("a time is written 2023-11-16 18:17:03.9799600")
    days = moment.toordinal() - _EPOCH
    seconds = days * 86400 + moment.hour * 3600 + moment.minute * 60 + moment.second
    return seconds + (int(fraction) / 10 ** len(fraction) if fraction else 0.0)


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns, how an arrival is read, and the seconds that one unit of it has."""

    arrived: str
    prompt: str
    output: str
    time: Callable[[str], float] = number
    unit: float = 1.0
    content: str = ""  # a list of names of what is in so many tokens each, where there is one
    span: int = 0

    def names(self, *, arrivals: bool) -> list[str]:
        """Return those that a file must have."""
        return [*([self.arrived] if arrivals else []), self.prompt, self.output]


class Rows:
    """Collects the rows of a file, and tells of those that are wrong."""

    def __init__(self, source: Source, columns: Columns, sink: Sink, *, arrivals: bool) -> None:
        """Begin with none."""
        self.source = source
        self.columns = columns
        self.sink = sink
        self.arrivals = arrivals
        self.mistakes = 0
        self.arrived: list[float] = []
        self.prompt: list[int] = []
        self.output: list[int] = []
        self.contents: list[tuple[int, ...]] = []
        self._names: dict[tuple[int, ...], int] = {}  # of 16 tokens and the name before them

    @property
    def full(self) -> bool:
        """Tell whether so much is wrong that the rest need not be looked at."""
        return self.mistakes > MOST_MISTAKES

    def add(self, line: int, cells: Mapping[str, object]) -> None:
        """Add the row of a line (from 1)."""
        columns = self.columns
        column = columns.arrived
        time = 0.0
        try:
            if self.arrivals:
                time = columns.time(_text(cells, column)) * columns.unit
            column = columns.prompt
            prompt = length(_text(cells, column))
            column = columns.output
            output = length(_text(cells, column))
            column = columns.content
            content = self._content(cells.get(column) if column else None, prompt)
        except (ValueError, OverflowError) as error:
            self.wrong(line, f"`{column}` is {cells.get(column, '')!r}: {error}")
            return
        if self.arrivals:
            if self.arrived and time < self.arrived[-1]:
                self.wrong(line, f"`{columns.arrived}` goes back in time")
                return
            self.arrived.append(time)
        self.prompt.append(prompt)
        self.output.append(output)
        self.contents.append(content)

    def _content(self, found: object, prompt: int) -> tuple[int, ...]:
        """Return the names of the full spans of a prompt; single tokens are put together."""
        if found is None:
            return ()
        if not isinstance(found, list) or not all(type(name) is int for name in found):
            raise ValueError("a list of whole numbers is wanted")
        span = self.columns.span
        if span > 1:
            return tuple(found[: prompt // span])
        names: list[int] = []
        name = -1
        for at in range(0, min(len(found), prompt) - TOKENS + 1, TOKENS):
            tokens = (name, *found[at : at + TOKENS])
            name = self._names.setdefault(tokens, len(self._names))
            names.append(name)
        return tuple(names)

    def wrong(self, line: int, reason: str) -> None:
        """Report a row; from some number on, only count."""
        self.mistakes += 1
        if self.mistakes > MOST_MISTAKES:
            return
        self.sink.error(
            "E0603", reason, self.source.line_span(line), "in this row",
            help=("mend the file or leave the row out",),
        )  # fmt: skip

    def table(self) -> Table | None:
        """Return the requests, times from the first; None where any is wrong or there are none."""
        if self.mistakes:
            return None
        if not self.prompt:
            self.sink.error("E0601", "the file has no requests", Span(self.source, 0, 0))
            return None
        first = self.arrived[0] if self.arrived else 0.0
        arrived = tuple(a - first for a in self.arrived)
        known = any(self.contents)
        return Table(
            arrived,
            tuple(self.prompt),
            tuple(self.output),
            tuple(self.contents) if known else (),
            max(self.columns.span, TOKENS) if known else 0,
        )


def _text(cells: Mapping[str, object], column: str) -> str:
    return str(cells.get(column, "")).strip()
