"""What architectures tell by switches of their own, and which of these no graph has."""

from msgspec.structs import replace

from tsdl.imports.huggingface.architectures import Architecture
from tsdl.imports.huggingface.recurrent import nemotron, qwen
from tsdl.imports.tables import WRONG, Table


def variant(name: str, family: Architecture, text: Table) -> Architecture:
    """Return the architecture as the switches of a configuration make it."""
    for key, value in family.only.items():
        if key == "index_topk_freq" and text.has("indexer_types"):
            continue  # it has each layer
        given = text.whole(key, 0)
        if given not in (None, value):
            title = f"`{key}` is {value} in the graph `{family.graph}`"
            help_ = f"write `model own from {family.graph} {{ … }}` with a `graph` of its own"
            text.sink.error(WRONG, title, text.place(key), f"this is {given}", help=(help_,))
    match name:
        case "FalconForCausalLM":
            return _falcon(family, text)
        case "OPTForCausalLM":
            _opt(text)
        case "Llama4ForCausalLM":
            return _llama4(family, text)
        case "Glm4MoeForCausalLM":
            _leave_further(text)
            return replace(family, graph="glm4_moe") if text.flag("use_qk_norm") else family
        case "DeepseekV2ForCausalLM" | "DeepseekV3ForCausalLM":
            _deepseek(text)
            return _of_queries(family, text)
        case "DeepseekV32ForCausalLM" | "GlmMoeDsaForCausalLM":
            _compressed(family, text)
            text.ignore("head_dim", "qk_head_dim", "mlp_layer_types")  # others tell them, too
            _leave_further(text)
            return _indexed(family, text)
        case "MiniMaxM2ForCausalLM" | "MiMoForCausalLM":
            _leave_further(text)
        case "Qwen3MoeForCausalLM":
            _all_have_experts(family, text)
        case "Qwen3NextForCausalLM" | "Qwen3_5MoeForCausalLM":
            _all_have_experts(family, text)
            _leave_further(text)
            return qwen(family, text)
        case "Qwen3_5ForCausalLM":
            text.ignore("mlp_only_layers")
            _leave_further(text)
            return qwen(family, text)
        case "NemotronHForCausalLM":
            _leave_further(text)
            return nemotron(family, text)
    return family


def _all_have_experts(family: Architecture, text: Table) -> None:
    """Refuse a mixture of experts some of whose layers have none."""
    dense = text.value("mlp_only_layers")
    if dense and dense.data != []:
        title = f"layers without experts are not in the graph `{family.graph}`"
        help_ = (
            f"write `model own from {family.graph} {{ … }}` with a `graph` that has a second "
            "`repeat`, of such layers, as that of `deepseek` has; with `[]` here all "
            "layers have experts, which is another model"
        )
        text.sink.error(WRONG, title, dense.span, help=(help_,))


def _falcon(family: Architecture, text: Table) -> Architecture:
    """Read Falcon's: one norm or two in a layer, one KV head or as many as it says."""
    parallel = text.flag("parallel_attn") is not False
    later = bool(text.flag("new_decoder_architecture"))
    shared = text.flag("multi_query") is not False
    norms = text.whole("num_ln_in_parallel_attn") or 2
    if text.flag("alibi"):
        title = "positions within the attention (ALiBi) are in no graph of the library"
        help_ = "write `model own from neox { … }` with a graph without `rotary`"
        text.sink.error(WRONG, title, text.place("alibi"), help=(help_,))
    if not later:
        # transformers heeds the number of KV heads in the later form only
        text.ignore(*family.keys["kv_heads"])
        assumed = {**family.assumed, **({"kv_heads": 1} if shared else {})}
        family = replace(family, keys=family.keys | {"kv_heads": ()}, assumed=assumed)
    one = norms == 1 if later else parallel
    return replace(family, graph="falcon") if one else family


def _opt(text: Table) -> None:
    """Refuse an OPT whose embedding is narrower than the stream, as that of 350M parameters."""
    width, hidden = text.whole("word_embed_proj_dim"), text.whole("hidden_size")
    if width and hidden and width != hidden:
        title = f"the embedding has {width} columns and the stream {hidden}"
        help_ = "write `model own from gpt { … }` with a graph that has the projections between"
        place = text.place("word_embed_proj_dim")
        text.sink.error(WRONG, title, place, "`gpt` has no projection", help=(help_,))


