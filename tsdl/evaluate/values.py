"""What expressions evaluate to: atoms, formulas, instances of declarations, and a few shapes."""

from typing import TypeAlias

from msgspec import Struct, field

from tsdl import ast
from tsdl.formula import NOW, Formula, every_part, state, symbol
from tsdl.program import Declaration, Members
from tsdl.schema.stages import AMBIENT
from tsdl.source import Span


class Path(Struct, frozen=True):
    """A file's path, and the file that it is relative to ("" for the working folder)."""

    text: str
    beside: str


class Constructed(Struct, frozen=True):
    """What a constructor made: `lognormal` with its parameters by name."""

    name: str
    parameters: dict[str, "Value"]
    weighted: tuple[tuple["Value", float], ...] = ()


class Range(Struct, frozen=True):
    """An interval, both ends included."""

    low: float
    high: float
    step: float | None


class Instance(Struct, eq=False):
    """A declaration put to use: parameters bound, members merged, fields computed when asked for.

    A nested block is an instance too; `parent` is the block around it.
    """

    declaration: Declaration
    members: Members
    parent: "Instance | None"
    bindings: dict[int, dict[str, "Binding"]]
    overrides: dict[str, "Binding"] = field(default_factory=dict)
    symbols: dict[str, "Value"] = field(default_factory=dict)
    path: str = ""
    known: dict[str, "Value | None"] = field(default_factory=dict)
    inside: list[Span] = field(default_factory=list)
    children: dict[tuple[str, str], "Instance"] = field(default_factory=dict)

    @property
    def root(self) -> "Instance":
        """Return the instance of the whole declaration."""
        return self if self.parent is None else self.parent.root

    @property
    def name(self) -> str:
        """Return the name of the declaration."""
        return self.declaration.name


class Binding(Struct, frozen=True):
    """An argument: its expression, and the place whose names it uses."""

    expression: ast.Expr
    place: "Place"


class Place(Struct, frozen=True):
    """Where an expression is evaluated: whose names, in which instance, which variables."""

    owner: Declaration
    instance: Instance | None
    locals: dict[str, "Value"] = field(default_factory=dict)


Value: TypeAlias = (
    int | float | bool | str | Formula | Path | Constructed | Range | Instance | list["Value"]
)


def names_of_stage(members: Members) -> dict[str, Formula]:
    """Return what handlers, rules and `let`s of a stage know; nothing where it is no stage."""
    ambient = AMBIENT.get(members.shape.kind)
    if ambient is None:
        return {}
    found = {n: NOW if n == "now" else symbol(n) for n in ambient}
    return found | {key[1]: state(key[1]) for key in members.parts if key[0] == "state"}


def read_of_stage(value: "Value | None", instance: Instance) -> list[str]:
    """Return what a value reads of all that the stage of an instance knows, by its names."""
    holder: Instance | None = instance
    while holder is not None and holder.members.shape.kind not in AMBIENT:
        holder = holder.parent
    if holder is None or not isinstance(value, Formula):
        return []
    read = {(part.operation, part.arguments[:2]) for part in every_part(value)}
    known = names_of_stage(holder.members)
    return [name for name, f in known.items() if (f.operation, f.arguments[:2]) in read]
