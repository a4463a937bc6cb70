"""Tame systems, written by a seed: what people simulate, and where a fast engine is clever.

Policies of the library with varied clauses, memories from tiny to ample, costs over every feature
of the batch, arrivals that fall on boundaries, long decodes. Each compiles, and ends by itself. The
same seed writes the same text: tests name seeds.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tests.measured_costs import with_tables
from tests.own_attributes import ATTRIBUTES, DECLARED
from tests.own_states import with_states
from tests.parallel_groups import in_parallel
from tests.python_costs import with_python
from tests.scaled_groups import scaled
from tests.sent_in_turn import sent_in_turn
from tests.served_models import with_models
from tests.swapped_beside import beside_swapped
from tests.tame_policies import TamePolicyWriter

MOST_EVENTS = 400_000  # of a run: none has that many
CHANGES = 0.25  # of the systems without an interval
OTHERS = 0.2  # of the systems have a model of these,
SPARSE = 0.2  # and of them one with sparse attention
OTHER_MODELS = ("qwen3_30b_a3b", "gpt_oss_20b", "mistral_7b")
SCENARIO = "scenario it { model = short; cluster = some; workload = asked"

COSTS = {
    "constant": ("constant_cost(10 ms)", "constant_cost(10 ms)", "constant_cost(7.8125 ms)"),
    "linear": ("linear_cost(5 ms, 1 ms)", "linear_cost(0 s, 5 ms)", "linear_cost(4 ms, 10 us)"),
    "operators": ("",),
    "zero": ("zero",),
    "featured": ("featured",),
}
TERMS = (
    "1 us * contexts", "10 us * context_blocks", "3 us * longest_context", "50 us * decodes",
    "100 ns * prefill_squares", "20 ns * prefill_products", "1 us * prefill_contexts",
    "40 us * last_tokens", "2 us * peer_tokens", "1 ms * prefills", "30 us * requests",
    "(1 ms * contexts / decodes / 1000 if decodes > 0 else 1 ms)",
    "(1 ms if prefills > 0 else 0 s)", "(2 ms if decodes > 4 else 1 ms)",
    "max(1 us * contexts, 2 us * decodes * longest_context)",
    "10 us * round_up_to(tokens, [1, 2, 4, 8, 16, 32])", "20 us * sqrt(contexts)",
    "5 us * round_up(tokens, 16)",
)  # fmt: skip
FOOTPRINTS = ("paged", "paged", "paged", "paged", "token_wise", "contiguous", "windowed")
LINKS = {
    "fair": "bandwidth = 1 GB/s; latency = 10 us",
    "fifo": "bandwidth = 1 GB/s; latency = 0 s; sharing = fifo",
    "half duplex": "bandwidth = 4 GB/s; latency = 1 ms; duplex = half; most = 2 devices",
    "slow": "bandwidth = 20 MB/s; latency = 10 ms",
    "instant": "bandwidth = 1000 PB/s; latency = 0 s",
    "in pairs": "bandwidth = 1 GB/s; latency = 10 us; pair = 300 MB/s; transfer = 75 %",
}


SOME = (1, 1, 2, 3)  # workers of a group


@dataclass(frozen=True)
class Lengths:
    """How long requests are: prompts and answers as written, and what they come to."""

    prompt: str
    answer: str
    longest: int
    context: int
    long: bool


class TameWriter(TamePolicyWriter):
    """Writes a program; `features` then says what is in it."""

    # -- what it runs on ---------------------------------------------------------------------

    def memory(self, name: str, lengths: Lengths, watermark: float) -> str:
        """Return a KV cache, from one that holds hardly a request to one that holds all."""
        chance = self.chance
        block = chance.choice((1, 1, 8, 16, 32))
        kind = self.noted(chance.choice(FOOTPRINTS))
        self.features.add(f"blocks of {block}")
        size = self.noted(
            chance.choice(("tiny", "tiny", "tiny", "tiny", "small", "small", "ample", "all"))
        )
        times = {"tiny": (1.0, 1.1, 1.3), "small": (1.8, 3, 5), "ample": (20, 70)}.get(size, ())
        fields = [f"block = {block} tokens"]
        if times:
            one = lengths.context if kind == "contiguous" else lengths.longest
            blocks = math.ceil(one * chance.choice(times) / (1 - watermark) / block) + 2
            fields.append(f"blocks = {blocks}")
        if kind == "windowed":
            kept = chance.choice((24, 64, 100))
            near = f"round_up(min(r.context, {kept} tokens), block) * kv_per_token"
            if self.last.random() < 0.6:  # beside layers that keep all
                near = f"round_up(r.context, block) * kv_per_token / 2 + {near} / 2"
                self.features.add("hybrid")
            fields.append(f"footprint(r) = {near}")
        if self.maybe(0.5):
            fields.append(f"swap_space = {chance.choice((0, 10, 1000))} MiB")
        if self.maybe(0.1):
            fields.append("swap_out(r) = 10 us + r.held / 64 GiB/s; swap_in(r) = 5 us")
        if kind == "paged" and self.later.random() < 0.3:
            fields.append("share = prefix")
            self.features.add("shared blocks")
        base = kind if kind != "windowed" else "paged"
        return f"kvcache {name} from {base} {{ {'; '.join(fields)} }}"

    def cost(self) -> str:
        """Return the cost of an iteration, "" for the model's operators."""
        kinds = ("constant", "constant", "constant", "linear", "operators", "zero", "featured")
        kind = self.noted(self.chance.choice((*kinds, "featured")))
        return self.chance.choice(COSTS[kind])

    def featured(self) -> str:
        """Return a cost over some features of the batch."""
        least = self.chance.choice(("0 s", "2 ms", "2 ms", "5 ms"))
        terms = self.chance.sample(TERMS, self.chance.choice((1, 2, 3)))
        return f"cost featured {{ iteration = {' + '.join((least, *terms))} }}"

    def group(self, name: str, runs: str, swaps: list[str], counts: Sequence[int]) -> str:
        """Return a block of workers."""
        chance = self.chance
        count = chance.choice(counts)
        fields = [f"hardware = {chance.choice(('A100_80G', 'A100_80G', 'H100_SXM'))}"]
        fields += [f"runs = {runs}"] if runs != "both" else []
        fields.append(f"kv = {chance.choice(('one_kv', 'one_kv', 'other_kv'))}")
        cost = self.cost()
        fields += [f"cost = {cost}"] if cost else []
        fields.append(f"link = {chance.choice(('one', 'other'))}")
        if runs == "decode" and self.maybe(0.3):
            fields.append(f"handoff = {self.noted('sequential')}")
        if runs == "decode" and self.maybe(0.3):
            self.features.add("buffer")
            fields.append(f"buffer = {chance.choice((0, 20, 100))} MiB")
        if swaps and self.maybe(0.2):
            self.features.add("swaps elsewhere")
            fields.append(f"swap = {chance.choice(swaps)}")
        if self.maybe(0.05):
            self.features.add("several devices")
            fields.append("parallel = tp(2)")
        return f"worker {name} * {count} {{ {'; '.join(fields)} }}"

    def tier(self, name: str) -> str:
        """Return a tier."""
        chance = self.chance
        self.features.add("tier")
        fields = [f"capacity = {chance.choice((0, 30, 100, 100, 1000))} MiB"]
        if self.maybe(0.6):
            fields.append(f"latency = {chance.choice(('800 ns/block', '1 ms/block'))}")
        if self.maybe(0.5):
            fields.append("link = one")
        if self.maybe(0.5):
            fields.append(f"evict by {chance.choice(('last_used', 'uses', '-size', 'stored'))}")
        return f"tier {name} {{ {'; '.join(fields)} }}"

    def cluster(self, shape: str, *, pool: bool) -> str:
        """Return a cluster of a shape."""
        swaps = ["pool"] if pool else []
        match shape:
            case "alone":
                lines = [self.group("gpu", "both", swaps, range(1, 2))]
            case "alike":
                lines = [self.group("gpu", "both", [*swaps, "gpu"], range(2, 4))]
            case "unlike":
                pairs = (("gpu", "more"), ("more", "gpu"))
                lines = [self.group(n, "both", [*swaps, other], SOME) for n, other in pairs]
            case _:
                both = (("first", "prefill", "then"), ("then", "decode", "first"))
                lines = [self.group(n, runs, [*swaps, other], SOME) for n, runs, other in both]
                if self.maybe(0.3):
                    also = self.noted("both beside", "both")
                    lines.append(self.group("also", also, [*swaps, "then"], SOME))
        if shape != "alone" and self.maybe(0.25):
            self.features.add("network")
            if self.maybe(0.5):
                self.features.add("nodes")
                lines = ["node rack * 2 {", *(f"  {line}" for line in lines), "}"]
            lines.insert(0, "network = wide")
        lines += [self.tier("pool"), self.tier("far")] if pool else []
        return "\n".join(("cluster some {", *(f"  {line}" for line in lines), "}"))

    # -- what arrives ------------------------------------------------------------------------

    def arrivals(self, *, count: int) -> str:
        """Return when requests arrive."""
        size = self.chance.choice((2, 5, max(count // 2, 1)))
        every = self.chance.choice((10, 50, 200))
        rate = self.chance.choice((50, 100, 300, 1000))
        times = {
            "all at once": "burst()",
            "bursts": f"burst(size = {size}, every = {every} ms)",
            "on boundaries": "uniform(100 req/s)",
            "on exact boundaries": self.chance.choice(("uniform(128 req/s)", "uniform(64 req/s)")),
            "evenly": f"uniform({self.chance.choice((20, 200, 1000))} req/s)",
            "poisson": f"poisson({rate} req/s)",
            "in clusters": f"gamma({rate} req/s, cv = 3)",
            "on and off": f"on_off(rate = {rate} req/s, on = 100 ms, off = 300 ms)",
            "piecewise": f"piecewise([{rate}, 0, {3 * rate}] req/s, every = 70 ms)",
        }
        name = self.chance.choice((*times, "poisson", "on boundaries"))
        return self.noted(name, times[name])

    def lengths(self) -> Lengths:
        """Return prompts, answers, and a context for both."""
        chance = self.chance
        most = chance.choice((4, 12, 40, 40, 150))
        prompt, longest = chance.choice(
            (
                (f"uniform(1..{most} tokens)", most),
                (f"uniform(1..{most} tokens)", most),
                (f"constant({most} tokens)", most),
                (f"choice(2 tokens: 2, {4 * most} tokens: 1)", 4 * most),
                (f"lognormal(mean = {most} tokens, sigma = 1)", 4 * most),
            )
        )
        kind = chance.choice(("one token", "few", "some", "some", "some", "long", "long"))
        answers = {
            "one token": (("constant(1 tokens)", 1),),
            "few": (
                ("constant(7 tokens)", 7),
                ("choice(1 tokens: 1, uniform(2..20 tokens): 2)", 20),
            ),
            "some": (("uniform(1..60 tokens)", 60), ("uniform(20..50 tokens)", 50)),
            "long": (
                ("uniform(100..400 tokens)", 400),
                ("constant(300 tokens)", 300),
                ("choice(1 tokens: 1, 250 tokens: 1)", 250),
                ("exponential(mean = 150 tokens)", 500),
            ),
        }
        answer, more = chance.choice(answers[kind])
        self.features.add(f"answers: {kind}")
        longest += more
        context = math.ceil(longest * chance.choice((1, 1, 1.5, 4)))
        if self.maybe(0.1) and "constant" not in prompt + answer:
            self.features.add("beyond the context")
            context = max(math.ceil(longest * 0.7), 4)
        return Lengths(prompt, answer, longest, context, long=kind == "long")

    def workload(self, lengths: Lengths, *, talks: bool) -> str:
        """Return a workload, of conversations for sure where it `talks`."""
        chance = self.chance
        large = self.maybe(0.02) and not lengths.long
        count = (
            300
            if large
            else chance.randint(*((3, 16) if lengths.long else chance.choice(((1, 16), (10, 50)))))
        )
        self.features |= {"large"} if large else set()
        fields = [f"arrivals = {self.arrivals(count=count)}", f"prompt = {lengths.prompt}"]
        fields.append(f"output = {lengths.answer}")
        if talks or self.maybe(0.2):
            turns = chance.choice(("uniform(1..5)", "constant(3)"))
            thinks = (
                "constant(0 s)",
                "constant(0 s)",
                "constant(10 ms)",
                "exponential(mean = 100 ms)",
            )
            think = chance.choice(thinks)
            self.features |= {"sessions"} | ({"no time to think"} if "0 s" in think else set())
            fields.append(f"sessions = {max(count // 3, 1)}; turns = {turns}; think = {think}")
        else:
            fields.append(f"requests = {count}")
        if self.maybe(0.3):
            fields.append("priority = uniform(0..3)")
            self.features.add("priority")
        if self.later.random() < 0.4:
            fields.append(ATTRIBUTES)
            self.features.add("attributes")
        if self.maybe(0.15):
            fields.append(f"warmup = {chance.choice((10, 55, 300))} ms")
            self.features.add("warmup")
        if self.later.random() < 0.4:
            self.features.add("prefixes")
            long = self.later.choice((8, 30, 100))
            fields.append(f"prefixes = {self.later.choice((1, 2, 5))}")
            fields.append(f"prefix = uniform(1..{long} tokens)")
        if not {"sessions"} & self.features and self.later.random() < 0.25:
            self.features.add("concurrency")
            fields.append(f"concurrency = {self.later.choice((1, 2, 4, 8))}")
            if self.later.random() < 0.3:
                fields.append("think = exponential(mean = 50 ms)")
        fields.append(f"total = {lengths.longest} tokens")
        return "workload asked {\n  " + "\n  ".join(fields) + "\n}"

    # -- all of it ---------------------------------------------------------------------------

    def system(self) -> str:
        """Return a whole program."""
        chance = self.chance
        lengths = self.lengths()
        shape = self.noted(chance.choice(("alone", "alone", "alike", "alike", "unlike", "apart")))
        apart = shape == "apart"
        pool = self.maybe(0.2)
        layered = apart and self.maybe(0.25)
        point = f"; breakpoint {self.noted('kv_ready')} after block.attn" if layered else ""
        cluster = self.cluster(shape, pool=pool)
        policies = [self.policy("mine", apart=apart, pool=pool, layered=layered)]
        if shape == "unlike" and self.maybe(0.5):
            self.features.add("policies of their own")
            policies.append(self.policy("theirs", apart=False, pool=pool))
            cluster = re.sub(r"(worker more \* \d \{)", r"\1 policy = theirs;", cluster)
        kept = re.findall(r"watermark = (\d+) %", "\n".join(policies))
        watermark = max((int(found) for found in kept), default=1) / 100
        more = ["policy = mine"]
        if self.maybe(0.15):
            self.features.add("until")
            more.append(f"until = {chance.choice(('50 ms', '0.3 s', '2 s'))}")
        if self.maybe(0.3):
            self.features.add("sample")
            more.append(f"sample = {chance.choice(('3 ms', '10 ms', '10 ms', '0.1 s', '1000 s'))}")
        names = [self.noted(chance.choice(list(LINKS))) for _ in range(3)]
        if not layered:  # neither ranks nor stages stop at breakpoints
            ahead = "asynchronous" in self.features
            cluster = in_parallel(cluster, self.later, ahead=ahead)
            self.features |= {word for word in ("ranks", "stages") if word in cluster}
            cluster, policies[0] = scaled(cluster, policies[0], self.newest)
            self.features |= {"scaled"} if "start = " in cluster else set()
            self.features |= {"failures"} if "failures = " in cluster else set()
        text = "\n".join(
            (
                'edition "2026"',
                DECLARED,
                f"model short from llama2_7b {{ context = {lengths.context} tokens{point} }}",
                self.memory("one_kv", lengths, watermark),
                self.memory("other_kv", lengths, watermark),
                "cost zero { iteration = 0 s }",
                self.featured(),
                *(
                    f"link {name} {{ {LINKS[kind]} }}"
                    for name, kind in zip(("one", "other", "wide"), names, strict=True)
                ),
                cluster,
                *policies,
                self.workload(lengths, talks="pooled" in self.features),
                SCENARIO,
                *(f"  {line}" for line in more),
                "}",
                "",
            )
        )
        if "preempt = swap" in text and "shared blocks" in self.features:
            # Victims are not swapped out of blocks that others hold as well.
            self.features.discard("shared blocks")
            text = text.replace("; share = prefix", "")
        return text


def a_tame_system(seed: int) -> str:
    """Return the text of a tame system."""
    text = sent_in_turn(beside_swapped(TameWriter(seed).system(), seed), seed)
    text = with_python(with_tables(text, seed), seed)
    if other := other_model(seed):
        few = (
            "layers = 4; dense_layers = 1; " if other == "deepseek_v3_2" else ""
        )  # so that it fits
        text = text.replace("from llama2_7b {", f"from {other} {{ {few}").replace("tp(2)", "ep(2)")
    text = with_models(with_states(text, seed), seed)
    if Random(f"texts {seed}").random() < 0.3:
        text = text.replace(" prefix = uniform(", " system_prompt = uniform(")
    return text.replace(SCENARIO, f"{SCENARIO}; timeseries = changes") if changes(seed) else text


def other_model(seed: int) -> str:
    """Return a model that is not dense, or has a window; mostly none. Drawn by itself, too."""
    chance = Random(f"model {seed}")
    if chance.random() >= OTHERS:
        return ""
    found = chance.choice(OTHER_MODELS)
    return "deepseek_v3_2" if chance.random() < SPARSE else found


def changes(seed: int) -> bool:
    """Tell whether a tame system notes changes: some of those that do not say when to sample.

    It is drawn by itself: all else of the text stays what it was.
    """
    writer = TameWriter(seed)
    writer.system()
    return "sample" not in writer.features and Random(f"changes {seed}").random() < CHANGES


def features_of(seed: int) -> set[str]:
    """Return what is in a tame system, by the names that the writer has for it."""
    writer = TameWriter(seed)
    text = writer.system()
    own = {"changes": changes(seed), "another model": bool(other_model(seed))}
    found = writer.features | {name for name, there in own.items() if there}
    tabled = with_tables(text, seed)
    if tabled != text:
        found = found - COSTS.keys() | {"tables"}
    return found if with_python(tabled, seed) == tabled else found - COSTS.keys() | {"python"}
