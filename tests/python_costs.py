"""Costs in Python for random systems: some fall as batches grow, and one does not answer always.

They are put into the text of a system that is written already, by chances of their own: all else
of it stays what it was.
"""

import re
from collections.abc import Callable
from random import Random

SHARE = 0.12  # of the systems
_NODES = ("norm1", "qkv", "attn", "out", "act", "lm_head", "sample")
# What may be read, by the function that reads it; those of an iteration read no work.
READS: dict[str, tuple[str, ...]] = {
    "rising": ("tokens", "contexts"),
    "falling": ("requests", "longest_context", "peer_tokens"),
    "steady": (),
    "by_work": ("tokens", "flops", "bytes", "devices"),
}


def _rising(tokens: int, contexts: int) -> float:
    return 1e-3 + 1e-4 * tokens + 1e-6 * contexts


def _falling(requests: int, longest_context: int, peer_tokens: int) -> float:
    return 5e-3 / (1 + requests + longest_context) + 1e-5 * (peer_tokens % 3)


def _by_work(tokens: int, flops: float, bytes: float, devices: int) -> float:  # noqa: A002
    return 1e-5 * tokens / devices + flops / 1e14 + bytes / 1e12


def _refusing(longest_context: int) -> float:
    return 1e-2 / (longest_context < 60)


EXTERNS: dict[str, Callable[..., float]] = {
    "rising": _rising,
    "falling": _falling,
    "steady": lambda: 4e-3,
    "by_work": _by_work,
    "refusing": _refusing,
}


def with_python(text: str, seed: int, *, refusing: bool = False) -> str:
    """Return the text of a system, some of whose costs, for some seeds, are Python.

    Where some may be `refusing`, runs may end in E0904.
    """
    chance = Random(f"python {seed}")
    if chance.random() >= SHARE:
        return text
    whole = chance.choice(("rising", "falling", "steady"))
    reads = READS[whole]
    if refusing and chance.random() < 0.2:
        whole, reads = "refusing", ("longest_context",)
    costs = f"cost learned {{ {_said(whole, reads)} }}\n"
    nodes = chance.sample(_NODES, chance.choice((1, 2, 4)))
    names = [chance.choice(tuple(READS)) for _ in nodes]
    operators = [
        f"operator {node} {{ {_said(name, READS[name])} }}"
        for node, name in zip(nodes, names, strict=True)
    ]
    costs += f"cost in_part {{ {'; '.join(operators)} }}\n"

    def changed(found: re.Match[str]) -> str:
        if chance.random() < 0.3:
            return found[0]
        kept = re.sub(r" cost = [^;}]*(;|(?= \}))", "", found[0])
        return kept.replace("{", f"{{ cost = {chance.choice(('learned', 'in_part'))};", 1)

    changed_text = re.sub(r"worker \w+ \* \d+ \{.*\}", changed, text)
    if changed_text == text:
        return text
    return changed_text.replace("cost zero", f"{costs}cost zero", 1)


def _said(name: str, reads: tuple[str, ...]) -> str:
    return f'extern = "{name}"; reads = [{", ".join(reads)}]' if reads else f'extern = "{name}"'
