"""Dimensions, and units of them: exact algebra. Knows nothing of syntax."""

import re
from fractions import Fraction
from typing import NamedTuple

from msgspec import Struct, field

Number = int | float

DECIMAL_SMALL = {"n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "µ": Fraction(1, 10**6)}
DECIMAL_SMALL["m"] = Fraction(1, 10**3)
DECIMAL_LARGE = {
    "k": Fraction(10**3),
    "K": Fraction(10**3),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
    "T": Fraction(10**12),
    "P": Fraction(10**15),
    "E": Fraction(10**18),
}
BINARY = {f"{p}i": Fraction(2 ** (10 * (i + 1))) for i, p in enumerate("KMGTPE")}
PREFIXES: dict[str, dict[str, Fraction]] = {
    "none": {},
    "small": DECIMAL_SMALL,
    "large": DECIMAL_LARGE,
    "decimal": DECIMAL_SMALL | DECIMAL_LARGE,
    "binary": DECIMAL_LARGE | BINARY,
}

# So large a number is one of base units: nobody has a million gigabytes.
_HUGE = 10**6
# A bare whole number may stand for a count of these.
COUNTS = frozenset({"tokens", "requests", "layers", "devices", "blocks", "sessions"})

_POWER = re.compile(r"(?P<name>%|[A-Za-zµ][A-Za-z0-9_]*?)(?:\^(?P<power>-?[0-9]))?$")


class Dimension(Struct, frozen=True):
    """A product of powers of base dimensions, in the order of their names."""

    exponents: tuple[tuple[str, int], ...] = ()

    @staticmethod
    def of(text: str) -> "Dimension":
        """Read `data/time`, `time^2*money`; the empty text is a plain number."""
        result = Dimension()
        for sign, name, power in re.findall(r"([*/]?)([a-z]+)(?:\^(-?\d))?", text):
            factor = Dimension(((name, 1),)) ** (int(power) if power else 1)
            result = result / factor if sign == "/" else result * factor
        return result

    def __mul__(self, other: "Dimension") -> "Dimension":
        """Return the product."""
        total = dict(self.exponents)
        for name, power in other.exponents:
            total[name] = total.get(name, 0) + power
        return Dimension(tuple(sorted((n, p) for n, p in total.items() if p)))

    def __truediv__(self, other: "Dimension") -> "Dimension":
        """Return the quotient."""
        return self * other ** (-1)

    def __pow__(self, power: int) -> "Dimension":
        """Return the power."""
        return Dimension(tuple((n, p * power) for n, p in self.exponents if p * power))

    @property
    def is_count(self) -> bool:
        """Tell whether a bare whole number may stand for it."""
        return len(self.exponents) == 1 and self.exponents[0] in {(c, 1) for c in COUNTS}

    def __str__(self) -> str:
        """Show it as people write it: `data/time`."""
        over = [n if p == 1 else f"{n}^{p}" for n, p in self.exponents if p > 0]
        under = [n if p == -1 else f"{n}^{-p}" for n, p in self.exponents if p < 0]
        return "/".join([" * ".join(over) or "1", *under]) if self.exponents else "a number"


NUMBER = Dimension()


class Unit(Struct, frozen=True):
    """A unit: its size in base units, and its dimension."""

    factor: Fraction
    dimension: Dimension

    def convert(self, value: Number) -> Number:
        """Return a value of this unit in base units, as exact as its digits are.

        Whole numbers stay whole where they can: 512 tokens, 80 GiB; 2.039 TB/s is 2.039e12.
        """
        if isinstance(value, int) and self.factor.denominator == 1:  # what most are
            return value * self.factor.numerator
        exact = Fraction(value if isinstance(value, int) else str(value)) * self.factor
        whole = isinstance(value, int) and exact.denominator == 1
        return exact.numerator if whole else float(exact)


class Scale(NamedTuple):
    """In which unit numbers are shown: what one of it is in base units, and its name."""

    size: float
    unit: str


class UnknownUnit(ValueError):
    """A unit name that nobody declared."""

    def __init__(self, name: str) -> None:
        """Keep the name."""
        super().__init__(name)
        self.name = name


class Units(Struct):
    """All units by name, and dimensions by name."""

    units: dict[str, Unit] = field(default_factory=dict)
    dimensions: dict[str, Dimension] = field(default_factory=dict)
    _parsed: dict[str, Unit] = field(default_factory=dict)

    def declare(self, name: str, unit: Unit, prefixes: str) -> list[str]:
        """Add a unit with its prefixes; return the names that were taken already."""
        taken = []
        for prefix, factor in ({"": Fraction(1)} | PREFIXES[prefixes]).items():
            full = prefix + name
            if full in self.units:
                taken.append(full)
            else:
                self.units[full] = Unit(unit.factor * factor, unit.dimension)
        self._parsed.clear()
        return taken

    def parse(self, token: str) -> Unit:
        """Read a compound unit such as `req/s`. Raises UnknownUnit."""
        known = self._parsed.get(token)
        if known:
            return known
        result = Unit(Fraction(1), NUMBER)
        for sign, part in re.findall(r"([*/]?)([^*/]+)", token):
            found = _POWER.match(part)
            name = found["name"] if found else part
            if name not in self.units:
                raise UnknownUnit(name)
            unit = self.units[name]
            power = int(found["power"]) if found and found["power"] else 1
            power = -power if sign == "/" else power
            result = Unit(
                result.factor * unit.factor**power, result.dimension * unit.dimension**power
            )
        self._parsed[token] = result
        return result

    def example_of(self, dimension: Dimension) -> str | None:
        """Return a unit of this dimension that people would write."""
        return _EXAMPLES.get(dimension)

    def measured(
        self, written: str, value: Number, dimension: Dimension, usual: str = ""
    ) -> str | None:
        """Return a number without a unit with the one that was likely meant: `80 GB`.

        That is the usual one of its place or dimension, unless the number is so large that it
        counts base units.
        """
        unit = usual or self.example_of(dimension)
        if unit is None:
            return None
        factor = self.parse(unit).factor
        if factor <= 1 or value < _HUGE:
            return f"{written} {unit}"
        prefixed = DECIMAL_LARGE.get(unit[0]) == factor
        return self._scaled(value, unit[1:] if prefixed else base_unit(dimension))

    def _scaled(self, value: Number, root: str) -> str:
        """Return a large number of a unit, in thousands, millions and so on of it."""
        of, slash, under = root.partition("/")
        prefixes = [p for p in "EPTGMk" if f"{p}{of}" in self.units and value >= DECIMAL_LARGE[p]]
        prefix = prefixes[0] if prefixes else ""
        shown = value / float(DECIMAL_LARGE[prefix]) if prefix else value
        return f"{shown:.12g} {prefix}{of}{slash}{under}"

    def repaired(self, token: str, wanted: Dimension) -> str | None:
        """Return the unit that a wrong one was likely meant to be: one factor more or less."""
        have = self.parse(token).dimension
        under = _EXAMPLES.get(wanted, "").partition("/")[2]
        if under and have / self.parse(under).dimension == wanted:
            return f"{token}/{under}"  # as people write it: `USD/h`
        for base, unit in _FACTORS.items():
            if have / Dimension(((base, 1),)) == wanted:
                return f"{token}/{unit}"
            if have * Dimension(((base, 1),)) == wanted and token.endswith(f"/{unit}"):
                return token.removesuffix(f"/{unit}")
        inverse = token.split("/")
        if len(inverse) == 2 and have ** (-1) == wanted:  # noqa: PLR2004 (a over b)
            return f"{inverse[1]}/{inverse[0]}"
        return None


_FACTORS = {
    "time": "s",
    "tokens": "token",
    "requests": "request",
    "blocks": "block",
    "devices": "device",
    "layers": "layer",
}
_EXAMPLES = {
    Dimension.of("time"): "s",
    Dimension.of("data"): "GB",
    Dimension.of("data/time"): "GB/s",
    Dimension.of("work/time"): "TFLOPS",
    Dimension.of("work"): "FLOP",
    Dimension.of("requests/time"): "req/s",
    Dimension.of("tokens"): "tokens",
    Dimension.of("requests"): "requests",
    Dimension.of("layers"): "layers",
    Dimension.of("devices"): "devices",
    Dimension.of("blocks"): "blocks",
    Dimension.of("sessions"): "sessions",
    Dimension.of("money"): "USD",
    Dimension.of("money/time"): "USD/h",
    Dimension.of("money/energy"): "USD/kWh",
    Dimension.of("energy"): "kWh",
    Dimension.of("energy/tokens"): "J/token",
    Dimension.of("carbon"): "gCO2",
    Dimension.of("carbon/energy"): "gCO2/kWh",
    Dimension.of("energy/time"): "W",
    Dimension.of("time/blocks"): "ns/block",
}
_BASES = {
    Dimension.of("time"): "s",
    Dimension.of("data"): "bytes",
    Dimension.of("work"): "FLOP",
    Dimension.of("work/time"): "FLOPS",
    Dimension.of("energy"): "J",
    Dimension.of("energy/time"): "W",
    Dimension.of("money"): "USD",
    Dimension.of("carbon"): "gCO2",
    Dimension.of("requests/time"): "req/s",
}


def base_unit(dimension: Dimension) -> str:
    """Return the base unit of a dimension, as it stands beside numbers; "" of plain numbers."""
    known = _BASES.get(dimension)
    if known is not None or not dimension.exponents:
        return known or ""
    over = [_powered(name, power) for name, power in dimension.exponents if power > 0]
    under = [
        _powered(_FACTORS.get(name, name), -power)
        for name, power in dimension.exponents
        if power < 0
    ]
    return "/".join(["*".join(over) or "1", *under])


def _powered(name: str, power: int) -> str:
    unit = _BASES.get(Dimension(((name, 1),)), name)
    return unit if power == 1 else f"{unit}^{power}"
