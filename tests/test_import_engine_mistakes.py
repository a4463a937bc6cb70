"""Mistakes in command lines of vLLM and SGLang: what is told of each, and what to do."""

import pytest

from tests.test_import_engines import DENSE, made
from tsdl.cli import main
from tsdl.diagnostics.text import render_all

MISTAKES = [
    ("vllm", "vllm serve llama3_1_8b", ("--link", "PCIe"), "no hardware is named"),
    ("vllm", "vllm serve llama3_1_8b", ("--hardware", "A1O0"), "no hardware `A1O0`"),
    ("vllm", "vllm serve", (), "no model is named"),
    ("vllm", "vllm serve me/Lama-3.1-8B", (), "the library has no model `Lama-3.1-8B`"),
    ("vllm", "vllm serve mistralai/Mistral-7B-Instruct-v0.2", (), "the library has no model"),
    ("vllm", "vllm bench serve", (), "no `vllm serve` in this command line"),
    ("vllm", "", (), "no `vllm serve` in this command line"),
    ("sglang", "vllm serve llama3_1_8b", (), "no `python -m sglang.launch_server`"),
    ("vllm", "vllm serve 'llama3_1_8b", (), "a quote that is not closed"),
    ("vllm", "vllm serve $MODEL", (), "`$MODEL` is a variable"),
    ("vllm", "vllm serve llama3_1_8b -tp two", (), "`--tensor-parallel-size` is a number"),
    ("vllm", "vllm serve llama3_1_8b -tp 0", (), "`--tensor-parallel-size` is from 1"),
    ("vllm", "vllm serve llama3_1_8b -tp 1e30", (), "`--tensor-parallel-size` is from 1"),
    ("vllm", "vllm serve llama3_1_8b --gpu-memory-utilization 90", (), "is from 0.01 to 1"),
    ("vllm", "vllm serve llama3_1_8b --scheduling-policy sjf", (), "is fcfs or priority"),
    ("vllm", "vllm serve llama3_1_8b", ("--hardware", "H100", "--version", "new"), "is no version"),
    ("sglang", "sglang serve --model mixtral_8x7b --tp 8 --dp 3 --enable-dp-attention", (),
     "is not divided by"),
    ("sglang", "sglang serve --model llama3_1_8b", ("--hardware", "H100", "--options", "a.yaml"),
     "`tsdl import` has no flag `--options`"),
    ("trtllm", "vllm serve llama3_1_8b", (), "no `trtllm-serve` in this command line"),
    ("trtllm", "trtllm-serve llama3_1_8b --tp_size two", (), "`--tp-size` is a number"),
    ("trtllm", "trtllm-serve llama3_1_8b", ("--hardware", "H100", "--version", "1.0"),
     "`tsdl import` has no flag `--version`"),
]  # fmt: skip


@pytest.mark.parametrize(("form", "command", "flags", "title"), MISTAKES)
def test_mistakes_are_told(form: str, command: str, flags: tuple[str, ...], title: str) -> None:
    text, found = made(form, command, *flags)
    assert text is None
    assert [d.code for d in found if title in d.title] == ["E0606"], render_all(found)


