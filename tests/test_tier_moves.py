"""KV that goes from tier to tier, worked out by hand: what leaves one, and what is fetched ahead.

The system and its figures are those of moving_kv.py: a token takes a second over the link of `far`.
"""

import pytest

import tsdl
from tests.moving_kv import FILE, TOKEN, USUAL, column
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
