"""Types and units of every declaration, used or not. Knows the schema; knows no values."""

from functools import cache
from itertools import pairwise

from tsdl import ast
from tsdl.bounds import broken
from tsdl.check.arguments import check_derived
from tsdl.check.attributes import check_columns, check_drawn, check_shared
from tsdl.check.clauses import check_form
from tsdl.check.events import check_handler
from tsdl.check.expressions import infer, require
from tsdl.check.graphs import check_graph
from tsdl.check.handlers import unread
from tsdl.check.hooks import check_hook
from tsdl.check.measures import agrees, mismatch
from tsdl.check.names import let_type, see_to_each
from tsdl.check.parameters import param_type, parameter_type
from tsdl.check.policies import check_keys, check_queue, check_rule
from tsdl.check.scope import Place, Scope
from tsdl.check.slips import of_requests
from tsdl.check.states import check_state, known_states
from tsdl.check.studies import check_case, check_names, check_question
from tsdl.diagnostics import Label, Severity, Sink
from tsdl.parse import parse
from tsdl.program import Declaration, Definition, Members, Part, Program, followed
from tsdl.schema import KINDS, SHARED, Block, Field
from tsdl.schema.stages import AMBIENT
from tsdl.source import Source
from tsdl.types import Boolean, Quantity, Record, Samples, Type, Unknown, describe


def check(program: Program, sink: Sink) -> None:
    """Check every declaration that is new in the program; meanings and types are noted in it."""
    for declaration in program.declarations[program.known :]:
        with followed(declaration):
            _declaration(declaration, program, sink)
    if any(found.severity is Severity.ERROR for found in sink.found):
        return  # what was to read a name may be misspelt
    for declaration in program.declarations[program.known :]:
        if declaration.module is program.root and declaration.members:
            _unread(declaration, declaration.members, sink)


def _declaration(declaration: Declaration, program: Program, sink: Sink) -> None:
    """Check one declaration."""
    scope = Scope(program, sink, declaration)
    if declaration.kind == "param":
        param_type(declaration, scope)
        return
    if declaration.kind in SHARED:
        check_shared(declaration, scope)
        return
    for parameter in declaration.parameters:
        parameter_type(declaration, parameter, scope)
    for base in declaration.bases:
        if isinstance(base.expression, ast.Call):
            check_derived(base.expression, base.declaration, scope)
        elif isinstance(base.expression, ast.Name) and any(
            p.default is None for p in base.declaration.parameters
        ):
            check_derived(
                ast.Call(base.expression, (), base.expression.span), base.declaration, scope
            )
    if declaration.members:
        scope = Scope(program, sink, declaration, symbols=dict(declaration.members.shape.symbols))
        _members(declaration.members, scope)
        for block in declaration.members.blocks.values():
            if block.shape.kind in AMBIENT:
                _apart(block, scope)
        if declaration.kind == "study":
            check_names(declaration.members, scope)


def _unread(owner: Declaration, members: Members, sink: Sink) -> None:
    """Warn of names that a declaration gives to values which no expression reads."""
    for definition in members.lets.values():
        chain: Definition | None = definition
        while chain is not None and not chain.read:
            chain = chain.base
        if chain is None and definition.owner is owner:
            sink.warning(
                "W0202", f"no expression reads `{definition.key}`", definition.span,
                help=("it changes what is said by its name alone, in this block or in a base",),
            )  # fmt: skip
    for part in (part for parts in members.parts.values() for part in parts):
        for variable in unread(part.item) if part.owner is owner else ():
            sink.warning(
                "W0202", f"no statement reads `{variable.name}`", variable.name_span,
                help=(
                    "leave it out; where it has no value the handler ends there: if that is meant, "
                    "write `if … { … }`, or `when …`",
                ),
            )  # fmt: skip
    for block in members.blocks.values():
        _unread(owner, block, sink)


