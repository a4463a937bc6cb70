"""Studies on a cluster: the same answer, and nothing lost with a worker or with all of it."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

import tsdl
from tests.disturbed_studies import command, points, printed, program_in, undisturbed
from tests.test_studies import PARTS
from tsdl.cli import main
from tsdl.studies import Answer, Course
from tsdl.studies.files import answer_json
from tsdl.studies.pool import Pool
from tsdl.studies.store import Store
from tsdl.studies.work import Found, Job


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return program_in(tmp_path)


@pytest.fixture
def cluster() -> Iterator[tuple[str, object]]:
    distributed = pytest.importorskip("distributed", reason="needs tsdl[cluster]")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, worker_dashboard_address=None
    ) as made:
        yield made.scheduler_address, made


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_that_loses_a_worker_loses_nothing(
    cluster: tuple[str, object], tmp_path: Path
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
    assert answer_json(Answer(course.points, units, None)) == undisturbed("s")


@pytest.mark.filterwarnings("ignore")
def test_the_command_line_uses_a_cluster(
    cluster: tuple[str, object],
    program: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(program.parent)
    assert main([*command(program)[3:], "--cluster", cluster[0]]) == 0
    assert capsys.readouterr().out == printed("s")


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
