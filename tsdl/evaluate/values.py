"""What expressions evaluate to: atoms, formulas, instances of declarations, and a few shapes."""

from dataclasses import dataclass, field
from typing import TypeAlias

from tsdl import ast
from tsdl.formula import Formula
from tsdl.program import Declaration, Members
from tsdl.source import Span


@dataclass(frozen=True, slots=True)
class Path:
    """A file's path, and the file that it is relative to ("" for the working folder)."""

    text: str
    beside: str


@dataclass(frozen=True, slots=True)
class Constructed:
    """What a constructor made: `lognormal` with its parameters by name."""

    name: str
    parameters: dict[str, "Value"]
    weighted: tuple[tuple["Value", float], ...] = ()


@dataclass(frozen=True, slots=True)
class Range:
    """An interval, both ends included."""

    low: float
    high: float
    step: float | None


@dataclass(slots=True, eq=False)
class Instance:
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


@dataclass(frozen=True, slots=True)
class Binding:
    """An argument: its expression, and the place whose names it uses."""

    expression: ast.Expr
    place: "Place"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an expression is evaluated: whose names, in which instance, which variables."""

    owner: Declaration
    instance: Instance | None
    locals: dict[str, "Value"] = field(default_factory=dict)


Value: TypeAlias = (
    int | float | bool | str | Formula | Path | Constructed | Range | Instance | list["Value"]
)
