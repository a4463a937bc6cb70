"""Halves of a batch that take turns, against a time table of who computes and who waits."""

from itertools import groupby

import pytest
from msgspec.structs import replace

import tsdl
from tests.engines import compared_text
from tests.models_on_devices import decodes, kernel, prompt, worker_of
from tsdl.costs import Batch, DecodeTime, compiled, compiled_features, shares
from tsdl.plan import Cost, Workers
from tsdl.schema import BATCH_FEATURES

EXACT = 1e-12
LAYERS = 10
FIXED, EACH = 3e-6, 1e-6  # seconds of the kernels below: of a launch, and of a token


def worker_with(kernels: str, local: str, layers: int = LAYERS) -> Workers:
    """Return a worker whose layers have these kernels: small letters compute, capitals wait.

    The first takes 3 us and 1 us for each token, the second twice that, and so on.
    """
    nodes, times = [], []
    for number, letter in enumerate(kernels, start=1):
        nodes.append(f"{letter}: {'Talk' if letter.isupper() else 'Work'}()")
        times.append(f"operator {letter} {{ time = {number} * (3 us + 1 us * tokens) }}")
    program = f"""edition "2026"
operator Work() {{ bytes = tokens; class = pointwise }}
operator Talk() {{ bytes = tokens; class = exchange }}
model turns from llama2_7b {{ graph {{
  before: Work()
  repeat layer * {layers} {{ {"; ".join(nodes)} }}
  behind: Talk()
}} }}
cost told {{
  {"; ".join(times)}
  operator before {{ time = 5 us }}
  operator behind {{ time = 7 us }}
}}
policy halves from continuous {{ local {{ {local} }} }}
cluster one {{ worker gpu {{ hardware = A100_80G; cost = told }} }}
scenario s {{ model = turns; cluster = one; workload = sharegpt; policy = halves }}
"""
    return tsdl.compile(program).workers[0]


def by_time_table(kernels: str, tokens: float, occupies: float) -> float:
    """Return the seconds of a layer in two halves, step by step as SPEC.md, 7.9, tells it.

    Its operators are cut into rounds, of which each computes and then exchanges. While one half
    computes a round, the other exchanges that before it, or the same one.
    """
    seconds = {letter: n * (FIXED + EACH * tokens / 2) for n, letter in enumerate(kernels, start=1)}
    runs = [list(run) for _, run in groupby(kernels, str.isupper)]
    if kernels[0].isupper() is kernels[-1].isupper():  # the layer repeats: they are one
        runs[0] = runs.pop() + runs[0]
    if runs[0][0].isupper():
        runs = runs[1:] + runs[:1]
    lasting = [sum(seconds[letter] for letter in run) for run in runs]
    computing, exchanges = lasting[::2], lasting[1::2]
    total = 0.0
    for number, one in enumerate(computing):
        for exchange in (exchanges[number - 1], exchanges[number]):
            total += max(one + occupies * exchange, exchange)
    return total


@pytest.mark.parametrize("kernels", ["aB", "Ba", "aBcD", "abCdeF", "AbCd", "aBCd", "AbcD", "abC"])
@pytest.mark.parametrize("occupies", [0, 0.35, 1])
def test_a_layer_takes_what_its_time_table_says(kernels: str, occupies: float) -> None:
    worker = worker_with(kernels, f"overlap {{ when = true; occupies = {occupies} }}")
    for tokens in (1, 8, 500):
        expected = LAYERS * by_time_table(kernels, tokens, occupies) + 12e-6
        assert compiled(worker.cost)(prompt(tokens)) == pytest.approx(expected, rel=EXACT)


def test_each_operator_takes_its_share() -> None:
    """What computes runs twice; two exchanges behind one another are hidden together."""
    cost = worker_with("aBCd", "overlap { when = true; occupies = 0 }").cost
    found = {share.name: share.seconds / LAYERS for share in shares(cost, prompt(10))}
    one = FIXED + EACH * 5
    assert found["layer.a"] == pytest.approx(2 * 1 * one, rel=EXACT)
    assert found["layer.d"] == pytest.approx(2 * 4 * one, rel=EXACT)
    left = 2 * max(0, (2 + 3) * one - (1 + 4) * one)  # as long as what computes: nothing is left
    assert found["layer.B"] + found["layer.C"] == pytest.approx(left, abs=1e-18)
    cost = worker_with("aBC", "overlap { when = true; occupies = 0 }").cost
    found = {share.name: share.seconds / LAYERS for share in shares(cost, prompt(10))}
    assert found["layer.B"] == pytest.approx(2 * 4 * one * 2 / 5, rel=EXACT)
    assert found["layer.C"] == pytest.approx(2 * 4 * one * 3 / 5, rel=EXACT)
    assert found["behind"] * LAYERS == pytest.approx(7e-6, rel=EXACT)


