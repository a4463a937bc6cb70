"""States of recurrent layers in vLLM: their number format, and blocks as large as one of them.

Source: the attention block size that logs of vLLM tell at its start, as people posted them: 784
tokens of Qwen3.5-27B (0.19.1), 1056 of Qwen3.5-35B-A3B; 544 of Qwen3-Next-80B-A3B
(vllm-project/vllm#32492), whose states take two bytes then.
"""

from tsdl.imports.engines.checkpoints import Checkpoint
from tsdl.imports.library import declares, size
from tsdl.writing import Line

_STEP = 16  # tokens
_BYTES = {"fp8": 1, "fp16": 2, "bf16": 2, "fp32": 4}
# Their configuration names no format of states: vLLM has them in that of the model. Where that of
# Nemotron H names none it takes fp32 (NemotronHForCausalLMConfig), as the library does.
_AS_THE_MODEL = ("qwen3_next_80b_a3b",)


def name_format(model: Checkpoint) -> None:
    """Add the number format of states, where it is another than the library's and no flag said."""
    told = {line.name: line.text for line in model.members}
    if model.name in _AS_THE_MODEL and "state_dtype" not in told:
        own = told.get("dtype", "bf16")
        model.members.append(Line(own, "vLLM: that of the model", "state_dtype"))


def block_of(model: Checkpoint, tensor: int, drafted: int) -> int:
    """Return the tokens whose KV in one layer takes as much as a state; 0 without states.

    `tensor` is how many devices heads are divided among; convolutions see `drafted` tokens again.
    """
    if not declares(model.name, "recurrent_layers"):
        return 0
    told = {line.name: line.text for line in model.members}
    own = told.get("dtype", "bf16")
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
