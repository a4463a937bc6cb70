"""What is taken out of formulas that are asked over and over: they have the same values."""

from math import inf, nan

import pytest

from tsdl import pythonsource
from tsdl.formula import Value, make, symbol
from tsdl.hoisting import Hoisting

X, N = symbol("x"), symbol("n")  # x changes


def values(value: Value, x: float, n: float) -> tuple[object, object, list[str]]:
    """Return a formula's value as it is and rewritten, and what was taken out of it."""
    hoisting = Hoisting({"x"})
    text = pythonsource.python(hoisting.rewritten(value))
    plain = pythonsource.function("a test", "x, n", pythonsource.python(value), {})(x, n)
    names = {
        name: pythonsource.function("a test", "n", pythonsource.python(kept), {})(n)
        for name, kept in hoisting.kept.items()
    }
    found = pythonsource.function("a test", "x, n", text, names)(x, n)
    return plain, found, [str(kept) for kept in hoisting.kept.values()]


@pytest.mark.parametrize("x", [1, 2.5, -3.0, 10**18, inf])
@pytest.mark.parametrize("n", [0, 1, 7])
@pytest.mark.parametrize(
    "value",
    [
        make("+", make("*", 3, N), make("*", X, N)),
        make("max", make("*", 2.0, X), make("+", make("*", 3, N), X)),
        make("min", make("max", X, N), make("max", make("*", N, N), make("-", X, 5))),
        make("if", make(">", make("*", 2, N), 5), make("*", X, X), make("/", N, 4)),
    ],
)
def test_values_stay_what_they_are(value: Value, x: float, n: float) -> None:
    plain, found, _ = values(value, x, n)
    assert repr(plain) == repr(found)


def test_of_two_that_cannot_be_told_apart_it_is_the_first() -> None:
    for operation in ("min", "max"):
        assert values(make(operation, X, N), 1, 1.0)[1] == 1
        assert type(values(make(operation, X, N), 1, 1.0)[1]) is int
        plain, found, _ = values(make(operation, X, N), nan, 1.0)
        assert plain is found


def test_the_same_part_is_taken_out_once() -> None:
    part = make("*", 3, N)
    _, _, kept = values(make("+", make("*", X, part), make("-", part, X)), 1, 2)
    assert kept == ["3 * n"]


def test_what_may_fail_stays_where_it_is() -> None:
    """Nobody divides where nothing is to be divided by."""
    guarded = make("if", make(">", N, 0), make("*", X, make("/", 1, N)), 0)
    plain, found, kept = values(guarded, 5, 0)
    assert plain == found == 0
    assert kept == ["n > 0"]
