"""What is said of the name, number or word under the pointer. Knows what was checked."""

from tsdl import ast
from tsdl.program import Declaration, Program
from tsdl.schema import CONSTRUCTORS, KINDS, VALUES, Block
from tsdl.server import words
from tsdl.server.documents import Checked
from tsdl.server.occurrences import Occurrence
from tsdl.server.places import number_text, told_at
from tsdl.source import Span
from tsdl.types import Construct, Type, Unknown


def hover(checked: Checked, offset: int) -> tuple[str, Span] | None:
    """Return Markdown about what stands at a place, and the span that it is about."""
    found = checked.at(offset)
    told = _occurrence(found, checked) if found is not None else None
    if found is not None and told:
        return told, found.span
    return told_at(checked, offset)


# -- names ---------------------------------------------------------------------------------------


def _occurrence(found: Occurrence, checked: Checked) -> str | None:
    units = checked.program.units
    name = found.span.text
    match found.symbol.kind:
        case "declaration" if found.declaration is not None:
            return _declaration(found.declaration, checked.program)
        case "parameter" if found.declaration is not None:
            parameter = found.declaration.parameter(name)
            type_ = checked.program.parameter_types.get(parameter) if parameter else None
            written = parameter.span.text if parameter else name
            return _told(
                written, f"of {found.declaration.kind} `{found.declaration.name}`", type_, checked
            )
        case "field":
            return _field(found, checked)
        case "record":
            record, _, key = found.symbol.place.partition(".")
            return words.record_text(record, key, units)
        case "argument":
            family, maker, key = found.symbol.place.split(".")
            field = CONSTRUCTORS[family][maker].parameters.get(key)
            return words.field_text(f"{maker}({key})", field, units) if field else None
        case "file":
            return f"`{found.symbol.place}`"
    if found.symbol.kind == "local":
        return _variable(found, checked)
    type_ = checked.program.types.get(found.expression) if found.expression else None
    family = type_.family if isinstance(type_, Construct) else ""
    told = words.event_text(name) if _is_event(found, checked) else words.word_text(name, family)
    return told if told and found.symbol.kind == "word" else _told(name, "", type_, checked)


def _variable(found: Occurrence, checked: Checked) -> str:
    """Return the type of a variable or a state, which is known where it is read, and its line."""
    read = (o.expression for o in checked.occurrences if o.symbol == found.symbol and o.expression)
    types = (checked.program.types.get(expression) for expression in read)
    type_ = next((t for t in types if t is not None and not isinstance(t, Unknown)), None)
    source, start, _ = found.target or found.span
    line = source.line(source.position(start)[0]).strip()
    name = f"`{found.span.text}`"
    head = f"{name}: {words.type_text(type_, checked.program.units)}" if type_ else name
    return f"{head}\n\n```tsim\n{line}\n```"


def _is_event(found: Occurrence, checked: Checked) -> bool:
    """Tell whether a name is the event of a handler."""
    before = checked.source.text[: found.span.start].rstrip()
    return before.endswith("on") and not before[:-2][-1:].isalnum()


def _told(written: str, what: str, type_: Type | None, checked: Checked) -> str | None:
    if type_ is None or isinstance(type_, Unknown):
        return f"`{written}` {what}".rstrip() if what else None
    return f"`{written}`: {words.type_text(type_, checked.program.units)}\n\n{what}".rstrip()


def _declaration(found: Declaration, program: Program) -> str:
    """Return how a declaration begins, what a value is, and its doc comment."""
    clause = found.clause
    end = clause.body.span.start if clause.body else clause.span.end
    head = " ".join(clause.span.source.text[clause.span.start : end].split())
    parts = [f"```tsim\n{head}\n```"]
    if found.kind in VALUES:
        type_ = program.types.get(clause.head) if clause.head else None
        if type_ is not None and not isinstance(type_, Unknown):
            parts.append(words.type_text(type_, program.units))
        value = _value(clause.value, program)
        if value:
            parts.append(value)
    if clause.doc:
        parts.append(clause.doc)
    return "\n\n".join(parts)


def _field(found: Occurrence, checked: Checked) -> str | None:
    holder, _, key = found.symbol.place.rpartition(".")
    kind, _, shape_kind = holder.partition("/")
    shape = _shape(KINDS[kind], shape_kind)
    if shape is None:
        return None
    field = shape.fields.get(key) or shape.open_field
    if field is not None:
        path = key if kind == shape_kind else f"{shape_kind}.{key}"
        parts = [words.field_text(path, field, checked.program.units)]
    elif key in shape.functions:
        (written, record), result = shape.functions[key]
        parts = [
            f"`{key}({written})` of a {record}: {words.type_text(result, checked.program.units)}"
        ]
    else:
        return None
    if found.target is not None:
        parts.append(f"```tsim\n{' '.join(found.target.text.split())}\n```")
        parts += _written(found, checked)
    return "\n\n".join(parts)


def _written(found: Occurrence, checked: Checked) -> list[str]:
    """Return what stands at the place where a field is set: its value in base units, its doc."""
    assert found.target is not None
    for module in checked.program.modules:
        if module.file.source is not found.target.source:
            continue
        for node in ast.walk(module.file.items):
            if isinstance(node, ast.Field) and node.span == found.target:
                value = _value(node.value, checked.program)
                return [text for text in (value, node.doc) if text]
    return []


def _shape(block: Block, kind: str) -> Block | None:
    """Return the block of a kind in another, or that itself."""
    if block.kind == kind:
        return block
    inner = [nested.block for nested in block.blocks.values()]
    inner += [block.open_block] if block.open_block else []
    return next((found for one in inner if (found := _shape(one, kind))), None)


def _value(expression: ast.Expr | None, program: Program) -> str | None:
    """Return what a number is in base units; nothing for any other expression."""
    return number_text(expression, program) if isinstance(expression, ast.Number) else None
