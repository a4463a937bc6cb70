"""A part of a trace: what arrives from a time of the file on (SPEC.md, 8.9)."""

import json
from pathlib import Path

import pytest

import tsdl
from tests.test_trace_formats import AGENTIC
from tsdl.planworkload import Table
from tsdl.traces import Named, Recorded
from tsdl.traces.windows import since

FILE = """edition "2026"
attribute tenant: int
workload part {{ {fields} }}
scenario s {{ model = llama2_7b; cluster = single(A100_80G); workload = part }}
"""
ROWS = "arrived_at,num_prefill_tokens,num_decode_tokens,user,tier\n" + "".join(
    f"{50 + 10 * row},{100 + row},{row + 1},{'abc'[row % 3]},{row}\n" for row in range(10)
)
READ = 'trace = "rows.csv"; columns { tenant = "user"; priority = "tier" }; '


def plan_of(folder: Path, fields: str) -> tsdl.Plan:
    (folder / "rows.csv").write_text(ROWS)
    (folder / "it.tsim").write_text(FILE.format(fields=fields))
    return tsdl.compile(folder / "it.tsim")


def test_times_count_from_where_it_begins(tmp_path: Path) -> None:
    """Rows of 0 s to 90 s; of those from 35 s on the first three are within 31 s."""
    plan = plan_of(tmp_path, READ + "begin = 35 s; duration = 31 s")
    found = plan.run().requests
    assert found["arrived"].tolist() == [5.0, 15.0, 25.0]
    assert found["prompt"].tolist() == [104, 105, 106]
    assert found["priority"].tolist() == [4, 5, 6]
    assert found["tenant"].tolist() == [1, 2, 0]  # texts have the numbers that the file gives them
    assert len(plan.workload.table.prompt if plan.workload.table else ()) == 6


def test_it_begins_in_the_times_of_the_file(tmp_path: Path) -> None:
    found = plan_of(tmp_path, READ + "begin = 40 s; speed = 10").run().requests
    assert found["arrived"].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_the_beginning_is_that_without(tmp_path: Path) -> None:
    plans = [plan_of(tmp_path, READ + more) for more in ("", "begin = 0 s")]
    assert plans[0].hash == plans[1].hash


def test_sessions_are_whole() -> None:
    found = since(Recorded(AGENTIC, attributes=(Named((1, 2, 3, 3, 3)),)), 0.001)
    assert found.table == Table(
        (0.0, *(0.00405974 - 0.001,) * 3),
        AGENTIC.prompt[1:],
        AGENTIC.output[1:],
        turns=(1, 3),
        think=AGENTIC.think[1:],
    )
    assert found.attributes[0].values == (2, 3, 3, 3)


def test_what_prompts_begin_with_goes_along(tmp_path: Path) -> None:
    """Blocks are named row by row; of two that begin alike the first is left out."""
    rows = [
        {"timestamp": 1000 * at, "input_length": 1024, "output_length": 2, "hash_ids": names}
        for at, names in ((0, [1, 2]), (5, [1, 2]), (9, [3, 4]))
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = FILE.format(fields='trace = "rows.jsonl"; begin = 2 s').replace(
        "single(A100_80G)", "kept"
    )
    text += "cluster kept { worker gpu { hardware = A100_80G; kv = vllm_shared } }\n"
    (tmp_path / "it.tsim").write_text(text)
    table = tsdl.compile(tmp_path / "it.tsim").workload.table
    assert table is not None
    assert (table.arrived, table.content) == ((3.0, 7.0), ((1, 2), (3, 4)))


@pytest.mark.parametrize(
    ("fields", "code", "title"),
    [
        ("begin = 91 s", "E0503", "the trace of `part` ends before 91 s"),
        ("begin = -1 s", "E0503", "`begin` must be at least 0, and is -1 s"),
        ("begin = 9 tokens", "E0301", ""),
    ],
)
def test_what_is_no_part_of_it_is_told(
    tmp_path: Path, fields: str, code: str, title: str
) -> None:  # fmt: skip
    with pytest.raises(tsdl.TsdlError) as caught:
        plan_of(tmp_path, READ + fields)
    told = caught.value.diagnostics[0]
    assert told.code == code
    assert title in told.title
    assert told.span is not None


def test_without_a_trace_it_has_no_effect(tmp_path: Path) -> None:
    fields = "requests = 3; arrivals = burst(); prompt = constant(9 tokens); begin = 2 s; "
    plan = plan_of(
        tmp_path, fields + "output = constant(2 tokens); attributes { tenant = zipf(3) }"
    )
    assert [w.code for w in plan.warnings] == ["W0529"]