def _members(members: Members, scope: Scope, path: str = "") -> None:
    """Check a block, at a path in its declaration; what is inherited was where it was written."""
    if not _writes(scope.owner, members):
        return
    scope = scope.inside(members)
    for key, definition in members.fields.items():
        if definition.owner is not scope.owner or definition.argument:
            continue
        place = scope.defining(key)
        subject = f"`{_full_name(scope, key)}`"
        if key in members.shape.functions:
            _function(definition, members, place, subject)
            continue
        field = members.shape.fields.get(key) or members.shape.open_field
        if field is not None:
            known = len(scope.sink.found)
            require(definition.value, field.type, place, subject, field.usual_unit)
            if len(scope.sink.found) == known:
                _bounded(definition.value, field, f"`{path}{key}`", scope)
    for definition in members.lets.values():
        if definition.owner is scope.owner:
            _named(definition, scope)
    for (verb, name), block in members.blocks.items():
        if block.shape.kind == "case":
            check_case(block, scope)
            continue
        if block.shape.kind == "attributes":
            check_drawn(block, scope)
            continue
        if block.shape.kind == "columns":
            check_columns(block, scope)
        symbols = {**scope.symbols, **block.shape.symbols}
        _members(block, scope._replace(symbols=symbols), f"{path}{name or verb}.")
    for parts in members.parts.values():
        for part in parts:
            if part.owner is scope.owner:
                _part(part, members, scope)


def _function(definition: Definition, members: Members, place: Scope, subject: str) -> None:
    """Check a formula of one thing: `footprint(r) = …`, `budget(w) = …`."""
    key = definition.key
    (usual, record), result = members.shape.functions[key]
    if len(definition.parameters) != 1 or "?" in definition.parameters:
        place.sink.error(
            "E0408",
            f"`{key}` takes one name in brackets",
            definition.span,
            help=(f"write `{key}({usual}) = …`",),
        )
        return
    (written,) = definition.parameters
    names: dict[str, Type] = {**AMBIENT.get(members.shape.kind, {})}
    if names:  # in a stage it knows what clauses do, and no features of a batch
        names |= known_states({written: definition.span}, members, place)
        place = place._replace(symbols={}, place=Place(members.shape.kind, key))
    names[written] = Record(record)
    require(definition.value, result, place.with_locals(names), subject)


def _apart(members: Members, scope: Scope) -> None:
    """See that no name of a stage is both state and a `let`, wherever each of them was written."""
    for (verb, *names), (part, *_) in members.parts.items():
        let = members.lets.get(names[0]) if verb == "state" else None
        if let is None:
            continue
        state = part.item.head if isinstance(part.item, ast.Clause) else None
        places = [(let.owner, let.span), (part.owner, state.span if state else part.item.span)]
        own = [place for owner, place in places if owner is scope.owner]
        scope.sink.error(
            "E0206",
            f"`{names[0]}` is both state of the {members.shape.kind} stage and a `let`",
            own[-1] if own else scope.owner.span,
            secondary=tuple(Label(place, "here") for _, place in places if place not in own[-1:]),
            help=("give one of them another name",),
        )


def _named(definition: Definition, scope: Scope) -> None:
    """Check a `let`: what a base says by its name must be able to read it."""
    members = scope.blocks[0]
    if definition.key in AMBIENT.get(members.shape.kind, ()):
        scope.sink.error(
            "E0206",
            f"`{definition.key}` is known to all of the {members.shape.kind} stage already",
            definition.span,
            "named again here",
            help=("give the value another name",),
        )
        return
    found = let_type(definition, scope, 0)
    if definition.base is not None:
        wanted = let_type(definition.base, scope, 0)
        if not agrees(found, wanted, definition.value):
            mismatch(definition.value, found, wanted, scope, f"`{definition.key}`")
        _of_each(definition, definition.base, scope)


def _of_each(definition: Definition, replaced: Definition | None, scope: Scope) -> None:
    """See that a `let` may be asked of each request, as what it takes the place of is."""
    while replaced is not None:
        for _, what in replaced.each[:1]:
            note = f"`{replaced.key}` of `{replaced.owner.name}`, which this replaces, is read so"
            place = definition.value.span
            see_to_each(definition, place, note, scope._replace(each=what), 0)
        replaced = replaced.base


def _bounded(expression: ast.Expr, field: Field, subject: str, scope: Scope) -> None:
    """See that a number that is written out is one that its field allows."""
    signed = isinstance(expression, ast.Unary) and expression.operator == "-"
    number = expression.operand if isinstance(expression, ast.Unary) and signed else expression
    if not isinstance(number, ast.Number) or not isinstance(field.type, Quantity):
        return
    unit = scope.program.number_units.get(number)
    value = unit.convert(number.value) if unit else number.value
    reason = broken(-value if signed else value, field, expression, scope.program.units)
    if reason:
        scope.sink.error("E0503", f"{subject} must be {reason}", expression.span)


