"""What is measured and how: each figure in processes of its own, in CPU seconds."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copytree
from statistics import median
from time import perf_counter, process_time
from typing import Any

from benchmarks.long_program import long_program

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
LONGEST = 60.0  # seconds that the reference engine may take
_MEGABYTE = 1e6
_HIDING = "hiding"  # a folder whose modules say that there are none
_NOT_OURS = ("interegular", "typing_extensions")  # Lark and msgspec import them where they are


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure is to be: at most the bound, or at least."""

    figure: str
    bound: float
    at_least: bool = False

    def met(self, figures: dict[str, float]) -> bool:
        """Tell whether it is."""
        value = figures[self.figure]
        return value >= self.bound if self.at_least else value <= self.bound


@dataclass(frozen=True, slots=True)
class Row:
    """A benchmark: a scenario of this folder with so many requests, or a command."""

    name: str
    goals: tuple[Goal, ...]
    scenario: str = ""
    requests: int = 50_000
    sizes: tuple[int, ...] = ()  # for the table of growth
    command: tuple[str, ...] = ()
    study: str = ""


@dataclass(slots=True)
class Measured:
    """The figures of a row: medians of runs; `reference_requests` is what the reference ran."""

    row: Row
    requests: int
    runs: int
    figures: dict[str, float]
    reference_requests: int = 0
    growth: dict[int, float] = field(default_factory=dict)


_ALONE = (
    Goal("simulation", 0.5),
    Goal("whole", 1.0),
    Goal("reference", 10),
    Goal("ratio", 15, at_least=True),
)
ROWS = {
    row.name: row
    for row in (
        Row("one_worker", _ALONE, "one_worker"),
        Row("one_worker_chunked", _ALONE, "one_worker_chunked"),
        Row("eight_workers", (Goal("simulation", 1.2),), "eight_workers"),
        Row("disaggregated", (Goal("simulation", 2.0),), "disaggregated"),
        Row("sessions", (Goal("microseconds_each", 25),), "sessions"),
        Row("elastic", (), "elastic"),
        Row("ranks", (), "ranks", 20_000),
        Row("prefix_cache", (Goal("microseconds_each", 60),), "prefix_cache", 10_000),
        Row(
            "million", (Goal("simulation", 12), Goal("megabytes", 250)), "one_worker", 1_000_000,
            sizes=(5_000, 50_000, 1_000_000),
        ),
        Row("figure6", (), "figure6", 500, sizes=(100, 200, 300, 400, 500)),
        Row("study", (Goal("speedup", 1.8, at_least=True),), "study", 2000, study="grid"),
        Row("check", (Goal("whole", 0.3),), command=("check", "{long}")),
        Row("quickstart", (Goal("whole", 1.0),), command=("run", "{examples}/quickstart.tsim")),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bench:
    """A folder for what the processes keep, and how often each runs."""

    folder: Path
    runs: int
    engine: str = "fast"
    installed: bool = False  # whether the package of the environment runs, not the checkout's

    def measure(self, row: Row, requests: int | None = None) -> Measured:
        """Measure a row, with other than its own number of requests where one is given."""
        if row.command:
            known = {"long": self.folder / "long.tsim", "examples": ROOT / "examples"}
            command = [part.format_map(known) for part in row.command]
            figures = self._whole(command)
            return Measured(row, 0, self.runs, figures)
        count = requests or row.requests
        path = str(HERE / f"{row.scenario}.tsim")
        if row.study:
            return Measured(row, count, self.runs, self._speedup(path, row.study, count), count)
        run = ["run", path, "-p", f"requests={count}", "--engine", self.engine]
        figures = self._whole(run) | self._inside(path, count, self.engine, self.runs)
        measured = Measured(row, count, self.runs, figures)
        self._compare(path, measured)
        for size in row.sizes if requests is None else ():
            inside = self._inside(path, size, self.engine, self.runs) if size != count else figures
            measured.growth[size] = inside["simulation"] / size
        return measured

    def _compare(self, path: str, measured: Measured) -> None:
        """Add the reference engine: on a tenth, and on all where that is no matter of minutes."""
        figures, count = measured.figures, measured.requests
        asked = max(count // 10, 1)
        found = self._inside(path, asked, "reference", 1)
        if found["simulation"] * count / asked <= LONGEST:
            asked = count
            found = self._inside(path, asked, "reference", 1)
        measured.reference_requests = asked
        figures["reference"] = found["simulation"] * count / asked
        figures["ratio"] = figures["reference"] / figures["simulation"]

    def _speedup(self, path: str, study: str, count: int) -> dict[str, float]:
        """Return the seconds of a clock that a study takes on one and on two cores, in turn."""
        seconds: dict[int, list[float]] = {1: [], 2: []}
        for run in range(self.runs):
            for jobs, found in seconds.items():
                store = str(self.folder / f"{study}.{run}.{jobs}.sqlite")
                command = ["-m", "tsdl", "run", path, "--study", study, "-p", f"requests={count}"]
                begun = perf_counter()
                self.process([*command, "--jobs", str(jobs), "--store", store])
                found.append(perf_counter() - begun)
        one, two = map(median, seconds.values())
        return {"one_core": one, "two_cores": two, "speedup": one / two}

    def _whole(self, arguments: list[str]) -> dict[str, float]:
        """Return the CPU seconds of a whole `tsdl` with start-up, and its peak memory."""
        found = [self.process(["-m", "tsdl", *arguments]) for _ in range(self.runs)]
        seconds = median(usage.ru_utime + usage.ru_stime for _, usage in found)
        unit = 1 if sys.platform == "darwin" else 1024
        peak = max(usage.ru_maxrss for _, usage in found) * unit / _MEGABYTE
        return {"whole": seconds, "megabytes": peak}

    def _inside(self, path: str, requests: int, engine: str, runs: int) -> dict[str, float]:
        """Return the CPU seconds of the simulation and of the summary, and what was simulated."""
        code = "from benchmarks.measure import inside; inside()"
        arguments = ["-c", code, path, str(requests), engine]
        found = [json.loads(self.process(arguments)[0]) for _ in range(runs)]
        figures = {name: median(one[name] for one in found) for name in found[0]}
        figures["microseconds_each"] = figures["simulation"] / figures["arrived"] * 1e6
        return figures

    @property
    def _place(self) -> Path:
        """Return the folder whose packages come first."""
        return self.folder if self.installed else ROOT

    def process(self, arguments: list[str]) -> tuple[str, Any]:
        """Run Python; return what it wrote and what it used."""
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(self.folder / _HIDING), str(self._place)]),
            "PYTHONPYCACHEPREFIX": str(self.folder / "bytecode"),
            "TSDL_CACHE": str(self.folder / "cache"),
        }
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
            process = subprocess.Popen(
                [sys.executable, *arguments], cwd=self._place, env=environment, stdout=output
            )
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode not in (0, 3):  # 3: an `expect` does not hold
                raise subprocess.CalledProcessError(process.returncode, arguments)
            output.seek(0)
            return output.read(), usage


