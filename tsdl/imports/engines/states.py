"""Blocks of vLLM's KV cache where layers are recurrent: as large as the state of one of them.

Source: vLLM 0.19 logs "Setting attention block size to … tokens": 784 of Qwen3.5-27B, 1056 of
Qwen3.5-35B-A3B, 544 of Qwen3-Next-80B-A3B, whose states are in two bytes there.
"""

from tsdl.imports.engines.serving import Serving
from tsdl.imports.library import declares, size
from tsdl.writing import Line

_STEP = 16  # tokens
_BYTES = {"fp8": 1, "fp16": 2, "bf16": 2, "fp32": 4}
# Their configuration names no format of states: vLLM has them in that of the model. Where that of
# Nemotron H names none, vLLM takes fp32, as the library has it.
_AS_THE_MODEL = ("qwen3_next_80b_a3b",)


def block_of(serving: Serving, tensor: int, drafted: int) -> int:
    """Return the tokens whose KV in one layer takes as much as a state; 0 without states.

    `tensor` is how many devices heads are divided among; convolutions see `drafted` tokens again.
    """
    model = serving.model
    if not declares(model.name, "recurrent_layers"):
        return 0
    told = {line.name: line.text for line in model.members}
    own = told.get("dtype", "bf16")
    if model.name in _AS_THE_MODEL and "state_dtype" not in told:
        format_ = told["state_dtype"] = own
        model.members.append(Line(format_, "vLLM: that of the model", "state_dtype"))
    heads, groups, key, value, kv_heads, head = (
        size(model.name, name)
        for name in ("state_heads", "state_groups", "key_dim", "value_dim", "kv_heads", "head_dim")
    )
    seen_again = (size(model.name, "convolution") or 4) - 1 + drafted
    channels = 2 * groups * key + heads * value
    matrices = heads * key * value * _BYTES[told.get("state_dtype", "fp32")]
    state = (matrices + seen_again * channels * _BYTES[own]) / tensor
    token = 2 * -(-kv_heads // tensor) * head * _BYTES[told.get("kv_dtype", own)]
    return int(_STEP * -(-state // (_STEP * token)))