@pytest.mark.parametrize(
    ("form", "command", "title", "help_"),
    [
        ("vllm", "vllm serve", "no model is named", "name it in the command, or the library's"),
        ("vllm", "vllm serve --config c.yaml -tp 2", "no model is named",
         "files of `--config` are not read: name it in the command"),
        ("vllm", "vllm serve llama3_1_8b -tp four", "is a number", "write it in digits"),
        ("vllm", "vllm serve llama3_1_8b -tp 1.5", "is a whole number", "without a fraction"),
        ("vllm", "vllm serve llama3_1_8b -tp 0", "is from 1", "put in a number from 1"),
        ("vllm", "vllm serve llama3_1_8b -tp", "`--tensor-parallel-size` needs a value",
         "put it behind the flag"),
        ("vllm", "vllm serve llama3_1_8b --dtype --seed 1", "`--dtype` needs a value: it is a text",
         "put it behind the flag"),
        ("vllm", "vllm serve llama3_1_8b -tp=true", "is a number", "write it in digits"),
        ("vllm", "vllm serve llama3_1_8b --gpu-memory-utilization 1.5", "is from 0.01 to 1",
         "it is a share of the whole: 0.9 stands for 90 %"),
        ("vllm", "vllm serve llama3_1_8b --enforce-eager=maybe", "is true or false",
         "write `true` or `false`"),
        ("vllm", "vllm serve llama3_1_8b --scheduling-policy sjf", "is fcfs or priority",
         "choose one of them"),
        ("vllm", "vllm serve 'llama3_1_8b", "a quote that is not closed", "put in the other one"),
        ("vllm", "vllm serve llama3_1_8b \\", "a `\\` that nothing follows", "leave it out"),
        ("vllm", "vllm serve " + "x" * 100_000, "too long for a command line", "alone that starts"),
        ("sglang", "sglang serve --model mixtral_8x7b --tp 8 --dp 3 --enable-dp-attention",
         "is not divided by", "choose a `--dp` that divides it (1, 2, 4, 8)"),
    ],
)  # fmt: skip
def test_each_mistake_has_a_remedy(form: str, command: str, title: str, help_: str) -> None:
    text, found = made(form, command)
    assert text is None
    assert [title in d.title for d in found] == [True], render_all(found)
    assert help_ in str(found[0].help)


@pytest.mark.parametrize(
    ("flags", "told", "help_"),
    [
        ("--hardware H100 --verison 0.6", "`--verison`", "did you mean `--version`?"),
        ("--hardwear=H100", "`--hardwear`", "did you mean `--hardware`?"),
        ("--hardware H100 -tp 2", "`-tp` belongs to no flag", "flags are `--name value`"),
        ("--hardware H100 --max-num-seqs 8", "`--max-num-seqs`", "flags of the engine are in its"),
    ],
)
def test_flags_of_ours_are_no_others(flags: str, told: str, help_: str) -> None:
    text, found = made("vllm", f"vllm serve {DENSE}", *flags.split())
    assert text is None
    assert told in found[0].title
    assert help_ in str(found[0].help)
    assert len(found) == 1 or "-tp" in flags


@pytest.mark.parametrize(
    ("form", "command", "told"),
    [
        ("vllm", "vllm serve llama3_1_8b --max-model-len 200k", "`llama3_1_8b` has 131072 tokens"),
        ("vllm", "vllm serve llama3_1_8b --max-model-len 131072", ""),
        ("vllm", "VLLM_ALLOW_LONG_MAX_MODEL_LEN=1 vllm serve llama3_1_8b --max-model-len 200k", ""),
        ("vllm", "vllm serve Qwen/Qwen3-30B-A3B-Instruct-2507 --max-model-len 262144", ""),
        ("vllm", "vllm serve meta-llama/Llama-4-Scout-17B-16E-Instruct --max-model-len 1M", ""),
        ("sglang", "sglang serve --model qwen3_8b --context-length 128k", "has 40960 tokens"),
        ("vllm", "vllm serve Qwen/Qwen2.5-Coder-7B --max-model-len 64k",
         "`Qwen/Qwen2.5-Coder-7B` has 32768 tokens"),
        ("vllm", "vllm serve moonshotai/Kimi-K2-Instruct-0905 --max-model-len 200k", ""),
        ("vllm", "vllm serve llama3_1_8b --block-size 17", "vLLM takes 1, 8, 16, 32, 64, 128, 256"),
        ("vllm", "vllm serve llama3_1_8b --block-size 64", ""),
        ("vllm", "vllm serve llama3_1_8b --max-num-batched-tokens 64 --max-num-seqs 128",
         "no more than `--max-num-batched-tokens`, 64: so many are taken"),
        ("vllm", "vllm serve llama3_1_8b --max-num-batched-tokens 64", ""),  # it takes as many
    ],
)  # fmt: skip
def test_what_the_engine_refuses_is_warned_of(form: str, command: str, told: str) -> None:
    text, found = made(form, command)
    assert text is not None
    assert [(d.code, told in d.title) for d in found] == [("W0606", True)] * bool(told)


