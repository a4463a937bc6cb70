"""What imports make of drafted tokens, of windows and of all-reduces."""

import re

import pytest

import tsdl
from tests.test_import_engines import made
from tsdl.diagnostics.text import render_all

EAGLE = (
    """--speculative-config '{"method": "eagle", "model": "a/b", "num_speculative_tokens": 2}'"""
)


def text_of(command: str, *flags: str, form: str = "vllm", told: str = "") -> str:
    """Return the text that a command line becomes; `told` is all that it is told of."""
    text, found = made(form, command, *flags)
    assert text is not None, render_all(found)
    assert [told in d.title for d in found] == [True] * bool(told), render_all(found)
    return re.sub(r" +", " ", text)


def plan_of(text: str) -> tsdl.Plan:
    return tsdl.compile(text)


def test_an_eagle_is_a_layer_of_the_model() -> None:
    text = text_of(f"vllm serve meta-llama/Llama-3.1-8B {EAGLE}")
    assert "model drafter from llama3_1_8b { layers = 1 }" in text
    speculation = plan_of(text).workers[0].local.speculation
    assert speculation is not None
    assert (speculation.tokens, speculation.drafter) == (2, "drafter")


def test_so_is_mtp_without_the_layers_that_are_dense() -> None:
    keys = "--speculative-config.method=mtp --speculative-config.num_speculative_tokens=1"
    text = text_of(f"vllm serve deepseek-ai/DeepSeek-V3 -tp 8 {keys}", "--hardware", "H200")
    assert "model drafter from deepseek_v3 { layers = 1; dense_layers = 0 }" in text
    assert plan_of(text).workers[0].local.decode_tokens == 2


def test_a_model_of_the_library_drafts() -> None:
    flags = "--speculative-model meta-llama/Llama-3.2-1B-Instruct --num-speculative-tokens 5"
    text = text_of(f"vllm serve meta-llama/Llama-3.1-8B {flags}")
    assert "speculate { tokens = 5 tokens; acceptance(r) = 70 %; drafter = llama3_2_1b }" in text


def test_n_grams_take_no_time() -> None:
    config = """--speculative-config '{"method": "ngram", "num_speculative_tokens": 4}'"""
    text = text_of(f"vllm serve meta-llama/Llama-3.1-8B {config}")
    assert "speculate { tokens = 4 tokens; acceptance(r) = 70 % }" in text


def test_a_drafter_that_nobody_knows_is_told() -> None:
    config = """--speculative-config '{"method": "medusa", "num_speculative_tokens": 4}'"""
    text = text_of(f"vllm serve llama3_1_8b {config}", told="the drafter is not known")
    assert "speculate { tokens = 4 tokens; acceptance(r) = 70 % }" in text


@pytest.mark.parametrize("config", ["'{'", "'[]'", "7", """'{"num_speculative_tokens": -1}'"""])
def test_a_config_that_says_nothing_is_told(config: str) -> None:
    line = f"vllm serve llama3_1_8b --speculative-config {config}"
    assert "speculate" not in text_of(line, told="nothing is drafted").partition("\n\n")[2]


def test_of_a_tree_one_branch_is_drafted() -> None:
    flags = "--speculative-algo EAGLE3 --speculative-eagle-topk 8 --speculative-num-draft-tokens 32"
    line = f"sglang serve --model-path Qwen/Qwen3-32B --tp 2 {flags}"
    assert "tokens = 31 tokens" in text_of(line, form="sglang", told="drafts are chains")
    text = text_of(f"{line} --speculative-num-steps 5", form="sglang", told="drafts are chains")
    assert "tokens = 5 tokens" in text


def test_as_many_run_as_a_step_has_tokens_for() -> None:
    config = """--speculative-config '{"method": "ngram", "num_speculative_tokens": 8}'"""
    text = text_of(f"vllm serve llama3_1_8b {config}", "--hardware", "A100", told="no more than")
    assert "sequences = 227" in text  # of 9 tokens each, in 2048
    assert plan_of(text).workers[0].local.decode_tokens == 9


@pytest.mark.parametrize("form", ["vllm", "sglang"])
def test_stages_do_not_speculate(form: str) -> None:
    line = {
        "vllm": f"vllm serve llama3_1_8b -pp 2 {EAGLE}",
        "sglang": "sglang serve --model llama3_1_8b --pp 2 --speculative-algorithm EAGLE",
    }[form]
    assert plan_of(text_of(line, form=form, told="do not speculate")).workers[0].pipeline


# -- windows and links -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "version", "flag", "kv"),
    [
        ("google/gemma-3-27b-it", "0.19", "", "vllm_hybrid"),
        ("openai/gpt-oss-20b", "0.19", "", "vllm_hybrid"),
        ("google/gemma-3-27b-it", "0.19", "--disable-hybrid-kv-cache-manager", "vllm_shared"),
        ("google/gemma-3-27b-it", "0.9", "", "vllm_shared"),
        ("meta-llama/Llama-3.1-8B", "0.19", "", "vllm_shared"),
    ],
)
def test_windowed_layers_keep_their_window(model: str, version: str, flag: str, kv: str) -> None:
    line = f"vllm serve {model} -tp 4 {flag}"
    text = text_of(line, "--hardware", "H100", "--version", version)
    assert (f"from {kv} " in text) or (f"kv = {kv}" in text)
    assert plan_of(text).workers[0].kv.shares == (kv == "vllm_shared")


