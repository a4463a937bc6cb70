"""Formulas: folding, printing, Python source, JSON."""

import pytest

from tsdl import formula, formulajson, pythonsource
from tsdl.formula import Formula, Value, make, symbol

X, Y = symbol("x"), symbol("y")


def at(value: Value, **known: float) -> object:
    return pythonsource.function("a test", ", ".join(known), pythonsource.python(value), {})(
        *known.values()
    )


def test_what_is_known_is_computed() -> None:
    assert make("+", 2, 3) == 5
    assert make("/", 1, 4) == 0.25
    assert make("round_up", 17, 16) == 32
    assert make("if", True, X, Y) == X
    assert make("and", True, True) is True


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (make("+", 0, X), X),
        (make("*", X, 1), X),
        (make("*", X, 0), 0),
        (make("*", 2, make("*", 3, X)), make("*", 6, X)),
        (make("/", make("*", 8, X), 4), make("*", 2.0, X)),
        (make("and", True, X), X),
        (make("or", X, True), True),
        (make("if", X, Y, Y), Y),
    ],
)
def test_what_makes_no_difference_is_left_out(value: Value, expected: Value) -> None:
    assert value == expected


CASES: list[tuple[Value, float]] = [
    (make("-", X, make("-", Y, 1)), 7.0 - (3.0 - 1)),
    (make("/", X, make("*", Y, 2)), 7.0 / 6.0),
    (make("**", make("+", X, Y), 2), 100.0),
    (make("negate", make("+", X, Y)), -10.0),
    (make("if", make(">", X, Y), X, Y), 7.0),
    (make("max", X, Y, 5), 7.0),
    (make("clamp", X, 0, Y), 3.0),
    (make("round_up", X, 4), 8.0),
    (make("mod", X, Y), 1.0),
    (make("//", X, Y), 2.0),
    (make("round_up_to", X, 4, 8, 16), 8.0),
    (make("sqrt", make("+", X, 2)), 3.0),
    (make("floor", make("/", X, Y)), 2.0),
]


@pytest.mark.parametrize(("value", "expected"), CASES)
def test_python_source_computes_the_same(value: Value, expected: float) -> None:
    assert at(value, x=7.0, y=3.0) == expected


@pytest.mark.parametrize("value", [value for value, _ in CASES])
def test_json_keeps_a_formula(value: Value) -> None:
    assert formulajson.from_json(formulajson.to_json(value)) == value


def test_a_formula_reads_as_it_was_written() -> None:
    value = make("*", make("+", X, Y), make("-", X, make("-", Y, 1)))
    assert str(value) == "(x + y) * (x - (y - 1))"
    assert str(make("if", make(">", X, 0), X, 0)) == "x if x > 0 else 0"
    assert str(make("==", make("<", X, 1), make("<", Y, 2))) == "(x < 1) == (y < 2)"


def test_symbols_are_found() -> None:
    assert formula.symbols(make("if", make(">", X, 0), Y, 2)) == {"x", "y"}


def test_impossible_arithmetic_is_refused() -> None:
    with pytest.raises(ZeroDivisionError):
        make("/", 1, 0)
    with pytest.raises(ArithmeticError):
        make("sqrt", -1)
    with pytest.raises(ArithmeticError):
        make("**", 10, 10**9)
    with pytest.raises(ArithmeticError):
        make("*", 1e308, 10.0)


@pytest.mark.parametrize(
    ("name", "percent"), [("p50", 50), ("p99", 99), ("p999", 99.9), ("p5", 5), ("p", None)]
)
def test_percentiles_by_name(name: str, percent: float | None) -> None:
    assert formula.percentile_of(name) == percent


def test_comparisons_of_comparisons_and_powers_of_powers_have_brackets() -> None:
    """Without them they would be read as something else, or not at all."""
    a, b, c = map(symbol, "abc")
    equal = Formula("==", (Formula("==", (a, b)), Formula("<", (b, c))))
    assert str(equal) == "(a == b) == (b < c)"
    assert str(Formula("**", (Formula("**", (a, b)), c))) == "(a ** b) ** c"
    assert str(Formula("**", (a, Formula("**", (b, c))))) == "a ** b ** c"
    assert str(Formula("-", (Formula("-", (a, b)), Formula("-", (b, c))))) == "a - b - (b - c)"
    assert (
        str(Formula("and", (Formula("==", (a, b)), Formula("and", (b, c))))) == "a == b and b and c"
    )
