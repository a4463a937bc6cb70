"""Each format of traces: its sample in tests/traces, how it is told from others, what is wrong."""

import json
import random
from itertools import pairwise
from pathlib import Path

import pytest

import tsdl
from tests.conftest import ROOT
from tsdl.cli import main
from tsdl.diagnostics import Sink
from tsdl.diagnostics.text import render_all
from tsdl.measured import read_run
from tsdl.planworkload import Table
from tsdl.schema.scenarios import WORKLOAD
from tsdl.traces import FORMATS, Columns, Counter, Recorded, read_requests
from tsdl.types import Choice

HERE = ROOT / "tests" / "traces"
COLUMNS = Columns("arrived_at", "num_prefill_tokens", "num_decode_tokens")
AGENTIC = Table(
    (0.0, 0.001, 0.00405974, 0.00405974, 0.00405974),
    (100, 200, 1472, 1582, 1734),
    (50, 100, 133, 125, 77),
    turns=(1, 1, 3),
    think=(0.0, 0.0, 0.127348767, 0.197295027, 0.0),
)
SAMPLES = {
    "azure_2024.csv": ("azure", Table((0.0, 1.5, 2.99007), (2162, 2399, 76), (5, 6, 15))),
    "azure_2025.csv": ("azure", Table((0.0, 0.5), (1170, 220), (141, 12))),
    "burstgpt.csv": ("burstgpt", Table((0.0, 40.0, 113.0), (472, 1087, 417), (18, 230, 276))),
    "burstgpt_2.csv": ("burstgpt", Table((0.0, 51.0), (906, 36), (446, 29))),
    "splitwise.csv": ("splitwise", Table((0.0, 0.75), (2000, 140), (13, 55))),
    "vidur.csv": ("vidur", Table((0.0, 4.314579), (374, 396), (44, 109))),
    "servegen.csv": ("servegen", Table((0.0, 0.7), (10, 15), (20, 25))),
    "llmservingsim_agentic.jsonl": ("llmservingsim", AGENTIC),
    "vllm.json": ("vllm", Table((0.0, 0.25), (64, 120), (5, 8))),
    "lengths.json": ("sharegpt", Table((0.0, 1.5), (12, 30), (7, 1))),
}


def read(
    text: str, form: str = "auto", *, arrivals: bool = True, count: Counter | None = None
) -> tuple[Table | None, Sink]:
    sink = Sink()
    found = read_requests("t", text, form, COLUMNS, sink, arrivals=arrivals, count=count)
    return found.table if found else None, sink


def sample(name: str) -> str:
    return (HERE / name).read_text("utf-8")


def words(text: str) -> int:
    return len(text.split())


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("named", [True, False])
def test_sample_is_read(name: str, named: bool) -> None:
    form, wanted = SAMPLES[name]
    found, sink = read(sample(name), form if named else "auto")
    assert found is not None, render_all(sink.found)
    assert found.arrived == pytest.approx(wanted.arrived, abs=1e-6)
    assert (found.prompt, found.output, found.turns) == (wanted.prompt, wanted.output, wanted.turns)
    assert found.think == pytest.approx(wanted.think)


def test_every_format_has_a_sample() -> None:
    assert {form for form, _ in SAMPLES.values()} == set(FORMATS) - {"mooncake"}


def test_a_program_may_name_every_format() -> None:
    form = WORKLOAD.fields["format"].type
    assert isinstance(form, Choice)
    assert set(form.names) == {"auto", "csv", *FORMATS}


@pytest.mark.parametrize(
    ("name", "form", "pairs"),
    [
        ("servegen_offline.jsonl", "servegen", ((61, 54), (2370, 2031))),
        ("pairs.json", "auto", ((12, 30), (7, 1))),
        ("llmservingsim_agentic.jsonl", "auto",
         ((1472, 1582, 1734, 100, 200), (133, 125, 77, 50, 100))),
    ],
)  # fmt: skip
def test_lengths_alone(name: str, form: str, pairs: tuple[tuple[int, ...], ...]) -> None:
    found, sink = read(sample(name), form, arrivals=False)
    assert found is not None, render_all(sink.found)
    assert {*zip(found.prompt, found.output, strict=True)} == {*zip(*pairs, strict=True)}
    assert (found.arrived, found.turns) == ((), ())


