"""Tiers that keep blocks by what is in them: what is found, what leaves, what is refused."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest

import tsdl
from tests.engines import DifferenceError, compared_text
from tsdl.plan import Plan
from tsdl.runtime.arrivals import generate
from tsdl.runtime.engine import Engine
from tsdl.runtime.fast.engine import FastEngine
from tsdl.runtime.sharedtiers import SharedTier

ENGINES = pytest.mark.parametrize("engine", ["fast", "reference"])
# Four requests of 100 tokens, far apart, of which the first 64 are alike; blocks of 16 tokens.
FILE = """
kvcache plain from paged {{ share = {share} }}
policy keeping from chunked {{
  local {{
    on start(r, w) {{ fetch r from pool }}
    on finish(r, w) {{ store r in pool }}
  }}
}}
cluster c {{
  worker gpu * {workers} {{ hardware = A100_80G; kv = plain }}
  tier pool {{ capacity = {capacity}; share = prefix; block = {block} tokens; {more} }}
}}
workload w {{ {workload} }}
scenario s {{ model = llama2_7b; cluster = c; policy = keeping; workload = w }}
"""
ALIKE = (
    "requests = 4; arrivals = uniform(0.5 req/s); prompt = constant(100 tokens); "
    "output = constant(5 tokens); prefixes = 1; prefix = constant(64 tokens)"
)
BLOCK = 16 * 512 * 1024  # bytes of KV of Llama 2 7B


def text_of(
    workload: str = ALIKE, share: str = "none", workers: int = 1, capacity: str = "10 GiB",
    block: int = 16, more: str = "",
) -> str:  # fmt: skip
    return FILE.format(
        workload=workload, share=share, workers=workers, capacity=capacity, block=block, more=more
    )


def run(engine: str, **more: object) -> tsdl.Result:
    return tsdl.compile(text_of(**more)).run(engine=engine)  # type: ignore[arg-type]


@ENGINES
def test_others_find_what_begins_alike(engine: str) -> None:
    """Of 104 tokens each are 6 blocks; 4 of them are alike, and 2 each one's own."""
    result = run(engine)
    assert result.requests["cached"].tolist() == [0, 64, 64, 64]
    (tier,) = result.summary["tiers"]
    assert (tier["fetches"], tier["hits"], tier["tokens_asked"]) == (4, 3, 4 * 99)
    assert tier["tokens_found"] == 3 * 64
    assert tier["peak"] == (4 + 4 * 2) * BLOCK
    assert tier["stores"] == 4
    assert result.totals["hit_rate"] == 3 * 64 / (4 * 99)


@ENGINES
def test_whatever_worker_it_was_on(engine: str) -> None:
    assert run(engine, workers=2).requests["cached"].tolist() == [0, 64, 64, 64]


@ENGINES
def test_only_full_blocks_are_kept_and_the_last_token_is_computed(engine: str) -> None:
    same = ALIKE.replace("constant(64 tokens)", "constant(100 tokens)")
    assert run(engine, workload=same).requests["cached"].tolist() == [0, 96, 96, 96]
    whole = same.replace("constant(100 tokens)", "constant(96 tokens)")
    assert run(engine, workload=whole).requests["cached"].tolist() == [0, 80, 80, 80]
    assert run(engine, block=64).requests["cached"].tolist() == [0, 64, 64, 64]
    assert run(engine, block=128).requests["cached"].tolist() == [0, 0, 0, 0]


@ENGINES
def test_what_the_device_has_is_not_asked_for(engine: str) -> None:
    """Caches that share find 64 tokens themselves; only the second worker's first lacks them."""
    result = run(engine, share="prefix", workers=2)
    assert result.requests["cached"].tolist() == [0, 64, 64, 64]
    (tier,) = result.summary["tiers"]
    assert tier["hits"] == 1
    assert sum(w["tokens_found"] for w in result.summary["workers"]) == 2 * 64


@ENGINES
def test_what_was_of_use_longest_ago_leaves_its_last_blocks_first(engine: str) -> None:
    """Room for eight blocks: the beginning, which all use, stays, and what is of one alone goes."""
    result = run(engine, capacity=f"{8 * BLOCK} bytes".replace(" bytes", " B"))
    (tier,) = result.summary["tiers"]
    assert result.requests["cached"].tolist() == [0, 64, 64, 64]
    assert tier["evictions"] == 2 + 2
    assert tier["peak"] == 8 * BLOCK
    tight = run(engine, capacity=f"{5 * BLOCK} B")
    assert tight.summary["tiers"][0]["refused"] == 4  # six blocks at once have no room
    assert tight.requests["cached"].tolist() == [0, 0, 0, 0]


@ENGINES
def test_conversations_are_found_as_well(engine: str) -> None:
    talk = (
        "sessions = 5; turns = constant(3); think = constant(1 s); arrivals = uniform(0.2 req/s); "
        "prompt = constant(40 tokens); output = constant(8 tokens)"
    )
    result = run(engine, workload=talk)
    later = result.requests["turn"] > 0
    # All that was said and computed before, in full blocks: 47 of 48 tokens, and 95 of 96.
    assert result.requests["cached"][~later].tolist() == [0] * 5
    assert result.requests["cached"][later].tolist() == [32, 80] * 5


