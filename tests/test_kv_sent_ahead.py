"""KV that is sent ahead, worked out by hand: layer by layer, or while its request runs.

The system and its figures are those of moving_kv.py.
"""

from collections.abc import Sequence

import numpy as np
import pytest

import tsdl
from tests.moving_kv import FILE, TOKEN, USUAL, Row, column, run
from tests.watched_runs import watched
from tsdl.runtime.arrivals import Arrivals
from tsdl.runtime.result import Result

# -- layer by layer ----------------------------------------------------------------------------

LAYERED = """global {
    on kv_ready(batch, layer, w) when not w.decodes {
      for r in batch.prefilling { transfer r to pick(v by v.id for v in workers if v.decodes) }
    }
    on submit(r) { dispatch r to pick(v by v.id for v in workers if v.decodes) }
  }"""
BY_LAYERS: dict[str, object] = {
    "points": "; breakpoint kv_ready after block.attn",
    "stage": LAYERED,
}


def test_kv_that_is_sent_layer_by_layer_leaves_the_last_layer_to_wait_for() -> None:
    """A layer of 4 tokens takes a second to compute, and one to send: the last comes at 5 s."""
    one = run([(0.0, 4, 5)], **BY_LAYERS)
    assert column(one, "ttft") == [4.0]
    assert column(one, "mtpot") == [1.25]
    assert column(one, "e2e") == [5 + 4 * 0.25]
    assert column(one, "transferred") == [4 * TOKEN]
    assert run([(0.0, 4, 5)], points="").summary["end"] == 8 + 4 * 0.25  # not layer by layer


def test_layers_wait_for_a_link_that_is_slower_than_they_are() -> None:
    """The first layer flows from 1 s to 3 s, the second to 5 s, the other two to 9 s."""
    one = run([(0.0, 4, 5)], rate=32, **BY_LAYERS)
    assert column(one, "ttft") == [4.0]
    assert column(one, "e2e") == [9 + 4 * 0.25]
    assert one.summary["transfers"]["count"] == 4  # three ahead, and the hand-over of nothing


def test_memory_is_reserved_from_the_first_layer_on() -> None:
    """At 5 s the first takes 5 of 8 tokens: the second is sent ahead from its next layer on.

    Half of it flows from 6 s to 8 s, a layer to 9 s, the last to 10 s.
    """
    rows = [(0.0, 4, 2), (0.0, 4, 2)]
    two = run(rows, blocks=8, most=4, prompt=1, output=1, **BY_LAYERS)
    assert column(two, "first_token") == [4.0, 8.0]
    assert column(two, "last_token") == [5.25, 10.25]
    assert two.summary["workers"][1]["kv_peak"] == 5 * TOKEN


def test_a_sequential_hand_over_of_which_all_was_sent_ahead_takes_its_latency() -> None:
    """A layer of A takes an eighth of a second to send, of B a quarter of that, and half to begin.

    A is there at 4.625 s, and taken in until 5.125 s. Of B a layer is there at 4.78125 s, two at
    5.34375 s, all at 5.875 s, when A has its fourth token; until 6.375 s nothing is computed.
    """
    given = BY_LAYERS | {"receiving": "handoff = sequential", "latency": "500 ms", "most": 4}
    both = run([(0.0, 4, 5), (0.0, 1, 3)], rate=64 * 8, **given)
    assert column(both, "first_token") == [4.0, 5.0]
    assert column(both, "last_token") == [6.625, 6.875]


# -- between two workers that do everything ----------------------------------------------------

TWO_ALIKE = FILE.replace(
    "worker gpu {{ hardware = box; cost = by_hand; kv = exact }}",
    "worker gpu * 2 {{ hardware = box; cost = by_hand; kv = exact; link = by_token }}",
)


def alike(rows: Sequence[Row], stage: str, **given: object) -> Result:
    values = USUAL | {"cluster": "alone", "stage": f"global {{ {stage} }}"} | given
    plan = tsdl.compile(TWO_ALIKE.format(**values))
    columns = [np.array(c) for c in zip(*rows, strict=True)]
    return watched(plan, arrivals=Arrivals(*columns))


TO_FIRST = "on arrive(r) { dispatch r to pick(w by w.id for w in workers) }"
LAST = "pick(v by -v.id for v in workers)"


def test_a_copy_is_given_up_when_its_request_ends() -> None:
    """Ten tokens are sent ahead to where the request never goes; it rests meanwhile."""
    stage = f"{TO_FIRST}\n on token(r, w) when r.generated == 1 {{ transfer r to {LAST} }}"
    one = alike([(0.0, 10, 5)], stage, policy="continuous")
    assert column(one, "e2e") == [10 + 10 + 4 * 0.25]
    assert [w["kv_peak"] for w in one.summary["workers"]] == [14 * TOKEN, 11 * TOKEN]


@pytest.mark.parametrize("second", ["static", "continuous", "chunked"])
def test_what_came_in_part_is_computed_where_it_came_to(second: str) -> None:
    """Of 10 tokens 4 are computed in 4 s, and moved in 4 s; the other 6 take 6 s."""
    stage = f"""{TO_FIRST}
    on half(batch, layer, w) when w.id == 0 {{
      dispatch pick(r by r.id for r in batch.prefilling) to {LAST}
    }}"""
    own = f"policy other from {second} {{{{ local {{{{ max_requests = 4 }}}} }}}}\nworkload some"
    first = "worker gpu {{ hardware = box; cost = by_hand; kv = exact; link = by_token }}"
    text = TWO_ALIKE.replace("workload some", own).replace(
        "worker gpu * 2 {{", f"{first}\n  worker last {{{{ policy = other;"
    )
    given = {"policy": "chunked", "points": "; breakpoint half after lm_head", "cluster": "alone"}
    given |= {"stage": f"global {{ {stage} }}", "local": "; max_requests = 4"}
    plan = tsdl.compile(text.format(**(USUAL | given | {"most": 4})))
    one = watched(plan, arrivals=Arrivals(np.zeros(1), np.array([10]), np.array([1])))
    assert column(one, "first_token") == [14.0]
    assert column(one, "worker") == [1]
    assert one.summary["transfers"]["bytes"] == 4 * TOKEN


def test_an_action_that_waits_for_the_end_of_an_iteration_finds_its_request_done() -> None:
    """`drop` and `preempt` of one that has its last token meanwhile do nothing."""
    for verb in ("drop", "preempt", "submit", "reject"):
        stage = f"""{TO_FIRST}
        on half(batch, layer, w) {{ for r in batch.decoding {{ {verb} r }} }}
        on token(r, w) {{ store r in pool }}"""
        if verb == "submit":
            stage += f"\n on submit(r) {{ dispatch r to {LAST} }}"
        one = alike(
            [(0.0, 1, 2)], stage, policy="continuous", points="; breakpoint half after lm_head"
        )
        stored = 800e-9  # its first token, which is a block
        assert column(one, "last_token") == pytest.approx([1.25 + stored], rel=1e-12)
        assert one.summary["requests"]["finished"] == 1
