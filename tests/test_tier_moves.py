"""KV that goes from tier to tier, worked out by hand: what leaves one, and what is fetched ahead.

The system and its figures are those of moving_kv.py: a token takes a second over the link of `far`.
"""

import pytest

import tsdl
from tests.moving_kv import FILE, TOKEN, USUAL, column
from tests.test_recurrent_layers import KEEPS_ONE_TOKEN
from tests.watched_runs import watched
from tsdl.runtime.result import Result

TEXT = FILE.replace(
    "  tier pool", "  tier far {{ capacity = 1 GiB; link = by_token }}\n  tier pool"
)
BLOCKS = 2 * 800e-9  # 24 tokens, read or written in the pool
ARRIVE = "on arrive(r) { dispatch r to pick(w by w.id for w in workers)"
KEPT = """; max_requests = 1
    on start(r, w) when r.turn > 0 { fetch r from pool; fetch r from far }
    on finish(r, w) { store r in pool }"""


Tiers = dict[str, dict[str, int]]


def kept(stage: str, local: object = KEPT, **given: object) -> tuple[Result, Tiers]:
    """Return a run of two turns that are far apart, and what came of each tier."""
    size = "sessions = 1; turns = constant(2); think = constant(100 s)"
    usual = {"cluster": "alone", "policy": "continuous", "size": size, "prompt": 20, "output": 5}
    stage = f"global {{ {stage} }}"
    more = {"stage": stage, "local": local} | given
    result = watched(tsdl.compile(TEXT.format(**(USUAL | usual | more))))
    return result, {tier["name"]: tier for tier in result.summary["tiers"]}


TWO = {"size": "sessions = 2; turns = constant(2); think = constant(100 s)", "pool": 64 * 49}


def test_what_leaves_a_tier_is_kept_in_another() -> None:
    """The first answer ends at 21 s, the second at 42 s: what is kept of the first has to go.

    From 42 to 66 s it flows. At 121 s the first asks again: 24 s to fetch, 21 s to compute.
    """
    one = TWO | {"pool": 64 * 30}
    result, tiers = kept(f"{ARRIVE} }}; on evict(r) {{ store r in far }}", **one)
    assert column(result, "cached")[2] == 24
    assert column(result, "ttft")[2] == pytest.approx(24 + 21, rel=1e-12)
    assert tiers["pool"]["evictions"] == tiers["far"]["stores"] == 1
    gone, _ = kept(f"{ARRIVE} }}; on evict(r) {{ log r.id }}", **one)
    assert column(gone, "cached")[2] == 0
    assert column(gone, "ttft")[2] == 45


def test_only_what_the_other_tier_lacks_is_copied() -> None:
    """At its end each answer is stored in both; what leaves the pool is in the other already."""
    local = KEPT.replace("store r in pool", "store r in pool; store r in far")
    result, tiers = kept(f"{ARRIVE} }}; on evict(r) {{ store r in far }}", local, **TWO)
    assert tiers["pool"]["evictions"] > 0
    assert tiers["far"]["stores"] == 4
    assert tiers["far"]["peak"] == 2 * 49 * TOKEN
    assert column(result, "cached")[2] == 24


def test_what_leaves_a_tier_is_not_stored_there() -> None:
    _, tiers = kept(f"{ARRIVE} }}; on evict(r) {{ store r in pool; store r in pool }}", **TWO)
    _, plain = kept(f"{ARRIVE} }}", **TWO)
    assert tiers == plain


def test_each_makes_room_for_the_next() -> None:
    """What comes to the far tier has others leave it, for the near one: until all is on its way."""
    stage = f"{ARRIVE} }}; on evict(r) {{ store r in far; store r in pool }}"
    size = "sessions = 30; turns = constant(1)"
    small = TEXT.replace("far {{ capacity = 1 GiB", "far {{ capacity = 4 MiB")
    given = {"cluster": "alone", "policy": "continuous", "local": KEPT, "prompt": 20, "output": 5}
    given |= {"stage": f"global {{ {stage} }}", "size": size, "pool": 64 * 80}
    result = watched(tsdl.compile(small.format(**(USUAL | given))))
    for tier in result.summary["tiers"]:
        assert 0 < tier["peak"] <= tier["capacity"]
        assert tier["evictions"] > 0


AHEAD = """; max_requests = 1
    on start(r, w) when r.turn > 0 { fetch r from pool }
    on finish(r, w) { store r in far }"""


