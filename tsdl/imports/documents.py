"""JSON, YAML and command line flags as tables."""

import json
import re
import shlex
from collections.abc import Sequence
from typing import NamedTuple

import yaml
from msgspec import Struct, field

from tsdl.diagnostics import Sink
from tsdl.imports.tables import WRONG, Data, Table, Value, called
from tsdl.source import Source, Span
from tsdl.traces.lines import why_no_json

_MOST_CHARACTERS = 1_000_000
_MERGE = "tag:yaml.org,2002:merge"  # of the key `<<`
_BEGINS = 'it begins with keys: `key: value`, or `{ "key": value }`'
_WHOLE = re.compile(r"[-+]?[0-9]{1,16}")
_REAL = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,3})?")
_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


class File(NamedTuple):
    """A file of a configuration: its name for those who read of it, and its text.

    `path` is what the program calls it that is made of it, "" where it does not stand on a disk.
    """

    name: str
    text: str
    path: str = ""


def scalar(text: str) -> Data:
    """Return what a bare word of YAML, or of the command line, means."""
    if text in ("", "~", "null"):
        return None
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if _REAL.fullmatch(text) else _WORDS.get(text.lower(), text)


def parsed(text: str) -> object:
    """Return what JSON says; the text itself, where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def read_tables(name: str, text: str, sink: Sink) -> list[Table]:
    """Return the documents of a JSON or YAML file."""
    source = Source(name, text.removeprefix("\ufeff"))
    whole = Span(source, 0, 0)
    if len(source.text) > _MOST_CHARACTERS:
        sink.error(WRONG, "too large for a configuration", whole, help=("a megabyte is the most",))
        return []
    if not source.text.strip():
        title = "the file is empty, and a configuration is a mapping"
        help_ = f"was it written, or downloaded, to its end? {_BEGINS}"
        sink.error(WRONG, title, whole, help=(help_,))
        return []
    try:
        found = _documents(source, sink)
    except RecursionError:
        sink.error(WRONG, "nested too deeply for a configuration", whole)
        return []
    except json.JSONDecodeError as error:
        place = Span(source, error.pos, min(error.pos + 1, len(source.text)))
        sink.error(WRONG, f"not JSON: {why_no_json(error)}", place)
        return []
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        start = min(mark.index, len(source.text)) if mark else 0
        sink.error(WRONG, f"not YAML: {error.problem or error.context}", Span(source, start, start))
        return []
    except (yaml.YAMLError, ValueError) as error:
        sink.error(WRONG, f"not a configuration: {str(error).splitlines()[0]}", whole)
        return []
    tables = [value.data for value in found if isinstance(value.data, Table)]
    if not tables or len(tables) < len(found):
        kind = called(found[0].data) if found else "nothing"
        sink.error(WRONG, f"a configuration is a mapping, this is {kind}", whole, help=(_BEGINS,))
    return tables


def _documents(source: Source, sink: Sink) -> list[Value]:
    text = source.text
    braces = text.lstrip()[:1] in ("{", "[") and not source.name.endswith((".yaml", ".yml"))
    if source.name.endswith(".json") or braces:
        json.loads(text, parse_int=str, parse_float=str)  # its messages are JSON's own
        text = text.replace("\t", " ")  # then it is YAML, but for tabs
    loader = yaml.SafeLoader(text)
    try:
        reader = _Reader(source, sink)
        found = []
        while loader.check_node():
            node = loader.get_node()
            found += [reader.value(node)] if node else []
        return [value for value in found if value.data is not None]
    finally:
        loader.dispose()


class _Reader(Struct):
    """YAML's nodes to values, each node once, however often it is referred to."""

    source: Source
    sink: Sink
    made: dict[int, Value] = field(default_factory=dict)
    kept: list[yaml.Node] = field(default_factory=list)  # so that no id is used again

    def value(self, node: yaml.Node) -> Value:
        known = self.made.get(id(node))
        if known is not None:
            return known
        span = Span(self.source, node.start_mark.index, _end(self.source, node))
        self.kept.append(node)
        self.made[id(node)] = Value(None, span)  # what refers to itself finds nothing there
        made = Value(self._data(node, span), span)
        self.made[id(node)] = made
        return made

    def _data(self, node: yaml.Node, span: Span) -> Data:
        if isinstance(node, yaml.ScalarNode):
            return scalar(node.value) if node.style is None else str(node.value)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(entry) for entry in node.value]
        table = Table(span, self.sink)
        for key, entry in node.value:
            if key.tag != _MERGE:
                self._entry(table, key, entry)
        for key, entry in node.value:
            merged = self.value(entry).data if key.tag == _MERGE else None
            if isinstance(merged, Table):  # what the mapping itself has wins
                table.keys = merged.keys | table.keys
                table.entries = merged.entries | table.entries
        return table

    def _entry(self, table: Table, key: yaml.Node, entry: yaml.Node) -> None:
        place = Span(self.source, key.start_mark.index, _end(self.source, key))
        if not isinstance(key, yaml.ScalarNode):
            self.sink.error(WRONG, "a key is a word", place)
        elif key.value in table.entries:
            self.sink.error(WRONG, f"`{key.value}` is set twice", place)
        else:
            table.keys[key.value] = place
            table.entries[key.value] = self.value(entry)


def _end(source: Source, node: yaml.Node) -> int:
    start, end = node.start_mark.index, node.end_mark.index
    return start + len(source.text[start:end].rstrip())


def read_flags(flags: Sequence[str], sink: Sink) -> Table:
    """Return flags of a command line, `--name value`, `--name=value` or `--name`, as a table."""
    source = Source("<flags>", " ".join(map(shlex.quote, flags)))
    table = Table(Span(source, 0, len(source.text)), sink)
    waiting = ""
    start = 0
    for flag in flags:
        span = Span(source, start, start + len(shlex.quote(flag)))
        start = span.end + 1
        if flag.startswith("--"):
            waiting = _flag(table, flag, span)
        elif waiting:
            table.entries[waiting] = Value(scalar(flag), span)
            waiting = ""
        else:
            help_ = "flags are `--name value`"
            sink.error(WRONG, f"`{flag}` belongs to no flag", span, help=(help_,))
    return table


def _flag(table: Table, flag: str, span: Span) -> str:
    """Enter a flag; return its name if its value may follow."""
    name, given, value = flag.removeprefix("--").partition("=")
    key = name.replace("-", "_")
    off = key.startswith("no_")
    key = key.removeprefix("no_")
    table.keys[key] = span
    table.entries[key] = Value(scalar(value) if given else not off, span)
    return "" if given or off else key
