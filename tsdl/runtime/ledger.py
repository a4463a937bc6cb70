"""What came of each request, by its number, in typed columns: only live requests are objects."""

from __future__ import annotations

from array import array
from math import nan
from typing import TYPE_CHECKING

from tsdl.runtime.request import FINISHED, REJECTED, UNFINISHED

if TYPE_CHECKING:
    from tsdl.runtime.request import Request
    from tsdl.runtime.sessions import Sessions

STATUSES = (UNFINISHED, FINISHED, REJECTED)  # as `status` counts them
_CODES = {status: code for code, status in enumerate(STATUSES)}
_RARE = {"missing": "q", "preemptions": "q", "cached": "q", "moved": "q", "moving": "d"}
_FEW_LATE = 1000


class Ledger:
    """A row for each request that has arrived, written when it is closed.

    What is known of a request from the workload is not copied: a request's number is its row there,
    but where some wait for others: then `row` says it, and `arrived` when it came. Columns of times
    hold NaN for what never happened. A column that is zero for nearly everybody is there once
    somebody has something else: see `rare`.
    """

    def __init__(self, sessions: Sessions) -> None:
        """Have a row for each request of a workload; none has arrived."""
        self.sessions = sessions
        self.size = size = len(sessions)
        self.count = 0  # of those that have arrived
        self.status = array("b", [0]) * size
        self.worker = array("i", [-1]) * size
        self.started = array("d", [nan]) * size
        self.first = array("d", [nan]) * size
        self.last = array("d", [nan]) * size
        self.largest_gap = array("d", [0.0]) * size
        self.rare: dict[str, array[int] | array[float]] = {}  # `missing`: tokens not generated
        self.arrived: array[float] | None = None
        self.row: array[int] | None = None
        if sessions.starts is not None or sessions.concurrency is not None:
            self.arrived = array("d", [nan]) * size
            self.row = array("i", [0]) * size
        self.live: dict[int, Request] = {}  # who is not closed, in order of numbers
        self._late: list[Request] = []  # who is closed, while actions on it go on
        self._many = _FEW_LATE

    def open(self, request: Request) -> None:
        """Give a request that arrives its number, and a row."""
        request.id = self.count
        self.live[self.count] = request
        self.count += 1

    def close(self, request: Request) -> None:
        """Write what came of a request, and let it go once no action on it goes on."""
        del self.live[request.id]
        if request.busy or request.chain is not None:  # a copy on its way may still count
            self._late.append(request)
            if len(self._late) > self._many:
                self._settle()
                self._many = 2 * len(self._late) + _FEW_LATE
        else:
            self.write(request)

    def end(self) -> None:
        """Write who is still open, or was closed while actions on it went on; let them all go."""
        for request in (*self._late, *self.live.values()):
            self.write(request)
        self._late.clear()
        self.live.clear()

    def _settle(self) -> None:
        """Write those of the closed whose actions have ended."""
        late, self._late = self._late, []
        for request in late:
            if request.resting:
                self._late.append(request)
            else:
                self.write(request)

    def write(self, request: Request) -> None:
        """Write the row of a request."""
        at = request.id
        self.status[at] = _CODES[request.status]
        self.worker[at] = request.worker
        if request.started is not None:
            self.started[at] = request.started
        if request.first is not None and request.last is not None:
            self.first[at] = request.first
            self.last[at] = request.last
            self.largest_gap[at] = request.largest_gap
        if request.generated != request.output:
            self.put("missing", at, request.output - request.generated)
        if request.preemptions:
            self.put("preemptions", at, request.preemptions)
        if request.cached:
            self.put("cached", at, request.cached)
        if request.moved or request.moving:
            self.put("moved", at, request.moved)
            self.put("moving", at, request.moving)
        if self.row is not None and self.arrived is not None:
            self.arrived[at] = request.arrived
            self.row[at] = self.sessions.row_of(request)

    def put(self, name: str, at: int, value: float) -> None:
        """Write to a column that only some need."""
        column = self.rare.get(name)
        if column is not None:
            column[at] = value  # type: ignore[call-overload]
        elif value:
            kind = _RARE[name]
            column = self.rare[name] = array(kind, [0]) * self.size
            column[at] = value  # type: ignore[call-overload]
