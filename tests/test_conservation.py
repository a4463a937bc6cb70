"""Random systems of every kind under watch: whatever a policy does, nothing is lost or made up.

A system is that of a seed (tests/random_systems.py). It is refused with a diagnostic, ends with
E0901 or E0903, or keeps all that tests/watched_runs.py checks.
"""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import tsdl
from tests.event_limits import TooLongError
from tests.python_costs import EXTERNS
from tests.random_systems import MOST_EVENTS, WILD, a_system
from tests.watched_runs import same, watched
from tsdl.errors import TsdlError
from tsdl.runtime.result import Result

CASES = 100
LONG_CASES = 1500
GROUP = 25


def outcome_of(seed: int) -> tuple[str, Result | None]:
    """Run a random system under watch; return how it ended, and its result if it did."""
    text = a_system(seed)
    try:
        plan = tsdl.compile(text, externs=EXTERNS)
    except TsdlError as error:
        return error.diagnostics[0].code, None
    wild = WILD in text
    try:
        result = watched(plan, most_events=MOST_EVENTS, externs=EXTERNS)
    except TsdlError as error:
        code = error.diagnostics[0].code
        assert wild or code == "E0904", f"a policy of the library ends with {code}"
        assert code in ("E0901", "E0903", "E0904")
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


@pytest.mark.long
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
