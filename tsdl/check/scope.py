"""Where an expression stands: which names it may use, and what the compiler says of them."""

from typing import NamedTuple

from msgspec import Struct, field

from tsdl.diagnostics import Sink
from tsdl.program import Declaration, Definition, Members, Program
from tsdl.types import Type


class Place(Struct, frozen=True):
    """Where a stage says something: in which stage, of which event, and what that names.

    `variables` are those of the event by the record that they stand for; `within` are all names
    that a `let` or a `for` gives somewhere in the handler.
    """

    stage: str
    event: str
    variables: dict[str, str] = field(default_factory=dict)
    within: tuple[str, ...] = ()


class Scope(NamedTuple):
    """The names that an expression may use, innermost first.

    `blocks` are the blocks around it, the innermost first; `own` is the field being defined, whose
    name then means the outer thing (`requests = requests` takes the parameter of that name).
    """

    program: Program
    sink: Sink
    owner: Declaration
    blocks: tuple[Members, ...] = ()
    own: str | None = None
    locals: dict[str, Type] = {}  # noqa: RUF012 (only a name that is in it is ever set anew)
    symbols: dict[str, Type] = {}  # noqa: RUF012
    metrics: bool = False
    each: str = ""  # what asks something of each request, rather than of the whole result
    place: Place | None = None  # where a stage of a policy says it
    axes: dict[str, Type] | None = None  # of a study, by which a value of another point is chosen
    lets: tuple[Definition, ...] = ()  # whose types are being looked for

    def defining(self, key: str) -> "Scope":
        """Return the scope of the value of a field."""
        return self._replace(own=key)

    def inside(self, block: Members) -> "Scope":
        """Return the scope of a nested block."""
        return self._replace(blocks=(block, *self.blocks), own=None)

    def with_locals(self, names: dict[str, Type]) -> "Scope":
        """Return the scope with more variables."""
        return self._replace(locals={**self.locals, **names}, own=None)
