"""What a plan tells people: what declarations say of themselves, where parts stand, which rung."""

from msgspec import Struct


class Doc(Struct, frozen=True):
    """What a declaration says of itself, its sources among it."""

    kind: str
    name: str
    text: str


class Because(Struct, frozen=True):
    """What decides how a group of workers is simulated: a part of the program, where it is, why."""

    rung: str
    part: str
    place: str  # file, line and column; "" where it is no line of the program
    why: str


class Rung(Struct, frozen=True):
    """How a group of workers is simulated (SPEC.md, section 11.5), for people to read."""

    group: str
    name: str
    because: tuple[Because, ...]  # what decides first


class Place(Struct, frozen=True):
    """Where a part whose formulas may fail stands in the program, for people to read."""

    part: str  # as tsdl.parts calls it
    place: str  # file, line and column, and in brackets what else it may be
