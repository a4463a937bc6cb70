"""Random systems of every kind under watch: whatever a policy does, nothing is lost or made up.

A system is written by a seeded generator: workers of several makes, in nodes or not, over links of
all sorts, with tiers, swapping, conversations, and a policy of the library or one that was thrown
together from the grammar. It is refused with a diagnostic, ends with E0901 or E0903, or keeps all
that tests/invariants.py knows.
"""

import math
import os
import random
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

import tsdl
from tests.invariants import TooLongError, same, watched
from tsdl.errors import TsdlError
from tsdl.runtime.result import Result

CASES = 150
LONG_CASES = 6000
GROUP = 25
MOST_EVENTS = (
    12_000  # of a run without `until`; beyond it, a wild policy is taken to go on for ever
)

REQUEST_KEYS = (
    "r.id", "-r.id", "r.prompt", "-r.arrived", "r.generated", "r.context - r.computed", "r.held",
    "r.preemptions", "r.priority", "r.session, -r.turn", "r.history", "mod(r.id, 3), r.output",
    "r.cached", "-r.computed", "abs(r.target)",
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
)  # fmt: skip
BATCH_TESTS = ("{b}.prefills > 0", "{b}.decodes > 1", "{b}.tokens > 8", "{b}.longest_context > 9")
GUARDED = 0.75  # how often an action stands behind a condition
LIBRARY = (
    "continuous", "chunked", "orca", "static", "windowed_batching(wait = 30 ms, size = 3)",
    "shortest_first", "shortest_job_first", "priority_first", "reserved(70 %)", "disaggregated",
    "disaggregated_chunked", "pooled",
)  # fmt: skip
ROUTERS = (
    "round_robin", "random", "least_loaded", "least_outstanding_tokens", "power_of_two",
    "session_affinity", "handing_over",
)  # fmt: skip


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


