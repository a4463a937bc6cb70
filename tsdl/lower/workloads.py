"""Workloads to the plan: arrivals, lengths, tables from files."""

import math
from collections.abc import Mapping
from itertools import pairwise

from msgspec.structs import replace

from tsdl.check.attributes import refuse_other
from tsdl.diagnostics import Label
from tsdl.diagnostics.words import several
from tsdl.evaluate import Evaluator, Failed, Instance
from tsdl.evaluate.values import Constructed, Place, Range, Value
from tsdl.lower.files import FileReader
from tsdl.lower.ineffective import report_ineffective, warn
from tsdl.lower.recorded import of_file, recorded_of
from tsdl.planworkload import MOST_REQUESTS, MOST_STEPS, Attribute, Draw, Table, Workload
from tsdl.program import Declaration
from tsdl.traces import Named, Recorded


def lower_workload(evaluator: Evaluator, workload: Instance, read: FileReader) -> Workload:
    """Return a workload; report what is missing in it or contradicts itself."""
    _check(evaluator, workload)
    _report_ineffective(evaluator, workload)
    traced = recorded_of(evaluator, workload, "trace", read)
    listed = recorded_of(evaluator, workload, "lengths", read)
    replayed = traced.table if traced is not None else None
    drawn = listed.table if listed is not None else None
    recorded = traced or listed or Recorded(Table((), (), ()))
    arrivals = evaluator.get(workload, "arrivals")
    prompt, output = evaluator.get(workload, "prompt"), evaluator.get(workload, "output")
    requests = evaluator.optional(workload, "requests")
    duration = evaluator.optional(workload, "duration")
    sessions = evaluator.optional(workload, "sessions")
    turns, think = evaluator.get(workload, "turns"), evaluator.get(workload, "think")
    concurrency = evaluator.optional(workload, "concurrency")
    talks = sessions is not None or turns is not None
    if talks:
        _check_sessions(evaluator, workload, replayed is not None)
        requests = None  # what a base says of requests is not of sessions
    elif think is not None and concurrency is None:
        raise evaluator.fail(
            "E0404",
            f"workload `{workload.name}` thinks between turns, and has none",
            evaluator.span(workload, "think"),
            help=("write `turns = uniform(2..7)`, or leave `think` out",),
        )
    if concurrency is not None and (talks or (replayed is not None and replayed.turns)):
        raise evaluator.fail(
            "E0521",
            f"workload `{workload.name}` has both `concurrency` and conversations",
            evaluator.span(workload, "concurrency"),
            "the next question of a conversation waits for its own answer",
            help=("say how many talk at a time by `sessions` and `arrivals`, or leave one out",),
        )
    at_once = arrivals is None and requests is None  # with `concurrency`, and time ends nothing
    ended = not (requests is None and duration is None and sessions is None)
    if replayed is None and (at_once or not ended):
        raise evaluator.fail(
            "E0520",
            f"workload `{workload.name}` has no end",
            evaluator.place_of(workload),
            help=_ends(workload, conversations=turns is not None),
        )
    ends = sessions if turns is not None or sessions is not None else requests
    _check_count(evaluator, workload, arrivals, ends, duration)
    if replayed is not None:
        replayed = _speed(evaluator, workload, replayed)
    total, texts = evaluator.optional(workload, "total"), texts_of(workload)
    found = Workload(
        name=workload.name,
        requests=int(requests) if requests is not None else None,
        duration=duration,
        warmup=evaluator.real(workload, "warmup"),
        arrivals=Draw("burst", ())
        if arrivals is None and replayed is None
        else draw_of(evaluator, workload, "arrivals", arrivals),
        prompt=draw_of(evaluator, workload, "prompt", prompt),
        output=draw_of(evaluator, workload, "output", output),
        correlation=evaluator.real(workload, "correlation"),
        total=int(total) if total is not None else None,
        table=replayed if replayed is not None else drawn,
        replay=replayed is not None,
        sessions=int(sessions) if sessions is not None else None,
        turns=draw_of(evaluator, workload, "turns", turns)
        if turns is not None
        else Draw("constant", (("value", 1.0),))
        if sessions is not None
        else None,
        think=draw_of(evaluator, workload, "think", think, whole=False),
        priority=_priority(evaluator, workload, recorded.priority),
        prefixes=_prefixes(evaluator, workload, texts),
        prefix=draw_of(evaluator, workload, texts, evaluator.get(workload, texts)),
        prefix_added=texts == "system_prompt",
        concurrency=int(concurrency) if concurrency is not None else None,
        attributes=_attributes(evaluator, workload, recorded.attributes),
    )
    _see_to_answers(evaluator, workload, found)
    return found