@pytest.mark.parametrize(
    ("local", "kernels", "layers"),
    [
        ("", "aBcD", LAYERS),
        ("overlap { when = tokens > 64 }", "aBcD", LAYERS),
        ("overlap { when = true; hides = [collective] }", "aBcD", LAYERS),
        ("overlap { when = true; hides = [] }", "aBcD", LAYERS),
        ("overlap { when = true }", "abcd", LAYERS),  # nothing waits
        ("overlap { when = true }", "ABCD", LAYERS),  # nothing computes
        ("overlap { when = true }", "aBcD", 1),  # nothing follows
    ],
)
def test_other_iterations_take_what_they_did(local: str, kernels: str, layers: int) -> None:
    plain = worker_with(kernels, "", layers).cost
    found = worker_with(kernels, local, layers).cost
    for batch in (prompt(20), decodes(3, 50), prompt(64)):
        assert compiled(found)(batch) == compiled(plain)(batch)


def test_half_a_batch_has_half_of_all_but_the_longest_context() -> None:
    local = "overlap { when = true; hides = [odd]; occupies = 0 }"
    for feature in BATCH_FEATURES:
        program = f"""edition "2026"
operator Told() {{ bytes = tokens; class = pointwise }}
operator Hidden() {{ bytes = tokens; class = odd }}
model turns from llama2_7b {{ graph {{ repeat layer * 2 {{ a: Told(); b: Hidden() }} }} }}
cost told {{ operator a {{ time = 1 s * {feature} }}; operator b {{ time = 1 ns }} }}
policy halves from continuous {{ local {{ {local} }} }}
cluster one {{ worker gpu {{ hardware = A100_80G; cost = told }} }}
scenario s {{ model = turns; cluster = one; workload = sharegpt; policy = halves }}
"""
        batch = Batch(*range(3, 3 + len(BATCH_FEATURES)))
        whole = getattr(batch, feature) * (2 if feature == "longest_context" else 1)
        found = compiled(tsdl.compile(program).workers[0].cost)(batch)
        assert found == pytest.approx(2 * whole, rel=1e-8), feature


def test_both_halves_are_launched() -> None:
    """Of a layer of Qwen 3 30B and its gaps; what is before and behind the layers runs once."""

    def cost_of(local: str) -> Cost:
        own = f"policy own from continuous {{ local {{ {local} }} }}"
        ranked = worker_of("qwen3_30b_a3b", "ep(1, ranks = 4)", own, policy="own")
        return ranked.cost

    when = "overlap { when = decodes >= 8 }"
    few, many = decodes(7, 100), decodes(8, 100)
    for batch, times in ((few, 1), (many, 2)):
        once, gaps = cost_of(when), cost_of(f"{when}; gap = 1 us")
        alone = compiled(cost_of("gap = 1 us"))(batch) - compiled(cost_of(""))(batch)
        around = 4e-6  # embedding, norm, lm_head, sampler
        more = compiled(gaps)(batch) - compiled(once)(batch)
        assert more == pytest.approx(times * (alone - around) + around, rel=1e-6)
    waits = cost_of(f"{when}; eager = true; launch = 1 ms")
    plain = cost_of("eager = true; launch = 1 ms")
    launched = compiled(plain)(many)
    assert compiled(waits)(few) == launched
    assert compiled(waits)(many) == pytest.approx(2 * launched - 4e-3, rel=EXACT)
    hidden = cost_of("overlap { when = true; occupies = 0 }; eager = true; launch = 1 ms")
    # What is hidden is launched all the same.
    assert compiled(hidden)(many) == compiled(waits)(many)


ALL_REDUCES = "overlap { when = true; hides = [collective] }"


def gaps_of(local: str, **fields: str) -> list[float]:
    """Return how many gaps there are on each stage of a worker of two devices a stage."""
    own = f"policy own from vllm_synchronous {{ local {{ gap = 1 us; overhead = 0 s; {local} }} }}"
    more = "model three from llama3_8b { layers = 3 }\ncost whole { iteration = 10 ms }\n"
    model = fields.pop("model", "three")
    worker = worker_of(model, fields.pop("parallel", "tp(2)"), more + own, policy="own", **fields)
    return [compiled_gaps(cost) for cost in worker.pipeline or (worker.cost,)]


def compiled_gaps(cost: Cost) -> float:
    return round(compiled(Cost("", (), cost.overhead))(decodes(8, 100)) * 1e6, 6)


