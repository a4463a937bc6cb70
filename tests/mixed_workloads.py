"""Mixes the requests of a random system with those of another workload.

It is put into the text of a system that is written already, by chances of its own: all else of it
stays what it was.
"""

from random import Random

SHARE = 0.12  # of the systems
ASKED = "workload asked {"


def with_others(text: str, seed: int) -> str:
    """Return the text of a system in which, for some seeds, other requests arrive, too."""
    chance = Random(f"mixes {seed}")
    if chance.random() >= SHARE or ASKED not in text or "concurrency" in text:
        return text
    fields = [f"requests = {chance.choice((1, 5, 9))}"]
    fields += [f"arrivals = {chance.choice(('burst()', 'uniform(50 req/s)', 'poisson(9 req/s)'))}"]
    fields += ["prompt = uniform(1..9 tokens)", "output = uniform(1..4 tokens)"]
    if chance.random() < 0.5:
        fields.append("priority = constant(1)")
    if chance.random() < 0.3:
        fields[0] = "sessions = 3; turns = constant(2); think = constant(40 ms)"
    others = chance.choice(("first, others", "others, first", "first, others, others"))
    return (
        text.replace(ASKED, "workload first {")
        + f"\nworkload others {{ {'; '.join(fields)} }}\nworkload asked {{ mix = [{others}] }}\n"
    )
