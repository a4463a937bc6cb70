"""`tsdl completion`: what shells complete, and that no other command pays for it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line import Capture, start
from tsdl.cli import main
from tsdl.cli.parsers import NAMES, make_parser

pytest.importorskip("shtab", reason="needs shtab: pip install '.[completion]'")


def script(shell: str, capsys: Capture) -> str:
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_knows_all_commands(shell: str, capsys: Capture) -> None:
    text = script(shell, capsys)
    for word in (*NAMES, "--explain-defaults" if shell != "fish" else "explain-defaults", "E0301"):
        assert word in text
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"there is no {shell} here to read it")
    subprocess.run([program, "-n"], input=text.encode(), check=True)


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash here")
@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["tsdl", "ca"], ["calibrate"]),
        (["tsdl", "run", "--sc"], ["--scenario"]),
        (["tsdl", "run", "--engine", ""], ["fast", "reference"]),
        (["tsdl", "explain", "E0301"], ["E0301"]),
        (["tsdl", "check", "sma"], ["small.tsim"]),
    ],
)
def test_bash_completes(
    words: list[str], wanted: list[str], tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "small.tsim").touch()
    given = " ".join(f"'{word}'" for word in words)
    asked = (
        f"{script('bash', capsys)}\n"
        f"COMP_WORDS=({given}); COMP_CWORD={len(words) - 1}; _shtab_tsdl\n"
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(
        ["bash"], input=asked.encode(), capture_output=True, check=True, cwd=tmp_path
    )
    assert done.stdout.decode().split() == wanted, done.stderr.decode()


def test_without_shtab_it_is_named(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "zsh"]) == 2
    assert "pip install 'tsdl[completion]'" in capsys.readouterr().err


def test_a_command_is_made_of_its_own_options_alone() -> None:
    """Others are neither loaded nor made, and are known none the less."""
    code = (
        "import sys; from tsdl.cli import main; main(['explain', 'E0301']); "
        "print([m for m in sys.modules if m.startswith('tsdl.cli.') or m == 'shtab'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    loaded = done.stdout.decode().splitlines()[-1]
    assert "tsdl.cli.explaining" in loaded
    for other in ("running", "studying", "completing", "limiting", "shtab"):
        assert other not in loaded
    assert make_parser(["run"]).parse_args(["explain"]) is not None


def test_a_command_that_is_none_is_told_with_those_that_are() -> None:
    told = start("simulate").stderr.decode()
    assert all(name in told for name in NAMES)