def test_who_fetches_what_is_on_its_way_waits_for_it() -> None:
    """Stored until 45 s; asked for at 121 s, and 24 s later in the pool."""
    result, tiers = kept(f"{ARRIVE}; fetch r from far to pool }}", AHEAD)
    assert column(result, "cached") == [0, 24]
    assert column(result, "ttft")[1] == pytest.approx(BLOCKS + 24 + BLOCKS + 21, rel=1e-12)
    assert (tiers["pool"]["stores"], tiers["pool"]["hits"]) == (1, 1)
    assert (tiers["far"]["fetches"], tiers["far"]["tokens_asked"]) == (0, 0)


def test_a_copy_from_tier_to_tier_takes_the_state_along() -> None:
    """The state is as a token is, which takes a second more: 25 s, where 24 have been."""
    result, tiers = kept(f"{ARRIVE}; fetch r from far to pool }}", AHEAD, points=KEEPS_ONE_TOKEN)
    assert column(result, "cached") == [0, 24]
    blocks = 2 * BLOCKS * 25 / 24
    assert column(result, "ttft")[1] == pytest.approx(blocks + 25 + 21, rel=1e-6)
    assert tiers["pool"]["peak"] == 25 * TOKEN
    assert tiers["far"]["peak"] == 50 * TOKEN


def test_what_is_fetched_ahead_is_there_for_who_had_to_wait() -> None:
    """Two ask again at 121 s and 142 s; the second starts once the first has its answer."""
    result, _ = kept(f"{ARRIVE}; fetch r from far to pool }}", AHEAD, **(TWO | {"pool": 10**6}))
    begun = column(result, "e2e")[2] + column(result, "arrived")[2]
    assert column(result, "cached")[2:] == [24, 24]
    end = column(result, "arrived")[3] + column(result, "ttft")[3]
    assert end == pytest.approx(begun + BLOCKS + 21, rel=1e-9)


@pytest.mark.parametrize("given", [{"pool": 0}, {"pool": 64 * 23}])
def test_what_has_no_room_is_not_fetched_ahead(given: dict[str, object]) -> None:
    result, tiers = kept(f"{ARRIVE}; fetch r from far to pool }}", AHEAD, **given)
    assert column(result, "cached") == [0, 0]
    assert column(result, "ttft")[1] == 45
    assert tiers["pool"]["refused"] == 1


def test_what_is_read_is_not_let_go() -> None:
    """While the far tier's only entry is copied, nothing else finds room there."""
    small = TEXT.replace("far {{ capacity = 1 GiB", "far {{ capacity = 1600 KiB")
    size = "sessions = 2; turns = constant(2); think = constant(10 s)"
    given = {"cluster": "alone", "policy": "continuous", "local": AHEAD, "prompt": 20, "output": 5}
    given |= {"stage": f"global {{ {ARRIVE}; fetch r from far to pool }} }}", "size": size}
    result = watched(tsdl.compile(small.format(**(USUAL | given))))
    assert all(tier["peak"] <= tier["capacity"] for tier in result.summary["tiers"])
    assert sum(tier["refused"] for tier in result.summary["tiers"]) > 0


def test_a_copy_of_what_is_just_growing_is_of_what_is_there() -> None:
    """At 146 s the far tier has 24 tokens, and room for the 25 more that flow until 171 s."""
    local = "on finish(r, w) { store r in far; fetch r from far to pool }"
    result, tiers = kept(f"{ARRIVE} }}", f"; max_requests = 1\n{local}")
    assert column(result, "e2e") == [21, 46]
    assert tiers["pool"]["peak"] == 24 * TOKEN
    assert tiers["far"]["peak"] == 49 * TOKEN


def test_nothing_is_fetched_for_who_is_rejected() -> None:
    stage = "on arrive(r) { if r.turn > 0 { reject r; fetch r from far to pool } else { FIRST } }"
    first = "dispatch r to pick(w by w.id for w in workers)"
    _, tiers = kept(stage.replace("FIRST", first), AHEAD)
    assert (tiers["far"]["stores"], tiers["pool"]["stores"]) == (1, 0)


def test_what_is_fetched_back_whenever_it_leaves_ends() -> None:
    """Each of a thousand that are kept pushes another out, which comes back in its turn."""
    local = "; max_requests = 1000\n on finish(r, w) { store r in far; store r in pool }"
    stage = f"{ARRIVE} }}; on evict(r) {{ fetch r from far to pool }}"
    many = {"size": "requests = 2000", "prompt": 1, "output": 1, "pool": 64 * 1000}
    result, tiers = kept(stage, local, **many)
    assert result.summary["requests"]["finished"] == 2000
    assert tiers["pool"]["peak"] <= tiers["pool"]["capacity"]
    assert tiers["pool"]["evictions"] >= 1000


