"""Figures to a table for people (in Markdown, for README.md) and to JSON."""

import json
from dataclasses import asdict

from benchmarks.measure import Goal, Measured

_UNITS = {"megabytes": "MB", "microseconds_each": "µs each", "ratio": "×", "speedup": "×"}
_WORDS = {
    "simulation": "simulation",
    "whole": "whole process",
    "reference": "reference engine",
    "ratio": "reference / engine",
    "megabytes": "peak memory",
    "microseconds_each": "simulation",
    "speedup": "two cores / one",
    "one_core": "one core, by the clock",
    "two_cores": "two cores, by the clock",
}
HEADER = """\
| benchmark | requests | iterations | what | goal | figure | met |
| --- | ---: | ---: | --- | ---: | ---: | --- |"""


def table(measured: list[Measured]) -> str:
    """Return the table, the notes on it, and the tables of growth."""
    lines = [HEADER]
    for one in measured:
        named = {goal.figure for goal in one.row.goals}
        lines += [_line(one, goal.figure, goal) for goal in one.row.goals]
        others = (
            "simulation", "whole", "summary", "reference", "ratio", "megabytes", "one_core",
            "two_cores",
        )  # fmt: skip
        lines += [_line(one, n, None) for n in others if n in one.figures and n not in named]
    notes = [
        f"{one.row.name}: the reference engine ran {one.reference_requests:,} requests; its time "
        f"for {one.requests:,} is reckoned from that."
        for one in measured
        if one.reference_requests < one.requests
    ]
    for one in measured:
        if one.growth:
            rows = "".join(
                f"\n| {size:,} | {seconds * size:.2f} | {seconds * 1e6:.2f} |"
                for size, seconds in one.growth.items()
            )
            notes.append(
                "| requests | simulation, s | µs for each |\n| ---: | ---: | ---: |" + rows
            )
    return "\n".join(lines) + "".join(f"\n\n{note}" for note in notes)


def _line(one: Measured, figure: str, goal: Goal | None) -> str:
    wanted = met = ""
    if goal is not None:
        wanted = f"{'≥' if goal.at_least else '≤'} {_shown(figure, goal.bound)}"
        if one.requests == one.row.requests or one.row.command:  # it is meant for these
            met = "yes" if goal.met(one.figures) else "no"
    iterations = f"{one.figures['iterations']:,.0f}" if "iterations" in one.figures else ""
    requests = f"{one.requests:,}" if one.requests else ""
    value = _shown(figure, one.figures[figure])
    what = _WORDS.get(figure, figure)
    return f"| {one.row.name} | {requests} | {iterations} | {what} | {wanted} | {value} | {met} |"


def _shown(figure: str, value: float) -> str:
    return f"{float(f'{value:.3g}'):,g} {_UNITS.get(figure, 's')}"


def as_json(measured: list[Measured]) -> str:
    """Return all figures as JSON."""
    rows = []
    for one in measured:
        found = asdict(one)
        row = found.pop("row")
        goals = [asdict(g) | {"met": g.met(one.figures)} for g in one.row.goals]
        rows.append({"name": row["name"], **found, "goals": goals})
    return json.dumps(rows, indent=2)
