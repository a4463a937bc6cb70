"""Models of Hugging Face: their published figures, and what is told of what does not fit.

The samples in `imports/hf/` have the values of the config.json published under their names.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

import tsdl
from tsdl.cli import main
from tsdl.diagnostics import Diagnostic, Severity, Sink
from tsdl.imports import FORMATS
from tsdl.imports.huggingface.architectures import KNOWN
from tsdl.plan import Plan

HERE = Path(__file__).resolve().parent / "imports" / "hf"
DOCUMENT = HERE.parents[2] / "docs" / "huggingface.md"
ROW = re.compile(r"^\| `(.+?)(?:`[^|]*)? \| `(.+?)` \|.*\|$", re.MULTILINE)
FOLDERS = sorted(folder for folder in HERE.iterdir() if folder.is_dir())

# Parameters in billions, of the text part. Source: model cards, papers and sizes of checkpoints; of
# Falcon and Gemma with the embedding counted once.
PUBLISHED = {
    "llama": 8.03,
    "mistral_window": 7.24,
    "mistral_in_wrapper": 23.57,
    "qwen2": 7.61,
    "qwen3": 8.19,
    "gemma2": 9.24,
    "gemma3": 3.88,
    "phi3": 3.82,
    "opt": 12.85,
    "gpt2": 0.124,
    "gpt_neox": 20.6,
    "falcon_7b": 6.92,
    "falcon_40b": 41.3,
    "mixtral": 46.7,
    "qwen3_moe": 30.5,
    "gpt_oss": 20.91,
    "llama4": 107.77,
    "deepseek_v3": 671,
}


def sample(case: str) -> dict[str, Any]:
    (file,) = (HERE / case).iterdir()
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return found


def imported(config: dict[str, Any], name: str = "config.json") -> tuple[str, list[Diagnostic]]:
    sink = Sink()
    text = FORMATS["hf"]([(name, json.dumps(config, indent=1))], [], sink)
    assert (text is None) == sink.has_errors
    return text or "", sink.sorted()


def mistake(config: dict[str, Any]) -> Diagnostic:
    text, found = imported(config)
    assert not text
    return next(d for d in found if d.severity is Severity.ERROR)


def field(text: str, name: str) -> str:
    """Return what a program sets a field to, nothing where it leaves it to its base."""
    lines = [line.partition("=") for line in text.replace(";", "\n").splitlines()]
    found = [
        value.partition("#")[0].strip(" }") for key, _, value in lines if key.split()[-1:] == [name]
    ]
    return found[0] if found else ""


def planned(text: str, model: str) -> Plan:
    lengths = "prompt = constant(90 tokens); output = constant(9 tokens)"
    workload = f"workload few {{ requests = 3; arrivals = poisson(1 req/s); {lengths} }}"
    device = "hardware own from H200 { memory.capacity = 4 TB }"
    run = f"{device}\nscenario s {{ model = {model}; cluster = single(own); workload = few }}"
    return tsdl.compile(f"{text}\n{workload}\n{run}\n")


@pytest.mark.parametrize("case", PUBLISHED)
def test_parameters_are_those_published(case: str) -> None:
    text = (HERE / f"{case}.tsim").read_text("utf-8")
    model = text.split("\nmodel ")[1].split()[0]
    assert planned(text, model).model.parameters / 1e9 == pytest.approx(PUBLISHED[case], rel=0.005)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: f.name)
def test_the_file_says_what_it_has(folder: Path) -> None:
    """Its comments have the source, and the number of parameters of its plan."""
    text = folder.with_suffix(".tsim").read_text("utf-8")
    (file,) = folder.iterdir()
    assert f"Source: {file.name}" in text
    model = text.split("\nmodel ")[1].split()[0]
    count = planned(text, model).model.parameters
    shown = f"{count / 1e9:#.4g} B" if count >= 1e9 else f"{count / 1e6:#.4g} M"
    assert f"# {shown} parameters" in text


def test_llama_is_the_one_of_the_library() -> None:
    text, found = imported(sample("llama"))
    assert not found
    own, library = planned(text, "llama_hf"), planned("", "llama3_1_8b")
    assert own.workers == library.workers
    assert (own.model.parameters, own.model.context) == (library.model.parameters, 131_072)


def test_llama_written_out_is_the_one_of_the_library() -> None:
    """A base that differs by one layer is written out, and is what the library would be."""
    text, _ = imported(sample("llama") | {"num_hidden_layers": 31})
    assert " from llama {" in text
    library = "model less from llama3_1_8b { layers = 31 }"
    assert planned(text, "llama_hf").workers == planned(library, "less").workers


def test_a_name_of_the_library_is_left_to_it() -> None:
    text, _ = imported(sample("opt"), "opt-13b.json")
    assert "model opt_13b_hf from opt_13b {}" in text


@pytest.mark.parametrize(
    ("path", "own", "name"),
    [
        ("Tiny.json", "", "tiny"),
        ("models--a--Big-7B/snapshots/0ab/config.json", "", "big_7b"),
        ("config.json", "me/Mine-1.5", "mine_1_5"),
        ("weights/Folder/config.json", "", "folder"),
        ("config.json", "", "llama_hf"),
    ],
)
def test_what_a_model_is_called(path: str, own: str, name: str) -> None:
    config = sample("llama") | {"vocab_size": 1000, "_name_or_path": own}
    assert f"\nmodel {name} from" in imported(config, path)[0]


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


@pytest.mark.parametrize(
    ("changed", "dtype"),
    [
        ({"torch_dtype": "float16"}, "fp16"),
        ({"torch_dtype": "torch.bfloat16"}, "bf16"),
        ({"torch_dtype": None, "dtype": "float32"}, "fp32"),
        ({"torch_dtype": "auto"}, "bf16"),
    ],
)
def test_number_formats(changed: dict[str, Any], dtype: str) -> None:
    text, _ = imported(sample("llama") | {"vocab_size": 1000} | changed)
    assert field(text, "dtype") == dtype


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


def test_a_layer_of_falcon_may_not_be_here() -> None:
    assert "ALiBi" in mistake(sample("falcon_7b") | {"alibi": True}).title


def test_a_narrow_embedding_of_opt_is_not_here() -> None:
    found = mistake(sample("opt") | {"word_embed_proj_dim": 512})
    assert found.title == "the embedding has 512 columns and the stream 5120"


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


def test_a_default_that_disagrees_is_told() -> None:
    inner = {"model_type": "mistral", "num_attention_heads": 20, "hidden_size": 5120}
    found = mistake({"architectures": ["Other"], "text_config": inner})
    assert found.title == "`num_key_value_heads` divides the 20 heads, and 8 does not"


@pytest.mark.parametrize("architecture", ["MistralForCausalLM", "MixtralForCausalLM"])
def test_heads_that_a_class_has_as_a_default(architecture: str) -> None:
    config = sample("mixtral" if "Mix" in architecture else "llama")
    config = {k: v for k, v in config.items() if k != "num_key_value_heads"}
    own = {"architectures": [architecture], "vocab_size": 5000}  # no model of the library
    text, _ = imported(config | own)
    assert field(text, "kv_heads") == "8"


def test_the_command_does_not_write_over_what_it_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(sample("llama")), encoding="utf-8")
    assert main(["import", "hf", str(config), "-o", str(tmp_path / "." / "config.json")]) == 2
    assert "it is read, and would be lost" in capsys.readouterr().err
    assert json.loads(config.read_text("utf-8")) == sample("llama")


def test_the_command_writes_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, out = HERE / "llama" / "Llama-3.1-8B.json", tmp_path / "own.tsim"
    assert main(["import", "hf", str(config), "-o", str(out)]) == 0
    assert out.read_text("utf-8") == (HERE / "llama.tsim").read_text("utf-8")
    assert main(["check", str(out)]) == 0
    assert main(["import", "hf", str(config), "-o", str(tmp_path / "none" / "own.tsim")]) == 2
    assert "cannot write to" in capsys.readouterr().err


def test_one_file_and_no_flags() -> None:
    sink = Sink()
    assert FORMATS["hf"]([], [], sink) is None
    assert sink.found[0].title == "no file is given"
    sink = Sink()
    text = json.dumps(sample("llama"))
    assert FORMATS["hf"]([("a.json", text), ("b.json", text)], [], sink) is None
    assert sink.found[0].title == "a second configuration; one is imported at a time"


def test_the_largest_sizes_are_written() -> None:
    keys = ("hidden_size", "intermediate_size", "vocab_size", "num_attention_heads", "head_dim")
    sizes = dict.fromkeys((*keys, "num_key_value_heads"), 10**8)
    text, _ = imported(sample("llama") | sizes | {"num_hidden_layers": 10_000})
    assert field(text, "hidden") == "100_000_000"
    small = dict.fromkeys((*sizes, "num_hidden_layers", "max_position_embeddings"), 1)
    text, _ = imported(sample("llama") | small | {"rope_scaling": None})
    assert "from llama {" in text


def compressed(bits: int, kind: str, inputs: object = None, cache: object = None) -> dict[str, Any]:
    group = {"weights": {"num_bits": bits, "type": kind}, "input_activations": inputs}
    return {
        "quant_method": "compressed-tensors",
        "config_groups": {"group_0": group},
        "kv_cache_scheme": cache,
    }


FP8 = {"num_bits": 8, "type": "float"}


@pytest.mark.parametrize(
    ("quantized", "formats"),
    [
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, ("int4_group", "", "", "")),
        ({"quant_method": "gptq", "bits": 4, "group_size": -1}, ("int4", "", "", "")),
        ({"quant_method": "awq", "bits": 4, "group_size": 64}, ("int4", "", "", "")),
        ({"quant_method": "gptq", "bits": 8, "group_size": 32}, ("int8", "", "", "")),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, ("int4", "", "", "")),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, ("int8", "", "", "")),
        ({"quant_method": "fp8"}, ("fp8", "fp8", "", "")),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, ("fp8_block", "fp8", "", "")),
        ({"quant_method": "mxfp4"}, ("", "", "", "mxfp4")),
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


@pytest.mark.parametrize(
    "quantized",
    [{"quant_method": "aqlm"}, {"quant_method": "gptq", "bits": 3}, {}, compressed(3, "int")],
)
def test_a_quantization_that_is_not_known_is_told(quantized: dict[str, Any]) -> None:
    _, (found,) = imported(sample("llama") | {"quantization_config": quantized})
    assert found.code == "W0606"
    assert "taken as not quantized" in found.title


@pytest.mark.parametrize(
    ("case", "changed", "title"),
    [
        ("mixtral", {"num_local_experts": None}, "no `num_local_experts` is given"),
        ("mixtral", {"num_experts_per_tok": 9}, "`num_experts_per_tok` is 9, and there are 8"),
        ("qwen3_moe", {"decoder_sparse_step": 2}, "`decoder_sparse_step` is 1 in the graph"),
        ("qwen3_moe", {"mlp_only_layers": [0]}, "layers without experts are not in the graph"),
        ("deepseek_v3", {"q_lora_rank": None}, "queries that are not compressed"),
        ("deepseek_v3", {"v_head_dim": 64}, "128 columns of keys and 64 of values"),
        ("deepseek_v3", {"moe_layer_freq": 2}, "`moe_layer_freq` is 1 in the graph"),
        ("deepseek_v3", {"num_hidden_layers": 2}, "`first_k_dense_replace` is 3, and there are 2"),
    ],
)
def test_mistakes_of_experts_are_told(case: str, changed: dict[str, Any], title: str) -> None:
    assert title in mistake(sample(case) | changed).title


def test_llama_4_with_experts_in_every_other_layer_is_not_here() -> None:
    config = sample("llama4")
    config["text_config"]["interleave_moe_layer_step"] = 2  # as Maverick's
    assert mistake(config).title == "`interleave_moe_layer_step` is 1 in the graph `llama4`"


@pytest.mark.parametrize(
    ("case", "model"),
    [("mixtral", "mixtral_8x7b"), ("gpt_oss", "gpt_oss_20b"), ("deepseek_v3", "deepseek_v3")],
)
def test_experts_are_those_of_the_library(case: str, model: str) -> None:
    text = (HERE / f"{case}.tsim").read_text("utf-8")
    name = text.split("\nmodel ")[1].split()[0]
    assert planned(text, name).workers == planned("", model).workers


def test_the_document_has_every_architecture_and_key() -> None:
    text = DOCUMENT.read_text("utf-8")
    for name, family in KNOWN.items():
        (row,) = (line for line in text.splitlines() if f"`{name}`" in line)
        assert f"`{family.graph}`" in row
        for keys in family.keys.values():
            for key in keys:
                assert f"`{key}`" in text, key


def test_forms_of_the_document_stand_in_a_model() -> None:
    forms = [form for _, form in ROW.findall(DOCUMENT.read_text("utf-8")) if "=" in form]
    assert len(forms) > 20
    for form in forms:
        assert not tsdl.check(f"model own from llama3_1_8b {{ {form} }}"), form
