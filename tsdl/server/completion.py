"""What may stand at a place: from the schema, from what is declared, from the types of values."""

import re
from collections.abc import Iterable, Iterator

from lsprotocol.types import (
    CompletionItem,
    CompletionItemKind,
    InsertTextFormat,
    MarkupContent,
    MarkupKind,
)

from tsdl.check.events import breakpoints_of
from tsdl.check.parameters import SIMPLE_TYPES
from tsdl.formula import percentile_of
from tsdl.program import Declaration, Program
from tsdl.schema import (
    ACTIONS,
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
from tsdl.schema.names import DRAWN, REDUCTIONS, SELECTORS
from tsdl.schema.stages import AMBIENT
from tsdl.server import words
from tsdl.server.context import GRAPH, HANDLER, Context, context
from tsdl.server.documents import Checked
from tsdl.server.members import members_of
from tsdl.types import Boolean, Choice, Construct, Quantity, Reference, Type
from tsdl.units import NUMBER

_PREFIX = re.compile(r"[A-Za-z_]\w*$")
_DOTTED = re.compile(r"(?<![\w.])([A-Za-z_][\w.]*(?:\[[^\]]*\])?)\.$")
_AFTER_NUMBER = re.compile(r"(?:(?<![\w.])[0-9][0-9_]*(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|\]) *$")
_UNIT_PART = re.compile(r"[A-Za-zµ%][\w/*^%]*$")
_SET = re.compile(r"([A-Za-z_][\w.]*)(?:\([^)]*\))?\s*[+-]?=(?!=)")
_PERCENTILES = ("p50", "p90", "p95", "p99")
_RESULT_VERBS = ("expect", "table", "plot", "best", "pareto", "maximize", "minimize")
_KIND = CompletionItemKind


def complete(checked: Checked, offset: int) -> list[CompletionItem]:
    """Return what may stand at a place of a file; the editor chooses by what is typed already."""
    here = context(checked.source.text, offset)
    if here.quoted:
        return []
    number = _UNIT_PART.sub("", here.statement)
    if _AFTER_NUMBER.search(number) and not re.search(r"\d$", here.statement):
        units = _units(_expected(here, checked.program), checked.program)
        return _distinct([*units, *_prepositions(here)])
    written = _PREFIX.sub("", here.statement)
    dotted = _DOTTED.search(written)
    if dotted:
        return _distinct(_members(dotted.group(1), here, checked))
    if written.rstrip().endswith(".") and not written.rstrip().endswith(".."):
        return []
    if not written.strip():
        return _distinct(_beginnings(here, checked.program))
    return _distinct(_values(here, written, checked.program))


def _distinct(items: Iterable[CompletionItem]) -> list[CompletionItem]:
    """Return items in their order, each label once."""
    found: dict[str, CompletionItem] = {}
    for item in items:
        if item.label not in found:
            item.sort_text = f"{len(found):05}"
            found[item.label] = item
    return list(found.values())


def _item(
    label: str, kind: CompletionItemKind, told: str | None = None, snippet: str | None = None
) -> CompletionItem:
    head, _, doc = (told or "").partition("\n\n")
    return CompletionItem(
        label=label,
        kind=kind,
        detail=head.replace("`", "") or None,
        documentation=MarkupContent(MarkupKind.Markdown, doc) if doc else None,
        insert_text=snippet,
        insert_text_format=InsertTextFormat.Snippet if snippet else None,
    )


# -- at the beginning of a line ------------------------------------------------------------------


def _beginnings(here: Context, program: Program) -> Iterator[CompletionItem]:
    block, special, _ = here.block()
    if not here.heads:
        for verb in (*KINDS, *words.FILE_WORDS, *UNITS_KINDS):
            yield _item(verb, _KIND.Keyword, words.verb_text(verb, None))
    elif special == HANDLER:
        stage = _stage(here)
        for name, action in ACTIONS.items():
            if stage in action.stages:
                yield _item(name, _KIND.Function, words.statement_text(name))
        for name in words.STATEMENTS:
            yield _item(name, _KIND.Keyword, words.statement_text(name))
        yield from (_item(name, _KIND.Variable) for name in here.variables())
    elif special == GRAPH:
        yield _item("repeat", _KIND.Keyword, "repeat NAME * COUNT { … }")
    elif block is not None:
        yield from _of_block(block, program)
        if block.kind == "case":
            yield from _declared(program, "param")
        if block.kind in ("attributes", "columns"):
            yield from _declared(program, "attribute")


def _of_block(block: Block, program: Program) -> Iterator[CompletionItem]:
    for name, field in block.fields.items():
        yield _item(name, _KIND.Field, words.field_text(name, field, program.units))
    for name, ((written, record), _) in block.functions.items():
        yield _item(
            name, _KIND.Function, f"{name}({written}) of a {record}", f"{name}({written}) = "
        )
    for verb, nested in block.blocks.items():
        head = f"{verb} ${{1:name}}" if nested.named else verb
        yield _item(verb, _KIND.Struct, words.verb_text(verb, block), f"{head} {{ $0 }}")
    for verb in block.clauses:
        yield _item(verb, _KIND.Keyword, words.verb_text(verb, block))
    if block.names_values:
        yield _item("let", _KIND.Keyword, words.STATEMENTS["let"])
    if block.graph:
        yield _item("graph", _KIND.Struct, "graph { … }: operators", "graph { $0 }")
    if block.kind in ("compute", "attained", "stored_in", "widened"):
        yield from _declared(program, "dtype")
    if block.bounds:
        yield from _metrics(program, totals=False)


def _stage(here: Context) -> str:
    return "global" if "global" in here.verbs else "local"


# -- values --------------------------------------------------------------------------------------


def _values(here: Context, written: str, program: Program) -> Iterator[CompletionItem]:
    """Yield what an expression may say at a place, what is expected there first."""
    first = written.split(None, 1)[0]
    last = written.rsplit(maxsplit=1)[-1]
    block, special, around = here.block()
    if not here.heads and first in ("import", "edition"):
        return
    if not here.heads and first in KINDS and "(" not in written.partition(" from ")[2]:
        yield from _of_head(first, written, program)
        return
    if first == "on" and last == "on":
        yield from (_item(n, _KIND.Event, words.event_text(n)) for n in EVENTS)
        yield from (_item(name, _KIND.Event) for name in breakpoints_of(program))
        return
    if re.fullmatch(r"(param|attribute|metric|state)\s+\w+\s*:", written.strip()):
        names = (*SIMPLE_TYPES, *KINDS, *program.units.dimensions)
        yield from (_item(name, _KIND.TypeParameter) for name in names)
        return
    if special == GRAPH and written.strip().endswith(":"):
        yield from _declared(program, "operator")
        return
    expected = _expected(here, program)
    yield from _parameters(here, program)
    yield from _prepositions(here)
    yield from _expected_names(expected, program)
    if isinstance(expected, (Choice, Construct, Boolean)):
        yield from (_item(name, _KIND.Variable) for name in here.parameters())
        yield from _declared(program, "param")
        return
    yield from _behind_verb(first, program)
    seen = [*here.parameters(), *here.variables()]
    if special == HANDLER or (block and block.kind in AMBIENT):
        seen += AMBIENT[_stage(here)]
    yield from (_item(name, _KIND.Variable) for name in seen)
    yield from _declared(program, "param")
    if block and block.kind == "study":  # it asks for params, and reads no fields of its own
        around = ()
    for outer in around:
        for name, field in outer.fields.items():
            yield _item(name, _KIND.Field, words.field_text(name, field, program.units))
        for name in outer.symbols:
            told = f"{name}\n\n{BATCH_FEATURES[name]}" if name in BATCH_FEATURES else None
            yield _item(name, _KIND.Variable, told)
    functions = [*FUNCTIONS, *REDUCTIONS, *(SELECTORS if special == HANDLER else ())]
    yield from (_item(n, _KIND.Function, words.word_text(n), f"{n}($0)") for n in functions)
    if expected is None:
        yield from (
            _item(w, _KIND.Keyword) for w in ("if", "else", "and", "or", "not", "for", "in")
        )
        yield from _declared(program, None)


def _of_head(kind: str, written: str, program: Program) -> Iterator[CompletionItem]:
    """Yield what follows in the head of a declaration: `from`, and what it may be derived from."""
    if re.search(r"\bfrom\b", written):
        yield from _declared(program, kind)
    elif ":" in written and "(" in written:
        names = (*SIMPLE_TYPES, *KINDS, *program.units.dimensions)
        yield from (_item(name, _KIND.TypeParameter) for name in names)
    elif len(written.split()) > 1:
        yield _item("from", _KIND.Keyword)


def _prepositions(here: Context) -> Iterator[CompletionItem]:
    block, special, _ = here.block()
    verb = here.statement.split(None, 1)[0] if here.statement.split() else ""
    if special == HANDLER and verb in ACTIONS:
        words_ = [w for w in ("to", "in", "from") if f" {w} " in f" {ACTIONS[verb].form} "]
    elif block is not None and not special and verb in block.clauses:
        words_ = list(block.clauses[verb].words)
    else:
        words_ = []
    yield from (_item(word, _KIND.Keyword) for word in words_)


def _parameters(here: Context, program: Program) -> Iterator[CompletionItem]:
    """Yield the names of arguments of what is called around a place."""
    if not here.called or _argument_name(here):
        return
    for makers in CONSTRUCTORS.values():
        if here.called in makers:
            for name, field in makers[here.called].parameters.items():
                told = words.field_text(name, field, program.units)
                yield _item(f"{name} = ", _KIND.Property, told)
    if _may_be_of_some(here):
        told = "where = CONDITION\n\nof those requests alone for which it holds"
        yield _item("where = ", _KIND.Property, told)
    declaration = program.lookup(program.root, here.called)
    if declaration is not None:
        for parameter in declaration.parameters:
            yield _item(f"{parameter.name} = ", _KIND.Property, parameter.span.text)


def _may_be_of_some(here: Context) -> bool:
    """Tell whether a statistic, a total or a distribution may say here of which requests it is."""
    name = here.called
    of_metric = name in (*STATISTICS, "cdf") or percentile_of(name) is not None
    return name in BY_REQUEST or (of_metric and "," in here.argument)


def _argument_name(here: Context) -> str:
    """Return the name of the argument whose value stands at a place."""
    found = re.search(r"(?:^|,)\s*(\w+)\s*=\s*[^,=]*$", here.argument)
    return found.group(1) if found else ""


def _expected(here: Context, program: Program) -> Type | None:
    """Return the type of what is to stand at a place; None where anything may."""
    if here.called:
        name = _argument_name(here)
        for makers in CONSTRUCTORS.values():
            field = makers[here.called].parameters.get(name) if here.called in makers else None
            if field:
                return _set_type(here) if field.type == Quantity(DRAWN) else field.type
        declaration = program.lookup(program.root, here.called)
        parameter = declaration.parameter(name) if declaration else None
        return program.parameter_types.get(parameter) if parameter else None
    return _set_type(here)


def _set_type(here: Context) -> Type | None:
    """Return the type of the field that the statement at a place sets."""
    block, special, _ = here.block()
    found = _SET.match(here.statement)
    if block is None or special or not found:
        return None
    *verbs, key = found.group(1).split(".")
    for verb in verbs:
        nested = block.blocks.get(verb)
        block = nested.block if nested else block.open_block
        if block is None:
            return None
    field = block.fields.get(key) or block.open_field
    return field.type if field else None


def _expected_names(expected: Type | None, program: Program) -> Iterator[CompletionItem]:
    match expected:
        case Choice(names=names):
            yield from (_item(name, _KIND.EnumMember) for name in names)
        case Boolean():
            yield from (_item(name, _KIND.EnumMember) for name in ("true", "false"))
        case Reference(kind=kind):
            yield from _declared(program, kind)
        case Construct(family=family):
            for name in CONSTRUCTORS[family]:
                yield _item(name, _KIND.Constructor, words.word_text(name, family), f"{name}($0)")


def _declared(program: Program, kind: str | None) -> Iterator[CompletionItem]:
    """Yield the declarations of a kind that the file sees, its own before those of the library."""
    for names in (program.scopes[program.root], program.prelude):
        for name, found in names.items():
            if kind is None or found.kind == kind:
                yield _declaration(name, found)
    if kind is None:
        yield from (_item(n, _KIND.Module) for n in program.aliases[program.root])
        yield from (_item(n, _KIND.Variable) for n in sorted(program.root.file.broken))


def _declaration(name: str, found: Declaration) -> CompletionItem:
    shown = f"({', '.join(p.span.text for p in found.parameters)})" if found.parameters else ""
    kind = _KIND.Variable if found.kind in VALUES else _KIND.Class
    return _item(name, kind, f"{found.kind} {name}{shown}\n\n{found.clause.doc}".rstrip())


def _behind_verb(verb: str, program: Program) -> Iterator[CompletionItem]:
    """Yield what is asked of results, or recorded for them, behind a verb that does."""
    if verb in _RESULT_VERBS:
        yield from _metrics(program, totals=True)
    elif verb == "record":
        yield from _declared(program, "metric")


def _metrics(program: Program, *, totals: bool) -> Iterator[CompletionItem]:
    for name in METRICS:
        yield _item(name, _KIND.Variable, words.word_text(name))
    yield from _declared(program, "attribute")
    if totals:
        yield from _declared(program, "metric")
        for name in TOTALS:
            yield _item(name, _KIND.Variable, words.word_text(name))
        for name in (*_PERCENTILES, *STATISTICS):
            yield _item(name, _KIND.Function, words.word_text(name), f"{name}($0)")


def _units(expected: Type | None, program: Program) -> Iterator[CompletionItem]:
    """Yield units behind a number: those of the dimension that is expected, else all."""
    dimension = expected.dimension if isinstance(expected, (Quantity, Construct)) else None
    names = list(program.units.units)
    if dimension is not None and dimension != NUMBER:
        names = [name for name in names if program.units.units[name].dimension == dimension]
        example = program.units.example_of(dimension)
        if example is not None:  # of `GB/s` all sizes per second
            over, slash, under = example.partition("/")
            of = program.units.units[over].dimension
            known = program.units.units.items()
            names = [
                example,
                *(f"{n}{slash}{under}" for n, u in known if u.dimension == of),
                *names,
            ]
    for name in names:
        unit = program.units.parse(name)
        told = words.in_base_units(1, unit, program.units) if unit.factor != 1 else None
        yield _item(name, _KIND.Unit, told)


# -- behind a dot --------------------------------------------------------------------------------


def _members(holder: str, here: Context, checked: Checked) -> Iterator[CompletionItem]:
    """Yield what `holder.` may go on with: members of a block that is set, or of a value."""
    block, special, _ = here.block()
    if block is not None and not special and here.statement.startswith(f"{holder}."):
        for verb in holder.split("."):
            nested = block.blocks.get(verb)
            block = nested.block if nested else block.open_block
            if block is None:
                return
        yield from _of_block(block, checked.program)
        return
    for name, told in members_of(holder, here, checked):
        yield _item(name, _KIND.Field, told)
