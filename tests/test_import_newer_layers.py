"""Models with recurrent layers or sparse attention: commands that serve them, their config.json."""

import pytest

import tsdl
from tests.hugging_face import field, imported, mistake, sample
from tests.test_import_engines import made
from tsdl.diagnostics.text import render_all


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("Qwen/Qwen3-Next-80B-A3B-Thinking", "qwen3_next_80b_a3b"),
        ("Qwen/Qwen3-Coder-Next-FP8", "qwen3_next_80b_a3b"),
        ("Qwen/Qwen3.5-27B", "qwen3_5_27b"),
        ("Qwen/Qwen3.6-35B-A3B", "qwen3_5_35b_a3b"),
        ("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", "nemotron3_nano_30b_a3b"),
        ("nvidia/NVIDIA-Nemotron-Nano-9B-v2", "nemotron_nano_9b_v2"),
        ("nvidia/Nemotron-H-56B-Base-8K", "nemotron_h_56b"),
    ],
)
@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_a_command_serves_them(engine: str, name: str, model: str) -> None:
    begin = "vllm serve" if engine == "vllm" else "python -m sglang.launch_server --model-path"
    many = "--tensor-parallel-size 8" if engine == "vllm" else "--tp 8"
    text, found = made(engine, f"{begin} {name} {many}")
    assert text is not None
    assert not found, render_all(found)
    assert f"{model}" in text
    assert "vllm_blocks" in text if engine == "vllm" else "from radix" in text
    assert not [d for d in tsdl.check(text) if d.severity.value == "error"]


@pytest.mark.parametrize(
    ("command", "memory", "copies"),
    [
        ("vllm serve Qwen/Qwen3.5-27B", "vllm_blocks", "chunks"),
        ("vllm serve Qwen/Qwen3.5-27B --enable-prefix-caching", "vllm_shared", "chunks"),
        ("docker run vllm/vllm-openai:v0.28.0 --model Qwen/Qwen3.5-27B", "vllm_shared", "chunks"),
        ("docker run vllm/vllm-openai:v0.28.0 --model Qwen/Qwen3.5-27B --no-enable-prefix-caching",
         "vllm_blocks", "chunks"),
        ("vllm serve nvidia/NVIDIA-Nemotron-Nano-9B-v2 --enable-prefix-caching",
         "vllm_shared", "blocks"),
        ("vllm serve nvidia/NVIDIA-Nemotron-Nano-9B-v2 --enable-prefix-caching "
         "--mamba-cache-mode align", "vllm_shared", "chunks"),
        ("docker run vllm/vllm-openai:v0.28.0 --model nvidia/NVIDIA-Nemotron-Nano-9B-v2 "
         "--mamba-cache-mode all", "vllm_shared", "blocks"),
        ("vllm serve Qwen/Qwen3.5-27B --mamba-cache-mode align", "vllm_blocks", "chunks"),
    ],
)  # fmt: skip
def test_where_vllm_keeps_copies_of_states(command: str, memory: str, copies: str) -> None:
    text, found = made("vllm", command)
    assert text is not None
    assert not found, render_all(found)
    assert f"from {memory} " in text
    kv = tsdl.compile(text).workers[0].kv
    assert (kv.shares, kv.copies) == (memory == "vllm_shared", copies)


@pytest.mark.parametrize(
    ("engine", "command"),
    [
        ("vllm", "vllm serve Qwen/Qwen3.5-27B --mamba-ssm-cache-dtype bfloat16"),
        ("sglang", "python -m sglang.launch_server --model-path Qwen/Qwen3.5-27B "
         "--mamba-ssm-dtype bfloat16"),
    ],
)  # fmt: skip
def test_states_have_the_format_that_a_flag_says(engine: str, command: str) -> None:
    text, found = made(engine, command)
    assert text is not None
    assert not found, render_all(found)
    assert field(text, "state_dtype") == "bf16"


def test_short_prompts_attend_to_all_under_sglang() -> None:
    """As far as sparse attention would choose; vLLM has no such prompts."""
    text, found = made("sglang", "python -m sglang.launch_server --model-path zai-org/GLM-5.1-FP8")
    assert text is not None
    assert not found, render_all(found)
    assert field(text, "dense_context") == "chosen"
    other, _ = made("vllm", "vllm serve zai-org/GLM-5.1-FP8")
    assert other is not None
    assert "dense_context" not in other


# -- config.json -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "format_"), [("bfloat16", "bf16"), ("float32", ""), ("auto", ""), (None, "")]
)
def test_states_have_the_format_of_the_configuration(given: str | None, format_: str) -> None:
    text, _ = imported(sample("nemotron_h") | {"mamba_ssm_cache_dtype": given})
    assert field(text, "state_dtype") == format_


