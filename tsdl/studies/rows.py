"""The rows of an answer, and what the expressions of a study come to in them, seed by seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct, field

from tsdl.lower.questions import Along
from tsdl.studies import sides
from tsdl.studies.figures import figure
from tsdl.studies.measures import (
    UNDEFINED,
    along,
    half_width,
    holds,
    leaves_of,
    mean,
    number,
)
from tsdl.studies.points import FOUND

if TYPE_CHECKING:
    from tsdl.formula import Atom, Value
    from tsdl.lower.questions import Asked, Comparison, Study
    from tsdl.studies.asking import Unit
    from tsdl.studies.points import Points


class Figure(Struct, frozen=True):
    """A number of a row: for each seed, their mean, and half of its 95 % confidence interval.

    NaN where a number is undefined; the half width is NaN for a single seed.
    """

    each: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Return the mean."""
        return mean(list(self.each))

    @property
    def half_width(self) -> float:
        """Return half of the confidence interval."""
        return half_width(list(self.each))

    def __repr__(self) -> str:
        """Say the mean and, of several seeds, half of its interval."""
        told = f"{self.mean:.4g}"
        if len(self.each) > 1:
            told += f" ± {self.half_width:.2g} of {len(self.each)} seeds"
        return f"<Figure {told}>"


class Row(Struct, eq=False):
    """A point: what tells it apart, its units by seed, and why it has no numbers, if it has none.

    `status` is `ok`, `infeasible` (it cannot be run), `failed` (its run has no result), `stuck`
    (nothing will ever take some of its requests, or those where a search should find a value) or
    `none` (a search found no value). `notes` say what there is to say of its runs and searches.
    """

    cells: dict[str, Atom]
    units: list[Unit]
    status: str
    reason: str = ""
    figures: dict[str, Figure] = field(default_factory=dict)
    efficient: bool | None = None  # on the Pareto front; None where none is asked for
    notes: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        """Say which point it is, and its numbers, or why it has none."""
        cells = ", ".join(f"{name} = {figure(cell)}" for name, cell in self.cells.items())
        means = ", ".join(f"{text} {figure(each.mean)}" for text, each in self.figures.items())
        told = means if self.status == "ok" else f"{self.status}, {self.reason}"
        return f"<Row of {cells}: {told or self.status}>"

    def without(self, columns: tuple[str, ...]) -> tuple[Atom, ...]:
        """Return its cells in all other columns."""
        return tuple(cell for name, cell in self.cells.items() if name not in columns)


Groups = Mapping[tuple["Atom", ...], list[Row]]