def _attributes(
    evaluator: Evaluator, workload: Instance, rows: tuple[Named, ...]
) -> tuple[Attribute, ...]:
    """Return all attributes that the program declares, and what is drawn for each.

    `rows` are those that a file brings, in the order of `of_file`. Raises Failed.
    """
    block = evaluator.inner(workload, "attributes")
    declared = evaluator.program.attributes()
    brought = dict(zip(of_file(evaluator, workload), rows, strict=bool(rows)))
    for name in of_file(evaluator, workload):
        _check_brought(evaluator, workload, name, brought)
    found = []
    for name in sorted(declared):
        first = declared[name][0]
        usual = _usual(evaluator, first)
        for other in declared[name][1:]:
            if _usual(evaluator, other) != usual:
                refuse_other(other, first, evaluator.sink)
                raise Failed(f"two defaults of `{name}`")
        value = evaluator.get(block, name)
        draw = draw_of(evaluator, block, name, value, whole=first.whole)
        names: tuple[str, ...] = ()
        if name in brought:
            draw, names = Draw("rows", values=brought[name].values), brought[name].names
        if draw is None:
            draw = Draw("constant", (("value", usual),))
        found.append(Attribute(name, first.whole, draw, names))
    return tuple(found)


def _usual(evaluator: Evaluator, attribute: Declaration) -> float:
    """Return what an attribute is where nothing is said of it. Raises Failed."""
    value = attribute.clause.value
    if value is None:
        return 0.0
    found = evaluator.number(value, Place(attribute, None))
    evaluator.check_whole(attribute.clause.type, found, value)
    return float(found)


def _priority(evaluator: Evaluator, workload: Instance, rows: tuple[float, ...]) -> Draw | None:
    """Return how priorities are drawn; where a file brings them, they are those of its rows."""
    column = evaluator.inner(workload, "columns")
    if not evaluator.get(column, "priority"):
        return draw_of(evaluator, workload, "priority", evaluator.get(workload, "priority"))
    if not rows:
        raise evaluator.fail(
            "E0404",
            f"workload `{workload.name}` names a column of priorities, and no file",
            evaluator.span(column, "priority"),
            help=(
                "write `trace = …` or `lengths = …`, or draw them: `priority = choice(0: 1, 1: 2)`",
            ),
        )
    if is_set(workload, "priority"):
        raise evaluator.fail(
            "E0521",
            f"workload `{workload.name}` has both `priority` and a column of priorities",
            evaluator.span(workload, "priority"),
            "the file brings its own",
            secondary=(Label(evaluator.span(column, "priority"), "named here"),),
            help=("leave one of them out",),
        )
    return Draw("rows", values=rows)


def _check_brought(
    evaluator: Evaluator, workload: Instance, name: str, brought: Mapping[str, object]
) -> None:
    """See that an attribute of which a column is named is of a file, and of nothing else."""
    column = evaluator.inner(workload, "columns")
    if name not in brought:
        raise evaluator.fail(
            "E0404",
            f"workload `{workload.name}` names a column of `{name}`, and no file",
            evaluator.span(column, name),
            help=(f"write `trace = …` or `lengths = …`, or draw it: `{name} = zipf(10)`",),
        )
    block = evaluator.inner(workload, "attributes")
    if is_set(block, name):
        raise evaluator.fail(
            "E0521",
            f"workload `{workload.name}` both draws `{name}` and names a column of it",
            evaluator.span(block, name),
            "the file brings its own",
            secondary=(Label(evaluator.span(column, name), "named here"),),
            help=(f'leave one of them out; what a base names is taken back by `{name} = ""`',),
        )


def texts_of(workload: Instance) -> str:
    """Return the field that says how long the texts are with which prompts begin."""
    return "system_prompt" if is_set(workload, "system_prompt") else "prefix"


def _prefixes(evaluator: Evaluator, workload: Instance, texts: str) -> int | None:
    """Return how many texts prompts begin with; 1 where only their length is given."""
    count, tokens = evaluator.optional(workload, "prefixes"), evaluator.get(workload, texts)
    if tokens is None and count is not None:
        raise evaluator.fail(
            "E0404",
            f"workload `{workload.name}` has {count:g} prefixes, and no length of them",
            evaluator.span(workload, "prefixes"),
            help=(
                "write `system_prompt = constant(500 tokens)`, or `prefix` where they are a part "
                "of the prompts that are drawn",
            ),
        )
    return None if tokens is None else int(count or 1)


