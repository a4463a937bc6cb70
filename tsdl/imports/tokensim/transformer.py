"""The model configuration of the paper (Figure 2c): layers, and operators with hooks."""

from collections.abc import Iterator

from tsdl.imports.tables import Table
from tsdl.imports.tokensim.parts import Parts, function_of_yours, hook, quoted
from tsdl.writing import Block, Line, number

_BY_LAYERS = {32: "llama2_7b", 40: "llama2_13b", 80: "llama2_70b"}
_SIZES = {
    "hidden": "hidden", "hid": "hidden", "hidden_size": "hidden", "num_heads": "heads",
    "heads": "heads", "kv_heads": "kv_heads", "num_kv_heads": "kv_heads", "ffn": "ffn",
    "intermediate_size": "ffn", "vocab_size": "vocabulary",
}  # fmt: skip
# What operators of such a file are in the graph of `llama` in the library.
_PLACES = {
    "qkv_gemm": "block.qkv", "qkv": "block.qkv", "qkv_proj": "block.qkv", "rotary": "block.rotary",
    "softmax": "block.attn", "attention": "block.attn", "attn": "block.attn",
    "qk_gemm": "block.attn", "sv_gemm": "block.attn", "av_gemm": "block.attn",
    "score": "block.attn", "out_gemm": "block.out", "out": "block.out", "out_proj": "block.out",
    "o_proj": "block.out",
    "up_gemm": "block.gate_up", "gate_up": "block.gate_up", "gate_gemm": "block.gate_up",
    "fc1": "block.gate_up", "ffn1": "block.gate_up", "silu": "block.act", "gelu": "block.act",
    "activation": "block.act", "act": "block.act", "down_gemm": "block.down", "fc2": "block.down",
    "ffn2": "block.down", "down": "block.down", "layer_norm": "block.norm2", "norm": "block.norm2",
    "self_attn": "block.add1", "ffn": "block.add2", "lm_head": "lm_head", "embedding": "embed",
    "embed": "embed",
}  # fmt: skip
_DEEPEST = 8


def read(parts: Parts) -> None:
    """Read the transformer: the model of the library that it is, and its hooks."""
    for part in parts.all("transformer"):
        table = part.table("transformer")
        if table is None:
            continue
        _model(parts, table)
        operators = table.table("ops")
        for name, hooked, text in _hooked(operators, "", 0) if operators else ():
            _hook(parts, name, hooked, text)
        table.finish()


def _model(parts: Parts, table: Table) -> None:
    deployment = parts.deployment
    layers = table.whole("num_layers")
    name = table.text("name") or table.text("model")
    key = "name" if table.has("name") else "model"
    base = parts.names.find("model", name, table.place(key)) if name else None
    if base is None:
        base = _BY_LAYERS.get(layers or 0, "llama2_7b")
        comment = f"num_layers: {layers}; which model has them: assumed" if layers else "assumed"
        deployment.model = Line(base, comment, "model")
        if layers and layers not in _BY_LAYERS:
            deployment.model_members.append(Line(str(layers), "num_layers", "layers"))
    else:
        deployment.model = Line(base, quoted(key, name), "model")
        if layers:
            deployment.model_members.append(Line(str(layers), "num_layers", "layers"))
    for given, field in _SIZES.items():
        size = table.whole(given)
        if size:
            deployment.model_members.append(Line(number(size), given, field))


def _hooked(table: Table, name: str, depth: int) -> Iterator[tuple[str, Table, str]]:
    """Yield the operators that have a hook, and tell of those that the graph does not have."""
    for key in list(table.entries):
        if key == "hook_after":
            text = table.text(key)
            if text:
                yield name, table, text
        elif key in ("op", "dim", "dims", "shape") and depth:
            table.ignore(key)  # the graph of the library has them
        elif key not in _PLACES:
            table.unread(key, "the graph of `llama` has no such operator")
        else:
            found = table.value(key)
            if found and isinstance(found.data, Table) and depth < _DEEPEST:
                yield from _hooked(found.data, key, depth + 1)


def _hook(parts: Parts, name: str, table: Table, text: str) -> None:
    if hook(text) != "log" or name not in _PLACES:
        function_of_yours(table, "hook_after", table.place("hook_after"))
        return
    what = Line(f'log "{name}", batch.tokens')
    comment = quoted("hook_after", text)
    parts.deployment.model_members.append(Block(f"after {_PLACES[name]}", [what], comment))
