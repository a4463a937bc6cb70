"""Results as files: summary, requests, time series, what handlers noted. No clock, no path."""

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tsdl.runtime.columns import Column, Requests
from tsdl.runtime.result import Result

_ROWS = 10_000  # that are made text at once


def summary_json(result: Result) -> str:
    """Return the summary as JSON."""
    return json.dumps(result.summary, indent=2, allow_nan=False) + "\n"


def table_csv(columns: Mapping[str, Column]) -> Iterator[str]:
    """Yield columns as CSV; floats with all their digits, nothing where there is no value.

    Some rows at a time: the cells of a million rows would take gigabytes.
    """
    count = columns.count if isinstance(columns, Requests) else len(columns["time"])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for begin in range(0, count, _ROWS):
        rows = slice(begin, begin + _ROWS)
        writer.writerows(
            zip(*(_cells(_part(columns, name, rows)) for name in columns), strict=True)
        )
        yield text.getvalue()
        text.seek(0)
        text.truncate()
    yield text.getvalue()


def _part(columns: Mapping[str, Column], name: str, rows: slice) -> Column:
    return columns.part(name, rows) if isinstance(columns, Requests) else columns[name][rows]


def _cells(column: Column) -> list[Any]:
    """Return cells as the writer takes them: a float as its shortest text, None as nothing."""
    cells: list[Any] = column.tolist()
    if column.dtype.kind == "f" and np.isnan(column).any():
        return [None if math.isnan(value) else value for value in cells]
    return cells


def write(result: Result, folder: Path) -> None:
    """Write all files into a folder, which is made; each is whole or not there. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    texts: dict[str, Iterable[str]] = {
        "summary.json": [summary_json(result)],
        "requests.csv": table_csv(result.requests),
        "timeseries.csv": table_csv(result.timeseries),
    }
    if len(result.records["time"]):
        texts["records.csv"] = table_csv(result.records)
    if result.log:
        texts["log.txt"] = (f"{time!r} {line}\n" for time, line in result.log)
    for name in ("records.csv", "log.txt"):
        if name not in texts:  # of an earlier run
            (folder / name).unlink(missing_ok=True)
    for name, text in texts.items():
        part = folder / f".{name}.part"
        with part.open("w", encoding="utf-8", newline="") as file:
            file.writelines(text)
        part.replace(folder / name)
