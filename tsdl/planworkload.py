"""What arrives, as a plan has it: distributions, tables of files, and the workloads of both."""

from bisect import bisect_right
from itertools import accumulate
from math import inf, isinf

from msgspec import Struct

MOST_REQUESTS = 50_000_000  # that a program may ask for
MOST_STEPS = 2**53  # of a range: beyond them not every number of steps is a double
_SHOWN = 24  # characters of a text


class Draw(Struct, frozen=True):
    """A distribution, or a way to arrive: its name and parameters.

    Priorities that a file brings are `rows`: a value for each row of the table.
    """

    name: str
    parameters: tuple[tuple[str, float], ...] = ()
    values: tuple[float, ...] = ()
    parts: tuple["Draw", ...] = ()

    @property
    def one_value(self) -> bool:
        """Tell whether a distribution has but one value, or one for each row of a file."""
        return self.name in ("constant", "rows")

    @property
    def steps(self) -> float:
        """Return how many steps there are in the range of a distribution; 0 where it has none."""
        known = dict(self.parameters)
        if "step" not in known:
            return 0.0
        return (float(known["high"]) - float(known["low"])) / known["step"]

    @property
    def ends(self) -> tuple[float, float]:
        """Return the least and the greatest of the whole tokens that a distribution can yield."""
        known = dict(self.parameters)
        if self.parts:
            ends = [part.ends for part in self.parts]
            return min(low for low, _ in ends), max(high for _, high in ends)
        if self.values:
            return max(1, round(self.values[0])), max(1, round(self.values[-1]))
        low = known.get("value", known.get("low", known.get("min", 1.0)))
        high = known.get("value", known.get("high", known.get("n", known.get("max", inf))))
        return max(1, round(low)), high if isinf(high) else max(1, round(high))


class Attribute(Struct, frozen=True):
    """A number that each request has, as policies and questions know it; `whole` ones are rounded.

    What a workload says nothing of is a constant. Where a file has texts, `names` are those that
    the numbers from 0 on stand for.
    """

    name: str
    whole: bool
    draw: Draw
    names: tuple[str, ...] = ()


class Table(Struct, frozen=True):
    """Requests from a file: arrivals in seconds from the first (empty if it has none), lengths.

    `content` names what is in each prompt, `span` tokens a name; it is empty where nobody asks.
    Where requests come in sessions, `turns` has the number of each session's, which stand one
    after another, and `think` the seconds from the end of each to the next; a row's arrival is
    that of its session, its prompt the whole of it.
    """

    arrived: tuple[float, ...]
    prompt: tuple[int, ...]
    output: tuple[int, ...]
    content: tuple[tuple[int, ...], ...] = ()
    span: int = 0
    turns: tuple[int, ...] = ()
    think: tuple[float, ...] = ()


class Workload(Struct, frozen=True):
    """What arrives. A table with `replay` is replayed as it is, else its lengths are drawn.

    Of one that is mixed, what arrives is that of its `parts`, and only `warmup` is its own.
    """

    name: str
    requests: int | None
    duration: float | None
    warmup: float
    arrivals: Draw | None
    prompt: Draw | None
    output: Draw | None
    correlation: float
    total: int | None
    table: Table | None
    replay: bool
    sessions: int | None
    turns: Draw | None
    think: Draw | None
    priority: Draw | None
    prefixes: int | None  # how many texts prompts begin with
    prefix: Draw | None  # how long each of them is
    prefix_added: bool  # they stand before the prompts that are drawn, which are longer by them
    concurrency: int | None  # how many requests are open at most
    attributes: tuple[Attribute, ...]  # by name
    parts: tuple["Workload", ...] = ()

    @property
    def kinds(self) -> "tuple[Workload, ...]":
        """Return the workloads whose requests arrive: the parts of a mixed one, else itself."""
        return self.parts or (self,)

    @property
    def rows(self) -> int:
        """Return how many rows of its table count: of one that is replayed, those that arrive."""
        table = self.table
        assert table is not None
        if not self.replay:
            return len(table.prompt)
        begins = [0, *accumulate(table.turns)][:-1] if table.turns else range(len(table.arrived))
        count = min(self.requests or len(begins), len(begins))
        if self.duration is not None:
            begun = [table.arrived[row] for row in begins]
            count = min(count, bisect_right(begun, self.duration))
        return sum(table.turns[:count]) if table.turns else count

    @property
    def added(self) -> tuple[float, float]:
        """Return the least and the most tokens that prompts are longer by than those drawn."""
        return self.prefix.ends if self.prefix is not None and self.prefix_added else (0, 0)

    def within_total(self, prompt: int, output: int) -> tuple[int, int]:
        """Return lengths as `total` leaves them."""
        if self.total is None:
            return prompt, output
        prompt = min(prompt, self.total - 1)
        return prompt, min(output, self.total - prompt)

    @property
    def talks(self) -> bool:
        """Tell whether there are conversations."""
        if self.parts:
            return any(part.talks for part in self.parts)
        replayed = self.replay and self.table is not None and bool(self.table.turns)
        return self.turns is not None or replayed

    @property
    def known_attributes(self) -> tuple[Attribute, ...]:
        """Return the attributes of its requests; all parts of a mixed one have the same."""
        return self.kinds[0].attributes

    def told(self, name: str, value: float) -> str:
        """Return what a class of its requests is called: a number, and the text it stands for."""
        names = next((each.names for each in self.known_attributes if each.name == name), ())
        number = f"{value:.15g}"
        if not names:
            return number
        text = names[int(value)]
        return f"{number} {text if len(text) <= _SHOWN else f'{text[: _SHOWN - 1]}…'}"

    @property
    def has_priorities(self) -> bool:
        """Tell whether priorities are drawn for any of its requests, or brought by a file."""
        return any(kind.priority is not None for kind in self.kinds)

    @property
    def classes(self) -> list[str]:
        """Return what may tell classes of its requests apart: priorities, and whole attributes."""
        whole = [attribute.name for attribute in self.known_attributes if attribute.whole]
        return [*(["priority"] if self.has_priorities else []), *whole]

    @property
    def chained(self) -> bool:
        """Tell whether some requests wait for the answers of others."""
        return self.talks or self.concurrency is not None
