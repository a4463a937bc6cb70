"""A result for people: the summary as lines of text."""

import math
from collections.abc import Iterator

import numpy as np

from tsdl.diagnostics.words import several
from tsdl.formula import COMPARISONS, Formula, every_part
from tsdl.plan import Plan
from tsdl.runtime.metrics import statistics
from tsdl.runtime.result import LATENCIES, Expectation, Result
from tsdl.runtime.stuck import lines_of
from tsdl.spending import unknown

_TITLES = {
    "ttft": "TTFT",
    "tpot": "TPOT",
    "itl": "ITL",
    "mtpot": "mTPOT",
    "e2e": "E2E",
    "queue": "queueing",
    "e2e_per_output_token": "E2E / token",
}
_MANY = 10_000  # from here on, no decimals
_HUGE = 1e15  # from here on, powers of ten
_WIDTH = 12  # of titles
_COLUMNS = ("mean", "p50", "p90", "p99", "max")


def duration(seconds: float | None) -> str:
    """Show a time in the unit that suits it."""
    if seconds is None or math.isnan(seconds):
        return "–"
    for limit, factor, unit in ((1e-3, 1e6, "us"), (1.0, 1e3, "ms"), (120.0, 1.0, "s")):
        if abs(seconds) < limit:
            return f"{seconds * factor:.4g} {unit}" if seconds else "0 s"
    if seconds < 7200:  # noqa: PLR2004
        return f"{seconds:,.1f} s"
    hours = seconds / 3600
    return f"{hours:,.2f} h" if hours < 1e6 else f"{hours:.3g} h"  # noqa: PLR2004


def size(amount: float) -> str:
    """Show bytes in the unit that suits it."""
    for limit, factor, unit in (
        (2**20, 2**10, "KiB"),
        (2**30, 2**20, "MiB"),
        (2**40, 2**30, "GiB"),
    ):
        if amount < limit:
            return f"{amount / factor:.1f} {unit}"
    return f"{amount / 2**40:.1f} TiB"


def energy(joules: float) -> str:
    """Show an energy in the unit that suits it."""
    for limit, factor, unit in ((3.6e3, 1, "J"), (3.6e6, 3.6e3, "Wh")):
        if abs(joules) < limit:
            return f"{_figure(joules / factor)} {unit}"
    return f"{_figure(joules / 3.6e6)} kWh"


def summary(result: Result) -> str:
    """Return the summary as it stands on a terminal."""
    s = result.summary
    requests, served = s["requests"], ", ".join(result.plan.served)
    lines = [
        f"{s['scenario']}: {served} under {result.plan.policy}, seed {s['seed']}",
        "",
    ]
    told = [f"{requests['finished']:,} finished of {requests['arrived']:,}"]
    told += [f"{requests[k]:,} {k}" for k in ("rejected", "unfinished") if requests[k]]
    if result.partial:
        lines.append(_row("PARTIAL", str(result.partial)))
    if requests["warmup"]:
        told.append(f"{requests['warmup']:,} in the warm-up not counted")
    lines.append(_row("requests", ", ".join(told)))
    lines += [_row("", line) for line in lines_of(result.stuck)]
    lines.append(_row("makespan", duration(s["makespan"])))
    lines.append(
        _row(
            "throughput",
            f"{_figure(s['throughput'])} req/s, {_figure(s['token_throughput'])} tokens/s",
        )
    )
    if result.plan.slo:
        bounds = ", ".join(condition.text for condition in result.plan.slo)
        lines.append(
            _row(
                "goodput",
                f"{_figure(s['goodput'])} req/s; {_percent(s['attainment'])} meet {bounds}",
            )
        )
    lines += ["", _row("", "".join(f"{c:>11}" for c in _COLUMNS))]
    for name in (*LATENCIES, "e2e_per_output_token"):
        cells = "".join(f"{duration(s['latency'][name][c]):>11}" for c in _COLUMNS)
        lines.append(_row(_TITLES[name], cells))
    lines += _recorded(result)
    lines += [*_classes(result), "", *_workers(result), *_moves(result), *_spending(result)]
    if result.expectations:
        lines.append("")
    for expectation in result.expectations:
        sign = "pass" if expectation.passed else "FAIL"
        came = _came_to(expectation, result)
        lines.append(f"  {sign}  expect {expectation.condition.text}{came}")
        for part in (part for part in expectation.parts if not part.passed):
            lines.append(f"        not {part.condition.text}{_came_to(part, result)}")
    return "\n".join(line.rstrip() for line in lines)