def _writes(owner: Declaration, members: Members) -> bool:
    """Tell whether a declaration writes anything in a block itself."""
    return (
        any(definition.owner is owner for definition in members.fields.values())
        or any(definition.owner is owner for definition in members.lets.values())
        or any(part.owner is owner for parts in members.parts.values() for part in parts)
        or any(_writes(owner, block) for block in members.blocks.values())
    )


def _full_name(scope: Scope, key: str) -> str:
    """Return a field's path within its declaration."""
    around = list(reversed(scope.blocks))
    front = [
        verb
        for outer, inner in pairwise(around)
        for (verb, name), block in outer.blocks.items()
        if block is inner and not name
    ]
    return ".".join([*front, key])


def _part(part: Part, members: Members, scope: Scope) -> None:
    match part.item:
        case ast.Clause() as clause if members.shape.kind == "study":
            check_question(clause, members, scope)
        case ast.Bound(comparison=comparison):
            _bound(comparison, scope)
        case ast.Clause(verb="expect", objects=objects):
            metrics = scope._replace(own=None, symbols={}, metrics=True)
            for expression in objects:
                require(expression, Boolean(), metrics, "what is expected")
        case ast.Clause(verb="graph") as graph:
            check_graph(graph, scope)
        case ast.Clause() as clause if clause.verb in members.shape.clauses:
            if check_form(clause, members, scope):
                _clause(clause, members, scope)
        case _:
            return


def _clause(clause: ast.Clause, members: Members, scope: Scope) -> None:
    match clause.verb:
        case "admit" | "evict" | "resume" if members.shape.kind == "local":
            check_rule(clause, members, scope)
        case "queue":
            check_queue(clause, members, scope)
        case "evict":
            _order(clause, scope)
        case "on":
            check_handler(clause, members, scope)
        case "state":
            check_state(clause, members, scope)
        case "breakpoint" | "after":
            check_hook(clause, members, scope)


def _order(clause: ast.Clause, scope: Scope) -> None:
    """Check the order in which a tier lets go of what it holds: `evict by last_used`."""
    by = clause.preposition("by")
    if clause.objects or by is None:
        scope.sink.error(
            "E0412", "a tier says by what it evicts", clause.span,
            help=("write `evict by last_used`",),
        )  # fmt: skip
        return
    check_keys(by, scope)


def _bound(comparison: ast.Binary, scope: Scope) -> None:
    metrics = scope._replace(own=None, symbols={}, metrics=True, each="an SLO bounds each request")
    left = infer(comparison.left, metrics)
    if isinstance(left, Unknown):
        return
    if not (isinstance(left, Samples) and left.each == "request"):
        scope.sink.error(
            "E0304",
            f"an SLO bounds a metric of each request, this is {describe(left)}",
            comparison.left.span,
            help=(f"the metrics are {', '.join(of_requests())}",),
        )
        return
    infer(comparison, metrics)


# -- defaults of the schema --------------------------------------------------------------------


def check_defaults(program: Program) -> None:
    """Type the schema's default expressions, in the scope of the library."""
    sink = Sink()
    for kind, block in KINDS.items():
        _block_defaults(program, kind, block, (), dict(block.symbols), sink)
    assert not sink.found, [(d.title, d.span.text if d.span else "") for d in sink.found]


def _block_defaults(
    program: Program,
    path: str,
    block: Block,
    outer: tuple[Members, ...],
    symbols: dict[str, Type],
    sink: Sink,
) -> None:
    blocks = (Members(block), *outer)
    for key, field in block.fields.items():
        if field.default is None:
            continue
        expression = _default_expression(block.kind, field.default)
        program.defaults[f"{path}.{key}"] = expression
        scope = Scope(program, sink, program.library, blocks, key, {}, symbols)
        require(expression, field.type, scope, f"the default of {path}.{key}")
    for verb, nested in block.blocks.items():
        inner = {**symbols, **nested.block.symbols}
        _block_defaults(program, f"{path}.{verb}", nested.block, blocks, inner, sink)
    if block.open_block:
        _block_defaults(program, f"{path}.*", block.open_block, blocks, symbols, sink)


@cache
def _default_expression(kind: str, text: str) -> ast.Expr:
    """Return the expression of a default of a kind of block.

    The same name may mean a field in one kind of block, and something else in another.
    """
    (item,) = parse(Source("<default>", f"x = {text}"), Sink()).items
    assert isinstance(item, ast.Field), (kind, text)
    return item.value
