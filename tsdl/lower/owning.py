"""What the devices of a worker cost and draw, those that it offloads operators to among them."""

from typing import Any

from tsdl.diagnostics import Label
from tsdl.evaluate import Evaluator, Instance
from tsdl.lower.devices import Device
from tsdl.lower.ineffective import report_ineffective

_POWER = ("idle", "decode", "peak")


def owned(evaluator: Evaluator, device: Device, devices: int) -> dict[str, Any]:
    """Return the money and the watts of the plan's workers, by its names for them. Raises Failed.

    A price or a power that is not known of one kind of device is not known of all.
    """
    kinds = [(device.hardware, devices), *((o.device.hardware, o.count) for o in device.offloads)]
    rents = [(evaluator.optional(kind, "rent"), count) for kind, count in kinds]
    bought = [kind for kind, (rent, _) in zip(kinds, rents, strict=True) if rent is None]
    rates = [(_rate(evaluator, kind), count) for kind, count in bought]
    priced = zip(bought, rates, strict=True)
    unpriced = tuple(kind.name for (kind, _), (rate, _) in priced if not rate)
    for kind, _ in kinds:
        if not evaluator.real(kind, "price"):
            why, remedy = f"`{kind.name}` has no price", "write `price = … USD`, or leave it out"
            report_ineffective(evaluator, kind, ("lifetime",), why, remedy)
    prices = [evaluator.real(kind, "price") * count for kind, count in kinds]
    powers = [(_power(evaluator, kind), count) for kind, count in kinds]
    unpowered = tuple(
        k.name for (k, _), (each, _) in zip(kinds, powers, strict=True) if not each["peak"]
    )
    watts = {key: sum(each[key] * count for each, count in powers) for key in _POWER}
    return {
        "price": sum(prices) if all(prices) else 0.0,
        "rent": sum(rent * count for rent, count in rents if rent is not None),
        "upkeep": None if unpriced else sum(rate * count for rate, count in rates),
        "rented": rents[0][0] is not None,
        "unpriced": unpriced,
        **{f"{key}_power": 0.0 if unpowered else watts[key] for key in _POWER},
        "unpowered": unpowered,
    }


def _rate(evaluator: Evaluator, hardware: Instance) -> float:
    """Return USD/s of a device that is bought: its price over its lifetime. Raises Failed."""
    price = evaluator.real(hardware, "price")
    return price / evaluator.real(hardware, "lifetime") if price else 0.0


def _power(evaluator: Evaluator, hardware: Instance) -> dict[str, float]:
    """Return the watts of a device that waits, decodes, does its most. Raises Failed."""
    block = evaluator.inner(hardware, "power")
    power = {key: evaluator.real(block, key) for key in _POWER}
    for less, more in (("idle", "peak"), ("idle", "decode"), ("decode", "peak")):
        if power[less] > power[more] and power["peak"]:  # without a peak, energy is not known
            raise evaluator.fail(
                "E0503",
                f"`power.{less}` must be at most `power.{more}`, which is {power[more]:g} W, "
                f"and is {power[less]:g} W",
                evaluator.span(block, less),
                secondary=(Label(evaluator.span(block, more), f"`{more}` is set here"),)
                if more in block.members.fields
                else (),
            )
    return power
