"""Policies of tied systems: each group has clauses and handlers of its own, and a router refuses.

Whoever is refused waits for any boundary of any worker, and is asked for anew there; whoever reads
live numbers has workers catch up. `TIME` in a line stands for a time of the grid.
"""

import random
import re

from tests.random_policies import WORKER_KEYS
from tests.tame_policies import KEYS_OF_MEMORY, REQUEST_KEYS, handing_over, names_in
from tests.tied_workloads import TiedWorkloadWriter

CHUNKED = ("chunked", "orca")
ROUTERS = (
    "prefix_aware", "reported_load(period = 15.625 ms)", "session_affinity", "round_robin",
    "least_outstanding_tokens", "power_of_two",
)  # fmt: skip

# Whom a router prefers, and whom it takes at all: what is said of a worker `v`. Who is blind asks
# no worker how it is: none has to catch up.
BLIND = ("v.id", "-v.id", "mod(v.id + r.id, 3)", "mod(n + v.id, 3)", "sent[v]")
PREFERRED = (
    *(key.format(v="v") for key in WORKER_KEYS), "v.queued", "v.kv.fill", "v.running",
    "v.outstanding_tokens - v.kv.cached(r)", "-v.kv.cached(r)", "v.kv.fill_with(r)",
    "count(x for x in v.swapped)", "count(x for x in v.incoming)",
    "sum(x.generated for x in v.swapped)", "sum(x.prompt - x.computed for x in v.waiting)",
    "sum(x.computed for x in v.active)", "sum(x.held for x in v.incoming)",
    "max(x.context for x in v.waiting)", *BLIND,
)  # fmt: skip
BLIND_TO = (
    "v.id != mod(n, 3)", "mod(n, 5) != 3", "mod(n, 7) != 1", "(mod(r.id, 4) != 1 or now > 0.5 s)",
    "sent[v] < 3", "v.id == mod(r.id, 2)",
)  # fmt: skip
TAKEN = (
    "v.queued < 2", "v.kv.fill < 0.6", "v.running < 3", "v.outstanding < 5", "v.load < 1",
    "v.kv.free > 2 * v.kv.block", "count(x for x in v.waiting) == 0",
    "(v.kv.cached(r) > 0 tokens or v.queued == 0)", "(now - r.arrived > 20 ms or v.queued == 0)",
    *BLIND_TO,
)  # fmt: skip

# Clauses of a group.
ADMITTED = (
    "kv.fill_with(r) <= 60 % or w.running < 1", "w.running < 3 or r.prompt < 10 tokens",
    "kv.cached(r) > 0 tokens or w.running < 2", "kv.fill < 0.7 or w.running < 1",
    "kv.free - kv.needed(r) > 2 * kv.block or w.running == 0", "w.queued > 2 or w.running < 2",
    "w.outstanding_tokens < 60 tokens or w.running < 1", "r.id >= 0",
    "now - r.arrived > 10 ms or w.running == 0",
    "count(x for x in w.waiting if x.id < r.id) < 3", "w.load < 0.8 or w.running < 1",
)  # fmt: skip
RESUMED = (
    "kv.free - r.held > 1 * kv.block or w.running < 1", "r.generated < 9", "w.running < 2",
    "mod(r.id, 3) != 1",
)  # fmt: skip
KEYS = (
    *REQUEST_KEYS, *KEYS_OF_MEMORY, "-kv.cached(r)", "r.history - r.prompt", "r.cached",
    "r.computed",
)  # fmt: skip
OVERHEADS = ("7.8125 ms", "1 ms * requests", "7.8125 ms if prefills > 0 else 0 s")

