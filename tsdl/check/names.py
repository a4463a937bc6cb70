"""Types of names and attributes: what each stands for, from the inside out."""

from tsdl import ast
from tsdl.check import attributes, calls, expressions, slips, states, studies
from tsdl.check.parameters import param_type, parameter_type
from tsdl.check.scope import Place, Scope
from tsdl.check.slips import of_requests
from tsdl.diagnostics import Edit, Fix, Label, Sink
from tsdl.diagnostics.suggest import nearest
from tsdl.program import (
    ChoiceName,
    DeclarationName,
    Definition,
    FieldName,
    LocalName,
    Meaning,
    Members,
    ParameterName,
    SymbolName,
)
from tsdl.resolve import declared_in_vain, find, report_unknown
from tsdl.schema import KINDS, METRICS, RECORDS, SHARED, TOTALS, Block
from tsdl.source import Span
from tsdl.types import (
    Boolean,
    Choice,
    Quantity,
    Read,
    Record,
    Reference,
    Sequence,
    Type,
    Unknown,
    describe,
)

UNKNOWN = Unknown()
PLAIN = Quantity()


def infer_name(expression: ast.Name, scope: Scope, expected: Type | None) -> Type:
    """Return the type of a name, and note what it means."""
    name = expression.id
    meanings = scope.program.meanings
    if name in scope.locals:
        meanings[expression] = LocalName(name)
        return scope.locals[name]
    if isinstance(expected, Choice) and _is_choice(name, expected):
        meanings[expression] = ChoiceName(name)
        return expected
    found = _visible(expression, scope)
    if found is not None:
        meaning, type_ = found
        meanings[expression] = meaning
        return type_
    if isinstance(expected, Choice):
        near = nearest(name, expected.names)
        scope.sink.error(
            "E0304",
            f"`{name}` is not among {', '.join(expected.names)}",
            expression.span,
            "not a choice",
            help=(f"did you mean `{near}`?",) if near else (),
            fix=Fix(f"write `{near}`", (Edit(expression.span, near),)) if near else None,
        )
        return UNKNOWN
    if isinstance(expected, Sequence) and isinstance(expected.of, Choice):
        scope.sink.error(
            "E0304",
            f"`{name}` stands alone where a list is asked for",
            expression.span,
            "not a list",
            help=(f"write `[{name}]`",),
            fix=Fix(f"write `[{name}]`", (Edit(expression.span, f"[{name}]"),)),
        )
        return UNKNOWN
    _unknown_name(expression, scope, expected)
    return UNKNOWN


def _is_choice(name: str, expected: Choice) -> bool:
    """Tell whether a name is among a few; where any may stand, all but the truth values are."""
    return name in expected.names if expected.names else name not in ("true", "false")


def _visible(expression: ast.Name, scope: Scope) -> tuple[Meaning, Type] | None:
    name = expression.id
    for up, block in enumerate(scope.blocks):
        if up == 0 and name == scope.own:
            continue
        field = None if block.shape.kind == "study" else block.shape.fields.get(name)
        if field is None and name in block.lets:
            block.lets[name].read = True
            return FieldName(up, name), _read_let(block.lets[name], expression, scope, up)
        if field is None and block.shape.open_field and name in block.fields:
            field = block.shape.open_field
        if field is not None:
            return FieldName(up, name), PLAIN if field.plain or _is_plain(
                field.type, block
            ) else field.type
    parameter = scope.owner.parameter(name)
    if parameter:
        return ParameterName(scope.owner, name), parameter_type(scope.owner, parameter, scope)
    if name in scope.symbols:
        _refuse_hidden(expression, scope)
        return SymbolName(name), scope.symbols[name]
    if scope.metrics and name in METRICS:
        return SymbolName(name), METRICS[name][0]
    if scope.metrics and name in TOTALS:
        if scope.each:
            _refuse_total(expression, scope)
        return SymbolName(name), UNKNOWN if scope.each else TOTALS[name][0]
    if name in ("true", "false"):
        return ChoiceName(name), Boolean()
    declaration = scope.program.lookup(scope.owner.module, name)
    if declaration is None and scope.metrics:
        module = scope.owner.module
        declaration = attributes.declared(name, scope) or scope.program.metric(module, name)
    if declaration is None:
        return None
    if declaration.kind == "param":
        return DeclarationName(declaration), param_type(declaration, scope)
    if declaration.kind in SHARED:
        return DeclarationName(declaration), attributes.of_result(declaration, expression, scope)
    return DeclarationName(declaration), Reference(declaration.kind)


