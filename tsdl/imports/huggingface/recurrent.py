"""Which layers of a configuration are recurrent, attend or only feed forward, and with what."""

from msgspec.structs import replace

from tsdl.imports.huggingface.architectures import Architecture
from tsdl.imports.huggingface.formats import DTYPES
from tsdl.imports.tables import WRONG, Table
from tsdl.writing import Line

_KINDS = ("linear_attention", "full_attention")
_EVERY = 4  # layers, of which the last has attention, where no key tells which
_STATES = ("mamba_ssm_dtype", "mamba_ssm_cache_dtype")
_PATTERN = "hybrid_override_pattern"
_LETTERS = {"mamba": "M", "attention": "*", "mlp": "-", "moe": "E"}  # of layers, in that pattern
_OF_EXPERTS = ("experts", "active_experts", "expert_ffn", "expert_hidden")


def qwen(family: Architecture, text: Table) -> Architecture:
    """Read the layers of Qwen 3 Next and Qwen 3.5, and how wide the shared expert is."""
    if text.flag("attn_output_gate") is False:
        _refuse(text, "attn_output_gate", "attention without a gate is not in", family.graph)
    known = {"recurrent_layers": _linear(text, family.graph)}
    reasons = {"recurrent_layers": next(k for k in ("layer_types", _interval(text)) if k)}
    if "experts" in family.keys:
        known["shared_experts"], key = _shared(text, "shared_expert_intermediate_size")
        reasons["shared_experts"] = key
    return replace(family, assumed=family.assumed | known, reasons=reasons)


def nemotron(family: Architecture, text: Table) -> Architecture:
    """Read the layers of Nemotron H, and of experts whether they see a narrower stream."""
    pattern, key = _pattern(text)
    if text.text("mlp_hidden_act") not in (None, "relu2"):
        _refuse(text, "mlp_hidden_act", "another activation than `relu2` is not in", family.graph)
    graph, keys = family.graph, dict(family.keys)
    recurrent = pattern.count("M")
    known = {
        "recurrent_layers": recurrent,
        "ffn_layers": len(pattern) - recurrent - pattern.count("*"),
    }
    reasons = dict.fromkeys(("layers", *known), key)
    if not text.has("num_hidden_layers"):
        known["layers"] = len(pattern)
    without: tuple[str, ...] = _OF_EXPERTS
    if "E" in pattern:
        one, told = _shared(text, "moe_shared_expert_intermediate_size")
        known["shared_experts"] = (text.whole("n_shared_experts", 0) or 0) * one
        reasons["shared_experts"] = told
        narrow = text.value("moe_latent_size") is not None
        graph = "nemotron_h_latent" if narrow else "nemotron_h_moe"
        without = () if narrow else ("expert_hidden",)
    for name in without:
        text.ignore(*keys.pop(name))
    return replace(family, graph=graph, keys=keys, assumed=family.assumed | known, reasons=reasons)


def _pattern(text: Table) -> tuple[str, str]:
    """Return a letter for each layer of Nemotron H, and the key that tells them."""
    key = next((key for key in ("layers_block_type", _PATTERN) if text.has(key)), _PATTERN)
    types, layers = text.value("layers_block_type"), text.whole("num_hidden_layers", 1)
    if types is not None and not isinstance(types.data, list):
        text.wrong(key, "a list", types)
        return "", key
    if types is not None and isinstance(types.data, list):
        pattern = "".join(_LETTERS.get(str(entry.data), "?") for entry in types.data)
    else:
        pattern = text.text(_PATTERN) or ""
    odd = set(pattern) - {*_LETTERS.values()} or {"-", "E"} <= set(pattern)
    if odd or not pattern or len(pattern) != (layers or len(pattern)):
        kinds = ", ".join(f"`{name}`" if types else letter for name, letter in _LETTERS.items())
        title = f"`{key}` has one of {kinds} for each layer, and not both of the last"
        label = f"{len(pattern)} of {layers or 'the'} layers"
        if odd:
            label = "both of the last" if set(pattern) <= {*_LETTERS.values()} else "another kind"
        text.sink.error(WRONG, title, text.place(key), label)
    return pattern, key


def states(text: Table) -> list[Line]:
    """Return the number format of states, where it is told and another than single precision."""
    for key in _STATES:
        name = text.text(key)
        if name in (None, "auto"):
            continue
        found = DTYPES.get(name.removeprefix("torch."))
        if found is None:
            title = f"`{key}` is one of {', '.join(DTYPES)}; this is `{name[:60]}`"
            text.sink.error(WRONG, title, text.place(key))
        return [Line(found, "", "state_dtype")] if found not in (None, "fp32") else []
    return []


def _interval(text: Table) -> str:
    key = "full_attention_interval"
    return key if text.has(key) else "one of four layers has attention"


def _linear(text: Table, graph: str) -> int:
    """Return how many layers have linear attention."""
    layers = text.whole("num_hidden_layers", 1) or 0
    every = text.whole("full_attention_interval") or _EVERY
    types = text.value("layer_types")
    if types is None:
        return layers - layers // every
    if not isinstance(types.data, list):
        text.wrong("layer_types", "a list", types)
        return 0
    names = [entry.data for entry in types.data]
    if len(names) != layers:
        title = f"`layer_types` names each of {layers} layers"
        text.sink.error(WRONG, title, types.span, f"it has {len(names)} entries")
    odd = next((entry for entry in types.data if entry.data not in _KINDS), None)
    if odd is not None:
        title = f"a layer is `linear_attention` or `full_attention` in the graph `{graph}`"
        text.sink.error(WRONG, title, odd.span)
    return names.count("linear_attention")


def _shared(text: Table, key: str) -> tuple[int, str]:
    """Return how many experts the shared one is as wide as, and what tells it."""
    wide, each = text.whole(key, 0), text.whole("moe_intermediate_size", 1)
    if wide is None or not each:
        return 1, ""
    if wide % each:
        title = f"the shared expert is as wide as a whole number of experts of {each} here"
        help_ = "write the model by hand, with a graph that has its width"
        text.sink.error(WRONG, title, text.place(key), f"this is {wide}", help=(help_,))
    return wide // each, f"{key}: {wide}"


def _refuse(text: Table, key: str, title: str, graph: str) -> None:
    help_ = f"write `model own from {graph} {{ … }}` with a `graph` of its own"
    text.sink.error(WRONG, f"{title} the graph `{graph}`", text.place(key), help=(help_,))
