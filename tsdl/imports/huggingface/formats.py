"""The number formats of a configuration: what it computes in, and how weights are quantized."""

from tsdl.imports.huggingface.leftout import but_for_those_left_out
from tsdl.imports.tables import WRONG, Table
from tsdl.writing import Line

DTYPES = {
    "float16": "fp16", "half": "fp16", "bfloat16": "bf16", "float32": "fp32", "float": "fp32",
}  # fmt: skip
# Of the methods that say it by their name alone: the format of weights, and what they compute in.
_METHODS = {"fp8": ("fp8", "fp8"), "fbgemm_fp8": ("fp8", "fp8")}
_BITS = {("int", 4): "int4", ("int", 8): "int8", ("float", 8): "fp8"}
_OF_FOUR = {16: "nvfp4", 32: "mxfp4"}  # floats of four bits, by how many share a scale
# Of NVIDIA's ModelOpt, by `quant_algo`: the format of weights, which is what they compute in.
_ALGORITHMS = {"FP8": "fp8", "NVFP4": "nvfp4"}
_GROUP = 128  # weights that share a scale in the library's int4_group, on each side of fp8_block


def dtype(tables: list[Table]) -> Line:
    """Return the number format, told by the first of the tables that has one.

    Checkpoints in 32 bits are served in 16 unless they are asked for: vLLM in bf16 (before 0.10.1
    in fp16, which takes as long), SGLang in fp16.
    """
    for table in tables:
        table.ignore("dtype", "torch_dtype")
    for table in tables:
        for key in ("dtype", "torch_dtype"):
            name = table.text(key)
            if name is None or name == "auto":
                continue
            found = DTYPES.get(name.removeprefix("torch."))
            if found is None:
                title = f"`{key}` is one of {', '.join(DTYPES)}; this is `{name[:60]}`"
                table.sink.error(WRONG, title, table.place(key))
            if found == "fp32":
                return Line("bf16", f"{key}: {name}, which engines serve in 16 bits", "dtype")
            return Line(found or "fp16", "", "dtype")
    return Line("bf16", "no torch_dtype: assumed", "dtype")


def quantization(tables: list[Table], sizes: list[Line]) -> list[Line]:
    """Return the number formats of quantized matrices; tell of a way that is not known.

    `sizes` are those of the model: how many layers it has, and whether experts.
    """
    for table in tables:
        given = table.table("quantization_config")
        if given is not None:
            found = _quantized(given)
            if not found and not given.sink.has_errors:
                method = given.text("quant_method") or "no quant_method"
                reason = f"matrices of `{method[:60]}` are taken as not quantized"
                help_ = "write `weight_dtype` of the model by hand"
                table.unread("quantization_config", reason, help_)
            return but_for_those_left_out(given, found, sizes)
    return []


def _quantized(given: Table) -> list[Line]:
    method = given.text("quant_method") or ""
    if method == "compressed-tensors":
        return _compressed(given)
    if method == "mxfp4":
        return [Line("mxfp4", "quant_method: mxfp4", "expert_dtype")]
    if method == "bitsandbytes":
        few = any(given.flag(key) for key in ("load_in_4bit", "_load_in_4bit"))
        return [Line("int4" if few else "int8", "bitsandbytes", "weight_dtype")]
    if method == "modelopt":
        return _modelopt(given)
    if method in _METHODS:
        weights, arithmetic = _METHODS[method]
        block = given.value("weight_block_size")
        sides = [side.data for side in block.data] if block and isinstance(block.data, list) else []
        weights = "fp8_block" if sides == [_GROUP, _GROUP] else weights
        return [
            Line(weights, f"quant_method: {method}", "weight_dtype"),
            Line(arithmetic, "", "compute_dtype"),
        ]
    bits = given.whole("bits", 1, 16) or 0
    return _weights(_BITS.get(("int", bits)), given, method) if method else []


def _named(given: Table) -> str | None:
    """Return the format that a table of compressed-tensors tells by type, bits and groups."""
    kind, bits = given.text("type") or "int", given.whole("num_bits", 1, 16) or 0
    if (kind, bits) == ("float", 4):
        return _OF_FOUR.get(_group(given))
    return _BITS.get((kind, bits))


def _group(given: Table) -> int:
    """Return how many numbers share a scale; 0 where there are no groups."""
    size = given.value("group_size")
    group = size.data if size else None
    return int(group) if isinstance(group, int | float) and group > 0 else 0


def _weights(name: str | None, given: Table, method: str) -> list[Line]:
    """Return the format of weights, which share a scale in groups."""
    group = _group(given)
    if name is None:
        return []
    comment = f"{method}, groups of {group}" if group else method
    if name == "int4" and group:
        # Those who pack symmetric weights for compressed-tensors keep no zero points.
        symmetric = method == "compressed-tensors" and given.flag("symmetric")
        own = ([] if group == _GROUP else [str(group)]) + (["zero = 0"] if symmetric else [])
        name = f"int4_group({', '.join(own)})" if own else "int4_group"
    return [Line(name, comment, "weight_dtype")]


def _modelopt(given: Table) -> list[Line]:
    """Return the formats of NVIDIA's ModelOpt: of weights, of arithmetic, and of the KV cache."""
    algorithm = given.text("quant_algo") or ""
    name = _ALGORITHMS.get(algorithm)
    if name is None:
        return []
    found = [
        Line(name, f"quant_algo: {algorithm}", "weight_dtype"),
        Line(name, "", "compute_dtype"),
    ]
    return found + _of_cache(given)


def _of_cache(given: Table) -> list[Line]:
    """Return the format of the KV cache that a checkpoint asks for, if it does."""
    scheme, algorithm = given.table("kv_cache_scheme"), given.text("kv_cache_quant_algo") or ""
    name = _named(scheme) if scheme else _ALGORITHMS.get(algorithm)
    if name is None and (scheme or algorithm):
        key = "kv_cache_scheme" if scheme else "kv_cache_quant_algo"
        given.unread(
            key, "KV is taken to be in the format of the model", "write `kv_dtype` by hand"
        )
    return [Line(name, "", "kv_dtype")] if name else []


def _compressed(given: Table) -> list[Line]:
    """Return the formats of compressed-tensors: those of its first group of matrices."""
    groups = given.table("config_groups")
    first = groups.table(next(iter(groups.entries), "")) if groups else None
    weights = first.table("weights") if first else None
    if first is None or weights is None:
        return []
    found = _weights(_named(weights), weights, "compressed-tensors")
    if not found:
        return []
    inputs = first.table("input_activations")
    name = _named(inputs) if inputs else None
    computed = [Line(name, "", "compute_dtype")] if name else []
    return [*found, *computed, *_of_cache(given)]