def let_type(definition: Definition, scope: Scope, up: int) -> Type:
    """Return the type of a `let` of a block `up` levels out; what it says is looked at once."""
    known = scope.program.types.get(definition.value)
    if known is not None:
        return known
    if definition in scope.lets:
        scope.sink.error(
            "E0501", f"`{definition.key}` is defined by itself", definition.span,
            "needs its own value",
        )  # fmt: skip
        return UNKNOWN
    return expressions.infer(definition.value, _scope_of_let(definition, scope, up))


def _scope_of_let(definition: Definition, scope: Scope, up: int) -> Scope:
    blocks = scope.blocks[up:]
    symbols = {n: t for block in reversed(blocks) for n, t in block.shape.symbols.items()}
    lets = (*scope.lets, definition)
    found = Scope(scope.program, scope.sink, definition.owner, blocks, definition.key, {}, symbols)
    around = states.known_around(blocks[0], found)
    stage = Place(blocks[0].shape.kind, "let") if around else None
    found = found._replace(locals=around, lets=lets, place=stage, metrics=blocks[0].shape.asks)
    if blocks[0].shape.kind == "study":
        found = found._replace(axes=studies.axes_of(blocks[0], found._replace(blocks=())))
    return found


def _read_let(definition: Definition, reader: ast.Expr, scope: Scope, up: int) -> Type:
    """Return the type of a `let` that an expression reads."""
    found = let_type(definition, scope, up)
    asked = scope.each and scope.blocks[up].shape.asks
    if asked and not isinstance(found, Unknown) and definition not in scope.lets:
        text = " ".join(definition.value.span.text.split())
        see_to_each(definition, reader.span, f"`{definition.key}` is `{text}`", scope, up)
    return found


def see_to_each(definition: Definition, place: Span, note: str, scope: Scope, up: int) -> None:
    """Refuse a `let` of what is no value of each request, where something is asked of each.

    It is looked at once more, as if it were written there.
    """
    block = scope.blocks[up]
    if any(known is block for known, _ in definition.each):
        return
    definition.each = (*definition.each, (block, scope.each))
    heard = Sink()
    inside = _scope_of_let(definition, scope, up)
    expressions.infer(definition.value, inside._replace(sink=heard, each=scope.each, axes=None))
    for found in heard.found[:1]:
        notes = (note, *found.notes)
        scope.sink.error(found.code, found.title, place, help=found.help, notes=notes)


def _refuse_total(expression: ast.Name, scope: Scope) -> None:
    scope.sink.error(
        "E0304",
        f"`{expression.id}` is one value of the whole run, and {scope.each}",
        expression.span,
        help=(f"the metrics are {', '.join(of_requests())}; a total has its place in an `expect`",),
    )


def _refuse_hidden(expression: ast.Name, scope: Scope) -> None:
    """Report a name of the file that a name of the running system hides here."""
    hidden = scope.program.scopes[scope.owner.module].get(expression.id)
    if hidden is not None and not hidden.module.library:
        scope.sink.error(
            "E0209",
            f"`{expression.id}` means the running system's own here, not the {hidden.kind}",
            expression.span,
            secondary=(Label(hidden.span, "this one is hidden"),),
            help=(f"give the {hidden.kind} another name",),
        )


