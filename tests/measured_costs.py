"""Costs of small made-up tables, for random systems: some rise, some fall, some have holes.

They are put into the text of a system that is written already: all else of it stays what it was.
"""

import re
from pathlib import Path
from random import Random

FOLDER = Path(__file__).resolve().parent / "tables"
SHARE = 0.3  # of the systems

# Columns of the files, and points over the features of the batch that may be asked there.
POINTS = {
    "rising.csv": ("tokens = tokens", "tokens = requests", "tokens = longest_context"),
    "falling.csv": ("tokens = tokens", "tokens = contexts", "tokens = peer_tokens"),
    "ragged.csv": (
        "count = decodes; context = contexts / decodes if decodes > 0 else 0",
        "count = requests; context = context_blocks",
        "count = prefills; context = prefill_contexts / max(prefills, 1)",
        "context = longest_context; count = 2",
    ),
}
_NODES = ("norm1", "qkv", "attn", "out", "act", "lm_head", "sample")


def with_tables(text: str, seed: int) -> str:
    """Return the text of a system, some of whose costs, for some seeds, are tables."""
    chance = Random(f"tables {seed}")
    if chance.random() >= SHARE:
        return text
    folder = f'folder = "{FOLDER.as_posix()}"'
    parts = [f"part p{n} {{ {_times(chance)} }}" for n in range(chance.choice((1, 1, 2)))]
    whole = f"cost tabled {{ {'; '.join((folder, *parts))} }}\n"
    nodes = chance.sample(_NODES, chance.choice((1, 2, 4)))
    operators = [f"operator {node} {{ {_times(chance)} }}" for node in nodes]
    some = f"cost profiled {{ {'; '.join((folder, *operators))} }}\n"
    used = set()

    def changed(found: re.Match[str]) -> str:
        chosen = chance.choice(("tabled", "profiled"))
        used.add(chosen)
        kept = re.sub(r" cost = [^;}]*(;|(?= \}))", "", found[0])
        return kept.replace("{", f"{{ cost = {chosen};", 1)

    text = re.sub(r"worker \w+ \* \d+ \{.*\}", changed, text)
    costs = [cost for name, cost in (("tabled", whole), ("profiled", some)) if name in used]
    return text.replace("cost zero", f"{''.join(costs)}cost zero", 1)


def _times(chance: Random) -> str:
    """Return what is said of a time: a table, and a point there."""
    file = chance.choice(tuple(POINTS))
    fields = [f'file = "{file}"', f"at {{ {chance.choice(POINTS[file])} }}"]
    if chance.random() < 0.3:
        fields.append(f"times = {chance.choice(('2', 'requests', '1 if prefills > 0 else 3'))}")
    if chance.random() < 0.3:
        fields.append(f"when = {chance.choice(('decodes > 0', 'prefills == 0', 'tokens > 4'))}")
    if file == "rising.csv" and chance.random() < 0.3:
        fields.append("above { tokens = 4 }")
    return "; ".join(fields)
