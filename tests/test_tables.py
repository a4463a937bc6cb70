"""Measured tables: what is read of a CSV file, and what is said of one that is odd."""

import pytest

from tsdl.diagnostics import Sink
from tsdl.source import Source
from tsdl.tables import Query, read_table

QUERY = Query((("layer", "qkv"),), ("tokens",), (), (), "time_us", 1e-6)
TEXT = "layer,tokens,time_us\nqkv,1,10\nqkv,2,20\nout,1,5\n"


def read(text: str, query: Query = QUERY) -> tuple[dict[tuple[float, ...], float] | None, Sink]:
    sink = Sink()
    return read_table(Source("t.csv", text), query, sink), sink


def test_rows_are_chosen_and_times_are_seconds() -> None:
    values, sink = read(TEXT)
    assert values == pytest.approx({(1,): 10e-6, (2,): 20e-6})
    assert sink.found == []


def test_an_axis_of_which_one_point_is_wanted() -> None:
    query = Query((), (), (("tokens", 1),), (), "time_us", 1.0)
    values, sink = read("tokens,time_us\n1,10\n2,20\n", query)
    assert (values, sink.found) == ({(): 10.0}, [])


def test_rows_below_the_least_point_are_something_else() -> None:
    query = Query((), ("tokens",), (), (("tokens", 2),), "time_us", 1.0)
    assert read("tokens,time_us\n1,10\n2,20\n", query)[0] == {(2,): 20.0}


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("qkv,4,\nqkv,8,nan\nqkv,16,0\n", "rows without a time in `time_us`, passed over: 3"),
        ("qkv,1,30\nqkv,1,50\n", "points measured more than once, which have their median: 1"),
    ],
)
def test_what_is_odd_is_told_in_a_note(rows: str, told: str) -> None:
    values, sink = read(TEXT + rows)
    assert values is not None
    assert [d.code for d in sink.found] == ["N0607"]
    assert told in sink.found[0].title


def test_a_point_that_was_measured_more_than_once_is_the_median() -> None:
    values, _ = read(TEXT + "qkv,1,30\nqkv,1,500\n")
    assert values is not None
    assert values[1,] == pytest.approx(30e-6)


def test_holes_of_a_grid_are_told() -> None:
    query = Query((), ("a", "b"), (), (), "t", 1.0)
    values, sink = read("a,b,t\n1,1,1\n1,2,2\n2,1,3\n", query)
    assert values == {(1, 1): 1.0, (1, 2): 2.0, (2, 1): 3.0}
    assert "points of the 4 of its grid that were measured: 3" in sink.found[0].title


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        ("", "E0602", "no column `layer`"),
        ("layer,tokens,tokens,time_us\nqkv,1,1,1\n", "E0601", "several columns `tokens`"),
        ("layer,token,time_us\nqkv,1,1\n", "E0602", "no column `tokens`"),
        ("layer,tokens,time_us\nqkw,1,1\n", "E0608", "no row has `layer` = qkv"),
        ("layer,tokens,time_us\nqkv,1,nan\n", "E0608", "no row has a time"),
        ("layer,tokens,time_us\nqkv,one,1\n", "E0603", "`tokens` is 'one'"),
        ("layer,tokens,time_us\nqkv,1,-1\n", "E0603", "`time_us` is '-1'"),
        ("layer,tokens,time_us\nqkv,1,inf\n", "E0603", "`time_us` is 'inf'"),
        ("layer,tokens,time_us\nqkv,nan,1\n", "E0603", "`tokens` is 'nan'"),
        ("layer,tokens,time_us\nqkv\n", "E0603", "`tokens` is ''"),
        ("layer,tokens,time_us\nqkv,1,40,99\n", "E0603", "the row has 4 cells, the header 3"),
    ],
)
def test_what_cannot_be_used_is_said(text: str, code: str, told: str) -> None:
    values, sink = read(text)
    assert values is None
    assert sink.found[0].code == code
    assert told in sink.found[0].title


def test_a_misspelt_text_or_column_gets_a_proposal() -> None:
    assert read("layer,tokens,time_us\nqkw,1,1\n")[1].found[0].help == ("did you mean `qkw`?",)
    assert read("layer,token,time_us\nqkv,1,1\n")[1].found[0].help == ("did you mean `token`?",)


def test_a_point_that_is_not_there_is_told_with_those_that_are() -> None:
    query = Query((), ("tokens",), (("workers", 3.0),), (), "t", 1.0)
    _, sink = read("workers,tokens,t\n1,1,1\n2,1,1\n", query)
    assert sink.found[0].title == "no row has `workers` = 3"
    assert sink.found[0].label == "there are 1, 2"
