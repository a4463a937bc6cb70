"""Results as files: summary, requests, time series, what handlers noted. No clock, no path."""

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

from tsdl.runtime.result import Column, Result


def summary_json(result: Result) -> str:
    """Return the summary as JSON."""
    return json.dumps(result.summary, indent=2, allow_nan=False) + "\n"


def table_csv(columns: dict[str, Column]) -> str:
    """Return columns as CSV; floats with all their digits, nothing where there is no value."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(_cells(column) for column in columns.values()), strict=True))
    return text.getvalue()


def _cells(column: Column) -> list[Any]:
    if column.dtype.kind != "f":
        return list(column.tolist())
    return ["" if math.isnan(value) else repr(value) for value in column.tolist()]


def write(result: Result, folder: Path) -> None:
    """Write all files into a folder, which is made; each is whole or not there. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "summary.json": summary_json(result),
        "requests.csv": table_csv(result.requests),
        "timeseries.csv": table_csv(result.timeseries),
    }
    if len(result.records["time"]):
        texts["records.csv"] = table_csv(result.records)
    if result.log:
        texts["log.txt"] = "".join(f"{time!r} {line}\n" for time, line in result.log)
    for name in ("records.csv", "log.txt"):
        if name not in texts:  # of an earlier run
            (folder / name).unlink(missing_ok=True)
    for name, text in texts.items():
        part = folder / f".{name}.part"
        part.write_text(text, encoding="utf-8", newline="")
        part.replace(folder / name)
