"""Speculative decoding for random systems: some policies draft, others beside them do not.

It is put into the text of a system that is written already, by chances of its own: all else of it
stays what it was.
"""

import re
from random import Random

SHARE = 0.12  # of the systems
_POLICY = re.compile(r"^(policy \w+ from [^{\n]+\{\s*local \{)(\s*)(\}?)", re.MULTILINE)
CHANCES = ("70 %", "0 %", "100 %", "50 % if r.prompt > 6 tokens else 90 %", "1 - 1 / (2 + r.id)")
DRAFTER = "model small_drafter from short { layers = 1 }\n"


def with_drafts(text: str, seed: int) -> str:
    """Return the text of a system in which, for some seeds, policies draft tokens."""
    chance = Random(f"drafts {seed}")
    if chance.random() >= SHARE or re.search(r"pp\(|stages =", text):
        return text
    drafter = "; drafter = small_drafter" if chance.random() < 0.4 else ""

    def drafting(found: re.Match[str]) -> str:
        head, blank, end = found.groups()
        most = min(chance.choice((1, 2, 3)), _room(text[found.start() :]))
        said = f"tokens = {most} tokens; acceptance(r) = {chance.choice(CHANCES)}"
        if most < 1 or chance.random() < 0.3:
            return found[0]
        return f"{head} speculate {{ {said}{drafter} }}{' ' if end else ';'}{blank}{end}"

    drafted = _POLICY.sub(drafting, text)
    return f"{drafted}\n{DRAFTER}" if "small_drafter" in drafted else drafted


def _room(policy: str) -> int:
    """Return how many tokens a policy may draft: an iteration has room for all that decode."""
    local = policy[: policy.find("\npolicy ") if "\npolicy " in policy else None]
    sizes = [re.search(rf"max_{name} = (\d+)", local) for name in ("tokens", "requests")]
    tokens, requests = (int(size[1]) if size else None for size in sizes)
    return (tokens or 2048) // (requests or 256) - 1
