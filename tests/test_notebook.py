"""`%%tsdl` in notebooks: in a shell of IPython, and the example notebook in a kernel."""

import copy
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tsdl
from tsdl.runtime.result import Result

pytest.importorskip("IPython", reason="needs IPython: pip install '.[notebook]'")
from IPython.core.interactiveshell import InteractiveShell

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
Capture = pytest.CaptureFixture[str]

CELL = """
param qps = 4 req/s
workload few from constant_lengths { requests = 20; arrivals = poisson(qps) }
scenario small { model = llama2_7b; cluster = single(A100_80G); workload = few }
scenario other from small { model = llama2_13b }
study load { scenario = small; vary qps in [2, 4] req/s; table p99(ttft) }
"""
ANSI = re.compile(r"\x1b\[[0-9;]*m")


class Shell:
    """A shell of IPython in this process."""

    def __init__(self, folder: Path) -> None:
        """Begin, and load the extension."""
        # IPython says little of its types.
        make: Any = InteractiveShell
        self.shell = make(ipython_dir=str(folder))
        self.shell.history_manager.enabled = False
        self.run("%load_ext tsdl")

    def run(self, cell: str) -> Any:  # noqa: ANN401 (whatever the cell comes to)
        """Run a cell that goes well; return what it comes to."""
        done = self.shell.run_cell(cell)
        done.raise_error()
        return done.result

    def told(self, cell: str, capsys: Capture) -> str:
        """Run a cell that does not; return what is shown of that."""
        capsys.readouterr()
        assert not self.shell.run_cell(cell).success
        said = capsys.readouterr()
        return ANSI.sub("", said.out + said.err)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    monkeypatch.chdir(tmp_path)
    yield Shell(tmp_path)
    InteractiveShell.clear_instance()


def test_a_cell_is_run(shell: Shell) -> None:
    result = shell.run(f"%%tsdl mine -p 'qps = 8 req/s' --seed 3 --scenario other\n{CELL}")
    assert isinstance(result, Result)
    assert (result.seed, result.plan.scenario) == (3, "other")
    assert result.plan.models[0].name == "llama2_13b"
    assert shell.run("mine is _") is True
    other = shell.run(f"%%tsdl --scenario other --seed 3\n{CELL}")
    assert other.summary["throughput"] < result.summary["throughput"]
    faster = shell.run(
        f"%%tsdl --scenario other --seed 3 --set 'hardware.memory.bandwidth=9 TB/s'\n{CELL}"
    )
    assert faster.summary["latency"]["tpot"]["p50"] < other.summary["latency"]["tpot"]["p50"]


def test_a_value_of_python_is_a_param(shell: Shell) -> None:
    shell.run("rate = 2.5")
    result = shell.run(f"%%tsdl --scenario small -p 'qps={{rate}} req/s'\n{CELL}")
    assert result.plan.hash == tsdl.compile(CELL, {"qps": "2.5 req/s"}, "small").hash


def test_a_study_is_run(shell: Shell) -> None:
    answer = shell.run(f"%%tsdl found --study load --jobs 1\n{CELL}")
    assert list(answer.table["qps"]) == [2, 4]
    html = answer._repr_html_()
    assert html.startswith("<pre>load: small at 2 points\n")
    assert shell.run("found.complete") is True


def test_what_is_warned_of_is_shown(shell: Shell, capsys: Capture) -> None:
    vain = CELL.replace("workload = few }", "workload = few; slo = s }", 1)
    vain = f"slo s {{ ttft <= 1 us }}\n{vain}"
    shell.run(f"%%tsdl --scenario small\n{vain}")
    assert "warning[W0502]" in capsys.readouterr().err
    certain = vain.replace("poisson", "uniform").replace("table p99", "replicate 2; table p99")
    shell.run(f"%%tsdl --study load --jobs 1\n{certain}")
    assert "warning[W0512]" in capsys.readouterr().err


def test_a_mistake_is_shown_at_its_place(shell: Shell, capsys: Capture) -> None:
    told = shell.told(f"%%tsdl\n{CELL.replace('4 req/s', '4 s')}", capsys)
    assert "error[E0301]" in told
    assert " --> <text>:4:" in told  # the line of the cell, as notebooks count them
    assert re.search(r"^ +\| +\^+ ", told, re.MULTILINE)
    assert "Traceback" not in told
    assert ".py" not in told
    assert "E0506" in shell.told(f"%%tsdl\n{CELL}", capsys)  # several scenarios
    assert "--scenario NAME (small, other)" in shell.told(f"%%tsdl\n{CELL}", capsys)


