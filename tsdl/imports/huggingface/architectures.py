"""Which graph of the library an architecture of Hugging Face is, and how it spells its sizes."""

from difflib import get_close_matches

from msgspec import Struct, field

from tsdl.diagnostics import Sink
from tsdl.imports.tables import WRONG, Table
from tsdl.source import Span
from tsdl.writing import number

# Fields of a model, and the keys that they have in most configurations.
USUAL: dict[str, tuple[str, ...]] = {
    "layers": ("num_hidden_layers",),
    "hidden": ("hidden_size",),
    "heads": ("num_attention_heads",),
    "kv_heads": ("num_key_value_heads",),
    "head_dim": ("head_dim",),
    "ffn": ("intermediate_size",),
    "vocabulary": ("vocab_size",),
    "context": ("max_position_embeddings",),
}


class Architecture(Struct, frozen=True):
    """A language model of Hugging Face: its name in configurations, and what it is here.

    `defaults` are those of its configuration class in transformers (models/*/configuration_*.py).
    They hold for a `text_config`, which leaves out what its class has as a default; a whole
    configuration has all sizes, but for those of `assumed`.
    """

    types: tuple[str, ...]  # its `model_type`, alone and within a multimodal model
    graph: str
    keys: dict[str, tuple[str, ...]] = field(default_factory=lambda: USUAL)
    defaults: dict[str, int] = field(default_factory=dict)
    assumed: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)  # of these, where its class is none
    wide: int = 0  # its feed-forward network is so many times as wide as the stream, if not told
    tied: bool = False
    biases: bool = False
    offset: int | None = None  # it has learned positions: this many more than its context
    windowed: str = ""  # the graph whose layers all have a window, if there is one
    mixed: bool = False  # the graph has layers with a window beside others
    full: int = 0  # one of so many layers has no window, where no key tells which
    only: dict[str, int] = field(default_factory=dict)  # what these keys are in its graph
    stretched: bool = True  # rope_scaling reaches beyond max_position_embeddings


def _sizes(*sizes: int) -> dict[str, int]:
    """Return sizes in the order of the keys; 0 where the class has none."""
    return {key: size for key, size in zip(USUAL, sizes, strict=True) if size}


_GPT2 = USUAL | {
    "layers": ("n_layer", "num_hidden_layers"),
    "hidden": ("n_embd", "hidden_size"),
    "heads": ("n_head", "num_attention_heads"),
    "ffn": ("n_inner",),
    "context": ("n_positions", "n_ctx"),
}
_FALCON = USUAL | {
    "layers": ("num_hidden_layers", "n_layer"),
    "heads": ("num_attention_heads", "n_head"),
    "kv_heads": ("num_kv_heads", "n_head_kv"),
    "ffn": ("ffn_hidden_size",),
}
_MIXTRAL = USUAL | {
    "experts": ("num_local_experts",),
    "active_experts": ("num_experts_per_tok", "experts_per_token"),
}
_EXPERTS = USUAL | {
    "experts": ("num_experts", "n_routed_experts"),
    "active_experts": ("num_experts_per_tok",),
    "expert_ffn": ("moe_intermediate_size",),
}
_COUNTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
_OF_EXPERTS = {
    "experts": _COUNTS,
    "active_experts": ("num_experts_per_tok", "experts_per_token", "moe_top_k"),
    "expert_ffn": ("moe_intermediate_size",),
}  # as any configuration may spell them
_LLAMA4 = _MIXTRAL | {"ffn": ("intermediate_size_mlp",), "expert_ffn": ("intermediate_size",)}
_SHARED = _EXPERTS | {
    "experts": ("n_routed_experts",),
    "shared_experts": ("n_shared_experts",),
    "dense_layers": ("first_k_dense_replace",),
}
_DEEPSEEK = _SHARED | {
    "head_dim": ("qk_nope_head_dim",),
    "expert_groups": ("n_group",),
    "active_groups": ("topk_group",),
    "query_rank": ("q_lora_rank",),
    "kv_rank": ("kv_lora_rank",),
    "rope_dim": ("qk_rope_head_dim",),
}
_SPARSE = _DEEPSEEK | {
    "value_dim": ("v_head_dim",),
    "chosen": ("index_topk",),
    "index_heads": ("index_n_heads",),
    "index_dim": ("index_head_dim",),
}
_MINIMAX = _MIXTRAL | {"expert_ffn": ("intermediate_size",)}
_LINEAR = {
    "state_heads": ("linear_num_value_heads",),
    "state_groups": ("linear_num_key_heads",),
    "key_dim": ("linear_key_head_dim",),
    "value_dim": ("linear_value_head_dim",),
    "convolution": ("linear_conv_kernel_dim",),
}
_WIDE = {"head_dim": 256}
# No layer of these is dense: their `ffn` is for none, and may be left out.
_QWEN_NEXT = _EXPERTS | _LINEAR | {"ffn": ("intermediate_size", "moe_intermediate_size")}
_NEMOTRON = _EXPERTS | {
    "head_dim": ("head_dim", "attention_head_dim"),
    "experts": ("n_routed_experts",),
    "expert_hidden": ("moe_latent_size",),
    "state_heads": ("mamba_num_heads",),
    "state_groups": ("n_groups",),
    "key_dim": ("ssm_state_size",),
    "value_dim": ("mamba_head_dim",),
    "convolution": ("conv_kernel",),
}
_LLAMA = _sizes(32, 4096, 32, 0, 0, 11_008, 32_000, 2048)
_QWEN2 = _sizes(32, 4096, 32, 32, 0, 22_016, 151_936, 32_768)

