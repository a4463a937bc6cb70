"""Streams of the command line: what it reads and cannot read, and readers that go away."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line import (
    SMALL,
    WRONG,
    Capture,
    process_environment,
    several_in,
    small_in,
    start,
)
from tsdl.cli import main


@pytest.fixture
def small(tmp_path: Path) -> str:
    return small_in(tmp_path)


@pytest.fixture
def several(tmp_path: Path) -> str:
    return several_in(tmp_path)


# -- what is read ------------------------------------------------------------------------------


def test_a_file_that_is_not_there(tmp_path: Path, capsys: Capture) -> None:
    assert main(["check", str(tmp_path / "none.tsim")]) == 1
    said = capsys.readouterr().err
    assert "error[E0109]" in said
    assert "No such file" in said


def test_a_folder_in_place_of_a_file(tmp_path: Path, capsys: Capture) -> None:
    assert main(["run", str(tmp_path)]) == 1
    assert "error[E0109]" in capsys.readouterr().err


def test_a_file_that_is_not_utf8(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "latin.tsim"
    path.write_bytes("# gro\xdf\n".encode("latin-1"))
    assert main(["check", str(path)]) == 1
    assert "error[E0108]" in capsys.readouterr().err


def test_stdin_is_a_dash() -> None:
    ended = start("run", "-", stdin=SMALL.encode())
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert ended.stdout.startswith(b"small:")


def test_stdin_has_a_mistake() -> None:
    ended = start("check", "-", stdin=WRONG.encode())
    assert ended.returncode == 1
    assert b"<stdin>:3:" in ended.stderr


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_stdin_is_utf8_whatever_the_locale(locale: str) -> None:
    environment = {"LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    text = "## größer\n" + SMALL
    assert start("check", "-", stdin=text.encode(), environment=environment).returncode == 0
    ended = start("check", "-", stdin=text.encode("latin-1"), environment=environment)
    assert ended.returncode == 1
    assert b"error[E0108]" in ended.stderr


# -- what is written ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [("run",), ("plan",), ("plan", "--format", "json"), ("check", "--explain-defaults")],
    ids=" ".join,
)
def test_a_reader_that_has_seen_enough(arguments: tuple[str, ...], small: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "tsdl", *arguments, small],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=process_environment(),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


def test_a_reader_that_has_seen_enough_loses_no_files(small: str, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    with subprocess.Popen(
        [sys.executable, "-m", "tsdl", "run", small, "--out", str(folder)],
        stdout=subprocess.PIPE,
        env=process_environment(),
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait() == 0
    assert (folder / "summary.json").is_file()


def test_a_terminal_that_cannot_show_a_sign_shows_another(several: str) -> None:
    environment = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    ended = start("plan", several, "--scenario", "small", environment=environment)
    assert ended.returncode == 0
    assert ended.stdout.isascii()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("command", ["run", "check", "plan"])
def test_a_stream_that_takes_no_more_is_told(command: str, small: str) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "tsdl", command, small],
            stdout=full, stderr=subprocess.PIPE, env=process_environment(), check=False,
        )  # fmt: skip
    assert ended.returncode == 2
    assert ended.stderr.endswith(b"tsdl: cannot write all of this: No space left on device\n")
    assert b"Traceback" not in ended.stderr


def test_streams_may_be_closed(small: str) -> None:
    for redirection, status in (">&-", 0), ("2>&-", 0), ("- <&-", 1):
        file = "" if "<" in redirection else small
        line = f"{sys.executable} -m tsdl check {file} {redirection}"
        ended = subprocess.run(
            ["sh", "-c", line], capture_output=True, env=process_environment(), check=False
        )
        assert ended.returncode == status, redirection
        assert b"Traceback" not in ended.stderr


def test_a_program_without_an_end_is_none(capsys: Capture, tmp_path: Path) -> None:
    assert main(["check", "/dev/zero"]) == 1
    assert "more than 80 MB" in capsys.readouterr().err
    os.mkfifo(tmp_path / "pipe.tsim")  # nobody writes into it
    (tmp_path / "one.tsim").write_text("param a = 1\n", "utf-8")
    assert main(["check", str(tmp_path)]) == 0
