"""What the keys of a configuration of Hugging Face become, and where they are looked for."""

from typing import Any

import pytest

from tests.hugging_face import compressed, field, imported, sample

# -- contexts and windows ----------------------------------------------------------------------


def original(positions: int) -> dict[str, int]:
    return {"original_max_position_embeddings": positions}


def sliding(*, layers: int | None = None, used: bool | None = True) -> dict[str, Any]:
    return {"sliding_window": 4096, "use_sliding_window": used, "max_window_layers": layers}


FULL, SLIDING = "full_attention", "sliding_attention"


@pytest.mark.parametrize(
    ("positions", "scaling", "context"),
    [
        (4096, None, 4096),
        (4096, {"type": "linear", "factor": 4.0}, 16_384),
        (32_768, {"type": "yarn", "factor": 4.0} | original(32_768), 131_072),
        # Published so for DeepSeek-V3 and gpt-oss: the positions have the scaling in them.
        (163_840, {"type": "yarn", "factor": 40} | original(4096), 163_840),
        (131_072, {"rope_type": "llama3", "factor": 8.0}, 131_072),
        (131_072, {"type": "longrope", "factor": 32.0}, 131_072),
        (8192, {"rope_type": "default", "rope_theta": 1e4}, 8192),
    ],
)  # fmt: skip
@pytest.mark.parametrize("key", ["rope_scaling", "rope_parameters"])
def test_context(positions: int, scaling: object, context: int, key: str) -> None:
    changed = {"max_position_embeddings": positions, "rope_scaling": None, key: scaling}
    text, _ = imported(sample("llama") | changed | {"vocab_size": 1000})
    assert field(text, "context") == f"{context:_} tokens".replace("4_096", "4096").replace(
        "8_192", "8192"
    )


@pytest.mark.parametrize(
    ("changed", "window", "told"),
    [
        ({"sliding_window": 4096}, "4096 tokens", 0),
        ({"sliding_window": None}, "", 0),
        ({"sliding_window": 32_768}, "", 0),  # as far as the context goes
        (sliding(used=False), "", 0),
        (sliding(layers=20), "", 1),
        (sliding(layers=0), "4096 tokens", 0),
        (sliding(layers=32), "", 0),
        ({"sliding_window": 4096, "layer_types": [FULL] * 32}, "", 0),
        ({"sliding_window": 4096, "layer_types": [SLIDING] * 32}, "4096 tokens", 0),
        ({"sliding_window": 4096, "layer_types": [SLIDING, FULL] * 16}, "", 1),
    ],
)  # fmt: skip
def test_windows(changed: dict[str, Any], window: str, told: int) -> None:
    config = sample("mistral_window") | {"vocab_size": 1000, "sliding_window": None}
    text, found = imported(config | changed)
    assert field(text, "window") == window
    assert len(found) == told
    assert all("of 32 layers look back 4,096 tokens" in d.title for d in found)


# -- formats of numbers ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "dtype"),
    [
        ({"torch_dtype": "float16"}, "fp16"),
        ({"torch_dtype": "torch.bfloat16"}, "bf16"),
        ({"torch_dtype": None, "dtype": "float32"}, "bf16"),  # served in 16 bits
        ({"torch_dtype": "auto"}, "bf16"),
    ],
)
def test_number_formats(changed: dict[str, Any], dtype: str) -> None:
    text, _ = imported(sample("llama") | {"vocab_size": 1000} | changed)
    assert field(text, "dtype") == dtype
    assert ("which engines serve in 16 bits" in text) == (changed.get("dtype") == "float32")


@pytest.mark.parametrize("key", ["attention_bias", "mlp_bias"])
def test_biases_that_are_asked_for_are_not_counted(key: str) -> None:
    config = sample("llama") | {"vocab_size": 1000}
    assert " Biases are not counted." in imported(config | {key: True})[0]
    assert "Biases" not in imported(config | {key: False})[0]


FP8 = {"num_bits": 8, "type": "float"}
MODELOPT = {"quant_method": "modelopt", "quant_algo": "NVFP4"}
NVFP4 = {"num_bits": 4, "type": "float", "group_size": 16}


