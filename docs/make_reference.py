"""Makes the tables of SPEC.md from the schema: kinds of blocks, units, functions, codes.

    python docs/make_reference.py            prints the tables of the kinds of blocks
    python docs/make_reference.py functions  prints others; the names are those of TABLES
    python docs/make_reference.py --write    puts all of them between their markers in SPEC.md

The tests compare SPEC.md with what this yields. Needs the checkout on the path (PYTHONPATH=.).
"""

import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

from msgspec.structs import replace

from tsdl.diagnostics import Sink
from tsdl.diagnostics.codes import CATALOGUE
from tsdl.schema import (
    ACTIONS,
    BATCH_FEATURES,
    BY_REQUEST,
    CONSTRUCTORS,
    EVENTS,
    FUNCTIONS,
    KINDS,
    RECORD_FUNCTIONS,
    RECORDS,
    STATISTICS,
    Block,
    Field,
)
from tsdl.schema.names import DRAWN, REDUCTIONS, SELECTORS
from tsdl.session import library
from tsdl.types import (
    Boolean,
    Bounds,
    Choice,
    Construct,
    Quantity,
    Read,
    Record,
    Reference,
    Sequence,
    Text,
    Type,
    Unknown,
    with_article,
)
from tsdl.unitdeclarations import declare_units
from tsdl.units import NUMBER, PREFIXES, Dimension, Units

SPEC = Path(__file__).resolve().parents[1] / "SPEC.md"


@cache
def _units() -> Units:
    units = Units()
    declare_units(library(), units, Sink())
    return units


def _dimension(dimension: Dimension) -> str:
    if dimension in (NUMBER, DRAWN):
        return "number" if dimension == NUMBER else "drawn"
    named = (name for name, known in _units().dimensions.items() if known == dimension)
    return next(named, str(dimension))


def _type(found: Type) -> str:
    match found:
        case Quantity(dimension=dimension):
            return _dimension(dimension)
        case Sequence(of=of):
            return f"list of {_type(of)}"
        case Bounds(of=of):
            return f"range of {_type(of)}"
        case Construct(family="distribution", dimension=dimension):
            return f"distribution of {_dimension(dimension)}"
        case Choice(names=names):
            return "one of " + ", ".join(f"`{name}`" for name in names) if names else "a name"
        case _:
            return _plain_type(found)


def _plain_type(found: Type) -> str:
    match found:
        case Text(path=path):
            return "path" if path else "text"
        case Boolean():
            return "bool"
        case Reference(kind=name) | Record(name=name):
            return f"{with_article(name)}"
        case Construct(family=family):
            return family
        case Read():
            return "`w.FIELD` or `r.FIELD`"
        case Unknown():
            return "what its name asks for"
        case _:
            raise TypeError(found)


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *(list(row) for row in rows)]
    return ["| " + " | ".join(line) + " |" for line in lines]


# -- kinds of blocks -----------------------------------------------------------------------------


def _bounds(field: Field) -> str:
    told = []
    if field.low is not None:
        told.append(f"{'>' if field.above else '≥'} {field.low:g}")
    if field.high is not None:
        told.append(f"≤ {field.high:g}")
    if field.whole:
        told.append("whole")
    if field.formula:
        told.append("formula")
    return ", ".join(told)


def _default(field: Field) -> str:
    return f"`{field.default}`" if field.default else "required" if field.required else "–"


def _row(name: str, field: Field) -> tuple[str, ...]:
    return (f"`{name}`", _type(field.type), _default(field), _bounds(field), field.doc)


def _rows(path: str, block: Block) -> Iterator[tuple[str, ...]]:
    """Yield a row for each field, and for each nested block one and those of its fields."""
    for name, field in block.fields.items():
        yield _row(f"{path}{name}", field)
    if block.open_field:
        yield _row(f"{path}NAME", block.open_field)
    for verb, nested in block.blocks.items():
        title = f"{path}{verb}" + (" NAME" if nested.named else "")
        count = " * COUNT" if nested.counted else ""
        yield (f"`{title}{count} {{ }}`", "block", "–", "", nested.block.doc)
        if "worker" in nested.block.blocks:  # its workers are those of a cluster
            yield from _rows(f"{title}.", replace(nested.block, blocks={}))
        else:
            yield from _rows(f"{title}.", nested.block)
    if block.open_block:
        yield (f"`{path}NAME {{ }}`", "block", "–", "", block.open_block.doc)
        yield from _rows(f"{path}NAME.", block.open_block)


