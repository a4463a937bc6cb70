"""Results of runs that went as one tells them, request by request."""

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

import tsdl
from tsdl.runtime.arrivals import Arrivals
from tsdl.runtime.engine import Engine
from tsdl.runtime.ledger import Ledger
from tsdl.runtime.outcome import Outcome
from tsdl.runtime.request import FINISHED, REJECTED, UNFINISHED, Request
from tsdl.runtime.result import Result
from tsdl.runtime.samples import Samples
from tsdl.runtime.sessions import Sessions
from tsdl.runtime.system import Notes

FILE = """edition "2026"
slo own {{ {slo} }}
cluster one {{ worker gpu {{ hardware = A100_80G; cost = constant_cost(1 s) }} }}
workload some {{
  requests = 1; arrivals = burst(); prompt = constant(8 tokens); output = constant(3 tokens)
  warmup = {warmup} s
}}
scenario told {{ model = llama2_7b; cluster = one; workload = some; slo = own; {more} }}
"""
NOBODY = Arrivals(np.zeros(0), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))


@dataclass(frozen=True)
class Told:
    """A request as one tells it: when it arrived, when its tokens came, how many it wanted."""

    arrived: float
    tokens: Sequence[float] = ()
    output: int | None = None
    prompt: int = 8
    status: str | None = None
    started: float | None = None
    priority: float = 0.0


def request_of(number: int, told: Told, warmup: float) -> Request:
    output = len(told.tokens) if told.output is None else told.output
    request = Request(number, told.arrived, told.prompt, output, told.arrived >= warmup)
    request.generated = len(told.tokens)
    request.priority = told.priority
    request.status = told.status or (FINISHED if len(told.tokens) == output else UNFINISHED)
    if told.tokens:
        request.started = told.arrived if told.started is None else told.started
        request.first, request.last = told.tokens[0], told.tokens[-1]
        request.largest_gap = max(gaps_of(told), default=0.0)
    return request


def ledger_of(requests: Sequence[Request]) -> Ledger:
    whole = (np.array([getattr(r, name) for r in requests]) for name in ("prompt", "output"))
    arrived = np.array([r.arrived for r in requests], dtype=np.float64)
    priorities = np.array([r.priority for r in requests])
    arrivals = Arrivals(arrived, next(whole), next(whole), priorities if priorities.any() else None)
    ledger = Ledger(Sessions(arrivals, warmup=0))
    for request in requests:
        ledger.open(request)
    ledger.end()
    return ledger


def gaps_of(told: Told) -> list[float]:
    return [b - a for a, b in zip(told.tokens, told.tokens[1:], strict=False)]


def result_of(
    *requests: Told, slo: str = "ttft <= 1 s", more: str = "", warmup: float = 0, end: float = 100
) -> Result:
    """Return the result of a run that went as told."""
    plan = tsdl.compile(FILE.format(slo=slo, more=more, warmup=warmup))
    gaps = Counter(g for told in requests if told.arrived >= warmup for g in gaps_of(told))
    outcome = Outcome(
        requests=ledger_of([request_of(i, told, warmup) for i, told in enumerate(requests)]),
        workers=Engine(plan, NOBODY, 0).workers,
        tiers=[],
        notes=Notes(),
        gap_length=array("d", gaps.keys()),
        gap_count=array("q", gaps.values()),
        samples=Samples(),
        stuck=[],
        end=end,
        events=0,
        on={},
        states=[],
    )
    return Result(plan, 0, outcome)


FIVE = (
    Told(0, (0.5, 1.0, 1.5)),  # good
    Told(0, (0.5, 1.0, 9.0)),  # too slow between two tokens
    Told(0, (4.0,)),  # too late
    Told(0, status=REJECTED),
    Told(0, (0.5, 1.0), output=9),
)