KNOWN = {
    "LlamaForCausalLM": Architecture(("llama",), "llama", defaults=_LLAMA, windowed="mistral"),
    "MistralForCausalLM": Architecture(
        ("mistral",), "llama", windowed="mistral", assumed={"kv_heads": 8},
        defaults=_sizes(32, 4096, 32, 8, 0, 14_336, 32_000, 131_072),
    ),
    "Qwen2ForCausalLM": Architecture(
        ("qwen2", "qwen2_vl_text", "qwen2_5_vl_text"), "llama",
        defaults=_QWEN2, biases=True, windowed="mistral",
    ),
    "MiMoForCausalLM": Architecture(("mimo",), "llama", biases=True, windowed="mistral"),
    "Qwen3ForCausalLM": Architecture(
        ("qwen3", "qwen3_vl_text"), "qwen3", assumed={"head_dim": 128},
        defaults=_sizes(32, 4096, 32, 32, 128, 22_016, 151_936, 32_768),
    ),
    "Phi3ForCausalLM": Architecture(
        ("phi3",), "llama", windowed="mistral",
        defaults=_sizes(32, 3072, 32, 0, 0, 8192, 32_064, 4096),
    ),
    "GemmaForCausalLM": Architecture(
        ("gemma",), "llama", assumed={"head_dim": 256}, tied=True,
        defaults=_sizes(28, 3072, 16, 16, 256, 24_576, 256_000, 8192),
    ),
    "Gemma2ForCausalLM": Architecture(
        ("gemma2",), "gemma2", assumed={"head_dim": 256}, tied=True, mixed=True, full=2,
        defaults=_sizes(26, 2304, 8, 4, 256, 9216, 256_000, 8192),
    ),
    "Gemma3ForCausalLM": Architecture(
        ("gemma3_text",), "gemma3", assumed={"head_dim": 256}, tied=True, mixed=True, full=6,
        defaults=_sizes(26, 2304, 8, 4, 256, 9216, 262_208, 131_072) | {"sliding_window": 4096},
        stretched=False,
    ),
    "OPTForCausalLM": Architecture(
        ("opt",), "gpt", USUAL | {"ffn": ("ffn_dim",)}, tied=True, biases=True, offset=2
    ),
    "GPT2LMHeadModel": Architecture(
        ("gpt2",), "gpt", _GPT2, wide=4, tied=True, biases=True, offset=0
    ),
    "GPTNeoXForCausalLM": Architecture(("gpt_neox",), "neox", biases=True),
    "FalconForCausalLM": Architecture(
        ("falcon",), "neox", _FALCON, assumed={"context": 2048}, wide=4, tied=True
    ),
    "MixtralForCausalLM": Architecture(("mixtral",), "mixtral", _MIXTRAL, assumed={"kv_heads": 8}),
    "Qwen3MoeForCausalLM": Architecture(
        ("qwen3_moe", "qwen3_vl_moe_text"), "qwen3_moe", _EXPERTS,
        only={"decoder_sparse_step": 1},
    ),
    "Qwen3NextForCausalLM": Architecture(
        ("qwen3_next",), "qwen3_next", _QWEN_NEXT, assumed=_WIDE,
        only={"decoder_sparse_step": 1},
    ),
    "Qwen3_5ForCausalLM": Architecture(
        ("qwen3_5_text",), "qwen3_5", USUAL | _LINEAR, assumed=_WIDE
    ),
    "Qwen3_5MoeForCausalLM": Architecture(
        ("qwen3_5_moe_text",), "qwen3_next", _QWEN_NEXT, assumed=_WIDE
    ),
    "NemotronHForCausalLM": Architecture(
        ("nemotron_h",), "nemotron_h", _NEMOTRON, only={"n_group": 1, "topk_group": 1}
    ),
    "GptOssForCausalLM": Architecture(
        ("gpt_oss",), "gpt_oss", _MIXTRAL, biases=True, mixed=True, full=2
    ),
    "Llama4ForCausalLM": Architecture(
        ("llama4_text",), "llama4", _LLAMA4, assumed={"shared_experts": 1}, mixed=True, full=4,
    ),
    "Glm4MoeForCausalLM": Architecture(
        ("glm4_moe",), "glm4_moe_plain", _SHARED, biases=True, only={"n_group": 1, "topk_group": 1}
    ),
    "DeepseekV2ForCausalLM": Architecture(
        ("deepseek_v2",), "deepseek", _DEEPSEEK, only={"moe_layer_freq": 1}
    ),
    "DeepseekV3ForCausalLM": Architecture(
        ("deepseek_v3", "kimi_k2"), "deepseek", _DEEPSEEK, only={"moe_layer_freq": 1}
    ),
    "DeepseekV32ForCausalLM": Architecture(
        ("deepseek_v32",), "deepseek_sparse", _SPARSE,
        only={"moe_layer_freq": 1, "index_topk_freq": 1},
    ),
    "GlmMoeDsaForCausalLM": Architecture(
        ("glm_moe_dsa",), "deepseek_sparse", _SPARSE,
        only={"moe_layer_freq": 1, "index_topk_freq": 1},
    ),
    "MiniMaxM2ForCausalLM": Architecture(
        ("minimax_m2",), "qwen3_moe", _MINIMAX, only={"shared_intermediate_size": 0}
    ),
}  # fmt: skip

