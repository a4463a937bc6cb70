"""What a study comes to: a row for each point, with means over seeds and how sure they are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from html import escape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from tsdl.studies import sides
from tsdl.studies.figures import measured, scale
from tsdl.studies.pictures import known, picture_data
from tsdl.studies.points import FOUND, Infeasible, Points
from tsdl.studies.rows import Row, Values, grouped
from tsdl.studies.work import told_stuck

if TYPE_CHECKING:
    from pandas import DataFrame

    from tsdl.formula import Atom
    from tsdl.lower.questions import Asked, Expectation, Study
    from tsdl.plan import Plan
    from tsdl.runtime.tables import Table
    from tsdl.studies.asking import Unit


_RUN = ("ok", "stuck")  # of rows whose runs have come to their end


class Expected(Struct, frozen=True):
    """An `expect`: as written, whether it holds, and the points at which it does not.

    Of points that differ only in columns that the condition does not depend on there is one,
    without these columns. `told` has the numbers at the first one, or why there are none.
    """

    text: str
    passed: bool
    failed: tuple[dict[str, Atom], ...]
    told: str = ""


class Answer:
    """The outcome of a study: rows in order, its expectations, and how much was run.

    `warnings` are diagnostics: of the study, then of the plans of its points.
    """

    def __init__(self, points: Points, units: list[Unit], seed: int | None) -> None:
        """Compute rows from units, in the order of points, then seeds."""
        self.points = points
        self.study: Study = points.study
        self.seed = seed
        self.warnings = points.warnings()
        count = self.study.replicates
        groups = [units[i : i + count] for i in range(0, len(units), count)]
        self._all = [self._row(group) for group in groups]
        self.values = Values(points, self._all)
        self.rows = self._best(self._all)
        self.values.keep(self.rows)
        for row in self.rows:
            row.notes = self._notes(row.units)
            row.figures = {a.text: self.values.figure(row, a) for a in self.study.table}
        if self.study.pareto:
            self._mark()
        self.expectations = [self._expected(expected) for expected in self.study.expects]

    def __repr__(self) -> str:
        """Say what was asked and how much of it was answered."""
        good = sum(row.status == "ok" for row in self._all)
        told = f"{good:,} of {len(self._all):,} points"
        if self.expectations or not self.passed:
            told += ", passed" if self.passed else ", FAILED"
        return f"<Answer of {self.study.name}: {told}>"

    def _repr_html_(self) -> str:
        """Return the table and the expectations as a notebook shows them."""
        from tsdl.studies.text import describe

        return f"<pre>{escape(describe(self))}</pre>"

    @cached_property
    def table(self) -> Table:
        """The columns of study.csv (SPEC.md, section 10.3), a row for each of `rows`.

        Arrays of shape (rows,) in base units: params as they are, figures float64, NaN where they
        are undefined, `status` text, `pareto` bool.
        """
        from tsdl.studies.files import table_of

        return table_of(self)

    def write(self, folder: str | PathLike[str]) -> None:
        """Write the files of `tsdl run --study --out` into a folder, which is made: all or none.

        Raises OSError.
        """
        from tsdl.studies.files import write

        write(self, Path(folder))

    def to_pandas(self) -> DataFrame:
        """Return `table` as a pandas DataFrame. Raises ImportError without pandas."""
        return self.table.to_pandas()

    def to_arrow(self) -> Any:  # noqa: ANN401 (pyarrow has no types of its own)
        """Return `table` as a pyarrow Table, whose columns say their unit. Raises ImportError."""
        return self.table.to_arrow()

    @property
    def passed(self) -> bool:
        """Tell whether it is complete, every `expect` holds, and no row is stuck."""
        return self.complete and self.met

    @property
    def met(self) -> bool:
        """Tell whether every `expect` holds and no row is stuck, of as much as there is."""
        stuck = any(row.status == "stuck" for row in self.rows)
        return not stuck and all(e.passed for e in self.expectations)

    @property
    def complete(self) -> bool:
        """Tell whether every point that can be run has a result, and there is one at all."""
        found = {row.status for row in self._all}
        return "failed" not in found and not found.isdisjoint(_RUN)

    @property
    def remarks(self) -> list[str]:
        """Return what there is to say of the whole: seeds and axes that no run depends on."""
        count = self.study.replicates
        told = []
        if count > 1 and self.complete and all(map(_is_certain, self._all)):
            told.append(f"{count} seeds give the same run {count} times: ± 0 says nothing")
        return told + [
            f"no run depends on {' and '.join(f'`{c}`' for c in axis.columns)}"
            for axis in self.study.axes
            if len(axis.levels) > 1 and self._is_idle(axis.columns)
        ]

    def _is_idle(self, columns: tuple[str, ...]) -> bool:
        """Tell whether all points that differ in an axis only have the same runs."""
        good = [row for row in self._all if row.status == "ok"]
        groups = [group for group in grouped(good, columns).values() if len(group) > 1]
        return bool(groups) and all(len(set(map(_runs, group))) == 1 for group in groups)

    def _row(self, units: list[Unit]) -> Row:
        cells = self.points.cells(units[0].point)
        for unit in units:
            if unit.infeasible:
                reason = f"{unit.infeasible.code}: {unit.infeasible.reason}"
                return Row(cells, units, "infeasible", reason)
        for unit in units:
            if unit.found and unit.found.failed:
                return Row(cells, units, "failed", unit.found.failed)
        lacking = [unit for unit in units if unit.found is None]
        if lacking:
            some = _some(lacking, units)
            tried = sorted(
                {value for unit in lacking if unit.bracket for value, _ in unit.bracket.tried}
            )
            values = ", ".join(map(self._searched, tried))
            reason = f"{some}the condition holds at none of {values}"
            at_first = [unit.nearest[1] for unit in lacking if unit.nearest]
            status = "stuck" if any(found.stuck for found in at_first) else "none"
            return Row(cells, units, status, reason + self._nearest(lacking[0]))
        stuck = [unit for unit in units if unit.found and unit.found.stuck]
        if stuck:
            most = max(unit.found.stuck for unit in stuck if unit.found)
            return Row(cells, units, "stuck", _some(stuck, units) + told_stuck(most))
        return Row(cells, units, "ok")

    def _nearest(self, unit: Unit) -> str:
        """Say by which numbers a condition fails where a search expects it to hold first."""
        search = self.study.search
        if search is None or unit.nearest is None:
            return ""
        value, found = unit.nearest
        told = found.lacking or sides.told(
            search.compared,
            lambda asked: self.points.formulas(unit.point, (asked,), value),
            [{**found.values, FOUND: value}],
        )
        return f" (at {self._searched(value)}, {told})" if told else ""

    def _notes(self, units: list[Unit]) -> list[str]:
        """Return what there is to say of runs and searches, and of how many of the seeds."""
        found = Counter(note for unit in units for note in set(self._noted(unit)))
        count = len(units)
        return [
            note if number == count else f"with {number} of {count} seeds: {note}"
            for note, number in sorted(found.items())
        ]

    def _noted(self, unit: Unit) -> Iterator[str]:
        """Yield what there is to say of a unit that is well."""
        if unit.found and not unit.found.failed:
            yield from unit.found.warnings
        found = unit.bracket
        if found is None:
            return
        if found.found is not None and found.beyond is None:
            yield f"holds even at {self._searched(found.found)}, an end of the range"
        if found.beyond is not None and unit.beyond and unit.beyond.empty:
            yield f"ends where no request counts, at {self._searched(found.beyond)}"
        if found.odd is not None:
            yield f"not monotone: look at {self._searched(found.odd)}"

    def _searched(self, value: float) -> str:
        """Show a value that a search tried."""
        search = self.study.search
        assert search is not None
        return measured(value, scale(search.unit, [value], search.scale))

    # -- what is made of rows ------------------------------------------------------------------

    def _best(self, rows: list[Row]) -> list[Row]:
        gone: tuple[str, ...] = ()  # axes that tell no points apart any more
        for best in self.study.best:
            gone = (*gone, *best.columns)
            groups = grouped(rows, gone).values()
            rows = [min(group, key=lambda row: self._key(row, best.key)) for group in groups]
        return rows

    def _key(self, row: Row, asked: Asked) -> tuple[bool, float]:
        """Return what to compare rows by: those without a number come last."""
        value = self.values.figure(row, asked).mean
        return (math.isnan(value), 0.0 if math.isnan(value) else value)

    def _mark(self) -> None:
        """Mark the rows that no other is at least as good as in all keys, and better in one."""
        asked = self.study.pareto
        keys = [[self.values.figure(row, key).mean for key in asked] for row in self.rows]
        for row, own in zip(self.rows, keys, strict=True):
            defined = not any(map(math.isnan, own))
            row.efficient = defined and not any(
                all(a <= b for a, b in zip(other, own, strict=True)) and other != own
                for other in keys
            )

    def _expected(self, expected: Expectation) -> Expected:
        """See whether a condition holds in every row that can be run; there must be one."""
        looked = [
            row
            for row in self.rows
            if row.status != "infeasible" and self.points.is_of(expected, row.units[0].point)
        ]
        failed = [row for row in looked if not self.values.holds(row, expected.asked)]
        if not failed:
            return Expected(expected.text, bool(looked), ())
        alike = self.values.alike([row for row in looked if row.status == "ok"], expected.asked)
        places = [{c: v for c, v in row.cells.items() if c not in alike} for row in failed]
        once = [place for i, place in enumerate(places) if place not in places[:i]]
        told = self.values.told(failed[0], expected.compared)
        return Expected(expected.text, passed=False, failed=tuple(once), told=told)

    # -- as data -------------------------------------------------------------------------------

    @property
    def first_plan(self) -> Plan | None:
        """Return the plan of the first row that has a run, with its first seed."""
        for row in self.rows:
            unit = row.units[0]
            if unit.found and row.status in _RUN:
                found = unit.bracket.found if unit.bracket else None
                plan = self.points.plan(unit.point, found)
                return None if isinstance(plan, Infeasible) else plan
        return None

    @cached_property
    def data(self) -> dict[str, Any]:
        """Return all of it as JSON values: numbers in base units, undefined ones null."""
        study = self.study
        return {
            "study": study.name,
            "scenario": study.scenario.name,
            "seed": self.seed,
            "replicates": study.replicates,
            "columns": study.columns,
            "table": {asked.text: asked.unit for asked in study.table},
            "scales": {text: {"unit": s.unit, "size": s.size} for text, s in study.scales.items()},
            "rows": [self._row_data(row) for row in self.rows],
            "expect": [
                {"text": e.text, "passed": e.passed, "failed": list(e.failed), "told": e.told}
                for e in self.expectations
            ],
            "remarks": self.remarks,
            "pictures": [picture_data(self, picture) for picture in study.pictures],
        }

    def _row_data(self, row: Row) -> dict[str, Any]:
        data: dict[str, Any] = {"point": row.cells, "status": row.status}
        if row.reason:
            data["reason"] = row.reason
        if row.notes:
            data["notes"] = row.notes
        data["runs"] = [
            {"plan": unit.found.summary["plan"], "seed": unit.found.summary["seed"]}
            for unit in row.units
            if unit.found and not unit.found.failed
        ]
        data["values"] = {
            name: {
                "mean": known(figure.mean),
                "half_width": known(figure.half_width),
                "each": [known(v) for v in figure.each],
            }
            for name, figure in row.figures.items()
        }
        if self.study.search:
            data["search"] = [
                {
                    "found": unit.bracket.found,
                    "beyond": unit.bracket.beyond,
                    "tried": [list(pair) for pair in unit.bracket.tried],
                    "odd": unit.bracket.odd,
                }
                for unit in row.units
                if unit.bracket
            ]
        if row.efficient is not None:
            data["pareto"] = row.efficient
        return data


def _some(units: list[Unit], of: list[Unit]) -> str:
    """Say with how many of the seeds something is so, where there are several."""
    return f"with {len(units)} of {len(of)} seeds " if len(of) > 1 else ""


def _is_certain(row: Row) -> bool:
    """Tell whether all seeds have the same run, or there is none."""
    runs = [unit.found for unit in row.units if unit.found and not unit.found.failed]
    told = [{**run.summary, "seed": None, "values": run.values} for run in runs]
    return all(one == told[0] for one in told)


def _runs(row: Row) -> tuple[str, ...]:
    """Return which runs a row is made of: the hashes of their plans."""
    return tuple(unit.found.summary["plan"] for unit in row.units if unit.found)
