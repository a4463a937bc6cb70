"""Tame policies: those of the library with other clauses, mostly without handlers, or with one."""

import random
import re
from collections.abc import Iterable

BATCHING = (
    "continuous", "continuous", "chunked", "chunked", "orca", "static",
    "windowed_batching", "shortest_first", "shortest_job_first", "priority_first", "reserved",
)  # fmt: skip
APART = ("disaggregated", "disaggregated_chunked")  # who prefills hands over
ROUTERS = (
    "round_robin", "random", "least_loaded", "least_outstanding_tokens", "power_of_two",
    "session_affinity",
)  # fmt: skip
REQUEST_KEYS = (
    "r.prompt, r.arrived", "-r.arrived", "r.priority, r.id", "-r.computed", "r.generated",
    "r.preemptions, -r.id", "r.output - r.generated", "r.held", "mod(r.id, 4), -r.prompt",
    "r.turn", "-r.context", "r.tier, -r.arrived", "r.arrived + r.patience",
)  # fmt: skip
KEYS_OF_MEMORY = (
    "r.prompt if kv.fill > 80 % else -r.prompt", "mod(r.id + w.running, 3)", "kv.needed(r)",
    "-r.generated, kv.free - r.held",
)  # fmt: skip
OVERHEADS = (
    "1 ms", "10 ms", "1 ms * requests", "200 us + 10 us * tokens", "1 ms if prefills > 0 else 0 s",
    "5 us * context_blocks", "200 us * devices",
)  # fmt: skip
WHEN_DIVIDED = ("true", "tokens >= 8", "prefills > 0", "decodes > 2 and contexts < 500")
HIDDEN = ("collective, exchange", "norm", "collective, norm", "attention")
EAGER = (
    "true", "tokens > 8", "prefills > 0", "prefills == 0 and tokens > 2", "contexts > 300",
    "tokens / (prefills + 1) > 16", "longest_context > 64 or devices > 1",
)  # fmt: skip
HOST_TIMES = (
    "launch * (kernels if eager else 4 * layers if prefills > 0 else 0)", "launch * 4 * layers",
    "launch * kernels if eager else 200 us * requests", "3 ms", "1 us * contexts + 1 ms * devices",
    "100 us * longest_context if decodes > 1 else 0 s",
)  # fmt: skip