class Writer:
    """Writes a random program; the same seed writes the same."""

    def __init__(self, seed: int) -> None:
        """Begin with nothing written."""
        self.chance = random.Random(seed)
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

    def clauses(self, *, chunked: bool, swaps: bool) -> list[str]:
        """Return the clauses of a local stage."""
        chance = self.chance
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
        ]
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
        chunked = "chunked" in bases or "orca" in bases
        swaps = chance.random() < 0.5
        local = self.clauses(chunked=chunked, swaps=swaps)
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

    # -- clusters ----------------------------------------------------------------------------

    def link(self, name: str, *, timers: bool) -> str:
        """Return a link."""
        chance = self.chance
        slow = () if timers else ("1 kB/s",)
        rate = chance.choice((*slow, "10 MB/s", "100 MB/s", "1 GB/s", "1 GB/s", "1000 PB/s"))
        latency = chance.choice(("0 s", "0 s", "1 us", "10 ms", "5 s"))
        return (
            f"link {name} {{ bandwidth = {rate}; latency = {latency}; "
            f"duplex = {chance.choice(('full', 'half'))}; "
            f"sharing = {chance.choice(('fair', 'fair', 'fifo'))} }}"
        )

    def group(self, name: str, runs: str, swaps: list[str]) -> str:
        """Return a block of workers."""
        chance = self.chance
        count = chance.choice((1, 1, 2, 3))
        cost = chance.choice(
            (
                "constant_cost(10 ms)",
                "linear_cost(5 ms, 1 ms)",
                "linear_cost(0 s, 5 ms)",
                "",
                "zero",
            )
        )
        fields = [f"hardware = {chance.choice(('A100_80G', 'H100_SXM'))}", f"runs = {runs}"]
        fields += [f"kv = {chance.choice(('tiny', 'tiny', 'small'))}"]
        fields += [f"cost = {cost}"] if cost else []
        fields += [f"link = {chance.choice(('one', 'other'))}"]
        fields += [f"handoff = {chance.choice(('overlapped', 'overlapped', 'sequential'))}"]
        if chance.random() < 0.3:
            fields.append(f"buffer = {chance.choice((0, 1, 30))} MiB")
        if swaps and chance.random() < 0.5:
            fields.append(f"swap = {chance.choice(swaps)}")
        return f"worker {name} * {count} {{ {'; '.join(fields)} }}"

    def tier(self, name: str) -> str:
        """Return a tier."""
        chance = self.chance
        capacity = chance.choice((0, 10, 30, 30, 100, 1000))
        fields = [f"capacity = {capacity} MiB"]
        fields += [f"latency = {chance.choice(('800 ns/block', '0 s/block', '20 ms/block'))}"]
        fields += [f"block = {chance.choice((1, 16))} tokens"]
        if chance.random() < 0.6:
            fields.append(f"link = {chance.choice(('one', 'other'))}")
        if chance.random() < 0.7:
            keys = (
                "last_used",
                "uses",
                "size",
                "-stored",
                "tokens, -last_used",
                "stored / (1 + uses)",
            )
            fields.append(f"evict by {chance.choice(keys)}")
        return f"tier {name} {{ {'; '.join(fields)} }}"

    def cluster(self) -> tuple[str, list[str], bool]:
        """Return a cluster, the names of its tiers, and whether some workers only prefill."""
        chance = self.chance
        apart = chance.random() < 0.5
        runs = ["prefill", "decode"] if apart else ["both"]
        runs += [chance.choice(("both", "both", "decode"))] if chance.random() < 0.3 else []
        names = ["one", "two", "three"][: len(runs)]
        pooled = chance.random() < 0.6
        tiers = ["pool"] if pooled else []
        tiers += ["near"] if pooled and chance.random() < 0.3 else []
        swaps = [*tiers, *names[:1], *names[-1:]]
        groups = [self.group(n, r, swaps) for n, r in zip(names, runs, strict=True)]
        kept = [self.tier(name) for name in tiers]
        shape = chance.choice(("flat", "flat", "apart", "nodes"))
        lines = ["network = wide"] if shape != "flat" else []
        if shape == "nodes":
            nodes = chance.choice((1, 2, 2))
            inside = groups if chance.random() < 0.7 else groups[:-1] or groups
            outside = [g for g in groups if g not in inside]
            if pooled and chance.random() < 0.3:
                inside = [*inside, self.tier("pool")]
            ports = "ports = 2; " if chance.random() < 0.5 else ""
            body = "\n    ".join(inside)
            lines += [f"node rack * {nodes} {{ {ports}\n    {body}\n  }}", *outside]
        else:
            lines += groups
        lines += kept
        return "cluster some {\n  " + "\n  ".join(lines) + "\n}", tiers, apart

    def workload(self, context: int) -> str:
        """Return a workload."""
        chance = self.chance
        most = chance.choice((4, context // 4, context // 2))
        rate = chance.choice((5, 100, 1000))
        count = chance.randint(4, 24)
        times = chance.choice(
            (
                "burst()",
                "burst(size = 4, every = 50 ms)",
                f"poisson({rate} req/s)",
                f"uniform({rate} req/s)",
            )
        )
        fields = [f"arrivals = {times}"]
        fields += [f"prompt = uniform(1..{most} tokens)"]
        answers = ("constant(1 tokens)", f"uniform(1..{most} tokens)", "constant(7 tokens)")
        fields += [f"output = {chance.choice(answers)}"]
        if chance.random() < 0.5:
            fields.append(f"sessions = {max(count // 3, 1)}")
            fields.append("turns = uniform(1..5)")
            fields.append(
                f"think = {chance.choice(('constant(0 s)', 'exponential(mean = 100 ms)'))}"
            )
        else:
            fields.append(f"requests = {count}")
        if chance.random() < 0.5:
            fields.append("priority = uniform(0..3)")
        total = context if chance.random() < 0.8 else 2 * context
        fields.append(f"total = {total} tokens")
        return "workload asked { " + "; ".join(fields) + " }"

    def system(self) -> str:
        """Return a whole program."""
        chance = self.chance
        context = chance.choice((40, 80, 160))
        block = chance.choice((1, 16))
        blocks = [math.ceil(context * times / block) + 2 for times in (1.15, 2.5)]
        wild = chance.random() < 0.75
        breakpoints = self.some(("half", "last", "each"), odds=0.25)
        places = {
            "half": "after block.down when layer == 16",
            "last": "after lm_head",
            "each": "after block.attn when mod(layer, 11) == 0",
        }
        cluster, tiers, apart = self.cluster()
        swap = chance.choice((0, 10, 1000))
        if wild:
            bases = chance.choice(("continuous", "chunked", "static", "orca", "continuous"))
            policy = self.wild(tiers, bases, breakpoints)
            more = "policy = odd"
        else:
            own = [p for p in LIBRARY if ("disagg" in p or not apart) and (tiers or p != "pooled")]
            base = "pooled" if "pooled" in own and chance.random() < 0.3 else chance.choice(own)
            chunked = "chunked" in base or "orca" in base
            lines = self.clauses(chunked=chunked, swaps=chance.random() < 0.5)
            policy = f"policy odd from {base} {{ local {{ {'; '.join(lines)} }} }}"
            more = "policy = odd"
            if not apart and chance.random() < 0.5:
                more += f"; router = {chance.choice(ROUTERS)}"
        timers = "every(" in policy
        if chance.random() < (0.4 if wild else 0.15):
            more += f"; until = {chance.choice((0.3, 2, 30))} s"
        points = "\n".join(f"  breakpoint {name} {places[name]}" for name in breakpoints)
        links = [self.link(name, timers=timers) for name in ("one", "other", "wide")]
        kinds = ("paged", "paged", "token_wise", "contiguous")
        return "\n".join(
            (
                'edition "2026"',
                f"model short from llama2_7b {{\n  context = {context} tokens\n{points}\n}}",
                *(
                    f"kvcache {name} from {chance.choice(kinds)} {{ block = {block} tokens; "
                    f"blocks = {many}; swap_space = {swap} MiB }}"
                    for name, many in zip(("tiny", "small"), blocks, strict=True)
                ),
                "cost zero { iteration = 0 s }",
                *links,
                cluster,
                policy,
                self.workload(context),
                f"scenario it {{ model = short; cluster = some; workload = asked; {more} }}",
            )
        )


def a_system(seed: int) -> str:
    """Return the text of a random system."""
    return Writer(seed).system()


def outcome_of(seed: int) -> tuple[str, Result | None]:
    """Run a random system under watch; return how it ended, and its result if it did."""
    text = a_system(seed)
    try:
        plan = tsdl.compile(text)
    except TsdlError as error:
        return error.diagnostics[0].code, None
    wild = "state turns" in text
    try:
        result = watched(plan, most_events=MOST_EVENTS)
    except TsdlError as error:
        code = error.diagnostics[0].code
        assert wild, f"a policy of the library ends with {code}"
        assert code in ("E0901", "E0903")
        return code, None
    except TooLongError:
        assert wild, "a policy of the library goes on for ever"
        return "for ever", None
    if seed % 5 == 0:
        assert same(result, plan.run(seed=0)), "watched, it runs otherwise"
    return ("stuck" if result.summary["requests"]["stuck"] else "done"), result


def survives(seeds: range) -> Counter[str]:
    ends: Counter[str] = Counter()
    for seed in seeds:
        try:
            ends[outcome_of(seed)[0]] += 1
        except Exception as error:
            error.add_note(f"seed {seed}:\n{a_system(seed)}")
            raise
    return ends


@pytest.mark.parametrize("first", range(0, CASES, GROUP))
def test_a_random_system_keeps_every_invariant(first: int) -> None:
    survives(range(first, first + GROUP))


@pytest.mark.long
@pytest.mark.parametrize("first", range(CASES, CASES + LONG_CASES, 100))
def test_many_more_random_systems_keep_every_invariant(first: int) -> None:
    survives(range(first, first + 100))


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(700160, id="swapped back on a worker that only prefills, it decodes nothing"),
        pytest.param(702715, id="sent away by the eviction for its own store, it waits for it"),
        pytest.param(703276, id="swapped back it rests at once, and whoever waits is admitted"),
    ],
)
def test_a_system_that_broke_an_invariant_once_does_not_again(seed: int) -> None:
    outcome_of(seed)


