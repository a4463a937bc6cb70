"""Engines' command lines in shells and scripts: where they begin and end, and what is secret."""

import pytest

from tests.test_import_engines import DENSE, made
from tsdl.cli import main


def test_command_and_script_are_the_same(
    capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    command = f"vllm serve {DENSE} \\\n  -tp 2 # not yet --max-num-seqs 8"
    script = tmp_path_factory.mktemp("scripts") / "serve.sh"
    script.write_text(f"#!/bin/sh\n# the server\nset -e\nexec {command}\n", "utf-8")
    flags = ["--", "--hardware", "A100_80G"]
    assert main(["import", "vllm", command, *flags]) == 0
    typed = capsys.readouterr().out.split("\n\n", 1)[1]
    assert main(["import", "vllm", str(script), *flags]) == 0
    assert capsys.readouterr().out.split("\n\n", 1)[1] == typed


@pytest.mark.parametrize(
    "command",
    [
        "HF_TOKEN=hush vllm serve {} --api-key hush hush --seed 1",
        "docker run -e HF_TOKEN='hush' vllm/vllm-openai:v0.19.0 --model {} --api-key=hush",
        'env AWS_SECRET_ACCESS_KEY=hush vllm serve {} --hf-token "hush"',
    ],
)
def test_keys_and_tokens_are_not_written(command: str) -> None:
    text, _ = made("vllm", command.format(DENSE))
    assert text is not None
    assert "hush" not in text
    assert "…" in text
    assert DENSE in text


def test_a_mark_of_the_shell_ends_a_command_where_it_touches_a_word() -> None:
    text, found = made("vllm", f"cd models; vllm serve {DENSE} -tp 2; echo -tp 4")
    assert text is not None
    assert "parallel = tp(2);" in text
    assert "tp(4)" not in text
    assert found == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (f"vllm serve {DENSE} -tp 2 &", f"vllm serve {DENSE} -tp 4"),
        (f"CUDA_VISIBLE_DEVICES=0,1 vllm serve {DENSE} -tp 2 > a.log &",
         f"vllm serve {DENSE} -tp 4 &"),
        (f"vllm serve {DENSE} -tp 2 && sleep 9 &&", "python -m vllm.entrypoints.openai.api_server"),
        (f"docker run vllm/vllm-openai:v0.9.1 --model {DENSE} -tp 2 &&",
         f"docker run vllm/vllm-openai:v0.6.3 --model {DENSE} -tp 4"),
        (f"docker run vllm/vllm-openai:v0.9.1 --model {DENSE} -tp 2;", f"vllm serve {DENSE} -tp 4"),
        (f"vllm serve {DENSE} -tp 2\npython wait.py\n", f"vllm serve {DENSE} -tp 4"),
    ],
)  # fmt: skip
def test_a_second_server_is_told(first: str, second: str) -> None:
    text, found = made("vllm", f"{first} {second}")
    assert text is not None
    assert "parallel = tp(2);" in text
    assert "vllm_0_6" not in text
    assert found[-1].code == "W0606"
    assert "starts another server, which is not read" in found[-1].title
    assert found[-1].span is not None
    assert found[-1].span.start >= len(first)


def test_lists_of_yaml_are_no_commands() -> None:
    for text in (
        f'image: vllm/vllm-openai:v0.9\nargs: ["--model", "{DENSE}"]\n',
        f"image: vllm/vllm-openai:v0.9\n    command:\n      - --model\n      - {DENSE}\n",
        f'- command: ["/bin/sh", "-c", "vllm serve {DENSE}"]\n',
    ):
        _, (error,) = made("vllm", text)
        assert error.title == "this is a list of YAML, and scripts and commands are read"
    assert made("vllm", f"image: vllm/vllm-openai:v0.9\ncommand: --model {DENSE}\n")[0] is not None


def test_a_line_that_does_not_go_on_is_another_command() -> None:
    line = f"vllm serve {DENSE} --max-num-seqs 64 --enforce-eager"
    told: list[str] = []
    for script in (
        f"{line}\npython bench.py --max-num-seqs 8",
        f"{line}\n\n# later\nvllm serve other --max-num-seqs 8",
    ):
        text, found = made("vllm", script, "--hardware", "H100", "--version", "0.19")
        assert text is not None
        assert "sequences = 64" in text
        told += [d.title for d in found]
    ends = "begins another command, which is not read"
    assert told == [f"`python` {ends}", f"`vllm` {ends}"]
    # What is pasted from a list of arguments goes on without a mark of the shell.
    folded = f"vllm serve\n  {DENSE}\n  --max-num-seqs\n  64\n  --enforce-eager\n"
    text, found = made("vllm", folded, "--hardware", "H100", "--version", "0.19")
    assert text is not None
    assert "sequences = 64" in text
    assert not found
