"""What a run yields: columns, a summary, and whether what was expected came out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tsdl.plan import Condition, Plan
from tsdl.runtime import usage
from tsdl.runtime.metrics import (
    Metric,
    Nothing,
    Weighted,
    evaluate,
    greatest,
    holds,
    holds_each,
    mean,
    percentile,
)
from tsdl.runtime.request import FINISHED, REJECTED

if TYPE_CHECKING:
    from pandas import DataFrame

    from tsdl.runtime.engine import Outcome

Column = NDArray[Any]
LATENCIES = ("ttft", "tpot", "itl", "mtpot", "e2e", "queue")
PERCENTILES = (50, 90, 99)


@dataclass(frozen=True, slots=True)
class Expectation:
    """An `expect`: as written, what the left side came to, and whether it holds."""

    condition: Condition
    value: float | None
    passed: bool


class Result:
    """The outcome of one run.

    `requests` and `timeseries` are dictionaries of numpy columns; `summary` holds JSON values, with
    times in seconds, sizes in bytes, rates per second.
    """

    def __init__(self, plan: Plan, seed: int, outcome: Outcome) -> None:
        """Compute the columns and the summary of an outcome."""
        self.plan = plan
        self.seed = seed
        self.requests = _request_columns(outcome)
        self.timeseries = _sample_columns(outcome)
        self.records = _record_columns(outcome)
        self.log = outcome.notes.log
        self.metrics = self._metrics(outcome)
        self.totals = self._totals(outcome)
        self.expectations = [self._expectation(c) for c in plan.expects]
        self.summary = self._summary(outcome)

    @property
    def passed(self) -> bool:
        """Tell whether every `expect` holds."""
        return all(e.passed for e in self.expectations)

    def to_pandas(self) -> DataFrame:
        """Return the requests as a pandas DataFrame (pandas must be installed)."""
        import pandas as pd

        return pd.DataFrame(self.requests)

    # -- metrics -------------------------------------------------------------------------------

    def _counted(self) -> NDArray[np.bool_]:
        counted: NDArray[np.bool_] = self.requests["arrived"] >= self.plan.workload.warmup
        return counted

    def _metrics(self, outcome: Outcome) -> dict[str, Metric]:
        """Return one value per finished, counted request; and the gaps of all counted ones."""
        chosen = self._counted() & (self.requests["status"] == FINISHED)
        names = ("ttft", "tpot", "mtpot", "e2e", "queue", "transfer", "prompt", "output")
        found: dict[str, Metric] = {
            name: self.requests[name][chosen].astype(np.float64) for name in names
        }
        length = np.array(outcome.gap_length, dtype=np.float64)
        count = np.array(outcome.gap_count, dtype=np.int64)
        values, place = np.unique(length, return_inverse=True)
        counts = np.zeros(len(values), dtype=np.int64)
        np.add.at(counts, place, count)
        found["itl"] = Weighted(values, counts)
        return found

    def _totals(self, outcome: Outcome) -> dict[str, float]:
        columns, counted = self.requests, self._counted()
        status = columns["status"][counted]
        finished = int((status == FINISHED).sum())
        arrived = int(counted.sum())
        rejected = int((status == REJECTED).sum())
        last = columns["last_token"][counted]
        begin = float(columns["arrived"][counted][0]) if arrived else 0.0
        end = float(np.nanmax(last)) if arrived and not np.isnan(last).all() else begin
        span = end - begin
        good = self._good(arrived)
        workers = outcome.workers
        busy = math.fsum(w.busy for w in workers)
        generated = int(columns["generated"][counted].sum())

        def per_second(amount: float) -> float:
            return amount / span if span > 0 else math.nan

        return {
            "arrived": arrived,
            "finished": finished,
            "rejected": rejected,
            "unfinished": arrived - finished - rejected,
            "makespan": span,
            "throughput": per_second(finished),
            "token_throughput": per_second(generated),
            "goodput": per_second(good),
            "attainment": good / arrived if arrived else math.nan,
            "preemptions": sum(w.preemptions for w in workers),
            "utilization": busy / (len(workers) * outcome.end) if outcome.end > 0 else math.nan,
            "kv_peak": max(
                (w.memory.peak / w.memory.capacity for w in workers if w.memory.capacity),
                default=0.0,
            ),
            **usage.totals(outcome),
        }

    def _good(self, arrived: int) -> int:
        """Return how many counted requests finished within every bound of the SLO."""
        if not arrived:
            return 0
        count = len(np.asarray(self.metrics["e2e"]))
        good = np.ones(count, dtype=bool)
        for condition in self.plan.slo:
            good &= holds_each(condition.formula, dict(self.metrics), count)
        return int(good.sum())

    def _expectation(self, condition: Condition) -> Expectation:
        known: dict[str, object] = {**self.metrics, **self.totals}
        passed = holds(condition.formula, known)
        formula = condition.formula
        left = getattr(formula, "arguments", (None,))[0]
        try:
            value = evaluate(left, known) if left is not None else None
        except Nothing:
            value = None
        number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        shown = float(value) if number else None  # type: ignore[arg-type]
        return Expectation(condition, shown, passed)

    # -- summary -------------------------------------------------------------------------------

    def _summary(self, outcome: Outcome) -> dict[str, Any]:
        totals = self.totals
        latency = {name: _statistics(self.metrics[name]) for name in LATENCIES}
        output = np.asarray(self.metrics["output"])
        with np.errstate(divide="ignore", invalid="ignore"):
            normalized = np.asarray(self.metrics["e2e"]) / output
        latency["e2e_per_output_token"] = _statistics(normalized)
        counts = ("arrived", "finished", "rejected", "unfinished")
        return {
            "scenario": self.plan.scenario,
            "plan": self.plan.hash,
            "seed": self.seed,
            "requests": {
                **{name: totals[name] for name in counts},
                "warmup": len(self.requests["id"]) - totals["arrived"],
                "stuck": outcome.stuck,
            },
            **{
                name: _number(totals[name])
                for name in (
                    "makespan",
                    "throughput",
                    "token_throughput",
                    "goodput",
                    "attainment",
                    "utilization",
                    "preemptions",
                )
            },
            "latency": latency,
            "tokens": {
                "prompt": _statistics(self.metrics["prompt"]),
                "output": _statistics(self.metrics["output"]),
            },
            "cluster": usage.cluster(self.plan, totals),
            "transfers": {
                "count": len(outcome.notes.transfers),
                "bytes": sum(size for size, _ in outcome.notes.transfers),
                "time": _statistics(np.array([t for _, t in outcome.notes.transfers])),
            },
            "tiers": [usage.tier(tier) for tier in outcome.tiers],
            "workers": [
                {
                    "id": w.id,
                    "name": w.kind.name,
                    "node": w.node,
                    "hardware": w.kind.hardware,
                    "devices": w.kind.devices,
                    "iterations": w.iterations,
                    "busy": w.busy,
                    "utilization": _number(w.busy / outcome.end if outcome.end > 0 else math.nan),
                    "preemptions": w.preemptions,
                    "kv_capacity": w.memory.capacity,
                    "kv_peak": w.memory.peak,
                }
                for w in outcome.workers
            ],
            "end": outcome.end,
            "expect": [
                {
                    "text": e.condition.text,
                    "value": None if e.value is None else _number(e.value),
                    "passed": e.passed,
                }
                for e in self.expectations
            ],
        }


def _number(value: float) -> float | None:
    """Return a number for JSON, which knows no NaN."""
    return value if math.isfinite(value) else None


def _statistics(metric: Metric) -> dict[str, float | None]:
    return {
        "mean": _number(mean(metric)),
        **{f"p{p}": _number(percentile(metric, p)) for p in PERCENTILES},
        "max": _number(greatest(metric)),
    }


def _request_columns(outcome: Outcome) -> dict[str, Column]:
    requests = outcome.requests

    def times(name: str) -> NDArray[np.float64]:
        found = (getattr(r, name) for r in requests)
        return np.array([math.nan if t is None else t for t in found], dtype=np.float64)

    def whole(name: str) -> NDArray[np.int64]:
        return np.array([getattr(r, name) for r in requests], dtype=np.int64)

    arrived, started = times("arrived"), times("started")
    first, last = times("first"), times("last")
    output, generated = whole("output"), whole("generated")
    status = np.array([r.status for r in requests], dtype="<U10")
    finished = status == FINISHED
    several = finished & (output > 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        tpot = np.where(several, (last - first) / (output - 1), math.nan)
    return {
        "id": whole("id"),
        "arrived": arrived,
        "prompt": whole("prompt"),
        "output": output,
        "generated": generated,
        "worker": whole("worker"),
        "status": status,
        "started": started,
        "first_token": first,
        "last_token": last,
        "queue": started - arrived,
        "ttft": first - arrived,
        "tpot": tpot,
        "mtpot": np.where(several, times("largest_gap"), math.nan),
        "e2e": np.where(finished, last - arrived, math.nan),
        "preemptions": whole("preemptions"),
        "session": whole("session"),
        "turn": whole("turn"),
        "cached": whole("cached"),
        "transferred": whole("moved"),
        "transfer": np.array([r.moving for r in requests], dtype=np.float64),
    }


def _record_columns(outcome: Outcome) -> dict[str, Column]:
    """Return what handlers recorded: time, worker (-1 for the global stage), name, value."""
    records = outcome.notes.records
    return {
        "time": np.array([r[0] for r in records], dtype=np.float64),
        "worker": np.array([r[1] for r in records], dtype=np.int64),
        "name": np.array([r[2] for r in records], dtype=np.str_),
        "value": np.array([r[3] for r in records], dtype=np.float64),
    }


def _sample_columns(outcome: Outcome) -> dict[str, Column]:
    samples = outcome.samples
    return {
        "time": np.array(samples.time, dtype=np.float64),
        **{
            name: np.array(getattr(samples, name), dtype=np.int64)
            for name in ("worker", "queued", "running", "kv_used")
        },
    }
