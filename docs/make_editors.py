"""Makes the grammar by which editors color programs, from the schema and the library.

    python docs/make_editors.py            prints it
    python docs/make_editors.py --write    puts it into editors/vscode/syntaxes/

It is a TextMate grammar, which other editors read, too. The tests compare the file with what this
yields. Needs the checkout on the path (PYTHONPATH=.).
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from tsdl._resources import grammar_words
from tsdl.check.parameters import SIMPLE_TYPES
from tsdl.diagnostics import Sink
from tsdl.schema import (
    ACTIONS,
    AGGREGATES,
    BATCH_FEATURES,
    BY_REQUEST,
    CONSTRUCTORS,
    EVENTS,
    FUNCTIONS,
    KINDS,
    METRICS,
    STATISTICS,
    TOTALS,
    UNITS_KINDS,
    VALUES,
    Block,
)
from tsdl.schema.names import REDUCTIONS, SELECTORS
from tsdl.schema.studies import PLOTS
from tsdl.session import library
from tsdl.types import Choice
from tsdl.unitdeclarations import declare_units
from tsdl.units import Units

GRAMMAR = (
    Path(__file__).resolve().parents[1] / "editors" / "vscode" / "syntaxes" / "tsim.tmLanguage.json"
)

# Words of the grammar itself; those that are neither of these two stand before what they rule.
_CONTROL = ("if", "else", "for", "in", "let", "and", "or", "not", "step")
_STATEMENTS = ("expect", "where", "table", "log", "record")
_PREPOSITIONS = {*grammar_words(), "where"} - {*_CONTROL, *_STATEMENTS[:1], *_STATEMENTS[2:]}
_DECLARED = (*VALUES, *UNITS_KINDS, *KINDS)
_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_NUMBER = r"(?<![A-Za-z0-9_])(?<![A-Za-z0-9_]\.)[0-9][0-9_]*(?:\.[0-9][0-9_]*)?(?:[eE][+-]?[0-9]+)?"


def _blocks(block: Block) -> Iterator[Block]:
    """Yield a kind of block and all that it may hold."""
    yield block
    inner = [nested.block for nested in block.blocks.values()]
    for one in [*inner, *([block.open_block] if block.open_block else [])]:
        yield from _blocks(one)


_ALL = [block for kind in KINDS.values() for block in _blocks(kind)]


def _clauses() -> set[str]:
    return {"graph", "repeat", *(verb for block in _ALL for verb in block.clauses)}


def _nested() -> set[str]:
    return {verb for block in _ALL for verb in block.blocks}


def _choices() -> set[str]:
    fields = [field for block in _ALL for field in block.fields.values()]
    named = {
        name for field in fields if isinstance(field.type, Choice) for name in field.type.names
    }
    return {"true", "false", *named}


def _units() -> list[str]:
    units = Units()
    declare_units(library(), units, Sink())
    return list(units.units)


def _any(words: Iterable[str]) -> str:
    """Return a pattern of words, the longer ones first."""
    return "|".join(re.escape(w) for w in sorted(set(words), key=lambda w: (-len(w), w)))


def _words(words: Iterable[str], name: str, behind: str = "") -> dict[str, object]:
    return {"match": rf"\b(?:{_any(words)})\b{behind}", "name": f"{name}.tsim"}


def _unit() -> str:
    part = rf"(?:{_any(_units())})(?:\^-?[0-9])?"
    return rf"(?:{part}(?:[/*]{part})*)(?![A-Za-z0-9_])"


def _number() -> dict[str, object]:
    return {
        "match": rf"({_NUMBER})(?:[ \t]*({_unit()}))?",
        "captures": {
            "1": {"name": "constant.numeric.tsim"},
            "2": {"name": "keyword.other.unit.tsim"},
        },
    }


def _unit_of_list() -> dict[str, object]:
    return {
        "match": rf"(?<=\])[ \t]*({_unit()})",
        "captures": {"1": {"name": "keyword.other.unit.tsim"}},
    }


def _declaration() -> dict[str, object]:
    return {
        "match": rf"^\s*({_any(_DECLARED)})[ \t]+({_NAME})",
        "captures": {
            "1": {"name": "storage.type.tsim"},
            "2": {"name": "entity.name.type.tsim"},
        },
    }


def _type() -> dict[str, object]:
    """Return how types are told: `param n: int`, `state sent: count[worker]`."""
    return {
        "match": rf"(?<=:)[ \t]*({_any((*SIMPLE_TYPES, *KINDS, *AGGREGATES))})\b(?!\()",
        "captures": {"1": {"name": "storage.type.tsim"}},
    }


def _named_block() -> dict[str, object]:
    """Return how the name of a block, of state or of a handler's event is told: `worker a {`."""
    return {
        "match": rf"(?:^|(?<=[{{;]))\s*({_any(_clauses() | _nested())})\b(?!\s*[.=(])"
        rf"(?:[ \t]+({_any(EVENTS)})\b(?=\())?",
        "captures": {
            "1": {"name": "keyword.other.tsim"},
            "2": {"name": "support.function.event.tsim"},
        },
    }