@pytest.mark.parametrize(
    "line",
    [
        "--seed -1",
        "-p qps",
        "--fast",
        "--jobs none",
        "-p 'qps=1",
        "a b",
        "1x",
        "if",
        "--scenario small --study load",
        "--jobs 2",
    ],
)
def test_a_wrong_option_is_told_with_those_that_there_are(
    line: str, shell: Shell, capsys: Capture
) -> None:
    told = shell.told(f"%%tsdl {line}\n{CELL}", capsys)
    assert told.startswith("UsageError: ")
    assert "Traceback" not in told


@pytest.mark.parametrize("put_in", ["{rat}", "{ rat * 2 }", "{rat[0]}"])
def test_a_variable_that_is_not_there_is_told(put_in: str, shell: Shell, capsys: Capture) -> None:
    shell.run("rate = 2")
    told = shell.told(f"%%tsdl --seed {{rate}} -p 'qps={put_in} req/s'\n{CELL}", capsys)
    assert told.startswith(f"UsageError: there is no variable `rat`, which `{put_in}` puts in")


def test_folders_that_are_allowed_are_there(shell: Shell, capsys: Capture) -> None:
    told = shell.told(f"%%tsdl --allow nowhere\n{CELL}", capsys)
    assert told.startswith("UsageError: argument --allow: there is no folder 'nowhere'")


def test_cells_import_one_another(shell: Shell, capsys: Capture) -> None:
    shell.run("%%tsdl --as parts.tsim\nhardware mine from A100_80G { memory.capacity = 40 GB }")
    cell = f'import "parts.tsim"\n{CELL}'.replace("single(A100_80G)", "single(mine)")
    result = shell.run(f"%%tsdl --scenario small\n{cell}")
    assert result.plan.workers[0].hardware == "mine"
    told = shell.told("%%tsdl --as parts.tsim\nhardware mine from A100_80G { speed = 2 }", capsys)
    assert "error[E0410]" in told
    assert "E0203" in shell.told('%%tsdl --allow .\nimport "../x.tsim"\n', capsys)


def test_python_of_the_notebook_is_handed_in(shell: Shell, capsys: Capture) -> None:
    cell = """%%tsdl
cost learned { extern = "predictor"; reads = [tokens] }
cluster own { worker gpu { hardware = A100_80G; cost = learned } }
workload few from constant_lengths { requests = 1 }
scenario small { model = llama2_7b; cluster = own; workload = few }
"""
    assert "E0519" in shell.told(cell, capsys)
    shell.run("def predictor(tokens): return 0.5")
    assert shell.run(cell).summary["latency"]["ttft"]["p50"] == pytest.approx(0.5)


def test_help_is_the_options(shell: Shell, capsys: Capture) -> None:
    shell.run("%%tsdl?")
    assert "--scenario NAME" in capsys.readouterr().out


def test_ipython_is_loaded_for_notebooks_alone() -> None:
    code = "import sys, tsdl; tsdl.check(sys.argv[1]); print('IPython' in sys.modules)"
    command = [sys.executable, "-c", code, CELL]
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stdout.strip() == b"False"


# -- the example -------------------------------------------------------------------------------


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_shows_what_it_did(
    path: Path, golden: Callable[[Path, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a kernel of its own; `--accept` writes what it shows."""
    pytest.importorskip("ipykernel", reason="needs ipykernel: pip install '.[test]'")
    client = pytest.importorskip("nbclient", reason="needs nbclient: pip install '.[test]'")
    nbformat = pytest.importorskip("nbformat")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(path, as_version=4)
    run = copy.deepcopy(notebook)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client.NotebookClient(
            run, timeout=120, kernel_name="python3", allow_errors=False,
            resources={"metadata": {"path": str(path.parent)}},
        ).execute()  # fmt: skip
    for cell in run.cells:
        cell.metadata.pop("execution", None)  # when it was
    run.metadata = notebook.metadata
    golden(path, nbformat.writes(run) + "\n")
    assert path.stat().st_size < 30_000