def _is_plain(type_: Type, block: Members) -> bool:
    return block.shape.plain and isinstance(type_, Quantity)


def _unknown_name(expression: ast.Name, scope: Scope, expected: Type | None) -> None:
    name = expression.id
    if declared_in_vain(scope.owner.module, name):
        return
    if calls.is_function(name):
        scope.sink.error(
            "E0305", f"`{name}` is a function", expression.span, "not called",
            help=(f"call it: `{name}(…)`",),
        )  # fmt: skip
        return
    slip = slips.of_name(name, scope)
    if slip:
        scope.sink.error(
            "E0201", f"there is nothing called `{name}` here", expression.span, "not declared",
            help=(slip,),
        )  # fmt: skip
        return
    local: list[str] = [*scope.locals, *scope.symbols, *(p.name for p in scope.owner.parameters)]
    if scope.metrics:
        local += METRICS if scope.each else [*METRICS, *TOTALS]
    for block in scope.blocks:
        local += [*block.shape.fields, *block.lets]
    near = nearest(name, local)
    if near is None:
        kind = expected.kind if isinstance(expected, Reference) else None
        names = of_requests() if scope.each else list(scope.locals)
        here = f"known here: {', '.join(names)}" if names else ""
        slip = slips.of_a_run(name, scope)
        module = scope.owner.module
        report_unknown(scope.program, module, expression, kind, scope.sink, here, slip=slip)
        return
    scope.sink.error(
        "E0201",
        f"there is nothing called `{name}` here",
        expression.span,
        "not declared",
        help=(f"did you mean `{near}`?",),
        fix=Fix(f"write `{near}`", (Edit(expression.span, near),)),
    )


def infer_attribute(expression: ast.Attribute, scope: Scope) -> Type:
    """Return the type of `value.name`."""
    path = ast.path_of(expression)
    if path and path.startswith("base."):
        return _base_attribute(expression, path.removeprefix("base."), scope)
    if (
        isinstance(expression.value, ast.Name)
        and expression.value.id in (scope.program.aliases[scope.owner.module])
    ):
        declaration = find(scope.program, scope.owner.module, expression)
        if declaration is None:
            report_unknown(scope.program, scope.owner.module, expression, None, scope.sink)
            return UNKNOWN
        scope.program.meanings[expression] = DeclarationName(declaration)
        if declaration.kind == "param":
            return param_type(declaration, scope)
        if declaration.kind in SHARED:
            return attributes.of_result(declaration, expression, scope)
        return Reference(declaration.kind)
    return _member(_holder(expression.value, scope), expression, scope)


def _holder(expression: ast.Expr, scope: Scope) -> Type | Block:
    """Return the type of what stands before a point, or the nested block of a declaration.

    Each part of a path is looked at once.
    """
    if not isinstance(expression, ast.Attribute) or _is_whole(expression, scope):
        return expressions.infer(expression, scope)
    holder = _holder(expression.value, scope)
    if isinstance(holder, Reference) and holder.kind in KINDS:
        nested = KINDS[holder.kind].blocks.get(expression.name)
        if nested and not nested.named:  # hardware.memory.bandwidth
            return nested.block
    found = _member(holder, expression, scope)
    scope.program.types[expression] = found
    return found


def _is_whole(expression: ast.Attribute, scope: Scope) -> bool:
    """Tell whether a path means something as a whole: of a base, or of another file."""
    value = expression.value
    aliases = scope.program.aliases[scope.owner.module]
    path = ast.path_of(expression) or ""
    return path.startswith("base.") or (isinstance(value, ast.Name) and value.id in aliases)


