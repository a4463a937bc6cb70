"""What the language itself has to say of a name: its schema as text, for hover and completion."""

from fractions import Fraction

from tsdl.formula import percentile_of
from tsdl.schema import (
    ACTIONS,
    BATCH_FEATURES,
    CONSTRUCTORS,
    EVENTS,
    FUNCTIONS,
    KINDS,
    METRICS,
    RECORD_FUNCTIONS,
    RECORDS,
    STATISTICS,
    TOTALS,
    UNITS_KINDS,
    Block,
    Constructor,
    Field,
)
from tsdl.schema.names import REDUCTIONS, SELECTORS
from tsdl.types import Bounds, Quantity, Sequence, Type, describe
from tsdl.units import NUMBER, Dimension, Unit, Units

# Words of the grammar, by what stands behind them (SPEC.md, section 3).
STATEMENTS = {
    "let": "let NAME = VALUE: a name for a value, in a handler or a block",
    "if": "if CONDITION { … } else { … }",
    "for": "for NAME in LIST { … }",
    "log": "log VALUE, …: writes a line of what happens",
    "record": "record METRIC, VALUE: a value of a metric; under a text, for records.csv alone",
}
FILE_WORDS = {
    "param": "param NAME = VALUE: a value that a run can set",
    "attribute": "attribute NAME = VALUE: a number that each request has, else this value",
    "metric": "metric NAME: TYPE: what handlers record, and results are asked about",
    "import": 'import "FILE": the declarations of another file',
    "edition": 'edition "2026": on the first line',
}
OF_GRAPHS = {
    "graph": "graph { NAME: OPERATOR(…) … }: the operators of a layer and of what is around it",
    "repeat": "repeat NAME * COUNT { … }: the same operators so many times",
}

_CHOICE = "`VALUE if CONDITION else OTHER`: one of two values"
GRAMMAR = {
    "if": _CHOICE,
    "else": _CHOICE,
    "and": "`A and B`: both hold",
    "or": "`A or B`: one of them holds, or both",
    "not": "`not A`: it does not hold",
    "in": "`NAME in LIST`: each of a list, one after the other",
    "for": "`VALUE for NAME in LIST if CONDITION`: a value of each of a list",
    "let": STATEMENTS["let"],
    "step": "`LOW..HIGH step STEP`: from one number to another",
    "from": "`from BASE, …`: takes over what these set",
    "when": "`when CONDITION`: only where this holds",
    "by": "`by KEY`: in the order of a key, the least first",
    "to": "`to TARGET`: where it goes",
    "over": "`over TIME`: of the last such time; `VALUE over AXIS`: at all points along it",
    "after": "`after NODE`: behind this node of the graph",
    "where": "`where CONDITION`: only of the points of a study at which this holds; "
    "`where = CONDITION` of a statistic or a total: only of the requests for which it does",
    "while": "`while CONDITION`: as long as this holds",
    "as": "`as NAME`: under this name",
    "every": "`every(TIME)`: again and again after such a time",
}
CHANNELS = {
    "x": "what goes to the right: an axis, a param or a value",
    "y": "what goes upwards: an axis, a param or a value",
    "color": "an axis, each value of which has a color",
    "facet": "an axis, each value of which has a picture of its own",
    "log": "which scales are logarithmic: `x`, `y` or `both`",
}


def base_unit(dimension: Dimension, units: Units) -> str:
    """Return the unit in which the compiler counts a dimension: `B/s` of `data/time`."""
    names: dict[Dimension, str] = {}
    for name, unit in units.units.items():
        if unit.factor == Fraction(1):
            names.setdefault(unit.dimension, name)
    over: list[str] = []
    under: list[str] = []
    for name, power in dimension.exponents:
        base = names.get(Dimension(((name, 1),)), name)
        written = base if abs(power) == 1 else f"{base}^{abs(power)}"
        (over if power > 0 else under).append(written)
    return "/".join(["*".join(over) or "1", *under]) if dimension.exponents else ""


def in_base_units(value: int | float, unit: Unit, units: Units) -> str:
    """Return a quantity in base units: `3e+12 B/s` of `3 TB/s`."""
    number = unit.convert(value)
    exact = str(number) if isinstance(number, int) and abs(number) < 10**7 else f"{number:g}"
    return f"{exact} {base_unit(unit.dimension, units)}".rstrip()