@pytest.mark.parametrize(
    ("quantized", "formats"),
    [
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, ("int4_group", "", "", "")),
        ({"quant_method": "gptq", "bits": 4, "group_size": -1}, ("int4", "", "", "")),
        ({"quant_method": "awq", "bits": 4, "group_size": 64}, ("int4_group(64)", "", "", "")),
        ({"quant_method": "gptq", "bits": 8, "group_size": 32}, ("int8", "", "", "")),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, ("int4", "", "", "")),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, ("int8", "", "", "")),
        ({"quant_method": "fp8"}, ("fp8", "fp8", "", "")),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, ("fp8_block", "fp8", "", "")),
        ({"quant_method": "mxfp4"}, ("", "", "", "mxfp4")),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, ("nvfp4", "nvfp4", "", "")),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, ("fp8", "fp8", "", "")),
        (MODELOPT | {"kv_cache_scheme": FP8}, ("nvfp4", "nvfp4", "fp8", "")),
        (MODELOPT | {"kv_cache_quant_algo": "FP8"}, ("nvfp4", "nvfp4", "fp8", "")),
        (MODELOPT | {"kv_cache_scheme": None}, ("nvfp4", "nvfp4", "", "")),
        (compressed(4, "float", NVFP4, among=16), ("nvfp4", "nvfp4", "", "")),
        (compressed(4, "float", among=32), ("mxfp4", "", "", "")),
        (compressed(8, "float", FP8), ("fp8", "fp8", "", "")),
        (compressed(8, "float", FP8, FP8), ("fp8", "fp8", "fp8", "")),
        (compressed(8, "int"), ("int8", "", "", "")),
        (compressed(4, "int"), ("int4", "", "", "")),
    ],
)
def test_quantization(quantized: dict[str, Any], formats: tuple[str, ...]) -> None:
    text, found = imported(sample("llama") | {"quantization_config": quantized})
    assert not found
    keys = ("weight_dtype", "compute_dtype", "kv_dtype", "expert_dtype")
    assert tuple(field(text, key) for key in keys) == formats
    assert field(text, "dtype") == ""


LEFT_OUT = ["lm_head", "re:.*mlp\\.gate$", "model.norm", "model.embed_tokens", "vision_tower"]
ATTENTION = ["re:.*self_attn.*", "re:.*shared_experts.*", "re:.*mlp\\.(gate|up|down)_proj.*"]


@pytest.mark.parametrize(
    ("case", "left", "formats", "told"),
    [
        ("qwen3_moe", LEFT_OUT, ("int4_group(32, zero = 0)", ""), ""),
        ("qwen3_moe", [*LEFT_OUT, *ATTENTION], ("", "int4_group(32, zero = 0)"), ""),
        (
            "qwen3_moe",
            [f"model.layers.{layer}.self_attn*" for layer in range(94)],
            ("", "int4_group(32, zero = 0)"),
            "",
        ),
        (
            "qwen3_moe",
            ["model.layers.0.self_attn", "model.layers.1.self_attn"],
            ("int4_group(32, zero = 0)", ""),
            "`model.layers.*.self_attn`",
        ),
        (
            "qwen3_moe",
            ["*self_attn", "model.layers.3.mlp.experts.7.up_proj"],
            ("", "int4_group(32, zero = 0)"),
            "`model.layers.*.mlp.experts.*.up_proj`",
        ),
        ("llama", ["*self_attn"], ("int4_group(32, zero = 0)", ""), "`*self_attn`"),
    ],
)
def test_matrices_that_are_not_quantized(
    case: str, left: list[str], formats: tuple[str, str], told: str
) -> None:
    weights = {"num_bits": 4, "type": "int", "group_size": 32, "symmetric": True}
    quantized = {
        "quant_method": "compressed-tensors",
        "config_groups": {"group_0": {"weights": weights}},
        "ignore": left,
    }
    text, found = imported(sample(case) | {"quantization_config": quantized})
    assert (field(text, "weight_dtype"), field(text, "expert_dtype")) == formats
    title = f"`ignore`: what it leaves out is taken as quantized, too: {told}"
    assert [warning.title for warning in found] == ([title] if told else [])


def test_attention_that_is_computed_as_experts_are_is_told() -> None:
    quantized = MODELOPT | {"exclude_modules": ["lm_head", "*self_attn*"]}
    text, (found,) = imported(sample("qwen3_moe") | {"quantization_config": quantized})
    assert (field(text, "expert_dtype"), field(text, "compute_dtype")) == ("nvfp4", "nvfp4")
    assert "attention is stored in the model's format, and computed in nvfp4" in found.title


@pytest.mark.parametrize(
    "quantized",
    [
        {"quant_method": "aqlm"},
        {"quant_method": "modelopt", "quant_algo": "W4A8"},
        {"quant_method": "gptq", "bits": 3},
        {},
        compressed(3, "int"),
    ],
)
def test_a_quantization_that_is_not_known_is_told(quantized: dict[str, Any]) -> None:
    _, (found,) = imported(sample("llama") | {"quantization_config": quantized})
    assert found.code == "W0606"
    assert "taken as not quantized" in found.title


@pytest.mark.parametrize(
    "quantized",
    [
        MODELOPT | {"kv_cache_scheme": {"num_bits": 3, "type": "int"}},
        MODELOPT | {"kv_cache_quant_algo": "INT3"},
        compressed(8, "float", FP8, {"num_bits": 3, "type": "int"}),
    ],
)
def test_a_kv_cache_in_a_format_that_is_not_known_is_told(quantized: dict[str, Any]) -> None:
    text, (found,) = imported(sample("llama") | {"quantization_config": quantized})
    assert found.code == "W0606"
    assert "KV is taken to be in the format of the model" in found.title
    assert field(text, "weight_dtype")


# -- sizes -------------------------------------------------------------------------------------


