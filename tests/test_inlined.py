"""Formulas as quick Python source: the same values, to the last bit, and what is known early."""

from itertools import product

import pytest

from tsdl import pythonsource
from tsdl.formula import Formula, Value, make, symbol
from tsdl.inlined import Inlined

X, Y = symbol("x"), symbol("y")
KINKED = make("max", make("*", 0.1, X), make("/", Y, 3))
NUMBERS = (-2.5, 0, 0.0, 1, 3, 10, float("nan"))


def plain(value: Value, x: float, y: float) -> object:
    return pythonsource.function("a test", "x, y", pythonsource.python(value), {})(x, y)


def inlined(value: Value, x: float, y: float) -> object:
    return pythonsource.function("a test", "x, y", Inlined().python(value), {})(x, y)


@pytest.mark.parametrize(
    "value",
    [
        KINKED,
        make("min", X, Y),
        make("min", KINKED, make("min", make("sqrt", make("*", Y, Y)), X)),
        make("max", X, Y, KINKED),
        make("round_up", make("+", X, Y), 4),
        make("if", make(">", make("*", 2, X), 5), make("-", KINKED, X), make("+", X, Y)),
        Formula("+", (0.5, 0.25)),  # as a plan that was written elsewhere may have it
        Formula("+", (X, Formula("/", (1, 4)))),
    ],
)
def test_the_values_are_those_of_the_plain_source(value: Value) -> None:
    for x, y in product(NUMBERS, NUMBERS):
        assert repr(inlined(value, x, y)) == repr(plain(value, x, y))


def test_so_are_those_of_steps_that_are_not_whole() -> None:
    value = make("round_up", make("+", X, Y), 0.3)
    for x, y in product(NUMBERS[:-1], NUMBERS[:-1]):
        assert repr(inlined(value, x, y)) == repr(plain(value, x, y))
    assert "round_up" not in Inlined().python(value)


def test_what_depends_on_early_symbols_alone_has_a_name_once() -> None:
    twice = make("+", make("*", 2, X), 1)
    value = make("if", make(">", X, 3), make("/", Y, twice), make("*", Y, twice))
    writer = Inlined(frozenset({"x"}))
    inner = pythonsource.function("a test", "y, _early0, _early1", writer.python(value), {})
    assert writer.found == {"((2 * x) + 1)": "_early0", "(x > 3)": "_early1"}
    assert inner(18.0, 9, True) == plain(value, 4, 18.0) == 2.0


def test_what_may_fail_is_not_computed_before_its_condition() -> None:
    value = make("if", make(">", X, 0), make("/", Y, make("/", 1, X)), 0)
    writer = Inlined(frozenset({"x"}))
    writer.python(value)
    assert list(writer.found) == ["(x > 0)"]


def test_of_two_that_cannot_be_told_apart_it_is_the_first() -> None:
    for operation in ("min", "max"):
        first = inlined(make(operation, X, Y), 1, 1.0)
        assert first == 1
        assert type(first) is int
