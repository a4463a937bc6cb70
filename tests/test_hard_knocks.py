"""What others may do to us: files that lead elsewhere, Ctrl-C at any moment, hostile results."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

import tsdl
from tests.checked_texts import TooSlow, codes
from tests.command_line import process_environment
from tests.fuzz.targets import TARGETS, seeds
from tests.limits import within
from tests.programs_around import device, serve, workers, workload
from tsdl.cli import main
from tsdl.errors import TsdlError
from tsdl.plan import FORMAT
from tsdl.planreading import read_plan
from tsdl.reading import read_named, reader_within

Capture = pytest.CaptureFixture[str]

REPLAY = """
workload own {{ trace = "{trace}" }}
scenario s {{ model = llama2_7b; cluster = single(A100_80G); workload = own }}
"""
TRACE = "arrived_at,num_prefill_tokens,num_decode_tokens\n0,4,5\n"


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Make a folder of a program, a neighbour of it with data, and a link from one to the other."""
    for name in ("program", "data"):
        (tmp_path / name).mkdir()
    (tmp_path / "data" / "trace.csv").write_text(TRACE)
    (tmp_path / "data" / "lib.tsim").write_text("param n = 1\n")
    (tmp_path / "program" / "own.csv").write_text(TRACE)
    (tmp_path / "program" / "link.csv").symlink_to(tmp_path / "data" / "trace.csv")
    return tmp_path


@pytest.mark.parametrize(
    ("named", "inside"),
    [
        ("own.csv", True),
        ("../program/own.csv", True),
        ("link.csv", False),
        ("../data/trace.csv", False),
        ("/etc/passwd", False),
        ("../../../../../../../../etc/passwd", False),
        ("../nowhere.csv", False),
    ],
)
def test_files_outside_of_what_is_allowed(
    named: str, *, inside: bool, folders: Path, capsys: Capture
) -> None:
    path = folders / "program" / "main.tsim"
    path.write_text(REPLAY.format(trace=named))
    own, data = str(folders / "program"), str(folders / "data")
    assert main(["check", str(path), "--allow", own]) == (0 if inside else 1)
    told = capsys.readouterr().err
    assert ("outside of the folders that are allowed" in told) is not inside
    assert ("a link leads there" in told) is (named == "link.csv")
    where = folders / named.removeprefix("../").removesuffix("/trace.csv")
    assert (f"help: `--allow {where}` lets the program" in told) is (named == "../data/trace.csv")
    assert "root:" not in told
    if "data" in named or "link" in named:
        assert main(["check", str(path), "--allow", data]) == 0
        assert main(["plan", str(path), "--allow", own, "--allow", data]) == 0
        assert main(["check", str(path)]) == 0


def test_imports_outside_of_what_is_allowed(folders: Path, capsys: Capture) -> None:
    path = folders / "program" / "main.tsim"
    path.write_text('import "../data/lib.tsim"\n')
    assert main(["check", str(path), "--allow", str(folders / "program")]) == 1
    told = capsys.readouterr().err
    assert "E0203" in told
    assert f"help: `--allow {folders / 'data'}` lets the program read there" in told
    assert main(["check", str(path), "--allow", str(folders)]) == 0


def test_allowed_folders_are_there(folders: Path, capsys: Capture) -> None:
    own = folders / "program" / "own.csv"
    for path in (folders / "nowhere", own):
        with pytest.raises(SystemExit, match="2"):
            main(["check", str(own), "--allow", str(path)])
        assert f"there is no folder '{path}'" in capsys.readouterr().err


def test_links_in_a_ring(folders: Path) -> None:
    (folders / "one").symlink_to(folders / "two")
    (folders / "two").symlink_to(folders / "one")
    with pytest.raises(OSError, match=r"round|symbolic|links"):
        reader_within([str(folders)])(str(folders / "one"))


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there are no such devices here")
def test_a_program_cannot_name_what_never_ends(tmp_path: Path, capsys: Capture) -> None:
    os.mkfifo(tmp_path / "pipe")
    path = tmp_path / "main.tsim"
    for named in ("/dev/zero", str(tmp_path / "pipe")):
        with pytest.raises(OSError, match="a device or a pipe"):
            read_named(named)
        path.write_text(REPLAY.format(trace=named))
        assert main(["check", str(path)]) == 1
        assert "it is a device or a pipe, and no file" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/fd/0").exists(), reason="there are no such names here")