def test_the_random_systems_do_everything() -> None:
    """They hand over, fetch, evict, preempt, reject and get stuck; else they would prove little."""
    seen: Counter[str] = Counter()
    for seed in range(CASES, CASES + 80):
        end, result = outcome_of(seed)
        seen[end] += 1
        if result is None:
            continue
        summary = result.summary
        seen["preempted"] += summary["preemptions"] > 0
        seen["rejected"] += summary["requests"]["rejected"] > 0
        seen["handed over"] += summary["transfers"]["count"] > 0
        seen["fetched"] += any(t["hits"] for t in summary["tiers"])
        seen["evicted"] += any(t["evictions"] for t in summary["tiers"])
        seen["refused"] += any(t["refused"] for t in summary["tiers"])
        seen["in turns"] += bool((result.requests["turn"] > 0).any())
        seen["full"] += any(w["kv_peak"] > 0.9 * w["kv_capacity"] for w in summary["workers"])
    wanted = (
        "done", "stuck", "E0903", "preempted", "rejected", "handed over", "fetched", "evicted",
        "refused", "in turns", "full",
    )  # fmt: skip
    assert all(seen[what] > 0 for what in wanted), seen
    assert seen["done"] > 40, seen


# -- rounds ------------------------------------------------------------------------------------

ALONE = """edition "2026"
model short from llama2_7b {{ context = 100 tokens }}
cost zero {{ iteration = 0 s }}
cluster alone {{ worker gpu {{ hardware = A100_80G; cost = {cost} }} }}
policy odd from {base} {{ local {{ max_tokens = 16 tokens; max_requests = 16; {local} }} }}
workload one {{
  requests = 1; arrivals = burst(); prompt = constant(40 tokens); output = constant(5 tokens)
}}
scenario it {{ model = short; cluster = alone; policy = odd; workload = one }}
"""