def test_a_tier_of_the_node_where_a_request_is_comes_next() -> None:
    """KV leaves a tier of the prefilling node, and goes to one of the node where its request is."""
    nodes = """cluster apart {{ network = no_time
  node a {{
    worker one {{ hardware = box; cost = by_hand; kv = exact; runs = prefill }}
    tier x {{ capacity = 1920 KiB }}
  }}
  node b {{
    worker two {{ hardware = box; cost = by_hand; kv = exact; runs = decode }}
    tier y {{ capacity = 1 GiB }}
  }}
}}
"""
    stage = """global {
    on arrive(r) { dispatch r to pick(w by w.id for w in workers if w.prefills) }
    on submit(r) { dispatch r to pick(w by w.id for w in workers if w.decodes) }
    on evict(r) { store r in y }
  }"""
    local = "\n on token(r, w) when not w.decodes { store r in x; submit r }"
    size = "requests = 3; arrivals = uniform(0.02 req/s)"
    text = FILE.replace("cluster pair", f"{nodes}cluster pair").replace("arrivals = burst(); ", "")
    given = {"cluster": "apart", "policy": "continuous", "size": size, "prompt": 20, "output": 400}
    given |= {"stage": stage, "local": local}
    result = watched(tsdl.compile(text.format(**(USUAL | given))))
    tiers = {tier["name"]: tier for tier in result.summary["tiers"]}
    assert tiers["x"]["evictions"] == tiers["y"]["stores"] == 2


def test_who_waits_on_a_worker_that_fails_fetches_nothing_there() -> None:
    """It fails at 130 s; at 145 s the copy that was waited for is there, and the request lost."""
    failing = TEXT.replace(
        "worker gpu {{", "worker gpu {{ failures = constant(130 s); repair = 1 s;"
    )
    size = "sessions = 1; turns = constant(2); think = constant(100 s)"
    stage = (
        f"global {{ {ARRIVE}; fetch r from far to pool }}; on lost(r) {{ log r.id, r.computed }} }}"
    )
    given = {"cluster": "alone", "policy": "continuous", "size": size, "prompt": 20, "output": 5}
    given |= {"stage": stage, "local": AHEAD}
    result = watched(tsdl.compile(failing.format(**(USUAL | given))))
    ((time, text),) = result.log
    assert text == "1 0"
    assert time == pytest.approx(145, abs=1e-5)
    assert result.summary["tiers"][1]["hits"] == 0


def test_who_drains_beyond_the_end_is_on_until_the_end() -> None:
    """The last token is there at 21 s; what is stored of its KV flows until 45 s."""
    scaled = TEXT.replace("worker gpu {{", "worker gpu * 0..1 {{")
    local = "; max_requests = 1\n on finish(r, w) { store r in far }"
    stage = """global {
    on arrive(r) { scale gpu to 1; dispatch r to pick(w by w.id for w in workers) }
    on ready(w) { }
    on token(r, w) when r.generated == 1 { scale gpu to 0 }
  }"""
    given = {"cluster": "alone", "policy": "continuous", "size": "requests = 1", "prompt": 20}
    given |= {"stage": stage, "local": local}
    result = watched(tsdl.compile(scaled.format(**(USUAL | given))))
    (worker,) = result.summary["workers"]
    assert result.summary["makespan"] == worker["on"] == 21


def test_who_has_all_of_its_kv_fetched_where_nobody_decodes_computes_its_last_token() -> None:
    """It drops its KV once it has its first token: all but that is in the pool."""
    both = """cluster split {{
  worker one {{ hardware = box; cost = by_hand; kv = exact; runs = prefill }}
  worker two {{ hardware = box; cost = by_hand; kv = exact; runs = decode }}
  tier pool {{ capacity = 1 GiB }}
}}
"""
    stage = """global {
    on arrive(r) { dispatch r to pick(w by w.id for w in workers if w.prefills) }
    on submit(r) { dispatch r to pick(w by w.id for w in workers if w.decodes) }
  }"""
    local = """
    on admit(r, w) { fetch r from pool }
    on token(r, w) when not w.decodes {
      store r in pool
      if r.generated == 1 { drop r } else { submit r }
    }"""
    given = {"cluster": "split", "policy": "continuous", "size": "requests = 1", "prompt": 20}
    given |= {"stage": stage, "local": local}
    text = FILE.replace("cluster pair", f"{both}cluster pair")
    result = watched(tsdl.compile(text.format(**(USUAL | given))))
    assert result.summary["requests"]["finished"] == 1
    assert column(result, "cached") == [20]
    assert column(result, "ttft") == [20]
    assert column(result, "e2e") == [pytest.approx(20 + 1 + 0.25 * 3, abs=1e-3)]
