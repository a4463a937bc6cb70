"""Has requests sent to workers in turn, and nobody listen, in the text of a random system."""

import re
from random import Random

SHARE = 0.25  # of the systems with one pool of workers that all do both
KEPT = ("continuous", "chunked", "static", "orca", "shortest_first", "priority_first")
ROUTER = "global { on arrive(r) { dispatch r to round_robin(w for w in workers if w.prefills) } }"
_POLICY = re.compile(r"policy mine from (\w+)[^{]*\{\n(?P<body>(?:.*?\n)??)\}\n", re.DOTALL)
_CHAINED = re.compile(r"sessions = (\d+); turns = .*|concurrency = \d+|think = .*")


def sent_in_turn(text: str, seed: int) -> str:
    """Return the text of a system in which, for some seeds, arrivals go to workers in turn.

    Nothing else is said of the whole cluster then, no handler is told of requests, and no request
    waits for the answer of another: what the engine proves to let many arrive at once.
    """
    found = _POLICY.search(text)
    if Random(f"in turn {seed}").random() >= SHARE or not found:
        return text
    if found[1] not in KEPT or re.search(r"runs = (prefill|decode)|start = |failures = ", text):
        return text
    local = re.search(r"  local \{\n(.*?)\n  \}", found["body"], re.DOTALL)
    fields = local[1].splitlines() if local else []
    kept = [line for line in fields if not line.strip().startswith("on ")]
    policy = "\n".join(("  local {", *kept, "  }", f"  {ROUTER}"))
    text = text.replace(found[0], f"policy mine from {found[1]} {{\n{policy}\n}}\n")
    return _CHAINED.sub(lambda match: f"requests = {match[1]}" if match[1] else "", text)
