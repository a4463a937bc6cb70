"""Small systems to be worked out by hand: every iteration of a run as a text, every time exact.

Requests are A, B, C, … in order of arrival. An iteration reads `2 A+16 B`: it starts at 2 s, holds
a chunk of 16 tokens of A's prompt, and a decode of B; in lower case, B is done and pads its batch.
The KV cache counts tokens; moving it to the host takes half a second, and a second per token.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase

import numpy as np

import tsdl
from tests.event_limits import limit_events
from tests.invariants import Watch
from tests.right_iterations import iteration_is_right
from tsdl.runtime.arrivals import Arrivals
from tsdl.runtime.batching import Iteration
from tsdl.runtime.engine import Engine
from tsdl.runtime.result import Result
from tsdl.runtime.worker import Worker

FILE = """edition "2026"
link slow {{ bandwidth = 0.5 MiB/s; latency = 500 ms }}
hardware box from A100_80G {{ host = slow }}
cost by_token {{ iteration = 1 s * tokens }}
cost written {{ iteration = {iteration} }}
kvcache exact from {kv} {{ block = {block} tokens; blocks = {blocks}; swap_space = {swap} MiB }}
model small from llama2_7b {{ context = {context} tokens }}
cluster few {{ worker gpu * {workers} {{ hardware = box; cost = {cost}; kv = exact; {worker} }} }}
policy own from {policy} {{
  local {{ watermark = {watermark} %; {local} }}
  global {{ on arrive(r) {{ dispatch r to {target} }} }}
}}
workload some {{
  requests = 1; arrivals = burst(); prompt = constant(1 tokens); output = constant(1 tokens)
  warmup = {warmup} s
}}
scenario by_hand {{ model = small; cluster = few; policy = own; workload = some; {more} }}
"""
USUAL: dict[str, object] = {
    "kv": "token_wise",
    "block": 1,
    "blocks": 1000,
    "swap": 1000,
    "context": 1000,
    "workers": 1,
    "worker": "",
    "cost": "constant_cost(1 s)",
    "iteration": "1 s",
    "policy": "continuous",
    "local": "",
    "watermark": 0,
    "target": "pick(w by w.outstanding for w in workers)",
    "warmup": 0,
    "more": "",
}
MOST_EVENTS = 20_000  # of any run here; beyond, it would never end

Row = tuple[float, int, int]  # arrival in seconds, tokens of the prompt, tokens of the answer


@dataclass
class Run:
    """A run, with its iterations by worker as texts."""

    result: Result
    iterations: dict[int, list[str]]

    def column(self, name: str) -> list[float]:
        """Return a column of the requests."""
        values: list[float] = self.result.requests[name].tolist()
        return values

    @property
    def status(self) -> list[str]:
        """Return how each request ended."""
        values: list[str] = self.result.requests["status"].tolist()
        return values

    @property
    def first(self) -> list[float]:
        """Return when each request had its first token."""
        return self.column("first_token")

    @property
    def last(self) -> list[float]:
        """Return when each request had its last token."""
        return self.column("last_token")


def plan_of(**given: object) -> tsdl.Plan:
    return tsdl.compile(FILE.format(**(USUAL | given)))


def run(rows: Sequence[Row], **given: object) -> Run:
    """Run requests through a system that `given` says, all else as usual."""
    return run_plan(plan_of(**given), rows)


def run_plan(plan: tsdl.Plan, rows: Sequence[Row]) -> Run:
    arrived, prompt, output = zip(*rows, strict=True)
    arrivals = Arrivals(
        np.array(arrived, dtype=np.float64),
        np.array(prompt, dtype=np.int64),
        np.array(output, dtype=np.int64),
    )
    watch = Watch()
    engine = Engine(plan, arrivals, 0, observer=watch)
    watch.follow(engine)
    seen: dict[int, list[str]] = defaultdict(list)
    for worker in engine.workers:
        _record(worker, seen[worker.id])
    limit_events(engine, MOST_EVENTS)
    return Run(Result(plan, 0, engine.run()), dict(seen))


def _record(worker: Worker, seen: list[str]) -> None:
    schedule = worker.schedule

    def recorded(now: float) -> Iteration | None:
        iteration = schedule(now)
        if iteration is not None:
            iteration.close()
            seen.append(_text(now, iteration))
            iteration_is_right(worker, iteration)
        return iteration

    setattr(worker, "schedule", recorded)  # noqa: B010 (mypy lets nobody assign to a method)


def _text(now: float, iteration: Iteration) -> str:
    parts = [f"{ascii_uppercase[r.id]}+{chunk}" for r, chunk in iteration.prefills]
    for request in iteration.decodes:
        letter = ascii_uppercase[request.id]
        parts.append(letter.lower() if request.done else letter)
    return f"{now:g} {' '.join(parts)}"
