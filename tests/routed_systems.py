"""Routed systems, written by a seed: a router of one's own that looks, before and after it sends.

Workers are those of which nobody else is told, so that the fast engine lets them lie until they are
looked at: tame systems have the library's routers there, wild ones handlers that hear of all. The
same seed writes the same text.
"""

import random

MOST_EVENTS = 100_000  # of a run; beyond it, it is taken to go on for ever
KEYS = (
    "v.id", "v.queued", "v.outstanding", "v.load", "v.kv.fill", "v.running",
    "v.outstanding_tokens", "sent[v]", "spread * v.id + v.queued", "count(q for q in v.waiting)",
)  # fmt: skip
ASKED = ("w.queued", "w.outstanding", "w.kv.fill", "w.running", "w.load", "spread")
POLICIES = ("chunked", "continuous", "static", "vllm", "sglang", "shortest_first", "orca")
ARRIVALS = ("poisson(20 req/s)", "poisson(90 req/s)", "uniform(16 req/s)", "burst(7, 0.5 s)")
LANES = ("", "", " in r.prompt > 200", " in r.id - 3 * floor(r.id / 3)", " in r.prompt / 1 token")
ORDERS = (
    "", " by -r.prompt", " by r.output, r.prompt", " by seen[r.id - 2 * floor(r.id / 2)], r.id",
    " by r.prompt / 1 token - 100 * (now - r.arrived) / 1 s",
)  # fmt: skip
TESTS = ("r.prompt > 300 tokens", "spread > 2", "count(v for v in workers if v.queued > 2) > 0")


class Writer:
    """Writes a random program."""

    def __init__(self, seed: int) -> None:
        """Begin with nothing written."""
        self.chance = random.Random(f"routed {seed}")
        self.names = 0
        # Of its own: what waits at the router came later, and the rest of each system is as it was.
        self.waits = random.Random(f"pending {seed}")

    def best(self) -> str:
        """Return the choice of a worker."""
        return f"pick(v by {self.chance.choice(KEYS)} for v in workers)"

    def looks(self) -> str:
        """Return a statement that looks at workers, of which `w` is one."""
        chance, which = self.chance, self.chance.random()
        self.names += 1
        if which < 0.35:
            return f'record "one", {chance.choice(ASKED)}'
        if which < 0.55:
            return f'for v in workers {{ record "each", {chance.choice(KEYS)} }}'
        if which < 0.7:
            return f'for q in w.waiting {{ record "first", q.{chance.choice(("id", "prompt"))} }}'
        if which < 0.85:
            return f"let x{self.names} = {self.best()}; sent[x{self.names}] += 1"
        return f"sent[{self.best()}] += 1"

    def sends(self) -> str:
        """Return statements that send a request, with looks before it and after."""
        chance = self.chance
        before = [self.looks() for _ in range(chance.randrange(3))]
        after = [self.looks() for _ in range(chance.randrange(4))]
        middle = ["dispatch r to w", "sent[w] += 1"]
        return "; ".join((f"let w = {self.best()}", *before, *middle, *after))

    def waiting(self, arrive: str) -> tuple[str, str]:
        """Return how requests queue, and what is done with who arrives: some stay for a while."""
        chance = self.waits
        if chance.random() < 0.6:
            return "", arrive
        queue = f"{chance.choice(LANES)}{chance.choice(ORDERS)}"
        room = chance.choice(("v.outstanding < 3", "v.queued < 2", "v.id > 0 or v.running < 2"))
        counted = 'record "pending", count(q for q in pending); ' * (chance.random() < 0.5)
        seen = "seen[r.id - 2 * floor(r.id / 2)] += 1"
        alone = f"count(q for q in pending if q.prompt > {chance.choice((100, 400))} tokens) < 3"
        free = f"any({room} for v in workers)" + f" and {alone}" * (chance.random() < 0.2)
        return (
            f"state seen: number[session]\n    {f'queue r{queue}' if queue else ''}",
            f"{counted}if {free} {{ {seen}; {arrive} }}",
        )

    def program(self) -> str:
        """Return a whole program."""
        chance = self.chance
        arrive = self.sends()
        if chance.random() < 0.3:
            arrive = f"if {chance.choice(TESTS)} {{ {arrive} }} else {{ {self.sends()} }}"
        queue, arrive = self.waiting(arrive)
        timer = ""
        if chance.random() < 0.4:
            often = chance.choice(("50 ms", "0.3 s", "1 s"))
            timer = f"on every({often}) {{ for w in workers {{ {self.looks()} }} }}"
        shared = "prefixes = 3; prefix = constant(64 tokens)" if chance.random() < 0.5 else ""
        cost = "cost = exact" if chance.random() < 0.5 else ""
        return f"""edition "2026"
cost exact {{ iteration = 7.8125 ms }}
kvcache small from paged {{
  blocks = {chance.choice((50, 90, 200))}; share = {chance.choice(("none", "prefix"))}
}}
policy mine from {chance.choice(POLICIES)} {{
  global {{
    state sent: number[worker]
    let spread = max(v.outstanding for v in workers) - min(v.outstanding for v in workers)
    {queue}
    on arrive(r) {{ {arrive} }}
    {timer}
  }}
}}
cluster some {{
  worker gpu * {chance.choice((1, 2, 3))} {{ hardware = A100_80G; kv = small; {cost} }}
}}
workload asked {{
  requests = {chance.choice((20, 60, 120))}; arrivals = {chance.choice(ARRIVALS)}; {shared}
  prompt = uniform(1..600 tokens); output = uniform(1..{chance.choice((3, 40, 90))} tokens)
}}
scenario it {{ model = llama2_7b; cluster = some; policy = mine; workload = asked }}
"""


def a_routed_system(seed: int) -> str:
    """Return the program of a seed."""
    return Writer(seed).program()
