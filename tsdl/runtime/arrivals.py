"""A workload to the requests that arrive: times in seconds, lengths in tokens."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tsdl.diagnostics import Diagnostic, Severity
from tsdl.errors import TsdlError
from tsdl.planworkload import Draw, Table, Workload
from tsdl.runtime.contents import Beginnings, Content, Names
from tsdl.runtime.mixing import mixed
from tsdl.runtime.streams import seed_of, stream

MOST_REQUESTS = 20_000_000  # that a duration is tried with
LATEST = 1e9  # seconds: of a later time a double keeps no tenth of a microsecond
MOST_TURNS = 1000
MOST_WHOLE, MOST_NUMBER = 2**53, 1e100  # that attributes are, whatever is drawn
MOST_TOKENS = 1_000_000_000  # of a drawn length: longer ones are cut, and rejected anyhow
_CHUNK = 1 << 14

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Requests in order of arrival: columns of one length.

    With conversations `turns` says how many turns each has, one after another; the columns then
    have a row for each turn, with the arrival of its conversation, its own new tokens, and the
    seconds until the next (`think`, which is empty where nothing waits for an answer). With
    `whole`, a prompt has what was said before in it.
    """

    arrived: Floats
    prompt: Whole
    output: Whole
    priority: Floats | None = None
    turns: Whole | None = None
    think: Floats = field(default_factory=lambda: np.zeros(0))
    whole: bool = field(default=False, kw_only=True)
    # The attributes of each row, by name; those that are drawn are alike in all turns of one.
    attributes: dict[str, NDArray[Any]] = field(default_factory=dict, kw_only=True)
    # What is in the prompt of a row.
    contents: Callable[[int], Content] | None = field(default=None, kw_only=True)


def generate(workload: Workload, seed: int, until: float = math.inf) -> Arrivals:
    """Draw (or replay) the requests of a workload, or of all that are mixed in it.

    Raises TsdlError for one that arrives up to `until`, and too late to be counted.
    """
    if workload.parts:
        seeds = [seed_of(seed, f"workload {part.name}") for part in workload.parts]
        parts = zip(workload.parts, seeds, strict=True)
        return mixed([generate(part, own, until) for part, own in parts])
    found = _generate(workload, seed, until)
    texts = _texts(workload, found, seed)
    if texts is not None and workload.prefix_added:
        found = _behind(workload, found, texts)
    return replace(
        found,
        contents=_contents(workload, found, texts),
        attributes=_attributes(workload, found, seed),
    )


def _attributes(workload: Workload, arrivals: Arrivals, seed: int) -> dict[str, NDArray[Any]]:
    """Draw the attributes of each conversation, and return them for each row."""
    turns = arrivals.turns
    count = len(arrivals.arrived if turns is None else turns)
    found: dict[str, NDArray[Any]] = {}
    for attribute in workload.attributes:
        draw, rows = attribute.draw, len(arrivals.arrived)
        if draw.name == "rows":
            values = _of_rows(workload, draw, rows, seed)[:rows]
        else:
            drawn = values_of(draw, count, seed, f"attribute {attribute.name}")
            assert drawn is not None
            values = drawn if turns is None else np.repeat(drawn, turns)
        most = MOST_WHOLE if attribute.whole else MOST_NUMBER
        values = np.clip(values, -most, most)
        found[attribute.name] = np.rint(values).astype(np.int64) if attribute.whole else values
    return found


def _texts(workload: Workload, arrivals: Arrivals, seed: int) -> tuple[Whole, Whole] | None:
    """Return which text each request, or conversation, begins with, and the tokens of each."""
    if workload.prefix is None or workload.prefixes is None:
        return None
    length = values_of(workload.prefix, workload.prefixes, seed, "prefix")
    assert length is not None
    turns = arrivals.turns  # all turns of a conversation begin with the same
    count = len(arrivals.arrived if turns is None else turns)
    return stream(seed, "prefixes").integers(0, workload.prefixes, count), _tokens(length)


def _firsts(turns: Whole) -> Whole:
    """Return the rows of the first turns."""
    first: Whole = np.cumsum(turns) - turns
    return first


def _behind(workload: Workload, arrivals: Arrivals, texts: tuple[Whole, Whole]) -> Arrivals:
    """Put the text that it begins with before each prompt, or each first one of a conversation."""
    chosen, tokens = texts
    prompt = arrivals.prompt.copy()
    first = slice(None) if arrivals.turns is None else _firsts(arrivals.turns)
    prompt[first] += tokens[chosen]
    prompt, output = _cut(workload, prompt, arrivals.output)
    return replace(arrivals, prompt=prompt, output=output)


