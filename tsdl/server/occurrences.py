"""Where names stand and what each stands for: from the tree and what the checker noted."""

from collections.abc import Collection

from msgspec import Struct, field
from msgspec.structs import replace

from tsdl import ast
from tsdl.program import (
    ChoiceName,
    Declaration,
    DeclarationName,
    Definition,
    FieldName,
    LocalName,
    Members,
    ParameterName,
    Program,
)
from tsdl.schema import KINDS, UNITS_KINDS, Block
from tsdl.server.bindings import bound, states_of, variable_span
from tsdl.source import Span
from tsdl.types import Construct, Record, Reference


class Symbol(Struct, frozen=True):
    """What a name stands for, told apart from all else by where it is declared.

    `kind` is declaration, parameter, local or file; or field, record, argument or word, which the
    language declares: `place` then says of what kind of block or record, and its name. The same
    symbol is equal in programs that were checked apart.
    """

    kind: str
    place: str
    start: int = 0


class Occurrence(Struct, frozen=True, eq=False):
    """A name at a place; `target` is where it is declared or set, `expression` what is read."""

    span: Span
    symbol: Symbol
    target: Span | None
    declares: bool = False
    expression: ast.Expr | None = None
    declaration: Declaration | None = None


class _Scope(Struct, frozen=True):
    """Where a node stands: in which declaration and blocks, and which variables it sees."""

    owner: Declaration
    blocks: tuple[Members, ...] = ()
    locals: dict[str, Span] = field(default_factory=dict)

    def with_locals(self, names: list[Span]) -> "_Scope":
        return replace(self, locals={**self.locals, **{span.text: span for span in names}})


def occurrences(program: Program) -> list[Occurrence]:
    """Return all names of the files of a program, without those of the library."""
    finder = _Finder(program)
    declared = {declaration.clause: declaration for declaration in program.declarations}
    for module in program.modules:
        if module.library:
            continue
        for imported in module.imports:
            text = next(
                n
                for n in ast.walk(_import_at(module.file, imported.span))
                if isinstance(n, ast.Text)
            )
            start = Span(imported.module.file.source, 0, 0)
            finder.found.append(Occurrence(text.span, Symbol("file", imported.module.path), start))
        for clause in module.clauses:
            if clause in declared and clause.verb not in UNITS_KINDS:
                finder.declaration(declared[clause])
    return finder.found


def _import_at(file: ast.File, span: Span) -> ast.Item:
    return next(item for item in file.items if item.span == span)