# Handlers of the local stage: what they are called in counts of features, and their lines.
LOCAL = {
    "counts finishes": ("state n: count", "on finish(r, w) { n += 1 }"),
    "records finishes": (
        "state recent: count over 50 ms",
        'on finish(r, w) { recent += 1; record "recent", recent }',
    ),
    "counts tokens": ("state seen: number", "on token(r, w) { seen += 1 }"),
    "tells of first tokens": (
        "state seen: max(time)",
        'on token(r, w) when r.generated == 1 { seen = now - r.arrived; record "a", seen / 1 ms }',
    ),
    "tells of some tokens": (
        'on token(r, w) when mod(r.generated, 16) == 3 { record "some", r.id }',
    ),
    "reads others at a token": (
        "on token(r, w) when r.generated == 5 { log w.running, w.queued, kv.fill }",
    ),
    "tells of iterations": ('on iteration(batch, w) { record "batch", batch.tokens }',),
    "tells of prefills": (
        'on iteration(batch, w) when batch.prefills > 0 { record "chunk", batch.prefill_tokens }',
    ),
    "sums contexts up": (
        "state most: max",
        "on iteration(batch, w) { most = batch.contexts }",
    ),
    "looks now and then": (
        'on every(10 ms) { record "queued", w.queued; record "fill", kv.fill }',
    ),
    "looks at who runs": (
        "on every(30 ms) { for r in w.active { log r.id, r.generated, r.computed, r.held } }",
    ),
    "tells of admissions": ('on admit(r, w) { log "admitted", r.id, r.computed, kv.fill }',),
    "tells of starts": ('on start(r, w) { record "queue", (now - r.arrived) / 1 ms }',),
    "tells of victims": ('on preempt(r, w) { log "preempted", r.id, r.generated, w.running }',),
    "delays": ("on iteration(batch, w) when batch.prefills > 0 { delay 3 ms }",),
    "tells of memory at victims": (
        'on preempt(r, w) { record "fill", kv.fill; record "held", r.held / 1 MiB }',
    ),
    "delays now and then": ("on every(30 ms) { delay 7 ms }",),
    "delays for victims": ("on preempt(r, w) when kv.free >= 2 * kv.block { delay 1 ms }",),
    "draws before it looks": (
        "state n: number",
        "on token(r, w) when mod(n, 3) < 2 and r.generated == 1 { n += 1 }",
    ),
    "looks at the first token inside": (
        "on token(r, w) { if r.generated == 1 { log r.id, w.running, kv.fill } }",
    ),
    "waits for enough to come": (
        "state n: count over 20 ms",
        "admit r when n < 3 or w.running < 2",
        "on admit(r, w) { n += 1 }",
    ),
    "preempts": ("on token(r, w) when r.generated == 7 and mod(r.id, 3) == 0 { preempt r }",),
    "drops": ("on token(r, w) when r.generated == 2 and mod(r.id, 4) == 1 { drop r }",),
}
GLOBAL = {
    "counts finishes everywhere": ("state n: count[worker]", "on finish(r, w) { n[w] += 1 }"),
    "tells of first tokens everywhere": (
        "state gap: max(time)[worker] over 100 ms",
        "on token(r, w) when r.generated == 1 {"
        ' gap[w] = now - r.arrived; record "gap", gap[w] / 1 ms }',
    ),
    "tells of iterations everywhere": (
        'on iteration(batch, w) { record "requests", batch.requests }',
    ),
    "looks at all workers": (
        'on every(25 ms) { for w in workers { record "left", w.outstanding_tokens / 1 tokens } }',
    ),
    "looks at all who run": (
        "on every(40 ms) { for w in workers { for r in w.active { log r.id, r.generated } } }",
    ),
    "remembers conversations": (
        "state spoken: number[session]",
        'on finish(r, w) { spoken[r.session] += 1; record "spoken", spoken[r.session] }',
    ),
    "reads memory at starts": (
        'on start(r, w) { for v in workers { record "fill", v.kv.fill; record "q", v.queued } }',
    ),
    "tells of what is evicted": (
        'on evict(r) { record "evicted", r.generated; record "times", r.preemptions }',
    ),
    "rejects who waits": (
        "on every(20 ms) { for w in workers { for r in w.waiting {"
        " if now - r.arrived > 100 ms { reject r } } } }",
    ),
}
# Global handlers that say where requests go: not beside a router.
ROUTING = {
    "routes by what was finished": (
        "state done: count[worker] over 100 ms",
        "on finish(r, w) { done[w] += 1 }",
        "on arrive(r) { dispatch r to pick(v by done[v] for v in workers if v.prefills) }",
    ),
    "has arrivals wait": (
        "on arrive(r) {"
        " dispatch r to pick(v by v.outstanding for v in workers if v.prefills and v.queued < 2) }",
    ),
    "routes by memory": (
        "on arrive(r) { dispatch r to pick(v by v.kv.fill for v in workers if v.prefills) }",
    ),
    "routes by who runs": (
        "on arrive(r) { dispatch r to"
        " pick(v by sum(x.computed for x in v.active) for v in workers if v.prefills) }",
    ),
    "sends on without a submission": (
        "on arrive(r) { dispatch r to pick(v by v.queued for v in workers if v.prefills) }",
        "on token(r, w) when r.generated == 1 {"
        " dispatch r to pick(v by v.kv.fill for v in workers if v.decodes) }",
    ),
    "sends ahead in vain": (
        "on arrive(r) { dispatch r to pick(v by v.queued for v in workers if v.prefills) }",
        "on token(r, w) when r.generated == 1 {"
        " transfer r to pick(v by v.kv.fill for v in workers if v.decodes) }",
    ),
    "moves who waits": (
        "on every(30 ms) { let v = pick(x by x.outstanding for x in workers if x.prefills);"
        " let u = pick(x by -x.queued for x in workers if x.prefills);"
        " dispatch pick(r by -r.id for r in u.waiting) to v }",
    ),
}
# What is told beside other handlers: of whom one hears, and when, may hang on the others.
BUDGETS = (
    "16 tokens if w.running > 2 else 512 tokens", "w.queued / 1 request * 8 tokens",
    "100 tokens * kv.fill", "4 tokens if now < 80 ms else 64 tokens",
    "8 tokens if kv.fill > 50 % else 64 tokens", "sum(r.prompt for r in w.waiting) / 2",
    "count(r for r in w.active if r.generated > 0) * 2", "random(n for n in [1, 20, 300])",
)  # fmt: skip
BESIDE = (
    'on admit(r, w) { log "in", r.id, w.running }',
    'on finish(r, w) { log "out", r.id, kv.fill }',
    'on start(r, w) { log "begun", r.id }',
    'on token(r, w) when r.generated == 1 { log "first", r.id }',
)
BETWEEN = ("on finish(r, w) { store r in pool }", "on evict(r) { store r in far }")
# What is fetched from tier to tier: for who is about to start, and for who waits.
AHEAD = (
    "on start(r, w) { fetch r from far to pool }",
    "on every(37 ms) { for w in workers { for r in w.waiting { fetch r from far to pool } } }",
    "on iteration(batch, w) { for r in w.waiting { fetch r from far to pool } }",
)
SUBMIT = "on submit(r) { dispatch r to pick(v by v.kv.fill for v in workers if v.decodes) }"