def a_system(seed: int) -> str:
    """Return a system with such a tier, of a seed."""
    chance = random.Random(f"shared tiers {seed}")
    link = chance.choice(("", "link = PCIe4_x16", "link = slow"))
    pool = (
        f"tier pool {{ capacity = {chance.choice(('40 MiB', '300 MiB', '50 GiB'))}; share = prefix;"
        f" block = {chance.choice((16, 64, 256))} tokens;"
        f" latency = {chance.choice((0, 3, 40))} us/block; {link} }}"
    )
    share = chance.choice(("none", "prefix"))
    preempt = chance.choice(("recompute", "swap")) if share == "none" else "recompute"
    handlers = {
        "finish(r, w)": "{ store r in pool }",
        "token(r, w)": chance.choice(
            ("when r.generated == 1 { store r in pool }",
             "when r.generated == 3 { store r in pool; drop r }")
        ),
        "preempt(r, w)": "{ store r in pool }",
    }  # fmt: skip
    said = chance.sample([*handlers], chance.choice((1, 2, 3)))
    on = "; ".join(f"on {event} {handlers[event]}" for event in said)
    frail = chance.choice(("", "; failures = exponential(mean = 3 s); repair = 0.5 s"))
    worker = f"worker gpu * {chance.choice((1, 2, 3))} {{ hardware = A100_80G; kv = small{frail} }}"
    nodes = f"network = InfiniBand_NDR; node n * 2 {{ {worker}; {pool} }}"
    cluster = chance.choice((f"{worker}; {pool}", nodes, f"{nodes}; {pool}"))
    arrive = chance.choice((
        "sessions = 25; turns = uniform(1..4); think = exponential(mean = 0.5 s); "
        f"arrivals = poisson({chance.choice((5, 40))} req/s)",
        "requests = 60; arrivals = burst(9, 0.5 s)",
    ))  # fmt: skip
    alike = chance.choice((
        "", "prefixes = 3; system_prompt = constant(300 tokens)",
        "prefixes = 2; prefix = constant(64 tokens)",
    ))  # fmt: skip
    return f"""
link slow {{ bandwidth = 2 GB/s; latency = 50 us; duplex = half }}
kvcache small from paged {{ blocks = {chance.choice((60, 150, 400))}; share = {share} }}
policy mine from {chance.choice(("chunked", "continuous", "vllm", "static"))} {{
  local {{ preempt = {preempt}; on start(r, w) {{ fetch r from pool }}; {on} }}
}}
cluster some {{ {cluster} }}
workload asked {{
  {arrive}; {alike}
  prompt = uniform(1..600 tokens); output = uniform(1..{chance.choice((5, 60))} tokens)
}}
scenario it {{ model = llama2_7b; cluster = some; policy = mine; workload = asked }}
"""


def test_engines_agree_on_random_systems() -> None:
    ended: Counter[str] = Counter()
    for seed in range(25):
        try:
            ended[compared_text(a_system(seed), 100_000).how] += 1
        except DifferenceError as error:
            raise DifferenceError(f"shared tiers, seed {seed}\n{error}") from None
    assert ended["done"] >= 20


@pytest.mark.parametrize("kind", [Engine, FastEngine])
def test_what_a_tier_holds_adds_up(kind: type[Engine]) -> None:
    """Once all is over nothing is read or written, and the bytes are those of the blocks."""
    for seed in range(6):
        plan: Plan = tsdl.compile(a_system(100 + seed))
        engine = kind(plan, generate(plan.workload, 0), 0)
        engine.run()
        for tier in engine.system.tiers:
            assert isinstance(tier, SharedTier)
            kept = tier._blocks.values()
            assert tier.used == tier.loose == sum(block.size for block in kept)
            assert tier.used <= tier.plan.capacity
            assert all(block.there and not block.pinned for block in kept)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("share = prefix; block", "share = prefix; evict by last_used; block"), "whatever"),
        (("hardware = A100_80G;", "hardware = A100_80G; swap = pool;"), "as a whole"),
        (("model = llama2_7b", "model = qwen3_5_27b"), "recurrent"),
        (("on start(r, w) { fetch r from pool }", "on start(r, w) { fetch r from pool to far }"),
         "no blocks"),
    ],
)  # fmt: skip
def test_what_has_no_place_in_it_is_refused(change: tuple[str, str], why: str) -> None:
    text = text_of().replace(*change)
    text = text.replace("  tier pool", "  tier far { capacity = 9 GiB }\n  tier pool")
    found = [d for d in tsdl.check(text) if d.code == "E0526"]
    assert len(found) == 1
    assert why in found[0].title
    assert found[0].span is not None
    assert found[0].span.text == "prefix"


@ENGINES
def test_what_the_device_has_is_of_use_in_the_tier_too(engine: str, tmp_path: Path) -> None:
    """The third asks for nothing, but by it blocks 1 and 2 stay, which the fifth finds elsewhere.

    Room is for six blocks of 512 tokens; the fourth stores three when the first two have done so.
    """
    names = ([1, 2, 10], [3, 4, 11], [1, 2, 12], [5, 6, 13], [1, 2, 14])
    rows = [
        {"timestamp": 10_000 * at, "input_length": 1536, "output_length": 2, "hash_ids": ids}
        for at, ids in enumerate(names)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = text_of('trace = "rows.jsonl"', "prefix", 2, f"{6 * 32 * BLOCK} B", 512)
    text = text.replace("on finish(r, w) {", "on finish(r, w) when r.id < 2 or r.id == 3 {")
    text = text.replace(
        "cluster c",
        "policy apart from keeping { global { on arrive(r) { dispatch "
        "r to pick(w by w.id for w in workers if (w.id == 1) == (r.id == 4)) } } }\ncluster c",
    )
    text = text.replace("policy = keeping", "policy = apart")
    (tmp_path / "it.tsim").write_text(text)
    result = tsdl.compile(tmp_path / "it.tsim").run(engine=engine)
    assert result.requests["cached"].tolist() == [0, 0, 1024, 0, 1024]
    (tier,) = result.summary["tiers"]
    assert (tier["hits"], tier["evictions"]) == (1, 3)
