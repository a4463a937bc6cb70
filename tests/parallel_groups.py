"""Lets groups of workers of a random system go in lock-step, or have pipelines."""

import re
from random import Random

SOME = 0.3  # of the systems have such groups
NODE = re.compile(r"node \w+ \* (\d+) \{")
WORKER = re.compile(r"worker (\w+) \* (\d+) \{ ")
NO_PIPELINE = ("handoff = sequential", "swap = ")  # what does not go with one


def in_parallel(cluster: str, chance: Random, *, ahead: bool) -> str:
    """Return a cluster some of whose groups are gangs or have stages; mostly as it was.

    What is scheduled `ahead` of results has no stages.
    """
    if chance.random() >= SOME:
        return cluster
    lines, copies = [], 1
    for line in cluster.split("\n"):
        if node := NODE.search(line):
            copies = int(node[1])
        elif line.strip() == "}":
            copies = 1
        found = WORKER.search(line)
        lines.append(_changed(line, found, copies, chance, ahead=ahead) if found else line)
    return "\n".join(lines)


def _changed(line: str, found: re.Match[str], copies: int, chance: Random, *, ahead: bool) -> str:
    """Return the line of a group with ranks, with stages, or as it was."""
    if chance.random() < 0.3:
        return line
    count, way = int(found[2]), chance.choice(("ep", "tp"))
    piped = chance.random() < 0.4 and not ahead and not any(no in line for no in NO_PIPELINE)
    if piped:
        more = f"stages = {chance.choice((2, 2, 3, 4))}"
    else:
        if count * copies == 1:
            count = chance.choice((2, 2, 4))
        divisors = [n for n in (2, 4) if count * copies % n == 0]  # of the experts of all models
        if not divisors:
            return line
        more = f"ranks = {chance.choice(divisors)}"
    head, rest = f"worker {found[1]} * {count} {{ ", line[found.end() :]
    if "parallel = tp(2)" in rest:
        rest = rest.replace("tp(2)", f"tp(2, {more})")
    else:
        head += f"parallel = {way}(1, {more}); "
    return line[: found.start()] + head + rest
