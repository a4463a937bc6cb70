"""The command line: arguments, streams and exit statuses, as people and scripts meet them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tsdl
from tsdl.cli import main
from tsdl.session import Session

Capture = pytest.CaptureFixture[str]

SMALL = """\
edition "2026"
param qps = 4 req/s
workload few from constant_lengths { requests = 20; arrivals = poisson(qps) }
scenario small {
  model = llama2_7b; cluster = single(A100_80G); workload = few
  expect finished == 20
}
"""
STRICT = "scenario strict from small { expect p99(ttft) <= 1 us }\n"
WRONG = SMALL.replace("4 req/s", "4 s")


@pytest.fixture
def small(tmp_path: Path) -> str:
    """Return the path of a scenario that runs in no time."""
    path = tmp_path / "small.tsim"
    path.write_text(SMALL, encoding="utf-8")
    return str(path)


@pytest.fixture
def wrong(tmp_path: Path) -> str:
    """Return the path of a file with a mistake."""
    path = tmp_path / "wrong.tsim"
    path.write_text(WRONG, encoding="utf-8")
    return str(path)


@pytest.fixture
def several(tmp_path: Path) -> str:
    """Return the path of a file with two scenarios, one of which expects too much."""
    path = tmp_path / "several.tsim"
    path.write_text(SMALL + STRICT, encoding="utf-8")
    return str(path)


def start(
    *arguments: str, stdin: bytes = b"", environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "tsdl", *arguments],
        input=stdin,
        capture_output=True,
        check=False,
        env=_environment() | (environment or {}),
    )


def _environment() -> dict[str, str]:
    """Return ours, where output is buffered and the checkout can be imported."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    return kept | {"PYTHONPATH": str(Path(tsdl.__file__).parents[1])}


