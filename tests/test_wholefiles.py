"""Files that are written whole or not at all: what was there stays, or has gone altogether."""

import errno
import os
import stat
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from tsdl.wholefiles import made, put_text, put_together, put_whole, see_made, text_put


def test_a_file_is_replaced_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    put_text(path, "one\r\n")
    assert path.read_bytes() == b"one\r\n"
    path.chmod(0o640)
    put_text(path, "zwei\n")
    assert path.read_bytes() == b"zwei\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("ends_with", [OSError("full"), KeyboardInterrupt()])
def test_what_is_not_done_leaves_what_was_there(ends_with: BaseException, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    put_text(path, "old")

    def put(place: Path) -> None:
        place.write_text("new, and not all of it")
        raise ends_with

    with pytest.raises(type(ends_with)):
        put_whole(path, put)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


def test_folders_of_what_is_not_written_are_not_left_behind(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), made(tmp_path / "a" / "b"):
        raise KeyboardInterrupt
    see_made(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a").mkdir()
    with suppress(KeyboardInterrupt), made(tmp_path / "a" / "b"):
        put_text(tmp_path / "a" / "b" / "c.txt", "of somebody else")
        raise KeyboardInterrupt
    assert (tmp_path / "a" / "b" / "c.txt").exists()
    with made(tmp_path / "new" / "folder"):
        pass
    assert (tmp_path / "new" / "folder").is_dir()
    with pytest.raises(OSError, match=r"exists|directory"):
        see_made(tmp_path / "a" / "b" / "c.txt")


def test_who_writes_the_same_file_is_not_in_the_way(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"

    def put(place: Path) -> None:
        put_text(path, "inner")
        place.write_text("outer")
        put_text(path, "inner again")

    put_whole(path, put)
    assert path.read_text() == "outer"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


def test_a_link_that_lies_in_wait_is_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("kept")
    (tmp_path / ".a.txt.part").symlink_to(other)
    put_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "new"
    assert other.read_text() == "kept"


def test_a_name_may_be_as_long_as_names_are(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 127)
    put_text(path, "text")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_link_goes_on_leading_where_it_led(tmp_path: Path) -> None:
    path, link = tmp_path / "a.txt", tmp_path / "link"
    put_text(path, "old")
    link.symlink_to(path)
    put_text(link, "new")
    assert link.is_symlink()
    assert path.read_text() == "new"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everything")
def test_a_file_that_may_not_be_written_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    put_text(path, "old")
    path.chmod(0o444)
    with pytest.raises(PermissionError):
        put_text(path, "new")
    assert path.read_text() == "old"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with a name here")
def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(path.read_text()))
    reader.start()
    put_text(path, "through")
    reader.join(10)
    assert read == ["through"]
    assert [file.name for file in tmp_path.iterdir()] == ["pipe"]


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        put_text(tmp_path, "text")
    with pytest.raises(FileNotFoundError):
        put_text(tmp_path / "no" / "such", "text")


def test_files_that_belong_together_change_together(tmp_path: Path) -> None:
    first, last, old = (tmp_path / name for name in ("first", "last", "old"))

    def fails(place: Path) -> None:
        place.write_text("half", "utf-8")
        raise OSError(errno.ENOSPC, "full")

    put_together([(first, text_put("a1")), (last, text_put("b1"))])
    old.write_text("kept", "utf-8")
    with pytest.raises(OSError, match="full"):
        put_together([(first, text_put("a2")), (last, fails)], [old])
    assert {p.name: p.read_text("utf-8") for p in tmp_path.iterdir()} == {
        "first": "a1", "last": "b1", "old": "kept",
    }  # fmt: skip
    put_together([(first, text_put("a2")), (last, text_put("b2"))], [old])
    assert {p.name: p.read_text("utf-8") for p in tmp_path.iterdir()} == {
        "first": "a2", "last": "b2",
    }  # fmt: skip


def test_what_cannot_go_keeps_all_as_it_was(tmp_path: Path) -> None:
    first, last, old = (tmp_path / name for name in ("first", "last", "old"))
    put_together([(first, text_put("a1")), (last, text_put("b1"))])
    old.mkdir()
    with pytest.raises(OSError, match=r"irectory|not permitted"):
        put_together([(first, text_put("a2")), (last, text_put("b2"))], [old])
    assert (first.read_text("utf-8"), last.read_text("utf-8")) == ("a1", "b1")