@pytest.mark.parametrize("verb", ["drop", "preempt"])
def test_what_goes_round_while_time_stands_still_is_told(verb: str) -> None:
    """A chunk of 16 tokens after another is computed in no time, and given up."""
    local = f"on iteration(batch, w) {{ for r in w.active {{ {verb} r }} }}"
    plan = tsdl.compile(ALONE.format(cost="zero", base="chunked", local=local))
    with pytest.raises(TsdlError) as caught:
        watched(plan, most_events=MOST_EVENTS)
    assert [d.code for d in caught.value.diagnostics] == ["E0903"]


def test_timers_go_on_while_a_worker_waits_for_others() -> None:
    """20,000 rounds in which nothing happens but that a window is open."""
    local = """window = 200 ms
    on every(10 us) { if now > 205 ms and now < 206 ms { record "late", now / 1 s } }"""
    plan = tsdl.compile(ALONE.format(cost="constant_cost(10 ms)", base="static", local=local))
    result = watched(plan)
    assert result.summary["end"] == pytest.approx(0.25)
    assert 98 <= len(result.records["time"]) <= 100


# -- a large one -------------------------------------------------------------------------------

LARGE = """edition "2026"
model short from llama2_7b {{ context = 120 tokens }}
kvcache tiny from paged {{ blocks = 24; swap_space = 60 MiB }}
link slow {{ bandwidth = 5 GB/s; latency = 10 us; sharing = fifo; duplex = half }}
link wide {{ bandwidth = 40 GB/s; latency = 20 us }}
cluster large {{
  network = wide
  node rack * {racks} {{
    worker prefill * 8 {{
      hardware = A100_80G; cost = linear_cost(5 ms, 100 us); kv = tiny; runs = prefill; link = slow
    }}
    worker decode  * 8 {{
      hardware = A100_80G; cost = linear_cost(5 ms, 100 us); kv = tiny; runs = decode; link = slow
      handoff = sequential
    }}
    worker mixed * 4 {{
      hardware = A100_80G; cost = linear_cost(5 ms, 100 us); kv = tiny; link = slow
      buffer = 100 MiB; swap = near
    }}
    tier near {{
      capacity = 500 MiB; latency = 800 ns/block; link = slow; evict by uses, last_used
    }}
  }}
  tier pool {{ capacity = 4 GiB; latency = 2 us/block; link = wide }}
}}
policy fuzzed from continuous {{
  local {{
    max_requests = 6
    preempt = swap
    state seen: number
    on start(r, w) when r.turn > 0 {{ fetch r from pool }}
    on token(r, w) {{
      seen += 1
      if not w.decodes {{ submit r }}
      if r.generated == 5 and mod(r.id, 7) == 0 {{ store r in pool; drop r }}
      if r.generated == 7 and mod(r.id, 11) == 0 {{ preempt r }}
      if mod(seen, 97) == 0 {{ delay 3 ms }}
    }}
    on finish(r, w) {{ store r in pool }}
    on preempt(r, w) when mod(r.id, 13) == 0 and r.preemptions < 3 {{ submit r }}
  }}
  global {{
    on arrive(r) {{
      dispatch r to pick(w by w.outstanding_tokens for w in workers if w.prefills and w.queued < 30)
    }}
    on submit(r) {{ dispatch r to pick(w by w.kv.fill for w in workers if w.decodes) }}
    on admit(r, w) when mod(r.id, 17) == 0 and r.preemptions == 0 {{
      transfer r to random(v for v in workers if v.decodes)
    }}
    on evict(r) when mod(r.id, 19) == 0 {{ submit r }}
    on every(100 ms) {{
      let w = random(v for v in workers)
      for r in w.waiting {{
        if r.preemptions < 2 {{ dispatch r to random(v for v in workers if v.prefills) }}
      }}
      if now > 1 s and now < 1.2 s {{ reject pick(r by r.id for r in w.active) }}
    }}
  }}
}}
workload many {{
  sessions = {sessions}; turns = uniform(1..3); think = exponential(mean = 100 ms)
  arrivals = poisson({rate} req/s); prompt = uniform(1..30 tokens); output = uniform(1..20 tokens)
  total = 120 tokens
}}
scenario it {{ model = short; cluster = large; policy = fuzzed; workload = many }}
"""