def type_text(found: Type, units: Units) -> str:
    """Say a type in words, with the unit that it is counted in."""
    inner = found.of if isinstance(found, (Sequence, Bounds)) else found
    dimension = getattr(inner, "dimension", NUMBER)
    unit = base_unit(dimension, units) if isinstance(inner, Quantity) else ""
    return describe(found) + (f", in {unit}" if unit else "")


def field_text(path: str, field: Field, units: Units) -> str:
    """Return what the schema says of a field, as Markdown."""
    facts = []
    if field.default:
        facts.append(f"else `{field.default}`")
    elif field.required:
        facts.append("required")
    if field.low is not None:
        facts.append(f"{'>' if field.above else '≥'} {field.low:g}")
    if field.high is not None:
        facts.append(f"≤ {field.high:g}")
    if field.whole:
        facts.append("whole")
    told = "".join(f"; {fact}" for fact in facts)
    return f"`{path}`: {type_text(field.type, units)}{told}\n\n{field.doc}"


def constructor_text(name: str, maker: Constructor) -> str:
    """Return how a constructor is called, and what it makes."""
    told = [
        key if field.required else f"{key} = {field.default or '…'}"
        for key, field in maker.parameters.items()
    ]
    return f"`{name}({', '.join(told) or 'value: weight, …'})`: {maker.family}\n\n{maker.doc}"


def word_text(name: str, family: str = "") -> str | None:
    """Return what a name of the language means where no declaration takes it; Markdown.

    `family` is that of the constructors that are meant, where several have one of that name.
    """
    families = [family] if family in CONSTRUCTORS else list(CONSTRUCTORS)
    for makers in (CONSTRUCTORS[name_of] for name_of in families):
        if name in makers:
            return constructor_text(name, makers[name])
    if name in FUNCTIONS:
        return f"`{name}(…)`\n\n{FUNCTIONS[name][3]}"
    if percentile_of(name) is not None:
        return f"`{name}(METRIC)`\n\na percentile"
    plain = {**BATCH_FEATURES, **STATISTICS, **REDUCTIONS, **SELECTORS}
    plain |= {key: doc for key, (_, doc) in {**TOTALS, **METRICS}.items()}
    return f"`{name}`\n\n{plain[name]}" if name in plain else None


def verb_text(verb: str, outer: Block | None) -> str | None:
    """Return what a verb means within a kind of block, at the top of a file for None; Markdown."""
    if outer is None:
        known = {**{k: b.doc for k, b in KINDS.items()}, **UNITS_KINDS, **FILE_WORDS}
        return f"`{verb}`\n\n{known[verb]}" if verb in known else None
    if verb in outer.clauses:
        clause = outer.clauses[verb]
        words = ", ".join(f"`{word}`" for word in clause.words)
        return f"`{verb}`: {clause.doc}" + (f"\n\ntakes {words}" if words else "")
    nested = outer.blocks[verb].block if verb in outer.blocks else outer.open_block
    if nested is not None:
        return f"`{verb} {{ }}`\n\n{nested.doc}"
    return None


def statement_text(verb: str) -> str | None:
    """Return what a statement of a handler does, or a word of a graph; Markdown."""
    if verb in ACTIONS:
        return f"`{ACTIONS[verb].form}`\n\n{ACTIONS[verb].doc}"
    return {**STATEMENTS, **OF_GRAPHS}.get(verb)


def event_text(name: str) -> str | None:
    """Return when an event happens; Markdown."""
    if name not in EVENTS:
        return None
    event = EVENTS[name]
    return f"`on {name}`: {', '.join(event.about) or 'of no request'}\n\n{event.doc}"


def record_text(record: str, name: str, units: Units) -> str | None:
    """Return what a field or a function of a record is; Markdown."""
    if name in RECORDS.get(record, {}):
        type_, doc = RECORDS[record][name]
        return f"`{record}.{name}`: {type_text(type_, units)}\n\n{doc}"
    if name in RECORD_FUNCTIONS.get(record, {}):
        argument, type_, doc = RECORD_FUNCTIONS[record][name]
        return f"`{record}.{name}({argument})`: {type_text(type_, units)}\n\n{doc}"
    return None
