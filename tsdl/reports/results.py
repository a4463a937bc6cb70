"""Folders that `tsdl run --out` wrote, read as plain data: runs of scenarios, and studies."""

from __future__ import annotations

import csv
import json
import math
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct

from tsdl.diagnostics import Diagnostic, Severity
from tsdl.errors import TsdlError
from tsdl.formula import ATTRIBUTE
from tsdl.plan import Plan
from tsdl.planreading import read_plan
from tsdl.reports.shapes import STUDY, SUMMARY, check
from tsdl.runtime.columns import PRIORITY, column_of
from tsdl.runtime.files import FORMATS
from tsdl.runtime.parquet import pyarrow
from tsdl.runtime.samples import ROUTER
from tsdl.runtime.scaling import STATES
from tsdl.units import Scale

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_LARGEST = 1e150  # squares and sums of it are numbers still
TIMES = ("ttft", "tpot", "mtpot", "e2e", "queue", "transfer")


class Run(Struct, frozen=True):
    """The results of a scenario: its name here, its files. Undefined numbers of columns are NaN."""

    name: str
    summary: dict[str, Any]
    plan: Plan
    requests: dict[str, Floats]
    finished: NDArray[np.bool_]  # of each request
    samples: dict[str, Floats]
    states: dict[str, Floats] = {}  # of workers that may be scaled or fail, numbers in STATES


class StudyAnswer(Struct, frozen=True):
    """The results of a study: its name here, study.json, the plan of the first row with a run."""

    name: str
    data: dict[str, Any]
    plan: Plan | None

    @property
    def scales(self) -> dict[str, Scale]:
        """Return in which unit columns and what is told are shown, where people gave one."""
        return {text: Scale(s["size"], s["unit"]) for text, s in self.data["scales"].items()}


Result = Run | StudyAnswer


def read(paths: list[str]) -> list[Result]:
    """Read folders, in their order; no two have one name. Raises TsdlError (E0704)."""
    names = _names([Path(path) for path in paths])
    return [_read(Path(path), name) for path, name in zip(paths, names, strict=True)]


def _names(paths: list[Path]) -> list[str]:
    """Return the last part of each path, or as many as tell all apart; numbers where none does."""
    parts = [path.resolve().parts for path in paths]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(p[-count:]) for p in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{path.resolve().name} {number}" for number, path in enumerate(paths, 1)]


def _read(folder: Path, name: str) -> Result:
    if (folder / "study.json").is_file():
        data = _json(folder / "study.json", STUDY)
        known = {run["plan"] for row in data["rows"] for run in row["runs"]}
        plan = _plan(folder, known) if (folder / "plan.json").is_file() else None
        if any(row["point"].keys() != data["columns"].keys() for row in data["rows"]):
            raise _refused(folder / "study.json", "a point has other columns than the study")
        if not all(1 / _LARGEST < scale["size"] < _LARGEST for scale in data["scales"].values()):
            raise _refused(folder / "study.json", "a unit has a size that none has")
        for number, picture in enumerate(data["pictures"], 1):
            if not all(_is_complete(row, picture) for row in picture["rows"]):
                raise _refused(folder / "study.json", f"picture {number} is not whole")
        return StudyAnswer(name, data, plan)
    summary = _json(folder / "summary.json", SUMMARY)
    plan = _plan(folder, {summary["plan"]})
    priority = {PRIORITY: _number} if plan.workload.has_priorities else {}
    own = {attribute.name: _number for attribute in plan.workload.known_attributes}
    columns = {**_REQUESTS, **priority, **own, "status": _is_finished}
    requests = _table(folder, "requests", columns)
    brought = {key: requests.pop(key) for key in own}
    requests |= {f"{ATTRIBUTE}{key}": column for key, column in brought.items()}
    samples = _table(folder, "timeseries", _SAMPLES)
    states = {}
    if any((folder / f"states.{kind}").is_file() for kind in FORMATS):
        states = _table(folder, "states", _STATES)
    known = {ROUTER, *(worker["id"] for worker in summary["workers"])}
    for table, rows in (("timeseries", samples), ("states", states)):
        if rows and not known.issuperset(rows["worker"].tolist()):
            raise _refused(folder, f"{table} has workers that summary.json does not have")
    finished = requests.pop("status") == 1
    requests |= {name: requests[column_of(name)] for name in ("arrival", "preempted")}
    if not priority:
        requests[PRIORITY] = np.zeros(len(finished))
    return Run(name, summary, plan, requests, finished, samples, states)