def grammar() -> str:
    """Return the TextMate grammar as JSON."""
    functions = {*FUNCTIONS, *REDUCTIONS, *SELECTORS, *STATISTICS, *BY_REQUEST, *AGGREGATES}
    functions |= PLOTS.keys()
    functions |= {name for makers in CONSTRUCTORS.values() for name in makers}
    line = r"(?:^|(?<=[{;]))\s*"
    patterns: list[dict[str, object]] = [
        {"match": "##.*$", "name": "comment.line.documentation.tsim"},
        {"match": "#.*$", "name": "comment.line.number-sign.tsim"},
        {"match": '"[^"\\n]*"', "name": "string.quoted.double.tsim"},
        _declaration(),
        {
            "match": rf"{line}(import|edition)\b",
            "captures": {"1": {"name": "keyword.control.import.tsim"}},
        },
        {
            "match": rf"{line}({_any(ACTIONS)})\b(?!\s*[.=(])",
            "captures": {"1": {"name": "keyword.control.tsim"}},
        },
        {
            "match": rf"{line}({_any(_STATEMENTS)})\b",
            "captures": {"1": {"name": "keyword.control.tsim"}},
        },
        _named_block(),
        _type(),
        _words(_CONTROL, "keyword.control"),
        _words(_PREPOSITIONS, "keyword.other", r"(?!\s*=[^=])"),
        _number(),
        _unit_of_list(),
        {
            "match": rf"{_NAME}(?:\.{_NAME})*(?=\s*[+-]?=(?!=))",
            "name": "variable.other.member.tsim",
        },
        {
            "match": rf"\b(?:{_any(functions)}|p[0-9]+)\b(?=\s*\()",
            "name": "support.function.tsim",
        },
        {"match": rf"\b{_NAME}(?=\s*\()", "name": "entity.name.function.tsim"},
        {"match": rf"(?<=\.){_NAME}", "name": "variable.other.property.tsim"},
        _words({*METRICS, *TOTALS, *BATCH_FEATURES}, "support.variable"),
        _words(_choices(), "constant.language"),
        {"match": r"\*\*|//|\.\.|[<>=!]=|[-+*/<>=]", "name": "keyword.operator.tsim"},
    ]
    whole = {
        "name": "TSDL",
        "scopeName": "source.tsim",
        "fileTypes": ["tsim"],
        "patterns": patterns,
    }
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> None:
    """Print the grammar, or write it."""
    if arguments == ["--write"]:
        GRAMMAR.write_text(grammar(), encoding="utf-8", newline="")
    else:
        sys.stdout.write(grammar())


if __name__ == "__main__":
    main(sys.argv[1:])
