"""Tied systems, written by a seed: groups of workers that differ in all, and events at one time.

Each group has a memory, a policy and costs of its own; routers refuse now and then. Times of most
are on a grid that doubles hold: boundaries, arrivals, moves and timers meet to the bit, and the
order among them shows. A file of requests comes along in comments (tests/brought_files.py). The
same seed writes the same text: tests name seeds.
"""

import math
import re
from dataclasses import dataclass

from tests.drafted_tokens import with_drafts
from tests.measured_costs import with_tables
from tests.own_attributes import DECLARED
from tests.own_states import with_states
from tests.parallel_groups import in_parallel
from tests.python_costs import with_python
from tests.swapped_beside import beside_swapped
from tests.tame_systems import TERMS
from tests.tied_policies import TiedPolicyWriter

MOST_EVENTS = 100_000  # of a run; beyond it, it is taken to go on for ever
NAMES = ("first", "second", "third")
SHAPES = {  # what the workers of each group do
    "alone": ("both",),
    "alike": ("both",),
    "two groups": ("both", "both"),
    "three groups": ("both", "both", "both"),
    "apart": ("prefill", "decode"),
    "apart, and both": ("prefill", "decode", "both"),
    "apart, and more that prefill": ("prefill", "decode", "prefill"),
    "apart, and more that decode": ("prefill", "decode", "decode"),
}
COUNTS = {"alone": (1,), "alike": (2, 3)}  # workers of a group; else
SOME = (1, 1, 2, 3)

EXACT = {
    "cost of any": "constant_cost(7.8125 ms)",
    "cost of any, twice": "constant_cost(15.625 ms)",
    "no cost": "zero",
    "cost by requests": "by_requests",
    "cost by prefills": "by_prefills",
    "cost by tokens": "by_tokens",
}
LOOSE = {
    "operators": "",
    "featured": "featured",
    "falling": "falling",
    "linear": "linear_cost(1 ms, 0.1 ms)",
    "constant": "constant_cost(10 ms)",
}
COSTS = (
    "cost by_requests { iteration = 7.8125 ms * requests }",
    "cost by_prefills { iteration = (15.625 ms if prefills > 0 else 7.8125 ms) }",
    "cost by_tokens { iteration = 3.90625 ms * tokens }",
    "cost zero { iteration = 0 s }",
)
FALLING = (
    "10 ms - 10 us * contexts if contexts < 400 else 1 ms", "5 ms / (1 + decodes)",
    "(1 ms * prefill_tokens / decodes if decodes > 0 else 4 ms)",
    "1 ms * abs(10 - longest_context)", "1 ms + 1 ms * mod(longest_context, 4)",
    "20 ms * decodes / max(contexts, 1)", "10 ms - 100 us * longest_context",
    "(3 ms if longest_context > 20 else 5 ms)",
)  # fmt: skip
LINKS = (  # a token of the model takes half a MiB: 1/128 s at 64 MiB/s
    "bandwidth = 64 MiB/s; latency = 0 s",
    "bandwidth = 1 GiB/s; latency = 7.8125 ms; sharing = fifo",
    "bandwidth = 1000 PB/s; latency = 0 s",
    "bandwidth = 256 MiB/s; latency = 0 s; duplex = half; sharing = fifo; most = 2 devices",
)
LOOSE_LINKS = (*LINKS, "bandwidth = 20 MB/s; latency = 3 ms")


@dataclass(frozen=True)
class Setting:
    """What holds for all groups of a system."""

    shape: str
    longest: int
    sharing: bool  # of some groups, the blocks
    pool: bool
    odds: float  # of a handler more

    @property
    def apart(self) -> bool:
        """Whether some workers only prefill."""
        return self.shape.startswith("apart")


@dataclass(frozen=True)
class Group:
    """What is written of a group: its memory, its policy, its workers."""

    memory: str
    policy: str
    workers: str


