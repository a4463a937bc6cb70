"""Names of checkpoints, as engines are given them: which model of the library they are.

`meta-llama/Llama-3.1-8B-Instruct` has the sizes of `llama3_1_8b`; what its name says of numbers
(`-AWQ`, `-FP8`) becomes the formats of weights, as `--quantization` does.
"""

import re

from msgspec import Struct, field

from tsdl.imports.library import folded, known
from tsdl.imports.tables import Table
from tsdl.writing import Line

# Words of a name that say nothing of its sizes, in the order in which they are left out.
_QUANTIZED = {
    "awq": "awq", "gptq": "gptq", "int4": "awq", "w4a16": "awq", "4bit": "bitsandbytes",
    "bnb": "bitsandbytes", "fp8": "fp8", "w8a8": "w8a8_int8", "int8": "w8a8_int8",
    "w8a16": "gptq_8", "nvfp4": "nvfp4", "fp4": "nvfp4",
}  # fmt: skip
_TRAINED = {
    "instruct", "chat", "it", "hf", "base", "meta", "inst", "dynamic", "quantized", "g128",
    "unsloth", "nvidia",
}  # fmt: skip
_EIGHT = {"int8", "8bit", "w8a16"}  # bits of GPTQ's weights, which are four else
_DATED = re.compile(r"v0\.1|\d{4}|fp16|bf16")
_WIDE = ("fp16", "bf16")  # no copy in these has the format that the library has the model in

# Trained from these, and of their sizes.
_SIZES_OF = {
    "llama3370b": "llama3_1_70b", "llama4scout17b16e": "llama4_scout",
    "llama4maverick17b128e": "llama4_maverick", "phi4": "phi4_14b", "phi4reasoning": "phi4_14b",
    "phi4reasoningplus": "phi4_14b", "mistralsmall3224b": "mistral_small_3_1_24b",
    "deepseekr1": "deepseek_v3", "deepseekr1zero": "deepseek_v3", "deepseekv31": "deepseek_v3",
    "deepseekv31terminus": "deepseek_v3", "deepseekr1distillllama8b": "llama3_1_8b",
    "deepseekr1distillllama70b": "llama3_1_70b", "kimik2instruct0905": "kimi_k2",
    "kimik2thinking": "kimi_k2",
    "deepseekr1distillqwen15b": "r1_distill_qwen_1_5b", "glm46": "glm4_5", "glm47": "glm4_5",
    "qwen34bthinking": "qwen3_4b", "qwen330ba3bthinking": "qwen3_30b_a3b",
    "qwen3235ba22bthinking": "qwen3_235b_a22b", "qwen3next80ba3bthinking": "qwen3_next_80b_a3b",
    **dict.fromkeys(("deepseekv32exp", "deepseekv32speciale"), "deepseek_v3_2"),
    **dict.fromkeys(("minimaxm2", "minimaxm21", "minimaxm27"), "minimax_m2_5"), "glm51": "glm5",
    "glm53": "glm5_2",
    "qwen3codernext": "qwen3_next_80b_a3b", "qwen3627b": "qwen3_5_27b",
    "qwen3635ba3b": "qwen3_5_35b_a3b", "nemotronh56b8k": "nemotron_h_56b",
    **{f"deepseekr1distillqwen{size}b": f"qwen2_5_{size}b" for size in (7, 14, 32)},
    **{f"qwen25coder{size.replace('_', '')}b": f"qwen2_5_{size}b"
       for size in ("0_5", "1_5", "3", "7", "14", "32")},
}  # fmt: skip
# Contexts of those that have another than the model of the library, in tokens.
_CONTEXTS = {
    "phi4reasoning": 32_768, "phi4reasoningplus": 32_768, "kimik2instruct0905": 262_144,
    "kimik2thinking": 262_144,
    "glm46": 202_752, "glm47": 202_752,
    **{f"qwen25coder{size}b": 32_768 for size in ("15", "7", "14", "32")},
}  # fmt: skip

# Published in another format than the model of the library, which no word of their names says.
_PUBLISHED = {"kimik2thinking": "int4_experts"}

# Formats of `--quantization`: of weights, and what matrices are multiplied in ("": as they are).
_FORMATS = {
    **dict.fromkeys(
        ("awq", "awq_marlin", "gptq", "gptq_marlin", "gptq_marlin_24", "marlin", "moe_wna16",
         "auto-round"),
        ("weight_dtype = int4_group", ""),
    ),
    **dict.fromkeys(
        ("fp8", "fbgemm_fp8", "ptpc_fp8", "modelopt", "modelopt_fp8", "w8a8_fp8"),
        ("weight_dtype = fp8", "fp8"),
    ),
    **dict.fromkeys(("nvfp4", "modelopt_fp4"), ("weight_dtype = nvfp4", "nvfp4")),
    "w8a8_int8": ("weight_dtype = int8", "int8"),
    "gptq_8": ("weight_dtype = int8", ""),
    "bitsandbytes": ("weight_dtype = int4", ""),
    "experts_int8": ("expert_dtype = int8", ""),
    "mxfp4": ("expert_dtype = mxfp4", ""),
    "quark_mxfp4": ("expert_dtype = mxfp4", ""),
    # Routed experts alone, without zero points; all else is in what they are multiplied in. Source:
    # quantization_config in config.json of moonshotai/Kimi-K2-Thinking.
    "int4_experts": ("expert_dtype = int4_group(32, zero = 0)", "bf16"),
}  # fmt: skip
# Formats in which checkpoints are published, and the library has them, too.
_OWN = {"gpt_oss": "mxfp4", "deepseek_v3": "fp8", "kimi_k2": "fp8", "minimax_m2_5": "fp8"}
_DTYPES = {
    "half": "fp16", "float16": "fp16", "bfloat16": "bf16", "bf16": "bf16", "float": "fp32",
    "float32": "fp32",
}  # fmt: skip


