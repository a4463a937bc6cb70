"""Measured runs of real engines: files to plain data. Knows nothing of programs and plans."""

from collections.abc import Callable, Mapping, Sequence

from tsdl.diagnostics import Sink
from tsdl.measured import llmservingsim, table, vllm
from tsdl.measured.doubts import doubt as doubt
from tsdl.measured.doubts import doubts
from tsdl.measured.run import Request as Request
from tsdl.measured.run import Run as Run
from tsdl.source import Source, Span
from tsdl.traces.documents import OF_RESULT
from tsdl.traces.lines import first_names

CSV_COLUMNS = table.NAMES

Reader = Callable[[Source, Mapping[str, str], Sink], Run | None]
FORMATS: dict[str, Reader] = {
    "llmservingsim": llmservingsim.read,
    "vllm": vllm.read,
    "csv": table.read,
}
# What a JSON object of these formats has, and no other's has.
_NAMED = {"llmservingsim": "input_toks", "vllm": OF_RESULT}


def read_run(name: str, text: str, form: str, columns: Mapping[str, str], sink: Sink) -> Run | None:
    """Read a measured run; None where it cannot be used, with the reasons in the sink.

    `form` is a name of FORMATS or `auto`; `columns` names those of a CSV file.
    """
    source = Source(name, text.removeprefix("\ufeff"))
    names = first_names(source.text)
    seen = _format(source.text, names)
    sure = seen == "csv" or form == "csv" or _NAMED[seen] in names
    if form not in ("auto", seen) and sure and source.text.strip():
        title = f"this is no file of the format `{form}`: it looks like one of `{seen}`"
        help_ = f"read it as `{seen}`, which `auto` does, too: `--run-format {seen}`"
        sink.error("E0607", title, Span(source, 0, 0), help=(help_,))
        return None
    form = seen if form == "auto" else form
    if columns and form != "csv":
        title = f"columns are named, and a file of the format `{form}` has names of its own"
        help_ = "leave `--column` out; it names the headers of CSV files"
        sink.error("E0602", title, Span(source, 0, 0), help=(help_,))
        return None
    found = FORMATS[form](source, columns, sink)
    for warning in doubts(found, source) if found is not None else ():
        sink.add(warning)
    return found


def _format(text: str, names: Sequence[str]) -> str:
    """Return the format that a file has, by the names of its first JSON object."""
    if text.lstrip()[:1] not in ("{", "["):
        return "csv"
    return "llmservingsim" if _NAMED["llmservingsim"] in names else "vllm"
