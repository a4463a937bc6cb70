"""Files of requests to tables: which format a file has, and what it must hold. Knows no program."""

from collections.abc import Callable
from dataclasses import dataclass

from tsdl.diagnostics import Sink
from tsdl.plan import Table
from tsdl.source import Source
from tsdl.traces.lines import Lines, csv_lines, json_lines
from tsdl.traces.rows import Columns as Columns
from tsdl.traces.rows import Rows, time_of_day


@dataclass(frozen=True, slots=True)
class Format:
    """A format: how its file becomes lines, and which of their cells count."""

    read: Callable[[Source, Sink], Lines | None]
    columns: Columns


# What a file of a format may be; where there are several, its columns tell which.
FORMATS: dict[str, tuple[Format, ...]] = {
    "azure": (
        Format(csv_lines, Columns("TIMESTAMP", "ContextTokens", "GeneratedTokens", time_of_day)),
    ),
    "mooncake": (
        Format(
            json_lines,
            Columns(
                "timestamp",
                "input_length",
                "output_length",
                unit=1e-3,
                content="hash_ids",
                span=512,
            ),
        ),
    ),
    # What it measured (seconds of an epoch), and what it replays.
    "llmservingsim": (
        Format(json_lines, Columns("arrival_time", "input_toks", "output_toks")),
        Format(
            json_lines,
            Columns(
                "arrival_time_ns",
                "input_toks",
                "output_toks",
                unit=1e-9,
                content="input_tok_ids",
                span=1,
            ),
        ),
    ),
}


def read_requests(
    name: str, text: str, form: str, columns: Columns, sink: Sink, *, arrivals: bool
) -> Table | None:
    """Read a file of requests; None where it cannot be used, with the reasons in the sink.

    `form` is a name of FORMATS, `csv` (with the given columns), or `auto`, which knows a format by
    its columns. With `arrivals`, times count from the first row.
    """
    source = Source(name, text.removeprefix("\ufeff"))
    possible = _possible(form, source, columns)
    lines = possible[0].read(source, sink)
    if lines is None:
        return None
    wanted = [p.columns.names(arrivals=arrivals) for p in possible]
    at = next((i for i, names in enumerate(wanted) if lines.has(names)), -1)
    if at < 0 and lines.names:
        _missing(lines, wanted[-1], source, sink)
        return None
    rows = Rows(source, possible[at].columns, sink, arrivals=arrivals)
    for number, cells in lines.rows:
        if rows.full:
            break
        if isinstance(cells, str):
            rows.wrong(number, cells)
        else:
            rows.add(number, cells)
    return rows.table()


def _possible(form: str, source: Source, columns: Columns) -> list[Format]:
    """Return the formats that a file may have, the likeliest where none fits last."""
    given = Format(csv_lines, columns)
    if form == "csv":
        return [given]
    if form != "auto":
        return list(FORMATS[form])
    if source.text[:1] != "{":
        return [*FORMATS["azure"], given]
    return [*FORMATS["llmservingsim"], *FORMATS["mooncake"]]


def _missing(lines: Lines, wanted: list[str], source: Source, sink: Sink) -> None:
    missing = [f"`{name}`" for name in wanted if name not in lines.names]
    help_ = (
        'name its columns: `columns { prompt = "…"; output = "…" }`'
        if lines.named
        else "lines of JSON are Mooncake's or LLMServingSim's; others can be made a CSV file"
    )
    sink.error(
        "E0602",
        f"the file has no column {' and no column '.join(missing)}",
        source.line_span(lines.first),
        f"it has {', '.join(lines.names)}",
        help=(help_,),
    )
