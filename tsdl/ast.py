"""What was written, with spans. Knows sources; knows neither names nor types.

Nodes compare by identity, so that side tables keyed by node never confuse two equal expressions.
"""

from collections.abc import Iterator
from typing import TypeAlias

from msgspec import Struct

from tsdl.source import Source, Span


class Number(Struct, frozen=True, eq=False):
    """A number as written, with its unit if it has one: `80 GiB`, `0.5`, `2_000`."""

    value: int | float
    unit: str | None
    span: Span


class Text(Struct, frozen=True, eq=False):
    """A text in quotes."""

    value: str
    span: Span


class Name(Struct, frozen=True, eq=False):
    """A bare name."""

    id: str
    span: Span


class Attribute(Struct, frozen=True, eq=False):
    """`value.name`."""

    value: "Expr"
    name: str
    span: Span
    name_span: Span


class Argument(Struct, frozen=True, eq=False):
    """One argument: positional, `name = value`, or `key: weight` (then `weight` is set).

    Among the parameters of a declaration, `n: int = 3` is a name, a type and a default.
    """

    name: str | None
    value: "Expr"
    weight: "Expr | None"
    default: "Expr | None"
    span: Span


class Call(Struct, frozen=True, eq=False):
    """`function(arguments)`."""

    function: "Expr"
    arguments: tuple[Argument, ...]
    span: Span


class Index(Struct, frozen=True, eq=False):
    """`value[arguments]`."""

    value: "Expr"
    arguments: tuple[Argument, ...]
    span: Span


class Generator(Struct, frozen=True, eq=False):
    """`element by key, key for variable in iterable if condition`."""

    element: "Expr"
    keys: "tuple[Expr, ...]"
    variable: str
    iterable: "Expr"
    condition: "Expr | None"
    span: Span


class Across(Struct, frozen=True, eq=False):
    """`element over axis if condition`: its values at the points along an axis of a study."""

    element: "Expr"
    axis: "Expr"
    condition: "Expr | None"
    span: Span


class ListOf(Struct, frozen=True, eq=False):
    """`[a, b] unit`; an item may carry a weight or a name, as an argument does."""

    items: tuple[Argument, ...]
    unit: str | None
    span: Span


class Unary(Struct, frozen=True, eq=False):
    """`-x`, `+x`, `not x`."""

    operator: str
    operand: "Expr"
    span: Span


class Binary(Struct, frozen=True, eq=False):
    """Arithmetic (`+ - * / // **`), comparison (`< <= … in`) and logic (`and`, `or`) of two."""

    operator: str
    left: "Expr"
    right: "Expr"
    span: Span


class Conditional(Struct, frozen=True, eq=False):
    """`then if test else otherwise`."""

    then: "Expr"
    test: "Expr"
    otherwise: "Expr"
    span: Span


class Interval(Struct, frozen=True, eq=False):
    """`low..high step step`, both ends included."""

    low: "Expr"
    high: "Expr"
    step: "Expr | None"
    span: Span


Expr: TypeAlias = (
    Number
    | Text
    | Name
    | Attribute
    | Call
    | Index
    | Generator
    | Across
    | ListOf
    | Unary
    | Binary
    | Conditional
    | Interval
)


class Body(Struct, frozen=True, eq=False):
    """The members between braces."""

    items: tuple["Item", ...]
    span: Span


class Field(Struct, frozen=True, eq=False):
    """`target = value`; the target is a dotted path, or a call that defines a formula."""

    target: Expr
    operator: str
    value: Expr
    doc: str
    span: Span


class Bound(Struct, frozen=True, eq=False):
    """A comparison that must hold."""

    comparison: Binary
    doc: str
    span: Span


class GraphNode(Struct, frozen=True, eq=False):
    """`name: Operator(arguments)`."""

    name: str
    operator: Expr
    doc: str
    span: Span
    name_span: Span


class Preposition(Struct, frozen=True, eq=False):
    """A preposition and what follows it: `from a, b`, `when x > 1`."""

    word: str
    objects: tuple[Expr, ...]
    span: Span


class Clause(Struct, frozen=True, eq=False):
    """A verb and what it is about: every declaration, every clause, every action.

    `objects[0]` is the head (`hello` in `scenario hello`, `token(r, w)` in `on token(r, w)`).
    """

    verb: str
    objects: tuple[Expr, ...]
    count: Expr | None
    type: Expr | None
    within: Expr | None
    prepositions: tuple[Preposition, ...]
    value: Expr | None
    body: Body | None
    doc: str
    span: Span
    verb_span: Span

    @property
    def head(self) -> Expr | None:
        """Return the first object."""
        return self.objects[0] if self.objects else None

    def preposition(self, word: str) -> Preposition | None:
        """Return the (first) preposition of this word."""
        return next((p for p in self.prepositions if p.word == word), None)


class If(Struct, frozen=True, eq=False):
    """`if test { … } else { … }`, a statement."""

    test: Expr
    then: Body
    otherwise: Body | None
    span: Span


class For(Struct, frozen=True, eq=False):
    """`for variable in iterable { … }`, a statement."""

    variable: str
    iterable: Expr
    body: Body
    span: Span


class Let(Struct, frozen=True, eq=False):
    """`let name = value`, a statement, or a name that a block gives to a value."""

    name: str
    value: Expr
    span: Span
    name_span: Span


Item: TypeAlias = Field | Bound | GraphNode | Clause | If | For | Let


class File(Struct, frozen=True, eq=False):
    """A file: its items in order, and the names of those that could not be read."""

    source: Source
    items: tuple[Item, ...]
    broken: frozenset[str] = frozenset()


def path_of(expression: Expr) -> str | None:
    """Return a dotted path as text (`compute.fp16`), or None where it is something else."""
    match expression:
        case Name(id=name):
            return name
        case Attribute(value=value, name=name):
            front = path_of(value)
            return f"{front}.{name}" if front else None
        case _:
            return None


def walk(node: object) -> Iterator[object]:
    """Yield a node, or the nodes of a tuple, and all that is in it, in the order of the text."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if isinstance(node, tuple):
            waiting += node[::-1]
        elif (parts := _PARTS.get(type(node))) is not None:
            yield node
            waiting += [getattr(node, name) for name in parts]


def children(node: object) -> Iterator[object]:
    """Yield the nodes that a node holds itself, in the order of the text."""
    for name in reversed(_PARTS.get(type(node), ())):
        held = getattr(node, name)
        yield from held if isinstance(held, tuple) else () if held is None else (held,)


_PLAIN = (Span, Source, str, str | None, int | float)

# The fields of each kind of node that may hold nodes, the last first.
_PARTS = {
    kind: [name for name, type_ in reversed(kind.__annotations__.items()) if type_ not in _PLAIN]
    for kind in vars().copy().values()
    if isinstance(kind, type) and kind.__module__ == __name__
}


def dump(node: object) -> object:
    """Return a tree without its spans, to compare trees by."""
    if isinstance(node, tuple):
        return [dump(item) for item in node]
    if isinstance(node, Struct) and not isinstance(node, (Source, Span)):
        shown = [name for name in node.__struct_fields__ if not name.endswith(("span", "source"))]
        return [type(node).__name__, *(dump(getattr(node, name)) for name in shown)]
    return node