def _member(holder: Type | Block, expression: ast.Attribute, scope: Scope) -> Type:
    """Return the type of a member of what stands before the point."""
    if isinstance(holder, Block):
        return _field_of(holder, expression, scope)
    match holder:
        case Record(name=record):
            fields = RECORDS[record]
            if expression.name in fields:
                return fields[expression.name][0]
            own = attributes.of_request(expression, scope) if record == "request" else None
            if own is not None:
                return own
            others = attributes.names(scope) if record == "request" else []
            _no_field(expression, record, [*fields, *others], scope)
        case Reference(kind=kind) if kind in KINDS:
            return _field_of(KINDS[kind], expression, scope)
        case Unknown():
            pass
        case _:
            slip = slips.of_text(expression, holder, scope)
            scope.sink.error(
                "E0307", f"{describe(holder)} has no fields", expression.span,
                help=(slip,) if slip else (),
            )  # fmt: skip
    return UNKNOWN


def infer_read(expression: ast.Expr, scope: Scope) -> Type:
    """Return the type of what an extern policy reads: `w.FIELD` or `r.FIELD`."""
    match expression:
        case ast.Attribute(value=ast.Name(id="w" | "r" as holder), name=name):
            record = {"w": "worker", "r": "request"}[holder]
            own = attributes.declared(name, scope) if record == "request" else None
            if name not in RECORDS[record] and own is None:
                others = attributes.names(scope) if record == "request" else []
                _no_field(expression, record, [*RECORDS[record], *others], scope)
            return Read()
        case _:
            scope.sink.error(
                "E0304", "an extern policy reads fields of workers and of requests",
                expression.span, help=("write `w.queued` or `r.prompt`",),
            )  # fmt: skip
            return UNKNOWN


def _field_of(shape: Block, expression: ast.Attribute, scope: Scope) -> Type:
    field = shape.fields.get(expression.name) or shape.open_field
    if field is None:
        _no_field(expression, shape.kind, list(shape.fields), scope)
        return UNKNOWN
    plain = bool(scope.blocks) and _is_plain(field.type, scope.blocks[-1])
    return PLAIN if plain else field.type


def _no_field(expression: ast.Attribute, what: str, names: list[str], scope: Scope) -> None:
    slip = slips.of_field(expression, what, scope)
    near = None if slip else nearest(expression.name, names)
    more = f"; or declare it: `attribute {expression.name}: int`" if what == "request" else ""
    scope.sink.error(
        "E0307",
        f"a {what} has no `{expression.name}`",
        expression.name_span,
        "unknown",
        help=(slip or (f"did you mean `{near}`?" if near else f"it has {', '.join(names)}{more}"),),
        fix=Fix(f"write `{near}`", (Edit(expression.name_span, near),)) if near else None,
    )


def _base_attribute(expression: ast.Attribute, path: str, scope: Scope) -> Type:
    found = _set_by_base(path, expression, scope)
    if found is not None:
        return found
    helps = [f"`{scope.owner.name}` is derived from nothing"] if not scope.owner.bases else []
    for block in scope.blocks:  # a path begins at the declaration, wherever it stands
        whole = f"{block.shape.kind}.{path}"
        if _set_by_base(whole, expression, scope) is not None:
            helps.append(f"did you mean `base.{whole}`?")
    scope.sink.error(
        "E0208",
        f"no base of `{scope.owner.name}` sets `{path}`",
        expression.span,
        help=tuple(helps),
    )
    return UNKNOWN


def _set_by_base(path: str, reader: ast.Expr, scope: Scope) -> Type | None:
    """Return the type of what a base sets at a path; None where no base does."""
    *blocks, key = path.split(".")
    for base in scope.owner.bases:
        holder = base.members
        around: tuple[Members, ...] = (holder,) if holder else ()
        for verb in blocks:
            holder = holder.blocks.get((verb, "")) if holder else None
            around = (holder, *around) if holder else ()
        if holder and key in holder.fields:
            field = holder.shape.fields.get(key) or holder.shape.open_field
            return field.type if field else UNKNOWN
        if holder and key in holder.lets:
            holder.lets[key].read = True
            return _read_let(holder.lets[key], reader, scope._replace(blocks=around), 0)
    return None