def _notes(path: str, block: Block) -> Iterator[str]:
    """Yield what else a block holds, and what its expressions may read; then its nested blocks."""
    inside = f" in `{path}`" if path else ""
    for name, clause in block.clauses.items():
        words = ", ".join(f"`{word}`" for word in clause.words) or "none"
        yield f"- Clause `{name}`{inside}: {clause.doc}. Prepositions: {words}."
    for name, ((written, record), result) in block.functions.items():
        yield f"- Formula `{name}({written})` of a {record}: {_type(result)}."
    if block.bounds:
        yield "- Bounds: comparisons whose left side is a metric of a request (section 10)."
    if block.graph:
        yield "- `graph { … }`: the operators in their order (section 7.1)."
    names = [name for name in block.symbols if name not in BATCH_FEATURES]
    told = [f"`{name}` ({_type(block.symbols[name])})" for name in names]
    if block.kind == "tier":
        names, told = [], ["what an entry has (section 5.7)"]
    elif len(names) < len(block.symbols):
        told.append("the features of section 7.2")
    if told:
        text = f"- Expressions{inside} may also read {', '.join(told)}."
        yield textwrap.fill(text, 120, subsequent_indent="  ", break_on_hyphens=False)
    for verb, nested in block.blocks.items():
        yield from _notes(f"{path}.{verb}".lstrip("."), nested.block)


def kinds() -> str:
    """Return a table for each kind of block."""
    lines: list[str] = []
    for kind, block in KINDS.items():
        lines += [f"### `{kind}`", block.doc, ""]
        rows, notes = list(_rows("", block)), list(_notes("", block))
        if rows:
            lines += [*_table(("field", "type", "default", "bounds", "meaning"), rows), ""]
        if notes:
            lines += [*notes, ""]
    return "\n".join(lines).rstrip()


# -- names that expressions use ------------------------------------------------------------------

_RULES = {
    "same": "of one dimension",
    "number": "plain numbers",
    "list": "`x`, and a list of its dimension",
}


def functions() -> str:
    """Return the table of functions, selections and reductions."""
    rows = []
    for name, (rule, least, most, doc) in FUNCTIONS.items():
        count = str(least) if least == most else f"{least} or more"
        rows.append((f"`{name}`", count, _RULES[rule], doc))
    generator = "a generator"
    rows += [
        (f"`{name}`", "1", f"{generator} with `by KEY`" if name == "pick" else generator, doc)
        for name, doc in {**SELECTORS, **REDUCTIONS}.items()
    ]
    metric = "a metric, and `where` if it is of some requests (`expect` only)"
    rows += [(f"`{name}`", "1", metric, doc) for name, doc in STATISTICS.items()]
    rows.append(("`p50`, `p99`, `p999`, …", "1", metric, "a percentile"))
    totals = ", ".join(f"`{name}`" for name in BY_REQUEST)
    rows.append((totals, "1", "`where` alone (`expect` only)", "the total of some requests"))
    return "\n".join(_table(("function", "arguments", "which are", "result"), rows))


def constructors() -> str:
    """Return the table of what makes distributions, arrivals and parallelism."""
    rows = []
    for family, makers in CONSTRUCTORS.items():
        for name, maker in makers.items():
            told = [_parameter(key, field) for key, field in maker.parameters.items()]
            if maker.variadic:
                told = ["`value: weight`, …"]
            rows.append((family, f"`{name}`", ", ".join(told) or "none", maker.doc))
    return "\n".join(_table(("makes", "name", "parameters, in order", "meaning"), rows))


def _parameter(name: str, field: Field) -> str:
    told = [_type(field.type)]
    if field.default:
        told.append(f"else `{field.default}`")
    elif not field.required:
        told.append("optional")
    bounds = _bounds(field)
    return f"`{name}` ({', '.join([*told, bounds] if bounds else told)})"


