"""Tiers, worked out by hand: what is stored there and found again, and how long that takes.

The system and its figures are those of moving_kv.py.
"""

import pytest

import tsdl
from tests.moving_kv import FILE, TOKEN, USUAL, column, run
from tests.watched_runs import watched

CHAT: dict[str, object] = {
    "cluster": "alone",
    "policy": "pooled",
    "size": "sessions = 1; turns = constant(2); think = constant(1 s)",
    "prompt": 20,
    "output": 5,
}


def test_the_next_question_computes_only_what_the_pool_lacks() -> None:
    """24 tokens are kept, of two blocks; the next prompt has 25 + 20, of which 21 are computed."""
    chat = run((), **CHAT)
    assert column(chat, "arrived") == [0.0, 22.0]
    assert column(chat, "prompt") == [20, 45]
    assert column(chat, "cached") == [0, 24]
    fetched = 2 * 800e-9
    assert column(chat, "ttft") == pytest.approx([20.0, fetched + 21], rel=1e-12)
    assert column(chat, "e2e") == pytest.approx([21.0, fetched + 22], rel=1e-12)
    (pool,) = chat.summary["tiers"]
    assert (pool["fetches"], pool["hits"], pool["stores"]) == (1, 1, 2)
    assert (pool["tokens_asked"], pool["tokens_found"]) == (44, 24)
    assert pool["peak"] == (45 + 5 - 1) * TOKEN


@pytest.mark.parametrize("turns", [3, 5])
def test_a_block_that_is_fetched_takes_800_ns(turns: int) -> None:
    more = {"size": f"sessions = 1; turns = constant({turns}); think = constant(1 s)"}
    chat = run((), **(CHAT | more))
    kept = [25 * turn - 1 for turn in range(1, turns)]
    wanted = [20.0] + [800e-9 * -(-tokens // 16) + 21 for tokens in kept]
    assert column(chat, "ttft") == pytest.approx(wanted, rel=1e-12)
    assert column(chat, "cached") == [0, *kept]


def test_a_fetch_over_a_link_takes_its_time_as_well() -> None:
    chat = run((), **(CHAT | {"tier": "link = by_token"}))
    # stored from 21 s on, for 24 s; asked for at 22 s, when nothing is there yet
    assert column(chat, "cached") == [0, 0]
    later = {"size": "sessions = 1; turns = constant(2); think = constant(100 s)"}
    chat = run((), **(CHAT | later | {"tier": "link = by_token"}))
    assert column(chat, "cached") == [0, 24]
    assert column(chat, "ttft")[1] == pytest.approx(2 * 800e-9 + 24 + 21, rel=1e-12)


def test_two_stores_at_once_keep_each_token_once() -> None:
    """24 tokens flow until 117 s; at 68 s 25 more follow, and not all 49."""
    chat = run((), **(CHAT | {"tier": "link = by_token", "rate": 16}))
    assert column(chat, "e2e") == [21.0, 46.0]
    assert chat.summary["tiers"][0]["peak"] == 49 * TOKEN


def test_what_is_done_when_kv_is_evicted_finds_all_in_its_place() -> None:
    """There is room for one of them; whoever is evicted has another that runs stored."""
    stage = """global {
    on arrive(r) { dispatch r to pick(w by w.id for w in workers) }
    on evict(r) { for w in workers { for x in w.active { store x in pool } } }
  }"""
    given = {"size": "requests = 6", "stage": stage, "pool": 64 * 30, "local": "; max_requests = 4"}
    chat = run((), **(CHAT | given))  # under watch, which looks at the tier
    (pool,) = chat.summary["tiers"]
    assert pool["evictions"] >= 1
    assert pool["peak"] <= pool["capacity"]


def test_what_has_no_room_is_not_kept() -> None:
    chat = run((), **(CHAT | {"pool": 64 * 23}))
    assert column(chat, "cached") == [0, 0]
    assert column(chat, "ttft") == [20.0, 45.0]
    assert chat.summary["tiers"][0]["refused"] == 2


def test_a_hand_over_through_a_pool() -> None:
    """`store`, `drop`, `submit`: all but one token of the length is fetched, and it decodes on."""
    stage = """global {
    on arrive(r) { dispatch r to pick(w by w.id for w in workers) }
    on submit(r) { dispatch r to pick(w by -w.id for w in workers) }
  }"""
    text = FILE.replace("worker gpu {{", "worker gpu * 2 {{")
    local = """
    on token(r, w) when r.generated == 1 { store r in pool; drop r; submit r }
    on start(r, w) when r.generated > 0 { fetch r from pool }
    on finish(r, w) {}"""
    given = USUAL | CHAT | {"size": "requests = 1", "stage": stage, "local": local}
    result = watched(tsdl.compile(text.format(**given)))
    moves = 2 * 2 * 800e-9  # two blocks, there and back
    assert column(result, "ttft") == [20.0]
    assert column(result, "mtpot") == pytest.approx([moves + 0.25], rel=1e-9)
    assert column(result, "e2e") == pytest.approx([20 + moves + 4 * 0.25], rel=1e-12)
    assert column(result, "worker") == [1]
    assert column(result, "cached") == [20]


def asking(local: str, **given: object) -> tuple[list[int], float]:
    """Return the tokens that the tiers `pool` and `far` were asked for, and the rate of hits."""
    text = FILE.replace("  tier pool", "  tier far {{ capacity = 1 GiB }}\n  tier pool")
    more = given | {"policy": "continuous", "local": local}
    result = watched(tsdl.compile(text.format(**(USUAL | CHAT | more))))
    asked = {tier["name"]: tier["tokens_asked"] for tier in result.summary["tiers"]}
    return [asked["pool"], asked["far"]], result.totals["hit_rate"]


def test_what_several_tiers_are_asked_for_in_turn_counts_once() -> None:
    """All 24 tokens that there are of 44 are found, in the second that is asked."""
    asked, rate = asking("""
    on start(r, w) when r.turn > 0 { fetch r from far; fetch r from pool }
    on finish(r, w) { store r in pool }""")
    assert asked == [44, 44]
    assert rate == 24 / 44


def test_what_the_first_tier_has_the_second_is_not_asked_for() -> None:
    """Of 44 and of 69 tokens the near one has 24, and the far one 25 more for the last."""
    local = """
    on start(r, w) when r.turn > 0 { fetch r from pool; fetch r from far }
    on finish(r, w) { store r in far; if r.turn == 0 { store r in pool } }"""
    asked, rate = asking(local, size="sessions = 1; turns = constant(3); think = constant(1 s)")
    assert asked == [44 + 69, (44 - 24) + (69 - 24)]
    assert rate == (24 + 24 + 25) / (44 + 69)


def test_who_has_lost_its_kv_asks_anew() -> None:
    """19 of 20 tokens are asked for; 10 are computed, stored, dropped; then 19 are asked for."""
    asked, rate = asking(
        """
    batching = chunked; max_requests = 1
    state dropped = 0
    on admit(r, w) { fetch r from pool }
    on iteration(batch, w) when dropped == 0 {
      dropped = 1
      for r in w.active { store r in pool; drop r }
    }""",
        size="requests = 1",
        most=10,
    )
    assert asked == [19 + 19, 0]
    assert rate == 10 / 38