def test_conversations_are_counted_by_a_tokenizer() -> None:
    found, sink = read(sample("sharegpt.json"), arrivals=False, count=words)
    assert found == Table((), (5, 2), (6, 1))
    assert [d.code for d in sink.found] == ["W0603"]
    assert "1 of 3 rows" in sink.found[0].title
    found, sink = read(sample("sharegpt.json"), arrivals=False)
    assert found is None
    assert "need a tokenizer" in sink.found[0].title


def test_a_request_of_vllm_that_failed_midway_is_left_out() -> None:
    """Its tokens are counted in the file; a measured run of it does without it, too."""
    run = {
        "input_lens": [5, 6], "output_lens": [3, 4], "start_times": [0.0, 1.0],
        "errors": ["", "connection lost"], "ttfts": [0.1, 0.1], "itls": [[0.1] * 2, [0.1] * 3],
    }  # fmt: skip
    sink = Sink()
    found = read_requests("v.json", json.dumps(run), "auto", COLUMNS, sink, arrivals=True)
    assert found == Recorded(Table((0.0,), (5,), (3,)))
    assert sink.found[0].title.startswith("1 of 2 rows are left out")
    measured = read_run("v.json", json.dumps(run), "auto", {}, Sink())
    assert measured is not None
    assert (measured.left_out, [r.prompt for r in measured.requests]) == (1, [5])


@pytest.mark.parametrize("name", ["burstgpt.csv", "vllm.json"])
def test_failed_requests_are_left_out_and_told(name: str) -> None:
    _, sink = read(sample(name))
    assert [d.code for d in sink.found] == ["W0603"]
    assert "they failed" in sink.found[0].title


def test_columns_that_a_program_names_come_first() -> None:
    sink = Sink()
    columns = Columns("timestamp", "input_tokens", "output_tokens", per_second=1e3)
    found = read_requests("t", sample("servegen.csv"), "auto", columns, sink, arrivals=True)
    assert found is not None
    assert found.table.arrived == pytest.approx((0.0, 0.0007))


CALL = '{"session_id": "s", "arrival_time_ns": 5, "sub_requests": %s}'
AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
MISTAKES = [
    ("azure", AZURE + "2024-13-10 00:00:00,1,1", "E0603", "`TIMESTAMP`"),
    ("azure", AZURE + "2024-05-10 00:00:00.1x,1,1", "E0603", "is written"),
    ("burstgpt", "Timestamp,Request tokens,Response tokens\n5,0,3", "E0603", "from 1"),
    ("burstgpt", "Timestamp,Request tokens,Response tokens\n5,3,0", "E0601", "left out"),
    ("burstgpt", "Timestamp,Request tokens,Response tokens\n5,3,-1", "E0603", "from 1"),
    ("burstgpt", "Timestamp,Request tokens\n5,3", "E0602", "no column `Response tokens`"),
    ("splitwise", "arrival_timestamp,prompt_size,token_size\n2,1,1\n1,1,1",
     "E0603", "back in time"),
    ("servegen", "request_id,timestamp,input_tokens,output_tokens\n0,nan,1,1", "E0603", "finite"),
    ("servegen", '{"input_length": 5, "output_length": 5}', "E0602", "no column `timestamp`"),
    ("vidur", "arrived_at,num_prefill_tokens,num_decode_tokens\n0,1e99,1", "E0603", "from 1"),
    ("llmservingsim", CALL % "[]", "E0603", "is a list of 1 to 1000 calls"),
    ("llmservingsim", CALL % "3", "E0603", "is a list of 1 to 1000 calls"),
    ("llmservingsim", CALL % "[3]", "E0603", "call 0 (from 0) is no JSON object"),
    ("llmservingsim", CALL % '[{"input_toks": 5}]', "E0603", "call 0 (from 0): `output_toks`"),
    ("llmservingsim", CALL % '[{"input_toks": 5, "output_toks": 1, "tool_duration_ns": -1}]',
     "E0603", "below zero"),
    ("llmservingsim", CALL % '[{"input_toks": 5, "output_toks": 1, "tool_duration_ns": NaN}]',
     "E0603", "finite"),
    ("vllm", "[1]", "E0601", "is one JSON object"),
    ("vllm", "{", "E0601", "not JSON"),
    ("vllm", "{} {}", "E0601", "more than one JSON document"),
    ("vllm", '{"input_lens": [1], "output_lens": [1], "start_times": []}',
     "E0602", "`start_times`"),
    ("vllm", '{"input_lens": [1]}', "E0602", "`output_lens`"),
    ("vllm", '{"duration": 3}', "E0602", "`input_lens`"),
    ("vllm", '{"input_lens": [1, 2], "output_lens": [1], "start_times": [0]}',
     "E0601", "equally long"),
    ("vllm", '{"input_lens": [1], "output_lens": ["x"], "start_times": [0]}', "E0603", "request 0"),
    ("vllm", "null", "E0601", "one JSON object"),
    ("vllm", '{"input_lens": [1], "output_lens": [1], "start_times": [0], "errors": ["", ""]}',
     "E0601", "`errors` 2"),
    ("sharegpt", "null", "E0601", "no JSON list"),
    ("sharegpt", "{}", "E0601", "no JSON list"),
    ("sharegpt", "[]", "E0601", "no JSON list"),
    ("sharegpt", "[3]", "E0603", "request 0 (from 0): it is a JSON object"),
    ("sharegpt", "[[1, 2], [1, 0.5]]", "E0603", "request 1 (from 0)"),
    ("sharegpt", '[{"conversations": [3]}]', "E0603", "a list of JSON objects"),
    ("sharegpt", sample("sharegpt.json").replace('"are you"', "3"), "E0603", "`value` is a text"),
    ("sharegpt", "[" * 100_000, "E0601", "not JSON"),
]  # fmt: skip


