"""Names of checkpoints in command lines of vLLM and SGLang: their model, formats and contexts."""

import re

import pytest

import tsdl
from tests.test_import_engines import made
from tests.test_imports import errors
from tsdl.diagnostics.text import render_all


@pytest.mark.parametrize(
    ("name", "model", "formats"),
    [
        ("meta-llama/Llama-3.3-70B-Instruct", "llama3_1_70b", ()),
        ("meta-llama/Meta-Llama-3-8B", "llama3_8b", ()),
        ("/models/Llama-2-7b-chat-hf/", "llama2_7b", ()),
        ("Qwen/Qwen2.5-72B-Instruct-GPTQ-Int4", "qwen2_5_72b", ("int4_group",)),
        ("Qwen/Qwen3-8B-GPTQ-Int8", "qwen3_8b", ("int8",)),
        ("Qwen/Qwen3-8B-GPTQ-Int8 --quantization gptq_marlin", "qwen3_8b", ("int8",)),
        ("cognitivecomputations/DeepSeek-V3-AWQ", "deepseek_v3", ("int4_group",)),
        ("moonshotai/Kimi-K2-Instruct --quantization bitsandbytes", "kimi_k2", ("int4",)),
        ("RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8-dynamic", "llama3_1_8b", ("fp8",)),
        ("RedHatAI/Llama-3.1-8B-Instruct-quantized.w8a8", "llama3_1_8b", ("int8",)),
        ("Qwen/Qwen3-30B-A3B-Instruct-2507", "qwen3_30b_a3b", ()),
        ("openai/gpt-oss-20b", "gpt_oss_20b", ()),
        ("deepseek-ai/DeepSeek-V3-0324", "deepseek_v3", ()),
        ("google/gemma-3-27b-it", "gemma3_27b", ()),
        ("mistralai/Mistral-7B-Instruct-v0.3", "mistral_7b_v03", ()),
        ("llama3_1_8b", "llama3_1_8b", ()),
        ("google/gemma-3-4b-it", "gemma3_4b", ()),
        ("unsloth/gemma-3-12b-it-unsloth-bnb-4bit", "gemma3_12b", ("int4",)),
        ("meta-llama/Llama-4-Maverick-17B-128E-Instruct", "llama4_maverick", ()),
        ("mistralai/Mistral-Small-24B-Instruct-2501", "mistral_small_24b", ()),
        ("mistralai/Mistral-Small-3.1-24B-Instruct-2503", "mistral_small_3_1_24b", ()),
        ("RedHatAI/Mistral-Small-3.2-24B-Instruct-2506-FP8", "mistral_small_3_1_24b", ("fp8",)),
        ("microsoft/phi-4", "phi4_14b", ()),
        ("unsloth/phi-4", "phi4_14b", ()),
        ("Qwen/Qwen3-Coder-30B-A3B-Instruct", "qwen3_coder_30b_a3b", ()),
        ("Qwen/Qwen3-Coder-480B-A35B-Instruct-FP8", "qwen3_coder_480b_a35b", ("fp8",)),
        ("Qwen/Qwen3-235B-A22B-Thinking-2507", "qwen3_235b_a22b", ()),
        ("zai-org/GLM-4.5", "glm4_5", ()),
        ("zai-org/GLM-4.5-Air", "glm4_5_air", ()),
        ("zai-org/GLM-4.5-Air-FP8", "glm4_5_air", ("fp8",)),
        ("moonshotai/Kimi-K2-Instruct", "kimi_k2", ()),
        ("deepseek-ai/DeepSeek-R1", "deepseek_v3", ()),
        ("deepseek-ai/DeepSeek-R1-0528", "deepseek_v3", ()),
        ("deepseek-ai/DeepSeek-V3.1", "deepseek_v3", ()),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", "r1_distill_qwen_1_5b", ()),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", "qwen2_5_7b", ()),
        ("unsloth/DeepSeek-R1-Distill-Qwen-14B-bnb-4bit", "qwen2_5_14b", ("int4",)),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-32B", "qwen2_5_32b", ()),
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-8B", "llama3_1_8b", ()),
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-70B", "llama3_1_70b", ()),
        ("Qwen/Qwen2.5-Coder-3B-Instruct", "qwen2_5_3b", ()),
    ],
)
def test_checkpoints_are_known(name: str, model: str, formats: tuple[str, ...]) -> None:
    text, found = made("vllm", f"vllm serve {name}")
    assert text is not None, render_all(found)
    assert not found, render_all(found)
    longer = "2507" in name and "qwen3" in model
    assert ("{ context = 262_144 tokens }" in text) == longer
    derived = f"served from {model} " if formats or longer else f"model    = {model}"
    assert derived in text, text
    assert all(
        f"weight_dtype  = {form}" in text or f"weight_dtype = {form}" in text for form in formats
    )
    widened = model in ("deepseek_v3", "kimi_k2") and formats and formats[0].startswith("int4")
    assert ("compute_dtype = bf16" in text) == bool(widened)  # which is fp8 in the library's