@contextmanager
def bench(runs: int, engine: str = "fast", *, installed: bool = False) -> Iterator[Bench]:
    """Yield a bench whose processes find bytecode and cache, as all but the first one do."""
    with tempfile.TemporaryDirectory(prefix="tsdl-benchmarks-") as folder:
        found = Bench(Path(folder), runs, engine, installed)
        (found.folder / "long.tsim").write_text(long_program(), encoding="utf-8")
        (found.folder / _HIDING).mkdir()
        copytree(HERE, found.folder / HERE.name)
        for package in _NOT_OURS:
            hidden = found.folder / _HIDING / f"{package}.py"
            hidden.write_text("raise ImportError  # users have no such package\n", encoding="utf-8")
        scenario = str(HERE / "one_worker.tsim")
        found.process(["-m", "tsdl", "run", scenario, "-p", "requests=10"])
        yield found


def inside() -> None:
    """Run a scenario in this process, and write what its parts took. Arguments: see `_inside`."""
    from unittest.mock import patch

    import tsdl
    from tsdl.runtime.result import Result
    from tsdl.runtime.run import run

    path, requests, engine = sys.argv[1:]
    plan = tsdl.compile(Path(path), params={"requests": int(requests)})
    summary = 0.0

    def summed(*arguments: Any) -> Any:  # noqa: ANN401 (whatever a result is made of)
        nonlocal summary
        begun = process_time()
        result = Result(*arguments)
        summary = process_time() - begun
        return result

    with patch("tsdl.runtime.run.Result", summed):
        begun = process_time()
        result = run(plan, engine=engine)
        total = process_time() - begun
    figures = {
        "simulation": total - summary,
        "summary": summary,
        "iterations": sum(worker["iterations"] for worker in result.summary["workers"]),
        "arrived": result.summary["requests"]["arrived"],
    }
    print(json.dumps(figures))