@pytest.mark.parametrize("flags", ["", "--nnodes 2 -tp 16"])
def test_an_unknown_network_is_told_of_one_server_too(flags: str) -> None:
    line = f"vllm serve {DENSE} {flags}"
    text, found = made("vllm", line, "--hardware", "H100", "--network", "FOO")
    assert text is None
    assert [d.title for d in found] == ["no link `FOO` is known"]


def test_changed_models_have_what_context_they_are_given() -> None:
    line = "vllm serve qwen3_8b --max-model-len 128k --rope-scaling '{}'"
    _, found = made("vllm", line)
    assert [d.title.split("`")[1] for d in found] == ["--rope-scaling"]


@pytest.mark.parametrize(
    "words",
    [
        "-- vllm serve llama3_1_8b -tp 2 --hardware H100",
        "vllm serve llama3_1_8b -- --hardware H100",
        "-- --hardware H100",
    ],
)
def test_a_command_without_quotes_is_one_mistake(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", "vllm", *words.split()]) == 1
    told = capsys.readouterr().err
    assert told.count("error[") == 1
    assert (
        'put all of it in quotes, and behind `--` only what it does not say: `tsdl import … "'
        in told
    )


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("deepseek-ai/DeepSeek-V3.5-Exp", "deepseek_v3_2"),
        ("google/gemma-3-12b-it-qat-q4_0-gguf", "gemma3_12b"),
        ("meta-llama/Llama-4-Behemoth", "llama4_maverick"),
        ("meta-llama/Llama-3.2-11B-Vision-Instruct", "llama3_1_8b"),
        ("mistralai/Mistral-7B-Instruct-v0.2", "mistral_7b_v03"),
        ("Qwen/Qwen3-Next-70B-A3B-Instruct", "qwen3_next_80b_a3b"),
        ("Qwen/Qwen2.5-Math-7B-Instruct", "qwen2_5_7b"),  # its context is 4,096 tokens
        ("Qwen/Qwen2-1.5B", "qwen2_5_1_5b"),
        ("Qwen/Qwen3-1.7B-mine", "qwen3_1_7b"),
        ("moonshotai/Kimi-K2.5", "kimi_k2"),  # experts in int4
        ("zai-org/GLM-4.8", "glm5"),
        ("microsoft/Phi-4-mini-instruct", "phi4_14b"),
        ("unsloth/DeepSeek-R1-BF16", None),  # whose matrices are not in fp8
        ("google/gemma-3n-E4B-it", None),
        ("codellama/CodeLlama-7b-hf", None),  # of a size far from that of the library
        ("facebook/opt-125m", None),
        ("gpt2", None),
        ("0", None),
    ],
)
def test_models_have_relatives_by_family_version_and_size(name: str, near: str | None) -> None:
    text, found = made("vllm", f"vllm serve {name}")
    assert text is None
    told = f"the nearest is `{near}`: name" if near else "nothing in the library is near it: make"
    assert told in str(found[0].help)
    assert "`tsdl import hf config.json`" in str(found[0].help)


def test_the_nearest_model_is_named() -> None:
    _, found = made("vllm", "vllm serve me/Lama-3.1-8B")
    assert "did you mean `llama3_1_8b`?" in str(found[0].help)
    text, _ = made(
        "vllm", "vllm serve me/Lama-3.1-8B", "--hardware", "H100", "--model", "llama3_1_8b"
    )
    assert text is not None
    assert "model    = llama3_1_8b" in text
