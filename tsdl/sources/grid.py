"""Models of times to tables: the points that are asked, and the file of what was answered."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise

from msgspec import Struct

from tsdl.sources.times import NoTime, Times

COLUMNS = ("part", "tokens", "past", "sequences", "context", "time_us")
LEAST_CHUNK = 16  # tokens of a prefill: the least that `tabulated` of stdlib/tables.tsim asks
_LEAST_CONTEXT = 16
_LEAST_PAST = 64


class Bounds(Struct, frozen=True):
    """How far a table goes: tokens and requests of an iteration, tokens of a context."""

    tokens: int = 8192
    requests: int = 256
    context: int = 8192


class Tabulated(Struct, frozen=True):
    """A table as the text of a CSV file; how many points it has, and at how many there is a hole.

    `reason` is why the first of the holes is one; `silent` are the parts that have no time at all,
    without which no cost can do.
    """

    text: str
    points: int
    holes: int
    reason: str
    silent: tuple[str, ...]


def tabulate(times: Times, bounds: Bounds) -> Tabulated:
    """Ask a model of times at the points of a grid, most of which are half as much again apart."""
    rows, holes = [",".join(COLUMNS)], []
    heard: dict[str, bool] = {}
    for part, point, asked in _questions(times, bounds):
        try:
            seconds = asked()
        except NoTime as error:
            holes.append(str(error))
            heard.setdefault(part, False)
            continue
        heard[part] = True
        known = {"part": part, **point, "time_us": f"{seconds * 1e6:.9g}"}
        rows.append(",".join(str(known.get(column, "")) for column in COLUMNS))
    text = "\n".join(rows) + "\n"
    silent = tuple(part for part, there in heard.items() if not there)
    return Tabulated(text, len(rows) - 1, len(holes), holes[0] if holes else "", silent)


Question = tuple[str, dict[str, int], Callable[[], float]]


def _questions(times: Times, bounds: Bounds) -> Iterator[Question]:
    """Yield all that is asked: the part, the point, and how."""
    for n in halved(doubled(1, bounds.requests)):
        for context in doubled(_LEAST_CONTEXT, bounds.context):
            point = {"sequences": n, "context": context}
            yield "decodes", point, partial(times.decodes, n, context)
            yield "attention", point, partial(times.attention, n, context)
    for tokens in halved(halved(halved(doubled(1, bounds.tokens)))):  # kernels work by tiles
        yield "others", {"tokens": tokens}, partial(times.others, tokens)
    for tokens in halved(doubled(LEAST_CHUNK, bounds.tokens)):
        for past in (0, *doubled(_LEAST_PAST, bounds.context)):
            yield "prefill", {"tokens": tokens, "past": past}, partial(times.prefill, tokens, past)


def doubled(least: int, most: int) -> list[int]:
    """Return numbers from the least to the most, each twice the one before, and the most."""
    found = [least]
    while found[-1] * 2 < most:
        found.append(found[-1] * 2)
    return [*found, most] if most > least else found


def halved(points: list[int]) -> list[int]:
    """Return points, and those in the middle between two: of 1, 2, 4, 8 also 3 and 6."""
    middle = [(a + b) // 2 for a, b in pairwise(points)]
    return sorted({*points, *middle})
