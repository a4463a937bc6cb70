"""What the store of a study keeps, who shares it, and what is told of one that is damaged."""

import os
import sqlite3
from pathlib import Path

import pytest

import tsdl
from tests.disturbed_studies import answer, points, undisturbed
from tests.test_studies import PARTS
from tsdl.studies import Answer, Course
from tsdl.studies.files import answer_json
from tsdl.studies.forecast import forecast
from tsdl.studies.pool import Pool
from tsdl.studies.store import Store

# -- what is kept ------------------------------------------------------------------------------


def test_what_is_known_is_not_run_again(tmp_path: Path) -> None:
    for name in ("s", "found"):
        with Store(tmp_path / "a.sqlite") as store:
            first = Course(made := points(name), store, Pool(1))
            first.run()
            again = Course(made, store, Pool(1))
            units = again.run()
        assert first.runs > 0
        assert (again.runs, again.reused) == (0, first.runs)
        assert answer_json(Answer(made, units, None)) == undisturbed(name)


def test_studies_share_runs_and_ask_them_more(tmp_path: Path) -> None:
    with Store(tmp_path / "a.sqlite") as store:
        Course(points(), store, Pool(1)).run()
        more = PARTS + "study s { scenario = one; vary qps in 1..7 req/s; table throughput }"
        course = Course(points(text=more), store, Pool(1))
        course.run()
        assert (course.runs, course.reused) == (1, 6)
        other = PARTS + "study s { scenario = one; vary qps in 1..7 req/s; table p90(tpot) }"
        course = Course(points(text=other), store, Pool(1))
        course.run()
        assert (course.runs, course.reused) == (7, 0)  # nobody had asked that yet
        course = Course(points(text=more), store, Pool(1))
        course.run()
        assert course.runs == 0


def test_a_change_that_matters_is_run_and_one_that_does_not_is_not(tmp_path: Path) -> None:
    text = PARTS + "study s { scenario = one; vary qps in 1..3 req/s; table throughput }"
    with Store(tmp_path / "a.sqlite") as store:
        Course(points(text=text), store, Pool(1)).run()
        for change, runs in ((("requests = 60", "requests = 60  # many"), 0), (("60", "61"), 3)):
            course = Course(points(text=text.replace(*change)), store, Pool(1))
            course.run()
            assert course.runs == runs


# -- what is told ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [b"not a store " * 50, b"", b"SQLite format 3\x00" + b"\xff" * 5000]
)
def test_a_file_that_is_no_store_is_told_and_left(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.sqlite"
    path.write_bytes(content)
    if not content:  # an empty file is a new database
        answer(store=path)
        return
    with pytest.raises(tsdl.TsdlError, match="E0701"):
        answer(store=path)
    assert path.read_bytes() == content


def test_another_version_and_another_program_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with Store(path):
        pass
    with sqlite3.connect(path) as base:
        base.execute("pragma user_version = 99")
    base.close()
    with pytest.raises(tsdl.TsdlError, match="another version"):
        Store(path)
    other = tmp_path / "b.sqlite"
    with sqlite3.connect(other) as base:
        base.execute("create table mine (x)")
    base.close()
    with pytest.raises(tsdl.TsdlError, match="no store"):
        Store(other)


def test_a_damaged_page_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    answer(store=path)
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + os.urandom(len(whole) - 4096))
    with pytest.raises(tsdl.TsdlError, match="E0701"):
        answer(store=path)


DAMAGES = {
    "other numbers": "update run set found = replace(found, '1', '2')",
    "no JSON": "update run set found = '['",
    "bytes": "update run set found = x'fffe'",
    "no UTF-8": "update run set found = cast(x'fffe' as text)",
    "texts for numbers": "update run set seconds = 'abc'",
    "other seconds": "update run set seconds = seconds + 1",
    "a column that is not there": "alter table run rename column found to foundd",
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_row_that_was_changed_is_told(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    text = PARTS + "study s { scenario = one; vary qps in 1..2 req/s; table throughput }"
    with Store(path) as store:
        Course(points(text=text), store, Pool(1)).run()
    with sqlite3.connect(path) as base:
        base.execute(DAMAGES[name])
    base.close()
    before = path.read_bytes()
    with Store(path) as store:
        with pytest.raises(tsdl.TsdlError, match=r"E0701.*is damaged"):
            Course(points(text=text), store, Pool(1)).run()
        with pytest.raises(tsdl.TsdlError, match=r"E0701.*is damaged"):
            forecast(points(text=text), store)
    assert path.read_bytes() == before


def test_a_row_of_another_run_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    text = PARTS + "study s { scenario = one; vary qps in 1..2 req/s; table throughput }"
    with Store(path) as store:
        Course(points(text=text), store, Pool(1)).run()
    with sqlite3.connect(path) as base:
        first, last = (plan for (plan,) in base.execute("select plan from run order by plan"))
        base.execute("delete from run where plan = ?", (last,))
        base.execute("update run set plan = ? where plan = ?", (last, first))
    base.close()
    with Store(path) as store, pytest.raises(tsdl.TsdlError, match=r"E0701.*is damaged"):
        Course(points(text=text), store, Pool(1)).run()


def test_a_header_that_is_no_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with Store(path):
        pass
    content = path.read_bytes()
    at = content.index(b"CREATE TABLE run")
    path.write_bytes(content[: at + 13] + b"\xff\xfe\xff" + content[at + 16 :])
    with pytest.raises(tsdl.TsdlError, match=r"E0701.*is damaged"):
        Store(path)


def test_a_full_disk_stops_the_study_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.sqlite"
    prepare = Store._prepare

    def small(store: Store) -> None:
        prepare(store)
        store._base.execute("pragma max_page_count = 12")  # as a disk of 48 kB

    monkeypatch.setattr(Store, "_prepare", small)
    with pytest.raises(tsdl.TsdlError, match=r"E0702.*database or disk is full"):
        answer(store=path)
    monkeypatch.undo()
    with Store(path) as store:
        course = Course(points(), store, Pool(1))
        units = course.run()
    assert course.reused > 0
    assert answer_json(Answer(course.points, units, None)) == undisturbed("s")


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(tsdl.TsdlError, match="E0702"):
        answer(store=tmp_path / "no" / "a.sqlite")