def _llama4(family: Architecture, text: Table) -> Architecture:
    """Read in which layers there are experts: in the last of so many, else in all.

    The graph has all others look back a chunk: of four layers the last looks back to the start.
    """
    key = "interleave_moe_layer_step"
    step, layers = text.whole(key, 1) or 1, text.whole("num_hidden_layers", 1) or 0
    if step not in (1, 2, 4):
        title = f"`{key}` is 1, 2 or 4 in the graphs `llama4` and `llama4_interleaved`"
        help_ = "write `model own from llama4 { … }` with a `graph` of its own"
        text.sink.error(WRONG, title, text.place(key), f"this is {step}", help=(help_,))
    if step == 1:
        return family
    return replace(
        family,
        graph="llama4_interleaved",
        assumed=family.assumed | {"dense_layers": layers - layers // step},
        reasons={"dense_layers": f"{key}: {step}"},
    )


def _of_queries(family: Architecture, text: Table) -> Architecture:
    """Return the graph without compressed queries, where none are, as in DeepSeek V2 Lite."""
    if text.value("q_lora_rank") is not None:
        return family
    text.ignore("q_lora_rank")
    keys = {key: names for key, names in family.keys.items() if key != "query_rank"}
    return replace(family, graph="deepseek_lite", keys=keys)


def _compressed(family: Architecture, text: Table) -> None:
    """Refuse a model with sparse attention whose queries are not compressed."""
    if text.value("q_lora_rank") is None:
        title = f"queries that are not compressed are not in the graph `{family.graph}`"
        help_ = f"write `model own from {family.graph} {{ … }}` with a graph whose `qkv_a` has them"
        place = text.keys.get("q_lora_rank", text.span)
        text.sink.error(WRONG, title, place, "no `q_lora_rank`", help=(help_,))


def _deepseek(text: Table) -> None:
    """Refuse a DeepSeek with heads of values that are wider than those of keys."""
    keys, values = text.whole("qk_nope_head_dim"), text.whole("v_head_dim")
    if keys and values and keys != values:
        title = f"a head has {keys} columns of keys and {values} of values"
        label = "they are equal in the graph `deepseek`"
        text.sink.error(WRONG, title, text.place("v_head_dim"), label)
    _leave_further(text)


def _indexed(family: Architecture, text: Table) -> Architecture:
    """Read how many layers have an indexer of their own; the list has all of them."""
    key = "indexer_types"
    types, layers = text.value(key), text.whole("num_hidden_layers", 1)
    pattern = text.value("index_topk_pattern")
    if types is None:
        if pattern is not None:
            title = f"`index_topk_pattern` is read with `{key}`, which has all layers"
            help_ = f'write them out: `"{key}": ["full", "shared", …]`'
            text.sink.error(WRONG, title, pattern.span, help=(help_,))
        return family
    text.ignore("index_topk_freq", "index_skip_topk_offset", "index_topk_pattern")
    if not isinstance(types.data, list):
        text.wrong(key, "a list", types)
        return family
    names = [entry.data for entry in types.data]
    odd = next((entry for entry in types.data if entry.data not in ("full", "shared")), None)
    if odd is not None or len(names) != layers:
        title = f"`{key}` has `full` or `shared` for each of {layers or '…'} layers"
        label = "another kind" if odd else f"it has {len(names)} entries"
        text.sink.error(WRONG, title, odd.span if odd else types.span, label)
    dense = text.whole("first_k_dense_replace", 0) or 0
    if odd is None and names.count("full") < max(dense, 1):
        title = f"`{key}` has `full` at least once, and for each of the {dense} dense layers"
        text.sink.error(WRONG, title, types.span, f"it has it {names.count('full')} times")
    known = {"indexed_layers": names.count("full")}
    reasons = {"indexed_layers": key}
    return replace(family, assumed=family.assumed | known, reasons=reasons)


def _leave_further(text: Table) -> None:
    """Tell of a module that predicts further tokens, which a model here has not."""
    for key in ("num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_modules"):
        if text.whole(key, 0):
            text.unread(key, "the module that predicts further tokens is left out")