# Multimodal models that have the sizes of their language model beside those of their encoders.
_SAME = {
    "Qwen2VLForConditionalGeneration": "Qwen2ForCausalLM",
    "Qwen2_5_VLForConditionalGeneration": "Qwen2ForCausalLM",
}
# Architectures whose layers no graph of the library has, and what they have that it lacks.
BEYOND = {
    "Qwen2MoeForCausalLM": "a shared expert of another width",
    "PhimoeForCausalLM": "experts with biases and LayerNorm",
    "MllamaForConditionalGeneration": "layers that attend to an image",
    "MambaForCausalLM": "layers without attention",
    "BloomForCausalLM": "positions within the attention (ALiBi)",
    "MPTForCausalLM": "positions within the attention (ALiBi)",
    "PhiForCausalLM": "a norm and biases of its own",
    "T5ForConditionalGeneration": "an encoder",
}
_SUFFIXES = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel", "Model")
# What models end in that answer with no text: encoders, and decoders with another head.
_NO_TEXT = (
    "ForMaskedLM", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering",
    "ForMultipleChoice", "ForPreTraining", "ForNextSentencePrediction",
)  # fmt: skip
_ENCODERS = ("bert", "roberta", "electra", "deberta")  # what their `model_type` has in it
_ALIKE = 0.7  # of two names; less is chance