def test_windows_leave_room_for_more() -> None:
    line = "vllm serve google/gemma-3-27b-it -tp 4"
    few, many = (
        plan_of(text_of(f"{line} {flag}")).workers[0].kv
        for flag in ("--disable-hybrid-kv-cache-manager", "")
    )
    held = [tsdl_footprint(kv, 8000) / kv.capacity for kv in (few, many)]
    assert held[1] < held[0] / 3


def tsdl_footprint(kv: object, context: int) -> int:
    from tsdl.costs import compiled_footprint
    from tsdl.plan import KVCache

    assert isinstance(kv, KVCache)
    return compiled_footprint(kv)(context, context, 1)


@pytest.mark.parametrize(
    ("flags", "link"),
    [
        ("-tp 4", "NVLink3_graphs"),
        ("-tp 4 --disable-custom-all-reduce", "NVLink3"),
        ("", "NVLink3"),
    ],
)
def test_a100s_reduce_as_the_engine_does(flags: str, link: str) -> None:
    told = "--disable-custom-all-reduce" if "custom" in flags else ""
    text = text_of(f"vllm serve llama3_1_8b {flags}", "--hardware", "A100", told=told)
    assert plan_of(text).workers[0].link.name == link


def test_a_link_that_is_given_wins() -> None:
    text = text_of("vllm serve llama3_1_8b -tp 2", "--hardware", "A100", "--link", "PCIe")
    assert "link = PCIe4_x16" in text


MTP = "--speculative-config.method=mtp --speculative-config.num_speculative_tokens=1"
GLM = 78 * 1152 + 21 * 132  # bytes of a token: latent KV of each layer, keys of indexers
OF_KINDS = (
    ("Qwen/Qwen3.5-35B-A3B", "{ layers = 1; recurrent_layers = 0 }", 11 / 10),
    (
        "zai-org/GLM-5.2-FP8 -tp 8",
        "{ layers = 1; dense_layers = 0; indexed_layers = 1 }",
        (GLM + 1152 + 132) / GLM,
    ),
    (
        "nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-FP8 -tp 8",
        "{ layers = 2; recurrent_layers = 0; ffn_layers = 1 }",
        9 / 8,
    ),
)


@pytest.mark.parametrize(("served", "layers", "more"), OF_KINDS)
def test_a_layer_that_drafts_has_attention(served: str, layers: str, more: float) -> None:
    """Its KV is that of one layer with attention; the model has 10, 78 and 8 of them."""
    alone, text = (
        text_of(f"vllm serve {served} {flags}", "--hardware", "H200") for flags in ("", MTP)
    )
    assert f" {layers}" in text
    with_it, without = (plan_of(one).workers[0].kv.bytes_per_token for one in (text, alone))
    assert with_it == pytest.approx(more * without, rel=1e-9)


@pytest.mark.parametrize("model", ["zai-org/GLM-5-FP8", "Qwen/Qwen3-Next-80B-A3B-Instruct"])
def test_experts_are_shared_whatever_the_layers_beside_them(model: str) -> None:
    text = text_of(f"vllm serve {model} -dp 8 --enable-expert-parallel", "--hardware", "H200")
    assert "parallel = ep(1, ranks = 8)" in text
    assert plan_of(text).workers[0].ranks == 8


@pytest.mark.parametrize(
    ("served", "block"),
    [
        ("Qwen/Qwen3.5-27B", 784),
        ("Qwen/Qwen3.5-27B --dtype float32", 400),
        (f"Qwen/Qwen3.5-27B {MTP.replace('=mtp', '=qwen3_5_mtp')}", 800),
        ("Qwen/Qwen3.5-35B-A3B", 1056),
        ("Qwen/Qwen3.5-35B-A3B --block-size 32 --kv-cache-dtype fp8", 2096),
        ("Qwen/Qwen3-Next-80B-A3B-Instruct -tp 2", 544),
    ],
)
def test_blocks_are_as_large_as_a_state(served: str, block: int) -> None:
    """Logs of vLLM tell 784, 1056 and 544 tokens; KV of half the bytes takes twice as many of them.

    In single precision KV takes twice as much; with a drafted token convolutions see one more.
    """
    text = text_of(f"vllm serve {served}", "--hardware", "H200")
    cache = plan_of(text).workers[0].kv
    assert cache.block_tokens == block
    if "speculative" in served:  # there is KV and a state of what drafts, too
        return
    attention, recurrent = (
        (16, 48) if "27B" in served else (10, 30) if "35B" in served else (12, 36)
    )
    assert 0.98 < cache.state / recurrent / (block * cache.bytes_per_token / attention) <= 1
