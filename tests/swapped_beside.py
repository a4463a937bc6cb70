"""Lets newcomers in beside those who are swapped out, in the text of a random system."""

from random import Random

SHARE = 0.4  # of the systems


def beside_swapped(text: str, seed: int) -> str:
    """Return the text of a system in which, for some seeds, nobody waits for the swapped."""
    if Random(f"swapped {seed}").random() >= SHARE:
        return text
    return text.replace("preempt = swap", "preempt = swap; swapped_first = false")
