"""Files of requests: what is read, and what is said of a bad row."""

from pathlib import Path

import pytest

import tsdl
from tsdl.diagnostics import Sink
from tsdl.planworkload import Table
from tsdl.traces import Columns, read_requests

COLUMNS = Columns("arrived_at", "num_prefill_tokens", "num_decode_tokens")


def read(text: str, form: str = "auto", *, arrivals: bool = True) -> tuple[Table | None, Sink]:
    sink = Sink()
    found = read_requests("t.csv", text, form, COLUMNS, sink, arrivals=arrivals)
    return found.table if found else None, sink


def test_named_columns_in_any_order() -> None:
    table, _ = read("x,num_decode_tokens,arrived_at,num_prefill_tokens\n9,5,1.5,7\n9,6,2.0,8\n")
    assert table == Table((0.0, 0.5), (7, 8), (5, 6))


def test_azure_is_known_by_its_header() -> None:
    table, _ = read(
        "TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
        "2023-11-16 23:59:59.9799600,4808,10\r\n2023-11-17 00:00:00.0319600,110,27"
    )
    assert table is not None
    assert table.prompt == (4808, 110)
    assert table.arrived[1] == pytest.approx(0.052, abs=1e-5)


def test_mooncake_is_known_by_its_lines() -> None:
    table, _ = read(
        '{"timestamp": 0, "input_length": 6, "output_length": 5, "hash_ids": [1]}\n'
        '{"timestamp": 3000, "input_length": 7, "output_length": 4, "hash_ids": []}\n'
    )
    assert table == Table((0.0, 3.0), (6, 7), (5, 4))


def test_llmservingsim_is_known_by_its_lines() -> None:
    measured, _ = read(
        '{"request_id": "a", "input_toks": 6, "output_toks": 5, "arrival_time": 1787267980.25}\n'
        '{"request_id": "b", "input_toks": 7, "output_toks": 4, "arrival_time": 1787267983.25}\n'
    )
    offered, _ = read(
        '{"input_toks": 6, "output_toks": 5, "arrival_time_ns": 500, "input_tok_ids": [1, 2]}\n'
        '{"input_toks": 7, "output_toks": 4, "arrival_time_ns": 3000000500, "input_tok_ids": []}\n'
    )
    assert measured == offered == Table((0.0, 3.0), (6, 7), (5, 4))


@pytest.mark.parametrize(
    ("row", "names"),
    [
        ('{"timestamp": 0, "input_length": 1025, "output_length": 5, "hash_ids": %s}', 3),
        ('{"arrival_time_ns": 0, "input_toks": 20, "output_toks": 5, "input_tok_ids": %s}', 20),
    ],
)
def test_a_prompt_has_no_more_names_than_tokens(row: str, names: int) -> None:
    for known in (0, 1, names):
        assert read(row % list(range(known)))[0] is not None
    table, sink = read(row % list(range(names + 1)))
    assert table is None
    assert sink.found[0].code == "E0603"
    assert f": {names + 1} names, of " in sink.found[0].title


def test_a_format_that_is_named_is_not_guessed() -> None:
    line = '{"input_toks": 6, "output_toks": 5, "arrival_time_ns": 500}'
    assert read(line, "llmservingsim")[0] == Table((0.0,), (6,), (5,))
    table, sink = read(line, "mooncake")
    assert table is None
    assert "no column `timestamp`" in sink.found[0].title


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("x,1,1", "not a number"),
        ("nan,1,1", "finite"),
        ("1.7e308,1,1", "finite"),
        ("5,0,1", "from 1"),
        ("5,-3,1", "from 1"),
        ("5,1.5,1", "whole"),
        ("5,,1", "not a number"),
        ("5,nan,1", "from 1"),
        ("5,1e300,1", "from 1"),
        ("0.5,1,1", "back in time"),
        ("5", "not a number"),
    ],
)
def test_a_bad_row_is_told_with_its_line(row: str, reason: str) -> None:
    header = "arrived_at,num_prefill_tokens,num_decode_tokens"
    table, sink = read(f"{header}\n1,2,3\n{row}\n9,9,9\n")
    assert table is None
    (found,) = sink.found
    assert found.code == "E0603"
    assert reason in found.title
    assert found.span is not None
    assert found.span.source.position(found.span.start)[0] == 3


HEADER = "arrived_at,num_prefill_tokens,num_decode_tokens\n"


def test_rows_of_empty_cells_are_left_out_and_told() -> None:
    table, sink = read(f"{HEADER}0,10,10\n,,\n1,10,10\n,,\n\n")
    assert table == Table((0.0, 1.0), (10, 10), (10, 10))
    (found,) = sink.found
    assert (found.code, found.title) == (
        "W0603",
        "2 of 4 rows are left out: their cells are empty",
    )
    table, sink = read(f"{HEADER},,\n")
    assert table is None
    (found,) = sink.found
    assert found.title == (
        "the file has no requests but 1 that are left out: their cells are empty"
    )


def test_blank_lines_are_no_rows() -> None:
    assert read(f"\n\n,,\n{HEADER}0,10,10\n\n\n1,10,10\n\n")[1].found == []


def test_rows_in_another_order_are_told_once() -> None:
    """Logs are often in order of their ends: no row is wrong."""
    rows = "".join(f"{time},10,10\n" for time in [100, *range(50)])
    table, sink = read(HEADER + rows)
    assert table is None
    (found,) = sink.found
    assert found.code == "E0603"
    assert found.title == "`arrived_at` goes back in time, here and in 49 more rows"
    assert found.help == ("sort the rows by `arrived_at`",)
    assert found.span is not None
    assert found.span.source.position(found.span.start)[0] == 3


