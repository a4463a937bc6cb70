"""Makes the tables of SPEC.md from the schema: kinds of blocks, functions, metrics, codes.

    python docs/make_reference.py            prints the tables of the kinds of blocks
    python docs/make_reference.py functions  prints others; the names are those of TABLES
    python docs/make_reference.py --write    puts all of them between their markers in SPEC.md

The tests compare SPEC.md with what this yields. Needs the checkout on the path (PYTHONPATH=.).
"""

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path

from tsdl.diagnostics import Sink
from tsdl.diagnostics.codes import CATALOGUE
from tsdl.schema import (
    BATCH_FEATURES,
    CONSTRUCTORS,
    FUNCTIONS,
    KINDS,
    METRICS,
    RECORDS,
    STATISTICS,
    TOTALS,
    Block,
    Field,
)
from tsdl.schema.names import DRAWN, RECORD_FUNCTIONS, REDUCTIONS, SELECTORS
from tsdl.session import library
from tsdl.types import (
    Boolean,
    Bounds,
    Choice,
    Construct,
    Quantity,
    Record,
    Reference,
    Samples,
    Sequence,
    Text,
    Type,
    Unknown,
    article,
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
    if dimension == NUMBER:
        return "number"
    return "drawn" if dimension == Dimension.of("drawn") else _units().name_of(dimension)


def _type(found: Type) -> str:  # noqa: PLR0911 (one line for each type)
    match found:
        case Quantity(dimension=dimension):
            return _dimension(dimension)
        case Text(path=path):
            return "path" if path else "text"
        case Boolean():
            return "bool"
        case Reference(kind=kind):
            return f"{article(kind)} {kind}"
        case Choice(names=names):
            return "one of " + ", ".join(f"`{name}`" for name in names) if names else "a name"
        case Sequence(of=of):
            return f"list of {_type(of)}"
        case Bounds(of=of):
            return f"range of {_type(of)}"
        case Construct(family="distribution", dimension=dimension):
            return f"distribution of {_dimension(dimension)}"
        case Construct(family=family):
            return family
        case Record(name=name):
            return f"{article(name)} {name}"
        case Samples(of=of):
            return f"{_type(of)}, for each"
        case Unknown():
            return "unknown"


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *(list(row) for row in rows)]
    return ["| " + " | ".join(line) + " |" for line in lines]


# -- kinds of blocks ----------------------------------------------------------------------------------


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


def _fields(fields: Mapping[str, Field], titles: Mapping[str, str]) -> list[str]:
    rows = [
        (
            titles.get(name, f"`{name}`") + ("" if field.simulated else " †"),
            _type(field.type),
            _default(field),
            _bounds(field),
            field.doc,
        )
        for name, field in fields.items()
    ]
    return _table(("field", "type", "default", "bounds", "meaning"), rows) if rows else []


def _clauses(block: Block) -> list[str]:
    lines = []
    for name, clause in block.clauses.items():
        words = ", ".join(f"`{word}`" for word in clause.prepositions) or "none"
        later = "" if clause.simulated else " †"
        lines.append(f"- Clause `{name}`{later}: {clause.doc}. Prepositions: {words}.")
    for name, ((written, record), result) in block.functions.items():
        lines.append(f"- Formula `{name}({written})` of a {record}: {_type(result)}.")
    if block.bounds:
        lines.append("- Bounds: comparisons whose left side is a metric of a request (section 10).")
    if block.graph:
        lines.append("- `graph { … }`: the operators in their order (section 7.1).")
    if block.unchecked:
        lines.append("- Anything that can be parsed; it is not looked at (section 14).")
    return lines


def _symbols(block: Block) -> list[str]:
    names = [name for name in block.symbols if name not in BATCH_FEATURES]
    told = [f"`{name}` ({_type(block.symbols[name])})" for name in names]
    if len(names) < len(block.symbols):
        told.append("the features of the batch (section 7.2)")
    return [f"- Its expressions may also read {', '.join(told)}."] if told else []


