"""Options of the command line: params, constants, seeds, scenarios, and what is written where."""

import json
import re
from pathlib import Path

import pytest

import tsdl
from tests.command_line import Capture, several_in, small_in, usage_error, wrong_in
from tsdl.cli import main
from tsdl.cli.apart import APART
from tsdl.cli.parsers import make_parser


@pytest.fixture
def small(tmp_path: Path) -> str:
    return small_in(tmp_path)


@pytest.fixture
def several(tmp_path: Path) -> str:
    return several_in(tmp_path)


def summary(capsys: Capture, *arguments: str) -> dict[str, object]:
    """Run a scenario and return its summary."""
    assert main(["run", *arguments, "--format", "json"]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


@pytest.fixture
def wrong(tmp_path: Path) -> str:
    return wrong_in(tmp_path)


# -- of the command itself ---------------------------------------------------------------------


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


# -- params, constants and seeds ---------------------------------------------------------------


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


def test_seed_decides(small: str, capsys: Capture) -> None:
    zero, seven = summary(capsys, small), summary(capsys, small, "--seed", "7")
    assert (zero["seed"], seven["seed"]) == (0, 7)
    assert zero["latency"] != seven["latency"]
    assert summary(capsys, small, "--seed", "7") == seven


@pytest.mark.parametrize("given", ["-1", "1.5", "x", str(2**64)])
def test_seed_is_wrong(given: str, small: str, capsys: Capture) -> None:
    assert "--seed" in usage_error(capsys, "run", small, f"--seed={given}")


# -- which scenario ----------------------------------------------------------------------------


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


# -- what comes out, and where -----------------------------------------------------------------


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


STUDY = ("--study", "s")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--store", "kept.sqlite"], "of a study: add --study NAME"),
        (["run", "--jobs", "2"], "of a study: add --study NAME"),
        (["run", "--cluster", "tcp://host:1"], "of a study: add --study NAME"),
        (["run", *STUDY, "--scenario", "small"], "a study names its scenario"),
        (["run", *STUDY, "--trace", "t.json"], "are of one run"),
        (["run", *STUDY, "--trace-window", "0..1"], "are of one run"),
        (["run", *STUDY, "--format", "vllm"], "are of one run"),
        (["run", *STUDY, "--table-format", "parquet"], "are of one run"),
        (["run", "--table-format", "parquet"], "add --out DIR"),
        (["run", "--trace-window", "0..1"], "add --trace FILE"),
        (["check", "--explain-defaults", "--format", "json"], "--explain-defaults shows is text"),
        (["check", "--explain-defaults", "--format", "concise"], "leave it or --format out"),
        (["plan", "--store", "kept.sqlite"], "--store is of the runs of a study"),
        (["plan", "--seed", "0"], "--seed is of the runs of a study"),
        (["plan", *STUDY, "--scenario", "small"], "a study names its scenario"),
        (["plan", *STUDY, "--format", "json"], "the plan of a study is text"),
        (["plan", *STUDY, "--constants"], "--constants lists those of a scenario"),
        (["plan", *STUDY, "--decodes", "2"], "--decodes chooses an iteration"),
        (["plan", "--constants", "--context", "2"], "--context chooses an iteration"),
        (["plan", "--format", "yaml", "--prefill", "2"], "--prefill chooses an iteration"),
    ],
)
def test_options_that_do_not_go_together(
    words: list[str], said: str, small: str, capsys: Capture
) -> None:
    command, *options = words
    assert main([command, small, *options]) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert told.err.startswith("tsdl: ")
    assert told.out == ""


def test_options_that_exclude_each_other_are_known() -> None:
    for command, pairs in APART.items():
        parsed = make_parser([command]).parse_args([command, "x.tsim"])
        known = parsed.parser.format_help()
        for one, other, _ in pairs:
            for option in (one, other):
                assert f"{option.removeprefix('no ').partition(' ')[0]} " in f"{known} ", option


def test_options_as_they_are_without_them_exclude_nothing(small: str, capsys: Capture) -> None:
    assert main(["check", small, "--explain-defaults", "--format", "text"]) == 0
    assert capsys.readouterr().out.startswith("small: ")


def test_a_check_with_params(small: str, capsys: Capture) -> None:
    assert main(["check", small, "-p", "qps = 2 req/s"]) == 0
    assert main(["check", small, "-p", "qps = 2 s"]) == 1
    assert "requests per second" in capsys.readouterr().err


def test_constants_as_json_are_what_python_takes(small: str, capsys: Capture) -> None:
    assert main(["plan", small, "--constants", "--format", "json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["hardware.A100_80G.efficiency.gemm.compute"] < 1
    source = Path(small)
    assert tsdl.compile(source, constants=values).hash == tsdl.compile(source).hash
    assert main(["plan", small, "--constants", "--format", "yaml"]) == 0
    assert "hardware.A100_80G.memory.capacity: " in capsys.readouterr().out


def test_wrong_usage_shows_that_of_the_command(small: str, capsys: Capture) -> None:
    assert "usage: tsdl check" in usage_error(capsys, "check", small, "--fast")


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
