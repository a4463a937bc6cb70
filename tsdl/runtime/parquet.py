"""Columns for Arrow and Parquet: typed, and they say their unit (needs pyarrow)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tsdl.runtime.columns import Column, Requests

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tsdl.runtime.result import Result

_ROWS = 100_000  # of a row group
_TIMES = (
    "arrived", "started", "first_token", "last_token", "queue", "ttft", "tpot", "mtpot", "e2e",
    "transfer", "time",
)  # fmt: skip
UNITS = {
    **dict.fromkeys(_TIMES, "s"),
    **dict.fromkeys(("prompt", "output", "generated", "cached"), "token"),
    **dict.fromkeys(("transferred", "kv_used"), "B"),
    **dict.fromkeys(("queued", "running"), "req"),
}


class NoPyarrow(ImportError):
    """pyarrow is not installed."""


def pyarrow() -> Any:  # noqa: ANN401 (a module without types of its own)
    """Return the module. Raises NoPyarrow, which names the extra."""
    try:
        import pyarrow
    except ImportError:
        raise NoPyarrow("Arrow and Parquet need pyarrow: pip install 'tsdl[parquet]'") from None
    return pyarrow


def about(result: Result) -> dict[str, str]:
    """Return what the tables of a result are of: `scenario`, `plan` (its hash) and `seed`."""
    return {name: str(result.summary[name]) for name in ("scenario", "plan", "seed")}


def arrow_table(
    columns: Mapping[str, Column], units: Mapping[str, str], about: Mapping[str, str]
) -> Any:  # noqa: ANN401
    """Return columns as a pyarrow Table; numbers that are NaN are null.

    A column's metadata has its `unit`, that of the table what it is `about`. Raises NoPyarrow.
    """
    arrow = pyarrow()
    return _table(arrow, _schema(arrow, columns, units, about), columns, slice(None))


def write_table(result: Result, columns: Mapping[str, Column], path: Path) -> None:
    """Write columns of a result as a Parquet file, some rows at a time.

    Raises NoPyarrow or OSError.
    """
    arrow = pyarrow()
    from pyarrow.parquet import ParquetWriter

    schema = _schema(arrow, columns, UNITS, about(result))
    with ParquetWriter(path, schema) as writer:
        for rows in _row_groups(columns):
            writer.write_table(_table(arrow, schema, columns, rows))


def _row_groups(columns: Mapping[str, Column]) -> Iterator[slice]:
    for begin in range(0, height(columns), _ROWS):
        yield slice(begin, begin + _ROWS)


def _schema(
    arrow: Any,  # noqa: ANN401
    columns: Mapping[str, Column],
    units: Mapping[str, str],
    about: Mapping[str, str],
) -> Any:  # noqa: ANN401
    fields = []
    for name in columns:
        kind = part(columns, name, slice(0, 0)).dtype.kind
        unit = {"unit": units[name]} if name in units else None
        type_ = _types(arrow).get(kind, arrow.string())
        fields.append(arrow.field(name, type_, metadata=unit))
    return arrow.schema(fields, dict(about))


def _types(arrow: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the types of columns by numpy's letter; all else is text."""
    return {"f": arrow.float64(), "i": arrow.int64(), "b": arrow.bool_()}


def _table(
    arrow: Any,  # noqa: ANN401
    schema: Any,  # noqa: ANN401
    columns: Mapping[str, Column],
    rows: slice,
) -> Any:  # noqa: ANN401
    arrays = [
        arrow.array(part(columns, name, rows), schema.field(name).type, from_pandas=True)
        for name in columns
    ]
    return arrow.Table.from_arrays(arrays, schema=schema)


def height(columns: Mapping[str, Column]) -> int:
    """Return how many rows columns have."""
    return columns.count if isinstance(columns, Requests) else len(next(iter(columns.values())))


def part(columns: Mapping[str, Column], name: str, rows: slice) -> Column:
    """Return some rows of a column."""
    return columns.part(name, rows) if isinstance(columns, Requests) else columns[name][rows]
