"""TSDL for Pygments, which colours programs. Knows the words of grammar, schema and library."""

import re
from collections.abc import Iterable, Iterator

from pygments.lexer import RegexLexer, bygroups, default, include
from pygments.token import (
    Comment,
    Keyword,
    Name,
    Number,
    Operator,
    Punctuation,
    String,
    Whitespace,
)

from tsdl._resources import grammar_text, grammar_words
from tsdl.diagnostics import Sink
from tsdl.schema import (
    ACTIONS,
    BY_REQUEST,
    CONSTRUCTORS,
    FUNCTIONS,
    KINDS,
    METRICS,
    RECORD_FUNCTIONS,
    STATISTICS,
    TOTALS,
    UNITS_KINDS,
    VALUES,
    Block,
)
from tsdl.schema.names import REDUCTIONS, SELECTORS
from tsdl.session import library
from tsdl.unitdeclarations import declare_units
from tsdl.units import Units

_DIRECTIVES = ("edition", "import", *VALUES)


def _terminal(name: str) -> str:
    """Return the pattern of a terminal of the grammar, without groups of its own."""
    found = re.search(rf"^{name}: /(.*)/$", grammar_text(), re.MULTILINE)
    assert found is not None, name
    return re.sub(r"\((?!\?)", "(?:", found[1])


def _any_of(words: Iterable[str]) -> str:
    """Return the pattern of one of these words, the longest first."""
    return "|".join(map(re.escape, sorted(words, key=lambda word: (-len(word), word))))


def _blocks(block: Block) -> Iterator[Block]:
    """Yield a block and those that it may hold."""
    yield block
    for nested in block.blocks.values():
        yield from _blocks(nested.block)
    if block.open_block:
        yield from _blocks(block.open_block)


def _verbs() -> set[str]:
    """Return what an item may begin with and go on behind a blank: kinds, clauses, actions."""
    found = {*KINDS, *UNITS_KINDS, *ACTIONS, *_DIRECTIVES}
    for kind in KINDS.values():
        for block in _blocks(kind):
            found |= {*block.blocks, *block.clauses}
    return found


def _units() -> str:
    """Return the pattern of a unit that is made of units of the library."""
    units = Units()
    declare_units(library(), units, Sink())
    one = rf"(?:{_any_of(units.units)})(?:\^-?[0-9])?"
    return rf"(?:{one})(?:[/*]{one})*(?![A-Za-z0-9_])"


def _functions() -> set[str]:
    """Return the functions that the language has, those that make a distribution among them."""
    of_records = {name for functions in RECORD_FUNCTIONS.values() for name in functions}
    made = {name for family in CONSTRUCTORS.values() for name in family}
    return {*FUNCTIONS, *SELECTORS, *REDUCTIONS, *STATISTICS, *BY_REQUEST, *of_records, *made}


_NAME, _NUMBER, _TEXT = _terminal("NAME"), _terminal("NUMBER"), _terminal("TEXT")
_UNIT = _units()
_WORDS = _any_of(grammar_words())
_COMMENTS = [(r"##[^\n]*", String.Doc), (r"#[^\n]*", Comment.Single)]


class TsdlLexer(RegexLexer):  # type: ignore[misc]  # where Pygments has no types
    """Colours programs; `pip install pygments` finds it by the names `tsdl` and `tsim`."""

    name = "TSDL"
    aliases = ("tsdl", "tsim")
    filenames = ("*.tsim",)
    # An item begins in `root`; its rest ends with the line, a semicolon or a brace.
    tokens = {  # noqa: RUF012 (as Pygments declares it)
        "root": [
            (r"\s+", Whitespace),
            (r"[;{}]", Punctuation),
            *_COMMENTS,
            (rf"(?:{_any_of(_verbs())})\b(?=[ \t]+[\w\"{{]|$)", Keyword.Declaration, "item"),
            (rf"(?:{_WORDS})\b(?=[ \t]+[+-]?[\w\"(\[])", Keyword, "item"),
            (rf"{_NAME}(?=[ \t]*(?:=(?!=)|:))", Name.Attribute, "item"),
            default("item"),
        ],
        "item": [
            (r"\n", Whitespace, "#pop"),
            (r"[;{}]", Punctuation, "#pop"),
            include("expression"),
        ],
        "brackets": [
            (r"\n", Whitespace),
            (rf"(\])([ \t]*)({_UNIT})", bygroups(Punctuation, Whitespace, Keyword.Type), "#pop"),
            (r"[\])]", Punctuation, "#pop"),
            include("expression"),
        ],
        "expression": [
            (r"[ \t\r]+", Whitespace),
            *_COMMENTS,
            (_TEXT, String.Double),
            (rf"({_NUMBER})([ \t]*)({_UNIT})", bygroups(Number, Whitespace, Keyword.Type)),
            (_NUMBER, Number),
            (rf"(?!{_NAME})(?:{_WORDS})\b", Keyword),  # what is no name anywhere
            (rf"(?:{_WORDS})\b(?=[ \t]+[+-]?[\w\"(\[])", Keyword),
            (r"(?:true|false)\b", Keyword.Constant),
            (rf"(?:{_any_of(_functions())})(?=[ \t]*\()", Name.Builtin),
            (rf"(?:{_any_of({*METRICS, *TOTALS})})\b(?![ \t]*[=.(\[])", Name.Builtin.Pseudo),
            (_NAME, Name),
            (r"[(\[]", Punctuation, "brackets"),
            (r"\.\.|\*\*|//|[-+*/]=?|[<>=!]=|[<>=]", Operator),
            (r"[.,:]", Punctuation),
        ],
    }
