"""Columns by name that data frames take as they are, and Arrow with all that is known of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tsdl.runtime.columns import Column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pandas import DataFrame

_MOST_WHOLE = 2**63  # from here on, whole numbers are no int64


class Table(dict[str, Column]):
    """Columns of one length by name, numpy arrays in base units; NaN where there is no number.

    They are read-only: what was computed of them, a summary say, would not follow a change.
    It is a dict, so `pandas.DataFrame(table)`, `polars.DataFrame(table)` and `pyarrow.table(table)`
    copy it. Whatever asks for Arrow's stream gets null for NaN, and the unit of each column; that
    takes pyarrow. `units` has the units of columns that have one, `about` says what it all is of.
    """

    def __init__(
        self, columns: Mapping[str, Column], units: Mapping[str, str], about: Mapping[str, str]
    ) -> None:
        """Take columns of one length, which nobody changes any more."""
        super().__init__(columns)
        for column in columns.values():
            column.setflags(write=False)
        self.units = {name: units[name] for name in columns if units.get(name)}
        self.about = dict(about)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle what it is made of."""
        return Table, (dict(self), self.units, self.about)

    def __repr__(self) -> str:
        """Say how large it is."""
        rows = len(next(iter(self.values()), ()))
        return f"<Table of {rows:,} rows: {', '.join(self)}>"

    def to_pandas(self) -> DataFrame:
        """Return a pandas DataFrame. Raises ImportError without pandas."""
        import pandas as pd

        return pd.DataFrame(self)

    def to_arrow(self) -> Any:  # noqa: ANN401 (pyarrow has no types of its own)
        """Return a pyarrow Table: undefined numbers are null, columns say their `unit`.

        The table's metadata are `about`. Raises ImportError, which names the extra.
        """
        from tsdl.runtime.parquet import arrow_table

        return arrow_table(self, self.units, self.about)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return a stream of Arrow's C interface. Raises ImportError, which names the extra."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)


def column_of(cells: Sequence[object]) -> Column:
    """Return cells as a column of truth values, of numbers (NaN for None), or else of texts."""
    kinds = {type(cell) for cell in cells}
    if kinds == {bool}:
        return np.array(cells, dtype=np.bool_)
    if kinds == {int} and all(-_MOST_WHOLE <= cell < _MOST_WHOLE for cell in cells):  # type: ignore[operator]
        return np.array(cells, dtype=np.int64)
    if kinds <= {int, float, type(None)}:
        return np.array([math.nan if cell is None else cell for cell in cells], dtype=np.float64)
    return np.array([str(cell) for cell in cells], dtype=np.str_)
