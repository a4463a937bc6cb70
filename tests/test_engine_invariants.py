"""Random tiny systems under watch: whatever the policy, nothing is lost and nothing is made up."""

import math
import random
from collections import Counter

import pytest

import tsdl
from tests.watched_runs import same, watched
from tsdl.runtime.result import Result

CASES = 120
LONG_CASES = 1000
GROUP = 20  # cases of one test: few enough to point at, many enough to keep the list short

FILE = """edition "2026"
model short from llama2_7b {{ context = {context} tokens }}
kvcache tiny from {kv} {{ block = {block} tokens; blocks = {blocks}; swap_space = {swap} MiB }}
cluster few {{ worker gpu * {workers} {{ hardware = A100_80G; cost = {cost}; kv = tiny }} }}
policy odd from {batching} {{
  local {{
{local}
  }}
  global {{ on arrive(r) {{ dispatch r to {target} }} }}
}}
workload some {{
  requests = {requests}
  arrivals = {arrivals}
  prompt   = {prompt}
  output   = {output}
  warmup   = {warmup} s
  total    = {total} tokens
}}
scenario tiny_system {{
  model = short; cluster = few; policy = odd; workload = some; seed = {seed}; sample = 20 s
{more}
}}
"""

COSTS = (
    "constant_cost(10 ms)",
    "linear_cost(5 ms, 1 ms)",
    "linear_cost(0 s, 1 s)",
    "constant_cost(0.1 s)",
)
TARGETS = (
    "round_robin(w for w in workers)",
    "random(w for w in workers if w.prefills)",
    "pick(w by w.outstanding for w in workers)",
    "pick(w by w.outstanding_tokens for w in workers)",
    "pick(w by w.kv.fill for w in workers)",
    "pick(w by w.load for w in workers if w.queued < 2)",
    "pick(w by -w.id for w in workers if w.outstanding < 3)",
    "pick(w by w.id for w in workers if w.running < 3 and w.queued < 1)",
)
ADMISSIONS = (
    "admit r when kv.fill_with(r) <= 60 % or w.running < 1",
    "admit r by r.prompt",
    "admit r by -r.arrived",
    "admit r by r.preemptions, -r.output",
)
EVICTIONS = (
    "evict r by r.arrived",
    "evict r by -r.arrived",
    "evict r by r.generated",
    "evict r by r.prompt",
    "evict r by mod(r.id, 3), r.prompt",
    "evict r by -r.context",
)


def lengths(chance: random.Random, most: int) -> str:
    some, more = sorted((chance.randint(-(-most // 4), most), chance.randint(1, most)))
    return chance.choice(
        (
            f"constant({some} tokens)",
            f"uniform({some}..{more} tokens)",
            f"exponential(mean = {some} tokens, max = {more} tokens)",
            f"choice({some} tokens: 80 %, uniform(1..{more} tokens): 20 %)",
        )
    )


def arrivals(chance: random.Random) -> str:
    rate = chance.choice((1, 100, 1000, 1000))
    return chance.choice(
        (
            "burst()",
            f"burst(size = {chance.randint(1, 6)}, every = {chance.choice((0.01, 0.1, 1))} s)",
            f"uniform({rate} req/s)",
            f"poisson({rate} req/s)",
            f"gamma({rate} req/s, cv = 3)",
            f"on_off({rate} req/s, on = 1 s, off = 2 s)",
        )
    )


def local(chance: random.Random, batching: str, watermark: int) -> str:
    requests = chance.choice((1, 3, *[16] * 5))
    tokens = chance.choice((1, *[16, 64, 512] * 2))
    if batching == "chunked":
        tokens = max(tokens, requests)
    lines = [
        f"max_requests = {requests}",
        f"max_tokens = {tokens} tokens",
        f"watermark = {watermark} %",
        f"preempt = {chance.choice(('swap', 'recompute'))}",
        f"overhead = {chance.choice(('0 s', '1 ms', '1 ms * requests'))}",
    ]
    lines += chance.sample(ADMISSIONS, chance.choice((0, 0, 1)))
    lines += chance.sample(EVICTIONS, chance.choice((0, 0, 1)))
    return "\n".join(f"    {line}" for line in lines)


def a_system(seed: int) -> str:
    """Return the text of a random system in which memory, slots or workers are short."""
    chance = random.Random(seed)
    context = chance.choice((16, 40, 80, 160))
    block = chance.choice((1, 16, 16))
    batching = chance.choice(("continuous", "chunked", "static"))
    watermark = chance.choice((0, 0, 0, 10, 30))
    far = chance.random() < 0.2  # beyond the context, now and then
    room = context * chance.choice((1, 1.2, 2)) / (1 - watermark / 100)
    return FILE.format(
        seed=seed,
        context=context,
        kv=chance.choice((*["paged", "token_wise"] * 3, "contiguous")),
        block=block,
        blocks=math.ceil(room / block) + (watermark > 0),
        swap=chance.choice((0, 5, 20, 1000)),
        workers=chance.choice((1, 1, 2, 3)),
        cost=chance.choice(COSTS),
        batching=batching,
        local=local(chance, batching, watermark),
        target=chance.choice(TARGETS),
        requests=chance.randint(5, 30),
        arrivals=arrivals(chance),
        prompt=lengths(chance, context if far else chance.choice((4, context // 4))),
        output=lengths(chance, context if far else chance.choice((1, *[context // 2] * 4))),
        warmup=chance.choice((0, 0, 0, 0.05)),
        total=context * (2 if far else 1),
        more=chance.choice((*[""] * 5, "  until = 0.3 s", "  until = 1 s", "  until = 3 s")),
    )


def survives(seed: int) -> Result:
    """Run a random system under watch, and again without: watching changes nothing."""
    plan = tsdl.compile(a_system(seed))
    result = watched(plan)
    assert same(result, plan.run(seed=0)), "watched, it runs otherwise"
    if plan.until is None:
        assert result.summary["requests"]["unfinished"] == 0
    return result


@pytest.mark.parametrize("first", range(0, CASES, GROUP))
def test_a_random_system_keeps_every_invariant(first: int) -> None:
    for seed in range(first, first + GROUP):
        try:
            survives(seed)
        except Exception as error:
            error.add_note(f"seed {seed}:\n{a_system(seed)}")
            raise


@pytest.mark.long
@pytest.mark.parametrize("first", range(CASES, CASES + LONG_CASES, 100))
def test_many_more_random_systems_keep_every_invariant(first: int) -> None:
    for seed in range(first, first + 100):
        try:
            survives(seed)
        except Exception as error:
            error.add_note(f"seed {seed}:\n{a_system(seed)}")
            raise


def test_the_random_systems_are_not_all_easy() -> None:
    """They preempt, swap, reject, queue and stop early; else this file would prove little."""
    seen: Counter[str] = Counter()
    for seed in range(40):
        result = survives(seed)
        counts = result.summary["requests"]
        seen["preempted"] += result.summary["preemptions"] > 0
        seen["rejected"] += counts["rejected"] > 0
        seen["unfinished"] += counts["unfinished"] > 0
        seen["queued"] += bool((result.requests["queue"] > 0).any())
        workers = result.summary["workers"]
        seen["full"] += any(w["kv_peak"] > 0.9 * w["kv_capacity"] for w in workers)
    wanted = ("preempted", "rejected", "unfinished", "queued", "full")
    assert all(seen[what] >= 3 for what in wanted), seen
