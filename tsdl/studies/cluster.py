"""Runs of a study on a Dask cluster that runs already; `tsdl[cluster]` has what it takes."""

from __future__ import annotations

import logging
import re
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING

from tsdl.diagnostics import Diagnostic, Severity
from tsdl.errors import TsdlError
from tsdl.studies.store import code
from tsdl.studies.work import do

_PATIENCE = 30  # seconds to wait for workers
_GONE = ("CommClosedError", "FutureCancelledError", "TimeoutError")

if TYPE_CHECKING:
    from tsdl.studies.work import Found, Job


class Cluster:
    """A Dask cluster that runs already. Its scheduler does a run again whose worker has died."""

    def __init__(self, address: str) -> None:
        """Connect. Raises TsdlError where that does not go, or workers have another version."""
        try:
            from distributed import Client
        except ImportError:
            raise _error(
                "E0703", "`--cluster` needs Dask", 'install it: `pip install "tsdl[cluster]"`'
            ) from None
        if not re.fullmatch(r"(\w+://)?.+:\d+", address):
            raise _error("E0703", f"`{address}` is no address", "it looks like tcp://10.0.0.1:8786")
        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters is told here
        try:
            self._client = Client(address, timeout=10, set_as_default=False)
            self._client.wait_for_workers(1, timeout=_PATIENCE)
        except (OSError, ValueError):
            raise _error(
                "E0703",
                f"there is no Dask cluster at `{address}` that has workers",
                "start one: `dask scheduler`, and `dask worker ADDRESS` where runs are to be done",
            ) from None
        self._check_code()
        self._executor = self._client.get_executor(pure=False)
        self.width = 2 * max(1, sum(self._client.nthreads().values()))

    def _check_code(self) -> None:
        codes = self._client.run(code)
        wrong = [worker for worker, theirs in codes.items() if theirs != code()]
        if wrong:
            self._client.close()
            raise _error(
                "E0703",
                f"the worker {wrong[0]} has another version of tsdl",
                "install the same one everywhere: results are kept by the code that made them",
            )

    def submit(self, job: Job) -> Future[Found]:
        """Begin a run somewhere."""
        found: Future[Found] = self._executor.submit(do, job)
        return found

    def lost(self, error: BaseException) -> bool:
        """Tell whether workers have died with this run, more often than the cluster forgives."""
        if type(error).__name__ == "KilledWorker":
            return True
        if isinstance(error, CancelledError) or type(error).__name__ in _GONE:
            raise _error(
                "E0703",
                "the cluster is gone",
                "what was run is kept: the same command goes on from there, on another one, too",
            )
        return False

    def renew(self) -> bool:
        """Go on: the cluster sees to its workers, and the other runs."""
        return False

    def close(self, *, at_once: bool = False) -> None:
        """Leave the cluster as it is; what still waits there is not done."""
        self._executor.shutdown(wait=not at_once)
        self._client.close()


def _error(code: str, title: str, remedy: str) -> TsdlError:
    return TsdlError([Diagnostic(code, Severity.ERROR, title, None, help=(remedy,))])
