"""What the devices of a worker cost and draw, those that it offloads operators to among them."""

from collections.abc import Iterator
from typing import Any

from tsdl.diagnostics import Label
from tsdl.evaluate import Evaluator, Instance
from tsdl.lower.devices import Device
from tsdl.lower.ineffective import report_ineffective

_POWER = ("idle", "decode", "peak")


def owned(evaluator: Evaluator, device: Device, devices: int) -> dict[str, Any]:
    """Return the money and the watts of the plan's workers, by its names for them. Raises Failed.

    A price or a power that is not known of one kind of device is not known of all. Where the
    worker's own are rented, others that have no rent count by their price.
    """
    hardware = device.hardware
    kinds = list(_kinds(device, devices))
    for kind, _ in kinds:
        if not evaluator.real(kind, "price"):
            why, remedy = f"`{kind.name}` has no price", "write `price = … USD`, or leave it out"
            report_ineffective(evaluator, kind, ("lifetime",), why, remedy)
    prices = [evaluator.real(kind, "price") * count for kind, count in kinds]
    powers = [_power(evaluator, kind) for kind, _ in kinds]
    rents = [(_rent(evaluator, kind), count) for kind, count in kinds]
    hired = evaluator.optional(hardware, "rent") is not None
    known_rents = [rent * count for rent, count in rents if rent is not None]
    known = all(power["peak"] for power in powers)
    watts = {
        key: sum(power[key] * count for power, (_, count) in zip(powers, kinds, strict=True))
        for key in _POWER
    }
    return {
        "price": sum(prices) if all(prices) else 0.0,
        "lifetime": evaluator.real(hardware, "lifetime"),
        "rent": sum(known_rents) if hired and len(known_rents) == len(kinds) else None,
        **{f"{key}_power": watts[key] if known else 0.0 for key in _POWER},
    }


def _kinds(device: Device, devices: int) -> Iterator[tuple[Instance, int]]:
    yield device.hardware, devices
    for offload in device.offloads:
        yield offload.device.hardware, offload.count


def _rent(evaluator: Evaluator, hardware: Instance) -> float | None:
    """Return USD/s, of the price where no rent is said, or None: neither is. Raises Failed."""
    rent = evaluator.optional(hardware, "rent")
    if rent is not None:
        return rent  # of nothing, too
    price = evaluator.real(hardware, "price")
    return price / evaluator.real(hardware, "lifetime") if price else None


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
