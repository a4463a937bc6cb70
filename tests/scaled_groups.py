"""Lets groups of workers of a random system come and go, and fail."""

import re
from random import Random

SOME = 0.15  # of the systems have such groups
WORKER = re.compile(r"worker (\w+) \* (\d+) \{ ")
# How many there are to be: as there is work, for a while, and in turns.
WANTED = (
    "1 + sum(w.outstanding for w in workers) / 3",
    "sum(w.queued for w in workers)",
    "3 if now < 60 ms else 1",
    "mod(now / 17 ms, 4)",
)
# Beside a timer, what else may have it looked at; in the same handler of an event it stands once.
EVENTS = ("finish(r, w)", "start(r, w)", "token(r, w) when r.generated == 1", "ready(w)", "fail(w)")
FAILURES = ("exponential(mean = 80 ms)", "uniform(5 ms..40 ms)", "constant(51 ms)")


def scaled(cluster: str, policy: str, chance: Random) -> tuple[str, str]:
    """Return a cluster some of whose workers come and go, and what its policy is then.

    Mostly both are as they were.

    Ranks in lock-step stay as they are.
    """
    if chance.random() >= SOME or "on every" in policy:  # which stands once
        return cluster, policy
    names: list[str] = []

    def changed(found: re.Match[str]) -> str:
        name, count = found[1], int(found[2])
        if chance.random() < 0.3 or "ranks = " in found.string:
            return found[0]
        fields = f"start = {chance.choice(('0 s', '0 s', '20 ms', '1 s'))}; "
        if chance.random() < 0.5:
            fields += f"failures = {chance.choice(FAILURES)}; "
            fields += f"repair = {chance.choice(('0 s', '5 ms', '0.1 s'))}; "
        if chance.random() < 0.3 and "failures" in fields:
            return f"worker {name} * {count} {{ {fields}"
        names.append(name)
        return f"worker {name} * {chance.randint(0, count)}..{count + 1} {{ {fields}"

    cluster = "\n".join(WORKER.sub(changed, line) for line in cluster.split("\n"))
    if not names:
        return cluster, policy
    wanted = "; ".join(f"scale {name} to {chance.choice(WANTED)}" for name in dict.fromkeys(names))
    handler = f"on every({chance.choice(('19 ms', '53 ms', '0.31 s'))}) {{ {wanted} }}"
    if chance.random() < 0.5:
        event = chance.choice(EVENTS)
        if f"on {event.partition('(')[0]}(" not in policy:
            wanted = f"scale {chance.choice(names)} to {chance.choice(WANTED)}"
            handler += f"\n    on {event} {{ {wanted} }}"
    if "  global {\n" in policy:
        return cluster, policy.replace("  global {\n", f"  global {{\n    {handler}\n", 1)
    return cluster, f"{policy[:-1]}  global {{\n    {handler}\n  }}\n}}"
