"""Results and plans as small tables for notebooks: HTML that needs nothing else."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from tsdl.runtime.text import duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tsdl.plan import Plan
    from tsdl.runtime.result import Result

_STATISTICS = ("mean", "p50", "p90", "p99", "max")
_SHOWN = ("ttft", "tpot", "itl", "e2e", "queue")


def result_html(result: Result) -> str:
    """Return the summary of a result as HTML; whatever comes from files is escaped."""
    found = result.summary
    counts = found["requests"]
    told = [f"{counts['finished']:,} finished of {counts['arrived']:,}"]
    told += [f"{counts[name]:,} {name}" for name in ("rejected", "unfinished") if counts[name]]
    rows: list[tuple[str, ...]] = [
        ("requests", ", ".join(told)),
        ("makespan", duration(found["makespan"])),
        ("throughput", f"{_number(found['throughput'])} req/s"),
        ("", f"{_number(found['token_throughput'])} tokens/s"),
    ]
    for name in _SHOWN:
        cells = (duration(found["latency"][name][what]) for what in _STATISTICS)
        rows.append((name, *cells))
    rows.insert(4, ("", *_STATISTICS))
    for expectation in result.expectations:
        sign = "✓" if expectation.passed else "✗"
        rows.append((f"expect {sign}", expectation.condition.text))
    head = f"{found['scenario']}: {', '.join(result.plan.served)} under {result.plan.policy}"
    return _table(f"{head}, seed {found['seed']}", rows)


def plan_html(plan: Plan) -> str:
    """Return what a plan would run as HTML; whatever comes from files is escaped."""
    rows: list[tuple[str, ...]] = [("model", ", ".join(plan.served)), ("policy", plan.policy)]
    rows += [("workers", text) for text in workers(plan)]
    rows.append(("workload", f"{plan.workload.name}{_requests(plan)}"))
    rows += [("slo", condition.text) for condition in plan.slo]
    rows += [("expect", condition.text) for condition in plan.expects]
    rows += [("seed", str(plan.seed)), ("hash", plan.hash)]
    return _table(f"plan {plan.scenario}", rows)


def workers(plan: Plan) -> list[str]:
    """Return each group of workers as a text: how many, of how many devices."""
    found = []
    for kind in plan.workers:
        devices = f"{kind.devices} × {kind.hardware}" if kind.devices > 1 else kind.hardware
        found.append(f"{kind.count} × {kind.name} ({devices})" if kind.count > 1 else devices)
    return found


def _requests(plan: Plan) -> str:
    count = plan.workload.requests
    return f", {count:,} requests" if count is not None else ""


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.4g}"


def _table(title: str, rows: Iterable[Sequence[str]]) -> str:
    """Return rows of a name and its values, the last of which takes the rest of its row."""
    lines = [f'<table><caption style="text-align:left"><b>{escape(title)}</b></caption>']
    for name, *cells in rows:
        rest = f' colspan="{len(_STATISTICS)}"' if len(cells) == 1 else ""
        body = "".join(
            f'<td{rest} style="text-align:left">{escape(cell, quote=False)}</td>' for cell in cells
        )
        lines.append(f'<tr><th style="text-align:left">{escape(name)}</th>{body}</tr>')
    return "\n".join([*lines, "</table>"])