def _ends(workload: Instance, *, conversations: bool) -> tuple[str, ...]:
    """Say how a workload is given an end."""
    if not conversations:
        return ("write `requests = 1000` or `duration = 10 min`",)
    ends = "write `sessions = 1000` or `duration = 10 min`"
    return (
        f"{ends}: `requests` counts no conversations" if is_set(workload, "requests") else ends,
    )


def _check_sessions(evaluator: Evaluator, workload: Instance, replayed: bool) -> None:  # noqa: FBT001
    """See that conversations are drawn, and not replayed."""
    key = "turns" if is_set(workload, "turns") else "sessions"
    if replayed:
        raise evaluator.fail(
            "E0521",
            f"workload `{workload.name}` has both `trace` and `{key}`",
            evaluator.span(workload, key),
            "a trace brings its own requests",
            secondary=(Label(evaluator.span(workload, "trace"), "set here"),),
            help=("leave one of them out; `lengths` draws the lengths of a file",),
        )


def _check_count(
    evaluator: Evaluator,
    workload: Instance,
    arrivals: Value | None,
    requests: float | None,
    duration: float | None,
) -> None:
    """Refuse bursts that time alone does not end, and more requests than any memory holds."""
    known = arrivals.parameters if isinstance(arrivals, Constructed) else {}
    if isinstance(arrivals, Constructed) and arrivals.name == "burst" and requests is None:
        missing = next((key for key in ("size", "every") if key not in known), None)
        if missing:
            raise evaluator.fail(
                "E0520",
                f"a burst without `{missing}` never ends, however short the duration",
                evaluator.span(workload, "arrivals"),
                help=("write `requests = …`, or `burst(size = …, every = …)`",),
            )
    rates = known.get("rates", [known.get("rate", 0.0)])
    assert isinstance(rates, list)
    numbers = [rate for rate in rates if isinstance(rate, (int, float))]
    rate = sum(numbers) / max(1, len(numbers))
    count = requests if requests is not None else rate * (duration or 0.0)
    if count > MOST_REQUESTS:
        key = next(
            (k for k in ("sessions", "requests", "duration") if is_set(workload, k)), "arrivals"
        )
        raise too_many(evaluator, workload, key, count)


def too_many(evaluator: Evaluator, workload: Instance, key: str, count: float) -> Failed:
    """Return the failure of a workload whose field brings more requests than a run can hold."""
    return evaluator.fail(
        "E0523",
        f"{count:,.0f} requests are more than a run can hold",
        evaluator.span(workload, key),
        help=(f"at most {MOST_REQUESTS:,} are allowed",),
    )


def _speed(evaluator: Evaluator, workload: Instance, table: Table) -> Table:
    """Return a trace whose times are divided by the speed; times count up from 0."""
    speed = evaluator.real(workload, "speed")
    if speed == 1:
        return table
    arrived = tuple(a / speed for a in table.arrived)
    if not math.isfinite(arrived[-1]):
        raise evaluator.fail(
            "E0504",
            f"the last arrival of this trace, at {table.arrived[-1]:g} s, cannot be divided by "
            f"{speed:g}: the result is too large",
            evaluator.span(workload, "speed"),
            secondary=(Label(evaluator.span(workload, "trace"), "the trace"),),
        )
    return replace(table, arrived=arrived)


def is_set(instance: Instance, key: str) -> bool:
    """Tell whether a field is set, by the declaration or by an argument."""
    return key in instance.overrides or key in instance.members.fields


def _check(evaluator: Evaluator, workload: Instance) -> None:
    """See that a workload says each thing once: where arrivals and lengths come from."""
    sources = {
        "trace": (
            "arrivals", "prompt", "output", "lengths", "prefixes", "prefix", "system_prompt",
        ),
        "lengths": ("prompt", "output"),
        "system_prompt": ("prefix",),
    }  # fmt: skip
    for source, others in sources.items():
        for other in others:
            if is_set(workload, source) and is_set(workload, other):
                raise evaluator.fail(
                    "E0521",
                    f"workload `{workload.name}` has both `{source}` and `{other}`",
                    evaluator.span(workload, other),
                    f"`{source}` brings its own",
                    secondary=(Label(evaluator.span(workload, source), "set here"),),
                    help=("leave one of them out",),
                )
    if is_set(workload, "trace"):
        return
    needed = [] if is_set(workload, "concurrency") else ["arrivals"]
    needed += [] if is_set(workload, "lengths") else ["prompt", "output"]
    for key in needed:
        if not is_set(workload, key):
            raise evaluator.fail(
                "E0404",
                f"`{key}` of workload `{workload.name}` is not set",
                evaluator.place_of(workload),
                f"needs `{key}`",
                help=(f"write `{key} = {_EXAMPLES[key]}`, or replay a `trace`",),
            )


