"""Random systems some of whose workers serve another model: KV of the one is no KV of the other."""

import re
from random import Random

SHARE = 0.2  # of the systems
_WORKER = re.compile(r"^( *)worker \w+ \* [\d.]+ \{ ([^{}]*) \}$", re.MULTILINE)
_CONTEXT = re.compile(r"model short from \w+ \{[^}]*?context = (\d+) tokens")
_KEEPS = re.compile(r"\b(store|fetch) \w")
_OTHERS = re.compile(r"(runs|parallel|start|failures|repair) = (\([^)]*\)|[^;(]|\([^)]*\))*(; |$)")


def with_models(text: str, seed: int) -> str:
    """Return a system with more workers, which serve a smaller model, maybe of a shorter context.

    They do both phases, beside others that may do one. Where tiers keep KV it stays as it is.
    """
    chance = Random(f"served {seed}")
    found, context = [*_WORKER.finditer(text)], _CONTEXT.search(text)
    if chance.random() >= SHARE or not found or context is None or _KEEPS.search(text):
        return text
    like = chance.choice(found)
    fewer = max(int(int(context[1]) * chance.choice((1.0, 0.7))), 2)
    fields = _OTHERS.sub("", like[2]).removesuffix("; ")
    worker = f"\n{like[1]}worker brief * {chance.choice((1, 2))} {{ model = brief; {fields} }}"
    brief = f"model brief from short {{ context = {fewer} tokens; kv_heads = heads / 2 }}\n"
    return f"{text[: like.end()]}{worker}{text[like.end() :]}\n{brief}"