def architecture(root: Table, text: Table, sink: Sink) -> tuple[str, Architecture] | None:
    """Return the architecture of a configuration and its name; report one that is not known.

    `text` is the part that holds the language model: `root` itself, or its `text_config`.
    """
    name, place = _named(root)
    own, own_place = _named(text)
    kind = text.text("model_type") or ""
    root.ignore("model_type")
    for candidate in (own, _SAME.get(name, name)):
        if candidate in KNOWN:
            return candidate, KNOWN[candidate]
    by_type = next((key for key, known in KNOWN.items() if kind in known.types), None)
    if by_type and (text is not root or not name):
        return by_type, KNOWN[by_type]
    shown = own or (kind if text is not root else name) or kind
    if not shown:
        title = "neither `architectures` nor `model_type` names an architecture"
        help_ = 'write one that is known: `"architectures": ["LlamaForCausalLM"]`'
        sink.error(WRONG, title, root.span, help=(help_,))
    else:
        _unknown(shown, own_place or place or text.place("model_type"), text, sink)
    return None


def _named(table: Table) -> tuple[str, Span | None]:
    """Return the first of the architectures that a table names, and its place."""
    found = table.value("architectures")
    if found is None:
        return "", None
    entries = found.data if isinstance(found.data, list) else [found]
    if entries and isinstance(entries[0].data, str):
        return entries[0].data, entries[0].span
    if entries:
        table.wrong("architectures", "a list of names", found)
    return "", found.span


def _unknown(name: str, place: Span, text: Table, sink: Sink) -> None:
    shown = name if len(name) <= 60 else name[:59] + "…"  # noqa: PLR2004
    kind = text.text("model_type") or ""
    if name.endswith(_NO_TEXT) or any(encoder in kind for encoder in _ENCODERS):
        title, label = f"`{shown}` generates no text", "no decoder with a language-model head"
        help_ = "what is served here answers with tokens, one after another: import such a model"
        sink.error(WRONG, title, place, label, help=(help_,))
        return
    experts = text.has(*_COUNTS)
    near = _nearest(name)
    near = near if near and (not experts or KNOWN[near].keys.keys() >= {"experts"}) else None
    norm = text.has("layer_norm_epsilon", "layer_norm_eps", "layer_norm_elementwise_affine")
    plain = "neox" if norm else "llama"
    mixture = "qwen3_moe" if text.has("moe_intermediate_size") else "mixtral"
    graph = KNOWN[near].graph if near else mixture if experts else plain
    title, label = f"the architecture `{shown}` is not known", "unknown"
    if name in BEYOND:
        title, label = f"no graph of the library is that of `{shown}`", f"it has {BEYOND[name]}"
    own = f"`model own from {graph} {{ {_written(text)} }}` with a `graph` of its own"
    sure = near and name not in BEYOND
    alike = f"`{near}`" if sure else "a known one (docs/huggingface.md)"
    help_ = f"write {own}, or the name of {alike} here if that has the same layers"
    sink.error(WRONG, title, place, label, help=(help_,))


def _nearest(name: str) -> str | None:
    """Return the known architecture whose name is the beginning of another, or is much like it."""
    stems = {_stem(known): known for known in KNOWN}
    stem = _stem(name)
    begins = max((s for s in stems if stem.startswith(s)), key=len, default=None)
    near = begins or next(iter(get_close_matches(stem, stems, 1, _ALIKE)), None)
    return stems[near] if near else None


def _stem(name: str) -> str:
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    return name.lower()


def _written(text: Table) -> str:
    """Return the sizes that a configuration has under the usual keys, as TSDL has them."""
    found = []
    for field_, keys in (USUAL | _OF_EXPERTS).items():
        value = next((text.entries[key] for key in keys if key in text.entries), None)
        plain = value and isinstance(value.data, int) and not isinstance(value.data, bool)
        if value and plain and field_ != "context":
            found.append(f"{field_} = {number(int(str(value.data)))}")
    return "; ".join(found or ["layers = …", "hidden = …", "heads = …", "ffn = …"])