@pytest.mark.parametrize("named", ["/dev/fd/0", "/proc/self/fd/0"])
def test_a_program_cannot_name_the_standard_input(named: str, tmp_path: Path) -> None:
    path = tmp_path / "main.tsim"
    path.write_text(REPLAY.format(trace=named))
    command = [sys.executable, "-m", "tsdl", "check", str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:  # whose input never ends
        assert process.stderr is not None
        told = process.stderr.read().decode()
        assert process.wait() == 1
    assert "it is a device or a pipe, and no file" in told


@pytest.mark.skipif(not Path("/dev/fd/0").exists(), reason="there are no such names here")
def test_what_the_shell_makes_of_a_command_is_read() -> None:
    read, write = os.pipe()
    os.write(write, b"text")
    os.close(write)
    assert read_named(f"/dev/fd/{read}") == "text"
    os.close(read)


# -- Ctrl-C ------------------------------------------------------------------------------------

RUN = """
scenario s { model = llama2_7b; cluster = single(A100_80G); workload = sharegpt(requests = 3000) }
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.parametrize("part", [0.15, 0.4, 0.7, 0.85, 0.95])
def test_what_is_interrupted_leaves_whole_files(part: float, tmp_path: Path) -> None:
    path, out = tmp_path / "main.tsim", tmp_path / "out"
    path.write_text(RUN)
    command = [sys.executable, "-m", "tsdl", "run", str(path), "--out", str(out)]
    begun = time.monotonic()
    subprocess.run(command, check=True, capture_output=True, env=process_environment())
    whole = {file.name: file.read_bytes() for file in out.iterdir()}
    took = time.monotonic() - begun
    for file in out.iterdir():
        file.unlink()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=process_environment()
    )
    time.sleep(part * took)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode in (0, 130, -signal.SIGINT)  # before Python begins, it is killed
    assert process.returncode != 130 or told.decode().strip().endswith("interrupted")
    left = {file.name: file.read_bytes() for file in out.iterdir()} if out.exists() else {}
    assert left.items() <= whole.items()


# -- what is read ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_fuzzed_begins_with_good_files(name: str) -> None:
    for text in seeds(name):
        TARGETS[name](text)


BAD = [
    "", "\0", "\ufeff", "[", "{" * 5_000, "[" * 100_000, '{"a":' * 5_000, "null", "1e999", '"' * 99,
    "a,b\n" * 50_000, "x" * 1_000_000, "\n" * 100_000, "- " * 10_000, "&a [*a, *a]", "é,\ud800",
    "arrived,prompt,output\n5,1,1\n4,1,1\n", "arrived,prompt,output\nnan,1,1\n",
    "arrived,prompt,output\n0,-1,1\n", "arrived,prompt,output\n0,1e300,1\n",
    '{"timestamp": NaN, "input_length": 1, "output_length": 1}',
    "a: &a [x, x, x, x, x, x, x, x]\n"
    + "".join(f"{c}: &{c} [{f'*{b}, ' * 9}]\n" for b, c in pairwise("abcdefgh")),
]  # fmt: skip


@cache
def warmed(name: str) -> None:
    """Let what is made once be made."""
    TARGETS[name](seeds(name)[0])


@pytest.mark.parametrize("text", BAD, ids=lambda text: repr(text[:16]))
@pytest.mark.parametrize("name", TARGETS)
def test_bad_files_are_refused_before_long(name: str, text: str) -> None:
    """Each takes a fraction of a second; what takes more than in proportion would take minutes."""
    warmed(name)
    for given in [text] if name != "report" else [f"study.json\n{text}", f"requests.csv\n{text}"]:
        with within(20.0, TooSlow):
            TARGETS[name](given)


@pytest.mark.parametrize("number", ["inf", "nan", "1e999", "-1e300", "-1"])
def test_a_report_refuses_numbers_that_are_none(
    number: str, tmp_path: Path, capsys: Capture
) -> None:
    path, out = tmp_path / "main.tsim", tmp_path / "out"
    path.write_text(RUN.replace("3000", "3"))
    assert main(["run", str(path), "--out", str(out)]) == 0
    rows = (out / "requests.csv").read_text().splitlines()
    cells = rows[1].split(",")
    cells[1] = number
    (out / "requests.csv").write_text("\n".join([rows[0], ",".join(cells), *rows[2:]]))
    assert main(["report", str(out), "-o", str(tmp_path / "page.html")]) == 1
    assert "E0704" in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()


def test_a_plan_of_another_version_is_refused_in_words(tmp_path: Path, capsys: Capture) -> None:
    path, out = tmp_path / "main.tsim", tmp_path / "out"
    path.write_text(RUN.replace("3000", "3"))
    assert main(["run", str(path), "--out", str(out)]) == 0
    plan = json.loads((out / "plan.json").read_text())
    (out / "plan.json").write_text(json.dumps(plan | {"format": 99}))
    capsys.readouterr()
    assert main(["report", str(out), "-o", str(tmp_path / "page.html")]) == 1
    assert f"not a plan of format {FORMAT}" in capsys.readouterr().err


DAMAGES: dict[str, tuple[object, str]] = {
    "text": ("much", "is a text"),
    "text in a sum": (["+", 1, "much"], "is not a formula"),
    "text that is repeated": (["*", ["if", True, "much", 1], 10**12], "is not a formula"),
    "one side": ([">", ["symbol", "tokens"]], "is not a formula"),
    "huge": (10**400, "is not a formula"),
    "changed": (["symbol", "tokens"], "the plan has changed since"),
    "no such symbol": (["symbol", "x"], "'x'"),
    "power without end": (["**", 99, ["**", 99, 9]], "the result is too large"),
    "division by zero": (["/", 1, ["-", ["symbol", "tokens"], 1024]], "division by zero"),
}


@pytest.mark.parametrize(
    ("name", "field"),
    [
        *((name, "flops") for name in DAMAGES),
        *(("text", field) for field in ("bytes", "wire", "time")),
        *((name, "time") for name in ("no such symbol", "power without end")),
    ],
)
def test_a_plan_whose_work_is_damaged_is_refused(
    name: str, field: str, tmp_path: Path, capsys: Capture
) -> None:
    """Also where the hash of the damaged plan was put into the results."""
    work, reason = DAMAGES[name]
    path, out = tmp_path / "main.tsim", tmp_path / "out"
    path.write_text(RUN.replace("3000", "3"))
    assert main(["run", str(path), "--out", str(out)]) == 0
    plan = json.loads((out / "plan.json").read_text())
    plan["workers"][0]["cost"]["stages"][0]["kernels"][0][field] = work
    (out / "plan.json").write_text(json.dumps(plan))
    if "is not a formula" not in reason and name not in ("text", "changed"):
        summary = json.loads((out / "summary.json").read_text())
        hash_ = read_plan(json.dumps(plan)).hash
        (out / "summary.json").write_text(json.dumps(summary | {"plan": hash_}))
    capsys.readouterr()
    with within(5.0, TooSlow):
        assert main(["report", str(out), "-o", str(tmp_path / "page.html")]) == 1
    told = capsys.readouterr().err
    assert "E0704" in told
    assert reason in told


def test_a_summary_that_lacks_a_figure_is_refused(tmp_path: Path, capsys: Capture) -> None:
    path, out = tmp_path / "main.tsim", tmp_path / "out"
    path.write_text(RUN.replace("3000", "3"))
    assert main(["run", str(path), "--out", str(out)]) == 0
    summary = json.loads((out / "summary.json").read_text())
    del summary["cluster"]["price"]
    (out / "summary.json").write_text(json.dumps(summary))
    capsys.readouterr()
    assert main(["report", str(out), "-o", str(tmp_path / "page.html")]) == 1
    assert "`cluster.price` is missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("overhead", "reason"),
    [
        ("tokens ** 1_000_000_000", "the result is too large"),
        ("round_up(tokens, requests - 1)", "division by zero"),
    ],
)
@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_time_without_a_value_is_told_at_once(
    command: str, overhead: str, reason: str, tmp_path: Path, capsys: Capture
) -> None:
    path = tmp_path / "main.tsim"
    own = f"policy own from continuous {{ local {{ overhead = 1 ms * {overhead} }} }}"
    path.write_text(own + RUN.replace("3000", "3").replace("{ model", "{ policy = own; model"))
    with within(5.0, TooSlow):
        assert main([command, str(path)]) != 0
    told = capsys.readouterr().err
    assert "E0901" in told
    assert reason in told


@pytest.mark.parametrize("engine", ["fast", "reference"])
@pytest.mark.parametrize(
    "quotient",
    [
        "1 / decodes", "1.5 / decodes", "1 // decodes", "1.5 // decodes", "mod(5, decodes)",
        "mod(1.5, decodes)", "round_up(5, decodes)",
    ],
)  # fmt: skip
def test_every_division_by_zero_is_told_alike(quotient: str, engine: str) -> None:
    """Python has other words for each, and other ones in each version."""
    plan = tsdl.compile(
        f"cost own {{ iteration = 5 ms + 1 ms * ({quotient}) }}\n"
        "cluster node { worker gpu { hardware = A100_80G; cost = own } }\n"
        "scenario serve { model = llama2_7b; cluster = node; workload = sharegpt(requests = 3) }"
    )
    with pytest.raises(TsdlError) as caught:
        plan.run(engine=engine)
    (found,) = caught.value.diagnostics
    assert found.title == "a formula of cost own has no value: division by zero"
    assert found.help == ("guard it: `x / y if y > 0 else 0`",)


NUMBERS = {
    "zero workers": (workers("n: int = 1", "0"), ["E0513"]),
    "less than zero workers": (workers("n: int = 1", "-1"), ["E0503"]),
    "half a worker": (workers("n: int = 1", "0.5"), ["E0503"]),
    "zero requests": (workload("requests = 0"), ["E0503"]),
    "not a number": (workload("duration = 0 / 0 * 1 s"), ["E0504"]),
    "infinite": (workload("duration = 1e308 * 10 s"), ["E0310"]),
    "memory below zero": (device("memory.capacity = -3 GiB"), ["E0503"]),
    "bandwidth below zero": (device("memory.bandwidth = -1 B/s"), ["E0503"]),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_quantities_that_cannot_be(name: str) -> None:
    text, told = NUMBERS[name]
    assert codes(text, seconds=1.0) == told


def test_lengths_beyond_the_context_are_rejected(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "main.tsim"
    path.write_text(
        "workload own { requests = 4; arrivals = poisson(1 req/s); output = constant(5 tokens)\n"
        "  prompt = constant(100_000 tokens) }" + serve(workload="own")
    )
    assert main(["run", str(path), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["requests"]["rejected"] == 4