def summary(capsys: Capture, *arguments: str) -> dict[str, object]:
    """Run a scenario and return its summary."""
    assert main(["run", *arguments, "--format", "json"]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def usage_error(capsys: Capture, *arguments: str) -> str:
    """Return what is said of a wrong usage that the arguments alone show."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("usage: tsdl")
    return said.err


# Exit statuses.


def test_status_0_a_run(small: str, capsys: Capture) -> None:
    assert main(["run", small]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("small: llama2_7b under continuous, seed 0\n")
    assert "  pass  expect finished == 20" in said.out
    assert said.err == ""


def test_status_0_a_check_says_how_it_is_simulated(small: str, capsys: Capture) -> None:
    assert main(["check", small]) == 0
    assert capsys.readouterr() == ("small: gpu is lazy\n", "")


@pytest.mark.parametrize("command", ["check", "run", "plan"])
def test_status_1_a_mistake(command: str, wrong: str, capsys: Capture) -> None:
    assert main([command, wrong]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error[E")
    assert "wrong.tsim:3:" in said.err
    assert "Traceback" not in said.err


def test_status_1_of_several_files_one_is_wrong(small: str, wrong: str, capsys: Capture) -> None:
    assert main(["check", small, wrong]) == 1
    assert "wrong.tsim:3:" in capsys.readouterr().err


def test_status_2_the_wrong_usage(small: str, capsys: Capture) -> None:
    assert "COMMAND" in usage_error(capsys)
    assert "FILE" in usage_error(capsys, "run")
    assert "invalid choice" in usage_error(capsys, "simulate", small)
    assert "unrecognized arguments: --fast\n" in usage_error(capsys, "run", small, "--fast")
    told = usage_error(capsys, "import", "vllm", "vllm serve x", "--hardware", "H100_SXM")
    assert "--hardware H100_SXM (flags about what is imported follow after `--`)" in told


def test_status_2_a_misspelt_command_or_choice(capsys: Capture) -> None:
    assert "; did you mean `check`?" in usage_error(capsys, "chek", "a.tsim")
    assert "; did you mean `vllm`?" in usage_error(capsys, "import", "vlm", "a")
    assert "did you mean" not in usage_error(capsys, "simulate", "a.tsim")


def test_status_2_the_output_stands_before_the_flags_of_others(capsys: Capture) -> None:
    assert main(["import", "vllm", "vllm serve x", "--", "-o", "a.tsim"]) == 2
    assert "stands before `--`" in capsys.readouterr().err


def test_an_empty_name_is_no_file(capsys: Capture) -> None:
    for command in (["check", ""], ["run", ""], ["import", "hf", ""]):
        assert main(command) == 1
        assert "its name is empty" in capsys.readouterr().err
    assert main(["import", "vllm", ""]) == 1
    assert "no `vllm serve` in this command line" in capsys.readouterr().err


def test_a_code_is_found_as_people_write_it(capsys: Capture) -> None:
    assert main(["explain", "E0529"]) == 0
    page = capsys.readouterr().out
    for code in ("e0529", "e529", "E529"):
        assert main(["explain", code]) == 0
        assert capsys.readouterr().out == page


def test_status_2_an_unknown_code(capsys: Capture) -> None:
    assert main(["explain", "E9999"]) == 2
    assert "E9999" in capsys.readouterr().err


def test_status_3_an_expectation_fails(several: str, capsys: Capture) -> None:
    assert main(["run", several, "--scenario", "strict"]) == 3
    said = capsys.readouterr()
    assert "  FAIL  expect p99(ttft) <= 1 us" in said.out
    assert said.err == ""


def test_status_70_a_bug(small: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(session: Session) -> None:
        raise ZeroDivisionError(session.path)

    monkeypatch.setattr(Session, "compile", fail)
    assert main(["check", small]) == 70
    said = capsys.readouterr()
    assert said.out == ""
    assert "ZeroDivisionError" in said.err
    assert f"This is a bug in tsdl {tsdl.__version__}" in said.err


# Options.


def test_version(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    expected = (
        rf"tsdl {tsdl.__version__} "
        r"\(edition \d{4}, plan format \d+, engines fast, reference(, compiled)?\)\n"
    )
    assert re.fullmatch(expected, out)


def test_help_tells_the_exit_statuses(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "exit status:" in capsys.readouterr().out


def test_param_is_set(small: str, capsys: Capture) -> None:
    fast = summary(capsys, small, "-p", "qps = 40 req/s")
    slow = summary(capsys, small)
    assert fast["throughput"] > slow["throughput"]  # type: ignore[operator]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("qqps=4 req/s", "no param `qqps`"),
        ("qps=4 s", "requests per second"),
        ("qps=4 req/", "-p qps"),
    ],
)
def test_param_is_wrong(given: str, said: str, small: str, capsys: Capture) -> None:
    assert main(["run", small, "-p", given]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("given", ["qps", "=4 req/s", "qps="])
def test_param_is_no_pair(given: str, small: str, capsys: Capture) -> None:
    assert "is not NAME=VALUE" in usage_error(capsys, "run", small, "-p", given)


def test_seed_decides(small: str, capsys: Capture) -> None:
    zero, seven = summary(capsys, small), summary(capsys, small, "--seed", "7")
    assert (zero["seed"], seven["seed"]) == (0, 7)
    assert zero["latency"] != seven["latency"]
    assert summary(capsys, small, "--seed", "7") == seven


@pytest.mark.parametrize("given", ["-1", "1.5", "x", str(2**64)])
def test_seed_is_wrong(given: str, small: str, capsys: Capture) -> None:
    assert "--seed" in usage_error(capsys, "run", small, f"--seed={given}")


def test_scenario_is_chosen(several: str, capsys: Capture) -> None:
    assert summary(capsys, several, "--scenario", "small")["scenario"] == "small"


def test_scenario_must_be_chosen(several: str, capsys: Capture) -> None:
    assert main(["run", several]) == 1
    assert "--scenario NAME (small, strict)" in capsys.readouterr().err


def test_scenario_is_unknown(several: str, capsys: Capture) -> None:
    assert main(["run", several, "--scenario", "large"]) == 1
    assert "no scenario `large`" in capsys.readouterr().err


def test_scenario_is_missing(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "empty.tsim"
    path.write_text("", encoding="utf-8")
    assert main(["run", str(path)]) == 1
    assert "no scenario" in capsys.readouterr().err


def test_format_json_of_a_check(wrong: str, capsys: Capture) -> None:
    assert main(["check", wrong, "--format", "json"]) == 1
    said = capsys.readouterr()
    assert said.err == ""
    found = json.loads(said.out)
    assert [d["severity"] for d in found] == ["error"]
    assert (found[0]["file"], found[0]["line"]) == (wrong, 3)


def test_format_json_of_a_plan(small: str, capsys: Capture) -> None:
    assert main(["plan", small, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["scenario"] == "small"


def test_format_is_unknown(small: str, capsys: Capture) -> None:
    assert "--format" in usage_error(capsys, "run", small, "--format", "xml")


def test_out_writes_the_files(small: str, tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "new" / "results"
    assert main(["run", small, "--out", str(folder)]) == 0
    assert capsys.readouterr().out.startswith("small:")
    names = sorted(p.name for p in folder.iterdir())
    assert names == [
        "plan.json",
        "requests.csv",
        "summary.json",
        "summary.vllm.json",
        "timeseries.csv",
    ]
    assert json.loads((folder / "summary.json").read_text("utf-8"))["scenario"] == "small"
    rows = (folder / "requests.csv").read_text("utf-8").splitlines()
    assert rows[0].startswith("id,arrived,prompt,output,")
    assert len(rows) == 21


def test_out_is_no_folder(small: str, capsys: Capture) -> None:
    assert main(["run", small, "--out", small]) == 2
    assert "cannot write to" in capsys.readouterr().err


# What is read.


def test_a_file_that_is_not_there(tmp_path: Path, capsys: Capture) -> None:
    assert main(["check", str(tmp_path / "none.tsim")]) == 1
    said = capsys.readouterr().err
    assert "error[E0109]" in said
    assert "No such file" in said


def test_a_folder_in_place_of_a_file(tmp_path: Path, capsys: Capture) -> None:
    assert main(["run", str(tmp_path)]) == 1
    assert "error[E0109]" in capsys.readouterr().err


def test_a_file_that_is_not_utf8(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "latin.tsim"
    path.write_bytes("# gro\xdf\n".encode("latin-1"))
    assert main(["check", str(path)]) == 1
    assert "error[E0108]" in capsys.readouterr().err


def test_stdin_is_a_dash() -> None:
    ended = start("run", "-", stdin=SMALL.encode())
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert ended.stdout.startswith(b"small:")


def test_stdin_has_a_mistake() -> None:
    ended = start("check", "-", stdin=WRONG.encode())
    assert ended.returncode == 1
    assert b"<stdin>:3:" in ended.stderr


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_stdin_is_utf8_whatever_the_locale(locale: str) -> None:
    environment = {"LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    text = "## größer\n" + SMALL
    assert start("check", "-", stdin=text.encode(), environment=environment).returncode == 0
    ended = start("check", "-", stdin=text.encode("latin-1"), environment=environment)
    assert ended.returncode == 1
    assert b"error[E0108]" in ended.stderr


# What is written.


@pytest.mark.parametrize(
    "arguments",
    [("run",), ("plan",), ("plan", "--format", "json"), ("check", "--explain-defaults")],
    ids=" ".join,
)
def test_a_reader_that_has_seen_enough(arguments: tuple[str, ...], small: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "tsdl", *arguments, small],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_environment(),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


def test_a_reader_that_has_seen_enough_loses_no_files(small: str, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    with subprocess.Popen(
        [sys.executable, "-m", "tsdl", "run", small, "--out", str(folder)],
        stdout=subprocess.PIPE,
        env=_environment(),
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait() == 0
    assert (folder / "summary.json").is_file()


def test_a_terminal_that_cannot_show_a_sign_shows_another(several: str) -> None:
    environment = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    ended = start("plan", several, "--scenario", "small", environment=environment)
    assert ended.returncode == 0
    assert ended.stdout.isascii()


def test_a_plan_says_one_token(capsys: Capture, tmp_path: Path) -> None:
    path = tmp_path / "one.tsim"
    path.write_text(
        SMALL.replace(
            "workload = few",
            "workload = few; policy = single_file",
        )
        + "policy single_file from chunked { local { max_requests = 1; max_tokens = 1 } }\n",
        encoding="utf-8",
    )
    assert main(["plan", str(path)]) == 0
    told = capsys.readouterr().out
    assert "at most 1 request and 1 token an iteration" in told
    assert "1 device, " in told


def test_a_plan_tells_what_prompts_and_conversations_are(capsys: Capture, tmp_path: Path) -> None:
    row = '{"timestamp": 0, "input_length": 600, "output_length": 2, "hash_ids": [1, 2]}'
    (tmp_path / "rows.jsonl").write_text(row, "utf-8")
    program = tmp_path / "it.tsim"
    program.write_text(
        """
param what: workload
workload talks from sharegpt {
  sessions = 20; turns = constant(3); think = exponential(5 s)
  prefixes = 4; prefix = constant(500 tokens)
}
workload named { trace = "rows.jsonl" }
cluster one { worker gpu { hardware = A100_80G; kv = vllm_shared } }
scenario it { model = llama2_7b; cluster = one; policy = vllm; workload = what }
""",
        "utf-8",
    )
    assert main(["plan", str(program), "-p", "what=talks"]) == 0
    text = capsys.readouterr().out
    assert "20 conversations" in text
    assert "turns constant(value = 3), think exponential(mean = 5)" in text
    assert "prompts begin with one of 4 texts of constant(value = 500) tokens" in text
    assert main(["plan", str(program), "-p", "what=named"]) == 0
    assert "with names of what is in each 512 tokens of a prompt" in capsys.readouterr().out


def test_a_check_with_other_constants(capsys: Capture, tmp_path: Path) -> None:
    program = tmp_path / "two.tsim"
    program.write_text(
        """
cluster old { worker gpu { hardware = A100_80G } }
cluster new { worker gpu { hardware = H100_SXM } }
scenario one { model = llama2_7b; cluster = old; workload = sharegpt }
scenario other { model = llama2_7b; cluster = new; workload = sharegpt }
""",
        "utf-8",
    )
    given = ["check", str(program), "--set"]
    assert main([*given, "hardware.A100_80G.memory.bandwidth=1 TB/s"]) == 0  # of one of them
    assert main([*given, "hardware.H100_SXM.efficiency.gemm.compute=-1"]) == 1
    assert "E0503" in capsys.readouterr().err
    assert main([*given, "hardware.L4.memory.bandwidth=1 TB/s"]) == 1
    assert "E0508" in capsys.readouterr().err


# -- import ----------------------------------------------------------------------------------------

SAMPLES = Path(__file__).resolve().parent / "imports"


def test_import_writes_a_program_that_checks(capsys: Capture, tmp_path: Path) -> None:
    files = sorted(str(path) for path in (SAMPLES / "tokensim" / "figure2").iterdir())
    assert main(["import", "tokensim", *files]) == 0
    text = capsys.readouterr().out
    program = tmp_path / "figure2.tsim"
    program.write_text(text, encoding="utf-8")
    assert main(["check", str(program)]) == 0
    assert main(["plan", str(program)]) == 0
    assert "store r in pool" in capsys.readouterr().out


def test_import_takes_the_flags_of_the_other_simulator(capsys: Capture) -> None:
    flags = ["--model", "llama2-70b", "--xpu", "mi300x", "--tp", "8", "--arrival-rate", "5"]
    assert main(["import", "llm-inference-simulator", "--", *flags]) == 0
    text = capsys.readouterr().out
    assert "llama2_70b" in text
    assert "poisson(5 req/s)" in text


def test_import_says_what_is_wrong_and_where(capsys: Capture, tmp_path: Path) -> None:
    wrong = tmp_path / "cluster.json"
    wrong.write_text('{"worker_groups": [\n  {"name": \n', encoding="utf-8")
    assert main(["import", "tokensim", str(wrong)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "E0606" in captured.err
    assert "cluster.json:" in captured.err
    assert main(["import", "tokensim", str(tmp_path / "none.json")]) == 1
    assert "E0109" in capsys.readouterr().err


def test_the_rows_of_a_plan_add_up_to_an_iteration(tmp_path: Path, capsys: Capture) -> None:
    program = tmp_path / "a.tsim"
    text = (
        "policy slow from continuous { local { overhead = 2 ms + 1 us * requests } }\n"
        "cost own { iteration = 5 ms }\n"
        "cluster alone { worker gpu { hardware = A100_80G; cost = own } }\n"
        "scenario one { model = llama2_7b; cluster = single(A100_80G); policy = slow;"
        " workload = sharegpt(rate = 2 req/s) }\n"
    )
    program.write_text(text)
    assert main(["plan", str(program)]) == 0
    _, rows = capsys.readouterr().out.split("    operator ")
    lines = rows.split("    an iteration")[0].splitlines()[1:]
    total = rows.split("an iteration")[1].splitlines()[0]
    assert lines[0].split()[:2] == ["overhead", "2.001"]
    for place in (0, 1):
        whole = float(re.findall(r"([\d.]+) ms", total)[place])
        parts = [float(re.findall(r"([\d.]+) ms", line)[place]) for line in lines]
        assert sum(parts) == pytest.approx(whole, abs=0.0005 * (len(parts) + 1))
    more = ["--decodes", "64", "--context", "2000", "--prefill", "4096"]
    assert main(["plan", str(program), *more]) == 0
    told = capsys.readouterr().out
    assert "decode 64 at 2,000" in told
    assert "prefill of 4,096" in told
    assert re.search(r"\n    overhead +2\.064 ms +2\.001 ms\n", told)
    with pytest.raises(SystemExit):
        main(["plan", str(program), "--decodes", "0"])
    capsys.readouterr()
    program.write_text(text.replace("single(A100_80G)", "alone"))
    assert main(["plan", str(program)]) == 0
    assert re.search(r"\n    overhead  .*requests.* seconds \(policy\)\n", capsys.readouterr().out)
