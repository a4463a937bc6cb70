"""What is said of the name, number or word under the pointer. Knows what was checked."""

from tsdl import ast
from tsdl.program import Declaration, Program
from tsdl.schema import CONSTRUCTORS, KINDS, Block
from tsdl.server import words
from tsdl.server.documents import Checked
from tsdl.server.occurrences import Occurrence
from tsdl.source import Span
from tsdl.types import Construct, Type, Unknown
from tsdl.units import UnknownUnit


def hover(checked: Checked, offset: int) -> tuple[str, Span] | None:
    """Return Markdown about what stands at a place, and the span that it is about."""
    found = checked.at(offset)
    if found is not None:
        told = _occurrence(found, checked)
        return (told, found.span) if told else None
    place = _innermost(checked, offset)
    if place is None:
        return None
    node, outer = place
    match node:
        case ast.Number() as number:
            told = _number(number, checked.program)
            return (told, number.span) if told else None
        case ast.Clause(verb=verb, verb_span=span) if span.start <= offset <= span.end:
            told = words.verb_text(verb, outer) or words.statement_text(verb)
            return (told, span) if told else None
        case ast.Clause(verb="on", head=ast.Call(function=ast.Name() as event)) if (
            event.span.start <= offset <= event.span.end
        ):
            told = words.event_text(event.id)
            return (told, event.span) if told else None
    return None


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
    type_ = checked.program.types.get(found.expression) if found.expression else None
    family = type_.family if isinstance(type_, Construct) else ""
    told = words.event_text(name) if _is_event(found, checked) else words.word_text(name, family)
    return told if told and found.symbol.kind == "word" else _told(name, "", type_, checked)


def _is_event(found: Occurrence, checked: Checked) -> bool:
    """Tell whether a name is the event of a handler."""
    before = checked.source.text[: found.span.start].rstrip()
    return before.endswith("on") and not before[:-2][-1:].isalnum()


def _told(written: str, what: str, type_: Type | None, checked: Checked) -> str | None:
    if type_ is None or isinstance(type_, Unknown):
        return f"`{written}` {what}".rstrip() if what else None
    return f"`{written}`: {words.type_text(type_, checked.program.units)}\n\n{what}".rstrip()


def _declaration(found: Declaration, program: Program) -> str:
    """Return how a declaration begins, what a param is, and its doc comment."""
    clause = found.clause
    end = clause.body.span.start if clause.body else clause.span.end
    head = " ".join(clause.span.source.text[clause.span.start : end].split())
    parts = [f"```tsim\n{head}\n```"]
    if found.kind == "param":
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


# -- numbers, and what stands around a place -----------------------------------------------------


def _value(expression: ast.Expr | None, program: Program) -> str | None:
    """Return what a number is in base units; nothing for any other expression."""
    return _number(expression, program) if isinstance(expression, ast.Number) else None


def _number(number: ast.Number, program: Program) -> str | None:
    unit = program.number_units.get(number)
    if unit is None and number.unit is not None:
        try:
            unit = program.units.parse(number.unit)
        except UnknownUnit:
            return None
    if unit is None:
        return None
    of = words.type_text(program.types[number], program.units) if number in program.types else ""
    return f"`{number.span.text}` = {words.in_base_units(number.value, unit, program.units)}" + (
        f" ({of})" if of else ""
    )


def _innermost(checked: Checked, offset: int) -> tuple[object, Block | None] | None:
    """Return the innermost node around a place, and the block of the schema that it stands in."""
    node = _within(checked.program.root.file.items, offset)
    outer: Block | None = None
    found: tuple[object, Block | None] | None = None
    while node is not None:
        found = (node, outer)
        inner = _within(tuple(ast.children(node)), offset)
        if isinstance(node, ast.Clause) and isinstance(inner, ast.Body):
            outer = _inside(outer, node.verb)
        node = inner
    return found


def _within(nodes: tuple[object, ...], offset: int) -> object | None:
    for node in nodes:
        span = getattr(node, "span", None)
        if span is not None and span.start <= offset <= span.end:
            return node
    return None


def _inside(outer: Block | None, verb: str) -> Block | None:
    if outer is None:
        return KINDS.get(verb)
    return outer.blocks[verb].block if verb in outer.blocks else outer.open_block
