"""Results as files: summary, plan, tables, traces, what handlers noted. No time of day."""

import csv
import gzip
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tsdl.diagnostics.export import brief
from tsdl.runtime.columns import Column
from tsdl.runtime.parquet import height, part, write_table
from tsdl.runtime.result import Result
from tsdl.runtime.traceevents import trace_json
from tsdl.runtime.vllm import vllm_json
from tsdl.wholefiles import Put, made, put_together, put_whole

TABLES = ("requests", "timeseries", "states", "records")
FORMATS = ("csv", "parquet")
_ROWS = 10_000  # that are made text at once


def summary_json(result: Result, *, warned: bool = False) -> str:
    """Return the summary as JSON.

    Where it is to say what is `warned` of, too, it names files of the program as they were given:
    the plan has none of that.
    """
    more = {"warnings": brief(result.warnings)} if warned else {}
    return json.dumps({**result.summary, **more}, indent=2, allow_nan=False) + "\n"


def table_csv(columns: Mapping[str, Column]) -> Iterator[str]:
    """Yield columns as CSV; floats with all their digits, nothing where there is no value.

    Some rows at a time: the cells of a million rows would take gigabytes.
    """
    count = height(columns)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for begin in range(0, count, _ROWS):
        rows = slice(begin, begin + _ROWS)
        writer.writerows(zip(*(_cells(part(columns, name, rows)) for name in columns), strict=True))
        yield text.getvalue()
        text.seek(0)
        text.truncate()
    yield text.getvalue()


def _cells(column: Column) -> list[Any]:
    """Return cells as the writer takes them: a float as its shortest text, None as nothing."""
    cells: list[Any] = column.tolist()
    if column.dtype.kind == "f" and np.isnan(column).any():
        return [None if math.isnan(value) else value for value in cells]
    return cells


def write_trace(result: Result, path: Path) -> None:
    """Write the trace of a run, compressed if the name ends in .gz; whole or not there.

    Raises OSError, and ValueError where the run was not traced.
    """
    put_whole(path, _text(trace_json(result), compressed=path.suffix == ".gz"))


def write(result: Result, folder: Path, tables: str = "csv") -> None:
    """Write all files into a folder, which is made; those of one run, or what was there before.

    `tables` is the format of those that have rows, `csv` or `parquet`. What an earlier run left
    there under these names goes. Raises OSError, and NoPyarrow where Parquet needs it.
    """
    files: dict[str, Put] = {
        "plan.json": _text([result.plan.to_json(), "\n"]),
        "summary.vllm.json": _text([vllm_json(result)]),
    }
    columns: dict[str, Mapping[str, Column]] = {
        "requests": result.columns,
        "timeseries": result.timeseries,
    }
    for name in ("states", "records"):
        if height(table := getattr(result, name)):
            columns[name] = table
    for name, table in columns.items():
        if tables == "parquet":
            files[f"{name}.parquet"] = partial(write_table, result, table)
        else:
            files[f"{name}.csv"] = _text(table_csv(table))
    if result.log:
        files["log.txt"] = _text(f"{time!r} {line}\n" for time, line in result.log)
    files["summary.json"] = _text([summary_json(result)])
    others = (*(f"{table}.{kind}" for table in TABLES for kind in FORMATS), "log.txt")
    gone = [folder / name for name in others if name not in files]
    with made(folder):
        put_together([(folder / name, put) for name, put in files.items()], gone)


def _text(lines: Iterable[str], *, compressed: bool = False) -> Put:
    """Return how to write a text; compressed ones hold neither a time nor a name."""

    def put(path: Path) -> None:
        with ExitStack() as opened:
            raw: BinaryIO = opened.enter_context(path.open("wb"))
            if compressed:
                raw = opened.enter_context(gzip.GzipFile("", "wb", 6, raw, mtime=0))  # type: ignore[assignment]
            opened.enter_context(io.TextIOWrapper(raw, "utf-8", newline="")).writelines(lines)

    return put
