"""Random policies: clauses, handlers and actions, thrown together from the grammar."""

import random
from dataclasses import dataclass, field, replace

REQUEST_KEYS = (
    "r.id", "-r.id", "r.prompt", "-r.arrived", "r.generated", "r.context - r.computed", "r.held",
    "r.preemptions", "r.priority", "r.session, -r.turn", "r.history", "mod(r.id, 3), r.output",
    "r.cached", "-r.computed", "abs(r.target)", "r.tier, r.id", "r.arrived + r.patience",
)  # fmt: skip
WORKER_KEYS = (
    "{v}.id", "-{v}.id", "{v}.outstanding", "{v}.outstanding_tokens", "{v}.kv.fill", "{v}.load",
    "-{v}.kv.free", "{v}.queued + {v}.running", "mod({v}.id + 1, 2)",
    "count(x for x in {v}.active)",
)  # fmt: skip
WORKER_TESTS = (
    "{v}.prefills", "{v}.decodes", "not {v}.decodes", "{v}.kv.fill > 50 %", "{v}.kv.fill <= 0.9",
    "{v}.queued > 1", "{v}.running < 3", "{v}.outstanding > 0", "{v}.id > 0", "{v}.node == 0",
    '{v}.group == "one"', "any(x.prompt > 5 for x in {v}.waiting)",
    "{v}.kv.free > 2 * {v}.kv.block",
)  # fmt: skip
REQUEST_TESTS = (
    "{r}.preemptions < 2", "{r}.preemptions == 0", "{r}.generated == 2", "{r}.generated > 0",
    "{r}.generated == 1", "mod({r}.id, 3) == 0", "mod({r}.id, 5) == 1", "{r}.turn > 0",
    "{r}.computed > 0", "{r}.target >= 0", "{r}.cached == 0", "{r}.prompt < 20 tokens",
    "{r}.held > 0 GB", "{r}.priority > 1", "{r}.node == 1", "mod({r}.generated, 4) == 3",
    "{r}.tier == 1",
)  # fmt: skip
BATCH_TESTS = ("{b}.prefills > 0", "{b}.decodes > 1", "{b}.tokens > 8", "{b}.longest_context > 9")
GUARDED = 0.75  # how often an action stands behind a condition


@dataclass
class Scope:
    """What statements at a place may name."""

    stage: str
    tiers: list[str]
    requests: list[str] = field(default_factory=list)
    workers: list[str] = field(default_factory=list)
    batches: list[str] = field(default_factory=list)
    states: bool = True
    asked: bool = False

    def with_(self, request: str = "", worker: str = "") -> "Scope":
        """Return the scope with one more name."""
        return Scope(
            self.stage,
            self.tiers,
            [*self.requests, *([request] if request else [])],
            [*self.workers, *([worker] if worker else [])],
            self.batches,
            self.states,
            self.asked,
        )


HOST_TIMES = ("launch * kernels if eager else 0 s", "2 ms * requests")


