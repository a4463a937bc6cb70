"""A result as the file of vLLM's own benchmark has it, so that its tools read it.

Names and definitions are those of vllm/benchmarks/serve.py (`main_async`, `benchmark`,
`calculate_metrics`; github.com/vllm-project/vllm, commit 009e6d4).
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tsdl.runtime.metrics import Metric, Weighted, mean, statistics
from tsdl.runtime.request import FINISHED
from tsdl.runtime.sums import exact_sum

if TYPE_CHECKING:
    from tsdl.planworkload import Draw
    from tsdl.runtime.result import Result
    from tsdl.runtime.timeline import Tokens

_METRICS = {"ttft": "ttft", "tpot": "tpot", "itl": "itl", "e2el": "e2e"}  # theirs, and ours
_PERCENTILES = (50, 90, 99)
_MILLISECONDS = 1e3


def vllm_json(result: Result) -> str:
    """Return what `vllm bench serve --save-result` writes, as JSON.

    With the time of each token (`result.tokens`) it is what `--save-detailed` writes, too.
    """
    found = _head(result) | _totals(result)
    if result.partial:
        found["partial"] = result.partial.data
    if result.tokens is not None:
        found |= _detail(result, result.tokens)
    for theirs, ours in _METRICS.items():
        found |= _statistics(theirs, result.metrics[ours])
    return json.dumps(found, allow_nan=False) + "\n"


def _head(result: Result) -> dict[str, Any]:
    """Return what the run was: what vLLM's users asked for on their command line."""
    plan = result.plan
    arrivals = plan.workload.arrivals
    return {
        "backend": "tsdl",
        "label": plan.scenario,
        "model_id": ", ".join(plan.served),
        "tokenizer_id": ", ".join(plan.served),
        "num_prompts": result.totals["arrived"],
        **(_traffic(arrivals) if arrivals is not None else {}),
        "max_concurrency": result.plan.workload.concurrency,
        "plan": plan.hash,
        "seed": result.seed,
    }


def _traffic(arrivals: Draw) -> dict[str, Any]:
    """Return rate and burstiness, the shape of a gamma distribution, where they can be said."""
    asked = dict(arrivals.parameters)
    match arrivals.name:
        case "poisson":
            return {"request_rate": asked["rate"], "burstiness": 1.0}
        case "gamma":
            return {"request_rate": asked["rate"], "burstiness": 1 / asked["cv"] ** 2}
        case "burst" if not asked.get("every") or "size" not in asked:
            return {"request_rate": "inf", "burstiness": 1.0}
    return {}


def _totals(result: Result) -> dict[str, Any]:
    totals = result.totals
    duration = totals["makespan"]
    prompts = int(np.asarray(result.metrics["prompt"]).sum())
    answers = int(np.asarray(result.metrics["output"]).sum())

    def per_second(amount: float) -> float | None:
        return amount / duration if duration > 0 else None

    return {
        "duration": duration,
        "completed": totals["finished"],
        "failed": totals["rejected"] + totals["unfinished"],
        "total_input_tokens": prompts,
        "total_output_tokens": answers,
        "request_throughput": per_second(totals["finished"]),
        "request_goodput": _known(totals["goodput"]) if result.plan.slo else None,
        "output_throughput": per_second(answers),
        "total_token_throughput": _known(totals["total_token_throughput"]),
    }


def _detail(result: Result, tokens: Tokens) -> dict[str, Any]:
    """Return lists of the counted requests, in order of arrival; who failed has no times."""
    columns = result.columns
    chosen = np.flatnonzero(columns["arrived"] >= result.plan.workload.warmup)
    status = columns["status"][chosen]
    finished = status == FINISHED
    # Stable: the tokens of each request stay in order of time.
    request = tokens.request
    order = np.argsort(request, kind="stable")
    times = tokens.time[order]
    ends = np.searchsorted(request[order], np.arange(columns.count), side="right")
    begins = np.concatenate(([0], ends[:-1])) if len(ends) else ends
    # Of tokens that come together, out of drafts, one has a gap.
    once = any(kind.local.speculation for kind in result.plan.workers)
    gaps = [
        [gap for gap in np.diff(times[begins[number] : ends[number]]).tolist() if gap or not once]
        if done
        else []
        for number, done in zip(chosen.tolist(), finished.tolist(), strict=True)
    ]
    return {
        "input_lens": columns["prompt"][chosen].tolist(),
        "output_lens": np.where(finished, columns["output"][chosen], 0).tolist(),
        "ttfts": np.where(finished, columns["ttft"][chosen], 0.0).tolist(),
        "itls": gaps,
        "start_times": columns["arrived"][chosen].tolist(),
        "generated_texts": [""] * len(chosen),
        "errors": np.where(finished, "", status).tolist(),
    }


def _statistics(name: str, metric: Metric) -> dict[str, float | None]:
    middle, *rest = statistics(metric, (50, *_PERCENTILES))
    found = {"mean": middle, "median": rest[0], "std": _deviation(metric)}
    found |= {f"p{p}": value for p, value in zip(_PERCENTILES, rest[1:], strict=True)}
    return {f"{what}_{name}_ms": _known(value * _MILLISECONDS) for what, value in found.items()}


def _deviation(metric: Metric) -> float:
    """Return the standard deviation of all values, as numpy's `std` does; NaN of nothing."""
    middle = mean(metric)
    if math.isnan(middle):
        return math.nan
    if isinstance(metric, Weighted):
        squares, count = (metric.values - middle) ** 2, len(metric)
        return math.sqrt(exact_sum(squares, metric.counts) / count)
    known = metric[~np.isnan(metric)]
    return math.sqrt(exact_sum((known - middle) ** 2) / len(known))


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
