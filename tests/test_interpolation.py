"""Values between measured points, beyond them, and where a grid has holes."""

import math

import pytest

from tsdl.interpolation import Asked, Unmeasured, check_grid, grid_of, interpolation

Rows = dict[tuple[float, ...], float]

LINE: Rows = {(1,): 10.0, (2,): 20.0, (4,): 28.0, (8,): 44.0}
PLANE: Rows = {(x, y): 100.0 * x + y for x in (1, 2, 4) for y in (10, 20, 40)}


def at(rows: Rows, *point: float) -> tuple[float, Asked]:
    """Return the value at a point, and what of it lies beyond all points; none is in a hole."""
    unmeasured = Unmeasured()
    value = interpolation(grid_of(rows), unmeasured)(*point)
    assert unmeasured.holes == {}
    return value, unmeasured.beyond


@pytest.mark.parametrize("rows", [LINE, PLANE])
def test_a_measured_point_is_exact(rows: Rows) -> None:
    for point, value in rows.items():
        assert at(rows, *point) == (value, {})


def test_between_points_it_is_linear_and_not_in_logarithms() -> None:
    assert at(LINE, 3) == (24.0, {})
    assert at(LINE, 7) == (40.0, {})
    assert at(PLANE, 3, 30) == (330.0, {})
    assert at(PLANE, 2, 15) == (215.0, {})


def test_beyond_the_last_point_it_goes_on_from_there_and_half_way() -> None:
    assert at(LINE, 16) == (76.0, {0: (16, 16)})  # 4 apart per point, from 4 to 8
    close: Rows = {(float(x),): x + (0.5 if x == 99 else 0.0) for x in range(1, 101)}
    value, _ = at(close, 200)
    assert value == pytest.approx(200)  # and not what 99 and 100 happen to differ by


def test_beyond_the_last_point_nothing_falls() -> None:
    rows: Rows = {(1,): 10.0, (2,): 9.0}
    assert at(rows, 50) == (9.0, {0: (50, 50)})


def test_before_the_first_point_it_goes_on_down_to_nothing() -> None:
    rows: Rows = {(4,): 10.0, (8,): 18.0}
    assert at(rows, 2) == (6.0, {0: (2, 2)})
    rows[8,] = 30.0
    assert at(rows, 1) == (0.0, {0: (1, 1)})


def test_an_axis_of_one_point_says_nothing() -> None:
    assert at({(5,): 3.0}, 9)[0] == 3.0


def test_it_notes_the_widest_that_it_was_asked_beyond_its_points() -> None:
    unmeasured = Unmeasured()
    function = interpolation(grid_of(PLANE), unmeasured)
    for point in ((0, 20), (2, 20), (9, 20), (5, 50)):
        function(*point)
    assert unmeasured == Unmeasured(beyond={0: (0, 9), 1: (50, 50)})


def test_a_branch_that_lacks_what_is_asked_gives_way() -> None:
    """The one at 2 begins at 100: what it would have at 10 is a guess, and its neighbours know."""
    rows: Rows = {(x, y): 10.0 * x + y for x in (1, 3) for y in (0, 100, 200)}
    rows |= {(2, 100): 500.0, (2, 200): 900.0}
    assert at(rows, 2, 10) == (30.0, {})
    assert at(rows, 2, 150) == (700.0, {})
    assert at(rows, 2, 300)[1] == {1: (300, 300)}  # nobody knows: all take part


def test_what_falls_in_a_hole_is_not_said_to_lie_beyond() -> None:
    """At 8 up to 20 was measured, at 1 up to 40: between them, 30 has but one neighbour."""
    rows: Rows = {(1, 10): 1.0, (1, 20): 2.0, (1, 40): 4.0, (8, 10): 8.0, (8, 20): 16.0}
    cases: tuple[tuple[tuple[float, float], Asked, Asked], ...] = (
        ((4, 15), {}, {}),
        ((4, 30), {0: (4, 4)}, {}),
        ((9, 30), {}, {0: (9, 9)}),
        ((8, 50), {0: (8, 8)}, {1: (50, 50)}),
    )
    for point, holes, beyond in cases:
        unmeasured = Unmeasured()
        interpolation(grid_of(rows), unmeasured)(*point)
        assert unmeasured == Unmeasured(beyond, holes), point


def test_whatever_is_asked_no_time_is_negative() -> None:
    rows: Rows = {(1, 5): 9.0, (1, 6): 1.0, (3, 5): 1.0, (3, 9): 80.0, (7, 2): 3.0}
    function = interpolation(grid_of(rows), Unmeasured())
    for x in range(20):
        for y in range(20):
            assert 0 <= function(x, y) < math.inf


def test_a_grid_that_cannot_be_read_is_refused() -> None:
    grid = grid_of(PLANE)
    check_grid(grid, 2)
    with pytest.raises(ValueError, match="axes"):
        check_grid(grid, 3)
    with pytest.raises(ValueError, match="no time"):
        check_grid(grid_of({(1,): -1.0}), 1)
