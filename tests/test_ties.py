"""What comes first of all that happens at one time, worked out by hand.

The notation is that of by_hand.py.
"""

import numpy as np
import pytest

from tests.by_hand import run


@pytest.mark.parametrize(
    ("policy", "iterations"),
    [
        ("continuous", ["0 A+8", "1 B+8", "2 A B", "3 A"]),
        ("chunked", ["0 A+8", "1 B+8 A", "2 A B"]),
        ("static", ["0 A+8", "1 A", "2 A", "3 B+8", "4 B"]),
    ],
)
def test_who_arrives_at_a_boundary_joins_it(policy: str, iterations: list[str]) -> None:
    assert run([(0, 8, 3), (1, 8, 2)], policy=policy).iterations[0] == iterations


def test_who_arrives_just_after_a_boundary_waits_for_the_next() -> None:
    late = run([(0, 8, 3), (float(np.nextafter(1, 2)), 8, 1)], policy="chunked")
    assert late.iterations[0] == ["0 A+8", "1 A", "2 B+8 A"]


@pytest.mark.parametrize("policy", ["continuous", "chunked", "static"])
@pytest.mark.parametrize("at", [0.0, 5.0])
def test_who_arrives_together_at_an_idle_worker_starts_together(policy: str, at: float) -> None:
    three = run([(at, 8, 1)] * 3, policy=policy)
    assert three.iterations[0] == [f"{at:g} A+8 B+8 C+8"]
    assert three.column("queue") == [0, 0, 0]


def test_a_router_sees_those_who_arrived_before_at_the_same_time() -> None:
    three = run([(0, 8, 2)] * 3, workers=2)
    assert three.column("worker") == [0, 1, 0]


def test_arrivals_come_before_the_boundary_at_their_time() -> None:
    """At 1 s, A is still on worker 0 for the router, though its last token comes at 1 s."""
    two = run([(0, 8, 1), (1, 8, 1)], workers=2)
    assert two.column("worker") == [0, 1]


def test_boundaries_at_one_time_go_in_the_order_of_the_workers() -> None:
    """Worker 1's iteration began long before worker 0's: that does not show at 10 s.

    D waits, and is offered to the workers again after the boundary of worker 0 alone.
    """
    rows = [(0.0, 4, 1), (0.0, 10, 1), (1.0, 6, 1), (5.0, 3, 1)]
    for key in ("w.id", "-w.id"):
        target = f"pick(w by {key} for w in workers if w.outstanding < 1)"
        first, second = (0, 1) if key == "w.id" else (1, 0)
        ordered = [rows[first], rows[second], *rows[2:]]
        four = run(ordered, workers=2, cost="by_token", target=target)
        assert sorted(four.last[:3]) == [4, 10, 10]
        assert four.column("worker")[3] == 0