def test_what_falcon_tells_by_switches() -> None:
    old = sample("falcon_7b")
    text, _ = imported(old | {"multi_query": False, "parallel_attn": False})
    assert "from neox" in text
    assert not field(text, "kv_heads")
    text, _ = imported(
        sample("falcon_40b") | {"num_ln_in_parallel_attn": 1, "ffn_hidden_size": 999}
    )
    assert "from falcon" in text
    assert (field(text, "kv_heads"), field(text, "ffn")) == ("8", "999")


@pytest.mark.parametrize("architecture", ["MistralForCausalLM", "MixtralForCausalLM"])
def test_heads_that_a_class_has_as_a_default(architecture: str) -> None:
    config = sample("mixtral" if "Mix" in architecture else "llama")
    config = {k: v for k, v in config.items() if k != "num_key_value_heads"}
    own = {"architectures": [architecture], "vocab_size": 5000}  # no model of the library
    text, _ = imported(config | own)
    assert field(text, "kv_heads") == "8"


def test_layers_of_llama_4_without_experts() -> None:
    config = sample("llama4_maverick")
    config["text_config"] |= {"vocab_size": 1000, "interleave_moe_layer_step": 4}
    text, _ = imported(config)
    assert " from llama4_interleaved {" in text
    assert (field(text, "dense_layers"), field(text, "windowed_layers")) == ("36", "36")
    assert "# interleave_moe_layer_step: 4" in text


@pytest.mark.parametrize(
    ("changed", "differing", "value"),
    [
        ({"max_position_embeddings": 8192}, "context", "8192 tokens"),
        ({"max_position_embeddings": 4096}, "context", "4096 tokens"),
        ({"attention_chunk_size": None}, "window", "1_048_576 tokens"),
    ],
)
def test_layers_of_llama_4_that_look_back_all_the_way(
    changed: dict[str, Any], differing: str, value: str
) -> None:
    config = sample("llama4_maverick")
    config["text_config"] |= changed
    text, _ = imported(config)
    assert "from llama4_maverick {" in text
    assert field(text, differing) == value
    config["text_config"] |= {"vocab_size": 1000}
    text, _ = imported(config)
    assert (field(text, "dense_layers"), field(text, "windowed_layers")) == ("24", "36")
    assert field(text, "window") == field(text, "context")


@pytest.mark.parametrize(("normed", "graph"), [(True, "glm4_moe"), (None, "glm4_moe_plain")])
def test_norms_of_queries_and_keys_of_glm(normed: bool | None, graph: str) -> None:
    text, _ = imported(sample("glm4_moe") | {"vocab_size": 1000, "use_qk_norm": normed})
    assert f" from {graph} {{" in text


def test_the_largest_sizes_are_written() -> None:
    keys = ("hidden_size", "intermediate_size", "vocab_size", "num_attention_heads", "head_dim")
    sizes = dict.fromkeys((*keys, "num_key_value_heads"), 10**8)
    text, _ = imported(sample("llama") | sizes | {"num_hidden_layers": 10_000})
    assert field(text, "hidden") == "100_000_000"
    small = dict.fromkeys((*sizes, "num_hidden_layers", "max_position_embeddings"), 1)
    text, _ = imported(sample("llama") | small | {"rope_scaling": None})
    assert "from llama {" in text


# -- models within models ----------------------------------------------------------------------


def test_a_text_config_without_sizes_has_those_of_its_class() -> None:
    """As published for LLaVA 1.5 7B: the sizes of Vicuna 7B are the defaults of its class."""
    inner = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 32_064,
             "max_position_embeddings": 4096, "torch_dtype": "float16"}  # fmt: skip
    text, _ = imported({"architectures": ["LlavaForConditionalGeneration"], "text_config": inner})
    sizes = [field(text, key) for key in ("layers", "hidden", "heads", "ffn", "vocabulary")]
    assert sizes == ["32", "4096", "32", "11_008", "32_064"]
    assert "that of its class" in text


@pytest.mark.parametrize("key", ["text_config", "llm_config", "language_config"])
def test_a_language_model_is_found_within(key: str) -> None:
    inner = {k: v for k, v in sample("llama").items() if k != "torch_dtype"}
    text, found = imported({"architectures": ["Other"], key: inner, "torch_dtype": "float16"})
    assert not found
    assert "from llama3_1_8b" in text
    assert field(text, "dtype") == "fp16"


def test_a_language_model_beside_its_encoder() -> None:
    """As Qwen2.5-VL is published: its sizes are at the top."""
    changed = {"architectures": ["Qwen2_5_VLForConditionalGeneration"], "vision_config": {}}
    text, (found,) = imported(sample("qwen2") | changed)
    assert "from qwen2_5_7b" in text
    assert found.title.startswith("`vision_config`: what is done with images is left out")


def test_keys_that_are_off_are_no_news() -> None:
    off = {"moe_layers": None, "use_new_kind_of_attention": False}
    assert imported(sample("llama") | off) == imported(sample("llama"))
    _, (found,) = imported(sample("llama") | {"new_layers": 0} | off)
    assert found.title == "`new_layers` has no counterpart"