def _report_ineffective(evaluator: Evaluator, workload: Instance) -> None:
    """Warn of what is said of a trace, or of a file, where there is none."""
    if is_set(workload, "trace"):
        return
    name = workload.name
    remedy = 'write `trace = "requests.csv"`, or leave it out'
    of_traces = ("begin", "speed")
    report_ineffective(evaluator, workload, of_traces, f"`{name}` replays no trace", remedy)
    if not is_set(workload, "lengths"):
        why, columns = f"`{name}` reads no file", evaluator.inner(workload, "columns")
        report_ineffective(evaluator, workload, ("format", "tokenizer"), why, remedy)
        report_ineffective(evaluator, columns, ("arrived", "prompt", "output", "unit"), why, remedy)


def _see_to_answers(evaluator: Evaluator, workload: Instance, found: Workload) -> None:
    """Warn where `total` leaves each answer one token, whatever is drawn for it."""
    prompt, output, total = found.prompt, found.output, found.total
    if prompt is None or output is None or total is None or found.turns is not None:
        return
    if prompt.ends[0] + found.added[0] >= total - 1 and output.ends[1] > 1:
        why = f"`total` is {several(total, 'token')}, and no prompt leaves more than one"
        remedy = "let `total` be the tokens of prompt and answer together"
        warn(evaluator, "output", evaluator.span(workload, "total"), why, remedy)


_EXAMPLES = {
    "arrivals": "poisson(8 req/s)",
    "prompt": "constant(512 tokens)",
    "output": "constant(128 tokens)",
}


def draw_of(
    evaluator: Evaluator, workload: Instance, key: str, value: Value | None, *, whole: bool = True
) -> Draw | None:
    """Return a distribution as the plan has it; None where there is none. Raises Failed.

    A range without a step has one of a unit, but for values that need not be `whole`.
    """
    if value is None:
        return None
    if isinstance(value, (int, float)):
        return Draw("constant", (("value", float(value)),))
    assert isinstance(value, Constructed), key
    place = evaluator.span(workload, key)
    parameters: list[tuple[str, float]] = []
    values: tuple[float, ...] = ()
    for name, part in value.parameters.items():
        match part:
            case Range(low=low, high=high, step=step):
                parameters += [("low", float(low)), ("high", float(high))]
                if step is None and not whole:
                    return Draw("between", tuple(parameters))
                parameters.append(("step", float(step if step is not None else 1)))
            case list():
                values = tuple(float(v) for v in part if isinstance(v, (int, float)))
            case int() | float():
                parameters.append((name, float(part)))
    known = dict(parameters)
    if known.get("step", 1.0) <= 0:
        raise evaluator.fail("E0522", f"the step of `{key}` is more than zero", place)
    if value.name == "quantiles" and (
        len(values) < 2 or any(a > b for a, b in pairwise(values))  # noqa: PLR2004
    ):
        raise evaluator.fail(
            "E0522", f"the quantiles of `{key}` are two values or more that never decrease", place
        )
    if known.get("min", 0) > known.get("max", float("inf")):
        raise evaluator.fail("E0522", f"`min` of `{key}` is above its `max`", place)
    if value.name == "piecewise" and (not values or min(values) < 0 or not any(values)):
        raise evaluator.fail(
            "E0522", f"the rates of `{key}` are not negative, and not all zero", place
        )
    if value.name == "on_off" and known["off"] == 0 and known["low"] == 0:
        known["low"] = known["rate"]
    weights = [weight for _, weight in value.weighted]
    if value.name == "choice" and (min(weights) < 0 or sum(weights) <= 0):
        raise evaluator.fail(
            "E0522", f"the weights of `{key}` are not negative, and not all zero", place
        )
    parts = tuple(
        found
        for part, _ in value.weighted
        if (found := draw_of(evaluator, workload, key, part, whole=whole)) is not None
    )
    if value.name == "choice":
        values = tuple(weight / sum(weights) for weight in weights)
    found = Draw(value.name, tuple(parameters), values, parts)
    if found.steps > MOST_STEPS:
        title = f"the range of `{key}` has more than 2^53 steps"
        raise evaluator.fail("E0503", title, place, help=("take a longer step",))
    return found
