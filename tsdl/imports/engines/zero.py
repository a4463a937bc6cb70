"""What vLLM's engine before 0.8, V0, does with prompts: whole, or cut where contexts are long.

Source: vllm/engine/arg_utils.py and vllm/config.py of 0.5.4 to 0.8; vllm-project/vllm#6666 (cut by
default), #8342 (with shared prefixes, too), #8425 (but for images), #10544 (chunks of 2048 tokens).
"""

from tsdl.imports.engines.commandline import Version
from tsdl.imports.engines.drafting import CONFIG
from tsdl.imports.engines.serving import Serving
from tsdl.imports.library import declares, of_nvidia
from tsdl.writing import Line

_CUT = (0, 5, 4)  # from which on prompts of long contexts are cut unasked
_CUT_SHARED = (0, 6, 2)  # with shared prefixes, too
_LARGER = (0, 6, 5)  # from which on chunks have more tokens
_LATENT = (0, 7)  # from which on MLA has kernels of its own, which take whole prompts
_LONG = 32_768  # tokens of a context; more are long
_LEAST = 2048  # tokens of a budget
_FLAG = "--enable-chunked-prefill"
_NEVER = ("--speculative-model", CONFIG, "--enable-lora", "--enable-prompt-adapter")
_WITH_IMAGES = ("gemma3", "llama4", "mistral_small_3_1")  # how models begin that see them, too


def put_down(
    serving: Serving, version: Version, longest: int, *, chunked: bool | None
) -> tuple[int, bool]:
    """Put down what only V0 has; return the tokens of its budget, and whether prompts are cut.

    `longest` is the context in tokens, `chunked` what the flag says, if it is there.
    """
    local = serving.deployment.scheduler.local
    why = _FLAG
    if chunked is None:
        chunked, why = _cut(serving, version, longest), f"the context is above {_LONG:,} tokens"
    if chunked:
        local.append(Line("chunked", why, "batching"))
    way = serving.flags.text("--preemption-mode")
    if way in ("swap", "recompute"):
        local.append(Line(way, "--preemption-mode", "preempt"))
    if chunked:
        return 2048 if version >= _LARGER else 512, True
    return max(longest, _LEAST), False  # max_num_batched_tokens holds the longest prompt


def _cut(serving: Serving, version: Version, longest: int) -> bool:
    """Tell whether prompts are cut unasked: those of long contexts, on CUDA."""
    name, flags = serving.model.name, serving.flags
    return (
        version >= _CUT
        and longest > _LONG
        and of_nvidia(serving.hardware)
        and not declares(name, "window")
        and not name.startswith(_WITH_IMAGES)
        and not (version >= _LATENT and declares(name, "kv_rank"))
        and not flags.has(*_NEVER)
        and (version >= _CUT_SHARED or not flags.flag("--enable-prefix-caching"))
    )
