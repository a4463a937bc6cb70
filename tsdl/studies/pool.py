"""Runs of a study in processes of this machine: in this one, or in several that do nothing else."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from tsdl.studies.apart import apart
from tsdl.studies.work import do

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.context import BaseContext
    from types import FrameType

    from tsdl.studies.work import Found, Job


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def prepare() -> None:
    """Begin to load what processes need, while this one still reads what is to be run."""
    if _context().get_start_method() == "forkserver":
        from multiprocessing import forkserver, resource_tracker

        # Ctrl-C comes to all processes of a terminal: not to one that is about to load something.
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            forkserver.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _context() -> BaseContext:
    """Return how processes are begun: where that goes, from one that has loaded the runtime."""
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else None
    context = multiprocessing.get_context(method)
    if method:
        context.set_forkserver_preload(["tsdl.runtime.run"])
    return apart(context)


class Here(Executor):
    """Does each run at once, in this process: for one core, and for finding mistakes."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401
        """Do it, and return it done."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # as any executor keeps it
            future.set_exception(error)
        return future


class Processes(ProcessPoolExecutor):
    """Processes that begin whole, or not at all, and can be ended at once."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401
        """Give it to a process; the first ones begin one each."""
        with _uninterrupted():
            return super().submit(fn, *args, **kwargs)

    def end(self) -> None:
        """End what still runs, and wait until all is gone."""
        with _uninterrupted():
            for process in list((self._processes or {}).values()):
                process.terminate()
            # An executor's own thread that still closes its pipes while Python exits, which writes
            # to them, ends in a traceback.
            self.shutdown(cancel_futures=True)


class Pool:
    """An executor that is made anew when its processes die, and how many runs it takes at once."""

    def __init__(self, processes: int) -> None:
        """Use so many processes of this machine; one means this process itself."""
        self.processes = processes
        self.width = processes if processes == 1 else 2 * processes  # so that none ever waits
        self._executor: Executor = self._made()

    def _made(self) -> Executor:
        if self.processes == 1:
            return Here()
        prepare()
        return Processes(self.processes, _context(), initializer=_end_with_parent)

    def submit(self, job: Job) -> Future[Found]:
        """Begin a run."""
        return self._executor.submit(do, job)

    def lost(self, error: BaseException) -> bool:
        """Tell whether a process has died."""
        return isinstance(error, (BrokenProcessPool, CancelledError))

    def renew(self) -> bool:
        """Begin with new processes: one of the old has died, and taken the others with it."""
        self._executor.shutdown(cancel_futures=True)
        self._executor = self._made()
        return True

    def close(self, *, at_once: bool = False) -> None:
        """End: at once means that what still runs is ended, not waited for."""
        if at_once and isinstance(self._executor, Processes):
            self._executor.end()
        self._executor.shutdown(cancel_futures=True)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let what asks this process to end wait: half a process begun would be nobody's to end."""
    if threading.current_thread() is not threading.main_thread():  # others are never interrupted
        yield
        return
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    def hear() -> None:
        for number in came[:1]:  # more say the same
            signal.raise_signal(number)

    with ExitStack() as stack:  # all of which is done, whatever is raised meanwhile
        stack.callback(hear)
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            if handler is not None:  # one that is not Python's raises nothing here
                stack.callback(signal.signal, number, handler)
                signal.signal(number, note)
        yield


def _end_with_parent() -> None:
    """End this process when the study's does: one that was killed cannot tell its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is told to all; the parent decides
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()  # also one that nobody has reaped yet
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
