"""What is said of a word that stands for nothing declared: by the place at which it stands."""

import re

from tsdl import ast
from tsdl.check.expressions import MOST
from tsdl.check.parameters import SIMPLE_TYPES
from tsdl.program import Program
from tsdl.schema import AGGREGATES, KINDS, UNITS_KINDS, Block
from tsdl.schema.studies import CASES, PLOTS
from tsdl.server import words
from tsdl.server.documents import Checked
from tsdl.source import Span
from tsdl.units import UnknownUnit

_WORD = re.compile(r"[A-Za-z_]\w*")
Around = tuple[object, Block | None]  # a node, and the block of the schema that it stands in


def told_at(checked: Checked, offset: int) -> tuple[str, Span] | None:
    """Return Markdown about the number or word at a place, and the span that it is about."""
    around = list(_around(checked, offset))
    for node, outer in reversed(around):
        found = _node(node, outer, offset, checked.program)
        if found is not None and found[0] is not None:
            return found[0], found[1]
    word = _word_at(checked, offset)
    told = _word(word, around, checked.program) if word else None
    return (told, word) if told and word else None


def number_text(number: ast.Number, program: Program) -> str | None:
    """Return what a number is in base units; nothing where it has no unit, or is beyond all."""
    if abs(number.value) > MOST:
        return None
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


# -- nodes ---------------------------------------------------------------------------------------


def _node(
    node: object, outer: Block | None, offset: int, program: Program
) -> tuple[str | None, Span] | None:
    """Return what is said of the part of a node that is at a place; None where that is nothing."""
    match node:
        case ast.Number():
            return number_text(node, program), node.span
        case ast.ListOf(unit=str() as unit, span=span) if offset >= span.end - len(unit):
            return _unit(unit, program), Span(span.source, span.end - len(unit), span.end)
        case ast.GraphNode(name_span=span) if _covers(span, offset):
            return f"`{node.span.text}`: a node of the graph", span
        case ast.Clause(verb=verb, verb_span=span) if _covers(span, offset):
            return words.verb_text(verb, outer) or words.statement_text(verb), span
        case ast.Clause(verb="on", head=ast.Call(function=ast.Name(id=event, span=span))) if (
            _covers(span, offset)
        ):
            return words.event_text(event), span
        case ast.Clause(verb=verb, head=ast.Name(span=span)) if _covers(span, offset):
            if verb in UNITS_KINDS:
                return _of_units(verb, span.text, program), span
            return _named(verb, span.text, words.verb_text(verb, outer)), span
        case ast.Field(target=ast.Attribute() as target) if _covers(target.span, offset):
            return _part_of_path(target, outer, offset)
    return None


def _named(verb: str, name: str, doc: str | None) -> str:
    """Return what a block or a clause with a name of its own is: `worker decode`."""
    return "\n\n".join([f"`{verb} {name}`", *(doc or "").split("\n\n")[1:]])


def _part_of_path(target: ast.Expr, block: Block | None, offset: int) -> tuple[str, Span] | None:
    """Return what a block is that a path goes through: `memory` of `memory.bandwidth = …`."""
    names: list[Span] = []
    while isinstance(target, ast.Attribute):
        names.append(target.name_span)
        target = target.value
    for span in [target.span, *reversed(names)]:
        nested = block.blocks.get(span.text) if block else None
        block = nested.block if nested else block.open_block if block else None
        if _covers(span, offset):
            return (f"`{span.text} {{ }}`\n\n{block.doc}", span) if block else None
    return None


def _unit(unit: str, program: Program) -> str | None:
    try:
        found = program.units.parse(unit)
    except UnknownUnit:
        return None
    return f"`1 {unit}` = {words.in_base_units(1, found, program.units)}"


def _of_units(verb: str, name: str, program: Program) -> str | None:
    if verb == "unit":
        return _unit(name, program)
    found = program.units.dimensions.get(name)
    return f"`dimension {name}`: in {words.base_unit(found, program.units)}" if found else None


# -- words ---------------------------------------------------------------------------------------


def _word(word: Span, around: list[Around], program: Program) -> str | None:
    name, before = word.text, word.source.text[: word.start].rstrip()
    if before.endswith(":"):
        if name in KINDS:
            return words.verb_text(name, None)
        if name in SIMPLE_TYPES or name in AGGREGATES:
            return f"`{name}`: a type"
        if name in program.units.dimensions:
            return _of_units("dimension", name, program)
    if name == "base":
        return "`base`: what the declarations behind `from` set"
    if any(isinstance(node, ast.Clause) and node.verb == "plot" for node, _ in around):
        if name in PLOTS:
            return f"`{name}(…)`\n\n{PLOTS[name][0]}"
        if name in words.CHANNELS:
            return f"`{name}`: {words.CHANNELS[name]}"
    if name in words.GRAMMAR:
        return words.GRAMMAR[name]
    return _of_cases(name, around)


def _of_cases(name: str, around: list[Around]) -> str | None:
    """Return what `case` is in a study, or a name that one of its cases has."""
    study = around[0][0] if around else None
    if not isinstance(study, ast.Clause) or study.verb != "study" or study.body is None:
        return None
    if name == CASES:
        return f"`{CASES}`: the axis that the cases make"
    for item in study.body.items:
        match item:
            case ast.Clause(verb=verb, head=ast.Name(id=case)) if (verb, case) == (CASES, name):
                return f"`{CASES} {name}`\n\n```tsim\n{' '.join(item.span.text.split())}\n```"
    return None


def _word_at(checked: Checked, offset: int) -> Span | None:
    """Return the word at a place that is no part of a text or a comment."""
    line = checked.source.line_span(checked.source.position(offset)[0])
    for found in re.finditer(r'#.*|"[^"]*"?|' + _WORD.pattern, line.text):
        start, end = line.start + found.start(), line.start + found.end()
        if start <= offset <= end and found.group()[0] not in '#"':
            return Span(checked.source, start, end)
    return None


# -- what stands around a place ------------------------------------------------------------------


def _around(checked: Checked, offset: int) -> list[Around]:
    """Return the nodes around a place, the outermost first, each with its block of the schema."""
    node = _within(checked.program.root.file.items, offset)
    outer: Block | None = None
    found: list[Around] = []
    while node is not None:
        found.append((node, outer))
        inner = _within(tuple(ast.children(node)), offset)
        if isinstance(node, ast.Clause) and isinstance(inner, ast.Body):
            outer = _inside(outer, node.verb)
        node = inner
    return found


def _within(nodes: tuple[object, ...], offset: int) -> object | None:
    for node in nodes:
        span = getattr(node, "span", None)
        if span is not None and _covers(span, offset):
            return node
    return None


def _inside(outer: Block | None, verb: str) -> Block | None:
    if outer is None:
        return KINDS.get(verb)
    return outer.blocks[verb].block if verb in outer.blocks else outer.open_block


def _covers(span: Span, offset: int) -> bool:
    return span.start <= offset <= span.end