def _contents(
    workload: Workload, arrivals: Arrivals, texts: tuple[Whole, Whole] | None
) -> Callable[[int], Content] | None:
    """Return what is known of the prompt of a row: by a file, or by what it begins with."""
    table = workload.table
    if texts is not None:
        chosen, tokens = texts
        prompts, turns = arrivals.prompt, arrivals.turns
        if turns is not None:
            chosen = np.repeat(chosen, turns)
            prompts = np.repeat(prompts[_firsts(turns)], turns)
        return Beginnings(chosen.tolist(), tokens.tolist(), prompts)
    if table is not None and table.content and workload.replay:
        return Names(table.content, table.span, arrivals.prompt)
    return None


def _generate(workload: Workload, seed: int, until: float) -> Arrivals:
    if workload.replay and workload.table:
        return _replayed(workload, workload.table, seed, until)
    arrived = _times(workload, stream(seed, "arrivals"))
    _see_to_times(workload, arrived, until)
    if workload.turns is not None:
        return _conversations(workload, arrived, seed)
    prompt, output = _lengths(workload, len(arrived), seed)
    drawn = len(arrived)
    if workload.duration is not None:
        count = int(np.searchsorted(arrived, workload.duration, side="right"))
        arrived, prompt, output = arrived[:count], prompt[:count], output[:count]
    prompt, output = _cut(workload, prompt, output)
    count = len(arrived)
    priority = _priorities(workload, drawn, count, seed)
    pauses = _pauses(workload, count, seed)
    return Arrivals(arrived, prompt, output, priority, think=pauses)


def _replayed(workload: Workload, table: Table, seed: int, until: float) -> Arrivals:
    """Return the first of a file's requests, or of its sessions, and those within the duration."""
    arrived = np.array(table.arrived, dtype=np.float64)
    turns = np.array(table.turns, dtype=np.int64) if table.turns else None
    begun = arrived if turns is None else arrived[np.cumsum(turns) - turns]
    count = min(workload.requests or len(begun), len(begun))
    if workload.duration is not None:
        count = min(count, int(np.searchsorted(begun, workload.duration, side="right")))
    rows = count if turns is None else int(turns[:count].sum())
    _see_to_times(workload, begun[:count], until)
    prompt = np.array(table.prompt[:rows], dtype=np.int64)
    output = np.array(table.output[:rows], dtype=np.int64)
    prompt, output = _cut(workload, prompt, output)
    priority = _priorities(workload, rows, rows, seed)
    if turns is None:
        pauses = _pauses(workload, rows, seed)
        return Arrivals(arrived[:rows], prompt, output, priority, think=pauses)
    think = np.array(table.think[:rows], dtype=np.float64)
    return Arrivals(arrived[:rows], prompt, output, priority, turns[:count], think, whole=True)


def _cut(workload: Workload, prompt: Whole, output: Whole) -> tuple[Whole, Whole]:
    """Keep prompt and output within the workload's `total`."""
    if workload.total is None:
        return prompt, output
    total = min(workload.total, 2 * MOST_TOKENS)  # more than what both may have is no bound
    prompt = np.minimum(prompt, total - 1)
    return prompt, np.minimum(output, total - prompt)


def _conversations(workload: Workload, arrived: Floats, seed: int) -> Arrivals:
    """Draw how many turns each conversation has, and each turn's lengths and time to think."""
    assert workload.turns is not None
    if workload.duration is not None:
        arrived = arrived[: int(np.searchsorted(arrived, workload.duration, side="right"))]
    drawn = values_of(workload.turns, len(arrived), seed, "turns")
    assert drawn is not None
    turns = np.clip(np.rint(drawn), 1, MOST_TURNS).astype(np.int64)
    count = int(turns.sum())
    if count > MOST_REQUESTS:
        raise TsdlError([_too_many(workload)])
    prompt, output = _cut(workload, *_lengths(workload, count, seed))
    return Arrivals(
        np.repeat(arrived, turns),
        prompt,
        output,
        _priorities(workload, count, count, seed),
        turns,
        _pauses(workload, count, seed),
    )


def _priorities(workload: Workload, drawn: int, count: int, seed: int) -> Floats | None:
    """Return the priorities of the first `count` requests, of so many whose lengths were drawn."""
    draw = workload.priority
    if draw is None or draw.name != "rows":
        return values_of(draw, count, seed, "priority")
    return _of_rows(workload, draw, drawn, seed)[:count]