@pytest.mark.parametrize(("form", "text", "code", "title"), MISTAKES)
def test_mistakes_are_told(form: str, text: str, code: str, title: str) -> None:
    arrivals = form != "sharegpt"
    found, sink = read(text, form, arrivals=arrivals, count=words)
    assert found is None
    assert [d.code for d in sink.found] == [code], render_all(sink.found)
    assert title in sink.found[0].title


def test_a_bad_session_is_told_with_its_line() -> None:
    good = CALL % '[{"input_toks": 5, "output_toks": 1}]'
    _, sink = read(f"{good}\n{CALL % '[{}]'}\n")
    (found,) = sink.found
    assert found.span is not None
    assert found.span.source.position(found.span.start)[0] == 2


JUNK = [
    "NaN", "-1", "1e999", "null", "[]", "{}", "{", "]", ",", "\n", '"', "9" * 400, "\0", "+00:00",
    "\ud7ff", "0", "true", '"x"', "conversations", "sub_requests",
]  # fmt: skip


@pytest.mark.parametrize("name", sorted({*SAMPLES, "sharegpt.json", "servegen_offline.jsonl"}))
def test_no_file_raises(name: str) -> None:
    draw = random.Random(3)
    for _ in range(60):
        text = sample(name)
        for _ in range(draw.randint(1, 3)):
            at = draw.randrange(len(text) + 1)
            text = text[:at] + draw.choice(JUNK) + text[at + draw.choice((0, 0, 3, 30)) :]
        for form in ("auto", draw.choice(list(FORMATS))):
            found, sink = read(text, form, arrivals=draw.random() < 0.7, count=words)
            assert (found is None) == sink.has_errors
            assert {d.code for d in sink.found} <= {"E0601", "E0602", "E0603", "W0603"}
            render_all(sink.found)


PROGRAM = """
workload sessions {{ trace = "{file}"; {more} }}
cluster shared {{ worker gpu {{ hardware = A100_80G; kv = vllm_shared }} }}
scenario s {{ model = llama2_7b; cluster = shared; policy = vllm; workload = sessions }}
"""