def _block(path: str, block: Block, level: int, later: str) -> list[str]:
    lines = [f"{'#' * level} `{path}`{later}", "", block.doc, ""]
    fields, titles = dict(block.fields), {}
    if block.open_field:
        fields["…"], titles["…"] = block.open_field, "*any name*"
    for part in (_fields(fields, titles), [*_clauses(block), *_symbols(block)]):
        if part:
            lines += [*part, ""]
    return lines


def _nested(path: str, block: Block) -> list[str]:
    lines: list[str] = []
    for verb, nested in block.blocks.items():
        inner = f"{path}.{verb}" + (" NAME" if nested.named else "")
        inner += " * COUNT" if nested.counted else ""
        if nested.block is KINDS["cluster"].blocks["worker"].block and path != "cluster":
            continue  # a node's workers are those of a cluster
        lines += _block(inner, nested.block, 4, "" if nested.simulated else " †")
        lines += _nested(inner, nested.block)
    if block.open_block:
        lines += _block(f"{path}.NAME", block.open_block, 4, "")
    return lines


def kinds() -> str:
    """Return a table for each kind of block."""
    lines: list[str] = []
    for kind, block in KINDS.items():
        lines += _block(kind, block, 3, "")
        lines += _nested(kind, block)
    return "\n".join(lines).rstrip()


# -- names that expressions use -------------------------------------------------------------------------

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
    rows += [
        (f"`{name}`", "1", "a metric (`expect` only)", doc) for name, doc in STATISTICS.items()
    ]
    rows.append(("`p50`, `p99`, `p999`, …", "1", "a metric (`expect` only)", "a percentile"))
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
        rows += [
            (record, f"`{name}`", _type(type_), doc) for name, (type_, doc) in fields.items()
        ]
        for name, (argument, result, doc) in RECORD_FUNCTIONS.get(record, {}).items():
            rows.append((record, f"`{name}({argument})`", _type(result), doc))
    return "\n".join(_table(("record", "field", "type", "meaning"), rows))


def metrics() -> str:
    """Return the table of metrics and totals."""
    rows = [
        (f"`{name}`", _type(type_), doc) for name, (type_, doc) in {**METRICS, **TOTALS}.items()
    ]
    return "\n".join(_table(("name", "type", "meaning"), rows))


def units() -> str:
    """Return the table of dimensions, with the units that measure each and their prefixes."""
    declared = [clause for module in library() for clause in module.clauses]
    found: dict[str, list[str]] = {
        name: [] for name, dimension in _units().dimensions.items() if dimension != NUMBER
    }
    for clause in declared:
        if clause.verb == "unit" and clause.head is not None:
            unit = _units().units[clause.head.span.text]
            if unit.dimension != NUMBER:
                found[_units().name_of(unit.dimension)].append(clause.span.text)
    rows = []
    for name, texts in found.items():
        shown = [_unit(text) for text in texts]
        formula = "" if len(_units().dimensions[name].exponents) == 1 else (
            f" = {_units().dimensions[name]}"
        )  # fmt: skip
        rows.append((f"`{name}`{formula}", ", ".join(shown) or "–"))
    return "\n".join(_table(("dimension", "units (and what they are; which prefixes)"), rows))


def _unit(text: str) -> str:
    name, _, rest = text.removeprefix("unit ").partition("{")
    prefixes = next((p for p in PREFIXES if f"prefixes = {p}" in rest), "")
    shown, _, value = name.partition("=")
    told = [part.strip() for part in (value, prefixes) if part.strip()]
    return f"`{shown.partition(':')[0].strip()}`" + (f" ({'; '.join(told)})" if told else "")


def codes() -> str:
    """Return the table of codes."""
    rows = [(row.code, row.severity.value, row.title) for row in CATALOGUE.values()]
    return "\n".join(_table(("code", "severity", "what"), rows))


TABLES: dict[str, Callable[[], str]] = {
    "reference": kinds,
    "units": units,
    "functions": functions,
    "constructors": constructors,
    "records": records,
    "metrics": metrics,
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
