"""Names to declarations: scopes, bases, and the merging of what is inherited. Knows no types."""

from tsdl import ast
from tsdl.diagnostics import Edit, Fix, Label, Sink
from tsdl.diagnostics.suggest import meant, nearest
from tsdl.merge import merge_all
from tsdl.modules import Module
from tsdl.program import Base, Declaration, Parameter, Program
from tsdl.schema import BATCH_FEATURES, KINDS, SHARED, UNITS_KINDS, VALUES
from tsdl.source import Source, Span
from tsdl.types import with_article
from tsdl.unitdeclarations import declare_units
from tsdl.units import Units

MAX_DECLARATIONS = 200_000
MOST_SUGGESTIONS = 200


def resolve(modules: list[Module], library: Program | None, sink: Sink) -> Program:
    """Find all declarations and what they are derived from; merge what they inherit.

    The library's own modules have no library. They see nothing of a file that uses them, so that
    what was found about them once holds for all files.
    """
    nothing = Program(modules[-1], [], Units(), {}, {}, {}, [], _stand_in(modules[0]))
    program = (library or nothing).extended(modules)
    declare_units(modules, program.units, sink)
    for module in modules:
        _collect(program, module, sink)
        if len(program.declarations) > MAX_DECLARATIONS:
            sink.error(
                "E0104",
                f"there are more than {MAX_DECLARATIONS:,} declarations",
                Span(module.file.source, 0, 0),
            )
            return program
    for module in modules:
        _import_names(program, module, sink)
    new = program.declarations[program.known :]
    for declaration in new:
        declaration.bases = _bases(program, declaration, sink)
    merge_all(new, sink)
    return program


def _stand_in(module: Module) -> Declaration:
    """Return the declaration that the schema's defaults belong to: they see the library only."""
    span = Span(Source("<defaults>", ""), 0, 0)
    nothing = ast.Clause("library", (), None, None, None, (), None, None, "", span, span)
    return Declaration("library", "", nothing, module)


def _collect(program: Program, module: Module, sink: Sink) -> None:
    scope = program.scopes[module]
    for clause in module.clauses:
        if clause.verb in UNITS_KINDS:
            continue
        declaration = _declaration(clause, module, sink)
        if declaration is None:
            continue
        earlier = scope.get(declaration.name)
        if earlier:
            sink.error(
                "E0202",
                f"`{declaration.name}` is declared twice",
                declaration.span,
                "declared again here",
                secondary=(Label(earlier.span, "first declared here"),),
                help=("give one of them another name",),
            )
            continue
        if module.library:
            program.prelude[declaration.name] = declaration
        elif declaration.name in program.prelude:
            sink.note(
                "N0201",
                f"`{declaration.name}` hides the standard library's "
                f"{program.prelude[declaration.name].kind} of that name",
                declaration.span,
            )
        scope[declaration.name] = declaration
        program.declarations.append(declaration)


def _declaration(clause: ast.Clause, module: Module, sink: Sink) -> Declaration | None:
    kind = clause.verb
    if kind not in KINDS and kind not in VALUES:
        near = nearest(kind, [*KINDS, *UNITS_KINDS, *VALUES, "import", "edition"])
        sink.error(
            "E0401",
            f"there is no kind of block called `{kind}`",
            clause.verb_span,
            "unknown",
            help=(f"did you mean `{near}`?",) if near else (f"the kinds are {', '.join(KINDS)}",),
            fix=Fix(f"write `{near}`", (Edit(clause.verb_span, near),)) if near else None,
        )
        return None
    head = clause.head
    parameters: tuple[Parameter, ...] = ()
    if isinstance(head, ast.Call) and isinstance(head.function, ast.Name) and kind in KINDS:
        parameters = tuple(p for a in head.arguments if (p := _parameter(a, sink)))
        _check_distinct(parameters, kind, sink)
        head = head.function
    if not isinstance(head, ast.Name) or len(clause.objects) != 1:
        sink.error(
            "E0402",
            f"{with_article(kind)} needs one name",
            clause.objects[0].span if clause.objects else clause.verb_span,
            help=(
                f"write `{kind} name = value`"
                if kind in VALUES
                else f"write `{kind} name {{ … }}`",
            ),
        )
        return None
    _check_form(clause, kind, sink)
    return Declaration(kind, head.id, clause, module, parameters)


def _parameter(argument: ast.Argument, sink: Sink) -> Parameter | None:
    if argument.name is not None:  # rate = 8 req/s
        return Parameter(argument.name, None, argument.value, argument.span)
    if isinstance(argument.value, ast.Name):  # k, device: hardware, n: int = 1
        return Parameter(argument.value.id, argument.weight, argument.default, argument.span)
    sink.error(
        "E0402",
        "a parameter is a name, with a type or a default",
        argument.span,
        help=("write `device: hardware`, `rate = 8 req/s` or `n: int = 2`",),
    )
    return None


def _check_distinct(parameters: tuple[Parameter, ...], kind: str, sink: Sink) -> None:
    seen: dict[str, Parameter] = {}
    for parameter in parameters:
        earlier = seen.setdefault(parameter.name, parameter)
        if earlier is not parameter:
            sink.error(
                "E0202",
                f"parameter `{parameter.name}` stands twice",
                parameter.span,
                secondary=(Label(earlier.span, "first here"),),
            )
        elif kind == "operator" and parameter.name in KINDS[kind].fields:
            sink.error(
                "E0206",
                f"parameter `{parameter.name}` would hide the operator's own `{parameter.name}`",
                parameter.span,
                help=("give the parameter another name",),
            )


