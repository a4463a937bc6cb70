"""What a run yields: columns, a summary, and whether what was expected came out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct

from tsdl.formula import RECORDED, Value
from tsdl.measures import of_requests
from tsdl.plan import Condition, Plan
from tsdl.runtime import gaps, usage
from tsdl.runtime.among import Among
from tsdl.runtime.beyond import warnings
from tsdl.runtime.columns import Column, Requests
from tsdl.runtime.metrics import Metric, Nothing, evaluate, holds, statistics
from tsdl.runtime.parquet import UNITS, about
from tsdl.runtime.samples import ROUTER
from tsdl.runtime.steadiness import growth_of, piling_up, too_short
from tsdl.runtime.tables import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pandas import DataFrame

    from tsdl.runtime.outcome import Outcome
    from tsdl.runtime.samples import Samples
    from tsdl.runtime.timeline import Timeline
    from tsdl.runtime.watched import Watch

LATENCIES = ("ttft", "tpot", "itl", "mtpot", "e2e", "queue")
PERCENTILES = (50, 90, 99)


class Expectation(Struct, frozen=True):
    """An `expect`: as written, what the left side came to, and whether it holds.

    Of one that is asked of each request `met` says how many meet it, and of how many. Where `and`
    joins several conditions, `parts` are these.
    """

    condition: Condition
    value: float | None
    passed: bool
    met: tuple[int, int] | None = None
    parts: tuple[Expectation, ...] = ()


class Result:
    """The outcome of one run.

    `requests`, `timeseries`, `states` and `records` are tables of numpy columns, made when they are
    asked for (`columns` has those of requests one by one); `summary` holds JSON values, with times
    in seconds, sizes in bytes, rates per second. `warnings` are diagnostics: first those of the
    plan, then of what the run asked of its tables and they do not have, and of requests that pile
    up; `steady` tells whether they do not (None where that is not known). `timeline` and `tokens`
    (when users had them) are what was noted of iterations and tokens, None where nobody asked for
    it. `stuck` are groups of requests that wait for the same for ever, with what that is as text.
    `partial` says where a limit has stopped the run (None: nowhere); all else is then of what
    happened until there.
    """

    def __init__(self, plan: Plan, seed: int, outcome: Outcome, watch: Watch | None = None) -> None:
        """Compute the columns and the summary of an outcome."""
        self.plan = plan
        self.seed = seed
        self.timeline: Timeline | None = watch.timeline if watch else None
        self.columns = Requests(outcome.requests, [w.local for w in outcome.workers])
        noted = watch.tokens if watch else None
        self.tokens = None if noted is None else self.columns.seen(noted.columns())
        self._samples, self._records = outcome.samples, outcome.notes.records
        self._states = outcome.states
        self.log = outcome.notes.log
        self.partial = outcome.stopped
        self.stuck = outcome.stuck
        counted = self.columns["arrived"] >= plan.workload.warmup
        growth = growth_of(plan.workload, self.columns, counted)
        self.steady = growth.steady if growth is not None else None
        self.warnings = [*plan.warnings, *warnings(outcome.workers)]
        if growth is not None and not growth.steady:
            self.warnings.append(piling_up(growth))
        elif brief := too_short(plan.workload, self.columns, counted):
            self.warnings.append(brief)
        found = gaps.weighted(outcome.gap_length, outcome.gap_count)
        others = {"itl": found, **self._recorded()}
        self.known = Among(self.columns, counted, others, plan.slo)
        self.metrics = self.known.metrics
        self.totals = self.known.totals
        self.totals.update(self._of_the_run(outcome))
        self.totals["steady"] = self.steady is not False
        self.expectations = [self._expectation(c) for c in plan.expects]
        self.summary = self._summary(outcome)

    @property
    def passed(self) -> bool:
        """Tell whether every `expect` holds, nothing is stuck, and no limit has stopped the run."""
        if self.partial or self.summary["requests"]["stuck"]:
            return False
        return all(e.passed for e in self.expectations)

    # -- tables --------------------------------------------------------------------------------

    @cached_property
    def requests(self) -> Table:
        """The columns of requests.csv (SPEC.md, section 9.3), a row for each that has arrived.

        Arrays of shape (requests,): times in seconds, `transfer` and `priority` (where there are
        priorities) float64, NaN for what never happened; counts, tokens and bytes int64; `status`
        text.
        """
        return self._table({name: self.columns[name] for name in self.columns})

    @cached_property
    def timeseries(self) -> Table:
        """The columns of timeseries.csv: the state of each worker at some times.

        Worker -1 is the router, which is there if anybody was ever pending. Arrays of one length:
        `time` in seconds float64; `worker`, `queued` and `running` (requests) and `kv_used` (bytes)
        int64.
        """
        return self._table(_sample_columns(self._samples))

    @cached_property
    def states(self) -> Table:
        """When workers that may be scaled or fail came to another state: time, worker, state.

        Arrays of shape (turns,) in order of time, then worker: float64 (seconds), int64, text,
        which is `up`, `starting`, `draining`, `down` or `broken`. Each has one at 0.
        """
        return self._table(_state_columns(self._states))

    @cached_property
    def records(self) -> Table:
        """What handlers recorded: time (seconds), worker (-1: the global stage), name, value.

        Arrays of shape (records,) in order of time: float64, int64, text, float64.
        """
        return self._table(_record_columns(self._records))

    def _table(self, columns: Mapping[str, Column]) -> Table:
        return Table(columns, UNITS, about(self))

    def to_pandas(self) -> DataFrame:
        """Return the requests as a pandas DataFrame. Raises ImportError without pandas."""
        return self.requests.to_pandas()

    def measure(self, formula: Value) -> float | None:
        """Return what a formula of metrics and totals comes to; None where it is undefined.

        A condition on every request is 1 where it holds for all of them, else 0: also of none.
        """
        try:
            found = np.asarray(evaluate(formula, self.known))
        except Nothing:
            return None
        if found.dtype == bool:
            return float(found.size > 0 and found.all())
        return _number(float(found))

    def to_arrow(self) -> Any:  # noqa: ANN401 (pyarrow has no types of its own)
        """Return the requests as a pyarrow Table, whose columns say their unit.

        Values that there are not are null. Raises ImportError, which names the extra.
        """
        return self.requests.to_arrow()

    # -- all else ------------------------------------------------------------------------------

    def write(self, folder: str | PathLike[str], *, table_format: str = "csv") -> None:
        """Write the files of `tsdl run --out` into a folder, which is made: all of them or none.

        `table_format` is `csv` or `parquet`. Raises OSError, ValueError for another format, and
        ImportError, which names the extra, where Parquet needs it.
        """
        from tsdl.runtime.files import FORMATS, write

        if table_format not in FORMATS:
            known = ", ".join(FORMATS)
            raise ValueError(f"there is no format {table_format!r} of tables; there are {known}")
        write(self, Path(folder), table_format)

    def write_trace(self, path: str | PathLike[str]) -> None:
        """Write the trace in the Trace Event Format, for Perfetto; compressed if it ends in .gz.

        Raises OSError, and ValueError where the run was not traced (`plan.run(trace=True)`).
        """
        from tsdl.runtime.files import write_trace

        write_trace(self, Path(path))

    def __repr__(self) -> str:
        """Say what was run and what came of it."""
        counts, ttft = self.summary["requests"], self.summary["latency"]["ttft"]["p99"]
        told = f"{counts['finished']:,} finished of {counts['arrived']:,}"
        if ttft is not None:
            told += f", p99 of TTFT {ttft:.4g} s"
        if counts["stuck"]:
            told += f", {len(counts['stuck']):,} stuck"
        if self.partial:
            told += f", {self.partial}"
        elif self.expectations:
            told += ", passed" if self.passed else ", FAILED"
        return f"<Result of {self.plan.scenario}, seed {self.seed}: {told}>"

    def _repr_html_(self) -> str:
        """Return the summary as a notebook shows it."""
        from tsdl.runtime.html import result_html

        return result_html(self)

    # -- metrics -------------------------------------------------------------------------------

    def _recorded(self) -> dict[str, Metric]:
        """Return what handlers recorded of each metric of the plan, after the warm-up."""
        found: dict[str, list[float]] = {metric.name: [] for metric in self.plan.metrics}
        warmup = self.plan.workload.warmup
        for time, _, name, value in self._records:
            if name in found and time >= warmup:
                found[name].append(value)
        return {f"{RECORDED}{name}": np.array(values) for name, values in found.items()}

    def _of_the_run(self, outcome: Outcome) -> dict[str, float]:
        """Return the totals that are of no single request."""
        workers = outcome.workers
        busy = math.fsum(w.busy for w in workers)
        on = math.fsum(outcome.time_on(worker) for worker in workers)
        return {
            "token_throughput_per_device": self.totals["token_throughput"]
            / usage.devices(self.plan),
            "preemptions": sum(w.preemptions for w in workers),
            "failures": sum(outcome.failures.values()),
            "utilization": busy / on if on > 0 else math.nan,
            "kv_peak": max(
                (w.memory.peak / w.memory.capacity for w in workers if w.memory.capacity),
                default=0.0,
            ),
            **usage.totals(outcome, self.plan.site, int(self.columns.part("generated").sum())),
        }

    def _expectation(self, condition: Condition) -> Expectation:
        passed = holds(condition.formula, self.known)
        formula = condition.formula
        left = getattr(formula, "arguments", (None,))[0]
        try:
            value = evaluate(left, self.known) if left is not None else None
        except Nothing:
            value = None
        number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        shown = float(value) if number else None  # type: ignore[arg-type]
        parts = tuple(map(self._expectation, condition.parts))
        met = None
        if of_requests(formula) and not parts:
            with suppress(Nothing):
                found = np.asarray(evaluate(formula, self.known))
                met = int(found.sum()), found.size
        return Expectation(condition, shown, passed, met, parts)

    # -- summary -------------------------------------------------------------------------------

    def _summary(self, outcome: Outcome) -> dict[str, Any]:
        totals, transfers = self.totals, outcome.notes.transfers
        failures = outcome.failures
        latency = {name: _statistics(self.metrics[name]) for name in LATENCIES}
        with np.errstate(divide="ignore", invalid="ignore"):
            normalized = np.asarray(self.metrics["e2e"])
            normalized /= np.asarray(self.metrics["output"])
        latency["e2e_per_output_token"] = _statistics(normalized)
        counts = ("arrived", "finished", "rejected", "unfinished")
        return {
            "scenario": self.plan.scenario,
            "plan": self.plan.hash,
            "seed": self.seed,
            "requests": {
                **{name: totals[name] for name in counts},
                "warmup": self.columns.count - totals["arrived"],
                "stuck": sorted(i for group in outcome.stuck for i in group.requests),
            },
            **{
                name: _number(totals[name])
                for name in (
                    "makespan",
                    "throughput",
                    "token_throughput",
                    "total_token_throughput",
                    "token_throughput_per_device",
                    "goodput",
                    "attainment",
                    "utilization",
                    "preemptions",
                    "failures",
                    "kv_peak",
                    "hit_rate",
                    "transferred",
                    "acceptance_length",
                )
            },
            "latency": latency,
            "metrics": {name: self._own(name) for name in (m.name for m in self.plan.metrics)},
            "tokens": {
                "prompt": _statistics(self.metrics["prompt"]),
                "output": _statistics(self.metrics["output"]),
            },
            "cluster": usage.cluster(self.plan, totals),
            "transfers": {
                "count": len(transfers.size),
                "bytes": sum(transfers.size),
                "time": _statistics(np.array(transfers.seconds)),
            },
            "tiers": [usage.tier(tier) for tier in outcome.tiers],
            "workers": [
                {
                    "id": w.id,
                    "name": w.kind.name,
                    "node": w.node,
                    "hardware": w.kind.hardware,
                    "model": w.kind.model.name,
                    "devices": w.kind.devices,
                    "iterations": w.iterations,
                    "on": on,
                    "busy": w.busy,
                    "prefilling": w.prefilling,
                    "energy": _number(usage.energy(w, on, outcome.end)),
                    "utilization": _number(w.busy / on if on > 0 else math.nan),
                    "preemptions": w.preemptions,
                    "failures": failures[w.id],
                    "kv_capacity": w.memory.capacity,
                    "kv_peak": w.memory.peak,
                    "drafts": w.drafts.made if w.drafts else 0,
                    "acceptance_length": w.drafts.length if w.drafts else None,
                    "tokens_asked": w.memory.asked,
                    "tokens_found": w.memory.found,
                    "kv_hit_rate": w.memory.found / w.memory.asked if w.memory.asked else None,
                }
                for w in outcome.workers
                for on in [outcome.time_on(w)]
            ],
            "steady": self.steady,
            "end": outcome.end,
            "partial": outcome.stopped.data if outcome.stopped else None,
            "expect": [
                {
                    "text": e.condition.text,
                    "value": None if e.value is None else _number(e.value),
                    "passed": e.passed,
                }
                for e in self.expectations
            ],
        }

    def _own(self, name: str) -> dict[str, float | None]:
        """Return how often a metric was recorded, and statistics of what was."""
        values = self.metrics[f"{RECORDED}{name}"]
        return {"count": len(values), **_statistics(values)}


def _number(value: float) -> float | None:
    """Return a number for JSON, which knows no NaN."""
    return value if math.isfinite(value) else None


def _statistics(metric: Metric) -> dict[str, float | None]:
    names = ("mean", *(f"p{p}" for p in PERCENTILES), "max")
    return dict(zip(names, map(_number, statistics(metric, (*PERCENTILES, 100))), strict=True))


def _record_columns(records: Sequence[tuple[float, int, str, float]]) -> dict[str, Column]:
    return {
        "time": np.array([r[0] for r in records], dtype=np.float64),
        "worker": np.array([r[1] for r in records], dtype=np.int64),
        "name": np.array([r[2] for r in records], dtype=np.str_),
        "value": np.array([r[3] for r in records], dtype=np.float64),
    }


def _state_columns(states: Sequence[tuple[float, int, str]]) -> dict[str, Column]:
    return {
        "time": np.array([s[0] for s in states], dtype=np.float64),
        "worker": np.array([s[1] for s in states], dtype=np.int64),
        "state": np.array([s[2] for s in states], dtype=np.str_),
    }


def _sample_columns(samples: Samples) -> dict[str, Column]:
    """Return the rows of workers, and those of the router where anybody was ever pending."""
    found = {
        "time": np.array(samples.time, dtype=np.float64),
        **{
            name: np.array(getattr(samples, name), dtype=np.int64)
            for name in ("worker", "queued", "running", "kv_used")
        },
    }
    router = found["worker"] == ROUTER
    if found["queued"][router].any():
        return found
    return {name: column[~router] for name, column in found.items()}