class FeatureWriter:
    """Writes by chance, and notes what it wrote."""

    def __init__(self, seed: str) -> None:
        """Begin with nothing written."""
        self.chance = random.Random(seed)
        self.features: set[str] = set()

    def noted(self, feature: str, text: str | None = None) -> str:
        """Note a feature of the system, and return its text."""
        self.features.add(feature)
        return feature if text is None else text

    def maybe(self, odds: float) -> bool:
        """Tell whether to do something, by chance."""
        return self.chance.random() < odds


class TamePolicyWriter(FeatureWriter):
    """Writes a policy of the library with random clauses; the same seed writes the same."""

    def __init__(self, seed: int) -> None:
        """Begin with nothing written."""
        super().__init__(f"tame {seed}")
        # What was added later has chances of its own: all else of a seed stays what it was.
        self.later = random.Random(f"later {seed}")
        self.latest = random.Random(f"latest {seed}")
        self.last = random.Random(f"last {seed}")
        self.newest = random.Random(f"newest {seed}")
        self.whole = random.Random(f"whole prompts {seed}")

    def clauses(self, base: str) -> list[str]:
        """Return some clauses of a local stage; most are left as they are."""
        chance, lines = self.chance, []
        chunked = base in ("chunked", "orca", "disaggregated_chunked")
        requests = chance.choice((1, 2, 3, 4, 8, 8, 16, 16, 16, 64))
        tokens = chance.choice((8, 16, 64, 64, 512, 512))
        if self.maybe(0.5):
            lines.append(f"max_requests = {requests}")
            self.features.add("max_requests")
        if self.maybe(0.5):
            least = (requests if lines else 256) if chunked else 1
            lines.append(f"max_tokens = {max(tokens, least)} tokens")
            self.features.add("max_tokens")
        if self.maybe(0.4):
            lines.append(f"watermark = {chance.choice((0, 1, 10, 30))} %")
            self.features.add("watermark")
        if self.maybe(0.35):
            lines.append(f"preempt = {self.noted('swap')}")
        if self.maybe(0.2):
            lines.append(f"overhead = {chance.choice(OVERHEADS)}")
            self.features.add("overhead")
        if self.maybe(0.12):
            lines.append(f"queue = {self.noted('heap')}")
        if self.maybe(0.12):
            lines.append(f"window = {chance.choice((5, 10, 20, 100))} ms")
            self.features.add("window")
        static = base == "static" or base.startswith("windowed_batching")
        if self.later.random() < 0.35 and not static:
            lines.append(f"scheduling = {self.noted('asynchronous')}")
        if self.later.random() < 0.15:
            lines.append(f"front_end = {self.later.choice((1, 7, 300))} ms")
            self.features.add("front_end")
        if self.whole.random() < 0.3 and chunked:
            lines.append(f"batching = {self.noted('mixed')}")
        if self.latest.random() < 0.1:
            lines.append(f"{self.noted('behind')} = {self.latest.choice((1, 1, 0.5, 3))}")
        return [*lines, *self.launches(), *self.selections()]

    def launches(self) -> list[str]:
        """Return some clauses of how an iteration is launched."""
        lines = []
        if self.last.random() < 0.25:
            launch = self.last.choice((10, 60, 300))
            lines.append(f"eager = {self.last.choice(EAGER)}; launch = {launch} us")
            self.features.add("eager")
            if self.latest.random() < 0.5:
                lines.append(f"{self.noted('host_time')} = {self.latest.choice(HOST_TIMES)}")
        if self.last.random() < 0.1:
            lines.append(f"{self.noted('gap')} = 2 us")
        if self.latest.random() < 0.15:
            lines.append(f"{self.noted('budget')}(w) = {self.latest.choice(BUDGETS)}")
        if self.last.random() < 0.15:
            when, hides = self.last.choice(WHEN_DIVIDED), self.last.choice(HIDDEN)
            busy = self.last.choice(("", "; occupies = 0 %", "; occupies = decodes / requests"))
            lines.append(f"{self.noted('overlap')} {{ when = {when}; hides = [{hides}]{busy} }}")
        return lines

    def selections(self) -> list[str]:
        """Return some of the clauses that say who is admitted, evicted and resumed."""
        found = []
        for verb in ("admit", "evict", "resume"):
            if self.maybe(0.08):
                key = self.chance.choice((*REQUEST_KEYS, *KEYS_OF_MEMORY))
                found.append(self.noted(f"{verb} by", f"{verb} r by {key}"))
        conditions = {
            "admit": (
                "kv.fill_with(r) <= 60 % or w.running < 1",
                "w.running < 3 or r.prompt < 40",
                "kv.free - kv.needed(r) > 2 * kv.block or w.running == 0",
                "not kv.fill > 70 % or w.running < 1",
                "w.running != 2 or w.queued > 4",
                "sum(x.prompt for x in w.waiting) >= 40 or w.running == 0",
            ),
            "evict": ("kv.free < kv.block and r.preemptions < 3",),
            "resume": ("kv.free - r.held > 1 * kv.block or w.running < 1", "r.generated < 9"),
        }
        for verb, choices in conditions.items():
            if self.maybe(0.06):
                test = self.chance.choice(choices)
                found.append(self.noted(f"{verb} when", f"{verb} r when {test}"))
        return found

    def base(self, *, apart: bool, pool: bool) -> str:
        """Return the policy of the library that is varied."""
        chance = self.chance
        choices = APART if apart else (*BATCHING, *((*["pooled"] * 9,) if pool else ()))
        name = self.noted(chance.choice(choices))
        if name == "windowed_batching":
            wait = chance.choice((5, 10, 30, 200))
            return f"{name}(wait = {wait} ms, size = {chance.choice((2, 3, 8))})"
        if name == "reserved":
            return f"{name}({chance.choice((50, 70, 90))} %)"
        return name

    def policy(self, name: str, *, apart: bool, pool: bool, layered: bool = False) -> str:
        """Return a policy: a base, a router perhaps, clauses, perhaps a handler."""
        base = self.base(apart=apart, pool=pool)
        local, shared = self.clauses(base), list[str]()
        bases = [base]
        routed = apart or self.maybe(0.5)
        if routed and not apart:
            bases.append(self.noted(self.chance.choice(ROUTERS)))
        for odds in (0.55, 0.1):
            if self.maybe(odds):
                self.handlers(local, shared, routed=routed)
        self.beside(local, shared, pool=pool)
        if layered:
            shared.append(
                "on kv_ready(batch, layer, w) when not w.decodes { for r in batch.prefilling {"
                " transfer r to pick(v by -1 if v.id == r.target else v.kv.fill"
                " for v in workers if v.decodes) } }"
            )
        if name == "mine" and not apart and self.maybe(0.1) and "on token" not in names_in(local):
            self.features.add("submits the first token")
            local.append("on token(r, w) when r.generated == 1 { submit r }")
            shared.append(SUBMIT)
        if apart:
            local = [handing_over(line) for line in local]
        body = ""
        for stage, lines in (("local", local), ("global", shared)):
            if lines:
                inner = "\n    ".join(lines)
                body += f"  {stage} {{\n    {inner}\n  }}\n"
        return f"policy {name} from {', '.join(bases)} {{\n{body}}}"

    def handlers(self, local: list[str], shared: list[str], *, routed: bool) -> None:
        """Add handlers of one kind to a stage, if it has none of these events."""
        kinds = [(LOCAL, local), (LOCAL, local), (GLOBAL, shared)]
        kinds += [(ROUTING, shared)] * 2 if not routed else []
        table, lines = self.chance.choice(kinds)
        name = self.chance.choice(list(table))
        if names_in(lines) & names_in(table[name]):
            return
        lines += table[name]
        self.features |= {name, "a handler"}

    def beside(self, local: list[str], shared: list[str], *, pool: bool) -> None:
        """Add handlers of events that have none yet, and copies of who has ended."""
        chance = self.latest
        if chance.random() < 0.3:
            for line in chance.sample(BESIDE, 2):
                if not names_in([line]) & names_in(local):
                    local.append(self.noted("handlers beside others", line))
        done = chance.choice((
            "store r in pool", "log r.id, r.held, r.computed, r.generated", "drop r", "reject r",
        ))  # fmt: skip
        for event, what in (("finish(r, w)", "store r in pool"), ("evict(r)", done)):
            line = f"on {event} {{ {what} }}"
            if pool and chance.random() < 0.3 and not names_in([line]) & names_in(shared):
                shared.append(self.noted("stores who has ended", line))
        for line in (*BETWEEN, chance.choice(AHEAD)):
            if pool and chance.random() < 0.7 and not names_in([line]) & names_in(shared):
                shared.append(self.noted("between tiers", line))


def names_in(lines: Iterable[str]) -> set[str]:
    """Return the events and states of a stage: each stands once."""
    heads = (re.match(r"(on|state) \w+", line) for line in lines)
    return {head[0] for head in heads if head}


def handing_over(line: str) -> str:
    """Return a handler that hands over besides, where it stands in place of the one that does."""
    found = re.fullmatch(r"on token\(r, w\)(?: when (.*?))? \{ (.*) \}", line)
    if not found:
        return line
    inner = f"if {found[1]} {{ {found[2]} }}" if found[1] else found[2]
    return f"on token(r, w) {{ {inner}; if not w.decodes {{ submit r }} }}"