# Kernels of Llama 3 on two devices, all-reduces included; a norm adds what comes before it.
LAYER, AROUND = 11, 6


def test_only_kernels_of_divided_blocks_are_launched_twice() -> None:
    drafts = "speculate { tokens = 3 tokens; drafter = qwen3_0_6b; acceptance(r) = 70 % }"
    (plain,), (halves,) = gaps_of(""), gaps_of(ALL_REDUCES)
    assert (plain, halves) == (3 * LAYER + AROUND, 2 * 3 * LAYER + AROUND)
    (alone,), (both,) = gaps_of(drafts), gaps_of(f"{drafts}; {ALL_REDUCES}")
    assert both - alone == halves - plain  # none of its drafter
    assert gaps_of(ALL_REDUCES, cost="whole") == gaps_of("", cost="whole")
    stages = [gaps_of(local, parallel="tp(2, stages = 3)") for local in ("", ALL_REDUCES)]
    assert [b - a for a, b in zip(*stages, strict=True)] == [LAYER] * 3  # each has one layer


def test_all_ways_to_ask_agree() -> None:
    own = (
        "policy own from chunked { local { overlap { when = tokens > 4; hides = [collective] } } }"
    )
    cost = worker_of("llama2_70b", "tp(4)", own, policy="own").cost
    every = compiled_features(cost, {})
    for batch in (decodes(3, 100), decodes(70, 1000), prompt(900, 30)):
        time = compiled(cost)(batch)
        assert every(*[getattr(batch, name) for name in BATCH_FEATURES]) == time
        told = sum(share.seconds for share in shares(cost, batch))
        assert told == pytest.approx(time, rel=EXACT)
        if batch.decodes:
            _, growing = DecodeTime(cost, {}).of(batch.decodes)
            assert growing is not None
            assert growing(batch.contexts, batch.context_blocks, batch.longest_context) == time


def test_of_what_ranks_exchange_only_the_rest_is_left() -> None:
    """Enough computing hides it but for what occupies the device; too little leaves the rest."""
    parallel = "ep(1, ranks = 8, exchange = all_to_all)"
    own = "policy own from chunked { local { overlap { when = true; occupies = 20 % } } }"
    plain = worker_of("qwen3_235b_a22b", parallel).cost
    halves = worker_of("qwen3_235b_a22b", parallel, own, policy="own").cost
    few, half = prompt(4000), Batch(*(getattr(prompt(4000), f) / 2 for f in BATCH_FEATURES))
    sent = {s.name: s.seconds for s in shares(plain, half)}
    left = {s.name: s.seconds for s in shares(halves, few)}
    for name in ("block.ranks_in.many", "block.ranks_out.many"):
        assert left[name] == pytest.approx(2 * 0.2 * sent[name], rel=1e-9)
    assert kernel(halves, "ranks_in.many").wire == kernel(plain, "ranks_in.many").wire


def test_stages_of_a_pipeline_overlap_each_their_own() -> None:
    own = (
        "policy own from chunked { local { overlap { when = true; hides = [collective] } } }"
        "\npolicy usual from chunked {}"
    )
    for policy in ("own", "usual"):
        worker = worker_of("llama2_70b", "tp(2, stages = 2)", own, policy=policy)
        batch = prompt(2000)
        together = sum(compiled(cost)(batch) for cost in worker.pipeline)
        sent = next(s.seconds for s in shares(worker.pipeline[0], batch) if s.name == "send")
        assert together - sent == pytest.approx(compiled(worker.cost)(batch), rel=1e-9)


@pytest.mark.parametrize("hides", ["collective", "gemm, collective"])
def test_engines_agree(hides: str) -> None:
    ended = compared_text(f"""edition "2026"
policy own from vllm(budget = 512 tokens, sequences = 16) {{
  local {{ overlap {{ when = tokens >= 8 or contexts > 4000; hides = [{hides}] }} }}
}}
cluster one {{ worker gpu * 2 {{ hardware = A100_80G; link = NVLink3; parallel = tp(2) }} }}
workload chat from sharegpt(rate = 30 req/s, requests = 120) {{}}
scenario s {{ model = llama2_7b; cluster = one; policy = own; workload = chat }}
""")
    assert ended.how == "done"


