"""What the stages of a plan remember and do: state, handlers and their statements, as data."""

from collections.abc import Iterator

from msgspec import Struct

from tsdl.formula import Value


class State(Struct, frozen=True):
    """Declared state: an aggregate or a plain value (`kind` is then ""), one for each key."""

    name: str
    kind: str
    key: str
    window: float | None
    initial: Value


class Statement(Struct, frozen=True):
    """A statement: a word of the language, a name, values, and what is inside its braces.

    The words: `let` NAME value; `if` test; `for` NAME list; `set` and `add` STATE value, or key and
    value; the actions, with their request and worker; `log` values; `record` NAME value.
    """

    word: str
    name: str
    values: tuple[Value, ...]
    body: tuple["Statement", ...]
    otherwise: tuple["Statement", ...]


# How many values each statement has; `log` has any number.
WORDS: dict[str, int | None] = {
    "let": 1, "if": 1, "for": 1, "set": None, "add": None, "dispatch": 2, "transfer": 2,
    "submit": 1, "preempt": 1, "reject": 1, "drop": 1, "delay": 1, "store": 1, "fetch": 1,
    "demote": 1, "prefetch": 2, "record": 1, "scale": 1, "log": None,
}  # fmt: skip


def statements(body: tuple[Statement, ...]) -> Iterator[Statement]:
    """Yield statements and all inside their braces, in the order of the text."""
    waiting = [*reversed(body)]
    while waiting:
        statement = waiting.pop()
        yield statement
        waiting += reversed((*statement.body, *statement.otherwise))


DEEPEST = 16  # statements in one another: Python, which they become, has a limit of twenty


class Handler(Struct, frozen=True):
    """What is done at an event; `every` is the seconds between two of a timer."""

    event: str
    variables: tuple[str, ...]
    every: float | None
    when: Value
    body: tuple[Statement, ...]

    def statements(self) -> Iterator[Statement]:
        """Yield its statements and all inside their braces, in the order of the text."""
        return statements(self.body)


def formulas(handler: Handler) -> Iterator[Value]:
    """Yield all formulas of a handler."""
    yield handler.when
    for statement in handler.statements():
        yield from statement.values
