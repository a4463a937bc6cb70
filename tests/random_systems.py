"""Random systems of every kind, written by a seed: what a policy may do, some of these do.

Workers of several makes, in nodes or not, over links of all sorts, with tiers, swapping,
conversations, and a policy of the library or one that was thrown together from the grammar. The
same seed writes the same text: tests name seeds.
"""

import math

from tests.drafted_tokens import with_drafts
from tests.measured_costs import with_tables
from tests.mixed_workloads import with_others
from tests.offloaded_groups import with_offloads
from tests.own_attributes import ATTRIBUTES, DECLARED
from tests.own_states import with_states
from tests.parallel_groups import in_parallel
from tests.python_costs import with_python
from tests.random_policies import PolicyWriter
from tests.served_models import with_models
from tests.swapped_beside import beside_swapped

MOST_EVENTS = 12_000  # of a run; beyond it, a wild policy is taken to go on for ever
WILD = "state turns"  # stands in policies that were thrown together, and in no other
LIBRARY = (
    "continuous", "chunked", "orca", "static", "windowed_batching(wait = 30 ms, size = 3)",
    "shortest_first", "shortest_job_first", "priority_first", "reserved(70 %)", "disaggregated",
    "disaggregated_chunked", "pooled",
)  # fmt: skip
ROUTERS = (
    "round_robin", "random", "least_loaded", "least_outstanding_tokens", "power_of_two",
    "session_affinity", "handing_over",
)  # fmt: skip


class Writer(PolicyWriter):
    """Writes a random program."""

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
        tiers += ["near"] if pooled and chance.random() < 0.6 else []
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
            if chance.random() < 0.3:
                fields.append(f"concurrency = {chance.choice((1, 2, 5))}")
        if chance.random() < 0.5:
            fields.append("priority = uniform(0..3)")
        if self.later.random() < 0.5:
            fields.append(ATTRIBUTES)
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
            lines = self.clauses(base, swaps=chance.random() < 0.5)
            policy = f"policy odd from {base} {{ local {{ {'; '.join(lines)} }} }}"
            more = "policy = odd"
            if not apart and chance.random() < 0.5:
                more += f"; router = {chance.choice(ROUTERS)}"
        timers = "every(" in policy
        if chance.random() < (0.4 if wild else 0.15):
            more += f"; until = {chance.choice((0.3, 2, 30))} s"
        points = "\n".join(f"  breakpoint {name} {places[name]}" for name in breakpoints)
        if not breakpoints:  # neither ranks nor stages stop there
            cluster = in_parallel(cluster, self.later, ahead="asynchronous" in policy)
        links = [self.link(name, timers=timers) for name in ("one", "other", "wide")]
        kinds = ("paged", "paged", "token_wise", "contiguous")
        return "\n".join(
            (
                'edition "2026"',
                DECLARED,
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
    text = with_models(with_states(beside_swapped(Writer(seed).system(), seed), seed), seed)
    priced = with_python(with_tables(text, seed), seed, refusing=True)
    return with_others(with_drafts(with_offloads(priced, seed), seed), seed)