def test_kernels_may_have_the_same_name() -> None:
    """What an operator of the program calls its part is what sharding calls an all-reduce."""
    worker = worker_of(
        "odd",
        "tp(2)",
        """operator Double(k, n) from GEMM(k, n) {
  part first { flops = tokens; bytes = tokens }
  part all_reduce { bytes = 1e6 * tokens }
}
model odd from llama2_7b { graph { repeat layer * 4 { x: Double(64, 64, shard = row) } } }
policy own from continuous { local { overlap { when = true; hides = [collective] } } }""",
        policy="own",
    )
    (stage,) = [s for s in worker.cost.stages if s.repeat > 1]
    same = [k for k in stage.kernels if k.name == "x.all_reduce"]
    assert [k.work_class for k in same] == ["pointwise", "collective"]
    batch = prompt(10)
    alone = [compiled(Cost("", (replace(stage, kernels=(k,)),), 0))(batch) for k in same]
    assert alone[0] == pytest.approx(4 * 2 * (1e7 / 2 / (3.35e12 * 0.88) + 2.5e-6), rel=EXACT)
    assert 0 < alone[1] < alone[0]


def test_ranks_may_agree_on_what_is_divided() -> None:
    """Of a rank that has something to do and one that has not: their seconds, divided or whole."""

    def seconds(when: str) -> list[float]:
        own = f"policy own from chunked {{ local {{ overlap {{ when = {when} }} }} }}"
        parallel = "ep(1, ranks = 8, exchange = all_to_all)"
        cost = worker_of("qwen3_235b_a22b", parallel, own, policy="own").cost
        busy, idle = prompt(4000), Batch(tokens=1)
        for batch in (busy, idle):
            batch.peer_tokens, batch.peer_prefills, batch.least_peer_tokens = 4000, 1, 1
        return [compiled(cost)(batch) for batch in (busy, idle)]

    whole, halves = seconds("false"), seconds("true")
    assert all(half < one for half, one in zip(halves, whole, strict=True))
    assert seconds("tokens >= 512") == pytest.approx([halves[0], whole[1]], rel=EXACT)
    assert seconds("peer_tokens >= 512") == pytest.approx(halves, rel=EXACT)
    assert seconds("least_peer_tokens >= 512") == pytest.approx(whole, rel=EXACT)


# -- beside what others have measured ----------------------------------------------------------


def gains(phase: str, servers: int, work: Batch) -> float:
    """Return by how much DeepSeek V3 is faster with two batches, on servers of eight H100."""
    found = []
    for overlap in ("", "overlap { when = true }"):
        plan = tsdl.compile(f"""edition "2026"
policy own from sglang(budget = 16384 tokens, sequences = 512) {{ local {{ {overlap} }} }}
cluster wide {{
  network = InfiniBand_NDR
  node server * {servers} {{ worker rank * 8 {{
    hardware = H100_SXM
    parallel = ep(1, ranks = {8 * servers}, exchange = all_to_all, redundant = 32)
  }} }}
}}
scenario s {{ model = deepseek_v3; cluster = wide; policy = own; workload = sharegpt }}
""")
        found.append(compiled(plan.workers[0].cost)(work))
    return found[0] / found[1] - 1


def test_two_batches_gain_about_what_they_gain_in_sglang() -> None:
    """Up to a point: below 64 to 128 decodes on each of 72 devices there is nothing to be gained.

    https://lmsys.org/blog/2025-05-05-large-scale-ep/ has -27 % with 32 decodes, 25.5 % with 256,
    and 27 to 35 % of 8,192 tokens of prompts on each of 32 devices.
    """
    few, some, many = (gains("decode", 9, decodes(count, 2050)) for count in (32, 96, 256))
    assert -0.32 < few < -0.2
    assert abs(some) < 0.1
    assert 0.2 < many < 0.31
    # One of prompts alone is what `occupies` was chosen by.
    for count, length in ((8, 1024), (2, 4096)):
        batch = Batch()
        for _ in range(count):
            batch.add_prefill(length, 0, last=True)
        batch.close()
        assert 0.27 < gains("prefill", 4, batch) < 0.36


def test_all_reduces_gain_a_quarter_of_their_time_with_70_percent() -> None:
    """VLLM's pull request 44677: 63 of 248 ms for four prompts of 4,096 tokens."""
    own = """policy own from vllm(budget = 16384 tokens) {
  local { overlap { when = true; hides = [collective]; occupies = 70 % } }
}"""
    costs = [
        worker_of("qwen3_32b", "tp(4)", own, policy=name).cost
        for name in ("vllm(budget = 16384 tokens)", "own")
    ]
    batch = Batch()
    for _ in range(4):
        batch.add_prefill(4096, 0, last=True)
    batch.close()
    sent = sum(s.seconds for s in shares(costs[0], batch) if "all_reduce" in s.name)
    plain, halves = (compiled(cost)(batch) for cost in costs)
    assert 0.22 < (plain - halves) / sent < 0.28
