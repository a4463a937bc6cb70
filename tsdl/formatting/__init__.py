"""A program to the same program in the one style (SPEC.md, section 12.7). Entry: `format_text`."""

from tsdl import ast
from tsdl.diagnostics import Sink
from tsdl.formatting.columns import written
from tsdl.formatting.lines import lines_of
from tsdl.parse import parse
from tsdl.parse.parser import Token, tokens_of
from tsdl.source import Source


class ChangedError(Exception):
    """What was formatted is another program: a mistake of the tool."""


def format_text(source: Source, sink: Sink) -> str | None:
    """Return a program in the one style, or None where the sink says what is wrong with it.

    Raises ChangedError if its tree or its comments would be others.
    """
    file = parse(source, sink)
    if sink.has_errors:
        return None
    tokens = tokens_of(source.text)
    text = written(lines_of(tokens))
    found = Sink()
    again = parse(Source(source.name, text), found)
    same = not found.has_errors and ast.dump(again.items) == ast.dump(file.items)
    if not same or comments_of(tokens_of(text)) != comments_of(tokens):
        raise ChangedError(f"{source.name} would not be the same program")
    return text


def in_style(text: str) -> str:
    """Return a program that was made here in the one style: it has no mistakes."""
    formatted = format_text(Source("<made>", text), found := Sink())
    assert formatted is not None, found.found[0]
    return formatted


def comments_of(tokens: list[Token]) -> list[str]:
    """Return the comments among tokens; blanks at their ends do not count."""
    return [token.rstrip() for token in tokens if token.type == "COMMENT"]
