"""Lets groups of workers of a random system leave operators to other devices.

It is put into the text of a system that is written already, by chances of its own: all else of it
stays what it was.
"""

import re
from random import Random

SHARE = 0.15  # of the systems
WORKER = re.compile(r"(worker \w+ \* \d+ \{ )([^\n]*)")
CLOSED = re.compile(r"cost = (constant|linear)_cost\([^)]*\); ")  # does not ask what is where
KINDS = ("Attention", "GEMM", "Attention, GEMM", "SiLU, RMSNorm", "GEMM, SiLU, Residual")


def with_offloads(text: str, seed: int) -> str:
    """Return the text of a system in which, for some seeds, workers offload operators."""
    chance = Random(f"offloads {seed}")
    if chance.random() >= SHARE or "stages =" in text or "pp(" in text:
        return text
    in_part = "operator " in text  # a cost has times of whole operators

    def offloading(found: re.Match[str]) -> str:
        if chance.random() < 0.3:
            return found[0]
        many = chance.choice((1, 1, 2, 3))
        fields = [f"hardware = {chance.choice(('CPU_server', 'GDDR6_AiM', 'H100_SXM'))}"]
        fields += [f"operators = [{chance.choice(KINDS)}]"]
        fields += [f"link = {chance.choice(('one', 'other', 'PCIe5_x16'))}"]
        runs = chance.choice(("both", "both", "prefill", "decode"))
        fields += [f"runs = {runs}"] if not in_part else []
        rest = CLOSED.sub("", found[2]) if chance.random() < 0.8 else found[2]
        return f"{found[1]}offload aside * {many} {{ {'; '.join(fields)} }}; {rest}"

    return WORKER.sub(offloading, text)