def _recorded(result: Result) -> list[str]:
    """Tell of the metrics that handlers recorded."""
    found = [(m, result.summary["metrics"][m.name]) for m in result.plan.metrics]
    rows = [
        (metric.name, "".join(f"{_measured(metric.measure, own[c]):>11}" for c in _COLUMNS))
        for metric, own in found
        if own["count"]
    ]
    width = max((_WIDTH, *(len(name) for name, _ in rows)))
    return [_row(name.ljust(width), cells) for name, cells in rows]


def _classes(result: Result) -> list[str]:
    """Tell of the requests of each class: by priorities and attributes of which there are few."""
    lines = []
    for name in result.plan.workload.classes:
        lines += _class(result, name)
    return lines


def _class(result: Result, name: str) -> list[str]:
    columns = [f"{s} {_TITLES[m]}" for m in ("ttft", "tpot") for s in ("mean", "p99")]
    of_slo = ["in SLO"] if result.plan.slo else []
    rows = [(name, ["requests", "finished", *columns, *of_slo])]
    for one, of in result.known.by(name):
        times = [t for m in ("ttft", "tpot") for t in statistics(of.metrics[m], (99,))]
        cells = [f"{of.totals[count]:,}" for count in ("arrived", "finished")]
        cells += map(duration, times)
        cells += [_percent(of.totals["attainment"])] if of_slo else []
        rows.append((result.plan.workload.told(name, one), cells))
    width = max(_WIDTH, *(len(title) for title, _ in rows))
    lines = [_row(title.ljust(width), "".join(f"{c:>11}" for c in cells)) for title, cells in rows]
    return ["", *lines] if len(lines) > 1 else []


def _came_to(expectation: Expectation, result: Result) -> str:
    """Return what the left side of a condition came to, or why that is not known."""
    lacking = unknown(expectation.condition.formula, result.plan)
    if lacking is not None:
        return f"   (`{lacking[0]}` cannot be known: {lacking[1]})"
    if expectation.value is not None:
        return f"   (it is {_measured(expectation.condition.measure, expectation.value)})"
    if not result.metrics.count:
        return "   (no counted request has finished)"
    if _asks_nobody(expectation):
        return "   (no such request has finished)"
    if expectation.passed:
        return ""
    if expectation.met is not None:
        held, count = expectation.met
        return f"   (it is so of {held:,} of {several(count, 'request')})"
    compared = expectation.condition.formula
    if isinstance(compared, Formula) and compared.operation in COMPARISONS:
        return "   (it has no value)"
    return ""


def _asks_nobody(expectation: Expectation) -> bool:
    """Tell whether what is compared is of some requests, of which there are none."""
    formula = expectation.condition.formula
    if expectation.value is not None or not isinstance(formula, Formula):
        return False
    compared = formula.operation in COMPARISONS
    return compared and any(p.operation == "where" for p in every_part(formula.arguments[0]))


def _measured(measure: str, value: float | None) -> str:
    """Show a value of what it measures in the unit that suits it."""
    if measure == "time":
        return duration(value)
    if measure == "data" and value is not None:
        return size(value)
    if measure == "energy" and value is not None:
        return energy(value)
    return _figure(value)


