"""Rows of requests, whatever file they are of: cells to numbers, and what is wrong with them."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

from msgspec import Struct

from tsdl.diagnostics import Sink
from tsdl.diagnostics.words import several
from tsdl.planworkload import Table
from tsdl.source import Source, Span
from tsdl.traces.lines import shown

MOST_TOKENS = 100_000_000
MOST_PRIORITY = 1e100
FAILED = "they failed, and have no answer"  # requests that are left out
_MOST_WHOLE = 2**53
MOST_MISTAKES = 10
MOST_CALLS = 1000  # of a session
TOKENS = 16  # that have one name, where a file has every token

# Days are counted from 2020-01-01, so that a double keeps 100 ns of a stamp.
_EPOCH = 737425
_ZONE = re.compile(r"(?:Z|([+-])(\d\d):?(\d\d))$")
_FRACTION = re.compile(r"[0-9]{0,30}")


def number(cell: str) -> float:
    """Read a finite number. Raises ValueError."""
    try:
        value = float(cell)
    except ValueError:
        raise ValueError("not a number") from None
    if not math.isfinite(value):
        raise ValueError("a time is finite")
    return value


def _bounded(what: str, cell: str) -> float:
    """Read a number that is not beyond all measure. Raises ValueError."""
    try:
        value = float(cell)
    except ValueError:
        raise ValueError(f"{what} is a number") from None
    if not abs(value) <= MOST_PRIORITY:  # also refuses NaN
        raise ValueError(f"{what} is from -{MOST_PRIORITY:g} to {MOST_PRIORITY:g}")
    return value


priority = partial(_bounded, "a priority")
quantity = partial(_bounded, "an attribute that is no `int`")


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
    """Read a time in seconds: `2023-11-16 18:17:03.9799600`, whose digits Python would not take.

    It may have a zone, as `2024-05-10 00:00:00.009930+00:00` has.
    """
    from datetime import datetime

    zone = _ZONE.search(cell)
    whole, _, fraction = cell[: zone.start() if zone else None].partition(".")
    try:
        moment = datetime.fromisoformat(whole)
    except ValueError:
        moment = None
    if moment is None or not _FRACTION.fullmatch(fraction):
        raise ValueError("a time is written 2023-11-16 18:17:03.9799600")
    days = moment.toordinal() - _EPOCH
    seconds = days * 86400 + moment.hour * 3600 + moment.minute * 60 + moment.second
    if zone and zone[1]:
        ahead = int(zone[2]) * 3600 + int(zone[3]) * 60
        seconds += -ahead if zone[1] == "+" else ahead
    return seconds + (int(fraction) / 10 ** len(fraction) if fraction else 0.0)


class Columns(Struct, frozen=True):
    """Names of the columns, how an arrival is read, and how many of its units a second has."""

    arrived: str
    prompt: str
    output: str
    time: Callable[[str], float] = number
    per_second: float = 1.0  # to be divided by: that rounds once
    content: str = ""  # a list of names of what is in so many tokens each, where there is one
    span: int = 0
    any_order: bool = False  # rows need not be in order of time
    left_out: str = ""  # why a row with an output of 0 is no request, where it is none
    measured: tuple[str, ...] = ()  # times that were measured; a row without any of them failed
    calls: str = ""  # the list of calls of a session, where a row may be one
    wait: str = ""  # from the end of a call to the next, in the unit of arrivals
    priority: str = ""  # where it counts
    attributes: tuple[tuple[str, bool], ...] = ()  # those of them, and whether each is whole

    def names(self, *, arrivals: bool, session: bool = False) -> list[str]:
        """Return those that a file must have; in a row that is a session it may have others."""
        lengths = [self.calls] if session else [self.prompt, self.output]
        return [*([self.arrived] if arrivals else []), *lengths]


class Named(Struct, frozen=True):
    """What a column of an attribute has; where it has texts, those that the numbers stand for."""

    values: tuple[float, ...]
    names: tuple[str, ...] = ()


class Recorded(Struct, frozen=True):
    """What a file brings: requests, and their priorities and attributes where columns say them.

    `attributes` are in the order of their columns.
    """

    table: Table
    priority: tuple[float, ...] = ()
    attributes: tuple[Named, ...] = ()


class _Call(NamedTuple):
    prompt: int
    output: int
    content: tuple[int, ...]
    wait: float = 0.0
    priority: float = 0.0
    attributes: tuple[str, ...] = ()


class Rows:
    """Collects the rows of a file, and tells of those that are wrong."""

    def __init__(
        self, source: Source, columns: Columns, sink: Sink, *, arrivals: bool, empty: int = 0
    ) -> None:
        """Begin with none but those whose cells are all empty, which are left out."""
        self.source = source
        self.columns = columns
        self.sink = sink
        self.arrivals = arrivals
        self.mistakes = 0
        self.left_out = 0
        self.empty = empty
        self.back: tuple[int, str] | None = None  # the first that goes back in time
        self.many_back = 0
        self.last = -math.inf
        self.found: list[tuple[float, list[_Call]]] = []  # a request is a session of one call
        self._names: dict[tuple[int, ...], int] = {}  # of 16 tokens and the name before them

    @property
    def full(self) -> bool:
        """Tell whether so much is wrong that the rest need not be looked at."""
        return self.mistakes > MOST_MISTAKES

    def add(self, line: int, cells: Mapping[str, object], where: str = "") -> None:
        """Add the row of a line (from 1); `where` names it, where a line holds several."""
        columns = self.columns
        if self._failed(cells) or (
            columns.left_out and _text(cells, columns.output) in ("0", "0.0")
        ):
            self.left_out += 1
            return
        time = 0.0
        try:
            if self.arrivals:
                time = self._cell(cells, columns.arrived, columns.time) / columns.per_second
                if not math.isfinite(2 * time):  # nor would times from the first be
                    found = _shown(cells, columns.arrived)
                    raise ValueError(f"`{columns.arrived}` is {found}: a time is finite")  # noqa: TRY301
            calls = self._calls(cells)
            if columns.priority:
                of_all = self._cell(cells, columns.priority, priority)
                calls = [call._replace(priority=of_all) for call in calls]
            if columns.attributes:
                said = tuple(self._said(cells, *column) for column in columns.attributes)
                calls = [call._replace(attributes=said) for call in calls]
        except (ValueError, OverflowError) as error:
            self.wrong(line, f"{where}{error}")
            return
        if self.arrivals and time < self.last and not columns.any_order:
            self.back = self.back or (line, where)
            self.many_back += 1
            return
        self.last = time
        self.found.append((time, calls))

    def _failed(self, cells: Mapping[str, object]) -> bool:
        """Tell whether a row has cells for what is measured, and nothing in any of them."""
        names = self.columns.measured
        return bool(names) and all(name in cells and not _text(cells, name) for name in names)

    def _cell(
        self, cells: Mapping[str, object], column: str, read: Callable[[str], float]
    ) -> float:
        """Read a cell. Raises ValueError, whose text names the column and what is in it."""
        try:
            return read(_text(cells, column))
        except (ValueError, OverflowError) as error:
            raise ValueError(f"`{column}` is {_shown(cells, column)}: {error}") from None

    def _said(self, cells: Mapping[str, object], column: str, whole: bool) -> str:  # noqa: FBT001
        """Return what a cell says of an attribute. Raises ValueError."""
        found = cells.get(column)
        if found is None or not _text(cells, column):
            raise ValueError(f"`{column}` is empty")
        if isinstance(found, (bool, list, dict)):
            raise ValueError(f"`{column}` is {_shown(cells, column)}: a number or a text is wanted")  # noqa: TRY004
        if not whole:
            self._cell(cells, column, quantity)
        return _text(cells, column)

    def _calls(self, cells: Mapping[str, object]) -> list[_Call]:
        """Return the calls of a session, or the one of a plain row. Raises ValueError."""
        columns = self.columns
        if not columns.calls or columns.calls not in cells:
            return [self._call(cells)]
        found = cells[columns.calls]
        if not isinstance(found, list) or not found or len(found) > MOST_CALLS:
            raise ValueError(f"`{columns.calls}` is a list of 1 to {MOST_CALLS} calls")
        calls = []
        for i, entry in enumerate(found):
            if not isinstance(entry, dict):
                raise ValueError(f"call {i} (from 0) is no JSON object")  # noqa: TRY004
            try:
                calls.append(self._call(entry))
            except ValueError as error:
                raise ValueError(f"call {i} (from 0): {error}") from None
        return calls

    def _call(self, cells: Mapping[str, object]) -> _Call:
        """Return a call. Raises ValueError."""
        columns = self.columns
        prompt = int(self._cell(cells, columns.prompt, length))
        output = int(self._cell(cells, columns.output, length))
        wait = 0.0
        if columns.wait and columns.wait in cells:
            wait = self._cell(cells, columns.wait, number) / columns.per_second
            if wait < 0:
                raise ValueError(f"`{columns.wait}` is below zero")
        column = columns.content
        if not column:
            return _Call(prompt, output, (), wait)
        try:
            content = self._content(cells.get(column), prompt)
        except ValueError as error:
            raise ValueError(f"`{column}` is {_shown(cells, column)}: {error}") from None
        return _Call(prompt, output, content, wait)

    def _content(self, found: object, prompt: int) -> tuple[int, ...]:
        """Return the names of the full spans of a prompt; single tokens are put together.

        Names may end before the prompt does: of what is behind them, nothing is known.
        """
        if found is None:
            return ()
        if not isinstance(found, list) or not all(type(name) is int for name in found):
            raise ValueError("a list of whole numbers is wanted")
        span = self.columns.span
        if len(found) > -(-prompt // span):
            raise ValueError(f"{len(found)} names, of {span:,} tokens each, in {prompt:,} tokens")
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

    def _unsorted(self, line: int, where: str) -> None:
        """Report rows that go back in time, once: logs are often in order of their ends."""
        column = self.columns.arrived
        more = self.many_back - 1
        others = f", here and in {several(more, 'more row')}" if more else ""
        self.sink.error(
            "E0603", f"{where}`{column}` goes back in time{others}", self.source.line_span(line),
            "in this row",
            help=(f"sort the rows by `{column}`",),
        )  # fmt: skip

    def recorded(self) -> Recorded | None:
        """Return the requests, times from the first; None where any is wrong or there are none."""
        if self.back:
            self._unsorted(*self.back)
        if self.mistakes or self.back:
            return None
        whole = Span(self.source, 0, 0)
        failed = self.columns.left_out or FAILED
        whys = ((self.left_out, failed), (self.empty, "their cells are empty"))
        left_out = [(count, why) for count, why in whys if count]
        if not self.found:
            told = " and ".join(f"{count:,} that are left out: {why}" for count, why in left_out)
            self.sink.error(
                "E0601", f"the file has no requests{f' but {told}' * bool(told)}", whole
            )
            return None
        rows = sum(count for count, _ in left_out) + len(self.found)
        for count, why in left_out:
            title = f"{count:,} of {rows:,} rows are left out: {why}"
            self.sink.warning("W0603", title, whole)
        texts = [
            _texts(cells, whole=whole)
            for (_, whole), cells in zip(self.columns.attributes, self._said_of_all(), strict=True)
        ]
        if self.columns.any_order:
            self.found.sort(key=lambda session: session[0])
        first = self.found[0][0]
        calls = [call for _, session in self.found for call in session]
        known = any(call.content for call in calls)
        chained = len(calls) > len(self.found)
        arrived = (time - first for time, session in self.found for _ in session)
        table = Table(
            tuple(arrived) if self.arrivals else (),
            tuple(call.prompt for call in calls),
            tuple(call.output for call in calls),
            tuple(call.content for call in calls) if known else (),
            max(self.columns.span, TOKENS) if known else 0,
            tuple(len(session) for _, session in self.found) if chained and self.arrivals else (),
            tuple(call.wait for call in calls) if chained and self.arrivals else (),
        )
        of_each = (call.priority for call in calls)
        return Recorded(
            table,
            tuple(of_each) if self.columns.priority else (),
            tuple(map(_numbers, self._said_of_all(), texts)),
        )

    def _said_of_all(self) -> Iterator[tuple[str, ...]]:
        """Yield what all calls say of each attribute, in the order of sessions."""
        calls = (call for _, session in self.found for call in session)
        return zip(*(call.attributes for call in calls), strict=True)


def _texts(cells: tuple[str, ...], *, whole: bool) -> tuple[str, ...]:
    """Return the texts in a column of an attribute, as they come; none where it has numbers.

    Numbers that no double holds, those of accounts, say, are texts of an `int`.
    """
    if not whole:  # each has been looked at
        return ()
    try:
        found = tuple(map(float, cells))
    except ValueError:
        found = (math.nan,)
    numbers = all(abs(number) <= _MOST_WHOLE for number in found)
    return () if numbers else tuple(dict.fromkeys(cells))


def _numbers(cells: tuple[str, ...], texts: tuple[str, ...]) -> Named:
    """Return what a column of an attribute has: numbers, or for each text its own, from 0."""
    if not texts:
        return Named(tuple(map(float, cells)))
    known = {text: float(number) for number, text in enumerate(texts)}
    return Named(tuple(known[cell] for cell in cells), texts)


def _text(cells: Mapping[str, object], column: str) -> str:
    return str(cells.get(column, "")).strip()


def _shown(cells: Mapping[str, object], column: str) -> str:
    return shown(cells.get(column, ""))