class PolicyWriter:
    """Writes random clauses, handlers and actions; the same seed writes the same."""

    def __init__(self, seed: int) -> None:
        """Begin with nothing written."""
        self.chance = random.Random(seed)
        # What was added later has chances of its own: all else of a seed stays what it was.
        self.later = random.Random(f"later {seed}")
        self.whole = random.Random(f"whole prompts {seed}")
        self.last = random.Random(f"last {seed}")
        self.names = 0

    def name(self) -> str:
        """Return a new name."""
        self.names += 1
        return f"x{self.names}"

    def some(self, of: tuple[str, ...], *, odds: float = 0.3) -> list[str]:
        """Return some of them."""
        return [one for one in of if self.chance.random() < odds]

    # -- expressions -------------------------------------------------------------------------

    def test(self, scope: Scope) -> str:
        """Return a condition over what there is."""
        found = [t.format(r=r) for r in scope.requests for t in REQUEST_TESTS]
        found += [t.format(v=w) for w in scope.workers for t in WORKER_TESTS]
        found += [t.format(b=b) for b in scope.batches for t in BATCH_TESTS]
        if scope.states:
            found += ["turns < 20", "mod(turns, 3) == 0", "seen > 2", "recent < 3"]
        found += ["now > 200 ms"]
        one = self.chance.choice(found)
        if self.chance.random() < 0.2:
            one += f" {self.chance.choice(('and', 'or'))} {self.chance.choice(found)}"
        return one

    def worker(self, scope: Scope, *, hopeful: bool = False) -> str:
        """Return an expression for a worker."""
        chance = self.chance
        if scope.workers and chance.random() < 0.2:
            return chance.choice(scope.workers)
        v = self.name()
        tests = [chance.choice(WORKER_TESTS)] if chance.random() < 0.4 else []
        if hopeful:
            tests = ["{v}.decodes" if chance.random() < 0.5 else "{v}.prefills"]
        suffix = "".join(f" if {t}" for t in tests).format(v=v)
        form = chance.choice(("pick", "pick", "random", "round_robin"))
        key = f" by {chance.choice(WORKER_KEYS)}".format(v=v) if form == "pick" else ""
        return f"{form}({v}{key} for {v} in workers{suffix})"

    def request(self, scope: Scope) -> str | None:
        """Return an expression for a request, where there may be one."""
        chance = self.chance
        if scope.requests and chance.random() < 0.75:
            return chance.choice(scope.requests)
        lists = [f"{w}.{q}" for w in scope.workers for q in ("waiting", "active")]
        lists += [f"{b}.{q}" for b in scope.batches for q in ("prefilling", "decoding")]
        if scope.stage == "global" and chance.random() < 0.5:
            lists += [f"{self.worker(scope)}.{q}" for q in ("waiting", "active")]
        if not lists:
            return chance.choice(scope.requests) if scope.requests else None
        x = self.name()
        key = chance.choice((f"{x}.arrived", f"-{x}.arrived", f"{x}.computed", f"-{x}.held"))
        return f"pick({x} by {key} for {x} in {chance.choice(lists)})"

    # -- statements --------------------------------------------------------------------------

    def action(self, scope: Scope) -> str:
        """Return an action, silly or not."""
        chance = self.chance
        verbs = ["submit", "preempt", "drop", "store", "fetch", "store", "fetch"]
        verbs += ["delay"] if scope.stage == "local" else ["dispatch", "transfer"] * 2
        if scope.asked:
            verbs.remove("submit")  # whoever is asked where a request goes cannot submit
        verbs += ["reject"] if chance.random() < 0.15 else []
        verb = chance.choice(verbs)
        if verb == "delay":
            return f"delay {chance.choice(('1 ms', '0 s', '50 ms'))}"
        request = self.request(scope)
        if request is None:
            return 'record "none", 1'
        if verb in ("store", "fetch"):
            if not scope.tiers:
                return f"log {request}.id"
            place = "in" if verb == "store" else "from"
            if verb == "fetch" and len(scope.tiers) > 1 and chance.random() < 0.5:
                one, other = chance.sample(scope.tiers, 2)
                return f"fetch {request} from {one} to {other}"
            return f"{verb} {request} {place} {chance.choice(scope.tiers)}"
        if verb in ("dispatch", "transfer"):
            return f"{verb} {request} to {self.worker(scope)}"
        return f"{verb} {request}"

    def statement(self, scope: Scope, depth: int) -> str:
        """Return a statement."""
        chance = self.chance
        what = chance.random()
        if what < 0.5 or depth > 2:
            action = self.action(scope)
            if chance.random() < GUARDED:
                return f"if {self.test(scope)} {{ {action} }}"
            return action
        if what < 0.6:
            one, other = (self.body(scope, depth + 1) for _ in range(2))
            return f"if {self.test(scope)} {{ {one} }} else {{ {other} }}"
        if what < 0.75:
            x = self.name()
            lists = [f"{w}.{q}" for w in scope.workers for q in ("waiting", "active")]
            lists += [f"{b}.{q}" for b in scope.batches for q in ("prefilling", "decoding")]
            if scope.stage == "global" and (not lists or chance.random() < 0.3):
                return f"for {x} in workers {{ {self.body(scope.with_(worker=x), depth + 1)} }}"
            if lists:
                inner = self.body(scope.with_(request=x), depth + 1)
                return f"for {x} in {chance.choice(lists)} {{ {inner} }}"
        if what < 0.85 and scope.stage == "global":
            x = self.name()
            inner = self.body(scope.with_(worker=x), depth + 1)
            return f"let {x} = {self.worker(scope)}; {inner}"
        if what < 0.95 and scope.states:
            return chance.choice(("turns += 1", "turns = 0", "seen = turns", "recent += 1"))
        return f'record "turns", {chance.randint(0, 9)}'

    def body(self, scope: Scope, depth: int = 0) -> str:
        """Return statements."""
        return "; ".join(self.statement(scope, depth) for _ in range(self.chance.choice((1, 1, 2))))

    # -- policies ----------------------------------------------------------------------------

    def clauses(self, base: str, *, swaps: bool) -> list[str]:
        """Return the clauses of a local stage, derived from one of the library."""
        chance = self.chance
        chunked, static = "chunked" in base or "orca" in base, "static" in base or "wind" in base
        ahead = self.later.choice(("synchronous", "synchronous", "asynchronous"))
        requests = chance.choice((1, 3, *[16] * 4))
        tokens = chance.choice((16, 16, 64, 512))
        lines = [
            f"max_requests = {requests}",
            f"max_tokens = {max(tokens, requests if chunked else 1)} tokens",
            f"watermark = {chance.choice((0, 0, 10))} %",
            f"preempt = {'swap' if swaps else 'recompute'}",
            f"overhead = {chance.choice(('0 s', '0 s', '1 ms', '1 ms * requests'))}",
            f"window = {chance.choice(('0 s', '0 s', '0 s', '20 ms'))}",
            f"queue = {chance.choice(('arrival', 'heap'))}",
            f"scheduling = {'synchronous' if static else ahead}",
            f"front_end = {self.later.choice(('0 s', '0 s', '7 ms'))}",
            f"eager = {self.last.choice(('false', 'false', 'tokens > 8', 'prefills > 0'))}",
            "launch = 100 us",
            f"host_time = {self.last.choice(HOST_TIMES)}",
        ]
        if self.last.random() < 0.15:
            few = self.last.choice(("w.running / 1 request", "3", "100 * kv.fill"))
            lines.append(f"budget(w) = {few} * 1 token")
        if self.whole.random() < 0.3 and chunked:
            lines.append("batching = mixed")
        if self.last.random() < 0.15:
            hides = self.last.choice(("norm", "collective, exchange", "gemm"))
            lines.append(f"overlap {{ when = tokens > 3; hides = [{hides}] }}")
        lines += self.some(
            (
                "admit r when kv.fill_with(r) <= 60 % or w.running < 1",
                f"admit r by {chance.choice(REQUEST_KEYS)}",
                f"evict r by {chance.choice(REQUEST_KEYS)}",
                f"resume r by {chance.choice(REQUEST_KEYS)}",
                "resume r when kv.free - r.held > 1 * kv.block or w.running < 1",
            )
        )
        lines += self.some(("evict r when kv.free < kv.block and r.preemptions < 3",), odds=0.15)
        return lines

    def wild(self, tiers: list[str], bases: str, breakpoints: list[str]) -> str:
        """Return a policy of random handlers."""
        chance = self.chance
        swaps = chance.random() < 0.5
        local = self.clauses(bases, swaps=swaps)
        states = ["state turns: number", "state seen: mean", "state recent: count over 100 ms"]
        local += states
        scope = Scope("local", tiers, workers=["w"])
        about = scope.with_(request="r")
        odds = chance.choice((0.1, 0.3, 0.6))
        batched = Scope("local", tiers, workers=["w"], batches=["batch"])
        pooled = bool(tiers) and chance.random() < 0.6
        usual = {"start": "fetch r from ", "admit": "fetch r from ", "finish": "store r in "}
        for event in ("start", "admit", "finish", "preempt", "transferred"):
            before = usual[event] + chance.choice(tiers) + "; " if pooled and event in usual else ""
            if chance.random() < odds:
                body = before + self.body(about)
                local.append(f"on {event}(r, w){self.guard(about)} {{ {body} }}")
            elif before:
                local.append(f"on {event}(r, w) {{ {before.removesuffix('; ')} }}")
        hands = "if not w.decodes { submit r }"
        more = self.body(about) if chance.random() < odds else ""
        order = [hands, more] if chance.random() < 0.5 else [more, hands]
        local.append(f"on token(r, w) {{ {'; '.join(filter(None, order))} }}")
        if chance.random() < odds:
            local.append(f"on iteration(batch, w){self.guard(batched)} {{ {self.body(batched)} }}")
        handled = [name for name in breakpoints if chance.random() < 0.5]
        local += [f"on {name}(batch, layer, w) {{ {self.body(batched)} }}" for name in handled]
        if chance.random() < odds / 2:
            body = self.body(Scope("local", tiers, workers=["w"]))
            local.append(f"on every({chance.choice((0.03, 0.2, 1))} s) {{ {body} }}")
        shared = [*states, *self.handlers(tiers, odds, breakpoints)]
        lines = "\n    ".join(local), "\n    ".join(shared)
        return (
            f"policy odd from {bases} {{\n  local {{\n    {lines[0]}\n  }}\n"
            f"  global {{\n    {lines[1]}\n  }}\n}}"
        )

    def guard(self, scope: Scope) -> str:
        """Return a condition of a handler, or none."""
        return f" when {self.test(scope)}" if self.chance.random() < 0.5 else ""

    def handlers(self, tiers: list[str], odds: float, breakpoints: list[str]) -> list[str]:
        """Return the handlers of a global stage."""
        chance = self.chance
        none = Scope("global", tiers)
        about = none.with_(request="r")
        both = about.with_(worker="w")
        found = []
        asking = replace(about, asked=True)
        for event in ("arrive", "submit"):
            before = self.body(asking) + "; " if chance.random() < odds / 2 else ""
            after = "; " + self.body(asking) if chance.random() < odds / 2 else ""
            hopeful = chance.random() < 0.8
            asked = {"arrive": "prefills", "submit": "decodes"}[event]
            to = self.worker(about, hopeful=True) if not hopeful else ""
            key = chance.choice(WORKER_KEYS).format(v="v")
            to = to or f"pick(v by {key} for v in workers if v.{asked})"
            found.append(f"on {event}(r) {{ {before}dispatch r to {to}{after} }}")
        events = ("start", "admit", "token", "finish", "preempt", "transferred")
        found += [
            f"on {event}(r, w){self.guard(both)} {{ {self.body(both)} }}"
            for event in events
            if chance.random() < odds / 2
        ]
        if chance.random() < odds:
            found.append(f"on evict(r) {{ {self.body(about)} }}")
        if chance.random() < odds / 2:
            inner = Scope("global", tiers, workers=["w"], batches=["batch"])
            found.append(f"on iteration(batch, w){self.guard(inner)} {{ {self.body(inner)} }}")
        inner = Scope("global", tiers, workers=["w"], batches=["batch"])
        handled = [name for name in breakpoints if chance.random() < 0.5]
        found += [f"on {name}(batch, layer, w) {{ {self.body(inner)} }}" for name in handled]
        if chance.random() < odds / 2:
            every = chance.choice((0.03, 0.2, 1))
            found.append(f"on every({every} s) {{ {self.body(none)} }}")
        return found
