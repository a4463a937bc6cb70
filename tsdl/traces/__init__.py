"""Files of requests to tables: which format a file has, and what it must hold. Knows no program."""

from collections.abc import Callable, Mapping
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from tsdl.diagnostics import Label, Sink
from tsdl.diagnostics.suggest import nearest
from tsdl.source import Source, Span
from tsdl.traces import documents
from tsdl.traces.documents import Counter as Counter
from tsdl.traces.documents import conversation_lines
from tsdl.traces.lines import Lines, csv_lines, first_names, has_once, json_lines
from tsdl.traces.results import OUTPUTS, PROMPTS, STARTS, result_lines
from tsdl.traces.rows import FAILED, Rows, time_of_day
from tsdl.traces.rows import Columns as Columns
from tsdl.traces.rows import Named as Named
from tsdl.traces.rows import Recorded as Recorded


class Format(Struct, frozen=True):
    """A format: how its file becomes lines, and which of their cells count."""

    read: Callable[[Source, Sink], Lines | None]
    columns: Columns


# The fields of `columns` that a program may say, and what they are of a format's.
_RENAMED = {"arrived": "arrived", "prompt": "prompt", "output": "output", "unit": "per_second"}
_UNITS = {"": 1.0, "_s": 1.0, "_ms": 1e3, "_us": 1e6, "_ns": 1e9}  # ends of headers
# What measured runs have in CSV (SPEC.md, section 12.3): they may be replayed as they are.
_MEASURED = tuple(
    Columns(f"arrived{unit}", "prompt", "output", per_second=per_second, any_order=True,
            left_out=FAILED)
    for unit, per_second in _UNITS.items()
)  # fmt: skip
_TIMES = {f"{name}{unit}" for name in ("ttft", "e2e", "tpot") for unit in _UNITS}
_CONVERSATIONS = Columns(
    documents.ARRIVED,
    documents.PROMPT,
    documents.OUTPUT,
    left_out="no question in them has an answer",
)
_REPLAYED = Columns(
    "arrival_time_ns",
    "input_toks",
    "output_toks",
    per_second=1e9,
    content="input_tok_ids",
    span=1,
    any_order=True,
    calls="sub_requests",
    wait="tool_duration_ns",
)

# What a file of a format may be; where there are several, its columns tell which. SPEC.md, section
# 8.9, says of each what it was looked up in.
FORMATS: dict[str, tuple[Format, ...]] = {
    "azure": (
        Format(csv_lines, Columns("TIMESTAMP", "ContextTokens", "GeneratedTokens", time_of_day)),
    ),
    "burstgpt": (
        Format(
            csv_lines, Columns("Timestamp", "Request tokens", "Response tokens", left_out=FAILED)
        ),
    ),
    "splitwise": (Format(csv_lines, Columns("arrival_timestamp", "prompt_size", "token_size")),),
    "vidur": (Format(csv_lines, Columns("arrived_at", "num_prefill_tokens", "num_decode_tokens")),),
    "servegen": (
        Format(csv_lines, Columns("timestamp", "input_tokens", "output_tokens")),
        Format(json_lines, Columns("timestamp", "input_length", "output_length")),
    ),
    "mooncake": (
        Format(
            json_lines,
            Columns(
                "timestamp",
                "input_length",
                "output_length",
                per_second=1e3,
                content="hash_ids",
                span=512,
            ),
        ),
    ),
    # What it measured (seconds of an epoch), and what it replays.
    "llmservingsim": (
        Format(json_lines, Columns("arrival_time", "input_toks", "output_toks", any_order=True)),
        Format(json_lines, _REPLAYED),
    ),
    "vllm": (
        Format(
            result_lines,
            Columns(STARTS, PROMPTS, OUTPUTS, any_order=True, left_out=FAILED),
        ),
    ),
    "sharegpt": (Format(partial(conversation_lines, count=None), _CONVERSATIONS),),
}


def read_requests(  # noqa: PLR0913
    name: str,
    text: str,
    form: str,
    columns: Columns,
    sink: Sink,
    *,
    arrivals: bool,
    said: Mapping[str, Span] = {},
    count: Counter | None = None,
) -> Recorded | None:
    """Read a file of requests; None where it cannot be used, with the reasons in the sink.

    `form` is a name of FORMATS, `csv`, or `auto`, which knows a format by its columns. Those that a
    program has `said`, by the fields of `columns`, are in place of the format's own. With
    `arrivals`, times count from the first row. `count` counts the tokens of the texts of
    conversations. The columns of priorities and attributes are of whatever format it is.
    """
    source = Source(name, text.removeprefix("\ufeff"))
    named = [place for field, place in said.items() if field in _RENAMED]
    possible = _possible(form, source, columns, {*said} & _RENAMED.keys(), count)
    if named and possible[0].read not in {csv_lines, json_lines}:
        title = "the file is of a format that has names of its own, and not those of `columns`"
        helps = ("leave `columns` out, or take arrivals and lengths from a file of rows",)
        sink.error("E0602", title, named[0], help=helps)
        return None
    lines = possible[0].read(source, sink)
    if lines is None:
        return None
    fitting = [p.columns for p in possible if _fits(lines, p.columns, arrivals=arrivals)]
    if not fitting and lines.names:
        _missing(lines, possible[-1].columns, source, said, sink, arrivals=arrivals)
        return None
    chosen = (fitting or [possible[-1].columns])[0]
    chosen = replace(
        chosen,
        priority=columns.priority,
        attributes=columns.attributes,
        measured=tuple(name for name in lines.names if lines.named and name in _TIMES),
    )
    brought = {chosen.priority: "priorities"} if chosen.priority else {}
    brought |= {name: "an attribute" for name, _ in chosen.attributes}
    if not all(_has_column(lines, *column, source, said, sink) for column in brought.items()):
        return None
    if not has_once(lines, chosen.names(arrivals=arrivals), source, sink):
        return None
    rows = Rows(source, chosen, sink, arrivals=arrivals, empty=lines.empty)
    for i, (number, cells) in enumerate(lines.rows):
        if rows.full:
            break
        where = f"request {i} (from 0): " if lines.counted else ""
        if isinstance(cells, str):
            rows.wrong(number, f"{where}{cells}")
        else:
            rows.add(number, cells, where)
    return rows.recorded()