def _is_complete(row: Mapping[str, Any], picture: Mapping[str, Any]) -> bool:
    """Tell whether a row has all channels of its picture, and a value of each thing shown."""
    wanted = ("percentiles",) if picture["kind"] == "cdf" else ("values", "half_widths")
    lengths = {len(row[name]) if name in row else None for name in wanted}
    return row["channels"].keys() == picture["channels"].keys() and (
        lengths == {len(picture["shown"])}
    )


def _plan(folder: Path, known: set[str]) -> Plan:
    """Read the plan of a folder, whose hash is one of those that the results name."""
    text = _text(folder / "plan.json")
    try:
        plan = read_plan(text)
        changed = plan.hash not in known
    except ValueError as error:
        raise _refused(folder / "plan.json", str(error)) from None
    if changed:
        reason = "the plan has changed since: it is not the one of these results"
        raise _refused(folder / "plan.json", reason)
    return plan


def _table(
    folder: Path, name: str, readers: Mapping[str, Callable[[str], float]]
) -> dict[str, Floats]:
    """Read columns of a table, which is Parquet or CSV. Raises NoPyarrow."""
    path = folder / f"{name}.parquet"
    packed = path.is_file()
    found = _arrow(path, readers) if packed else _columns(folder / f"{name}.csv", readers)
    # A priority is any number, and so is the router among workers.
    times = {c: values for c, values in found.items() if c not in (PRIORITY, "worker")}
    below = next((column for column, values in times.items() if (values < 0).any()), None)
    if below is not None:
        raise _refused(path if packed else folder / f"{name}.csv", f"`{below}` is below zero")
    return found


def _arrow(path: Path, readers: Mapping[str, Callable[[str], float]]) -> dict[str, Floats]:
    arrow = pyarrow()
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
        return {
            name: np.array(list(map(reader, table[name].to_pylist())))
            if reader is not _number
            else table[name].cast(arrow.float64()).to_numpy()  # null becomes NaN
            for name, reader in readers.items()
        }
    except (OSError, arrow.ArrowException) as error:
        raise _refused(path, str(error)) from None
    except KeyError as error:
        raise _refused(path, f"it has no column {error}") from None


def _columns(path: Path, readers: Mapping[str, Callable[[str], float]]) -> dict[str, Floats]:
    """Read columns of a CSV file of results, a row at a time: there may be millions."""
    columns = {name: array("d") for name in readers}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.reader(file)
            header = next(rows, [])
            missing = [name for name in readers if name not in header]
            if missing:
                raise _refused(path, f"it has no column `{missing[0]}`")
            cells = [(header.index(name), readers[name], columns[name]) for name in readers]
            for row in rows:
                for index, reader, column in cells:
                    column.append(reader(row[index]))
    except OSError as error:
        raise _refused(path, error.strerror or str(error)) from None
    except IndexError:
        raise _refused(path, "a line has too few cells") from None
    except (ValueError, csv.Error) as error:  # also what is not UTF-8
        raise _refused(path, str(error)) from None
    return {name: np.frombuffer(column, dtype=np.float64) for name, column in columns.items()}


def _number(cell: str) -> float:
    number = float(cell) if cell else math.nan
    if cell and not abs(number) < _LARGEST:  # nor NaN
        raise ValueError(f"{cell} is no number that can be computed with")
    return number


def _is_finished(cell: str) -> float:
    return float(cell == "finished")


def _state(cell: str) -> float:
    if cell not in STATES:
        raise ValueError(f"`{cell}` is no state of a worker")
    return float(STATES.index(cell))


_REQUESTS = dict.fromkeys(
    ("arrived", "prompt", "output", "generated", "last_token", "turn", "cached", "preemptions",
     *TIMES),
    _number,
)  # fmt: skip
_SAMPLES = dict.fromkeys(("time", "worker", "queued", "running", "kv_used"), _number)
_STATES = {"time": _number, "worker": _number, "state": _state}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise _refused(path, error.strerror or str(error)) from None
    except ValueError:
        raise _refused(path, "it is not UTF-8 text") from None


def _json(path: Path, shape: object) -> dict[str, Any]:
    text = _text(path)
    try:
        data = json.loads(text, parse_constant=_no_number)
        check(data, shape)
    except (ValueError, RecursionError) as error:
        raise _refused(path, str(error)) from None
    found: dict[str, Any] = data
    return found


def _no_number(constant: str) -> float:
    raise ValueError(f"{constant} is no number")


def _refused(path: Path, reason: str) -> TsdlError:
    title = f"`{path}` is no file of results: {reason}"
    remedy = "name folders that `tsdl run FILE --out DIR` of this version wrote"
    return TsdlError([Diagnostic("E0704", Severity.ERROR, title, None, help=(remedy,))])
