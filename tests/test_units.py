"""Dimensions and units: exact, and never confused."""

from fractions import Fraction

import pytest

from tsdl.session import Session
from tsdl.units import NUMBER, Dimension, Units, UnknownUnit


@pytest.fixture(scope="module")
def units() -> Units:
    program, sink = Session("<text>", "param x = 1").compile()
    assert not sink.found
    return program.units


def test_dimensions_form_a_group() -> None:
    data, time = Dimension.of("data"), Dimension.of("time")
    rate = data / time
    assert rate == Dimension.of("data/time")
    assert rate * time == data
    assert data / data == NUMBER
    assert rate ** (-1) == Dimension.of("time/data")
    assert (rate**2).exponents == (("data", 2), ("time", -2))
    assert data * time == time * data


@pytest.mark.parametrize(
    ("token", "factor", "dimension"),
    [
        ("KB", 1000, "data"),
        ("KiB", 1024, "data"),
        ("GiB", 2**30, "data"),
        ("TB/s", 10**12, "data/time"),
        ("us", Fraction(1, 10**6), "time"),
        ("µs", Fraction(1, 10**6), "time"),
        ("h", 3600, "time"),
        ("TFLOPS", 10**12, "work/time"),
        ("TOPS", 10**12, "work/time"),
        ("req/s", 1, "requests/time"),
        ("req/min", Fraction(1, 60), "requests/time"),
        ("ns/block", Fraction(1, 10**9), "time/blocks"),
        ("USD/h", Fraction(1, 3600), "money/time"),
        ("W", 1, "energy/time"),
        ("kWh", 3_600_000, "energy"),
        ("s^2", 1, "time^2"),
        ("%", Fraction(1, 100), ""),
        ("Gbit/s", 125_000_000, "data/time"),
    ],
)
def test_units_have_their_size(
    units: Units, token: str, factor: Fraction | int, dimension: str
) -> None:
    unit = units.parse(token)
    assert unit.factor == factor
    assert unit.dimension == Dimension.of(dimension)


@pytest.mark.parametrize("token", ["sec", "Kib", "ks", "mB", "req/foo", "tokns"])
def test_a_unit_that_nobody_declared_is_refused(units: Units, token: str) -> None:
    with pytest.raises(UnknownUnit):
        units.parse(token)


def test_conversion_is_exact(units: Units) -> None:
    assert units.parse("GiB").convert(80) == 80 * 2**30
    assert isinstance(units.parse("GiB").convert(80), int)
    assert units.parse("us").convert(2) == 2e-6
    assert units.parse("us").convert(5.3) == 5.3e-6
    assert units.parse("%").convert(90) == 0.9


@pytest.mark.parametrize(
    ("token", "wanted", "better"),
    [
        ("TB", "data/time", "TB/s"),
        ("GB/s", "data", "GB"),
        ("s", "time/tokens", "s/token"),
        ("s/req", "requests/time", "req/s"),
        ("GB", "time", None),
    ],
)
def test_the_likely_right_unit_is_found(
    units: Units, token: str, wanted: str, better: str | None
) -> None:
    assert units.repaired(token, Dimension.of(wanted)) == better


@pytest.mark.parametrize(
    ("written", "dimension", "usual", "measured"),
    [
        ("80", "data", "", "80 GB"),
        ("288000000000", "data", "", "288 GB"),
        ("8000000000000.0", "data/time", "", "8 TB/s"),
        ("312e12", "work/time", "", "312 TFLOPS"),
        ("7200000", "energy", "", "7.2 MJ"),
        ("20", "time", "", "20 s"),
        ("20", "time", "us", "20 us"),
        ("4", "money/time", "", "4 USD/h"),
        ("5000000", "tokens", "", "5000000 tokens"),
        ("2", "money^2", "", None),
    ],
)
def test_a_number_without_a_unit_is_offered_the_usual_one(
    units: Units, written: str, dimension: str, usual: str, measured: str | None
) -> None:
    value = float(written)
    assert units.measured(written, value, Dimension.of(dimension), usual) == measured


def test_a_file_may_declare_units_of_its_own() -> None:
    text = """
        dimension carbon_price = money / carbon
        unit tonne = 1_000_000 gCO2
        unit minute_of_fame = 15 min { prefixes = large }
        workload w {
          requests = 1; duration = 2 kminute_of_fame
          arrivals = poisson(1 req/s); prompt = constant(1 tokens); output = constant(1 tokens)
        }
    """
    program, sink = Session("<text>", text).compile()
    assert not sink.found
    assert program.units.parse("tonne").factor == 1_000_000
    assert program.units.parse("kminute_of_fame").factor == 900_000
