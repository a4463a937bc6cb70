"""The requests of a workload, each built when it arrives, or when it is known what it waits for."""

from collections.abc import Iterator
from itertools import repeat

import numpy as np

from tsdl.runtime.arrivals import Arrivals
from tsdl.runtime.request import Request

CHUNK = 4096  # rows that are turned to Python's numbers at once


class Sessions:
    """Columns of a workload, and the requests that come of their rows.

    A later turn arrives when the one before it has been answered and its user has thought; its
    prompt is all that was said before, and the new question. Where a file has whole prompts, one
    begins with what was said before as far as it is that long.

    With `concurrency` at most so many are open: once a request has ended and its user has thought,
    the next row is sent, not before its own time. Each row is a conversation of its own then.
    """

    def __init__(self, arrivals: Arrivals, warmup: float, concurrency: int | None = None) -> None:
        """Take the rows; no request is built yet."""
        self.arrivals = arrivals
        self.warmup = warmup
        self.concurrency = concurrency
        turns = arrivals.turns
        # The row of each conversation's first turn, where there are conversations.
        self.starts = None if turns is None else np.cumsum(turns) - turns
        self.count = len(arrivals.arrived) if turns is None else len(turns)  # of conversations
        # How many requests there are whose time is known up front, and how many have been sent.
        self.known = self._sent = min(self.count, concurrency or self.count)

    def __len__(self) -> int:
        """Return how many requests there are, those of all turns."""
        return len(self.arrivals.arrived)

    @property
    def span(self) -> float:
        """Return the seconds between the first and the last arrival that is known up front."""
        return float(self.arrivals.arrived[-1] - self.arrivals.arrived[0])

    def first(self) -> Iterator[Request]:
        """Yield the requests whose time of arrival is known, in order."""
        found, warmup = self.arrivals, self.warmup
        for begin in range(0, self.known, CHUNK):
            chunk = slice(begin, min(begin + CHUNK, self.known))
            rows = chunk if self.starts is None else self.starts[chunk]
            columns = zip(
                found.arrived[rows].tolist(),
                found.prompt[rows].tolist(),
                found.output[rows].tolist(),
                repeat(0.0) if found.priority is None else found.priority[rows].tolist(),
                found.think[rows].tolist() if len(found.think) else repeat(0.0),
                strict=False,
            )
            for session, (arrived, prompt, output, priority, think) in enumerate(columns, begin):
                # In the order of the fields: by name they would take half as long again.
                counted = arrived >= warmup
                request = Request(
                    -1, arrived, prompt, output, counted, session, 0, 0, think, priority
                )
                if found.contents is not None:
                    request.content = found.contents(self.row_of(request))
                if found.attributes:
                    request.attributes = self._attributes(self.row_of(request))
                yield request

    def send(self, now: float) -> Request | None:
        """Return the next request of a loop, which arrives now or at its own time; None after all.

        Which one it is shows when there is room: ends are not always dealt with in order of time.
        """
        row, found = self._sent, self.arrivals
        if row == self.count:
            return None
        self._sent += 1
        arrived = max(now, float(found.arrived[row]))
        request = Request(
            -1, arrived, int(found.prompt[row]), int(found.output[row]), arrived >= self.warmup,
            session=row, think=float(found.think[row]),
            priority=0.0 if found.priority is None else float(found.priority[row]),
        )  # fmt: skip
        if found.contents is not None:
            request.content = found.contents(row)
        if found.attributes:
            request.attributes = self._attributes(row)
        return request

    def after(self, request: Request, time: float) -> Request:
        """Return the next turn of a request's conversation, of which some are left, to arrive then.

        It is counted by its own time.
        """
        found = self.arrivals
        row = self.row_of(request) + 1
        history, prompt = request.prompt + request.output, int(found.prompt[row])
        if found.whole:
            history = min(history, prompt - 1)
        else:
            prompt += history
        following = Request(
            -1, time, prompt, int(found.output[row]), time >= self.warmup,
            session=request.session, turn=request.turn + 1, history=history,
            think=float(found.think[row]),
            priority=0.0 if found.priority is None else float(found.priority[row]),
        )  # fmt: skip
        if found.contents is not None:
            following.content = found.contents(row)
        if found.attributes:
            following.attributes = self._attributes(row)
        return following

    def _attributes(self, row: int) -> dict[str, float]:
        return {name: column[row].item() for name, column in self.arrivals.attributes.items()}

    def row_of(self, request: Request) -> int:
        """Return the row that a request was built from."""
        if self.starts is None:
            return request.session
        return int(self.starts[request.session]) + request.turn

    def left(self, request: Request) -> int:
        """Return how many turns of its conversation come after a request."""
        turns = self.arrivals.turns
        return 0 if turns is None else int(turns[request.session]) - request.turn - 1