def _of_rows(workload: Workload, draw: Draw, drawn: int, seed: int) -> Floats:
    """Return what a file says of its rows, of each request; of so many whose lengths were drawn."""
    of_rows = np.array(draw.values, dtype=np.float64)
    return of_rows if workload.replay else of_rows[_rows(workload, drawn, seed)]


def _pauses(workload: Workload, count: int, seed: int) -> Floats:
    """Return the seconds from the end of each request to what waits for it, if something may."""
    if not workload.chained:
        return np.zeros(0)
    think = values_of(workload.think, count, seed, "think")
    return np.zeros(count) if think is None else np.maximum(think, 0.0)


def values_of(draw: Draw | None, count: int, seed: int, purpose: str) -> Floats | None:
    """Return so many values of a distribution, from a stream of their own."""
    if draw is None:
        return None
    return _quantile(draw, stream(seed, purpose).standard_normal(count), seed, purpose)


# -- when --------------------------------------------------------------------------------------


def _times(workload: Workload, random: np.random.Generator) -> Floats:
    assert workload.arrivals is not None
    count = workload.sessions if workload.turns is not None else workload.requests
    if count is not None:
        return _first(workload.arrivals, count, random)
    assert workload.duration is not None
    count = 1024
    while True:  # the same stream drawn longer begins with the same numbers only if drawn anew
        state = random.bit_generator.state
        times = _first(workload.arrivals, count, random)
        if times[-1] > workload.duration:
            return times
        random.bit_generator.state = state
        count *= 2
        if count > MOST_REQUESTS:
            raise TsdlError([_too_many(workload)])


def _see_to_times(workload: Workload, times: Floats, until: float) -> None:
    """See that all that arrive, in their order, do so at times that say when."""
    last = min(until, math.inf if workload.duration is None else workload.duration)
    arriving = times[: int(np.searchsorted(times, last, side="right"))]
    if len(arriving) and arriving[-1] > LATEST:
        raise TsdlError([_too_late(workload)])


def _too_many(workload: Workload) -> Diagnostic:
    return Diagnostic(
        "E0523",
        Severity.ERROR,
        f"more than {MOST_REQUESTS:,} requests arrive in the duration of `{workload.name}`",
        None,
        help=("lower the rate, shorten the duration, or write `requests = …`",),
    )


def _too_late(workload: Workload) -> Diagnostic:
    return Diagnostic(
        "E0906",
        Severity.ERROR,
        f"requests of `{workload.name}` arrive after {LATEST:,.0f} s, some 32 years",
        None,
        help=(
            "if its times are no seconds, say so: `columns { unit = 1 ms }`"
            if workload.replay
            else "take a higher rate, or fewer requests",
        ),
    )


def _first(arrivals: Draw, count: int, random: np.random.Generator) -> Floats:
    """Return the times of the first `count` arrivals; inf where a number cannot hold one."""
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        times = _drawn_times(arrivals, count, random)
    times[np.isnan(times)] = math.inf  # the difference of two that are
    return times


def _drawn_times(arrivals: Draw, count: int, random: np.random.Generator) -> Floats:
    known = dict(arrivals.parameters)
    index = np.arange(count, dtype=np.float64)
    match arrivals.name:
        case "poisson":
            return np.cumsum(random.standard_exponential(count)) / known["rate"]
        case "uniform":
            return index / known["rate"]
        case "gamma":
            shape = 1 / known["cv"] ** 2
            gaps = random.standard_gamma(shape, count) / (shape * known["rate"])
            times: Floats = np.cumsum(gaps)
            return times
        case "burst":
            size = known.get("size", float(count))
            return np.floor(index / size) * known.get("every", 0.0)
        case "on_off":
            return _on_off(np.cumsum(random.standard_exponential(count)), known)
        case "piecewise":
            work = np.cumsum(random.standard_exponential(count))
            return _piecewise(work, np.array(arrivals.values), known["every"])
    raise AssertionError(arrivals.name)


def _on_off(work: Floats, known: dict[str, float]) -> Floats:
    """Invert the integral of the rate, which repeats with every period."""
    rate, low, on, off = known["rate"], known["low"], known["on"], known["off"]
    busy = rate * on
    period = busy + low * off
    rounds = np.floor(work / period)
    rest = work - rounds * period
    late = on + (rest - busy) / low if low > 0 else np.full_like(rest, on)
    return rounds * (on + off) + np.where(rest < busy, rest / rate, late)


