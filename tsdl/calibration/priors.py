"""What is fitted: factors of constants, and what is known of each before anything was measured.

A factor is a normal variable on its logarithm, around 1. How wide, says the kind of its constants:

share of a peak   15 %: fits to GEMMs of an A100, an H100 and an A40 differ by 5 % among each other,
                  and constants that are carried to another device by its data sheet by about 10 %
                  (stdlib/hardware_nvidia.tsim); what remains is for kernels that these do not know
time              a factor of 2: launches depend on the host, and graphs take most of them away
time that is 0    a factor of 4.5 around 0.3 ms; vLLM before 0.6 took 1 ms and 48 us for each
                  request of a batch, later ones hide most of it
other numbers     30 %: the p of a p-norm was 1.4 to 1.6 on these devices
"""

import math

from msgspec import Struct

from tsdl.constants import SHARES, Constant
from tsdl.types import Quantity
from tsdl.units import Dimension

TIME = Dimension.of("time")
SHARE_WIDTH, TIME_WIDTH, NEW_WIDTH, OTHER_WIDTH = 0.15, math.log(2), 1.5, 0.3
NEW_TIME = 0.3e-3  # seconds
FARTHEST = 4.0  # widths

# Each is one factor, of all constants that it matches.
USUAL = (
    "hardware.efficiency.gemm*.compute",  # with weights of every format that there are
    "hardware.efficiency.gemm*.bandwidth",
    "hardware.efficiency.grouped_gemm*.compute",
    "hardware.efficiency.grouped_gemm*.bandwidth",
    "hardware.efficiency.attention.compute",
    "hardware.efficiency.attention.bandwidth",
    "hardware.efficiency.*.overhead + policy.local.gap",
    "policy.local.overhead",
    "policy.local.front_end",
    "link.collective.latency",
    "link.collective.bandwidth",
)


class Factor(Struct, frozen=True):
    """What multiplies some constants: the width of its prior, and bounds, all on logarithms.

    `starts` are the values at a factor of 1.
    """

    name: str
    constants: tuple[Constant, ...]
    starts: tuple[float, ...]
    width: float
    low: float
    high: float

    def values(self, logarithm: float) -> list[float]:
        """Return the values of the constants, within what their fields allow to the last bit."""
        found = [start * math.exp(logarithm) for start in self.starts]
        most = [constant.field.high for constant in self.constants]
        return [v if m is None else min(v, m) for v, m in zip(found, most, strict=True)]


def matching(pattern: str, known: list[Constant]) -> list[Constant]:
    """Return the constants that a pattern means: names with `*`, joined by `+`."""
    parts = [part.strip() for part in pattern.split("+")]
    return [constant for constant in known if any(constant.matches(part) for part in parts)]


def factor_of(name: str, constants: list[Constant]) -> Factor:
    """Return the factor of some constants. Raises ValueError where they cannot be fitted.

    Times that are 0 begin anew, unless they go with others: then they stay 0.
    """
    if any(constant.value for constant in constants):
        constants = [constant for constant in constants if constant.value]
    starts = [constant.value or NEW_TIME for constant in constants]
    for constant in constants:
        if constant.value < 0 or (constant.value == 0 and not _is_time(constant)):
            raise ValueError(
                f"`{constant.name}` is {constant.value:g}, and only numbers above 0 can be fitted"
            )
    if len({_is_time(constant) for constant in constants}) > 1:
        raise ValueError(
            f"`{name}` means times and shares, which no one factor can make faster or slower; "
            "name them one by one"
        )
    width = max(_width(constant) for constant in constants)
    low, high = -FARTHEST * width, FARTHEST * width
    for constant, start in zip(constants, starts, strict=True):
        if constant.field.low:
            low = max(low, math.log(constant.field.low / start))
        if constant.field.high is not None:
            high = min(high, math.log(constant.field.high / start))
    if not low < high:
        raise ValueError(f"`{name}` has no room to be fitted within its bounds")
    return Factor(name, tuple(constants), tuple(starts), width, low, high)


def _is_time(constant: Constant) -> bool:
    return isinstance(constant.field.type, Quantity) and constant.field.type.dimension == TIME


def _width(constant: Constant) -> float:
    if _is_time(constant):
        return TIME_WIDTH if constant.value else NEW_WIDTH
    return SHARE_WIDTH if constant.field.high in SHARES else OTHER_WIDTH
