"""What a set of files declares, before any value is known: declarations, definitions, scopes."""

from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct, field

from tsdl import ast
from tsdl.modules import Module
from tsdl.schema import Block
from tsdl.source import Span
from tsdl.types import Type
from tsdl.units import Unit, Units


class Parameter(Struct, eq=False):
    """A parameter of a declaration."""

    name: str
    type: ast.Expr | None
    default: ast.Expr | None
    span: Span


class Base(Struct, eq=False):
    """One entry of a `from`: the expression, the declaration that it names, and what it holds."""

    expression: ast.Expr
    declaration: "Declaration"
    members: "Members | None" = None  # with the fields that arguments set


class Given(Struct, eq=False):
    """What a call gives to a parameter: an expression, or a parameter of the caller by its name."""

    term: ast.Expr | str | None  # None: neither an argument nor a default
    span: Span


class Declaration(Struct, eq=False):
    """A declaration of any kind; `members` is what it holds with all that it inherits."""

    kind: str
    name: str
    clause: ast.Clause
    module: Module
    parameters: tuple[Parameter, ...] = ()
    bases: tuple[Base, ...] = ()
    members: "Members | None" = None

    @property
    def span(self) -> Span:
        """Return where its name stands."""
        head = self.clause.head
        if isinstance(head, ast.Call):
            return head.function.span
        return head.span if head else self.clause.span

    @property
    def whole(self) -> bool:
        """Tell whether a value is declared as `int`."""
        return isinstance(self.clause.type, ast.Name) and self.clause.type.id == "int"

    def parameter(self, name: str) -> Parameter | None:
        """Return a parameter by name."""
        return next((p for p in self.parameters if p.name == name), None)


class Definition(Struct, eq=False):
    """A value given to a field, where, and the definition that it replaces (`base.x`)."""

    key: str
    value: ast.Expr
    owner: Declaration
    span: Span
    base: "Definition | None" = None
    parameters: tuple[str, ...] = ()
    argument: bool = False  # of a base, whose call sets the field
    read: bool = False  # whether an expression names it: of a `let`, nothing else reads it
    # What reads a `let` to ask something of each request, and in which blocks.
    each: "tuple[tuple[Members, str], ...]" = ()


class Part(Struct, eq=False):
    """A clause, bound or graph item, and the declaration whose names it uses."""

    item: ast.Item
    owner: Declaration


class Members(Struct, eq=False):
    """What a block holds once everything that it inherits is merged in."""

    shape: Block
    name: str = ""
    span: Span | None = None
    fields: dict[str, Definition] = field(default_factory=dict)
    lets: dict[str, Definition] = field(default_factory=dict)  # names that the block gives itself
    blocks: dict[tuple[str, str], "Members"] = field(default_factory=dict)
    parts: dict[tuple[str, ...], list[Part]] = field(default_factory=dict)
    # What parameters of the declarations that it is derived from are given, by their names.
    given: "dict[Declaration, dict[str, Given]]" = field(default_factory=dict)

    def said(self, key: str) -> Definition | None:
        """Return what is said of a field, or of a name that the block gives itself."""
        return self.fields.get(key) or self.lets.get(key)

    def block(self, verb: str) -> "Members | None":
        """Return the nested block of a verb that has no name."""
        return self.blocks.get((verb, ""))

    def named(self, verb: str) -> list["Members"]:
        """Return the named nested blocks of a verb, in order."""
        return [block for (kind, _), block in self.blocks.items() if kind == verb]

    def clauses(self, verb: str) -> list[Part]:
        """Return the clauses of a verb, in order."""
        return [part for key, parts in self.parts.items() if key[0] == verb for part in parts]


# What a name in an expression stands for.
class FieldName(Struct, frozen=True):
    """A field, or a `let`, of the block `up` levels out from where it is read."""

    up: int
    key: str


class ParameterName(Struct, frozen=True):
    """A parameter of the declaration in which it is written."""

    owner: Declaration
    name: str


class LocalName(Struct, frozen=True):
    """A variable of a generator, of a handler, of a formula."""

    name: str


class SymbolName(Struct, frozen=True):
    """A feature of the batch, or another thing that only the running system knows."""

    name: str


class DeclarationName(Struct, frozen=True):
    """A declaration."""

    declaration: Declaration


