"""Studies that run in processes: killed or interrupted, they go on and answer the same."""

import multiprocessing
import random
import signal
import subprocess
import sys
import time
from multiprocessing import spawn
from pathlib import Path
from types import ModuleType

import pytest

from tests.command_line import process_environment
from tests.disturbed_studies import STUDY, answer, command, printed, program_in, undisturbed
from tests.test_studies import PARTS
from tsdl.studies.apart import apart


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return program_in(tmp_path)


def test_processes_give_the_same_bytes(program: Path) -> None:
    found = subprocess.run(
        command(program, "--jobs", "2"), cwd=program.parent, env=process_environment(), check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    assert found.stdout == printed("s")


SCRIPT = """
import tsdl

print("begun")
answer = tsdl.study(TEXT, "s", jobs=2)
print([row.status for row in answer.rows] == ["ok"] * len(answer.rows))
"""


@pytest.mark.parametrize("piped", [False, True], ids=["a file", "the standard input"])
def test_a_script_needs_no_guard(piped: bool, tmp_path: Path) -> None:
    text = f"TEXT = {PARTS + STUDY!r}\n{SCRIPT}"
    path = tmp_path / "script.py"
    path.write_text(text)
    found = subprocess.run(
        [sys.executable, "-" if piped else str(path)], input=text if piped else None,
        cwd=tmp_path, env=process_environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert found.stdout == "begun\nTrue\n"
    assert found.stderr == ""


def test_processes_of_others_still_know_the_main_module(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ModuleType("__main__")
    script.__file__ = "script.py"
    monkeypatch.setitem(sys.modules, "__main__", script)
    mine = apart(multiprocessing.get_context("spawn")).Process()  # type: ignore[attr-defined]
    theirs = multiprocessing.get_context("spawn").Process()
    assert "init_main_from_path" not in spawn.get_preparation_data(mine.name)
    assert "init_main_from_path" in spawn.get_preparation_data(theirs.name)


def killed(program: Path, times: int, wanted: str) -> None:
    """Kill a study at random moments, then let it end."""
    dice = random.Random(times)
    for _ in range(times):
        process = subprocess.Popen(
            command(program, "--jobs", "2"), cwd=program.parent, env=process_environment(),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(dice.uniform(0.3, 3.0))
        process.kill()
        process.wait()
    found = subprocess.run(
        command(program, "--jobs", "2"), cwd=program.parent, env=process_environment(), check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    assert found.stdout == wanted


def test_a_study_that_is_killed_goes_on(program: Path) -> None:
    killed(program, 3, printed("s"))


@pytest.mark.long
def test_a_study_that_is_killed_ten_times_goes_on(program: Path) -> None:
    killed(program, 10, printed("s"))


def test_two_at_once_do_not_harm_each_other(program: Path) -> None:
    both = [
        subprocess.Popen(
            command(program, "--jobs", "1"), cwd=program.parent, env=process_environment(),
            stdout=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    assert [process.communicate()[0] for process in both] == [printed("s")] * 2


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_study_says_what_it_kept(
    number: signal.Signals, status: int, program: Path
) -> None:
    store = program.parent / "a.results.sqlite"
    process = subprocess.Popen(
        command(program, "--jobs", "2"), cwd=program.parent, env=process_environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not (store.exists() and store.stat().st_size > 20_000):
        time.sleep(0.05)
    process.send_signal(number)
    out, told = process.communicate(timeout=60)
    assert process.returncode in (0, status)
    if process.returncode:
        assert out == ""
        assert "runs are kept in a.results.sqlite" in told
        assert "Traceback" not in told
    assert answer(store=store) == undisturbed("s")


def test_workers_end_with_a_parent_that_was_killed(program: Path) -> None:
    process = subprocess.Popen(
        command(program, "--jobs", "2"), cwd=program.parent, env=process_environment(),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    time.sleep(2.5)
    process.kill()  # and is not reaped: whoever asks still finds it
    left = None
    for _ in range(100):
        left = subprocess.run(
            ["pgrep", "-s", str(process.pid)], capture_output=True, text=True, check=False
        )
        if left.stdout.split() in ([], [str(process.pid)]):
            process.wait()
            return
        time.sleep(0.1)
    pytest.fail(f"still there: {left}")


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_in_this_process_is_interrupted_at_once(
    number: signal.Signals, tmp_path: Path
) -> None:
    path = tmp_path / "long.tsim"
    path.write_text(
        PARTS.replace("requests = 60", "requests = 2_000_000")
        + "study s { scenario = one; vary qps in [3] req/s; table throughput }"
    )
    process = subprocess.Popen(
        command(path, "--jobs", "1"), cwd=tmp_path, env=process_environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    store = tmp_path / "long.results.sqlite"
    while not store.exists():
        time.sleep(0.05)
    time.sleep(1.0)
    assert process.poll() is None
    process.send_signal(number)
    _, told = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert told.endswith("interrupted\n")
    assert "Traceback" not in told


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("gap", [0.0, 0.02, 0.1])
def test_a_second_interruption_is_no_bug(gap: float, tmp_path: Path) -> None:
    process = subprocess.Popen(
        command(program_in(tmp_path), "--jobs", "2"), cwd=tmp_path, env=process_environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not (tmp_path / "a.results.sqlite").exists():
        time.sleep(0.05)
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(gap)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "bug in tsdl" not in told