@pytest.mark.parametrize(
    ("name", "model", "context"),
    [
        ("Qwen/Qwen2.5-Coder-7B-Instruct", "qwen2_5_7b", "32_768"),
        ("Qwen/Qwen2.5-Coder-1.5B", "qwen2_5_1_5b", "32_768"),
        ("Qwen/Qwen2.5-Coder-32B-Instruct-AWQ", "qwen2_5_32b", "32_768"),
        ("microsoft/Phi-4-reasoning-plus", "phi4_14b", "32_768"),
        ("moonshotai/Kimi-K2-Instruct-0905", "kimi_k2", "262_144"),
        ("moonshotai/Kimi-K2-Thinking", "kimi_k2", "262_144"),
        ("zai-org/GLM-4.6", "glm4_5", "202_752"),
        ("zai-org/GLM-4.7-FP8", "glm4_5", "202_752"),
    ],
)
def test_contexts_of_checkpoints_are_their_own(name: str, model: str, context: str) -> None:
    text, found = made("vllm", f"vllm serve {name}")
    assert text is not None
    assert not found, render_all(found)
    assert f"served from {model} " in text
    assert re.search(rf"context += {context} tokens", text), text
    asked, _ = made("vllm", f"vllm serve {name} --max-model-len 8192")
    assert asked is not None
    assert re.findall(r"context += (\S+)", asked) == ["8192"]


@pytest.mark.parametrize("flags", ["", " --quantization compressed-tensors"])
@pytest.mark.parametrize("engine", ["vllm serve", "python -m sglang.launch_server --model-path"])
def test_a_checkpoint_may_be_published_in_another_format(engine: str, flags: str) -> None:
    kind = "vllm" if engine.startswith("vllm") else "sglang"
    text, found = made(
        kind,
        f"{engine} moonshotai/Kimi-K2-Thinking{flags} --tensor-parallel-size 8",
        "--hardware",
        "H200",
    )
    assert text is not None
    assert not found, render_all(found)
    written = dict(re.findall(r"(\w+_dtype) += (.*?)(?:  #.*)?$", text, re.MULTILINE))
    experts = "int4_group(32, zero = 0)"
    wanted = {"expert_dtype": experts, "weight_dtype": "bf16", "compute_dtype": "bf16"}
    assert written == wanted, text
    plan = tsdl.compile(text.replace("sharegpt(rate = 8 req/s)", "sharegpt(requests = 3)"))
    weights = plan.workers[0].weights
    assert 594e9 < weights < 615e9  # 594 in the files; what is not divided is kept eight times


@pytest.mark.parametrize(
    ("version", "own"), [("0.10.2", True), ("0.11", True), ("0.11.1", False), ("0.19", False)]
)
def test_gpt_oss_has_the_kernels_of_its_version(version: str, *, own: bool) -> None:
    flags = ("--hardware", "H100", "--version", version)
    text, found = made("vllm", "vllm serve openai/gpt-oss-20b", *flags)
    assert text is not None
    assert not found
    assert ("expert_dtype = mxfp4_marlin" in text) == own
    assert not errors(text)
    text, _ = made("vllm", "vllm serve openai/gpt-oss-20b --quantization awq", *flags)
    assert text is not None
    assert "marlin" not in text.split("\n\n", 1)[1]
