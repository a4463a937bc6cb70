"""The pool that runs are given to: processes that die, interruptions, runs that break."""

import os
import signal
import threading
import time
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor

import pytest

import tsdl
from tests.disturbed_studies import points
from tests.test_studies import PARTS
from tsdl.studies import Answer, Course
from tsdl.studies.files import answer_json
from tsdl.studies.pool import Here, Pool
from tsdl.studies.work import Found, Job, do


def test_a_pool_that_ends_at_once_leaves_nothing_behind() -> None:
    before = set(threading.enumerate())
    pool = Pool(2)
    for _ in range(4):
        pool._executor.submit(time.sleep, 60)
    begun = time.monotonic()
    pool.close(at_once=True)
    assert set(threading.enumerate()) <= before
    assert time.monotonic() - begun < 30


@pytest.mark.usefixtures("interruptible")
def test_a_process_is_begun_whole_before_an_interruption_is_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended = []

    def interrupted(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        ended.append(True)

    monkeypatch.setattr(ProcessPoolExecutor, "submit", interrupted)
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    pool = Pool(2)
    with pytest.raises(KeyboardInterrupt):
        pool.submit(None)  # type: ignore[arg-type]
    assert ended
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


def test_who_is_no_main_thread_may_have_a_pool() -> None:
    """Only the main thread may set handlers of signals, and is interrupted."""
    with ThreadPoolExecutor(1) as thread:
        pool = thread.submit(Pool, 2).result()
        assert thread.submit(pool._executor.submit, abs, -3).result().result() == 3
        thread.submit(lambda: pool.close(at_once=True)).result()


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
def test_a_process_that_dies_is_replaced(deaths: int, status: str) -> None:
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


def test_the_executor_of_this_process_keeps_mistakes() -> None:
    def wrong() -> None:
        raise ValueError("so")

    assert isinstance(Here().submit(wrong).exception(), ValueError)
    job = Job(tsdl.compile(PARTS), 0, ())
    assert Here().submit(do, job).result().summary["requests"]["finished"] == 60


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
