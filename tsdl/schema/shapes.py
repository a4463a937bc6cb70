"""The shapes that the schema is written in: a field, a block, a clause, a constructor."""

from collections.abc import Mapping

from msgspec import Struct, field

from tsdl.types import Quantity, Type
from tsdl.units import Dimension


class Field(Struct, frozen=True):
    """One field of a block: its type, what it means, its default as an expression of the language.

    `low` and `high` bound the value in base units (`above` excludes `low` itself); `whole` asks for
    a whole number; `formula` says that symbols (features of the batch) may remain in it; `plain`
    that its dimension is dropped where it is read; `unit` is the one that people write it in, where
    that is neither the one of its default nor the one of its dimension.
    """

    type: Type
    doc: str
    default: str | None = None
    required: bool = False
    low: float | None = None
    above: bool = False
    high: float | None = None
    whole: bool = False
    formula: bool = False
    plain: bool = False
    unit: str = ""

    @property
    def usual_unit(self) -> str:
        """Return the unit that people write it in; "" where that is the one of its dimension."""
        number, _, unit = (self.default or "").partition(" ")
        return self.unit or (unit if number.isdecimal() and number != "0" else "")


class ClauseShape(Struct, frozen=True):
    """A clause of a block: which prepositions it takes, and whether it has a meaning here yet."""

    doc: str
    prepositions: tuple[str, ...] = ()
    body: bool = False
    within: bool = False  # whether something may stand behind `in`
    checked: bool = True

    @property
    def words(self) -> tuple[str, ...]:
        """Return the words behind which something may stand."""
        return ("in", *self.prepositions) if self.within else self.prepositions


class Nested(Struct, frozen=True):
    """A block within a block; `named` ones may stand more than once."""

    block: "Block"
    named: bool = False
    counted: bool = False


class Block(Struct, frozen=True):
    """A kind of block. `open_field` and `open_block` take any other name."""

    kind: str
    doc: str
    fields: Mapping[str, Field] = field(default_factory=dict)
    blocks: Mapping[str, Nested] = field(default_factory=dict)
    clauses: Mapping[str, ClauseShape] = field(default_factory=dict)
    functions: Mapping[str, tuple[tuple[str, str], Type]] = field(default_factory=dict)
    symbols: Mapping[str, Type] = field(default_factory=dict)
    open_field: Field | None = None
    open_block: "Block | None" = None
    bounds: bool = False
    graph: bool = False
    plain: bool = False
    parameter_type: Type | None = None

    @property
    def names_values(self) -> bool:
        """Tell whether a `let` may stand in it: others take any name."""
        return self.open_field is None

    @property
    def asks(self) -> bool:
        """Tell whether it asks about results, so that a `let` in it may name what it asks."""
        return self.kind in ("scenario", "study")


class Constructor(Struct, frozen=True):
    """A function that makes a distribution, arrivals or parallelism: parameters in order."""

    family: str
    doc: str
    parameters: Mapping[str, Field]
    variadic: str | None = None


def quantity(dimension: str = "") -> Quantity:
    """Return the type of a quantity, its dimension written as `data/time`."""
    return Quantity(Dimension.of(dimension))