def _check_form(clause: ast.Clause, kind: str, sink: Sink) -> None:
    """Check the form: `kind name(parameters) from bases { … }`, or `param name: type = value`."""
    if kind in VALUES:
        extra: ast.Expr | ast.Preposition | ast.Body | None = next(
            iter(clause.prepositions), clause.body or clause.count or clause.within
        )
    else:
        extra = next(
            (p for p in clause.prepositions if p.word != "from"),
            clause.count or clause.type or clause.within or clause.value,
        )
    if extra is not None:
        sink.error(
            "E0402",
            f"{with_article(kind)} is not declared like this",
            extra.span,
            "does not belong here",
            help=(
                f"write `{kind} name: type = value`"
                if kind in VALUES
                else f"write `{kind} name from base {{ … }}`",
            ),
        )


def _import_names(program: Program, module: Module, sink: Sink) -> None:
    scope, aliases = program.scopes[module], program.aliases[module]
    own = dict(scope)
    for item in module.imports:
        if item.alias is not None:
            if item.alias in own or item.alias in aliases:
                sink.error("E0202", f"`{item.alias}` is declared twice", item.span)
            aliases[item.alias] = item.module
            continue
        for clause_name, declaration in program.scopes[item.module].items():
            if declaration.module is not item.module:
                continue  # imports are not passed on
            earlier = scope.get(clause_name)
            if earlier and earlier.kind == declaration.kind in SHARED:
                continue  # the checker sees that they are the same
            if earlier and earlier is not declaration:
                sink.error(
                    "E0202",
                    f"the import brings a second `{clause_name}`",
                    item.span,
                    secondary=(
                        Label(earlier.span, "one is declared here"),
                        Label(declaration.span, "the other here"),
                    ),
                    help=("import it under a name: `import … as NAME`",),
                )
            else:
                scope[clause_name] = declaration


def find(program: Program, module: Module, expression: ast.Expr) -> Declaration | None:
    """Return the declaration that a (dotted) name or a call of one stands for."""
    match expression:
        case ast.Call(function=function):
            return find(program, module, function)
        case ast.Name(id=name):
            return program.lookup(module, name)
        case ast.Attribute(value=ast.Name(id=alias), name=name):
            imported = program.aliases[module].get(alias)
            found = program.scopes[imported].get(name) if imported else None
            return found if found and found.module is imported else None
        case _:
            return None


def _bases(program: Program, declaration: Declaration, sink: Sink) -> tuple[Base, ...]:
    found: list[Base] = []
    expressions = [
        expression
        for preposition in declaration.clause.prepositions
        if preposition.word == "from"
        for expression in preposition.objects
    ]
    for expression in expressions:
        base = find(program, declaration.module, expression)
        if base is None:
            report_unknown(program, declaration.module, expression, declaration.kind, sink)
        elif base.kind != declaration.kind:
            sink.error(
                "E0207",
                f"{with_article(declaration.kind)} cannot be derived from "
                f"{with_article(base.kind)}",
                expression.span,
                f"`{base.name}` is {with_article(base.kind)}",
                secondary=(Label(base.span, "declared here"),),
            )
        else:
            found.append(Base(expression, base))
    return tuple(found)


def declared_in_vain(module: Module, name: str) -> bool:
    """Tell whether a name was declared in an item that could not be read: that is told already."""
    broken = (module.file.broken, *(i.module.file.broken for i in module.imports))
    return any(name in names for names in broken)


def report_unknown(  # noqa: PLR0913 (what is unknown where, and what is known instead)
    program: Program,
    module: Module,
    expression: ast.Expr,
    kind: str | None,
    sink: Sink,
    known: str = "",
    *,
    slip: str = "",
) -> None:
    """Say that a name means nothing, and which one was likely meant (of `kind`, if given).

    `known` is said where none is like it, `slip` in place of what is like it.
    """
    if isinstance(expression, ast.Call):
        expression = expression.function
    if module.incomplete:
        return
    name = (
        expression.name if isinstance(expression, ast.Attribute) else getattr(expression, "id", "")
    )
    if declared_in_vain(module, name):
        return
    names = {**program.prelude, **program.scopes[module]}
    candidates = [n for n, d in names.items() if kind is None or d.kind == kind]
    # With very many mistakes nobody reads a suggestion for each, and looking takes long.
    if len(sink.found) >= MOST_SUGGESTIONS:
        candidates = []
    likely = meant(name, candidates) if name else []
    near = likely[0] if len(likely) == 1 else None
    unit = isinstance(expression, ast.Name) and name in program.units.units
    if unit and name not in BATCH_FEATURES:  # `tokens` is more likely that of a batch
        known = f"`{name}` is a unit: it stands right behind a number, as in `5 s` and `8 req/s`"
        near = None if near and near in name else near  # `ms` is no slip of `s`
    helps = (f"did you mean `{near}`?",) if near else (known,) if known else ()
    if slip or len(likely) > 1:
        near = None
        helps = (slip or f"there are {', '.join(f'`{n}`' for n in likely)}",)
    what = f"no {kind}" if kind else "nothing"
    sink.error(
        "E0201",
        f"there is {what} called `{name or expression.span.text}`",
        expression.span,
        "not declared",
        help=helps,
        fix=Fix(f"write `{near}`", (Edit(expression.span, near),)) if near else None,
    )
