"""Where names are bound within declarations: variables of handlers and generators, and state."""

import re

from tsdl import ast
from tsdl.program import Members
from tsdl.source import Span


def bound(clause: ast.Clause) -> list[Span]:
    """Return the names that a clause gives to what follows: of an event, of state."""
    head = clause.head
    if clause.verb == "on" and isinstance(head, ast.Call):
        return [a.value.span for a in head.arguments if isinstance(a.value, ast.Name)]
    if clause.verb == "state" and isinstance(head, ast.Name):
        return [head.span]
    return []


def variable_span(node: ast.For | ast.Generator) -> Span:
    """Return where the variable of a `for` or a generator stands."""
    name, end = node.variable, node.iterable.span.start
    source = node.span.source
    # The last one before what it goes over: the element of a generator may hold another one.
    found = list(re.finditer(rf"\bfor\s+({name})\b", source.text[node.span.start : end]))
    if not found:  # a line break or a comment stands in between
        return Span(source, node.span.start, node.span.start)
    start = node.span.start + found[-1].start(1)
    return Span(source, start, start + len(name))


def states_of(blocks: tuple[Members, ...]) -> dict[str, Span]:
    """Return where the states of the blocks around a place are declared, inherited ones too."""
    found: dict[str, Span] = {}
    for members in blocks:
        for part in members.clauses("state"):
            if isinstance(part.item, ast.Clause) and isinstance(part.item.head, ast.Name):
                found.setdefault(part.item.head.id, part.item.head.span)
    return found