# Of the sizes of a model of the library, and trained on longer contexts.
_LONGER = re.compile(r"-0905|-1M\b|llama-?4-?scout.*instruct", re.IGNORECASE)


class Checkpoint(Struct):
    """A model of the library ("" if none is like it), and what its name says of its weights."""

    name: str
    quantized: str = ""
    longer: bool = False  # than that of the library, its context may be
    context: int = 0  # tokens, where it is known to have another; else 0
    members: list[Line] = field(default_factory=list)

    def has(self, weights: str) -> bool:
        """Tell whether the model of the library has weights in a format without further ado."""
        return any(self.name.startswith(name) and own == weights for name, own in _OWN.items())


def checkpoint(path: str) -> Checkpoint:
    """Return what a path or a name at Hugging Face means."""
    words = [w for w in re.split(r"[-_]", path.rstrip("/").rpartition("/")[2]) if w]
    quantized = ""
    for word in reversed(words):
        quantized = _QUANTIZED.get(word.lower().rpartition(".")[2], quantized)
    if quantized == "gptq" and not _EIGHT.isdisjoint(word.lower() for word in words):
        quantized = "gptq_8"
    widened = any(word.lower() in _WIDE for word in words)
    kept = words
    for leave in (None, _QUANTIZED.__contains__, _TRAINED.__contains__, _DATED.fullmatch):
        kept = [w for w in kept if not (leave and leave(w.lower().removeprefix("quantized.")))]
        name = "-".join(kept)
        found = known("model", name) or _SIZES_OF.get(folded(name))
        if found and not (widened and found.startswith(tuple(_OWN))):
            context = _CONTEXTS.get(folded(name), 0)
            if found.startswith("qwen3") and "2507" in words:
                context = 262_144
            quantized = quantized or _PUBLISHED.get(folded(name), "")
            return Checkpoint(found, quantized, bool(_LONGER.search(path)), context)
    return Checkpoint("", quantized)


def formats(model: Checkpoint, flags: Table) -> None:
    """Add the formats of numbers that flags ask for: `--dtype`, `--quantization`, of KV caches."""
    dtype = flags.text("--dtype") or "auto"
    if dtype in _DTYPES:
        model.members.append(Line(_DTYPES[dtype], f"--dtype {dtype}", "dtype"))
    elif dtype != "auto":
        flags.unread("--dtype", f"`{dtype[:60]}` is not known: the model's own is taken")
    _quantization(model, flags)
    kept = flags.text("--kv-cache-dtype") or "auto"
    told = f"--kv-cache-dtype {kept[:60]}"
    if kept.startswith("fp8"):
        model.members.append(Line("fp8", told, "kv_dtype"))
    elif kept in _DTYPES:
        model.members.append(Line(_DTYPES[kept], told, "kv_dtype"))
    elif kept != "auto":
        flags.unread("--kv-cache-dtype", f"`{kept[:60]}` is not known: that of the model is taken")
    _states(model, flags)


def _states(model: Checkpoint, flags: Table) -> None:
    """Add the format of states, which vLLM and SGLang have different flags for."""
    for key in ("--mamba-ssm-cache-dtype", "--mamba-ssm-dtype"):
        given = flags.text(key) or "auto"
        if given in _DTYPES:
            model.members.append(Line(_DTYPES[given], f"{key} {given}", "state_dtype"))
        elif given != "auto":
            flags.unread(key, f"`{given[:60]}` is not known: that of the model is taken")


def _quantization(model: Checkpoint, flags: Table) -> None:
    given = flags.text("--quantization")
    way = model.quantized if given not in _FORMATS and model.quantized else given
    if way and way.startswith("gptq") and model.quantized == "gptq_8":  # flags do not tell the bits
        way = model.quantized
    if not way:
        return
    weights, computed = _FORMATS.get(way, ("", ""))
    told = f"--quantization {way}" if given == way else f"{way.partition('_')[0]}, by its name"
    told = "as it is published" if way in _PUBLISHED.values() else told
    if not weights:
        if given == way:
            flags.unread("--quantization", f"`{way[:60]}` is not known: weights as they are")
        else:
            flags.unread("MODEL", f"`{way}` has no counterpart: weights are taken as they are")
        return
    key, _, value = weights.partition(" = ")
    if model.has(value):
        return
    model.members.append(Line(value, told, key))
    if not computed and key == "weight_dtype" and model.has("fp8"):
        computed = "bf16"  # weights are widened to it, and no longer multiplied as the library's
    if computed and key == "expert_dtype":
        model.members.append(Line(computed, "", "weight_dtype"))
    if computed:
        model.members.append(Line(computed, "", "compute_dtype"))
