"""TensorRT-LLM's options in YAML: where they stand, mistakes in them, what is left out."""

from pathlib import Path

import pytest

from tests.test_import_engines import DENSE, SPARSE, made
from tests.test_imports import errors
from tsdl.cli import main
from tsdl.diagnostics import Sink
from tsdl.diagnostics.text import render_all
from tsdl.imports import FORMATS

SERVE = f"trtllm-serve {DENSE} --max_num_tokens 4096 --port 8000"


def test_the_file_that_a_command_names_is_told_where_it_is_not_read() -> None:
    command = f"{SERVE} --extra_llm_api_options more.yaml"
    text, found = made("trtllm", command)
    assert text is not None
    (warning,) = found
    assert warning.title.endswith("name it behind `--`: `--options FILE`")
    text, found = made("trtllm", command, options="max_num_tokens: 2048\nprint_iter_log: true\n")
    assert text is not None
    assert not found, render_all(found)
    assert "budget = 2048 tokens" in text  # the file wins


def test_options_are_read_from_their_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options, program = tmp_path / "more.yaml", tmp_path / "served.tsim"
    options.write_text("kv_cache_config:\n  free_gpu_memory_fraction: 0.5\n", "utf-8")
    flags = ["--", "--hardware", "H100", "--options", str(options)]
    assert main(["import", "trtllm", SERVE, "-o", str(program), *flags]) == 0
    assert "free_share = 50 %" in program.read_text("utf-8")
    assert main(["check", str(program)]) == 0
    capsys.readouterr()
    options.unlink()
    assert main(["import", "trtllm", SERVE, *flags]) == 1
    assert "cannot read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "title", "marked"),
    [
        ("kv_cache_config: 3", "`kv_cache_config` is a mapping of keys to values", "3"),
        ("kv_cache_config: {free_gpu_memory_fraction: 9}",
         "`free_gpu_memory_fraction` is from 0.01 to 1", "9"),
        ("max_batch_size: many", "`--max-batch-size` is a number", "many"),
        ("a: [", "not YAML", ""),
        ("- 1", "a configuration is a mapping, this is a list", ""),
        ("max_batch_size: 2\n---\nmax_batch_size: 3", "more options, which would not be read",
         "max_batch_size: 3"),
    ],
)  # fmt: skip
def test_a_mistake_in_options_is_told_where_it_stands(
    options: str, title: str, marked: str
) -> None:
    text, found = made("trtllm", SERVE, options=options)
    assert text is None
    (error,) = (d for d in found if d.title.startswith(title))
    assert error.span is not None
    assert (error.span.source.name, error.span.text) == ("more.yaml", marked)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("kv_cache_config: {host_cache_size: 1000}", "`policy offloading`"),
        ("kv_cache_config: {dtype: fp3}", "that of the model is taken"),
        ("kv_cache_config: {fre_gpu_memory_fraction: 0.5}", "has no counterpart"),
        ("scheduler_config: {capacity_scheduler_policy: STATIC_BATCH}", "GUARANTEED_NO_EVICT"),
        ("cuda_graph_config: {batch_sizes: [1, two]}", "the usual sizes are taken"),
        ("cuda_graph_config: {batch_sizes: 4}", "the usual sizes are taken"),
        (f"cuda_graph_config: {{batch_sizes: {list(range(2, 400, 2))}}}", "more than 40"),
        ("speculative_config: {decoding_type: Lookahead}", "how many tokens are drafted"),
        ("speculative_config: {decoding_type: MTP, num_nextn_layer: 3}", "has no counterpart"),
        ("speculative_config: {decoding_type: Medusa, max_draft_len: 1}", "drafter is not known"),
        ("build_config: {max_batch_size: 2}", "a TensorRT engine was built for"),
        ("max_seq_len: 200000", "has 131072 tokens"),
        ("enable_attention_dp: true\ntensor_parallel_size: 2", "the model has no experts"),
        ("lora_config: {lora_dir: [a]}", "adapters are not modelled"),
        ("backend: tensorrt", "those of the PyTorch backend"),
        ("context_parallel_size: 2", "context parallelism is not modelled"),
        ("max_batch_sise: 4", "has no counterpart"),
        ("max_num_tokens: 1024", "`--max-num-tokens`: no more than 1024 sequences decode"),
        ("max_num_tokens: 512\nmax_batch_size: 600", "`--max-batch-size`: no more than 512"),
        ("pipeline_parallel_size: 2\nspeculative_config: {decoding_type: MTP, max_draft_len: 2}",
         "stages of a pipeline do not speculate"),
    ],
)  # fmt: skip
def test_what_is_left_out_is_told(options: str, reason: str) -> None:
    text, found = made("trtllm", SERVE, options=options)
    assert text is not None, render_all(found)
    (warning,) = found
    assert warning.code == "W0606"
    assert reason in warning.title
    assert warning.span is not None
    assert warning.span.source.name == "more.yaml"
    assert not errors(text), text


def test_ranks_that_share_no_experts_are_servers_of_their_own() -> None:
    options = "enable_attention_dp: true\ntensor_parallel_size: 4"
    text, _ = made("trtllm", SERVE, options=options)
    assert text is not None
    assert "worker gpu * 4 { hardware = H100_SXM; kv = cache }" in text
    text, found = made("trtllm", f"trtllm-serve {SPARSE}", options=options)
    assert text is not None
    assert not found
    assert "worker gpu * 4 { hardware = H100_SXM; parallel = tp(1, ranks = 4); kv = cache }" in text


@pytest.mark.parametrize(
    ("name", "command", "title", "help_"),
    [
        ("<command>", "trtllm-serve disaggregated -c a.yaml", "`disaggregated` serves no model",
         "policy disaggregated_chunked"),
        ("more.yaml", "max_batch_size: 3", "this is a file of options", "`--options more.yaml`"),
    ],
)  # fmt: skip
def test_what_is_no_server_of_a_model_is_told(
    name: str, command: str, title: str, help_: str
) -> None:
    sink = Sink()
    assert FORMATS["trtllm"]([(name, command)], ("--hardware", "H100"), sink) is None
    error = sink.sorted()[0]
    assert error.title.startswith(title)
    assert help_ in error.help[0]


def test_experts_are_divided_whole_among_all_devices_or_not_at_all() -> None:
    text, found = made("trtllm", f"trtllm-serve {SPARSE} --tp_size 8 --ep_size 4")
    assert text is not None
    assert [d.title for d in found] == [
        "`--ep-size`: experts are divided whole among all 8 devices"
    ]
    text, found = made("trtllm", f"trtllm-serve {SPARSE} --tp_size 8 --ep_size 16")
    assert text is None
    assert found[0].title == "`--tp-size` 8 is not divided by `--ep-size` 16"


def test_several_servers_have_a_network() -> None:
    flags = ("--hardware", "H100", "--network", "HDR")
    command = f"trtllm-serve {SPARSE} --tp_size 16 --gpus_per_node 8"
    text, found = made("trtllm", command, *flags)
    assert text is not None
    assert not found, render_all(found)
    assert "network = InfiniBand_HDR" in text
    assert not errors(text), text


def test_options_win_over_flags_and_are_said_once() -> None:
    text, _ = made(
        "trtllm", f"{SERVE} --kv_cache_dtype fp8", options="kv_cache_config: {dtype: nvfp4}"
    )
    assert text is not None
    assert "kv_dtype = nvfp4" in text
    assert "kv_dtype = fp8" not in text
    text, _ = made("trtllm", SERVE, options="speculative_config: {decoding_type: MTP}")
    assert text is not None
    assert "speculate { tokens = 1 tokens" in " ".join(text.split())