def ran(more: str, engine: str = "fast") -> dict[str, list[float]]:
    text = PROGRAM.format(file=HERE / "llmservingsim_agentic.jsonl", more=more)
    found = tsdl.compile(text).run(engine=engine).requests
    return {name: found[name].tolist() for name in (
        "session", "turn", "prompt", "arrived", "last_token", "cached",
    )}  # fmt: skip


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_a_call_waits_for_the_one_before_it_and_for_the_tool(engine: str) -> None:
    rows = ran("", engine)
    calls = [row for row in range(5) if rows["session"][row] == 2]
    assert [rows["prompt"][row] for row in calls] == [1472, 1582, 1734]
    assert [rows["turn"][row] for row in calls] == [0, 1, 2]
    for (before, after), tool in zip(pairwise(calls), (0.127348767, 0.197295027), strict=True):
        wanted = rows["last_token"][before] + tool
        assert rows["arrived"][after] == pytest.approx(wanted, abs=1e-9)
    # A call begins with what was said before, as far as it is that long: all but its last token.
    assert [rows["cached"][row] for row in calls] == [0, 1568, 1696]


@pytest.mark.parametrize(("first", "count"), [(2, 2), (3, 5)])
def test_the_first_requests_of_a_file_of_sessions_are_sessions(first: int, count: int) -> None:
    assert len(ran(f"requests = {first}")["session"]) == count


COUNTED = """
workload chat {{
  lengths = "{file}"; tokenizer = "{tokenizer}"; arrivals = poisson(8 req/s); requests = 50
}}
scenario s {{ model = llama2_7b; cluster = single(A100_80G); workload = chat }}
"""


def test_a_tokenizer_of_hugging_face_counts() -> None:
    pytest.importorskip("tokenizers", reason="needs the extra `tokenizers`")
    text = COUNTED.format(file=HERE / "sharegpt.json", tokenizer=HERE / "tokenizer.json")
    table = tsdl.compile(text).workload.table
    assert table is not None
    assert (table.prompt, table.output) == ((5, 2), (6, 1))


def test_what_is_no_tokenizer_is_told(tmp_path: Path) -> None:
    own = tmp_path / "tokenizer.json"
    own.write_text("{}", "utf-8")
    found = tsdl.check(COUNTED.format(file=HERE / "sharegpt.json", tokenizer=own))
    assert [d.code for d in found] == ["E0605"]


def test_a_result_as_vllm_writes_it_is_replayed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "chat.tsim"
    text = "scenario s { model = llama2_7b; cluster = single(A100_80G); workload = %s }"
    program.write_text(text % "sharegpt(rate = 4 req/s, requests = 40)", "utf-8")
    assert main(["run", str(program), "--format", "vllm"]) == 0
    (tmp_path / "run.json").write_text(capsys.readouterr().out, "utf-8")
    program.write_text('workload again { trace = "run.json" }\n' + text % "again", "utf-8")
    assert main(["run", str(program), "--format", "vllm"]) == 0
    again = json.loads(capsys.readouterr().out)
    first = json.loads((tmp_path / "run.json").read_text("utf-8"))
    for name in ("input_lens", "output_lens"):
        assert again[name] == first[name]
    start = first["start_times"][0]
    assert again["start_times"] == pytest.approx(
        [t - start for t in first["start_times"]], abs=1e-6
    )


@pytest.mark.parametrize(
    ("header", "later"), [("arrived", "0.5"), ("arrived_s", "0.5"), ("arrived_ms", "500")]
)
def test_a_measured_run_is_replayed_as_it_is(header: str, later: str) -> None:
    text = f"{header},prompt,output,ttft\n{later},7,8,0.1\n0,5,6,0.1\n1,9,0,\n"
    found, sink = read(text)
    assert found == Table((0.0, 0.5), (5, 7), (6, 8))
    assert [warning.code for warning in sink.found] == ["W0603"]


@pytest.mark.parametrize(
    ("told", "load"),
    [
        ({"request_rate": 4.0}, "arrivals = poisson(4 req/s)"),
        ({"request_rate": "inf", "max_concurrency": 16}, "concurrency = 16"),
        ({}, "arrivals = poisson(RATE req/s)"),
    ],
)
def test_a_result_without_arrivals_has_lengths(told: dict[str, object], load: str) -> None:
    text = json.dumps({"input_lens": [5], "output_lens": [6]} | told)
    found, sink = read(text)
    (error,) = sink.found
    assert found is None
    assert error.code == "E0602"
    assert error.title.startswith("this result has no `start_times`")
    assert error.help == (f'take its lengths alone, under such a load: `lengths = "t"; {load}`',)
    assert read(text, arrivals=False)[0] == Table((), (5,), (6,))