def _moves(result: Result) -> list[str]:
    """Tell of transfers between workers, and of tiers, where there were any."""
    lines, summary = [], result.summary
    transfers = summary["transfers"]
    if transfers["count"]:
        time = transfers["time"]
        said = f"{transfers['count']:,} of KV, {size(transfers['bytes'])}; on the way mean "
        said += f"{duration(time['mean'])}, p99 {duration(time['p99'])}"
        waited = np.asarray(result.metrics["transfer"])
        mean, p99 = statistics(waited[waited > 0], (99,))
        if mean > time["mean"] * 1.005:  # else nobody waited for a worker, a link or memory
            said += f"; with the wait before it {duration(mean)}, {duration(p99)}"
        lines.append(_row("transfers", said))
    for tier in summary["tiers"]:
        where = f"{tier['node']}.{tier['name']}" if tier["node"] else tier["name"]
        found = tier["token_hit_rate"]
        told = [f"peak {size(tier['peak'])} of {size(tier['capacity'])}"]
        if found is not None:
            told.append(
                f"{tier['hits']:,} hits of {tier['fetches']:,}, {_percent(found)} of tokens"
            )
        told.append(several(tier["evictions"], "eviction"))
        if tier["refused"]:
            told.append(f"{several(tier['refused'], 'store')} without room")
        lines.append(_row(where, ", ".join(told)))
    return lines


def _spending(result: Result) -> list[str]:
    """Tell what energy, money and carbon went into the run, as far as it is known."""
    lines = []
    cluster = result.summary["cluster"]
    if cluster["energy"] is not None:
        told = energy(cluster["energy"])
        if cluster["energy_per_token"] is not None:
            told += f", {_figure(cluster['energy_per_token'])} J/token"
        if cluster["carbon"] is not None:
            told += f"; {_figure(cluster['carbon'])} gCO2"
        lines.append(_row("energy", told))
    if cluster["cost"] is not None:
        told = f"{_figure(cluster['cost'])} USD"
        if cluster["cost_per_million_tokens"] is not None:
            told += f", {_figure(cluster['cost_per_million_tokens'])} USD per million tokens"
        lines.append(_row("cost", f"{told}: {', '.join(_paid_for(result.plan))}"))
    return lines


def _paid_for(plan: Plan) -> Iterator[str]:
    """Yield what a cost is of."""
    if not all(kind.rented for kind in plan.workers):
        yield "devices and electricity"
    elif any(kind.upkeep for kind in plan.workers):
        yield "devices"  # offloads that are bought, beside workers that are not
    if any(kind.rented or kind.rent for kind in plan.workers):
        yield "rent"


def _workers(result: Result) -> list[str]:
    """Sum up workers of one make on a line."""
    lines = []
    at, end = 0, result.summary["end"]
    for kind in result.plan.workers:
        group = result.summary["workers"][at : at + kind.count]
        at += kind.count
        up = sum(w["on"] for w in group)
        busy = sum(w["busy"] for w in group) / up if up else None
        peak = max(w["kv_peak"] / w["kv_capacity"] if w["kv_capacity"] else 0 for w in group)
        asked, found = (sum(w[f"tokens_{what}"] for w in group) for what in ("asked", "found"))
        hits = f", {_percent(found / asked)} of prompts found" if asked else ""
        drafts = sum(w["drafts"] for w in group)
        if drafts:
            gained = sum(w["drafts"] * w["acceptance_length"] for w in group if w["drafts"])
            hits += f", {_figure(gained / drafts)} tokens a decode"
        many = f"{kind.count} × " if kind.count > 1 else ""
        on = ""
        if kind.fewest is not None or kind.failures is not None:
            share = up / kind.count / end if end else None
            on = f"on {_percent(share)} of the time, "
        if kind.failures is not None:
            on = f"{several(sum(w['failures'] for w in group), 'failure')}, {on}"
        if kind.fewest is not None:
            many = f"{kind.fewest}..{kind.count} × "
        devices = f"{kind.devices} × " if kind.devices > 1 else ""
        served = f"{kind.model.name} on " if len(result.plan.models) > 1 else ""
        lines.append(
            _row(
                f"{many}{kind.node}.{kind.name}" if kind.node else f"{many}{kind.name}",
                f"{served}{devices}{kind.hardware}: {on}busy {_percent(busy)}, "
                f"KV peak {_percent(peak)} of {size(kind.kv.capacity)}, "
                f"{several(sum(w['iterations'] for w in group), 'iteration')}, "
                f"{several(sum(w['preemptions'] for w in group), 'preemption')}{hits}",
            )
        )
    return lines


def _row(title: str, text: str) -> str:
    return f"  {title:<{_WIDTH}} {text}"


def _figure(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "–"
    return f"{value:,.0f}" if _MANY <= abs(value) < _HUGE else f"{value:,.4g}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}".replace("%", " %")
