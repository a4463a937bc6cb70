"""What is told of a configuration of Hugging Face that is wrong, or of a model that cannot be."""

import json
from typing import Any

import pytest

from tests.hugging_face import mistake, sample
from tsdl.diagnostics import Sink
from tsdl.imports import FORMATS

# -- of any model ------------------------------------------------------------------------------

FULL = "full_attention"
WITHOUT = object()
MISTAKES = [
    ({"hidden_size": WITHOUT}, "no `hidden_size` is given", "write it"),
    ({"vocab_size": None}, "no `vocab_size` is given", "write it"),
    ({"hidden_size": "4096"}, "`hidden_size` is a number", ""),
    ({"num_hidden_layers": 0}, "`num_hidden_layers` is from 1 to 10000", ""),
    ({"num_hidden_layers": 2.5}, "`num_hidden_layers` is a whole number", ""),
    ({"num_key_value_heads": 5}, "`num_key_value_heads` divides the 32 heads, and 5 does not", ""),
    ({"hidden_size": 4100}, "`hidden_size` is 4100, which 32 heads do not divide", "head_dim"),
    ({"torch_dtype": "int7"}, "`torch_dtype` is one of float16", ""),
    ({"tie_word_embeddings": "yes"}, "`tie_word_embeddings` is true or false", ""),
    ({"rope_scaling": 3}, "`rope_scaling` is a mapping", ""),
    ({"sliding_window": 64, "layer_types": [FULL]}, "names each of 32 layers", ""),
    ({"sliding_window": 64, "layer_types": 3}, "`layer_types` is a list", ""),
    ({"text_config": 3}, "`text_config` is a mapping", ""),
    ({"architectures": WITHOUT, "model_type": WITHOUT}, "names an architecture", "LlamaForC"),
    ({"architectures": [3]}, "`architectures` is a list of names", ""),
    ({"architectures": ["LLamaForCausalLm"]}, "`LLamaForCausalLm` is not known", "`LlamaForC"),
    ({"architectures": ["Qwen9ForCausalLM"]}, "`Qwen9ForCausalLM` is not known", "`Qwen"),
    (
        {"architectures": ["SomethingElse"]},
        "the architecture `SomethingElse` is not known",
        "model own from llama { layers = 32; hidden = 4096; heads = 32; kv_heads = 8; "
        "ffn = 14_336; vocabulary = 128_256 }",
    ),
    (
        {"architectures": ["MPTForCausalLM"]},
        "no graph of the library is that of `MPT",
        "or the name of a known one (docs/huggingface.md) here",
    ),
    ({"architectures": ["MinistralForCausalLM"]}, "is not known", "or the name of `Mistral"),
    ({"architectures": ["BertForMaskedLM"]}, "`BertForMaskedLM` generates no text", "such a model"),
    ({"architectures": ["XBertModel"], "model_type": "x-roberta"}, "generates no text", "tokens"),
    (
        {"architectures": ["OlmoeForCausalLM"], "num_experts": 64, "num_experts_per_tok": 8},
        "is not known",
        "model own from mixtral { layers = 32; hidden = 4096; heads = 32; kv_heads = 8; "
        "ffn = 14_336; vocabulary = 128_256; experts = 64; active_experts = 8 }",
    ),
    (
        {"architectures": ["Qwen2MoeForCausalLM"], "num_experts": 60, "moe_intermediate_size": 9},
        "no graph of the library is that of `Qwen2Moe",
        "model own from qwen3_moe {",
    ),
    ({"architectures": ["JambaForCausalLM"]}, "is not known", "or the name of a known one"),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "title", "help_"), MISTAKES)
def test_mistakes_are_told(changed: dict[str, Any], title: str, help_: str) -> None:
    config = {k: v for k, v in (sample("llama") | changed).items() if v is not WITHOUT}
    found = mistake(config)
    assert (found.code, title in found.title) == ("E0606", True), found.title
    assert help_ in " ".join(found.help)
    assert found.span is not None
    assert found.span.source.name == "config.json"


def test_a_default_that_disagrees_is_told() -> None:
    inner = {"model_type": "mistral", "num_attention_heads": 20, "hidden_size": 5120}
    found = mistake({"architectures": ["Other"], "text_config": inner})
    assert found.title == "`num_key_value_heads` divides the 20 heads, and 8 does not"


def test_one_file_and_no_flags() -> None:
    sink = Sink()
    assert FORMATS["hf"]([], [], sink) is None
    assert sink.found[0].title == "no file is given"
    sink = Sink()
    text = json.dumps(sample("llama"))
    assert FORMATS["hf"]([("a.json", text), ("b.json", text)], [], sink) is None
    assert sink.found[0].title == "a second configuration; one is imported at a time"


def test_an_empty_file_is_told() -> None:
    for text in ("", " \n"):
        sink = Sink()
        assert FORMATS["hf"]([("config.json", text)], [], sink) is None
        (error,) = sink.found
        assert error.title == "the file is empty, and a configuration is a mapping"
        assert "downloaded, to its end?" in error.help[0]


# -- of one architecture -----------------------------------------------------------------------


def test_a_layer_of_falcon_may_not_be_here() -> None:
    assert "ALiBi" in mistake(sample("falcon_7b") | {"alibi": True}).title


def test_a_narrow_embedding_of_opt_is_not_here() -> None:
    found = mistake(sample("opt") | {"word_embed_proj_dim": 512})
    assert found.title == "the embedding has 512 columns and the stream 5120"


@pytest.mark.parametrize(
    ("case", "changed", "title"),
    [
        ("mixtral", {"num_local_experts": None}, "no `num_local_experts` is given"),
        ("mixtral", {"num_experts_per_tok": 9}, "`num_experts_per_tok` is 9, and there are 8"),
        ("qwen3_moe", {"decoder_sparse_step": 2}, "`decoder_sparse_step` is 1 in the graph"),
        ("qwen3_moe", {"mlp_only_layers": [0]}, "layers without experts are not in the graph"),
        ("deepseek_v3", {"qk_nope_head_dim": None}, "no `qk_nope_head_dim` is given"),
        ("glm5", {"qk_nope_head_dim": None}, "no `qk_nope_head_dim` is given"),
        ("deepseek_v3", {"v_head_dim": 64}, "128 columns of keys and 64 of values"),
        ("deepseek_v3", {"moe_layer_freq": 2}, "`moe_layer_freq` is 1 in the graph"),
        ("deepseek_v3", {"num_hidden_layers": 2}, "`first_k_dense_replace` is 3, and there are 2"),
    ],
)
def test_mistakes_of_experts_are_told(case: str, changed: dict[str, Any], title: str) -> None:
    assert title in mistake(sample(case) | changed).title


def test_llama_4_with_experts_in_every_third_layer_is_not_here() -> None:
    config = sample("llama4")
    config["text_config"]["interleave_moe_layer_step"] = 3
    found = mistake(config)
    assert "`interleave_moe_layer_step` is 1, 2 or 4 in the graphs `llama4` and" in found.title


def test_llama_4_with_fewer_windows_than_dense_layers_is_not_here() -> None:
    config = sample("llama4_maverick")
    config["text_config"] |= {"no_rope_layers": [0] * 48}
    found = mistake(config)
    assert (found.code, found.span is not None) == ("E0606", True)
    assert (
        found.title == "no model has these sizes: a block repeats a whole number of times, not -24"
    )


def test_glm_with_groups_of_experts_is_not_here() -> None:
    assert "`n_group` is 1 in the graph" in mistake(sample("glm4_moe") | {"n_group": 2}).title