def _piecewise(work: Floats, rates: Floats, every: float) -> Floats:
    """Invert the integral of the rate, which is one of the rates in turn, for so many seconds."""
    ends = np.cumsum(rates * every)
    rounds = np.floor(work / ends[-1])
    rest = work - rounds * ends[-1]
    # Who comes at the very end of a round belongs to the last piece in which anybody comes.
    piece = np.minimum(np.searchsorted(ends, rest, side="right"), np.flatnonzero(rates)[-1])
    begin = ends[piece] - rates[piece] * every
    times: Floats = (rounds * len(rates) + piece) * every + (rest - begin) / rates[piece]
    return times


# -- how long ----------------------------------------------------------------------------------


def _lengths(workload: Workload, count: int, seed: int) -> tuple[Whole, Whole]:
    if workload.table:
        rows = _rows(workload, count, seed)
        prompt = np.array(workload.table.prompt, dtype=np.int64)
        output = np.array(workload.table.output, dtype=np.int64)
        return prompt[rows], output[rows]
    assert workload.prompt is not None
    assert workload.output is not None
    first = stream(seed, "prompt").standard_normal(count)
    second = stream(seed, "output").standard_normal(count)
    share = workload.correlation
    second = share * first + math.sqrt(1 - share * share) * second
    prompt = _tokens(_quantile(workload.prompt, first, seed, "prompt"))
    return prompt, _tokens(_quantile(workload.output, second, seed, "output"))


def _rows(workload: Workload, count: int, seed: int) -> Whole:
    """Return which rows of its table requests are."""
    assert workload.table is not None
    return stream(seed, "lengths").integers(0, len(workload.table.prompt), count)


def _tokens(values: Floats) -> Whole:
    """Round to whole tokens, at least one."""
    return np.clip(np.rint(values), 1, MOST_TOKENS).astype(np.int64)


def _quantile(draw: Draw, normal: Floats, seed: int, purpose: str) -> Floats:
    """Return the values of a distribution at the probabilities of standard normal scores."""
    known = dict(draw.parameters)
    match draw.name:
        case "constant":
            return np.full(len(normal), known["value"])
        case "uniform":
            count = math.floor(draw.steps + 1e-9) + 1  # of times, 0.3 / 0.1 is just below 3
            drawn = known["low"] + known["step"] * np.floor(_probability(normal) * count)
            return np.minimum(drawn, known["high"])  # and 3 * 0.1 just above 0.3
        case "normal":
            values = known["mean"] + known["deviation"] * normal
        case "lognormal":
            sigma = known["sigma"]
            values = known["mean"] * np.exp(sigma * normal - sigma * sigma / 2)
        case "exponential":
            values = -known["mean"] * np.log1p(-_probability(normal))
        case "between":
            return known["low"] + (known["high"] - known["low"]) * _probability(normal)
        case "zipf":
            ranks = np.arange(1.0, known["n"] + 1)
            shares = np.cumsum(ranks ** -known["exponent"])
            smaller = np.searchsorted(shares / shares[-1], _probability(normal), side="right")
            return smaller.astype(np.float64) + 1.0
        case "quantiles":
            places = np.linspace(0, 1, len(draw.values))
            values = np.interp(_probability(normal), places, np.array(draw.values))
        case "choice":
            return _choice(draw, normal, seed, purpose)
        case _:
            raise AssertionError(draw.name)
    return np.clip(values, known.get("min", -math.inf), known.get("max", math.inf))


def _choice(draw: Draw, normal: Floats, seed: int, purpose: str) -> Floats:
    purpose = f"{purpose}.choice"
    chosen = stream(seed, purpose).random(len(normal))
    part = np.searchsorted(np.cumsum(draw.values)[:-1], chosen, side="right")
    result = np.empty(len(normal))
    for index, inner in enumerate(draw.parts):
        mask = part == index
        result[mask] = _quantile(inner, normal[mask], seed, f"{purpose}.{index}")
    return result


def _probability(normal: Floats) -> Floats:
    """Return the normal distribution function, below 1 even at the far end."""
    found = normal / math.sqrt(2)
    for begin in range(0, len(found), _CHUNK):  # a list of all of them would take much memory
        part = found[begin : begin + _CHUNK]
        part[:] = np.fromiter(map(math.erf, part.tolist()), float, len(part))
    return np.minimum(0.5 * (1 + found), 1 - 2**-53)