def large(racks: int, sessions: int, every: int) -> None:
    plan = tsdl.compile(LARGE.format(racks=racks, sessions=sessions, rate=racks * 500))
    result = watched(plan, every=every)
    summary = result.summary
    assert summary["requests"]["unfinished"] == 0
    assert summary["requests"]["rejected"] < 0.01 * summary["requests"]["arrived"]
    assert summary["preemptions"] > 0
    assert summary["transfers"]["count"] > sessions / 4
    assert any(t["hits"] for t in summary["tiers"])


def test_twenty_workers_and_a_fuzzed_policy() -> None:
    large(racks=1, sessions=250, every=20)


@pytest.mark.long
def test_two_hundred_workers_and_ten_thousand_requests() -> None:
    large(racks=10, sessions=5000, every=5000)


# -- the same bytes ----------------------------------------------------------------------------


def test_the_same_bytes_whatever_python_hashes(tmp_path: Path) -> None:
    file = tmp_path / "large.tsim"
    file.write_text(LARGE.format(racks=1, sessions=60, rate=500), encoding="utf-8")
    found = set()
    for seed in ("0", "1", "4242"):
        out = tmp_path / seed
        subprocess.run(
            [sys.executable, "-m", "tsdl", "run", str(file), "--out", str(out)],
            check=False,
            capture_output=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
        )
        found.add((out / "requests.csv").read_bytes() + (out / "summary.json").read_bytes())
    assert len(found) == 1