class ChoiceName(Struct, frozen=True):
    """One of the names of a choice, or the constructor of a family."""

    name: str


Meaning = FieldName | ParameterName | LocalName | SymbolName | DeclarationName | ChoiceName


class TooDeep(RecursionError):
    """Definitions lead to one another through too many steps, from one place on."""

    def __init__(self, span: Span) -> None:
        """Keep where they begin."""
        super().__init__(span)
        self.span = span


@contextmanager
def followed(declaration: Declaration) -> Iterator[None]:
    """Follow what a declaration leads to. Raises TooDeep where that is too far."""
    try:
        yield
    except TooDeep:
        raise
    except RecursionError:
        raise TooDeep(declaration.span) from None


class Program(Struct):
    """All modules with their scopes, and what the checker found out about expressions."""

    root: Module
    modules: list[Module]
    units: Units
    scopes: dict[Module, dict[str, Declaration]]
    aliases: dict[Module, dict[str, Module]]
    prelude: dict[str, Declaration]
    declarations: list[Declaration]
    library: Declaration  # stands for the library itself: owner of the schema's defaults
    meanings: dict[ast.Expr, Meaning] = field(default_factory=dict)
    number_units: dict[ast.Number, Unit] = field(default_factory=dict)
    types: dict[ast.Expr, Type] = field(default_factory=dict)
    defaults: dict[str, ast.Expr] = field(default_factory=dict)
    parameter_types: dict[Parameter, Type] = field(default_factory=dict)
    given: dict[str, Span] = field(default_factory=dict)  # of params: the texts from outside
    known: int = 0  # how many declarations come first that were resolved and checked before

    def extended(self, modules: list[Module]) -> "Program":
        """Return a program to which modules are to be added; this one stays as it is.

        What only the library's own modules add to, `prelude` and `defaults`, both share.
        """
        units = Units(dict(self.units.units), dict(self.units.dimensions))
        return Program(
            root=modules[-1],
            modules=[*self.modules, *modules],
            units=units,
            scopes={**self.scopes, **{m: {} for m in modules}},
            aliases={**self.aliases, **{m: {} for m in modules}},
            prelude=self.prelude,
            declarations=self.declarations.copy(),
            library=self.library,
            meanings=self.meanings.copy(),
            number_units=self.number_units.copy(),
            types=self.types.copy(),
            defaults=self.defaults,
            parameter_types=self.parameter_types.copy(),
            known=len(self.declarations),
        )

    def lookup(self, module: Module, name: str) -> Declaration | None:
        """Return what a name means at the top of a module."""
        return self.scopes[module].get(name) or self.prelude.get(name)

    def shared(self, kind: str) -> dict[str, list[Declaration]]:
        """Return the declarations of attributes, or metrics, by name; files may say the same."""
        found: dict[str, list[Declaration]] = {}
        for declaration in self.declarations:
            if declaration.kind == kind:
                found.setdefault(declaration.name, []).append(declaration)
        return found

    def attributes(self) -> dict[str, list[Declaration]]:
        """Return the declarations of attributes by name."""
        return self.shared("attribute")

    def shared_one(self, kind: str, module: Module, name: str) -> Declaration | None:
        """Return the attribute, or metric, of a name, as a module sees it; all mean the same."""
        seen = self.lookup(module, name)
        if seen is not None and seen.kind == kind:
            return seen
        return next(iter(self.shared(kind).get(name, ())), None)

    def attribute(self, module: Module, name: str) -> Declaration | None:
        """Return the attribute of a name, as a module sees it."""
        return self.shared_one("attribute", module, name)

    def metric(self, module: Module, name: str) -> Declaration | None:
        """Return the metric of a name, as a module sees it."""
        return self.shared_one("metric", module, name)

    def sees(self, declaration: Declaration) -> bool:
        """Tell whether a declaration is what its name means in the file itself."""
        return self.scopes[self.root].get(declaration.name) is declaration

    def params(self) -> dict[str, Declaration]:
        """Return the params that can be set: those that the file sees under a bare name."""
        return {n: d for n, d in self.scopes[self.root].items() if d.kind == "param"}

    def own(self, kind: str) -> list[Declaration]:
        """Return the declarations of a kind in the file itself, in order."""
        return [d for d in self.declarations if d.module is self.root and d.kind == kind]