# Handlers of a group, and of all. A stage has one of each event.
OF_A_GROUP = (
    'on finish(r, w) { n += 1; record "n", n }',
    "on finish(r, w) { log r.id, w.outstanding_tokens, kv.fill, w.queued }",
    "on start(r, w) { log r.id, kv.cached(r), w.load }",
    "on start(r, w) { if mod(r.id, 3) == 0 { preempt r } }",
    "on admit(r, w) { log r.id, r.computed, r.cached, w.running }",
    "on admit(r, w) { n += 1 }",
    "on admit(r, w) { if r.preemptions == 0 and mod(r.id, 4) == 1 { drop r } }",
    "on token(r, w) when r.generated == 1 { log r.id, w.running, w.queued }",
    "on token(r, w) when r.generated == 1 { preempt r }",
    "on token(r, w) when r.generated == 1 { drop r }",
    "on token(r, w) { if mod(r.generated, 5) == 4 { log r.id } }",
    "on preempt(r, w) { log r.id, r.generated, w.running, kv.used / 1 MiB }",
    "on preempt(r, w) { delay TIME }",
    "on preempt(r, w) { submit r }",
    "on preempt(r, w) { if r.preemptions < 3 { submit r } }",
    'on iteration(batch, w) { record "b", batch.tokens }',
    "on iteration(batch, w) { delay TIME }",
    "on iteration(batch, w) { log batch.contexts, batch.longest_context, batch.decodes }",
    "on transferred(r, w) { log r.id, w.queued, w.running }",
    "on every(TIME) { log w.queued, w.running, w.outstanding_tokens, kv.fill }",
    "on every(TIME) { delay 3.90625 ms }",
    "on every(TIME) { for x in w.waiting { log x.id, x.computed, x.generated } }",
    "on every(TIME) { for x in w.swapped { log x.id, x.generated, x.held / 1 MiB } }",
    "on every(TIME) { drop pick(x by -x.id for x in w.active) }",
    "on every(TIME) { preempt pick(x by x.generated for x in w.active) }",
    "on every(TIME) { if w.running > 2 { reject pick(x by -x.id for x in w.waiting) } }",
)
OF_ALL = (
    "on finish(r, w) { sent[w] -= 1 }",
    "on finish(r, w) { for v in workers { log v.queued, v.outstanding_tokens, v.kv.fill } }",
    "on finish(r, w) { let v = pick(x by -x.queued for x in workers);"
    " dispatch pick(x by -x.id for x in v.waiting) to w }",
    "on finish(r, w) { n += 1 }",
    "on finish(r, w) { let v = random(x for x in workers); log v.id, v.queued }",
    "on every(TIME) { for v in workers { log v.queued, v.running, v.kv.used / 1 MiB } }",
    "on every(TIME) { n += 1 }",
    "on every(TIME) { let v = pick(x by x.outstanding for x in workers if x.prefills);"
    " let u = pick(x by -x.queued for x in workers if x.prefills);"
    " dispatch pick(x by -x.id for x in u.waiting) to v }",
    "on every(TIME) { let v = pick(x by -x.kv.fill for x in workers if x.decodes);"
    " let u = pick(x by x.kv.fill for x in workers if x.decodes);"
    " dispatch pick(x by -x.id for x in v.active if x.generated > 0) to u }",
    "on every(TIME) { for v in workers { for x in v.waiting {"
    " if now - x.arrived > 100 ms { reject x } } } }",
    "on every(TIME) { for v in workers { for x in v.incoming {"
    " log x.id, x.generated, x.held / 1 MiB } } }",
    "on start(r, w) { log r.id, w.kv.cached(r), w.id }",
    "on start(r, w) { if mod(r.id, 5) == 4 { reject r } }",
    "on admit(r, w) { sent[w] += 1 }",
    "on token(r, w) when r.generated == 1 { log r.id, w.id, w.outstanding }",
    "on token(r, w) when r.generated == 1 { submit r }",
    "on token(r, w) when r.generated == 1 {"
    " transfer r to pick(v by v.kv.fill for v in workers if v.decodes) }",
    "on token(r, w) when r.generated == 1 {"
    " dispatch r to random(v for v in workers if v.decodes) }",
    "on preempt(r, w) { if r.preemptions < 2 {"
    " dispatch r to random(v for v in workers if v.prefills) } }",
    'on iteration(batch, w) { record "it", batch.requests }',
    "on transferred(r, w) { log r.id, w.id }",
)
OF_A_TIER = (
    "on admit(r, w) { fetch r from pool }",
    "on preempt(r, w) { store r in pool }",
    "on token(r, w) when r.generated == 1 { store r in pool }",
)
POOLED = ("on start(r, w) { fetch r from pool }", "on finish(r, w) { store r in pool }")
SUBMIT = "on token(r, w) { if not w.decodes { submit r } }"


