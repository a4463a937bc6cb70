"""What a value has behind its dot: the place is checked once more with a name put in."""

from collections.abc import Iterator

from msgspec.structs import replace

from tsdl import ast
from tsdl.schema import KINDS, RECORD_FUNCTIONS, RECORDS, Block
from tsdl.server import words
from tsdl.server.context import Context
from tsdl.server.documents import Checked
from tsdl.server.occurrences import nested_block
from tsdl.types import Record, Reference, Type

_STAND_IN = "member_"
# What variables are called by habit: where a text cannot be read, they are taken for that.
_USUAL = {"r": "request", "w": "worker", "v": "worker", "batch": "batch", "kv": "kv"}


def members_of(holder: str, here: Context, checked: Checked) -> Iterator[tuple[str, str | None]]:
    """Yield what may stand behind `holder.`, with what is said of it."""
    program = checked.program
    imported = program.aliases[program.root].get(holder)
    if imported is not None:
        for name, found in program.scopes[imported].items():
            if found.module is imported:
                yield name, f"{found.kind} {name}"
        return
    match _type_of(holder, here, checked):
        case Block(fields=fields):
            for name, field in fields.items():
                yield name, words.field_text(name, field, program.units)
        case Record(name=record):
            for name in (*RECORDS[record], *RECORD_FUNCTIONS.get(record, {})):
                yield name, words.record_text(record, name, program.units)
            if record == "request":
                for name, declared in program.attributes().items():
                    yield name, declared[0].clause.doc
        case Reference(kind=kind) if kind in KINDS:
            for name, field in KINDS[kind].fields.items():
                yield name, words.field_text(name, field, program.units)
            for name, nested in KINDS[kind].blocks.items():
                if not nested.named:
                    yield name, nested.block.doc


def _type_of(holder: str, here: Context, checked: Checked) -> Type | Block | None:
    """Return the type of what stands before the last dot, or the block that it is."""
    text = checked.source.text
    dot = text.rfind(".", 0, here.offset) + 1
    # First with what follows, as in a value that is changed; then as if all ended here.
    for behind in (text[here.offset :], here.closing):
        program, _ = replace(checked.session, text=text[:dot] + _STAND_IN + behind).compile()
        for node in ast.walk(program.root.file.items):
            if isinstance(node, ast.Attribute) and node.name_span.start == dot:
                nested = nested_block(node.value, program)
                found = nested[1] if nested else program.types.get(node.value)
                if found is not None:
                    return found
    return _by_habit(holder)


def _by_habit(holder: str) -> Type | None:
    first, *names = holder.split(".")
    found: Type | None = Record(_USUAL[first]) if first in _USUAL else None
    for name in names:
        fields = RECORDS.get(found.name, {}) if isinstance(found, Record) else {}
        found = fields[name][0] if name in fields else None
    return found
