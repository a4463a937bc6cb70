"""What an expression can be. Knows units; knows neither syntax nor values."""

from typing import TypeAlias

from msgspec import Struct

from tsdl.units import NUMBER, Dimension


class Quantity(Struct, frozen=True):
    """A number with a dimension; a plain number has the empty one."""

    dimension: Dimension = NUMBER


class Text(Struct, frozen=True):
    """A text; `path` when it names a file."""

    path: bool = False


class Boolean(Struct, frozen=True):
    """True or false; with `each`, of each request, as what compares a metric is."""

    each: str = ""


class Reference(Struct, frozen=True):
    """A declaration of a kind."""

    kind: str


class Choice(Struct, frozen=True):
    """One of a few names."""

    names: tuple[str, ...]


class Sequence(Struct, frozen=True):
    """A list of one type of thing."""

    of: "Type"


class Bounds(Struct, frozen=True):
    """An interval `low..high` of a type."""

    of: Quantity


class Construct(Struct, frozen=True):
    """What a constructor of a family makes: a distribution, arrivals, parallelism.

    `dimension` is that of the values a distribution draws.
    """

    family: str
    dimension: Dimension = NUMBER


class Record(Struct, frozen=True):
    """A thing of the running system, with fields: a request, a worker, its KV cache."""

    name: str


class State(Struct, frozen=True):
    """Declared state: what reading it yields, what it is indexed by, the aggregate that it is."""

    of: "Quantity | Boolean"
    key: str = ""
    kind: str = ""


class Read(Struct, frozen=True):
    """What an extern policy says that it reads: a field of a worker (`w.…`) or request (`r.…`)."""


class Samples(Struct, frozen=True):
    """One value for each finished request, or each gap between tokens: what a metric is made of."""

    of: Quantity
    each: str = "request"


class Unknown(Struct, frozen=True):
    """The type of an expression that was already reported; it agrees with everything."""


Type: TypeAlias = (
    Quantity
    | Text
    | Boolean
    | Reference
    | Choice
    | Sequence
    | Bounds
    | Construct
    | Record
    | State
    | Read
    | Samples
    | Unknown
)


def describe(found: Type) -> str:
    """Say a type in words."""
    match found:
        case Quantity(dimension=dimension):
            return describe_dimension(dimension)
        case Text(path=path):
            return "a file's path" if path else "a text"
        case Boolean():
            return "true or false"
        case Reference(kind=kind):
            return f"{with_article(kind)}"
        case Choice(names=names):
            return f"one of {', '.join(names)}" if names else "a name"
        case Sequence(of=Record(name=name)):
            return f"a list of {name}s"
        case Sequence(of=of):
            return f"a list of {describe(of)}"
        case Bounds(of=of):
            return f"a range of {describe(of)}"
        case Construct(family=family):
            return f"{with_article(family)}"
        case Record(name=name):
            return f"{with_article(name)}"
        case State(of=of, key=key):
            return f"state of {describe(of)}" + (f", one for each {key}" if key else "")
        case Read():
            return "a field of a worker or of a request"
        case Samples(of=of, each=each):
            return f"many values ({describe(of)} for each {each})"
        case Unknown():
            return "unknown"


def with_article(noun: str) -> str:
    """Return a noun with the article that it takes; hardware takes none."""
    if noun == "hardware":
        return noun
    return f"an {noun}" if noun[:1] in "aeiou" or noun == "slo" else f"a {noun}"


_WORDS = {
    "": "a plain number",
    "time": "a time",
    "data": "a size (bytes)",
    "data/time": "bytes per second",
    "work": "an amount of work (FLOP)",
    "work/time": "work per second (FLOPS)",
    "tokens": "a number of tokens",
    "requests": "a number of requests",
    "layers": "a number of layers",
    "devices": "a number of devices",
    "blocks": "a number of blocks",
    "sessions": "a number of sessions",
    "requests/time": "requests per second",
    "tokens/time": "tokens per second",
    "energy": "an energy",
    "energy/time": "a power (watts)",
    "energy/tokens": "energy per token",
    "money": "an amount of money",
    "money/energy": "money per energy",
    "carbon": "an amount of carbon",
    "carbon/energy": "carbon per energy",
    "data/tokens": "bytes per token",
    "time/tokens": "time per token",
    "time/blocks": "time per block",
}
_BY_DIMENSION = {Dimension.of(text): words for text, words in _WORDS.items()}


def describe_dimension(dimension: Dimension) -> str:
    """Say a dimension in words."""
    return _BY_DIMENSION.get(dimension, str(dimension))
