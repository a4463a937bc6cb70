"""What tied systems are asked: requests on a grid of times, drawn, or in a file that comes along.

Times of the grid are multiples of 1/128 s. Doubles hold them, and sums of them: what comes at the
same time does so to the bit.
"""

import json
from dataclasses import dataclass
from random import Random

from tests.brought_files import brought
from tests.own_attributes import ATTRIBUTES
from tests.tame_policies import FeatureWriter

STEP = 7.8125  # ms
TIMES = ("7.8125 ms", "15.625 ms", "31.25 ms", "62.5 ms")
IN_A_BLOCK = 512  # tokens of a prompt for each of Mooncake's ids


@dataclass(frozen=True)
class Asked:
    """A workload, the file that it brings along or "", and its longest request in tokens."""

    text: str
    file: str
    longest: int


@dataclass(frozen=True)
class Row:
    """A request of a file: when it arrives in ms, and its lengths in tokens."""

    at: float
    prompt: int
    answer: int

    @property
    def nanoseconds(self) -> int:
        """When it arrives in ns."""
        return int(self.at * 1e6)


class TiedWorkloadWriter(FeatureWriter):
    """Writes a workload; where times are not `on_grid`, they are any."""

    def __init__(self, seed: str) -> None:
        """Begin with nothing written."""
        super().__init__(seed)
        self.on_grid = self.maybe(0.6)
        self.features.add("on a grid" if self.on_grid else "off the grid")

    def time(self) -> str:
        """Return a time of the grid."""
        return self.chance.choice(TIMES)

    def workload(self, *, shared: bool) -> Asked:
        """Return a workload; where blocks are `shared`, of prompts that begin alike."""
        more = []
        if self.maybe(0.1):
            self.features.add("warmup")
            more.append(f"warmup = {self.chance.choice(('10 ms', '62.5 ms'))}")
        asked = self.filed if self.maybe(0.45) else self.drawn
        return asked(self.chance.choice((3, 12, 25, 40, 40, 80)), more, shared=shared)

    def lengths(self) -> tuple[int, int]:
        """Return the longest prompt and the longest answer."""
        return self.chance.choice((3, 12, 12, 40)), self.chance.choice((1, 3, 12, 40, 100, 200))

    def open_at_most(self) -> list[str]:
        """Return how many requests may be open, seldom."""
        if not self.maybe(0.3):
            return []
        return [f"{self.noted('concurrency')} = {self.chance.choice((1, 2, 4, 8))}"]

    # -- drawn -------------------------------------------------------------------------------

    def arrivals(self) -> str:
        """Return when requests arrive."""
        chance = self.chance
        bursts = f"burst(size = {chance.choice((2, 3, 5))}, every = {self.time()})"
        exact = f"uniform({chance.choice((64, 128, 128, 256))} req/s)"
        loose = f"poisson({chance.choice((30, 100))} req/s)"
        times = {"all at once": "burst()"}
        if self.on_grid:
            times |= {"in bursts": bursts, "on boundaries": exact}
        else:
            times |= {"poisson": loose, "evenly": "uniform(100 req/s)"}
            times |= {"in clusters": "gamma(100 req/s, cv = 3)"}
        name = chance.choice((*times, *list(times)[1:]))
        return self.noted(name, times[name])

    def thinking(self) -> str:
        """Return how long users think: some for no time, some for whole iterations."""
        return self.chance.choice(
            (
                "constant(0 s)",
                f"constant({self.time()})",
                "choice(0 s: 1, 7.8125 ms: 1, 31.25 ms: 1)",
                "exponential(mean = 20 ms)",
            )
        )

    def length(self, most: int) -> str:
        """Return lengths up to so many tokens."""
        return self.chance.choice(
            (
                f"uniform(1..{most} tokens)",
                f"constant({most} tokens)",
                f"choice(1 tokens: 1, {most} tokens: 1)",
            )
        )

    def drawn(self, count: int, more: list[str], *, shared: bool) -> Asked:
        """Return a workload that is drawn, of conversations or not."""
        chance = self.chance
        prompt, answer = self.lengths()
        longest = prompt + answer
        fields = [f"arrivals = {self.arrivals()}", f"prompt = {self.length(prompt)}"]
        fields.append(f"output = {self.length(answer)}")
        if self.maybe(0.4):
            longest *= chance.choice((1, 2, 3, 4))
            turns = chance.choice(("uniform(1..4)", "constant(3)"))
            fields.append(f"{self.noted('sessions')} = {max(count // 3, 1)}; turns = {turns}")
            fields.append(f"think = {self.thinking()}")
        else:
            fields += [f"requests = {count}", *self.open_at_most()]
            if "concurrency" in fields[-1] and self.maybe(0.4):
                fields.append(f"think = {self.thinking()}")
        if self.maybe(0.6 if shared else 0.1):
            prefix = chance.choice((4, 8, 30))
            longest += prefix
            fields.append(f"{self.noted('prefixes')} = {chance.choice((1, 2, 3))}")
            fields.append(f"prefix = {self.length(prefix)}")
        if self.maybe(0.3):
            fields.append(f"{self.noted('priority')} = uniform(0..3)")
        if Random(f"attributes {fields}").random() < 0.3:
            self.features.add("attributes")
            fields.append(ATTRIBUTES)
        fields += [f"total = {longest} tokens", *more]
        text = "\n  ".join(("workload asked {", *fields)) + "\n}"
        return Asked(text, "", longest)

    # -- in a file ---------------------------------------------------------------------------

    def filed(self, count: int, more: list[str], *, shared: bool) -> Asked:
        """Return a workload of a file, with the file."""
        kinds = ("blocks", "tokens", "agents", "table") if shared else ("table", "table", "agents")
        kind = self.chance.choice(kinds)
        self.features.add(f"file of {kind}")
        rows = self.rows(count, blocks=kind == "blocks")
        longest = max(row.prompt + row.answer for row in rows)
        match kind:
            case "blocks":
                lines = [json.dumps(self.with_blocks(row)) for row in rows]
            case "tokens":
                begins = [[self.chance.randrange(5) for _ in range(40)] for _ in range(3)]
                lines = [json.dumps(self.with_tokens(row, begins)) for row in rows]
            case "agents":
                sessions = [self.session(number, row) for number, row in enumerate(rows)]
                longest = max(most for _, most in sessions)
                lines = [json.dumps(session) for session, _ in sessions]
            case _:
                lines = ["arrived_at,num_prefill_tokens,num_decode_tokens"]
                lines += [f"{row.at / 1000},{row.prompt},{row.answer}" for row in rows]
        name = "asked.csv" if kind == "table" else "asked.jsonl"
        fields = [f'trace = "{name}"', *more]
        fields += self.open_at_most() if kind != "agents" else []
        return Asked(f"workload asked {{ {'; '.join(fields)} }}", brought(name, lines), longest)

    def rows(self, count: int, *, blocks: bool) -> list[Row]:
        """Return requests in the order of their arrival; of some `blocks` of prompts, or few."""
        chance, rows, at = self.chance, list[Row](), 0.0
        prompt, answer = self.lengths()
        for _ in range(count):
            if self.maybe(0.6):
                at += (
                    chance.choice((0, 1, 2, 4, 8)) * STEP if self.on_grid else 30 * chance.random()
                )
            if self.maybe(0.05):
                at += 64 * STEP
            long = chance.choice((1, 1, 2, chance.randint(1, prompt), prompt))
            if blocks:
                long = chance.choice((1, 512, 513, 600, 1024, 1025, 1500))
            rows.append(Row(at, long, chance.choice((1, 1, 2, chance.randint(1, answer), answer))))
        return rows

    def with_blocks(self, row: Row) -> dict[str, object]:
        """Return a request as Mooncake writes it."""
        blocks = -(-row.prompt // IN_A_BLOCK)
        return {
            "timestamp": row.at,
            "input_length": row.prompt,
            "output_length": row.answer,
            "hash_ids": [self.chance.randrange(3) if block else 0 for block in range(blocks)],
        }

    def with_tokens(self, row: Row, begins: list[list[int]]) -> dict[str, object]:
        """Return a request as LLMServingSim replays it, whose prompt begins as others do."""
        begin, others = self.chance.choice(begins), range(row.prompt)
        alike = self.chance.randint(0, row.prompt)
        return {
            "arrival_time_ns": row.nanoseconds,
            "input_toks": row.prompt,
            "output_toks": row.answer,
            "input_tok_ids": [begin[i] if i < alike else self.chance.randrange(3) for i in others],
        }

    def session(self, number: int, row: Row) -> tuple[dict[str, object], int]:
        """Return the calls of an agent as LLMServingSim has them, and the longest of them."""
        chance, calls, longest = self.chance, list[dict[str, int]](), 0
        prompt, answer = row.prompt, row.answer
        for _ in range(chance.choice((1, 2, 3))):
            pause = chance.choice((0, 0, 7_812_500, 31_250_000, 5_000_000))
            calls.append({"input_toks": prompt, "output_toks": answer, "tool_duration_ns": pause})
            longest = max(longest, prompt + answer)
            told = prompt + answer + chance.choice((1, 3))
            prompt = told if self.maybe(0.8) else max(1, prompt - 2)
            answer = chance.choice((1, chance.randint(1, max(row.answer, 2))))
        return {
            "session_id": f"s{number}",
            "arrival_time_ns": row.nanoseconds,
            "sub_requests": calls,
        }, longest