def grouped(rows: list[Row], columns: tuple[str, ...]) -> Groups:
    """Return rows that differ in these columns only, together; in order."""
    groups: dict[tuple[Atom, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(row.without(columns), []).append(row)
    return groups


class Values:
    """What expressions come to in rows, each value of another point computed once."""

    def __init__(self, points: Points, rows: list[Row]) -> None:
        """Take the rows of all points."""
        self.points = points
        self.study: Study = points.study
        self._rows = rows
        self._reduced: tuple[str, ...] = ()
        self._groups: dict[tuple[str, ...], Groups] = {}
        self._known: dict[tuple[str, int, int], float] = {}

    def keep(self, rows: list[Row]) -> None:
        """Take the rows that `best` keeps: its columns tell no points apart any more.

        From now on another point is one of these, unless such a column is named.
        """
        self._reduced = tuple(c for best in self.study.best for c in best.columns)
        self._kept = rows
        self._groups.clear()
        self._known.clear()

    def __getstate__(self) -> dict[str, object]:
        """Pickle all but what is known by the places of rows in this process."""
        return {**self.__dict__, "_known": {}}

    def figure(self, row: Row, asked: Asked) -> Figure:
        """Return what an expression comes to in a row, for each seed."""
        if row.status != "ok":
            return Figure((UNDEFINED,) * self.study.replicates)
        every = range(self.study.replicates)
        return Figure(tuple(self._number(row, index, asked) for index in every))

    def holds(self, row: Row, asked: Asked) -> bool:
        """Tell whether a condition holds in a row: of means over seeds."""
        if row.status != "ok":
            return False
        # What was searched for differs between seeds, and is part of what each run was asked.
        formulas = [self.formula(unit, asked) for unit in row.units]
        return holds(formulas, [self._names(row, index) for index in range(len(row.units))])

    def told(self, row: Row, compared: tuple[Comparison, ...]) -> str:
        """Return the comparison that fails in a row, in numbers, or why there are none."""
        if row.status != "ok":
            return row.reason
        return sides.told(
            compared,
            lambda asked: [self.formula(unit, asked) for unit in row.units],
            [self._names(row, index) for index in range(len(row.units))],
        )

    def alike(self, rows: list[Row], asked: Asked) -> tuple[str, ...]:
        """Return the columns that an expression does not depend on.

        It goes over them, or names their values, wherever it asks something of a run.
        """
        formulas = {id(row): self.formula(row.units[0], asked) for row in rows}
        leaves = {name for f in formulas.values() for name in leaves_of(f)}
        if not leaves <= self.study.elsewhere.keys():
            return ()
        fixed = [set(self.study.elsewhere[name].columns) for name in leaves]
        return tuple(
            column
            for column in (set.intersection(*fixed) if fixed else ())
            if all(
                len({str(formulas[id(row)]) for row in group}) == 1
                for group in grouped(rows, (column,)).values()
            )
        )

    def formula(self, unit: Unit, asked: Asked) -> Value:
        """Return an expression as it is at a point, with what its search found."""
        found = unit.bracket.found if unit.bracket else None
        return self.points.formulas(unit.point, (asked,), found)[0]

    def _number(self, row: Row, index: int, asked: Asked) -> float:
        """Return what an expression comes to in a row with one seed; NaN where there is nothing."""
        if row.status != "ok":
            return UNDEFINED
        return number(self.formula(row.units[index], asked), self._names(row, index))

    def _names(self, row: Row, index: int) -> Mapping[str, float | None]:
        """Return what is known in a row with one seed: measures, and values of other points."""
        found = row.units[index].found
        assert found is not None
        return _Names(found.values, self, row, index)

    # -- other points --------------------------------------------------------------------------

    def elsewhere(self, name: str, row: Row, index: int) -> float:
        """Return a value of other points with the same seed; NaN where there is none."""
        key = (name, id(row), index)
        if key not in self._known:
            self._known[key] = self._elsewhere(name, row, index)
        return self._known[key]

    def _elsewhere(self, name: str, row: Row, index: int) -> float:
        wanted = self.study.elsewhere[name]
        if isinstance(wanted, Along):
            return self._along(wanted, row, index)
        there = Row({**row.cells, **wanted.cells}, [], "")
        others = self._like(there, wanted.columns, ())  # at most one
        return self._number(others[0], index, wanted.asked) if others else UNDEFINED

    def _along(self, wanted: Along, row: Row, index: int) -> float:
        """Return what is made of the rows along an axis that can be run."""
        rows = [
            other
            for other in self._like(row, wanted.columns, wanted.columns)
            if other.status != "infeasible"
            and (wanted.condition is None or self._holds(other, index, wanted.condition))
        ]
        if wanted.function in ("any", "all"):
            return along(wanted.function, [self._holds(r, index, wanted.asked) for r in rows])
        return along(wanted.function, [self._number(r, index, wanted.asked) for r in rows])

    def _holds(self, row: Row, index: int, asked: Asked) -> bool:
        """Tell whether a condition holds in a row with one seed."""
        if row.status != "ok":
            return False
        return holds([self.formula(row.units[index], asked)], [self._names(row, index)])

    def _like(self, row: Row, named: tuple[str, ...], columns: tuple[str, ...]) -> list[Row]:
        """Return the rows that differ from one in some columns only.

        Of the points that differ in what `best` reduces, there is but one, unless that is `named`.
        """
        reduced = self._reduced if not set(named) & set(self._reduced) else ()
        left_out = (*reduced, *columns)
        if left_out not in self._groups:
            self._groups[left_out] = grouped(self._kept if reduced else self._rows, left_out)
        return self._groups[left_out].get(row.without(left_out), [])


class _Names(Mapping[str, "float | None"]):
    """What formulas of a row may name, with one seed."""

    def __init__(
        self, values: Mapping[str, float | None], all_values: Values, row: Row, index: int
    ) -> None:
        self._values, self._all, self._row, self._index = values, all_values, row, index

    def __getitem__(self, name: str) -> float | None:
        if name in self._all.study.elsewhere:
            return self._all.elsewhere(name, self._row, self._index)
        if name == FOUND and self._row.units[self._index].bracket:
            return self._row.units[self._index].bracket.found  # type: ignore[union-attr]
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        yield from self._values
        yield from self._all.study.elsewhere

    def __len__(self) -> int:
        return len(self._values) + len(self._all.study.elsewhere)