class TiedWriter(TiedPolicyWriter):
    """Writes a program; `features` then says what is in it."""

    # -- what it runs on ---------------------------------------------------------------------

    def cost(self) -> str:
        """Return the cost of an iteration, "" for the model's operators."""
        if self.on_grid and self.plain and self.maybe(0.6):
            return self.noted("cost of any", EXACT["cost of any"])
        costs = EXACT if self.on_grid else EXACT | LOOSE
        name = self.chance.choice((*costs, *(["cost of any"] * 2 if self.on_grid else LOOSE)))
        return self.noted(name, costs[name])

    def memory(self, name: str, longest: int, local: str, *, shared: bool) -> str:
        """Return a KV cache that holds the longest request at least, and seldom many."""
        chance = self.chance
        kinds = ("paged",) if shared else (*["paged"] * 6, "token_wise", "contiguous")
        kind = chance.choice(kinds)
        block = 1 if kind == "token_wise" else chance.choice((1, 1, 2, 4, 16))
        kept = re.search(r"watermark = (\d+) %", local)
        free = 1 - int(kept[1] if kept else 1) / 100
        times = chance.choice((1.0, 1.0, 1.0, 1.1, 1.3, 1.8, 20))
        fields = [f"block = {block} tokens"]
        fields.append(f"blocks = {math.ceil(longest * times / free / block) + 2}")
        if "preempt = swap" in local:
            fields.append(f"swap_space = {chance.choice((0, 10, 1000))} MiB")
            if self.maybe(0.2):
                fields.append(f"swap_out(r) = r.held / 64 MiB/s; swap_in(r) = {self.time()}")
        if shared:
            fields.append("share = prefix")
            self.features.add("shared blocks")
        return f"kvcache {name}_kv from {kind} {{ {'; '.join(fields)} }}"

    def group(self, name: str, does: str, others: list[str], setting: Setting) -> Group:
        """Return a group of workers."""
        chance = self.chance
        shared = setting.sharing and self.maybe(0.8)
        base, lines = self.of_a_group(
            setting.odds, shared=shared, pool=setting.pool, apart=setting.apart
        )
        local = "\n    ".join(lines)
        memory = self.memory(name, setting.longest, local, shared=shared)
        policy = f"policy {name}_policy from {base} {{\n  local {{\n    {local}\n  }}\n}}"
        count = chance.choice(COUNTS.get(setting.shape, SOME))
        hardware = chance.choice(("A100_80G", "with_host", "H100_SXM"))
        fields = [f"hardware = {hardware}", f"runs = {does}", f"kv = {name}_kv"]
        fields += [f"policy = {name}_policy", f"link = {chance.choice(('one', 'other'))}"]
        cost = self.cost()
        fields += [f"cost = {cost}"] if cost else []
        swaps = [*others, *([name] if count > 1 else []), *(["pool"] if setting.pool else [])]
        if "preempt = swap" in local and swaps and self.maybe(0.35):
            self.features.add("swaps elsewhere")
            fields.append(f"swap = {chance.choice(swaps)}")
        if setting.apart and self.maybe(0.25):
            fields.append(f"handoff = {self.noted('sequential')}")
        if setting.apart and self.maybe(0.2):
            fields.append(f"{self.noted('buffer')} = {chance.choice((0, 4, 20))} MiB")
        line = f"worker {name} * {count} {{ {'; '.join(fields)} }}"
        workers = in_parallel(line, chance, ahead="asynchronous" in local)
        self.features |= {word for word in ("ranks", "stages") if f"{word} =" in workers}
        return Group(memory, policy, workers)

    def tier(self) -> str:
        """Return the tier `pool`."""
        chance = self.chance
        self.features.add("tier")
        latency = chance.choice(("0 s/block", "7.8125 ms/block", "800 ns/block"))
        fields = [f"capacity = {chance.choice((0, 10, 30, 100, 1000))} MiB"]
        fields += [f"block = {chance.choice((1, 16))} tokens", f"latency = {latency}"]
        if self.maybe(0.5):
            fields.append("link = one")
        if self.maybe(0.5):
            keys = ("last_used", "uses", "-size", "stored", "tokens, -last_used")
            fields.append(f"evict by {chance.choice(keys)}")
        return f"tier pool {{ {'; '.join(fields)} }}"

    def cluster(self, groups: list[Group], *, pool: bool) -> str:
        """Return the cluster of the groups, in nodes perhaps."""
        lines = [group.workers for group in groups]
        if len(groups) > 1 and self.maybe(0.25):
            self.features.add("network")
            if self.maybe(0.4):
                self.features.add("nodes")
                lines = ["node rack * 2 {", *(f"  {line}" for line in lines), "}"]
            lines.insert(0, "network = wide")
        lines += [self.tier()] if pool else []
        return "\n".join(("cluster some {", *(f"  {line}" for line in lines), "}"))

    # -- all of it ---------------------------------------------------------------------------

    def costs(self) -> list[str]:
        """Return the costs that groups may have."""
        chance = self.chance
        terms = (chance.choice(("0 s", "2 ms", "7.8125 ms")), *chance.sample(TERMS, 3))
        return [
            *COSTS,
            f"cost featured {{ iteration = {' + '.join(terms)} }}",
            f"cost falling {{ iteration = {chance.choice(FALLING)} }}",
        ]

    def scenario(self) -> str:
        """Return the scenario: how long it runs, and what it looks at."""
        chance = self.chance
        fields = ["model = short", "cluster = some", "workload = asked", "policy = all"]
        if self.maybe(0.15):
            until = chance.choice(("62.5 ms", "0.25 s", "1 s", "100 ms"))
            fields.append(f"{self.noted('until')} = {until}")
        looks = {
            "sample on the grid": "sample = 7.8125 ms",
            "sample off the grid": "sample = 10 ms",
            "sample once": "sample = 1000 s",
            "changes": "timeseries = changes",
        }
        name = chance.choice(("", *looks, *["sample once"] * 3))
        fields += [self.noted(name, looks[name])] if name else []
        return f"scenario it {{ {'; '.join(fields)} }}"

    def system(self) -> str:
        """Return a whole program."""
        chance = self.chance
        sharing, pool = self.maybe(0.45), self.maybe(0.25)
        asked = self.workload(shared=sharing)
        shape = self.noted(chance.choice((*SHAPES, *["two groups"] * 2, "three groups", "apart")))
        setting = Setting(shape, asked.longest, sharing, pool, chance.choice((0, 0.3, 0.6)))
        groups = []
        names = NAMES[: len(SHAPES[shape])]
        for name, does in zip(names, SHAPES[shape], strict=True):
            others = [other for other in names if other != name]
            groups.append(self.group(name, does, others, setting))
        links = LINKS if self.on_grid else LOOSE_LINKS
        return "\n".join(
            (
                'edition "2026"',
                DECLARED,
                f"model short from llama2_7b {{ context = {asked.longest} tokens }}",
                *(group.memory for group in groups),
                *self.costs(),
                *(f"link {name} {{ {chance.choice(links)} }}" for name in ("one", "other", "wide")),
                "hardware with_host from A100_80G { host = one }",
                self.cluster(groups, pool=pool),
                *(group.policy for group in groups),
                self.routing(setting.odds, apart=setting.apart, pool=pool),
                asked.text,
                self.scenario(),
                asked.file,
            )
        )


def written(seed: int) -> tuple[str, set[str]]:
    """Return the text of a tied system, and what is in it by the names that its writer has."""
    writer = TiedWriter(f"tied {seed}")
    text = with_states(beside_swapped(writer.system(), seed), seed)
    drafted = with_drafts(text, seed)
    if writer.on_grid:
        return drafted, writer.features | ({"drafts"} if drafted != text else set())
    tabled = with_tables(drafted, seed)
    learned = with_python(tabled, seed)
    found = {"drafts": drafted != text, "tables": tabled != drafted, "python": learned != tabled}
    return learned, writer.features | {name for name, there in found.items() if there}


def a_tied_system(seed: int) -> str:
    """Return the text of a tied system."""
    return written(seed)[0]


def features_of(seed: int) -> set[str]:
    """Return what is in a tied system."""
    return written(seed)[1]
