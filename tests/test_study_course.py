"""How studies run: in processes, killed and going on, on a cluster; what the store keeps."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

import tsdl
from tests.test_studies import PARTS
from tsdl.cli import main
from tsdl.diagnostics import Sink
from tsdl.session import Session
from tsdl.studies import Answer, Course, Points, choose_study
from tsdl.studies.files import answer_json
from tsdl.studies.forecast import forecast
from tsdl.studies.pool import Here, Pool
from tsdl.studies.store import Store
from tsdl.studies.work import Found, Job, do

STUDY = """
study s {
  scenario = one
  vary qps in 1..6 req/s
  vary scheduler in [continuous, static]
  replicate 2
  table throughput, p99(ttft), mean(e2e) / mean(e2e)[scheduler = static]
}
study found {
  scenario = one
  vary gpus in 1..3
  maximize qps in 1..2000 step 1 req/s while attainment >= 90 %
  table qps, throughput
}
"""


def points(name: str = "s", text: str = PARTS + STUDY) -> Points:
    made = choose_study(Session("a.tsim", text), Sink(), {}, name)
    assert made is not None
    return made


def answer(name: str = "s", store: Path | None = None, jobs: int = 1) -> str:
    return answer_json(tsdl.study(PARTS + STUDY, name, jobs=jobs, store=store))


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, str]:
    return {name: answer(name) for name in ("s", "found")}


# -- the store ---------------------------------------------------------------------------------


def test_what_is_known_is_not_run_again(tmp_path: Path, undisturbed: dict[str, str]) -> None:
    for name in ("s", "found"):
        with Store(tmp_path / "a.sqlite") as store:
            first = Course(made := points(name), store, Pool(1))
            first.run()
            again = Course(made, store, Pool(1))
            units = again.run()
        assert first.runs > 0
        assert (again.runs, again.reused) == (0, first.runs)
        assert answer_json(Answer(made, units, None)) == undisturbed[name]


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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: dict[str, str]
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
    assert answer_json(Answer(course.points, units, None)) == undisturbed["s"]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(tsdl.TsdlError, match="E0702"):
        answer(store=tmp_path / "no" / "a.sqlite")


# -- processes ---------------------------------------------------------------------------------


def command(path: Path, *more: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "tsdl",
        "run",
        str(path),
        "--study",
        "s",
        "--format",
        "json",
        *more,
    ]


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "a.tsim"
    path.write_text(PARTS + STUDY)
    return path


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(tsdl.__file__).parents[1])}


def test_processes_give_the_same_bytes(program: Path, undisturbed: dict[str, str]) -> None:
    found = subprocess.run(
        command(program, "--jobs", "2"), cwd=program.parent, env=environment(), check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    assert found.stdout == undisturbed["s"]


def killed(program: Path, times: int, undisturbed: str) -> None:
    """Kill a study at random moments, then let it end."""
    dice = random.Random(times)
    for _ in range(times):
        process = subprocess.Popen(
            command(program, "--jobs", "2"), cwd=program.parent, env=environment(),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(dice.uniform(0.3, 3.0))
        process.kill()
        process.wait()
    found = subprocess.run(
        command(program, "--jobs", "2"), cwd=program.parent, env=environment(), check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    assert found.stdout == undisturbed


def test_a_study_that_is_killed_goes_on(program: Path, undisturbed: dict[str, str]) -> None:
    killed(program, 3, undisturbed["s"])


@pytest.mark.long
def test_a_study_that_is_killed_ten_times_goes_on(
    program: Path, undisturbed: dict[str, str]
) -> None:
    killed(program, 10, undisturbed["s"])


def test_two_at_once_do_not_harm_each_other(program: Path, undisturbed: dict[str, str]) -> None:
    both = [
        subprocess.Popen(
            command(program, "--jobs", "1"), cwd=program.parent, env=environment(),
            stdout=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    assert [process.communicate()[0] for process in both] == [undisturbed["s"]] * 2


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_study_says_what_it_kept(
    number: signal.Signals, status: int, program: Path, undisturbed: dict[str, str]
) -> None:
    store = program.parent / "a.results.sqlite"
    process = subprocess.Popen(
        command(program, "--jobs", "2"), cwd=program.parent, env=environment(),
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
    assert answer(store=store) == undisturbed["s"]


def test_a_pool_that_ends_at_once_leaves_nothing_behind() -> None:
    before = set(threading.enumerate())
    pool = Pool(2)
    for _ in range(4):
        pool._executor.submit(time.sleep, 60)
    begun = time.monotonic()
    pool.close(at_once=True)
    assert set(threading.enumerate()) <= before
    assert time.monotonic() - begun < 30


class Interrupted(Here):
    """An executor that is interrupted in the middle of making a process."""

    ended = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401
        """Do nothing, whatever is asked."""
        signal.raise_signal(signal.SIGINT)
        self.ended = True
        return Future()


def test_a_process_is_begun_whole_before_an_interruption_is_heard() -> None:
    pool = Pool(1)
    pool._executor = executor = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        pool.submit(None)  # type: ignore[arg-type]
    assert executor.ended
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


class Mortal(Pool):
    """Processes that die of the runs they are told to die of, so many times."""

    deaths = 0

    def submit(self, job: Job) -> Future[Found]:
        """Begin a run, or die of it."""
        if job.seed == 1 and self.deaths:
            self.deaths -= 1
            return self._executor.submit(os._exit, 1)
        return super().submit(job)


@pytest.mark.parametrize(("deaths", "status"), [(2, "ok"), (5, "failed")])
def test_a_process_that_dies_is_replaced(
    deaths: int, status: str, undisturbed: dict[str, str]
) -> None:
    text = (
        PARTS
        + "study s { scenario = one; vary qps in [3, 5] req/s; replicate 2; table throughput }"
    )
    mortal = Mortal(2)
    mortal.deaths = deaths
    course = Course(points(text=text), None, mortal)
    made = Answer(course.points, course.run(), None)
    assert status in [row.status for row in made.rows]
    assert made.complete is (status == "ok")
    if status == "ok":
        assert answer_json(made) == answer_json(tsdl.study(text, jobs=1))
    else:
        assert any("died 3 times" in row.reason for row in made.rows)


def test_workers_end_with_a_parent_that_was_killed(program: Path) -> None:
    process = subprocess.Popen(
        command(program, "--jobs", "2"), cwd=program.parent, env=environment(),
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


# -- a cluster ---------------------------------------------------------------------------------


@pytest.fixture
def cluster() -> Iterator[tuple[str, object]]:
    distributed = pytest.importorskip("distributed", reason="needs tsdl[cluster]")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, worker_dashboard_address=None
    ) as made:
        yield made.scheduler_address, made


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_that_loses_a_worker_loses_nothing(
    cluster: tuple[str, object], tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    address, made = cluster
    from tsdl.studies.cluster import Cluster

    class Watched(Cluster):
        """Kills a worker in the middle."""

        count = 0

        def submit(self, job: Job) -> Future[Found]:
            """Begin a run."""
            self.count += 1
            if self.count == 12:
                worker = next(iter(made.workers.values()))  # type: ignore[attr-defined]
                os.kill(worker.process.pid, signal.SIGKILL)
            return super().submit(job)

    with Store(tmp_path / "a.sqlite") as store:
        course = Course(points(), store, Watched(address))
        units = course.run()
    assert course.runs == 24
    assert answer_json(Answer(course.points, units, None)) == undisturbed["s"]


@pytest.mark.filterwarnings("ignore")
def test_the_command_line_uses_a_cluster(
    cluster: tuple[str, object], program: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], undisturbed: dict[str, str],
) -> None:  # fmt: skip
    monkeypatch.chdir(program.parent)
    assert main([*command(program)[3:], "--cluster", cluster[0]]) == 0
    assert capsys.readouterr().out == undisturbed["s"]


def test_the_executor_of_this_process_keeps_mistakes() -> None:
    def wrong() -> None:
        raise ValueError("so")

    assert isinstance(Here().submit(wrong).exception(), ValueError)
    job = Job(tsdl.compile(PARTS), 0, ())
    assert Here().submit(do, job).result().summary["requests"]["finished"] == 60


class Leaving(Pool):
    """A runner that goes away: its last run ends with a mistake that no other can mend."""

    def submit(self, job: Job) -> Future[Found]:
        """Begin a run, or be gone."""
        if job.seed == 1:
            gone: Future[Found] = Future()
            gone.set_exception(TimeoutError())
            return gone
        return super().submit(job)

    def lost(self, error: BaseException) -> bool:
        """Say that it is gone."""
        raise tsdl.TsdlError([tsdl.Diagnostic("E0703", tsdl.Severity.ERROR, "gone", None)])


def test_what_has_finished_is_kept_when_the_cluster_goes_away(tmp_path: Path) -> None:
    text = (
        PARTS + "study s { scenario = one; vary qps in [3] req/s; replicate 2; table throughput }"
    )
    pool = Leaving(1)
    pool.width = 2  # both runs are looked at together
    with Store(tmp_path / "a.sqlite") as store:
        with pytest.raises(tsdl.TsdlError, match="gone"):
            Course(points(text=text), store, pool).run()
        again = Course(points(text=text), store, Pool(1))
        again.run()
    assert (again.reused, again.runs) == (1, 1)


def test_a_run_that_breaks_is_a_row_and_not_the_end() -> None:
    class Broken(Pool):
        def submit(self, job: Job) -> Future[Found]:
            """Begin a run, or break."""
            if job.seed == 1:
                broken: Future[Found] = Future()
                broken.set_exception(RuntimeError("so"))
                return broken
            return super().submit(job)

    text = (
        PARTS + "study s { scenario = one; vary qps in [3] req/s; replicate 2; table throughput }"
    )
    course = Course(points(text=text), None, Broken(1))
    (row,) = Answer(course.points, course.run(), None).rows
    assert row.status == "failed"
    assert "a bug in tsdl" in row.reason
