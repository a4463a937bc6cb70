"""`tsdl import`: the program that it writes, where to, and what it says of mistakes."""

import json
from pathlib import Path

from tests.command_line import Capture
from tests.hugging_face import sample
from tsdl.cli import main

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


# -- files that are written ---------------------------------------------------------------------


def test_the_command_does_not_write_over_what_it_reads(tmp_path: Path, capsys: Capture) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(sample("llama")), encoding="utf-8")
    assert main(["import", "hf", str(config), "-o", str(tmp_path / "." / "config.json")]) == 2
    assert "it is read, and would be lost" in capsys.readouterr().err
    assert json.loads(config.read_text("utf-8")) == sample("llama")


def test_the_command_writes_a_file(tmp_path: Path, capsys: Capture) -> None:
    config, out = SAMPLES / "hf" / "llama" / "Llama-3.1-8B.json", tmp_path / "own.tsim"
    assert main(["import", "hf", str(config), "-o", str(out)]) == 0
    assert out.read_text("utf-8") == (SAMPLES / "hf" / "llama.tsim").read_text("utf-8")
    assert main(["check", str(out)]) == 0
    assert main(["import", "hf", str(config), "-o", str(tmp_path / "none" / "own.tsim")]) == 2
    assert "cannot write to" in capsys.readouterr().err


def test_a_model_is_named_by_its_file(tmp_path: Path, capsys: Capture) -> None:
    assert main(["import", "hf", str(tmp_path)]) == 1
    assert f"name the config.json in it: `{tmp_path / 'config.json'}`" in capsys.readouterr().err
    assert main(["import", "hf", "meta-llama/Llama-3.1-8B"]) == 1
    assert "the hub is not asked" in capsys.readouterr().err