def records() -> str:
    """Return the table of what policies and formulas read of the running system."""
    rows = []
    for record, fields in RECORDS.items():
        rows += [(record, f"`{name}`", _type(type_), doc) for name, (type_, doc) in fields.items()]
        for name, (argument, result, doc) in RECORD_FUNCTIONS.get(record, {}).items():
            rows.append((record, f"`{name}({argument})`", _type(result), doc))
    return "\n".join(_table(("record", "field", "type", "meaning"), rows))


def units() -> str:
    """Return the dimensions as a list, with the units that measure each and their prefixes."""
    declared = [clause for module in library() for clause in module.clauses]
    found: dict[str, list[str]] = {
        name: [] for name, dimension in _units().dimensions.items() if dimension != NUMBER
    }
    for clause in declared:
        if clause.verb == "unit" and clause.head is not None:
            unit = _units().units[clause.head.span.text]
            if unit.dimension != NUMBER:
                found[_dimension(unit.dimension)].append(_unit(clause.span.text))
    told = []
    for name, texts in found.items():
        dimension = _units().dimensions[name]
        formula = f" = {dimension}" if len(dimension.exponents) > 1 else ""
        told.append(f"`{name}`{formula}" + (f": {', '.join(texts)}" if texts else ""))
    return textwrap.fill("; ".join(told) + ".", 120, break_on_hyphens=False)


def _unit(text: str) -> str:
    name, _, rest = text.removeprefix("unit ").partition("{")
    prefixes = next((p for p in PREFIXES if f"prefixes = {p}" in rest), "")
    shown, _, value = name.partition("=")
    told = [part.strip() for part in (value, prefixes) if part.strip()]
    return f"`{shown.partition(':')[0].strip()}`" + (f" ({', '.join(told)})" if told else "")


_RANGES = {
    "E01": "text and files",
    "E02": "names and modules",
    "E03": "types and units",
    "E04": "members of blocks",
    "E05": "values and the plan",
    "E06": "data files",
    "E07": "studies",
    "E09": "the run",
    "W02": "names",
    "W05": "values and the plan",
    "W06": "data files",
    "W09": "the run",
    "N02": "names",
    "N05": "values and the plan",
    "N06": "data files",
}


def codes() -> str:
    """Return the table of codes, a row for each range."""
    rows = []
    for start, about in _RANGES.items():
        found = [row for row in CATALOGUE.values() if row.code.startswith(start)]
        told = "; ".join(f"{row.code} {row.title}" for row in found)
        rows.append((start, found[0].severity.value, about, told))
    if sum(row[3].count("; ") + 1 for row in rows) != len(CATALOGUE):
        raise ValueError("a code is in no range")
    return "\n".join(_table(("range", "severity", "about", "codes"), rows))


def events() -> str:
    """Return the table of events: in which stages, and what they are about."""
    rows = []
    for name, event in EVENTS.items():
        about = ", ".join(event.about) or "–"
        rows.append((f"`{name}`", " and ".join(event.stages), about, event.doc))
    return "\n".join(_table(("event", "stage", "about", "when"), rows))


def actions() -> str:
    """Return the table of actions."""
    rows = [
        (f"`{action.form}`", " and ".join(action.stages), action.doc) for action in ACTIONS.values()
    ]
    return "\n".join(_table(("action", "stage", "what it does"), rows))


TABLES: dict[str, Callable[[], str]] = {
    "reference": kinds,
    "units": units,
    "functions": functions,
    "constructors": constructors,
    "records": records,
    "events": events,
    "actions": actions,
    "codes": codes,
}


def replaced(text: str) -> str:
    """Return SPEC.md with every table as the schema has it."""
    for name, make in TABLES.items():
        begin, end = f"<!-- begin: {name} -->\n", f"<!-- end: {name} -->"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        whole = f"{begin}\n{make()}\n\n{end}"
        text, count = pattern.subn(lambda _, whole=whole: whole, text)  # type: ignore[misc]
        if count != 1:
            raise ValueError(f"SPEC.md has {count} places for the table `{name}`")
    return text


def main(arguments: list[str]) -> None:
    """Print a table, or write all of them."""
    if arguments == ["--write"]:
        SPEC.write_text(replaced(SPEC.read_text("utf-8")), encoding="utf-8", newline="")
    else:
        sys.stdout.write(TABLES[arguments[0] if arguments else "reference"]() + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
