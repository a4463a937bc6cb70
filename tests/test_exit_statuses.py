"""The exit statuses of the command line, as people and scripts meet them."""

from pathlib import Path

import pytest

import tsdl
from tests.command_line import Capture, several_in, small_in, usage_error, wrong_in
from tsdl.cli import main
from tsdl.session import Session


@pytest.fixture
def small(tmp_path: Path) -> str:
    return small_in(tmp_path)


@pytest.fixture
def wrong(tmp_path: Path) -> str:
    return wrong_in(tmp_path)


@pytest.fixture
def several(tmp_path: Path) -> str:
    return several_in(tmp_path)


def test_status_0_a_run(small: str, capsys: Capture) -> None:
    assert main(["run", small]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("small: llama2_7b under continuous, seed 0\n")
    assert "  pass  expect finished == 20" in said.out
    assert said.err == ""


def test_a_run_that_ends_without_results_leaves_no_folder(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "p.tsim").write_text(
        "policy p from continuous { local { on finish(r, w) { log 1 / (r.output - r.output) } } }\n"
        "scenario s { model = llama2_7b; cluster = single(A100_80G); policy = p;"
        " workload = sharegpt(requests = 5) }",
        encoding="utf-8",
    )
    out = tmp_path / "a" / "results"
    assert main(["run", str(tmp_path / "p.tsim"), "--out", str(out)]) == 1
    assert "error[E0901]" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["p.tsim"]


def test_a_trace_may_be_in_the_folder_that_is_made(small: str, tmp_path: Path) -> None:
    out = tmp_path / "a" / "results"
    trace = str(out / "t.json")
    assert main(["run", small, "--out", str(out), "--trace", trace]) == 0
    assert (out / "t.json").exists()
    assert (
        main(["run", small, "--out", str(tmp_path / "b"), "--trace", f"{tmp_path}/c/t.json"]) == 2
    )
    assert not (tmp_path / "b").exists()


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


def test_an_empty_name_is_no_file(capsys: Capture) -> None:
    for command in (["check", ""], ["run", ""], ["import", "hf", ""]):
        assert main(command) == 1
        assert "its name is empty" in capsys.readouterr().err
    assert main(["import", "vllm", ""]) == 1
    assert "no `vllm serve` in this command line" in capsys.readouterr().err


def test_status_2_the_wrong_usage(small: str, capsys: Capture) -> None:
    assert "COMMAND" in usage_error(capsys)
    assert "FILE" in usage_error(capsys, "run")
    assert "invalid choice" in usage_error(capsys, "simulate", small)
    assert "unrecognized arguments: --fast\n" in usage_error(capsys, "run", small, "--fast")
    told = usage_error(capsys, "import", "vllm", "vllm serve x", "--hardware", "H100_SXM")
    assert "--hardware H100_SXM (flags about what is imported follow after `--`)" in told
    told = usage_error(capsys, "import", "vllm", "vllm", "serve", "x", "-tp", "2")
    assert "-tp 2 (put all of the engine's command in quotes)" in told
    told = usage_error(capsys, "check", small, "--fast", small)
    assert f"unrecognized arguments: --fast {small}\n" in told


def test_flags_may_stand_between_files(tmp_path: Path, small: str, capsys: Capture) -> None:
    assert main(["check", small, "--format", "json", small]) == 0
    assert capsys.readouterr().out == "[]\n"
    written = tmp_path / "written.tsim"
    command = "vllm serve meta-llama/Llama-3.1-8B"
    assert main(["import", "vllm", "-o", str(written), command, "--", "--hardware", "L40S"]) == 0
    assert "L40S" in written.read_text()


def test_status_2_a_misspelt_command_or_choice(capsys: Capture) -> None:
    assert "; did you mean `check`?" in usage_error(capsys, "chek", "a.tsim")
    assert "; did you mean `vllm`?" in usage_error(capsys, "import", "vlm", "a")
    assert "did you mean" not in usage_error(capsys, "simulate", "a.tsim")


def test_status_2_the_output_stands_before_the_flags_of_others(capsys: Capture) -> None:
    assert main(["import", "vllm", "vllm serve x", "--", "-o", "a.tsim"]) == 2
    assert "stands before `--`" in capsys.readouterr().err


def test_status_2_an_unknown_code(capsys: Capture) -> None:
    assert main(["explain", "E9999"]) == 2
    assert "E9999" in capsys.readouterr().err


def test_a_code_is_found_as_people_write_it(capsys: Capture) -> None:
    assert main(["explain", "E0529"]) == 0
    page = capsys.readouterr().out
    for code in ("e0529", "e529", "E529"):
        assert main(["explain", code]) == 0
        assert capsys.readouterr().out == page


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


def test_who_interrupts_while_a_class_is_made_is_not_told_of_a_bug(
    small: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python before 3.12 makes a RuntimeError of what comes out of `__set_name__`."""

    def interrupted(*_: object) -> None:
        raise RuntimeError("Error calling __set_name__") from KeyboardInterrupt()

    monkeypatch.setattr("tsdl.cli.checking._check", interrupted)
    assert main(["check", small]) == 130
    assert capsys.readouterr().err == "interrupted\n"