def test_which_layers_have_attention_may_be_an_interval() -> None:
    config = sample("qwen3_next") | {"full_attention_interval": 6}
    assert field(imported(config)[0], "recurrent_layers") == "40"
    del config["full_attention_interval"]
    assert "qwen3_next_80b_a3b {" in imported(config)[0]  # one of four


def test_kinds_of_layers_are_letters_or_names() -> None:
    config = sample("nemotron3_nano")
    names = {"M": "mamba", "*": "attention", "E": "moe"}
    pattern = config.pop("hybrid_override_pattern")
    named = config | {"layers_block_type": [names[letter] for letter in pattern]}
    assert "from nemotron3_nano_30b_a3b {}" in imported(named)[0]
    del named["num_hidden_layers"]
    assert "from nemotron3_nano_30b_a3b {}" in imported(named)[0]


@pytest.mark.parametrize(
    ("case", "changed", "said"),
    [
        ("qwen3_next", {"layer_types": ["linear_attention"]},
         "`layer_types` names each of 48 layers"),
        ("qwen3_next", {"layer_types": ["sliding_attention"] * 48},
         "a layer is `linear_attention` or `full_attention` in the graph `qwen3_next`"),
        ("qwen3_next", {"layer_types": "linear_attention"}, "`layer_types` is a list"),
        ("qwen3_next", {"shared_expert_intermediate_size": 700},
         "the shared expert is as wide as a whole number of experts of 512 here"),
        ("qwen3_next", {"mlp_only_layers": [0]},
         "layers without experts are not in the graph `qwen3_next`"),
        ("qwen3_next", {"attn_output_gate": False},
         "attention without a gate is not in the graph `qwen3_next`"),
        ("qwen3_next", {"mamba_ssm_dtype": "int3"}, "`mamba_ssm_dtype` is one of"),
        ("qwen3_next", {"linear_num_key_heads": 7}, "no model has these sizes"),
        ("glm5", {"index_topk_freq": 4}, "`index_topk_freq` is 1 in the graph `deepseek_sparse`"),
        ("glm5_2", {"indexer_types": ["full"]}, "`indexer_types` has `full` or `shared` for each"),
        ("glm5_2", {"indexer_types": ["half"] * 78}, "`indexer_types` has `full` or `shared`"),
        ("glm5_2", {"indexer_types": "full"}, "`indexer_types` is a list"),
        ("glm5_2", {"indexer_types": [["full"]] * 78}, "`indexer_types` has `full` or `shared`"),
        ("glm5_2", {"indexer_types": ["shared"] * 78}, "has `full` at least once, and for each"),
        ("glm5", {"index_topk_pattern": "FFFSSS"}, "is read with `indexer_types`"),
        ("glm5", {"q_lora_rank": None},
         "queries that are not compressed are not in the graph `deepseek_sparse`"),
        ("glm5", {"index_topk": None}, "no `index_topk` is given"),
        ("minimax_m2", {"shared_intermediate_size": 1536},
         "`shared_intermediate_size` is 0 in the graph `qwen3_moe`"),
        ("nemotron_h", {"hybrid_override_pattern": "M-*"},
         "`hybrid_override_pattern` has one of M, *, -, E for each layer, and not both"),
        ("nemotron3_nano", {"hybrid_override_pattern": "ME" * 25 + "*-"}, "and not both"),
        ("nemotron_h", {"hybrid_override_pattern": None}, "has one of M, *, -, E for each layer"),
        ("nemotron_h", {"layers_block_type": ["mamba", "lstm"]}, "`layers_block_type` has one of"),
        ("nemotron_h", {"layers_block_type": "mamba"}, "`layers_block_type` is a list"),
        ("nemotron_h", {"mlp_hidden_act": "silu"},
         "another activation than `relu2` is not in the graph `nemotron_h`"),
    ],
)  # fmt: skip
def test_a_configuration_that_no_graph_has(
    case: str, changed: dict[str, object], said: str
) -> None:
    assert said in mistake(sample(case) | changed).title


def test_a_mode_of_copies_that_there_is_not_is_told() -> None:
    command = "vllm serve Qwen/Qwen3.5-27B --enable-prefix-caching --mamba-cache-mode aline"
    text, (found,) = made("vllm", command)
    assert text is not None
    assert "state_copies" not in text
    assert (found.code, "`align`, `all` or `none`" in found.title) == ("W0606", True)
