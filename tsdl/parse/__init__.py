"""Text to syntax tree: one entry, `parse`. Several mistakes are told in one run."""

import re
from collections.abc import Iterator

from lark import TextSlice

from tsdl import ast
from tsdl.diagnostics import Sink
from tsdl.parse.build import Builder
from tsdl.parse.messages import report
from tsdl.parse.parser import Tree, UnexpectedInput, parse_text
from tsdl.source import Source, Span

MAX_DEPTH = 60  # of brackets
MAX_RULES = 180  # of the grammar, one within another
MAX_CHARACTERS = 20_000_000
MAX_MISTAKES = 50


def parse(source: Source, sink: Sink) -> ast.File:
    """Parse a source; after mistakes the file holds the items that could be read."""
    if len(source.text) > MAX_CHARACTERS:
        sink.error(
            "E0104",
            f"the file has {len(source.text):,} characters, more than {MAX_CHARACTERS:,}",
            Span(source, 0, 0),
            help=("large data belongs into a trace file, not into a program",),
        )
        return ast.File(source, ())
    if _too_deep(source, sink):
        return ast.File(source, ())
    try:
        tree, comments = parse_text(source.text)
    except UnexpectedInput:
        broken: set[str] = set()
        return ast.File(source, tuple(_recover(source, sink, broken)), frozenset(broken))
    return ast.File(source, _build(source, tree, comments, sink))


def _build(source: Source, tree: Tree, comments: list, sink: Sink) -> tuple[ast.Item, ...]:  # type: ignore[type-arg]
    deep = _deepest(tree)
    if deep is not None:
        sink.error(
            "E0103",
            f"this is built of more than {MAX_RULES} parts, each within another",
            Span(source, deep, deep + 1),
            notes=("of a chain of operators each link is one: `a + b + c` is `(a + b) + c`",),
            help=("give a part of it a name of its own",),
        )
        return ()
    return Builder(source, comments).items(tree.children)


def _too_deep(source: Source, sink: Sink) -> bool:
    """Refuse hostile nesting before the parser spends time on it."""
    depth = 0
    for found in re.finditer(r'#[^\n]*|"[^"\n]*"|[(\[{]|[)\]}]', source.text):
        mark = found.group()
        if mark in "([{":
            depth += 1
            if depth > MAX_DEPTH:
                span = Span(source, found.start(), found.end())
                sink.error("E0103", f"brackets nest deeper than {MAX_DEPTH} levels", span)
                return True
        elif mark in ")]}":
            depth = max(0, depth - 1)
    return False


def _deepest(tree: Tree) -> int | None:
    """Return a place that lies deeper than allowed, if any. Must not recurse itself."""
    # A level of the language is at most a few levels of Lark's tree: block, clause, field.
    waiting: list[tuple[Tree, int]] = [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        if depth > MAX_RULES:
            return node.start_pos or 0
        waiting.extend((child, depth + 1) for child in node.children if isinstance(child, Tree))
    return None


def _recover(source: Source, sink: Sink, broken: set[str]) -> Iterator[ast.Item]:
    """Parse each top-level item by itself, so that one mistake hides no other.

    What the others declare goes to `broken`: whoever uses it has made no second mistake.
    """
    mistakes = 0
    for start, end in _top_level(source.text):
        try:
            tree, comments = parse_text(TextSlice(source.text, start, end))  # type: ignore[arg-type]
        except UnexpectedInput as error:
            mistakes += 1
            report(error, source, end, sink)
            broken.update(name for name in _DECLARED.findall(source.text, start, end))
            if mistakes == MAX_MISTAKES:
                return
        else:
            yield from _build(source, tree, comments, sink)


_PIECE = re.compile(r'#[^\n]*|"[^"\n]*"|[(\[{]|[)\]}]|\n')
_DECLARED = re.compile(r"^[ \t]*[A-Za-z_]\w*[ \t]+([A-Za-z_]\w*)", re.MULTILINE)
_NEW_ITEM = re.compile(r"[A-Za-z_]\w*[ \t]+\w[^\n=]*\{")


def _top_level(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each top-level item starts and ends.

    An item ends with the line on which its brackets close. Where one is never closed, a line that
    begins in column 1 and looks like a declaration begins a new item all the same.
    """
    start = line = depth = 0
    code = False  # whether the item has begun; doc comments stay with what follows them
    for found in _PIECE.finditer(text):
        mark = found.group()
        if mark in ("(", "[", "{"):
            depth += 1
        elif mark in (")", "]", "}"):
            depth = max(0, depth - 1)
        elif mark == "\n":
            written = text[line : found.start()].strip()
            code = code or (bool(written) and not written.startswith("#"))
            line = found.end()
            if code and (depth == 0 or _NEW_ITEM.match(text, line)):
                yield start, found.start()
                start, depth, code = line, 0, False
    if text[start:].strip():
        yield start, len(text)
