"""The course of a study: which run is next, until every point has its answer.

Units (a point with one seed each, `asking`) go on side by side. A run that two of them ask for is
done once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import CancelledError, Future
from queue import SimpleQueue
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct, field
from msgspec.structs import replace

from tsdl.studies.asking import Ask, Key, Unit, asks
from tsdl.studies.points import Points
from tsdl.studies.work import Found, Job

if TYPE_CHECKING:
    from tsdl.runtime.limits import Limits
    from tsdl.studies.store import Store

_DEATHS = 3  # of processes with the same run, after which it is given up


class Runner(Protocol):
    """Where runs are done."""

    width: int

    def submit(self, job: Job) -> Future[Found]:
        """Begin a run."""
        ...

    def lost(self, error: BaseException) -> bool:
        """Tell whether a run ended with this because its process did."""
        ...

    def renew(self) -> bool:
        """Go on after processes have died; tell whether all open runs went with them."""
        ...

    def close(self, *, at_once: bool = False) -> None:
        """End."""
        ...


class Course(Struct, dict=True):
    """Does the units of a study; `progress` is told how many are done, of how many, and of runs."""

    points: Points
    store: Store | None
    runner: Runner
    seed: int | None = None
    engine: str = "fast"
    progress: Callable[[int, int, int], None] = lambda done, total, runs: None
    limits: Limits | None = None  # of each run
    externs: Mapping[str, object] = field(default_factory=dict)
    runs: int = 0  # that were done now
    reused: int = 0  # that the store had
    _done: dict[int, Unit] = field(default_factory=dict)
    _open: dict[Future[Found], tuple[Key, Job]] = field(default_factory=dict)
    _ended: SimpleQueue[Future[Found]] = field(default_factory=SimpleQueue)
    _waiting: dict[Key, list[tuple[_Thread, Ask]]] = field(default_factory=dict)
    _deaths: dict[Key, int] = field(default_factory=dict)

    def run(self) -> list[Unit]:
        """Do all units; return them in order: points, then replicates.

        Raises TsdlError for the store or the cluster, KeyboardInterrupt as it comes; what was
        finished is kept.
        """
        study = self.points.study
        total = len(self.points.all) * study.replicates
        ahead = deque(
            _Thread(number, asks(self.points, point, replicate))
            for number, (point, replicate) in enumerate(
                (p, r) for p in self.points.all for r in range(study.replicates)
            )
        )
        try:
            while ahead or self._open:
                while ahead and len(self._open) < self.runner.width:
                    self._go_on(ahead.popleft(), None)
                    self.progress(len(self._done), total, self.runs)
                self._take()
                self.progress(len(self._done), total, self.runs)
        except BaseException:
            self.runner.close(at_once=True)
            raise
        self.runner.close()
        return [self._done[number] for number in range(total)]

    # -- runs ----------------------------------------------------------------------------------

    def _go_on(self, thread: _Thread, answer: Found | None) -> None:
        """Let a unit go on with an answer, until it asks for a run that nobody knows yet."""
        while True:
            try:
                ask = thread.generator.send(answer)  # type: ignore[arg-type]
            except StopIteration as end:
                self._done[thread.number] = end.value
                return
            key = ask.key(self.seed)
            if key in self._waiting:
                self._waiting[key].append((thread, ask))
                return
            answer = self.store.get(*key, map(str, ask.measures)) if self.store else None
            if answer is None:
                self._waiting[key] = [(thread, ask)]
                how = (self.engine, self.limits, self.externs)
                self._submit(key, Job(ask.plan, key[1], ask.measures, *how))
                return
            self.reused += 1

    def _submit(self, key: Key, job: Job) -> None:
        future = self.runner.submit(job)
        self._open[future] = (key, job)
        future.add_done_callback(self._ended.put)

    def _take(self) -> None:
        """Wait for a run, keep what it came to, and let those go on that wait for it."""
        if not self._open:
            return
        # An interruption leaves a queue whole, and not the locks of `concurrent.futures.wait`.
        done = [self._ended.get()]
        while not self._ended.empty():
            done.append(self._ended.get())
        finished: list[tuple[Key, Job, Found]] = []
        ended: list[tuple[Key, Job, BaseException]] = []
        for future in done:
            if future not in self._open:
                continue  # it went with processes that died, and was begun anew
            key, job = self._open.pop(future)
            error = future.exception() if not future.cancelled() else CancelledError()
            if error is None:
                finished.append((key, job, future.result()))
            else:
                ended.append((key, job, error))
        self._keep(finished)  # before anything else may go wrong
        lost: list[tuple[Key, Job]] = []
        for key, job, error in ended:
            if self.runner.lost(error):
                self._deaths[key] = self._deaths.get(key, 0) + 1
                lost.append((key, job))
            else:  # the other points have no part in it
                self._give(key, Found({}, {}, 0.0, failed=f"a bug in tsdl: {error!r}"))
        if lost:
            if self.runner.renew():  # most of them had no part in it
                lost += self._open.values()
                self._open.clear()
            for key, job in lost:
                if self._deaths.get(key, 0) < _DEATHS:
                    self._submit(key, job)
                else:
                    self._give(key, Found({}, {}, 0.0, failed=f"its process died {_DEATHS} times"))

    def _keep(self, finished: list[tuple[Key, Job, Found]]) -> None:
        """Keep what runs came to, all at once, and let those go on that wait for them."""
        self.runs += len(finished)
        if self.store:  # what a limit has stopped is nothing that plan and seed determine
            self.store.keep((*key, found) for key, _, found in finished if not found.limited)
        for key, job, found in finished:
            self._answer(key, job, found)

    def _answer(self, key: Key, job: Job, found: Found) -> None:
        more = {str(m): m for _, ask in self._waiting[key] for m in ask.measures}
        if not found.failed and more.keys() - found.values.keys():  # asked for while it ran
            self._submit(key, replace(job, measures=tuple(more.values())))
        else:
            self._give(key, found)

    def _give(self, key: Key, found: Found) -> None:
        for thread, _ in self._waiting.pop(key):
            self._go_on(thread, found)


class _Thread(Struct, frozen=True):
    """A unit on its way."""

    number: int
    generator: Generator[Ask, Found, Unit]
