"""What is fuzzed: the readers of what others write. Each may refuse a text, in words, and no more.

A target takes a text and returns where it was read, or refused with diagnostics; whatever else is
raised is a bug.
"""

import json
import re
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import tsdl
from tests.checked_texts import examine
from tests.good_programs import PIECES
from tsdl.diagnostics import Severity, Sink
from tsdl.diagnostics.text import render_all
from tsdl.errors import TsdlError
from tsdl.imports import FORMATS
from tsdl.measured import FORMATS as MEASURED
from tsdl.measured import read_run
from tsdl.planreading import read_plan
from tsdl.reports import charts_of, read
from tsdl.reports.page import page
from tsdl.runtime import files
from tsdl.runtime.limits import Limits, used
from tsdl.runtime.run import run
from tsdl.session import Session
from tsdl.source import Source
from tsdl.tables import Query, read_table
from tsdl.traces import FORMATS as TRACES
from tsdl.traces import Columns, read_requests

HERE = Path(__file__).resolve().parents[1]
MOMENT, MEMORY = 0.05, 200e6  # seconds and bytes of a run
DIVIDER = "\n%%%%\n"  # between the files of one input
_COLUMNS = Columns("arrived", "prompt", "output")
_QUERY = Query((("kernel", "gemm"),), ("tokens",), (), (("tokens", 1.0),), "time", 1e-6)
_STUDY = """
study load {
  scenario = small; vary n in [2, 3]; table p99(ttft), throughput
  plot lines(throughput, x = n) }
"""
_PROGRAM = """
param n: int = 3
scenario small {
  model = llama2_7b; cluster = single(A100_80G); workload = sharegpt(requests = n)
  slo = interactive; expect p99(ttft) < 2 s
}
"""


def program(text: str) -> None:
    """Check a program, every stage; a plan of each scenario; and run each for a moment."""
    found, plans = examine(text)
    if any(diagnostic.severity is Severity.ERROR for diagnostic in found):
        return
    for made in plans:
        try:
            run(made, limits=Limits(MOMENT, used() + MEMORY))
        except TsdlError as error:
            str(error)


def plan(text: str) -> None:
    """Read a plan from elsewhere, and write it again."""
    try:
        found = read_plan(text)
    except ValueError:
        return
    assert read_plan(found.to_json()).hash == found.hash


def trace(text: str) -> None:
    """Read a file of requests in all formats."""
    for form in ("auto", "csv", *TRACES):
        for arrivals in (True, False):
            sink = Sink()
            found = read_requests("a file", text, form, _COLUMNS, sink, arrivals=arrivals)
            assert (found is None) == sink.has_errors
            render_all(sink.sorted())


def measured(text: str) -> None:
    """Read a measured run in all formats."""
    for form in ("auto", *MEASURED):
        sink = Sink()
        found = read_run("a file", text, form, {}, sink)
        assert (found is None) == sink.has_errors
        render_all(sink.sorted())


def table(text: str) -> None:
    """Read a file of measured times."""
    sink = Sink()
    read_table(Source("a file", text), _QUERY, sink)
    render_all(sink.sorted())


def imported(form: str, text: str) -> None:
    """Read the configuration of another simulator or model; what comes of it is a program."""
    names = {"hf": "config.json"}
    given = [
        (names.get(form, f"given{number}.yaml"), part)
        for number, part in enumerate(text.split(DIVIDER))
    ]
    sink = Sink()
    found = FORMATS[form](given, [], sink)
    assert (found is None) == sink.has_errors
    render_all(sink.sorted())
    if found is not None:
        Session("made.tsim", found).compile()


@cache
def results() -> dict[str, str]:
    """Return the files of a run and of a study, as `run --out` writes them."""
    made = {}
    with tempfile.TemporaryDirectory() as folder:
        result = tsdl.compile(_PROGRAM).run()
        files.write(result, Path(folder))
        made = {path.name: path.read_text("utf-8") for path in Path(folder).iterdir()}
    from tsdl.studies.files import answer_json

    return made | {"study.json": answer_json(tsdl.study(_PROGRAM + _STUDY, "load", jobs=1))}


