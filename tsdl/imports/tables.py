"""A mapping of keys to values, which knows the place of each and remembers which were read."""

import math
from collections.abc import Iterable
from typing import TypeAlias

from msgspec import Struct, field

from tsdl.diagnostics import Sink
from tsdl.diagnostics.suggest import nearest
from tsdl.source import Span

WRONG, UNREAD = "E0606", "W0606"
_MOST_TABLES = 256
_LARGEST = 1e15
# How to write what is wanted, where its name does not say it.
_HOW = {
    "a number": "write it in digits",
    "a whole number": "write it in digits, without a fraction",
    "true or false": "write `true` or `false`",
}


class Value(Struct, frozen=True, eq=False):
    """What a key is set to, and where."""

    data: "Data"
    span: Span


class Table(Struct, eq=False):
    """A mapping of a file. A key set to null counts as not set."""

    span: Span
    sink: Sink
    entries: dict[str, Value] = field(default_factory=dict)
    keys: dict[str, Span] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)

    def has(self, *keys: str) -> bool:
        """Tell whether any of the keys is there."""
        return any(key in self.entries for key in keys)

    def place(self, key: str) -> Span:
        """Return where the value of a key is, or the table where there is none."""
        return self.entries[key].span if key in self.entries else self.span

    def value(self, key: str) -> Value | None:
        """Return the value of a key, or None where it is not set."""
        self.known.add(key)
        found = self.entries.get(key)
        return None if found is None or found.data is None else found

    def text(self, key: str) -> str | None:
        """Return a text; numbers are texts too."""
        found = self.value(key)
        if found is None:
            return None
        if isinstance(found.data, str | int | float) and not isinstance(found.data, bool):
            return str(found.data)
        self.wrong(key, "a text", found)
        return None

    def number(self, key: str, low: float = 0, high: float = _LARGEST) -> float | None:
        """Return a number within bounds."""
        found = self.value(key)
        if found is None:
            return None
        data = found.data
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.wrong(key, "a number", found)
            return None
        if not math.isfinite(data) or not low <= data <= high:
            bounds = f"from {low:g} to {high:g}" if high < _LARGEST else f"not below {low:g}"
            help_ = f"put in a number {bounds}"
            if high == 1:
                help_ = "it is a share of the whole: 0.9 stands for 90 %"
            label = f"this is {data:g}"
            self.sink.error(WRONG, f"`{key}` is {bounds}", found.span, label, help=(help_,))
            return None
        return data

    def positive(self, key: str, high: float = _LARGEST) -> float | None:
        """Return a number above zero."""
        found = self.number(key, high=high)
        if found == 0:
            title, help_ = f"`{key}` is above zero", "put in a number above zero, or leave it out"
            self.sink.error(WRONG, title, self.place(key), "this is zero", help=(help_,))
            return None
        return found

    def whole(self, key: str, low: int = 1, high: float = _LARGEST) -> int | None:
        """Return a whole number within bounds."""
        found = self.number(key, low, high)
        if found is not None and not float(found).is_integer():
            self.wrong(key, "a whole number", self.entries[key])
            return None
        return None if found is None else int(found)

    def flag(self, key: str) -> bool | None:
        """Return a truth value."""
        found = self.value(key)
        if found is None or isinstance(found.data, bool):
            return None if found is None else bool(found.data)
        self.wrong(key, "true or false", found)
        return None

    def table(self, key: str) -> "Table | None":
        """Return a table within this one."""
        found = self.value(key)
        if found is None or isinstance(found.data, Table):
            return found.data if found and isinstance(found.data, Table) else None
        self.wrong(key, "a mapping of keys to values", found)
        return None

    def tables(self, key: str) -> "list[Table]":
        """Return a list of tables."""
        found = self.value(key)
        if found is None:
            return []
        if not isinstance(found.data, list):
            self.wrong(key, "a list", found)
            return []
        if len(found.data) > _MOST_TABLES:
            self.sink.error(WRONG, f"`{key}` has more than {_MOST_TABLES} entries", found.span)
            return []
        for entry in found.data:
            if not isinstance(entry.data, Table):
                self.wrong(key, "a list of mappings", entry)
        return [entry.data for entry in found.data if isinstance(entry.data, Table)]

    def ignore(self, *keys: str) -> None:
        """Pass over keys that say nothing of what is simulated."""
        self.known.update(keys)

    def wrong(self, key: str, wanted: str, found: Value) -> None:
        """Report a value of the wrong type."""
        title, label = f"`{key}` is {wanted}", f"this is {called(found.data)}"
        help_ = _HOW.get(wanted, f"put in {wanted}")
        bare = found.data is True and found.span == self.keys.get(key)
        if bare and "=" not in found.span.text:  # a flag of a command line
            title, label = f"`{key}` needs a value: it is {wanted}", "no value follows"
            help_ = "put it behind the flag"
        self.sink.error(WRONG, title, found.span, label, help=(help_,))

    def unread(self, key: str, reason: str, help_: str = "") -> None:
        """Warn of a key that has no counterpart."""
        self.known.add(key)
        place = self.keys.get(key, self.span)
        self.sink.warning(UNREAD, f"`{key}`: {reason}", place, help=(help_,) if help_ else ())

    def _is_off(self, key: str) -> bool:
        data = self.entries[key].data if key in self.entries else True
        return data is None or data is False

    def finish(self) -> None:
        """Warn of every key that nobody has asked for, but for those that are null or false."""
        for key, place in self.keys.items():
            if key not in self.known and not self._is_off(key):
                near = nearest(key, sorted(self.known - set(self.keys)))
                help_ = f"did you mean `{near}`?" if near else "it is left out"
                self.sink.warning(UNREAD, f"`{key}` has no counterpart", place, help=(help_,))


Data: TypeAlias = str | float | bool | list[Value] | Table | None


def called(data: object) -> str:
    """Name what a value is."""
    match data:
        case bool():
            return "a truth value"
        case int() | float():
            return "a number"
        case str():
            infinite = data.lower().lstrip("+-.") in ("nan", "inf", "infinity")
            return "no finite number" if infinite else "a text"
        case list():
            return "a list"
        case Table():
            return "a mapping"
    return "nothing"


def finish(tables: Iterable[Table]) -> None:
    """Tell of what was not read in any of the tables."""
    for table in tables:
        table.finish()