class TiedPolicyWriter(TiedWorkloadWriter):
    """Writes policies of groups, and one that routes; where it is `plain`, with little in them.

    Groups of which little is said run far ahead, and are behind when others look at them.
    """

    def __init__(self, seed: str) -> None:
        """Begin with nothing written."""
        super().__init__(seed)
        self.whole = random.Random(f"whole prompts {seed}")
        self.plain = self.maybe(0.4)
        self.features |= {"plain"} if self.plain else set()

    def handlers(self, among: tuple[str, ...], odds: float, stage: str, *, pool: bool) -> list[str]:
        """Return handlers of a stage, the more the higher the odds are."""
        if self.plain and self.maybe(0.6):
            return []
        lines = [self.noted("pooled", line) for line in POOLED] if pool and self.maybe(0.4) else []
        while self.maybe(odds):
            line = self.chance.choice(OF_A_TIER if pool and self.maybe(0.3) else among)
            if not names_in([line]) & names_in(lines):
                lines.append(line.replace("TIME", self.time()))
                self.features |= {f"{event} of {stage}" for event in names_in([line])}
        return lines

    def clauses(self, base: str, *, shared: bool) -> list[str]:
        """Return clauses of a group; who has `shared` blocks swaps none of them out."""
        chance = self.chance
        most = chance.choice((1, 2, 3, 4, 8, 16, 16))
        tokens = max(chance.choice((4, 8, 16, 64, 64)), most if base in CHUNKED else 1)
        swaps = not shared and self.maybe(0.4)
        ahead = 0.3 if base != "static" else 0
        some = {
            "max_tokens": (f"max_tokens = {tokens} tokens", 1 if base in CHUNKED else 0.6),
            "watermark": (f"watermark = {chance.choice((0, 0, 10, 30))} %", 0.7),
            "swap": ("preempt = swap", 1 if swaps else 0),
            "window": (f"window = {self.time()}", 0.15),
            "heap": ("queue = heap", 0.15),
            "asynchronous": ("scheduling = asynchronous", ahead),
            "overhead": (f"overhead = {chance.choice(OVERHEADS)}", 0.15),
            "front_end": (f"front_end = {self.time()}", 0.1),
            "behind": ("behind = 1", 0.1),
            "admit when": (f"admit r when {chance.choice(ADMITTED)}", 0.25),
            "admit by": (f"admit r by {chance.choice(KEYS)}", 0.2),
            "evict by": (f"evict r by {chance.choice(KEYS)}", 0.2),
            "resume by": (f"resume r by {chance.choice(KEYS)}", 0.2 if swaps else 0),
            "resume when": (f"resume r when {chance.choice(RESUMED)}", 0.2 if swaps else 0),
        }
        lines = [f"max_requests = {most}"]
        if base in CHUNKED and self.whole.random() < 0.3:
            lines.append(f"batching = {self.noted('mixed')}")
        for name, (line, odds) in some.items():
            if self.maybe(odds) and (odds == 1 or not self.plain or self.maybe(0.3)):
                lines.append(self.noted(name, line))
        return lines

    def of_a_group(
        self, odds: float, *, shared: bool, pool: bool, apart: bool
    ) -> tuple[str, list[str]]:
        """Return the policy that a group's is derived from, and the lines of its local stage."""
        base = self.noted(self.chance.choice(("continuous", "static", "orca", *["chunked"] * 2)))
        lines = self.clauses(base, shared=shared)
        told = self.handlers(OF_A_GROUP, odds, "a group", pool=pool)
        if apart:  # whoever prefills hands over
            told = [handing_over(line) for line in told]
            told += [SUBMIT] if "on token" not in names_in(told) else []
        if any("n += 1" in line for line in told):
            lines.append("state n: number")
        return base, [*lines, *told]

    def sending(self, does: str, *, blind: bool) -> str:
        """Return statements that send a request to one who `does` that; some now and then not."""
        chance = self.chance
        key = chance.choice(BLIND if blind else PREFERRED)
        test = chance.choice(BLIND_TO if blind else TAKEN)
        those = f"v in workers if v.{does}"
        some = those
        if self.maybe(0.2 if self.plain else 0.45):
            some += f" and {test}"
            self.features.add("takes not all")
        ways = {
            "picks": f"dispatch r to pick(v by {key} for {some})",
            "draws": f"dispatch r to random(v for {some})",
            "takes turns": f"dispatch r to round_robin(v for {some})",
            "draws, then looks": f"let v = random(v for {those}); if {test} {{ dispatch r to v }}",
            "asks in vain": f"if mod(n, {chance.choice((2, 3, 7))}) != 0"
            f" {{ dispatch r to pick(v by {key} for {those}) }}",
        }
        name = chance.choice((*ways, *["picks"] * 5))
        told = self.noted(name, ways[name])
        if "n" in re.findall(r"\w+", told):
            told = f"n += 1; {told}"
        if "sent[" in told:
            told += "; sent[pick(v by v.id for v in workers)] += 1"
        if self.maybe(0.05):
            told = f"if mod(r.id, 7) == 5 {{ reject r }}; {told}"
        return told

    def routing(self, odds: float, *, apart: bool, pool: bool) -> str:
        """Return the policy `all`, which is that of a group with a router."""
        blind = self.maybe(0.7 if self.plain else 0.3)
        self.features |= {"blind"} if blind else set()
        lines = ["state n: number", "state sent: number[worker]"]
        lines.append(f"on submit(r) {{ {self.sending('decodes', blind=blind)} }}")
        bases = "first_policy"
        if not apart and self.maybe(0.2):
            self.features.add("a router of the library")
            bases += f", {self.chance.choice(ROUTERS)}"
        else:
            lines.append(f"on arrive(r) {{ {self.sending('prefills', blind=blind)} }}")
            lines += self.handlers(OF_ALL, odds, "all", pool=pool)
            if pool and self.maybe(0.3):
                lines.append("on evict(r) { log r.id, r.generated, r.held / 1 MiB }")
        inner = "\n    ".join(lines)
        return f"policy all from {bases} {{\n  global {{\n    {inner}\n  }}\n}}"