def _fits(lines: Lines, columns: Columns, *, arrivals: bool) -> bool:
    session = bool(columns.calls) and lines.has(columns.names(arrivals=arrivals, session=True))
    return session or lines.has(columns.names(arrivals=arrivals))


def _has_column(
    lines: Lines, name: str, what: str, source: Source, said: Mapping[str, Span], sink: Sink
) -> bool:
    """Tell whether a column that is to bring something is there, once; else report it."""
    if name in lines.names:
        return has_once(lines, [name], source, sink)
    near = nearest(name, lines.names)
    help_ = f"did you mean `{near}`?" if near else "leave it out of `columns`, or draw it"
    sink.error(
        "E0602", f"the file has no column `{name}`, which is to bring {what}",
        source.line_span(lines.first), f"it has {', '.join(lines.names)}",
        secondary=_named([name], said), help=(help_,),
    )  # fmt: skip
    return False


def _named(missing: list[str], said: Mapping[str, Span]) -> tuple[Label, ...]:
    """Return where the program names columns that are not there."""
    places = [place for place in said.values() if place.text.strip('"') in missing]
    return tuple(Label(place, "named here") for place in places)


def _possible(
    form: str, source: Source, columns: Columns, said: set[str], count: Counter | None
) -> list[Format]:
    """Return the formats that a file may have, all read alike, the likeliest where none fits last.

    Columns that a program has said are those of the file: it is of no format that has others.
    """
    given = Format(csv_lines, columns)
    start = source.text.lstrip()[:1]
    if form == "csv":
        return [given]
    if form == "sharegpt" or (form == "auto" and start == "["):
        return [Format(partial(conversation_lines, count=count), _CONVERSATIONS)]
    if form != "auto":
        renamed = {_RENAMED[field]: getattr(columns, _RENAMED[field]) for field in said}
        ways = [
            replace(way, columns=replace(way.columns, **renamed))
            if way.read in (csv_lines, json_lines)
            else way
            for way in FORMATS[form]
        ]
        alike = [way for way in ways if (way.read is json_lines) == (start == "{")]
        return alike or ways
    if said - {"unit"}:
        return [Format(json_lines, columns) if start == "{" else given]
    if start != "{":
        known = [way for ways in FORMATS.values() for way in ways if way.read is csv_lines]
        return [given, *known, *(Format(csv_lines, each) for each in _MEASURED), given]
    if PROMPTS in first_names(source.text):
        return list(FORMATS["vllm"])
    return [*FORMATS["llmservingsim"], *FORMATS["mooncake"]]


def _missing(
    lines: Lines,
    columns: Columns,
    source: Source,
    said: Mapping[str, Span],
    sink: Sink,
    *,
    arrivals: bool,
) -> None:
    wanted = columns.names(arrivals=arrivals)
    if lines.instead and lines.has(columns.names(arrivals=False)):
        _without_arrivals(lines, source, sink)
        return
    missing = [name for name in wanted if name not in lines.names]
    fields = ("arrived", "prompt", "output")[-len(wanted) :]
    others = [name for name in lines.names if name not in wanted]
    likely = [
        name if name in lines.names else field if field in others else nearest(name, others) or "…"
        for field, name in zip(fields, wanted, strict=True)
    ]
    written = "; ".join(f'{field} = "{name}"' for field, name in zip(fields, likely, strict=True))
    help_ = (
        "say which format it has: `format = …`; any file of requests can be made a CSV file"
        if lines.counted
        else f"name its columns: `columns {{ {written} }}`"
    )
    sink.error(
        "E0602",
        f"the file has no column {' and no column '.join(f'`{name}`' for name in missing)}",
        source.line_span(lines.first),
        f"it has {', '.join(lines.names)}",
        secondary=_named(missing, said),
        help=(help_,),
    )


def _without_arrivals(lines: Lines, source: Source, sink: Sink) -> None:
    sink.error(
        "E0602",
        f"this result has no `{STARTS}`, as older versions of vLLM write it: it has no arrivals",
        source.line_span(lines.first),
        f"it has {', '.join(lines.names)}",
        help=(f"take its lengths alone, under such a load: {lines.instead}",),
    )
