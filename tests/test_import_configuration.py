"""What engines were started with, in files: `--config`, and what a measured run keeps of it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.test_imports import errors
from tsdl.cli import main
from tsdl.diagnostics import Diagnostic, Sink
from tsdl.diagnostics.text import render_all
from tsdl.imports import FORMATS

MODEL = "meta-llama/Llama-3.1-8B"
KWARGS = {
    "model": MODEL, "tensor_parallel_size": 2, "data_parallel_size": 1,
    "enable_expert_parallel": False, "max_num_seqs": 128, "max_num_batched_tokens": 2048,
    "max_model_len": None, "dtype": "bfloat16", "kv_cache_dtype": "auto", "seed": 42,
}  # fmt: skip
META = {
    "schema_version": 1,
    "model": MODEL,
    "vllm_version": "0.19.0",
    "engine_kwargs": KWARGS,
    "dataset_path": "workloads/shared.jsonl",
    "hardware": {"device_name": "NVIDIA H100 80GB HBM3", "device_count": 2},
}


def made(
    name: str, text: str, *flags: str, form: str = "vllm"
) -> tuple[str | None, list[Diagnostic]]:
    sink = Sink()
    text_made = FORMATS[form]([(name, text)], flags, sink)
    assert (text_made is None) == sink.has_errors
    return text_made, sink.sorted()


def of_run(*flags: str, **changes: Any) -> str:  # noqa: ANN401 (whatever JSON has)
    text, found = made("meta.json", json.dumps(META | changes), *flags)
    assert text is not None, render_all(found)
    assert not found, render_all(found)
    assert not errors(text.replace("requests.jsonl", SAMPLE)), text
    return text


SAMPLE = (ROOT / "examples" / "data" / "measured_sample.jsonl").as_posix()


def test_a_measured_run_is_what_it_was_started_with() -> None:
    text = of_run()
    assert 'param offered: path = "requests.jsonl"' in text
    assert "shared.jsonl has them" in text
    assert "worker gpu { hardware = H100_SXM; parallel = tp(2); kv = vllm_shared }" in text
    assert "vllm(budget = 2048 tokens, sequences = 128)" in text
    assert "# vllm serve --model meta-llama/Llama-3.1-8B --tensor-parallel-size 2" in text
    assert "--no-enable-expert-parallel" in text


def test_what_became_of_a_server_stands_for_what_it_was_not_told() -> None:
    kept = {"num_gpu_blocks": 2588, "block_size": 32, "enable_prefix_caching": False}
    resolved = {
        "scheduler_config": {"max_num_seqs": 64, "async_scheduling": False, "policy": "priority"},
        "compilation_config": {"cudagraph_mode": [2, 0], "cudagraph_capture_sizes": [1, 16, 8]},
        "model_config": {"enforce_eager": False},
    }
    text = of_run(kv_cache=kept, resolved_config=resolved)
    assert "kvcache cache from vllm_blocks { block = 32 tokens; blocks = 2587 }" in text
    assert "vllm_synchronous(budget = 2048 tokens, sequences = 128)" in text  # as it was told
    assert "eager = prefills > 0 or tokens > 16" in text
    assert "admit r by r.priority, r.arrived" in text
    usual = resolved | {"compilation_config": {"cudagraph_capture_sizes": [1, 256]}}
    assert " eager " not in of_run(resolved_config=usual)  # twice as many tokens as requests
    text = of_run(resolved_config={"compilation_config": {"cudagraph_mode": "CUDAGraphMode.NONE"}})
    assert "eager = true" in text


def test_flags_behind_the_dashes_count_more_than_the_file() -> None:
    text = of_run("--hardware", "A100_80G", "--version", "0.9")
    assert "hardware = A100_80G" in text
    assert "vllm_0_8(" in text


def test_ranks_of_a_measured_run_share_experts() -> None:
    kwargs = KWARGS | {
        "model": "Qwen/Qwen3-30B-A3B", "tensor_parallel_size": 1, "data_parallel_size": 2,
        "enable_expert_parallel": True,
    }  # fmt: skip
    text = of_run(engine_kwargs=kwargs)
    assert "worker gpu * 2 { hardware = H100_SXM; parallel = ep(1, ranks = 2)" in text
    assert "router   = reported_load" in text


@pytest.mark.parametrize(
    ("driver", "name"),
    [
        ("NVIDIA GeForce RTX 4090", "RTX_4090"),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "RTX_PRO_6000"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTX_PRO_6000"),
        ("NVIDIA A100-SXM4-80GB", "A100_80G"),
        ("NVIDIA A100 80GB PCIe", "A100_PCIe"),
        ("NVIDIA A100-SXM4-40GB", "A100_40G"),
        ("NVIDIA H100 PCIe", "H100_PCIe"),
        ("NVIDIA H200", "H200"),
        ("NVIDIA B200", "B200"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA A10G", "A10G"),
        ("Tesla T4", "T4"),
        ("Tesla V100-SXM2-32GB", "V100_32G"),
        ("NVIDIA RTX 6000 Ada Generation", "RTX_6000_Ada"),
        ("NVIDIA GH200 480GB", "GH200"),
        ("AMD Instinct MI300X", "MI300X"),
    ],
)
def test_devices_as_drivers_name_them(driver: str, name: str) -> None:
    assert f"hardware = {name};" in of_run(hardware={"device_name": driver})


MAX_Q = "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition"  # has half of the power


@pytest.mark.parametrize(
    ("changes", "title", "marked"),
    [
        ({"hardware": {}}, "no hardware is named: it is not told what this runs on", ""),
        ({"hardware": {"device_name": MAX_Q}}, f"no hardware `{MAX_Q}` is known", f'"{MAX_Q}"'),
        ({"hardware": [1]}, "`hardware` is a mapping of keys to values", "[1]"),
        ({"engine_kwargs": [1]}, "`engine_kwargs` is a mapping of keys to values", "[1]"),
        ({"engine_kwargs": {}}, "no model is named", "{}"),
        ({"engine_kwargs": KWARGS | {"max_num_seqs": "many"}},
         "`--max-num-seqs` is a number", '"many"'),
        ({"engine_kwargs": KWARGS | {"model": "nobody/knows-1B"}},
         "the library has no model `knows-1B`", '"nobody/knows-1B"'),
        ({"kv_cache": {"num_gpu_blocks": -1}}, "`--num-gpu-blocks-override` is", "-1"),
        ({"vllm_version": [1]}, "`vllm_version` is a text", "[1]"),
        ({"engine_kwargs": None}, "`engine_kwargs` is a mapping of keys to values", "null"),
        ({"engine_kwargs": KWARGS | {"model": {"name": MODEL}}}, "`model` is a text",
         json.dumps({"name": MODEL})),
        ({"hardware": {"device_name": ["NVIDIA H100"]}}, "`device_name` is a text",
         '["NVIDIA H100"]'),
        ({"engine_kwargs": KWARGS | {"lora_modules": [[0] * 200] * 200}},
         "more than 10,000 values for a flag", json.dumps([[0] * 200] * 200)),
    ],
)  # fmt: skip
def test_a_mistake_is_told_where_it_stands(
    changes: dict[str, Any], title: str, marked: str
) -> None:
    text, found = made("meta.json", json.dumps(META | changes))
    assert text is None
    (error,) = (d for d in found if d.title.startswith(title))
    assert error.code == "E0606"
    assert error.help
    assert error.span is not None
    assert error.span.text == marked


CONFIG = """\
model: meta-llama/Llama-3.1-8B-Instruct   # of `vllm serve --config`
port: 6379
tensor-parallel-size: 2
max_num_seqs: 64
no-enable-prefix-caching: true
api-key: hush
max-model-len: 32k
compilation-config: { cudagraph_mode: FULL_DECODE_ONLY, cudagraph_capture_sizes: [1, 2, 64] }
"""


def test_what_config_reads_is_the_command() -> None:
    text, found = made("serve.yaml", CONFIG, "--hardware", "H100")
    assert text is not None
    assert not found, render_all(found)
    command = (
        "vllm serve meta-llama/Llama-3.1-8B-Instruct -tp 2 --max-num-seqs 64 --max-model-len 32k "
        "--no-enable-prefix-caching --compilation-config "
        """'{"cudagraph_mode": "FULL_DECODE_ONLY", "cudagraph_capture_sizes": [1, 2, 64]}'"""
    )
    same, _ = made("<command>", command, "--hardware", "H100")
    assert same is not None
    assert text.split("\n\n", 1)[1] == same.split("\n\n", 1)[1]
    assert "hush" not in text
    assert "--no-enable-prefix-caching --api-key …" in text


def test_sglang_has_a_config_too() -> None:
    config = "model-path: Qwen/Qwen3-32B\ntp: 2\nenable-metrics: true\nmem_fraction_static: 0.8\n"
    text, found = made("serve.yml", config, "--hardware", "H100", form="sglang")
    assert text is not None
    assert not found, render_all(found)
    assert "kvcache cache from radix { utilization = 80 % }" in text
    assert "parallel = tp(2)" in text


def test_a_key_without_a_counterpart_is_warned_of() -> None:
    text, found = made("c.yaml", "model: Qwen/Qwen3-32B\nmax-num-seq: 4\n", "--hardware", "H100")
    assert text is not None
    (warning,) = found
    assert warning.title == "`--max-num-seq` has no counterpart"
    assert warning.help == ("did you mean `--max-num-seqs`?",)
    assert warning.span is not None
    assert warning.span.text.startswith("max-num-seq")


def test_nothing_secret_is_written() -> None:
    hidden = {"aws_secret_access_key": "hush", "tls": {"key": "hush"}, "max_tokens": 3}
    kwargs = KWARGS | {
        "model_loader_extra_config": hidden, "otlp_traces_endpoint": "https://me:hush@there/v1",
        "api_key": "hush", "hf_token": "hush", "kv_transfer_config": {"password": "hush"},
    }  # fmt: skip
    text, _ = made("meta.json", json.dumps(META | {"engine_kwargs": kwargs}))
    assert text is not None
    assert "hush" not in text
    assert "https://…@there/v1" in text
    assert '"max_tokens"' in text


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        ({"vllm_version": "0.1.dev8388+g1234abc"}, "the version `0.1.dev8388+g1234abc` says"),
        ({"vllm_version": "banana"}, "the version `banana` says nothing: 0.19 is taken"),
        ({"resolved_config": {"compilation_config": {"cudagraph_mode": [0, 0]}}},
         "`--compilation-config.cudagraph_mode`: graphs are taken"),
        ({"resolved_config": {"compilation_config": {"cudagraph_capture_sizes": "all"}}},
         "`--compilation-config.cudagraph_capture_sizes`: graphs are taken"),
        ({"engine_kwargs": KWARGS | {"model": "openai/gpt-oss-20b"},
          "kv_cache": {"num_gpu_blocks": 9000}}, "`--num-gpu-blocks-override`: they are of layers"),
    ],
)  # fmt: skip
def test_what_says_nothing_is_told(changes: dict[str, Any], title: str) -> None:
    text, found = made("meta.json", json.dumps(META | changes))
    assert text is not None
    (warning,) = found
    assert warning.code == "W0606"
    assert warning.title.startswith(title)


def test_runs_of_vllm_are_of_no_other_engine() -> None:
    text, found = made("meta.json", json.dumps(META), form="sglang")
    assert text is None
    assert found[0].help == ("import it as what it is: `tsdl import vllm`",)


@pytest.mark.parametrize(
    ("text", "title"),
    [
        (f"model: {MODEL}\n---\nmodel: {MODEL}\n", "a second document"),
        ("tensor-parallel-size: 2\n", "no model is named"),
        (f"model: {MODEL}\na0: &a0 [{'1, ' * 20}]\n"
         + "".join(f"a{n}: &a{n} [{f'*a{n - 1}, ' * 20}]\n" for n in range(1, 9)),
         "more than 10,000 values for a flag"),
    ],
)  # fmt: skip
def test_yaml_that_is_no_configuration_is_told(text: str, title: str) -> None:
    found = made("serve.yaml", text, "--hardware", "H100")[1]
    assert found[0].code == "E0606"
    assert found[0].title.startswith(title)
    assert found[0].help


def test_yaml_merges_and_begins_with_a_mark_of_bytes() -> None:
    config = f"\ufeffbase: &base\n  tensor-parallel-size: 2\nmodel: {MODEL}\n<<: *base\n"
    text, found = made("serve.YAML", config, "--hardware", "H100")
    assert text is not None
    assert [d.title for d in found] == ["`--base` has no counterpart"]
    assert "parallel = tp(2)" in text


def test_a_program_does_not_take_the_place_of_what_it_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "a run"  # with a space, which a command has
    run.mkdir()
    shutil.copy(SAMPLE, run / "requests.jsonl")
    (run / "meta.json").write_text(json.dumps(META), "utf-8")
    command = ["import", "vllm", str(run / "meta.json"), "-o"]
    assert main([*command, str(run / "requests.jsonl")]) == 2
    assert "it is read, and would be lost" in capsys.readouterr().err
    assert (run / "requests.jsonl").read_text("utf-8") == Path(SAMPLE).read_text("utf-8")
    assert main([*command, str(tmp_path / "a.tsim")]) == 0
    assert main(["check", str(tmp_path / "a.tsim")]) == 0


def test_a_run_is_imported_and_validated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, mine = tmp_path / "run", tmp_path / "mine"
    run.mkdir()
    mine.mkdir()
    shutil.copy(SAMPLE, run / "requests.jsonl")
    (run / "meta.json").write_text(json.dumps(META), "utf-8")
    monkeypatch.chdir(tmp_path)
    for program in ("run.tsim", "mine/run.tsim", "run/run.tsim"):
        assert main(["import", "vllm", "run/meta.json", "-o", program]) == 0
        assert main(["validate", program, "run/requests.jsonl", "--skip-first", "1"]) == 0
        assert "119 of 120 requests count, the same in both" in capsys.readouterr().out
    assert main(["validate", "run.tsim", "run"]) == 1
    assert "it is a folder: name a file in it" in capsys.readouterr().err
