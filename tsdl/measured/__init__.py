"""Measured runs of real engines: files to plain data. Knows nothing of programs and plans."""

from collections.abc import Callable, Mapping

from tsdl.diagnostics import Sink
from tsdl.measured import llmservingsim, table, vllm
from tsdl.measured.doubts import doubt as doubt
from tsdl.measured.doubts import doubts
from tsdl.measured.run import Request as Request
from tsdl.measured.run import Run as Run
from tsdl.source import Source
from tsdl.traces.lines import first_names

CSV_COLUMNS = table.NAMES

Reader = Callable[[Source, Mapping[str, str], Sink], Run | None]
FORMATS: dict[str, Reader] = {
    "llmservingsim": llmservingsim.read,
    "vllm": vllm.read,
    "csv": table.read,
}


def read_run(name: str, text: str, form: str, columns: Mapping[str, str], sink: Sink) -> Run | None:
    """Read a measured run; None where it cannot be used, with the reasons in the sink.

    `form` is a name of FORMATS or `auto`; `columns` names those of a CSV file.
    """
    source = Source(name, text.removeprefix("\ufeff"))
    found = FORMATS[_format(source.text) if form == "auto" else form](source, columns, sink)
    for warning in doubts(found, source) if found is not None else ():
        sink.add(warning)
    return found


def _format(text: str) -> str:
    if text.lstrip()[:1] not in ("{", "["):
        return "csv"
    return "llmservingsim" if "input_toks" in first_names(text) else "vllm"