def test_rows_in_another_order_do_not_hide_those_that_are_wrong() -> None:
    rows = "".join(f"{time},10,10\n" for time in [100, *range(50)])
    _, sink = read(f"{HEADER}{rows}200,x,10\n")
    assert ["back in time" in found.title for found in sink.found] == [False, True]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"timestamp": 1, "input_le', "a text is never closed (column 18)"),
        ('{"timestamp": 1, "a\tb": 1}', "a control character stands in a text (column 20)"),
        ('{"timestamp": 1', "Expecting ',' delimiter (column 16)"),
        ("9" * 5000, "a number of too many digits"),
    ],
)
def test_a_line_that_is_no_json_is_told_with_its_place(line: str, reason: str) -> None:
    whole = '{"timestamp": 0, "input_length": 6, "output_length": 5}'
    _, sink = read(f"{whole}\n{line}\n")
    assert [found.title for found in sink.found] == [f"this is not JSON: {reason}"]


def test_many_bad_rows_are_told_ten_times() -> None:
    _, sink = read("arrived_at,num_prefill_tokens,num_decode_tokens\n" + "x,1,1\n" * 1000)
    assert len(sink.found) <= 10


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "E0601"),
        ("a,b\n1,2\n", "E0602"),
        ("arrived_at,num_prefill_tokens,num_decode_tokens\n", "E0601"),
        ('{"timestamp": 0', "E0603"),
        ("{1", "E0603"),
        ('{"when": 0}', "E0602"),
        ('{"timestamp": 0, "input_length": 1, "output_length": 1}\n{"timestamp": 1}', "E0603"),
        ('{"timestamp": 0, "input_length": 1, "output_length": 1}\n[1]', "E0603"),
    ],
)
def test_what_is_no_table(text: str, code: str) -> None:
    table, sink = read(text)
    assert table is None
    assert {d.code for d in sink.found} == {code}


def test_lengths_alone_need_no_arrivals() -> None:
    table, _ = read("num_prefill_tokens,num_decode_tokens\n3,4\n", arrivals=False)
    assert table == Table((), (3,), (4,))


# -- columns that a program names --------------------------------------------------------------

OWN = 'columns { arrived = "ts"; prompt = "in"; output = "out" }'


def of_program(text: str, columns: str, tmp_path: Path, *, suffix: str = "csv") -> tsdl.Plan:
    path = tmp_path / f"own.{suffix}"
    path.write_text(text, "utf-8")
    return tsdl.compile(
        f'workload w {{ trace = "{path}"; {columns} }}\n'
        "scenario s { model = llama3_1_8b; cluster = single(A100_80G); workload = w }"
    )


def prompts(plan: tsdl.Plan) -> tuple[int, ...]:
    assert plan.workload.table is not None
    return plan.workload.table.prompt


def test_a_column_that_is_named_wrongly_is_not_that_of_a_known_format(tmp_path: Path) -> None:
    text = "ts,in,out,arrived_at,num_prefill_tokens,num_decode_tokens\n0,10,10,0,1000,100\n"
    assert prompts(of_program(text, OWN, tmp_path)) == (10,)
    assert prompts(of_program(text, "", tmp_path)) == (1000,)
    with pytest.raises(tsdl.TsdlError) as caught:
        of_program(text, OWN.replace('"in"', '"inn"'), tmp_path)
    told = str(caught.value)
    assert "error[E0602]: the file has no column `inn`" in told
    assert '"inn"' in told[told.index(":::") : told.index("named here")]


def test_objects_may_have_members_of_their_own_names(tmp_path: Path) -> None:
    text = '{"ts": 500, "in": 10, "out": 5}\n{"ts": 1500, "in": 20, "out": 5}\n'
    plan = of_program(text, OWN.replace("}", "; unit = 1 ms }"), tmp_path, suffix="jsonl")
    assert plan.workload.table == Table((0.0, 1.0), (10, 20), (5, 5))
    with pytest.raises(tsdl.TsdlError, match=r'name its columns: `columns { arrived = "ts"'):
        of_program(text, OWN.replace('"ts"', '"tss"'), tmp_path, suffix="jsonl")


def test_columns_are_renamed_in_a_format_and_read_as_it_does(tmp_path: Path) -> None:
    text = "ts,in,out\n2023-11-16 23:59:59,10,5\n2023-11-17 00:00:00.5,20,6\n"
    plan = of_program(text, f"format = azure; {OWN}", tmp_path)
    assert plan.workload.table == Table((0.0, 1.5), (10, 20), (5, 6))
    named = '{"at": 0, "input_length": 6, "output_length": 5, "hash_ids": [1]}\n'
    mooncake = 'format = mooncake; columns { arrived = "at" }'
    assert prompts(of_program(named, mooncake, tmp_path, suffix="jsonl")) == (6,)


def test_a_format_with_names_of_its_own_takes_no_others(tmp_path: Path) -> None:
    """And a unit alone says nothing of which format it is."""
    talks = '[{"prompt_len": 10, "output_len": 5, "start_time": 0}]'
    with pytest.raises(tsdl.TsdlError, match=r"E0602.*has names of its own"):
        of_program(talks, OWN, tmp_path, suffix="json")
    measured = "arrived,prompt,output\n0,10,5\n1,20,6\n"
    assert prompts(of_program(measured, "columns { unit = 1 s }", tmp_path)) == (10, 20)
    with pytest.raises(tsdl.TsdlError, match=r'arrived = "when"; prompt = "prompt"; output = "out'):
        of_program(measured.replace("arrived", "when"), 'columns { arrived = "when" }', tmp_path)
