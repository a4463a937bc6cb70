"""Requests of a workload as the engine knows them, and the turns of conversations in a row."""

from itertools import repeat

from tsdl.runtime.arrivals import Arrivals
from tsdl.runtime.request import Request


def requests_of(arrivals: Arrivals, warmup: float) -> tuple[list[Request], list[Request]]:
    """Return the requests whose time of arrival is known, in order, and all requests.

    A later turn arrives when the one before it has been answered and its user has thought; its
    prompt is all that was said before, and the new question. It is counted if its conversation
    began after the warm-up.
    """
    columns = (
        arrivals.arrived.tolist(),
        arrivals.prompt.tolist(),
        arrivals.output.tolist(),
        repeat(0.0) if arrivals.priority is None else arrivals.priority.tolist(),
    )
    if arrivals.turns is None:
        requests = [
            Request(i, a, p, o, a >= warmup, session=i, priority=q)
            for i, (a, p, o, q) in enumerate(zip(*columns, strict=False))
        ]
        return requests, requests
    rows = zip(*columns, arrivals.think.tolist(), strict=False)
    first: list[Request] = []
    every: list[Request] = []
    for session, turns in enumerate(arrivals.turns.tolist()):
        before: Request | None = None
        for turn in range(turns):
            arrived, prompt, output, priority, think = next(rows)
            history = before.prompt + before.output if before else 0
            request = Request(
                -1, arrived, history + prompt, output, arrived >= warmup,
                session=session, turn=turn, history=history, think=think, priority=priority,
            )  # fmt: skip
            every.append(request)
            if before is None:
                first.append(request)
            else:
                before.next = request
            before = request
    return first, every