def report(text: str) -> None:
    """Make the page of a folder, one file of which is the text: its first line names it."""
    name, _, content = text.partition("\n")
    known = results()
    if name not in known:
        return
    wanted = {"study.json", "plan.json"} if name == "study.json" else known.keys() - {"study.json"}
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as here:
        for file in wanted:
            (Path(here) / file).write_text(known[file], "utf-8")
        (Path(here) / name).write_text(content, "utf-8", errors="replace", newline="")
        try:
            found = read([here])
            charts_of(found)
            shown = page(found, lambda _plan: "", "0")
        except (TsdlError, ValueError) as error:
            str(error)
            return
    assert "<img src=x" not in shown


TARGETS: dict[str, Callable[[str], None]] = {
    "program": program,
    "plan": plan,
    "trace": trace,
    "measured": measured,
    "table": table,
    "tokensim": lambda text: imported("tokensim", text),
    "llm-inference-simulator": lambda text: imported("llm-inference-simulator", text),
    "hf": lambda text: imported("hf", text),
    "report": report,
}

_JSON = r"""null|true|-1|0|1e999|NaN|1.5|""|"x"|"NaN"|[]|{}|[[]]|[null]|{"a":1}
99999999999999999999
"\ud800"|"</script>"|"<img src=x onerror=alert(1)>"|-0.0|1e308|1e-320
:|,|[|]|{|}|"0"|"1e5"|'|- |~"""
_CELLS = r"""|0|-1|1.5|nan|inf|-inf|1e999|1e308|x|"|,|;|0x10|1_000|99999999999999999999
2024-13-45|٣"""
WORDS: dict[str, Sequence[str] | None] = {
    "program": None,
    "trace": re.split(r"[|\n]", _JSON + _CELLS),
    "measured": re.split(r"[|\n]", _JSON + _CELLS),
    "table": re.split(r"[|\n]", _CELLS),
    **dict.fromkeys(
        ("plan", "tokensim", "llm-inference-simulator", "hf", "report"), re.split(r"[|\n]", _JSON)
    ),
}


def seeds(name: str) -> list[str]:
    """Return good inputs of a target, to begin with."""
    if name == "program":  # the short ones that have everything: each input is run, too
        return [text for piece, text in PIECES.items() if piece.startswith("own-")]
    if name == "plan":
        return [tsdl.compile(_PROGRAM).to_json()]
    if name == "report":
        return [f"{file}\n{text}" for file, text in results().items() if file != "records.csv"]
    if name in FORMATS:
        folders = [path for path in (HERE / "imports" / name).iterdir() if path.is_dir()]
        return [
            DIVIDER.join(
                f.read_text("utf-8") for f in sorted(folder.iterdir()) if f.name != "flags.txt"
            )
            for folder in sorted(folders)
        ]
    if name == "table":
        return ["kernel,tokens,time\ngemm,1,2\ngemm,2,3\ngemm,4,5\n,8,9\n"]
    csv = "arrived,prompt,output,ttft,e2e\n0,5,6,0.1,0.2\n1.5,7,8,,3\n"
    azure = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,4,5\n"
    lines = [
        {"timestamp": 0, "input_length": 600, "output_length": 5, "hash_ids": [1, 2]},
        {"arrival_time": 1.5, "input_toks": 6, "output_toks": 5, "queued_ts": 1.5,
         "first_token_ts": 2.0, "last_token_ts": 3.0},
        {"arrival_time_ns": 15, "input_toks": 40, "output_toks": 5, "input_tok_ids": [7] * 40},
    ]  # fmt: skip
    vllm = {
        "input_lens": [3, 4],
        "output_lens": [2, 3],
        "ttfts": [0.1, 0.2],
        "itls": [[0.1], [0.1, 0.2]],
        "errors": ["", ""],
        "start_times": [0.0, 1.0],
        "duration": 3.0,
        "date": "x",
    }
    return [
        csv,
        azure,
        *(f"{json.dumps(line)}\n{json.dumps(line)}\n" for line in lines),
        json.dumps(vllm),
    ]