class _Finder:
    """Walks the declarations of a program and collects what their names stand for."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.found: list[Occurrence] = []

    # -- what is found -------------------------------------------------------------------------

    def _declared(self, span: Span, found: Declaration, expression: ast.Expr | None = None) -> None:
        place = found.span
        self.found.append(
            Occurrence(
                span, Symbol("declaration", place.source.name, place.start), place,
                span == place, expression, found,
            )
        )  # fmt: skip

    def _parameter(
        self, span: Span, owner: Declaration, name: str, expression: ast.Expr | None = None
    ) -> None:
        parameter = owner.parameter(name)
        if parameter is not None:
            start = parameter.span.start
            place = Span(parameter.span.source, start, start + len(name))
            symbol = Symbol("parameter", place.source.name, start)
            declares = span == place
            self.found.append(Occurrence(span, symbol, place, declares, expression, owner))

    def _local(self, span: Span, place: Span, expression: ast.Expr | None = None) -> None:
        symbol = Symbol("local", place.source.name, place.start)
        self.found.append(Occurrence(span, symbol, place, span == place, expression))

    def _let(self, span: Span, found: Definition, expression: ast.Expr | None = None) -> None:
        """Note a name that a block gives to a value; one name with those that it replaces."""
        first = found
        while first.base is not None:
            first = first.base
        symbol = Symbol("local", first.span.source.name, first.span.start)
        self.found.append(
            Occurrence(span, symbol, found.span, span == found.span, expression or found.value)
        )

    def _field(
        self, span: Span, holder: str, key: str, members: Members | None,
        expression: ast.Expr | None = None,
    ) -> None:  # fmt: skip
        definition = members.said(key) if members else None
        target = definition.span if definition else None
        symbol = Symbol("field", f"{holder}.{key}")
        sets = target is not None and expression is None and span.start == target.start
        self.found.append(Occurrence(span, symbol, target, sets, expression))

    def _word(self, node: ast.Name) -> None:
        """Note a name that the language itself gives: a choice, a feature, what a stage knows."""
        self.found.append(Occurrence(node.span, Symbol("word", node.id), None, expression=node))

    # -- declarations and blocks ---------------------------------------------------------------

    def declaration(self, found: Declaration) -> None:
        """Look through a declaration."""
        self._declared(found.span, found)
        clause, scope = found.clause, _Scope(found)
        for parameter in found.parameters:
            start = parameter.span.start
            end = start + len(parameter.name)
            self._parameter(Span(parameter.span.source, start, end), found, parameter.name)
            self._nodes((parameter.default,), scope)
        bases = {base.expression: base.declaration for base in found.bases}
        for preposition in clause.prepositions:
            for expression in preposition.objects:
                if expression in bases:
                    self._base(expression, bases[expression], scope)
        self._nodes((clause.value,), scope)
        if clause.body and found.members:
            self._body(clause.body, replace(scope, blocks=(found.members,)))

    def _base(self, expression: ast.Expr, base: Declaration, scope: _Scope) -> None:
        function = expression.function if isinstance(expression, ast.Call) else expression
        self._declared(_name_span(function), base, function)
        if isinstance(expression, ast.Call):
            self._arguments(expression.arguments, base, scope)

    def _body(self, body: ast.Body, scope: _Scope) -> None:
        """Look through a block, or through statements: a `let` is seen by those behind it."""
        for item in body.items:
            scope = self._item(item, scope)

    def _item(self, item: ast.Item, scope: _Scope) -> _Scope:
        match item:
            case ast.Field():
                self._set(item, scope)
            case ast.Let(name=name, value=value):
                self._nodes((value,), scope)
                of_block = scope.blocks[0].lets.get(name)
                if of_block is not None and of_block.span == item.name_span:
                    self._let(item.name_span, of_block)
                else:
                    scope = self._bind([item.name_span], scope)
            case ast.For(iterable=iterable, body=body):
                self._nodes((iterable,), scope)
                self._body(body, self._bind([variable_span(item)], scope))
            case ast.If(test=test, then=then, otherwise=otherwise):
                self._nodes((test,), scope)
                self._body(then, scope)
                if otherwise:
                    self._body(otherwise, scope)
            case ast.Clause():
                self._clause(item, scope)
            case _:
                self._nodes((*ast.children(item),), scope)
        return scope

    def _bind(self, names: list[Span], scope: _Scope) -> _Scope:
        for span in names:
            self._local(span, span)
        return scope.with_locals(names)

    def _clause(self, clause: ast.Clause, scope: _Scope) -> None:
        name = clause.head.id if isinstance(clause.head, ast.Name) else ""
        inner = next(
            (
                block
                for key in ((clause.verb, name), (clause.verb, ""))
                if scope.blocks and (block := scope.blocks[0].blocks.get(key))
            ),
            None,
        )
        if inner is not None and clause.body:
            self._nodes((clause.count,), replace(scope, blocks=(inner, *scope.blocks)))
            self._body(clause.body, replace(scope, blocks=(inner, *scope.blocks)))
            return
        names = bound(clause)
        scope = self._bind(names, scope)
        binds = set(names)
        rest = [node for node in ast.children(clause) if node is not clause.body]
        self._nodes(tuple(n for n in rest if getattr(n, "span", None) not in binds), scope, binds)
        if clause.body:
            self._body(clause.body, scope)

    def _set(self, item: ast.Field, scope: _Scope) -> None:
        """Look through `target = value`: a field, or state, or the param of a case is set."""
        target = item.target.function if isinstance(item.target, ast.Call) else item.target
        path = ast.path_of(target)
        state = path is not None and self._place_of(path, scope)
        if not scope.blocks or path is None or state:
            self._nodes((item.target, item.value), scope)
            return
        if scope.blocks[0].shape.kind == "case":
            self._expression(target, scope)
            self._nodes((item.value,), scope)
            return
        *verbs, key = path.split(".")
        for verb in verbs:
            inner = scope.blocks[0].block(verb)
            if inner is None:
                return
            scope = replace(scope, blocks=(inner, *scope.blocks))
        attribute = None
        if scope.blocks[0].shape.kind in ("attributes", "columns"):
            attribute = self.program.attribute(scope.owner.module, key)
        if attribute is not None and key not in scope.blocks[0].shape.fields:
            self._declared(_name_span(target), attribute, target)
        else:
            self._field(_name_span(target), _holder(scope), key, scope.blocks[0])
        if isinstance(item.target, ast.Call):
            scope = self._bind([a.value.span for a in item.target.arguments], scope)
        self._nodes((item.value,), scope)

    # -- expressions ---------------------------------------------------------------------------

    def _nodes(
        self, nodes: tuple[object, ...], scope: _Scope, binds: Collection[Span] = ()
    ) -> None:
        for node in nodes:
            if isinstance(node, ast.Body):
                self._body(node, scope)
            elif node is not None and getattr(node, "span", None) not in binds:
                self._expression(node, scope, binds)

    def _expression(self, node: object, scope: _Scope, binds: Collection[Span] = ()) -> None:
        match node:
            case ast.Name():
                self._name(node, scope)
            case ast.Attribute():
                self._attribute(node, scope)
            case ast.Call(function=function, arguments=arguments):
                self._expression(function, scope)
                meaning = self.program.meanings.get(function)
                called: Declaration | str | None = None
                if isinstance(meaning, DeclarationName):
                    called = meaning.declaration
                made = self.program.types.get(node)
                if isinstance(meaning, ChoiceName) and isinstance(made, Construct):
                    called = f"{made.family}.{meaning.name}"
                self._arguments(tuple(a for a in arguments if a.span not in binds), called, scope)
            case ast.Index(value=value, arguments=arguments):
                self._expression(value, scope)
                self._arguments(arguments, None, scope)
            case ast.Generator(iterable=iterable):
                self._nodes((iterable,), scope)
                inner = self._bind([variable_span(node)], scope)
                self._nodes((node.element, *node.keys, node.condition), inner)
            case _:
                self._nodes((*ast.children(node),), scope, binds)

    def _arguments(
        self, arguments: tuple[ast.Argument, ...], called: Declaration | str | None, scope: _Scope
    ) -> None:
        """Look through arguments; `called` is a declaration, or the name of a constructor."""
        for argument in arguments:
            if argument.name is not None:
                start = argument.span.start
                span = Span(argument.span.source, start, start + len(argument.name))
                if isinstance(called, str):
                    symbol = Symbol("argument", f"{called}.{argument.name}")
                    self.found.append(Occurrence(span, symbol, None))
                elif called is None:
                    self._expression(ast.Name(argument.name, span), scope)
                elif called.parameter(argument.name):
                    self._parameter(span, called, argument.name)
                else:
                    self._field(span, f"{called.kind}/{called.kind}", argument.name, called.members)
            self._nodes((argument.value, argument.weight, argument.default), scope)

    def _place_of(self, name: str, scope: _Scope) -> Span | None:
        """Return where a variable or a state is declared."""
        return scope.locals.get(name) or states_of(scope.blocks).get(name)

    def _name(self, node: ast.Name, scope: _Scope) -> None:
        match self.program.meanings.get(node):
            case LocalName(name=name):
                place = self._place_of(name, scope)
                if place is not None:
                    self._local(node.span, place, node)
                else:
                    self._word(node)
            case DeclarationName(declaration=declaration):
                self._declared(node.span, declaration, node)
            case ParameterName(owner=owner, name=name):
                self._parameter(node.span, owner, name, node)
            case FieldName(up=up, key=key) if up < len(scope.blocks):
                outer = replace(scope, blocks=scope.blocks[up:])
                of_block = outer.blocks[0].lets.get(key)
                if of_block is not None:
                    self._let(node.span, of_block, node)
                    return
                self._field(node.span, _holder(outer), key, outer.blocks[0], node)
            case None:
                self._unnoted(node, scope)
            case _:
                self._word(node)

    def _unnoted(self, node: ast.Name, scope: _Scope) -> None:
        """Look at a name that the checker reads itself: state, or the axis of a study."""
        place = self._place_of(node.id, scope)
        found = self.program.lookup(scope.owner.module, node.id)
        if place is not None:
            self._local(node.span, place, node)
        elif found is not None and found.kind == "param" and scope.owner.kind == "study":
            self._declared(node.span, found, node)
        else:
            self._word(node)

    def _attribute(self, node: ast.Attribute, scope: _Scope) -> None:
        meaning = self.program.meanings.get(node)
        if isinstance(meaning, DeclarationName):
            if meaning.declaration.kind == "attribute":  # of a request, which has a name, too
                self._expression(node.value, scope)
            self._declared(node.name_span, meaning.declaration, node)
            return
        path = ast.path_of(node) or ""
        if path.startswith("base."):
            self._of_base(node, path.split(".")[1:], scope)
            return
        self._expression(node.value, scope)
        nested = nested_block(node.value, self.program)
        if nested is not None:
            kind, block = nested
            self._field(node.name_span, f"{kind}/{block.kind}", node.name, None, node)
            return
        match self.program.types.get(node.value):
            case Record(name=record):
                symbol = Symbol("record", f"{record}.{node.name}")
                self.found.append(Occurrence(node.name_span, symbol, None, expression=node))
            case Reference(kind=kind) if kind in KINDS:
                named = self.program.meanings.get(node.value)
                known = named.declaration if isinstance(named, DeclarationName) else None
                members = known.members if known else None
                self._field(node.name_span, f"{kind}/{kind}", node.name, members, node)

    def _of_base(self, node: ast.Attribute, path: list[str], scope: _Scope) -> None:
        """Note `base.memory.bandwidth`: the field as a base sets it."""
        *verbs, key = path
        for base in scope.owner.bases:
            members = base.members
            for verb in verbs:
                members = members.block(verb) if members else None
            if members and key in members.fields:
                holder = f"{scope.owner.kind}/{members.shape.kind}"
                self._field(node.name_span, holder, key, members, node)
                return
            if members and key in members.lets:
                self._let(node.name_span, members.lets[key], node)
                return


def nested_block(expression: ast.Expr, program: Program) -> tuple[str, Block] | None:
    """Return the block that `device.memory` is, and the kind of declaration that it is in."""
    if not isinstance(expression, ast.Attribute):
        return None
    match program.types.get(expression.value):
        case Reference(kind=kind) if kind in KINDS and expression.name in KINDS[kind].blocks:
            return kind, KINDS[kind].blocks[expression.name].block
    return None


def _holder(scope: _Scope) -> str:
    """Return which kind of block holds a field, and in which kind of declaration that stands."""
    return f"{scope.owner.kind}/{scope.blocks[0].shape.kind}"


def _name_span(expression: ast.Expr) -> Span:
    """Return where the last name of a dotted path stands."""
    return expression.name_span if isinstance(expression, ast.Attribute) else expression.span
